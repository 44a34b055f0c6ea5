"""A receiver for Alertmanager's notifications: keeps what arrives, answers what the test wants."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import TracebackType
from typing import Any, Self

from playground.system.processes import wait_until


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One POST as it arrived."""

    path: str
    authorization: str | None
    body: dict[str, Any]

    def alerts(self, name: str, status: str) -> list[dict[str, Any]]:
        return [
            alert
            for alert in self.body["alerts"]
            if alert["labels"].get("alertname") == name and alert["status"] == status
        ]


class AlertSink:
    """A context manager. `status` is what every POST is answered with; it may be changed at any time."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.received: list[Notification] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = Thread(target=self._server.serve_forever, name="alert-sink")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/webhooks/alertmanager"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def wait_for(self, name: str, status: str, *, timeout_seconds: float = 30.0) -> Notification:
        """The first notification that holds alert `name` with `status`. Raises TimedOut."""

        def look() -> Notification | None:
            return next((seen for seen in list(self.received) if seen.alerts(name, status)), None)

        found = wait_until(look, what=f"{name} arrives as {status}", timeout_seconds=timeout_seconds)
        assert found is not None
        return found

    def _handler(self) -> Callable[..., BaseHTTPRequestHandler]:
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                seen = Notification(
                    path=self.path, authorization=self.headers.get("Authorization"), body=json.loads(raw)
                )
                sink.received.append(seen)
                self.send_response(sink.status)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing; the test does."""

        return Handler
