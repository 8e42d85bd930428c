"""A client's own token from Keycloak, got when it is needed and kept until it ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator

import httpx

# A token is not used in its last seconds: the request has to get there with it.
# It is never more than half of a token's life.
EARLY = 10.0


class TokenRefused(Exception):
    """The issuer gives no token. The text is the issuer's own; it never holds the secret."""


class ClientCredentials(httpx.Auth):
    """Puts a token of the client-credentials grant on every request.

    The same object serves synchronous and asynchronous clients. A request that is
    answered 401 is sent once more with a new token: a gateway whose issuer has new
    keys takes no old token, however long it was meant to live. The secret goes to
    the issuer alone, and neither it nor a token is in an error or a log.
    """

    requires_response_body = True

    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._token_url = token_url
        self._client_id = client_id
        self._client_secret = client_secret
        self._clock = clock
        self._token = ""
        self._until = 0.0

    def __repr__(self) -> str:
        return f"ClientCredentials({self._token_url!r}, {self._client_id!r})"

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        fresh = False
        if self._clock() >= self._until:
            yield from self._renew()
            fresh = True
        request.headers["Authorization"] = "Bearer " + self._token
        response = yield request
        if response.status_code == httpx.codes.UNAUTHORIZED and not fresh:
            yield from self._renew()
            request.headers["Authorization"] = "Bearer " + self._token
            yield request

    def _renew(self) -> Generator[httpx.Request, httpx.Response, None]:
        # What is there is not used again, even when no new token can be had.
        self._token, self._until = "", 0.0
        asked = self._clock()
        response = yield httpx.Request(
            "POST",
            self._token_url,
            data={
                "grant_type": "client_credentials",
                "client_id": self._client_id,
                "client_secret": self._client_secret,
            },
            headers={"Accept": "application/json"},
        )
        if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            # As if it could not be reached: it may be starting.
            raise httpx.RemoteProtocolError(
                f"the issuer at {self._token_url} answered {response.status_code}", request=response.request
            )
        try:
            body = response.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise TokenRefused(
                f"what answered at {self._token_url} (status {response.status_code}) is no token endpoint"
            )
        token, lives = body.get("access_token"), body.get("expires_in", 60)
        if response.status_code != httpx.codes.OK or not isinstance(token, str) or not token:
            said = f"{body.get('error', 'no access_token')}: {body.get('error_description', '')}".rstrip(": ")
            raise TokenRefused(
                f"the issuer at {self._token_url} gives client {self._client_id} no token "
                f"(status {response.status_code}): {said}"
            )
        lives = float(lives) if isinstance(lives, (int, float)) else 60.0
        self._token = token
        self._until = asked + lives - min(EARLY, lives / 2)
