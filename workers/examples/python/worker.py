"""A complete ExternalGraphSecurity worker in Python.

Policy: elements labelled Secret (and relationships that touch them) are shown to
members of SECRET_GROUP only, and nobody sees the property ssn.

An element that is shown whole goes back as the very text that came in: parsing
and printing numbers anew would change some of them.
"""

import json
import os
import signal
import sys
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import jwt

UUID = os.environ["WORKER_UUID"]
ISSUER = os.environ["ISSUER"]
AUDIENCE = os.environ["AUDIENCE"]  # forward: the gateway's ("muster"); exchange: this worker's own
HOST = os.environ.get("HOST", "")
PORT = int(os.environ.get("PORT", "8080"))
SECRET_GROUP = os.environ.get("SECRET_GROUP", "/cleared")
MAX_BODY = int(os.environ.get("MAX_BODY", str(64 << 20)))
PATH = "/api/filter"
INFO = {"class": "result", "type": "ExternalGraphSecurity", "uuid": UUID, "version": "1.0.0"}


class Refusal(Exception):
    """An answer that is no verdict: a status and the contract's error body."""

    def __init__(self, status, error, description):
        super().__init__(description)
        self.status, self.error, self.description = status, error, description


# --- who is asking -----------------------------------------------------------

_keys = None
_keys_lock = threading.Lock()


def keys():
    """The issuer's keys, found by discovery; an issuer that is down is 503."""
    global _keys
    with _keys_lock:
        if _keys is None:
            try:
                with urllib.request.urlopen(ISSUER + "/.well-known/openid-configuration", timeout=5) as answer:
                    _keys = jwt.PyJWKClient(json.load(answer)["jwks_uri"], lifespan=300, timeout=5)
            except (OSError, ValueError, KeyError) as problem:
                raise Refusal(503, "identity_unavailable", "the issuer's keys cannot be had") from problem
        return _keys


def principal(headers):
    """The verified claims of the one bearer token."""
    values = headers.get_all("Authorization") or []
    scheme, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token:
        raise Refusal(401, "invalid_token", "one Authorization header with a bearer token is needed")
    try:
        header = jwt.get_unverified_header(token)
        if header.get("alg") not in ("RS256", "ES256"):
            raise jwt.InvalidAlgorithmError("the algorithm is not taken")
        claims = jwt.decode(
            token, keys().get_signing_key_from_jwt(token).key, algorithms=["RS256", "ES256"],
            issuer=ISSUER, audience=AUDIENCE, options={"require": ["exp", "iss", "aud"]},
        )
        if header.get("typ", "").lower() != "at+jwt" and claims.get("typ") != "Bearer":
            raise jwt.InvalidTokenError("this is no access token")
        return claims
    except jwt.PyJWKClientConnectionError as problem:
        raise Refusal(503, "identity_unavailable", "the issuer's keys cannot be had") from problem
    except (jwt.PyJWTError, ValueError) as problem:
        raise Refusal(401, "invalid_token", f"the token is not good: {problem}") from problem


# --- reading without losing a digit --------------------------------------------

def _unique(pairs):
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError("a name is there twice in one object")
    return dict(pairs)


def _constant(word):
    raise ValueError(f"{word} is no JSON")


DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_constant)
SPACE = " \t\r\n"


def skip(text, at):
    while at < len(text) and text[at] in SPACE:
        at += 1
    return at


def parts(text, at):
    """Yields (name or None, value, begin, end) of the object or list at text[at]."""
    closing = {"{": "}", "[": "]"}[text[at]]
    at = skip(text, at + 1)
    while text[at] != closing:
        name = None
        if closing == "}":
            name, at = DECODER.raw_decode(text, at)
            at = skip(text, skip(text, at) + 1)  # the colon
        value, end = DECODER.raw_decode(text, at)
        yield name, value, at, end
        at = skip(text, end)
        if text[at] == ",":
            at = skip(text, at + 1)


def read(body):
    """Returns the kind and a list of (element, its own text)."""
    try:
        text = body.decode("utf-8")
        document = DECODER.decode(text)
        kind = document["parameters"]["type"]
        if kind not in ("nodes", "relationships") or not isinstance(document["data"], list):
            raise ValueError("parameters.type must be nodes or relationships, and data a list")
        data = next(begin for name, _, begin, _ in parts(text, skip(text, 0)) if name == "data")
        elements = [(value, text[begin:end]) for _, value, begin, end in parts(text, data)]
        for element, _ in elements:
            if not isinstance(element["elementId"], str) or not isinstance(element["properties"], dict):
                raise ValueError("an element needs an elementId and properties")
        return kind, elements
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        raise Refusal(400, "invalid_request", "the body is not a filter request of the contract") from problem


