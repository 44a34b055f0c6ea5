"""A Web API client whose calls are sent in time or not at all.

Who may send a page is decided under a lease. A machine that stands still between that decision and the request (paused,
swapped out, waiting for a connection) would send what somebody else has sent meanwhile. So the last look at the time
is here, after the connection is made and before the first and the last byte of the request are written.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection, HTTPSConnection
from typing import Any
from urllib.request import HTTPHandler, HTTPSHandler, Request, build_opener

from slack_sdk import WebClient

from bot.clock import steady_s


class TooLate(OSError):
    """The request was not sent as a whole: its time was over. Surely nothing happened."""


class PunctualClient(WebClient):
    """The SDK's client; within `until`, a thread's calls keep to their time.

    The SDK has no place of its own for this, so the step that it sends by is replaced. A test holds that it is used.
    """

    _mine = threading.local()  # one thread's latest time for its next call

    @contextmanager
    def until(self, latest_s: float) -> Iterator[None]:
        """Within the block, no request of this thread is sent after that moment of the steady clock."""
        self._mine.latest_s = latest_s
        try:
            yield
        finally:
            self._mine.latest_s = None

    def _perform_urllib_http_request_internal(self, url: str, req: Request) -> dict[str, Any]:
        latest_s: float | None = getattr(self._mine, "latest_s", None)
        if latest_s is None or not url.lower().startswith(("http://", "https://")):
            return super()._perform_urllib_http_request_internal(url, req)
        check = partial(_in_time, latest_s)
        opener = build_opener(_Http(check), _Https(check, context=self.ssl))
        with opener.open(req, timeout=self.timeout) as answer:
            body = answer.read().decode(answer.headers.get_content_charset() or "utf-8")
            return {"status": answer.status, "headers": answer.headers, "body": body}


def _in_time(latest_s: float) -> None:
    if steady_s() > latest_s:
        raise TooLate("the time in which this could be sent is over")


class _Connection(HTTPConnection):
    check: Callable[[], None]

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        self.check()
        super().send(data)


class _SecureConnection(HTTPSConnection):
    check: Callable[[], None]

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        self.check()
        super().send(data)


class _Http(HTTPHandler):
    def __init__(self, check: Callable[[], None]) -> None:
        super().__init__()
        self._check = check

    def http_open(self, req: Request) -> Any:
        def connection(host: str, **named: Any) -> HTTPConnection:
            made = _Connection(host, **named)
            made.check = self._check
            return made

        return self.do_open(connection, req)


class _Https(HTTPSHandler):
    def __init__(self, check: Callable[[], None], context: Any) -> None:
        super().__init__(context=context)
        self._check, self._given = check, context

    def https_open(self, req: Request) -> Any:
        def connection(host: str, **named: Any) -> HTTPSConnection:
            made = _SecureConnection(host, context=self._given, **named)
            made.check = self._check
            return made

        return self.do_open(connection, req)
