"""JSON over HTTP with the standard library, for the few calls the playground makes itself."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any


class CallFailed(Exception):
    """A call got no answer or a refusal.

    `status` is the HTTP status, or None when nothing answered; `body` is what came with it.
    """

    def __init__(self, method: str, url: str, status: int | None, reason: str, body: str = "") -> None:
        self.status = status
        self.body = body
        super().__init__(f"{method} {url}: {reason}" + (f": {body[:300]}" if body else ""))


def call(
    method: str,
    url: str,
    *,
    body: Any = None,
    query: dict[str, str] | None = None,
    bearer: str | None = None,
    timeout_seconds: float = 10.0,
) -> Any:
    """Send `body` as JSON and return the decoded answer (text when it is not JSON).

    Raises CallFailed on anything but 2xx.
    """
    text = call_text(method, url, body=body, query=query, bearer=bearer, timeout_seconds=timeout_seconds)
    try:
        return json.loads(text)
    except ValueError:
        return text


def call_text(
    method: str,
    url: str,
    *,
    body: Any = None,
    query: dict[str, str] | None = None,
    bearer: str | None = None,
    timeout_seconds: float = 10.0,
) -> str:
    """The same as `call`, without decoding the answer."""
    if query:
        url = f"{url}?{urllib.parse.urlencode(query)}"
    headers = {"Content-Type": "application/json"}
    if bearer:
        headers["Authorization"] = f"Bearer {bearer}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers=headers)
    try:
        # No proxy: everything here is on loopback, whatever the environment says.
        with _OPENER.open(request, timeout=timeout_seconds) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            raise CallFailed(
                method, url, error.code, f"answered {error.code}", error.read().decode("utf-8", "replace")
            ) from None
    except (OSError, urllib.error.URLError) as error:
        raise CallFailed(method, url, None, f"no answer ({getattr(error, 'reason', error)})") from None


def answers(url: str) -> bool:
    """Whether a GET of `url` is answered with 2xx right now."""
    try:
        call_text("GET", url, timeout_seconds=2.0)
    except CallFailed:
        return False
    return True


def await_answer(url: str, *, timeout_seconds: float) -> None:
    """Return once `answers(url)`. Raises TimeoutError at the deadline."""
    deadline = time.monotonic() + timeout_seconds
    while not answers(url):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{url} did not answer within {timeout_seconds:g} s")
        time.sleep(0.1)


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
