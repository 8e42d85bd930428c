"""The connection to a gateway."""

from __future__ import annotations

import ssl
from typing import Any

import httpx
from airflow.sdk import BaseHook

from muster_airflow.auth import ClientCredentials, TokenRefused
from muster_airflow.run import Line, Run, Unreachable, check, read_lines, read_run, run_path, step_path

NDJSON = {"Accept": "application/x-ndjson"}


class MusterHook(BaseHook):
    """Calls Muster's API of rule transformations.

    The connection: Host is the gateway's base URL, Login the Keycloak client that
    starts runs, Password its secret; Extra has "issuer" (the realm's URL) or
    "token_url", and may have "ca_file" and "timeout" (seconds, 30 by default).

    The connection is read where the hook is first used, never while a DAG is parsed.
    One hook serves one task: it is not safe for several threads.
    """

    conn_name_attr = "muster_conn_id"
    default_conn_name = "muster_default"
    conn_type = "muster"
    hook_name = "Muster"

    def __init__(self, muster_conn_id: str = default_conn_name, connection: Any = None) -> None:
        super().__init__()
        self.muster_conn_id = muster_conn_id
        self._connection = connection
        self._settings: dict[str, Any] | None = None

    @property
    def client_id(self) -> str:
        return str(self._read()["auth_args"][1])

    def _read(self) -> dict[str, Any]:
        if self._settings is None:
            if self._connection is None:
                self._connection = self.get_connection(self.muster_conn_id)
            self._settings = settings(self.muster_conn_id, self._connection)
            self._settings["auth"] = ClientCredentials(*self._settings["auth_args"])
        return self._settings

    async def _aread(self) -> dict[str, Any]:
        if self._settings is None and self._connection is None:
            self._connection = await self.aget_connection(self.muster_conn_id)
        return self._read()

    def get_conn(self) -> httpx.Client:
        """A client for the gateway. The token lives in the hook, not in the client."""
        s = self._read()
        return httpx.Client(base_url=s["url"], auth=s["auth"], verify=s["verify"], timeout=s["timeout"])

    def start_run(self, step: str, key: str, coalesce: bool = False) -> Run:
        """Starts a run, or finds the one that this key has started."""
        params = {"coalesce": "true"} if coalesce else {}
        return read_run(self._call("POST", step_path(step), params=params, headers={"Idempotency-Key": key}))

    def get_run(self, step: str, run_id: str, wait: float = 0) -> Run:
        """Reads a run; with wait, when it has ended or after so many seconds."""
        return read_run(self._call("GET", run_path(step, run_id), params=waiting(wait), wait=wait))

    async def aget_run(self, step: str, run_id: str, wait: float = 0) -> Run:
        """As get_run, for the triggerer."""
        s = await self._aread()
        return read_run(await self._acall("GET", run_path(step, run_id), s, params=waiting(wait), wait=wait))

    def lines(self, step: str, run_id: str, after: int = 0) -> list[Line]:
        """The lines of a run's log behind the one of that number."""
        path = run_path(step, run_id) + "/log"
        return list(read_lines(self._call("GET", path, params={"after": str(after)}, headers=NDJSON)))

    def cancel_run(self, step: str, run_id: str) -> None:
        """Cancels a run. One that has ended already stays as it is."""
        response = self._call("POST", run_path(step, run_id) + ":cancel")
        if response.status_code != httpx.codes.CONFLICT:
            check(response)

    async def acancel_run(self, step: str, run_id: str) -> None:
        """As cancel_run, for the triggerer."""
        s = await self._aread()
        response = await self._acall("POST", run_path(step, run_id) + ":cancel", s)
        if response.status_code != httpx.codes.CONFLICT:
            check(response)

    def test_connection(self) -> tuple[bool, str]:
        """Gets a token; what a step may do shows when it is run."""
        try:
            with self.get_conn() as client:
                response = client.get("/api/rule-transformations", params={"limit": "1"})
        except (httpx.HTTPError, TokenRefused, ValueError) as err:
            return False, str(err)
        return response.is_success, f"the gateway answered {response.status_code}"

    def _call(self, method: str, path: str, wait: float = 0, **kwargs: Any) -> httpx.Response:
        s = self._read()
        try:
            with self.get_conn() as client:
                return client.request(method, path, timeout=s["timeout"] + wait, **kwargs)
        except httpx.TransportError as err:
            raise Unreachable(describe(err)) from err

    async def _acall(
        self, method: str, path: str, s: dict[str, Any], wait: float = 0, **kwargs: Any
    ) -> httpx.Response:
        try:
            async with httpx.AsyncClient(base_url=s["url"], auth=s["auth"], verify=s["verify"]) as client:
                return await client.request(method, path, timeout=s["timeout"] + wait, **kwargs)
        except httpx.TransportError as err:
            raise Unreachable(describe(err)) from err


def waiting(seconds: float) -> dict[str, str]:
    """The parameter wait of a call."""
    return {"wait": f"{seconds:g}s"} if seconds > 0 else {}


def describe(err: httpx.TransportError) -> str:
    try:
        where = f" ({err.request.method} {err.request.url})"
    except RuntimeError:  # it never came to a request
        where = ""
    return f"{type(err).__name__}: {err}{where}"


def settings(conn_id: str, conn: Any) -> dict[str, Any]:
    """Reads a connection; all that is wrong with it is told at once."""
    extra = conn.extra_dejson or {}
    wrong = []
    host = (conn.host or "").rstrip("/")
    if host and "://" not in host:
        host = f"{conn.schema or 'https'}://{host}"
    url = httpx.URL(f"{host}:{conn.port}" if host and conn.port else host)
    if url.scheme not in ("http", "https") or not url.host:
        wrong.append("Host is the gateway's base URL, such as https://muster.example.org")
    if not conn.login:
        wrong.append("Login is the Keycloak client that starts runs")
    if not conn.password:
        wrong.append("Password is that client's secret")
    token_url = extra.get("token_url") or ""
    if not token_url and extra.get("issuer"):
        token_url = str(extra["issuer"]).rstrip("/") + "/protocol/openid-connect/token"
    if not str(token_url).startswith(("http://", "https://")):
        wrong.append('Extra has "issuer", the URL of the Keycloak realm, or "token_url"')
    timeout = 30 if extra.get("timeout") in (None, "") else extra["timeout"]
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or timeout <= 0:
        wrong.append('"timeout" in Extra is a number of seconds above 0')
    ca_file = extra.get("ca_file")
    # Made once for all clients of a hook, since it reads every certificate there is;
    # not at all when nothing is asked over TLS.
    verify: ssl.SSLContext | bool = False
    if ca_file or "https" in (url.scheme, str(token_url)[:5]):
        try:
            verify = ssl.create_default_context(cafile=str(ca_file)) if ca_file else httpx.create_ssl_context()
        except (OSError, ssl.SSLError) as err:
            wrong.append(f'"ca_file" in Extra cannot be read: {err}')
    if wrong:
        raise ValueError(f"connection {conn_id}: " + "; ".join(wrong))
    return {
        "url": url, "verify": verify, "timeout": float(timeout),
        "auth_args": (str(token_url), conn.login, conn.password),
    }
