"""Runs of rule transformations as the gateway shows them, and the keys they are started with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx

ROOT = "/api/rule-transformations"

_ENDED = frozenset({"succeeded", "failed", "cancelled", "interrupted"})
# Answers that say nothing of the request: the gateway, or a proxy before it, is
# starting, ending or too busy.
_PASSING = frozenset({429, 502, 503, 504})


class Unreachable(Exception):
    """The gateway or its issuer does not answer for now; the same request may be sent again."""


class Refused(Exception):
    """The gateway has refused a request.

    lasting is False when the same request may succeed later without anybody
    changing anything, as when another run of the step is under way.
    """

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}" if code else detail)
        self.status = status
        self.code = code
        self.lasting = status in (400, 403, 404, 405, 422)


@dataclass(frozen=True)
class Run:
    """One run of a step."""

    id: str
    step: str
    state: str
    message: str
    attempts: int
    rules: dict[str, int]

    @property
    def ended(self) -> bool:
        return self.state in _ENDED

    @property
    def succeeded(self) -> bool:
        return self.state == "succeeded"

    def result(self) -> dict[str, Any]:
        """What goes to XCom."""
        return {"id": self.id, "step": self.step, "state": self.state, "message": self.message, "rules": self.rules}


@dataclass(frozen=True)
class Line:
    """One line of a run's log."""

    number: int
    text: str


def key_of(scope: str, step: str, dag_id: str, task_id: str, run_id: str, map_index: int, attempt: int) -> str:
    """The idempotency key of one try of one task instance.

    It is a digest, since run ids hold what headers must not, and since a key has at
    most 255 characters. scope is the client that starts the run, so that two Airflows
    with their own clients never meet in one key.
    """
    parts = json.dumps([scope, step, dag_id, task_id, run_id, map_index], ensure_ascii=True)
    return f"airflow-{hashlib.sha256(parts.encode()).hexdigest()[:40]}-{attempt}"


def keys_of(scope: str, step: str, ti: Any, retries: int) -> list[str]:
    """The keys of the tries of a task instance up to now, the oldest first.

    Clearing a task begins a new row of tries: Airflow then counts max_tries on from
    the tries there were, so a cleared task starts runs of its own, and does not find
    those from before it was cleared.
    """
    first = max(ti.max_tries - retries + 1, 1)
    return [
        key_of(scope, step, ti.dag_id, ti.task_id, ti.run_id, ti.map_index if ti.map_index is not None else -1, n)
        for n in range(min(first, ti.try_number), ti.try_number + 1)
    ]


def step_path(step: str) -> str:
    return f"{ROOT}/{quote(step, safe='')}/runs"


def run_path(step: str, run_id: str) -> str:
    return f"{step_path(step)}/{quote(run_id, safe='')}"


def check(response: httpx.Response) -> httpx.Response:
    """Returns a good answer; anything else is Unreachable or Refused."""
    if response.is_success:
        return response
    problem: Any = None
    try:
        problem = response.json()
    except ValueError:
        pass  # no problem document: whatever answered is no gateway, or one that ends
    if not isinstance(problem, dict):
        problem = {}
    code, detail = str(problem.get("code", "")), str(problem.get("detail") or problem.get("title") or "")
    if response.status_code in _PASSING:
        raise Unreachable(f"the gateway answered {response.status_code} {code} {detail}".strip())
    raise Refused(response.status_code, code, detail or f"the gateway answered {response.status_code}")


def read_run(response: httpx.Response) -> Run:
    """Reads a run from a good answer."""
    try:
        body = check(response).json()
        rules = {name: int(body["rules"][name]) for name in ("created", "ignored", "deleted")}
        return Run(
            id=str(body["id"]), step=str(body["step"]), state=str(body["state"]),
            message=str(body["message"]), attempts=len(body["attempts"]), rules=rules,
        )
    except (ValueError, KeyError, TypeError) as err:
        raise Refused(
            response.status_code, "not_a_gateway", "what answered is no run; is the connection's host Muster's gateway?"
        ) from err


def read_lines(response: httpx.Response) -> Iterator[Line]:
    """Reads the log from a good answer in NDJSON."""
    for raw in check(response).text.splitlines():
        try:
            line = json.loads(raw)
            yield Line(int(line["number"]), f"{line['at']} {line['text']}")
        except (ValueError, KeyError, TypeError):
            # The answer broke off here; the next one begins after the last whole line.
            return
