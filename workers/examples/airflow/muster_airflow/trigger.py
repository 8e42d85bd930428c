"""The waiting for a run in the triggerer, where it holds no worker slot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from muster_airflow.auth import TokenRefused
from muster_airflow.hook import MusterHook
from muster_airflow.run import Refused, Unreachable


class RunTrigger(BaseTrigger):
    """Fires once, when a run has ended or nothing more can be heard of it.

    until and patience are as the operator's; until is a time of time.time(), 0 for
    none. What is asked is one call that the gateway answers when the run has ended,
    or after poll_interval seconds. Nothing is lost when the triggerer is restarted
    or the trigger is moved: the run goes on, and the next one asks for the same run.
    """

    def __init__(
        self,
        muster_conn_id: str,
        step: str,
        run_id: str,
        poll_interval: float = 30,
        patience: float = 600,
        until: float = 0,
    ) -> None:
        super().__init__()
        self.muster_conn_id = muster_conn_id
        self.step = step
        self.run_id = run_id
        self.poll_interval = poll_interval
        self.patience = patience
        self.until = until

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return (
            "muster_airflow.trigger.RunTrigger",
            {
                "muster_conn_id": self.muster_conn_id, "step": self.step, "run_id": self.run_id,
                "poll_interval": self.poll_interval, "patience": self.patience, "until": self.until,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        yield TriggerEvent(await self._end(MusterHook(self.muster_conn_id)))

    async def _end(self, hook: MusterHook) -> dict[str, Any]:
        """Waits, and says why the waiting is over."""
        heard = time.monotonic()
        while not self.until or time.time() < self.until:
            began = time.monotonic()
            try:
                run = await hook.aget_run(self.step, self.run_id, wait=self._wait())
                if run.ended:
                    return {"run_id": run.id, "why": "ended"}
                heard = time.monotonic()
            except Unreachable as err:
                if time.monotonic() - heard > self.patience:
                    return {"run_id": self.run_id, "why": "unreachable", "error": str(err)}
                self.log.warning("Run %s of %s cannot be asked for, and is tried again: %s", self.run_id, self.step, err)
            except (Refused, TokenRefused, ValueError) as err:
                return {"run_id": self.run_id, "why": "refused", "error": str(err)}
            # A gateway that begins to end answers at once, and so does a closed port.
            await asyncio.sleep(pause(time.monotonic() - began))
        return {"run_id": self.run_id, "why": "late"}

    def _wait(self) -> float:
        if not self.until:
            return self.poll_interval
        return max(min(self.poll_interval, self.until - time.time()), 0.001)

    async def on_kill(self) -> None:
        """Cancels the run when a user fails or clears the task."""
        await MusterHook(self.muster_conn_id).acancel_run(self.step, self.run_id)


def pause(took: float) -> float:
    """How long to pause after a call, so that there is at most one in a second."""
    return max(1.0 - took, 0.0)
