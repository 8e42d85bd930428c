from __future__ import annotations

import asyncio
import json
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import airflow
import jsonschema
import pytest
from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowTaskTimeout, TaskDeferred
from conftest import Issuer, Peer, run_body

from muster_airflow import get_provider_info
from muster_airflow.hook import MusterHook, settings
from muster_airflow.operator import MusterRunDeferrableOperator, MusterRunOperator
from muster_airflow.trigger import RunTrigger

RUNS = "/api/rule-transformations/nightly/runs"


def connection(issuer: Issuer, gateway: Peer, **more: Any) -> Connection:
    return Connection(
        conn_id="muster_default", conn_type="muster", host=gateway.url, login="airflow", password="s3cret",
        extra=f'{{"token_url": "{issuer.url}"}}', **more,
    )


@pytest.fixture
def connected(issuer: Issuer, gateway: Peer, monkeypatch: pytest.MonkeyPatch) -> Peer:
    monkeypatch.setattr(MusterHook, "get_connection", classmethod(lambda cls, conn_id: connection(issuer, gateway)))

    async def aget(cls: type, conn_id: str) -> Connection:
        return connection(issuer, gateway)

    monkeypatch.setattr(MusterHook, "aget_connection", classmethod(aget))
    return gateway


def context(try_number: int = 1, max_tries: int = 0) -> dict[str, Any]:
    return {
        "ti": SimpleNamespace(
            dag_id="d", task_id="t", run_id="r", map_index=-1, try_number=try_number, max_tries=max_tries
        )
    }


def operator(**more: Any) -> MusterRunOperator:
    return MusterRunOperator(**({"task_id": "t", "step": "nightly", "poll_interval": 1} | more))


def answers(start: list[Any], polls: list[Any], log: str = "") -> Any:
    """Answers starts and polls one by one, the last of them for ever."""

    def answer(method: str, path: str) -> Any:
        if "/log" in path:
            after = int(path.rsplit("=", 1)[1])
            return 200, "\n".join(log.splitlines()[after:])
        if path.endswith(":cancel"):
            return 202, run_body("cancelled")
        queue = start if method == "POST" else polls
        return queue.pop(0) if len(queue) > 1 else queue[0]

    return answer


def line(number: int, text: str) -> str:
    return f'{{"number":{number},"at":"T{number}","text":"{text}"}}\n'


def calls(gateway: Peer, method: str) -> list[str]:
    return [path for m, path, _, _ in gateway.asked if m == method]


def test_a_run_is_followed_to_its_end(connected: Peer, capsys: pytest.CaptureFixture[str]) -> None:
    connected.answer = answers(
        [(202, run_body("queued"))], [(200, run_body()), (200, run_body("succeeded", message="2 rules"))],
        line(1, "begun") + line(2, "done"),
    )
    got = operator().execute(context())
    assert got["state"] == "succeeded" and got["rules"]["created"] == 2
    said = capsys.readouterr().out
    assert said.count("[muster] T1 begun") == 1 and said.count("[muster] T2 done") == 1
    assert "t1" not in said and "s3cret" not in said
    assert calls(connected, "POST") == [RUNS]
    assert RUNS + "/r1?wait=1s" in calls(connected, "GET")
    assert connected.asked[0][2]["idempotency-key"].startswith("airflow-")


@pytest.mark.parametrize("state", ["failed", "cancelled", "interrupted"])
def test_any_other_end_fails_the_task(connected: Peer, capsys: pytest.CaptureFixture[str], state: str) -> None:
    connected.answer = answers([(202, run_body("queued"))], [(200, run_body(state, message="the source is down"))])
    with pytest.raises(AirflowException, match=f"is {state}: the source is down") as err:
        operator().execute(context())
    assert not isinstance(err.value, AirflowFailException)
    assert "the source is down" in capsys.readouterr().out