# --- the policy ------------------------------------------------------------------

def verdict(claims, element):
    """Returns None to hide, or the names of the properties to strip."""
    labels = element.get("labels", [element.get("startNodeLabel"), element.get("endNodeLabel")])
    if "Secret" in labels and SECRET_GROUP not in claims.get("groups", []):
        return None
    return {"ssn"} & element["properties"].keys()


def show(text, strip):
    """An element's text without some properties."""
    if not strip:
        return text
    begin, end = next((b, e) for name, _, b, e in parts(text, 0) if name == "properties")
    kept, last = [], begin + 1
    for name, _, _, value_end in parts(text, begin):
        if name not in strip:
            kept.append(text[last:value_end].lstrip(SPACE + ","))
        last = value_end
    return text[:begin] + "{" + ",".join(kept) + "}" + text[end:]


def answer(claims, kind, elements):
    shown = []
    for element, text in elements:
        strip = verdict(claims, element)
        if strip is not None:
            shown.append(show(text, strip))
    return '{"result":{"' + kind + '":[' + ",".join(shown) + "]}}"


# --- HTTP ------------------------------------------------------------------------

class Worker(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds of silence on a connection

    def do_GET(self):
        if self.path == "/":
            self.send(200, json.dumps(INFO))
        elif self.path in ("/livez", "/readyz"):
            self.send(200, '{"status":"ok"}')
        else:
            self.refuse(Refusal(404, "not_found", f"elements are posted to {PATH}"))

    def do_POST(self):
        with IN_FLIGHT:
            self.filter()

    def filter(self):
        try:
            body = self.body()
            if self.path != PATH:
                raise Refusal(404, "not_found", f"elements are posted to {PATH}")
            claims = principal(self.headers)
            if self.headers.get("Content-Encoding", "identity").lower() != "identity":
                raise Refusal(415, "unsupported_media_type", "the body must not be compressed")
            if self.headers.get_content_type() != "application/json":
                raise Refusal(415, "unsupported_media_type", "Content-Type must be application/json")
            self.send(200, answer(claims, *read(body)))
        except Refusal as refusal:
            self.refuse(refusal)
        except ConnectionError:
            self.close_connection = True  # the caller went away
        except Exception as problem:  # fail closed: an error never shows anything
            self.log_error("%s", type(problem).__name__)
            self.refuse(Refusal(500, "internal", "the worker failed; its log has the reason"))

    def body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return b"".join(self.chunks())
        length = int(self.headers.get("Content-Length", "0"))
        if length > MAX_BODY:
            raise self.too_large()
        body = self.rfile.read(length)
        if len(body) != length:
            raise ConnectionError("the body ended early")
        return body

    def chunks(self):
        total = 0
        while size := int(self.rfile.readline(1024).split(b";")[0] or b"0", 16):
            total += size
            if total > MAX_BODY:
                raise self.too_large()
            chunk = self.rfile.read(size)
            if len(chunk) != size:
                raise ConnectionError("the body ended early")
            yield chunk
            self.rfile.readline(1024)
        while self.rfile.readline(8192).strip():  # trailers
            pass

    def too_large(self):
        self.close_connection = True  # what is left of the body is not read
        return Refusal(413, "too_large", f"at most {MAX_BODY} bytes are taken")

    def refuse(self, refusal):
        self.send(refusal.status, json.dumps({"description": refusal.description, "error": refusal.error}))

    def send(self, status, text):
        body = text.encode("utf-8")
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        if status == 401:
            self.send_header("WWW-Authenticate", 'Bearer error="invalid_token"')
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code="-", size="-"):
        pass  # one line per request is too much for a worker under load


class Server(ThreadingHTTPServer):
    daemon_threads = True  # idle connections do not hold up the end
    request_queue_size = 128


class InFlight:
    """Counts requests, so that the end can wait for them."""

    def __init__(self):
        self.count, self.changed = 0, threading.Condition()

    def __enter__(self):
        with self.changed:
            self.count += 1

    def __exit__(self, *_):
        with self.changed:
            self.count -= 1
            self.changed.notify_all()

    def wait(self, seconds):
        with self.changed:
            self.changed.wait_for(lambda: self.count == 0, seconds)


IN_FLIGHT = InFlight()


def main():
    sys.setrecursionlimit(5000)
    server = Server((HOST, PORT), Worker)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
    host, port = server.server_address[:2]
    print(json.dumps({"listening": {"http": f"{host}:{port}"}}), flush=True)
    server.serve_forever(poll_interval=0.1)
    server.server_close()
    IN_FLIGHT.wait(25)


if __name__ == "__main__":
    main()
