"""The operator."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowTaskTimeout

from muster_airflow.auth import TokenRefused
from muster_airflow.hook import MusterHook
from muster_airflow.run import Refused, Run, Unreachable, keys_of
from muster_airflow.trigger import RunTrigger, pause

# The longest that the gateway makes a call wait, in seconds.
LONGEST_WAIT = 300

T = TypeVar("T")


class MusterRunOperator(BaseOperator):
    """Starts a run of a rule transformation, waits for its end, and fails when it fails.

    The run's log, with the worker's message, goes to the task's log; its counts go to
    XCom. The run is started with a key made from the task instance and its try, so
    that a start that is sent twice is one run. A retry joins the run of an earlier
    try when that one is still under way or has succeeded meanwhile, and starts a new
    one when it has not; a cleared task starts a new one always.

    :param step: name of the rule transformation.
    :param muster_conn_id: the connection.
    :param coalesce: while another run of the step is under way, have one more follow
        it, where the task would fail.
    :param poll_interval: how long one call waits at the gateway, in seconds (1 to 300).
    :param patience: how many seconds the gateway may be unreachable, as while it is
        restarted, before the task fails.
    :param deferrable: wait in the triggerer. execution_timeout then bounds the waiting.
    """

    template_fields = ("step",)
    ui_color = "#d5e8d4"

    def __init__(
        self,
        *,
        step: str,
        muster_conn_id: str = MusterHook.default_conn_name,
        coalesce: bool = False,
        poll_interval: float = 30,
        patience: float = 600,
        deferrable: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not 1 <= poll_interval <= LONGEST_WAIT:
            raise ValueError(f"poll_interval is {poll_interval}; it is from 1 to {LONGEST_WAIT} seconds")
        if patience < 0:
            raise ValueError(f"patience is {patience}; it is 0 seconds or more")
        self.step = step
        self.muster_conn_id = muster_conn_id
        self.coalesce = coalesce
        self.poll_interval = poll_interval
        self.patience = patience
        self.deferrable = deferrable
        self._run_id = ""
        self._hook: MusterHook | None = None

    @property
    def hook(self) -> MusterHook:
        if self._hook is None:
            self._hook = MusterHook(self.muster_conn_id)
        return self._hook

    def execute(self, context: Any) -> dict[str, Any]:
        began = time.time()
        run = self._start(context["ti"])
        self._run_id = run.id
        self.log.info("Run %s of %s is %s", run.id, self.step, run.state)
        if self.deferrable and not run.ended:
            until = began + self.execution_timeout.total_seconds() if self.execution_timeout else 0
            self.defer(
                trigger=RunTrigger(self.muster_conn_id, self.step, run.id, self.poll_interval, self.patience, until),
                method_name="execute_complete",
            )
        shown = 0
        while not run.ended:
            began = time.monotonic()
            shown = self._show(run.id, shown)
            run = self._patiently(lambda: self.hook.get_run(self.step, self._run_id, wait=self.poll_interval))
            if not run.ended:
                time.sleep(pause(time.monotonic() - began))
        return self._finish(run, shown)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> dict[str, Any]:
        """Goes on where the trigger ended."""
        self._run_id = str(event["run_id"])
        why = event.get("why")
        if why == "late":
            self._show(self._run_id, 0)
            self.on_kill()
            raise AirflowTaskTimeout(f"run {self._run_id} of {self.step} has not ended within execution_timeout")
        if why != "ended":
            raise AirflowException(f"run {self._run_id} of {self.step} cannot be followed: {event.get('error')}")
        return self._finish(self._patiently(lambda: self.hook.get_run(self.step, self._run_id)), 0)

    def on_kill(self) -> None:
        """Cancels the run when the task is killed or its time is up."""
        if not self._run_id:
            return
        self.log.info("Cancelling run %s of %s", self._run_id, self.step)
        try:
            self.hook.cancel_run(self.step, self._run_id)
        except (Refused, Unreachable, TokenRefused) as err:
            # The task ends all the same; the step's own timeout ends the run.
            self.log.error("Run %s of %s could not be cancelled: %s", self._run_id, self.step, err)

    def _start(self, ti: Any) -> Run:
        """Joins the run of an earlier try, or starts one."""
        *earlier, own = self._patiently(lambda: keys_of(self.hook.client_id, self.step, ti, self.retries or 0))
        for key in earlier:
            run = self._begin(key)
            if run.succeeded or not run.ended:
                self.log.info("Joining run %s, which an earlier try has started", run.id)
                return run
        return self._begin(own)

    def _begin(self, key: str) -> Run:
        return self._patiently(lambda: self.hook.start_run(self.step, key, self.coalesce))

    def _patiently(self, call: Callable[[], T]) -> T:
        """Calls until the gateway answers; what it refuses for good is not retried."""
        since = time.monotonic()
        while True:
            began = time.monotonic()
            try:
                return call()
            except Unreachable as err:
                if began - since > self.patience:
                    raise AirflowException(f"the gateway has not answered for {self.patience:g}s: {err}") from err
                self.log.warning("The gateway does not answer, and is tried again: %s", err)
            except Refused as err:
                kind = AirflowFailException if err.lasting else AirflowException
                raise kind(f"the gateway refuses (status {err.status}): {err}") from err
            except TokenRefused as err:
                raise AirflowException(str(err)) from err
            except ValueError as err:
                raise AirflowFailException(str(err)) from err
            time.sleep(pause(time.monotonic() - began))

    def _show(self, run_id: str, after: int) -> int:
        """Writes the new lines of the run's log; returns the number of the last one."""
        for line in self._patiently(lambda: self.hook.lines(self.step, run_id, after)):
            self.log.info("[muster] %s", line.text)
            after = line.number
        return after

    def _finish(self, run: Run, shown: int) -> dict[str, Any]:
        self._show(run.id, shown)
        self._run_id = ""
        if not run.succeeded:
            said = run.message or "the worker gave no message"
            self.log.error("Run %s of %s is %s after %d attempt(s): %s", run.id, self.step, run.state, run.attempts, said)
            raise AirflowException(f"run {run.id} of {self.step} is {run.state}: {said}")
        self.log.info("Run %s of %s has succeeded: %s", run.id, self.step, run.message or "no message")
        return run.result()


class MusterRunDeferrableOperator(MusterRunOperator):
    """MusterRunOperator that waits in the triggerer."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("deferrable", True)
        super().__init__(**kwargs)