def test_a_gateway_that_goes_away_is_waited_for(connected: Peer) -> None:
    connected.answer = answers(
        [None, (503, ""), (202, run_body("queued"))], [None, (502, ""), (200, run_body("succeeded"))]
    )
    assert operator().execute(context())["id"] == "r1"
    keys = {headers["idempotency-key"] for m, _, headers, _ in connected.asked if m == "POST"}
    assert len(calls(connected, "POST")) == 3 and len(keys) == 1


def test_patience_has_an_end(connected: Peer) -> None:
    connected.answer = lambda method, path: (503, {"code": "draining"})
    with pytest.raises(AirflowException, match="has not answered for 0.5s: the gateway answered 503 draining"):
        operator(patience=0.5).execute(context())


@pytest.mark.parametrize(("status", "final"), [(403, True), (404, True), (422, True), (409, False)])
def test_refused_starts(connected: Peer, status: int, final: bool) -> None:
    connected.answer = lambda method, path: (status, {"code": "no", "detail": "never"})
    with pytest.raises(AirflowException, match="no: never") as err:
        operator().execute(context())
    assert isinstance(err.value, AirflowFailException) is final and len(connected.asked) == 1


@pytest.mark.parametrize(("earlier", "starts"), [("running", 1), ("succeeded", 1), ("failed", 2), ("interrupted", 2)])
def test_a_retry_joins_or_starts(connected: Peer, earlier: str, starts: int) -> None:
    connected.answer = answers(
        [(202, run_body(earlier)), (202, run_body("queued", id="r2"))], [(200, run_body("succeeded"))]
    )
    operator(retries=1).execute(context(try_number=2, max_tries=1))
    keys = [headers["idempotency-key"][-2:] for m, _, headers, _ in connected.asked if m == "POST"]
    assert keys == ["-1", "-2"][:starts]


def test_a_killed_task_cancels_its_run(connected: Peer, capsys: pytest.CaptureFixture[str]) -> None:
    connected.answer = answers([(202, run_body())], [(200, run_body("succeeded"))])
    op = operator()
    op.on_kill()  # nothing is under way
    assert not connected.asked
    op._run_id = "r1"
    op.on_kill()
    assert calls(connected, "POST") == [RUNS + "/r1:cancel"]
    connected.answer = lambda method, path: (409, {"code": "run_ended"})
    op.on_kill()
    assert "could not be cancelled" not in capsys.readouterr().out
    connected.answer = lambda method, path: (503, {})
    op.on_kill()
    assert "could not be cancelled" in capsys.readouterr().out


def test_a_task_that_has_ended_cancels_nothing(connected: Peer) -> None:
    connected.answer = answers([(202, run_body("succeeded"))], [(200, run_body("succeeded"))])
    op = operator()
    op.execute(context())
    op.on_kill()
    assert calls(connected, "POST") == [RUNS]


def deferred(op: MusterRunOperator) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as err:
        op.execute(context())
    return err.value


async def fired(trigger: RunTrigger) -> dict[str, Any]:
    return [event.payload async for event in trigger.run()][0]


def test_waiting_in_the_triggerer(connected: Peer) -> None:
    connected.answer = answers(
        [(202, run_body())], [(200, run_body()), None, (503, ""), (200, run_body("succeeded"))], line(1, "begun")
    )
    op = MusterRunDeferrableOperator(task_id="t", step="nightly", poll_interval=1)
    trigger = deferred(op).trigger
    path, kwargs = trigger.serialize()
    assert path == "muster_airflow.trigger.RunTrigger"
    again = RunTrigger(**kwargs)
    assert again.serialize() == trigger.serialize() and "s3cret" not in repr(again)
    event = asyncio.run(fired(again))
    assert event == {"run_id": "r1", "why": "ended"}
    assert op.execute_complete(context(), event)["id"] == "r1"
    connected.answer = answers([], [(200, run_body("failed", message="bad source"))])
    with pytest.raises(AirflowException, match="bad source"):
        op.execute_complete(context(), event)


def test_a_run_that_has_ended_is_not_waited_for(connected: Peer) -> None:
    connected.answer = answers([(202, run_body("succeeded"))], [(200, run_body("succeeded"))])
    assert operator(deferrable=True).execute(context())["id"] == "r1"


