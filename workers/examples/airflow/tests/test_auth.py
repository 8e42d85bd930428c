from __future__ import annotations

import asyncio

import httpx
import pytest
from conftest import Issuer, Peer

from muster_airflow.auth import ClientCredentials, TokenRefused


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def bearers(gateway: Peer) -> list[str]:
    return [headers["authorization"] for _, _, headers, _ in gateway.asked]


def test_one_token_serves_until_shortly_before_its_end(issuer: Issuer, gateway: Peer) -> None:
    clock = Clock()
    auth = ClientCredentials(issuer.url, "airflow", "s3cret", clock)
    gateway.answer = lambda method, path: (200, {})
    with httpx.Client(auth=auth) as client:
        for at in (0.0, 289.0, 291.0, 300.0):
            clock.now = 1000 + at
            client.get(gateway.url)
    assert bearers(gateway) == ["Bearer t1", "Bearer t1", "Bearer t2", "Bearer t2"]


@pytest.mark.parametrize(("lives", "good"), [(1, 0.4), (4, 1.9), (15, 7.4), (20, 9.9), (3600, 3589)])
def test_short_lives_are_used_for_half(issuer: Issuer, gateway: Peer, lives: int, good: float) -> None:
    clock = Clock()
    issuer.lives = lives
    auth = ClientCredentials(issuer.url, "airflow", "s3cret", clock)
    gateway.answer = lambda method, path: (200, {})
    with httpx.Client(auth=auth) as client:
        client.get(gateway.url)
        clock.now += good
        client.get(gateway.url)
        assert issuer.given == 1
        clock.now += 0.2 + lives * 0.003
        client.get(gateway.url)
        assert issuer.given == 2


def test_a_refused_token_is_replaced_once(issuer: Issuer, gateway: Peer) -> None:
    auth = ClientCredentials(issuer.url, "airflow", "s3cret")
    gateway.answer = lambda method, path: (200, {}) if bearers(gateway)[-1] != "Bearer t1" else (401, {})
    with httpx.Client(auth=auth) as client:
        # The first token is fresh, so that it was refused is the answer.
        assert client.post(gateway.url, content=b"x").status_code == 401
        assert client.post(gateway.url, content=b"x").status_code == 200
        gateway.answer = lambda method, path: (401, {})
        assert client.post(gateway.url).status_code == 401
    assert issuer.given == 3 and gateway.asked[2][3] == "x"


def test_the_same_for_an_asynchronous_client(issuer: Issuer, gateway: Peer) -> None:
    auth = ClientCredentials(issuer.url, "airflow", "s3cret")
    gateway.answer = lambda method, path: (200, {}) if bearers(gateway)[-1] == "Bearer t2" else (401, {})

    async def both() -> list[int]:
        async with httpx.AsyncClient(auth=auth) as client:
            return [(await client.get(gateway.url)).status_code for _ in range(2)]

    assert asyncio.run(both()) == [401, 200]


def test_a_wrong_secret_is_told_without_it(issuer: Issuer, gateway: Peer) -> None:
    auth = ClientCredentials(issuer.url, "airflow", "wr0ng")
    with httpx.Client(auth=auth) as client, pytest.raises(TokenRefused, match="unauthorized_client") as err:
        client.get(gateway.url)
    assert "wr0ng" not in str(err.value) + repr(auth) and not gateway.asked


@pytest.mark.parametrize("answer", [(200, "hello"), (200, []), (200, {}), (200, {"access_token": 7}), (404, "<html>")])
def test_what_is_no_issuer_is_told(issuer: Issuer, answer: tuple[int, object]) -> None:
    issuer.answer = lambda method, path: answer
    with httpx.Client(auth=ClientCredentials(issuer.url, "airflow", "s3cret")) as client, pytest.raises(TokenRefused):
        client.get(issuer.url)


def test_an_issuer_that_is_starting_may_be_asked_again(issuer: Issuer) -> None:
    issuer.answer = lambda method, path: (503, "")
    client = httpx.Client(auth=ClientCredentials(issuer.url, "airflow", "s3cret"))
    with client, pytest.raises(httpx.TransportError, match="503"):
        client.get(issuer.url)
