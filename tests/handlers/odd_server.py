"""Servers that behave as the world does on a bad day: refuse, stay silent, trickle, hang up, or show a login page."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Asked:
    """What reached the server."""

    url: str
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)  # method, path with query, headers


@contextmanager
def answering(status: int, body: object = b"", *, headers: dict[str, str] | None = None) -> Iterator[Asked]:
    """Answers everything with this status and body (bytes, or something that becomes JSON)."""
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            asked.requests.append((self.command, self.path, dict(self.headers)))
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = do_PATCH = _answer  # noqa: N815 - the names the base class looks for

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    asked = Asked(url=f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@contextmanager
def raw(behave: Callable[[socket.socket, threading.Event], None], seen: list[bytes] | None = None) -> Iterator[str]:
    """The address of a server that hands each connection to `behave`, which ends when the event is set.

    `seen` gets what each connection sent first.
    """
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.05)
        threads: list[threading.Thread] = []

        def accept() -> None:
            while not over.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                threads.append(threading.Thread(target=serve, args=[connection], daemon=True))
                threads[-1].start()

        def serve(connection: socket.socket) -> None:
            with connection:
                connection.settimeout(5)
                try:
                    first = connection.recv(65_536)
                    if seen is not None:
                        seen.append(first)
                    behave(connection, over)
                except OSError:
                    return  # the client has gone, as it should

        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            over.set()
            for thread in [acceptor, *threads]:
                thread.join(5)


def silence(_: socket.socket, over: threading.Event) -> None:
    """Take the request and never answer."""
    over.wait(30)


def hang_up(connection: socket.socket, _: threading.Event) -> None:
    """Take the request and reset the connection."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def trickle(connection: socket.socket, over: threading.Event) -> None:
    """Answer one byte at a time, so that no single read ever waits for long."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
    while not over.wait(0.1):
        connection.sendall(b" ")


@contextmanager
def nobody() -> Iterator[str]:
    """An address at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    yield f"http://127.0.0.1:{port}"