def test_the_triggerer_keeps_the_time(connected: Peer) -> None:
    connected.answer = answers([(202, run_body())], [(200, run_body())])
    op = operator(deferrable=True, execution_timeout=timedelta(seconds=2))
    trigger = deferred(op).trigger
    assert 0 < trigger.until - time.time() <= 2
    event = asyncio.run(fired(trigger))
    assert event["why"] == "late"
    with pytest.raises(AirflowTaskTimeout):
        op.execute_complete(context(), event)
    assert calls(connected, "POST")[-1] == RUNS + "/r1:cancel"


def test_the_triggerer_tells_why_it_gives_up(connected: Peer) -> None:
    connected.answer = lambda method, path: None
    event = asyncio.run(fired(RunTrigger("muster_default", "nightly", "r1", 1, 0.5)))
    assert event["why"] == "unreachable"
    connected.answer = lambda method, path: (404, {"code": "run_not_found", "detail": "no such run"})
    event = asyncio.run(fired(RunTrigger("muster_default", "nightly", "r1", 1, 0.5)))
    assert event == {"run_id": "r1", "why": "refused", "error": "run_not_found: no such run"}
    with pytest.raises(AirflowException, match="no such run"):
        operator().execute_complete(context(), event)


def test_a_task_killed_while_deferred_cancels_its_run(connected: Peer) -> None:
    connected.answer = answers([], [])
    asyncio.run(RunTrigger("muster_default", "nightly", "r1").on_kill())
    assert calls(connected, "POST") == [RUNS + "/r1:cancel"]


@pytest.mark.parametrize("bad", [{"poll_interval": 0}, {"poll_interval": 301}, {"patience": -1}])
def test_mistakes_are_told_when_the_dag_is_read(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        operator(**bad)


def test_all_mistakes_of_a_connection_at_once() -> None:
    conn = Connection(conn_id="m", conn_type="muster", password="s3cret", extra='{"timeout": 0, "ca_file": "/no/such"}')
    with pytest.raises(ValueError) as err:
        settings("m", conn)
    for word in ("Host", "Login", "issuer", "timeout", "ca_file"):
        assert word in str(err.value)
    assert "s3cret" not in str(err.value)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({"host": "https://muster.example.org/"}, "https://muster.example.org"),
        ({"host": "muster.example.org"}, "https://muster.example.org"),
        ({"host": "localhost", "schema": "http", "port": 8080}, "http://localhost:8080"),
    ],
)
def test_forms_of_the_address(given: dict[str, Any], url: str) -> None:
    conn = Connection(
        conn_id="m", conn_type="muster", login="a", password="b", extra='{"issuer": "http://kc/realms/muster/"}', **given
    )
    got = settings("m", conn)
    assert str(got["url"]) == url
    assert got["auth_args"][0] == "http://kc/realms/muster/protocol/openid-connect/token"


def test_the_connection_can_be_tested(issuer: Issuer, gateway: Peer) -> None:
    gateway.answer = lambda method, path: (200, {"items": []})
    assert MusterHook(connection=connection(issuer, gateway)).test_connection() == (True, "the gateway answered 200")
    issuer.answer = lambda method, path: (401, {"error": "unauthorized_client"})
    good, said = MusterHook(connection=connection(issuer, gateway)).test_connection()
    assert not good and "unauthorized_client" in said


def test_the_provider_names_what_is_there() -> None:
    kind = get_provider_info()["connection-types"][0]
    assert kind["hook-class-name"] == f"{MusterHook.__module__}.{MusterHook.__name__}"
    assert kind["connection-type"] == MusterHook.conn_type


def test_the_provider_is_described_as_airflow_wants_it() -> None:
    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)


def test_fields_that_are_left_empty_count_as_left_out(issuer: Issuer, gateway: Peer) -> None:
    conn = connection(issuer, gateway)
    given = conn.extra_dejson
    conn.extra = json.dumps(given | {"issuer": None, "ca_file": "", "timeout": None})
    assert settings("m", conn) == settings("m", connection(issuer, gateway))
