"""A proxy between a client and the API server that does, on the wire, what networks and busy servers do.

    with FaultProxy(cluster) as proxy:
        bot = cluster.service_account_kubeconfig("mlops-bot", "mlops-bot", server=proxy.url)
        proxy.on("PATCH", r"/deployments/web$", Cut(after_write=True))
        …
        assert [seen.status for seen in proxy.seen if seen.verb == "PATCH"] == [200]

Whatever no fault matches goes through unchanged, watches included. A fault serves once unless told otherwise; faults
are tried in the order they were added, and one that is used up makes room for the next. Not a mock: every answer that
is not a fault comes from the real server.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import urllib3

from playground.kube import Cluster

# Hop by hop, or counted anew by us.
_NOT_PASSED_ON = {"connection", "transfer-encoding", "content-length", "keep-alive", "host", "date", "server"}
# The words of the API server for the statuses that tests inject.
REASONS = {401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 409: "Conflict", 410: "Expired", 422: "Invalid",
           429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable", 504: "Timeout"}  # fmt: skip
LONGEST_HANG_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Answer with this status in the server's place; the request does not reach it."""

    status: int
    reason: str = ""  # default: what the API server says with this status
    message: str = "injected by the test"
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hang:
    """Keep the client waiting, then drop the connection. With `after_write` the server has done its work by then."""

    seconds: float = LONGEST_HANG_S
    after_write: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Drop the connection: before the server sees the request, or after it has answered and nobody heard it."""

    after_write: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """Let it through late."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Meanwhile:
    """Do something else first, such as another person's change, then let it through."""

    do: Callable[[], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class GoneWatch:
    """Begin a watch and end it with the 410 that a server sends inside the stream when it forgot the version."""


Fault = Answer | Hang | Cut | Delay | Meanwhile | GoneWatch


@dataclass(slots=True, kw_only=True)
class _Rule:
    verb: str
    path: re.Pattern[str]
    fault: Fault
    times: int  # how often yet; -1: always
    skip: int  # how many matching requests go through before


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One request as it passed."""

    verb: str
    path: str  # with its query
    status: int  # the real server's; 0 when it was never asked
    fault: Fault | None
    body: bytes = field(repr=False)

    def json(self) -> Any:
        return json.loads(self.body)


class FaultProxy:
    """A context manager. By default it shows the API server's own certificate, so the same CA file serves."""

    def __init__(self, cluster: Cluster, *, is_tls: bool = True) -> None:
        self.seen: list[Seen] = []
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        handler = type("Handler", (_Handler,), {"proxy": self, "upstream": _upstream(cluster), "target": cluster.url})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False  # a watch lasts for minutes
        if is_tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*cluster.certificate)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.url = f"{'https' if is_tls else 'http'}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="fault-proxy", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def on(self, verb: str, path: str, fault: Fault, *, times: int = 1, skip: int = 0) -> None:
        """Let requests with this HTTP verb ("" for any) whose path and query hold the pattern meet the fault.

        `times=-1` for every one; `skip` lets that many pass first.
        """
        with self._lock:
            self._rules.append(_Rule(verb=verb, path=re.compile(path), fault=fault, times=times, skip=skip))

    def heal(self) -> None:
        """No more faults. Those who hang are let go."""
        with self._lock:
            self._rules.clear()
        self._ended.set()
        self._ended = threading.Event()

    def count(self, verb: str, path: str = "") -> int:
        """How many requests with this verb reached the real server at a path that holds the pattern."""
        return sum(
            seen.verb == verb and seen.status != 0 and re.search(path, seen.path) is not None for seen in self.seen
        )

    def _meets(self, verb: str, path: str) -> Fault | None:
        with self._lock:
            for rule in self._rules:
                if rule.verb not in ("", verb) or rule.times == 0 or not rule.path.search(path):
                    continue
                if rule.skip:
                    rule.skip -= 1
                    return None
                rule.times -= 1 if rule.times > 0 else 0
                return rule.fault
        return None

    def _note(self, seen: Seen) -> None:
        with self._lock:
            self.seen.append(seen)

    def _hold(self, seconds: float) -> None:
        self._ended.wait(seconds)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: FaultProxy
    upstream: urllib3.PoolManager
    target: str

    def log_message(self, format: str, *args: object) -> None:
        """The proxy remembers in `seen`."""

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, ssl.SSLError):
            self.close_connection = True  # the client went away: its right

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.proxy._meets(self.command, self.path)
        if isinstance(fault, (Answer, GoneWatch)) or (isinstance(fault, (Hang, Cut)) and not fault.after_write):
            self._note(0, fault, body)
            self._instead(fault)
            return
        if isinstance(fault, Delay):
            self.proxy._hold(fault.seconds)
        elif isinstance(fault, Meanwhile):
            fault.do()
        answer = self._ask(body)
        if answer is None:
            self._drop()
            return
        self._note(answer.status, fault, body)
        if isinstance(fault, (Hang, Cut)):
            answer.read()  # the server has answered whole: what it was told to write is written
            self._instead(fault)
            return
        self._copy(answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass  # noqa: N815 — http.server's names

    def _note(self, status: int, fault: Fault | None, body: bytes) -> None:
        self.proxy._note(Seen(verb=self.command, path=self.path, status=status, fault=fault, body=body))

    def _instead(self, fault: Fault) -> None:
        if isinstance(fault, Answer):
            self._status(fault)
        elif isinstance(fault, GoneWatch):
            event = {"type": "ERROR", "object": _status_object(Answer(status=410, message="too old resource version"))}
            self._send(200, json.dumps(event).encode() + b"\n", {})
        else:
            if isinstance(fault, Hang):
                self.proxy._hold(min(fault.seconds, LONGEST_HANG_S))
            self._drop()

    def _ask(self, body: bytes) -> urllib3.BaseHTTPResponse | None:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _NOT_PASSED_ON}
        try:
            return self.upstream.request(
                self.command,
                self.target + self.path,
                body=body or None,
                headers=headers,
                preload_content=False,
                decode_content=False,
            )
        except urllib3.exceptions.HTTPError:
            return None  # the API server is away; so are we

    def _copy(self, answer: urllib3.BaseHTTPResponse) -> None:
        headers = {name: value for name, value in answer.headers.items() if name.lower() not in _NOT_PASSED_ON}
        if "watch=" not in self.path and "follow=" not in self.path:
            self._send(answer.status, answer.read(), headers)
            return
        self.send_response(answer.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        try:
            for chunk in answer.stream(65536):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            self.wfile.write(b"0\r\n\r\n")
        except (urllib3.exceptions.HTTPError, OSError):
            self._drop()
        finally:
            answer.close()

    def _status(self, fault: Answer) -> None:
        headers = {"Content-Type": "application/json"}
        if fault.retry_after_s is not None:
            headers["Retry-After"] = str(fault.retry_after_s)
        self._send(fault.status, json.dumps(_status_object(fault)).encode(), headers)

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _drop(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):  # gone already
            self.connection.shutdown(socket.SHUT_RDWR)


def _status_object(answer: Answer) -> dict[str, Any]:
    reason = answer.reason or REASONS[answer.status]
    details = {} if answer.retry_after_s is None else {"details": {"retryAfterSeconds": answer.retry_after_s}}
    return {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": answer.message,
        "reason": reason, "code": answer.status, **details,
    }  # fmt: skip


def _upstream(cluster: Cluster) -> urllib3.PoolManager:
    ca_file: Path | None = cluster.api.ca_file
    return urllib3.PoolManager(maxsize=16, retries=False, ca_certs=str(ca_file) if ca_file else None)
