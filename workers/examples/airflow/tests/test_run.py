from __future__ import annotations

from types import SimpleNamespace

import httpx
import pytest
from conftest import run_body

from muster_airflow.run import Refused, Unreachable, check, key_of, keys_of, read_lines, read_run, run_path


def ti(try_number: int = 1, max_tries: int = 2, **more: object) -> SimpleNamespace:
    at = {"dag_id": "d", "task_id": "t", "run_id": "manual__2026-11-22T02:00:00+00:00", "map_index": -1}
    return SimpleNamespace(**(at | {"try_number": try_number, "max_tries": max_tries} | more))


def test_every_part_makes_another_key() -> None:
    parts = ("airflow", "nightly", "d", "t", "r", -1, 1)
    keys = {key_of(*parts)}
    for i, other in enumerate(("other", "other", "other", "other", "other", 0, 2)):
        keys.add(key_of(*(parts[:i] + (other,) + parts[i + 1 :])))  # type: ignore[arg-type]
    # Parts do not run into each other.
    keys.add(key_of("airflow", "nightly", "dt", "", "r", -1, 1))
    keys.add(key_of("airflow", "nightly", "", "dt", "r", -1, 1))
    assert len(keys) == 10
    assert all(len(k) <= 255 and k.isascii() and k.isprintable() for k in keys)
    assert key_of("a", "s", "dåg", "t", "r\n", 3, 1).isascii()


def test_the_same_try_has_the_same_key_everywhere() -> None:
    # Written out: a change of it would make two runs of one task over an update.
    assert key_of("airflow", "nightly", "d", "t", "r", -1, 1) == key_of("airflow", "nightly", "d", "t", "r", -1, 1)
    assert keys_of("c", "s", ti(), 2) == [key_of("c", "s", "d", "t", ti().run_id, -1, 1)]
    assert keys_of("c", "s", ti(map_index=None), 2) == keys_of("c", "s", ti(), 2)


@pytest.mark.parametrize(
    ("try_number", "max_tries", "retries", "attempts"),
    [
        (1, 0, 0, [1]), (1, 2, 2, [1]), (2, 2, 2, [1, 2]), (3, 2, 2, [1, 2, 3]),
        # Cleared after the first try, and after the third.
        (2, 3, 2, [2]), (3, 3, 2, [2, 3]), (4, 5, 2, [4]), (6, 5, 2, [4, 5, 6]), (2, 1, 0, [2]),
        # retries was changed in the DAG meanwhile.
        (2, 2, 9, [1, 2]), (2, 9, 0, [2]),
    ],
)
def test_a_cleared_task_begins_a_new_row(try_number: int, max_tries: int, retries: int, attempts: list[int]) -> None:
    got = keys_of("c", "s", ti(try_number, max_tries), retries)
    assert [int(k.rsplit("-", 1)[1]) for k in got] == attempts


def test_runs_are_read() -> None:
    run = read_run(httpx.Response(202, json=run_body("interrupted", message="m")))
    assert run.ended and not run.succeeded and run.attempts == 1
    assert run.result() == {
        "id": "r1", "step": "nightly", "state": "interrupted", "message": "m",
        "rules": {"created": 2, "ignored": 1, "deleted": 0},
    }
    assert not read_run(httpx.Response(200, json=run_body("queued"))).ended


@pytest.mark.parametrize("body", ["", "[]", "{}", "null", '{"id":1}', '{"id":"r","step":"s","state":"x","message":""}'])
def test_what_is_no_run_is_told(body: str) -> None:
    with pytest.raises(Refused, match="gateway"):
        read_run(httpx.Response(200, text=body))


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_passing_answers(status: int) -> None:
    with pytest.raises(Unreachable, match=str(status)):
        check(httpx.Response(status, text="<html>"))


@pytest.mark.parametrize(
    ("status", "lasting"), [(400, True), (401, False), (403, True), (404, True), (409, False), (422, True), (500, False)]
)
def test_refusals(status: int, lasting: bool) -> None:
    with pytest.raises(Refused, match="a_code: why") as err:
        check(httpx.Response(status, json={"code": "a_code", "detail": "why"}))
    assert err.value.lasting is lasting and err.value.code == "a_code"


def test_lines_are_read_up_to_where_they_break_off() -> None:
    text = '{"number":1,"at":"T","text":"a"}\n{"number":2,"at":"T","text":"b"}\n{"number":3,"at'
    assert [(line.number, line.text) for line in read_lines(httpx.Response(200, text=text))] == [(1, "T a"), (2, "T b")]


def test_names_cannot_leave_their_place_in_the_path() -> None:
    assert run_path("a/../b c", "?x") == "/api/rule-transformations/a%2F..%2Fb%20c/runs/%3Fx"
