"""A gateway and an issuer on sockets, for the unit tests."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest

Answer = tuple[int, Any]


class Peer:
    """Answers as it is told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], str]] = []
        self.answer: Callable[[str, str], Answer | None] = lambda method, path: (404, {})
        peer = self

        class Handler(BaseHTTPRequestHandler):
            def _do(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                peer.asked.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                answer = peer.answer(self.command, self.path)
                if answer is None:  # as a gateway that dies
                    self.close_connection = True
                    return
                status, content = answer
                text = (content if isinstance(content, str) else json.dumps(content)).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = _do

            def log_message(self, format: str, *args: Any) -> None:
                """Says nothing: what was asked is kept."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class Issuer(Peer):
    """Gives the tokens t1, t2 and so on."""

    def __init__(self) -> None:
        super().__init__()
        self.given = 0
        self.lives = 300
        self.answer = self._token

    def _token(self, method: str, path: str) -> Answer:
        form = parse_qs(self.asked[-1][3])
        if form.get("client_secret") != ["s3cret"]:
            return 401, {"error": "unauthorized_client", "error_description": "Invalid client or Invalid client credentials"}
        self.given += 1
        return 200, {"access_token": f"t{self.given}", "expires_in": self.lives}


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    it = Issuer()
    yield it
    it.close()


@pytest.fixture
def gateway() -> Iterator[Peer]:
    it = Peer()
    yield it
    it.close()


def run_body(state: str = "running", **more: Any) -> dict[str, Any]:
    return {
        "id": "r1", "step": "nightly", "state": state, "message": "", "attempts": [{}],
        "rules": {"created": 2, "ignored": 1, "deleted": 0},
    } | more
