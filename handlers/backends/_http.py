"""One HTTP call with a time limit that holds, and its failures in our closed set of reasons."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bot.ports import Foreign

if TYPE_CHECKING:
    import requests

CONNECT_S = 2.0
ANSWER_CAP_BYTES = 1_000_000  # what we ask for is a few hundred bytes
_WORDS_CAP = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Status and decoded body of an answer; `data` is None when the body is not JSON."""

    status: int
    data: Any

    def word(self, *names: str) -> str:
        """The first of these fields that holds text, on one line and capped; "" for none."""
        if not isinstance(self.data, dict):
            return ""
        found = next((str(self.data[name]) for name in names if isinstance(self.data.get(name), (str, int))), "")
        return plain(found)


def plain(text: str, cap: int = _WORDS_CAP) -> str:
    """A foreign system's words on one line, without control characters, capped."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text[: cap * 4]).split())
    return line if len(line) <= cap else line[: cap - 1] + "…"


def base_url(settings: Mapping[str, str], what: str) -> str:
    """The setting `url`, no slash at its end. ValueError when it is missing, no http(s) address, or holds a secret."""
    url = settings.get("url", "").strip().rstrip("/")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{what} needs `url`, an address like http://host:port; got “{url[:80]}”.")
    if parts.username or parts.password:
        raise ValueError(f"{what}: `url` holds a user or password. Give them by their own settings, as a reference.")
    return url


def where(url: str) -> str:
    """Host and port, the part of an address that is fit for a message."""
    return urlsplit(url).netloc.rpartition("@")[2]


def call(
    session: requests.Session,
    method: str,
    url: str,
    *,
    who: str,
    limit_s: float,
    query: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
    body: str | None = None,
) -> Answer:
    """Make one call that ends within `limit_s`, whatever the other side does. Redirects are not followed.

    `body` is JSON text.

    Raises Foreign("unreachable", "timeout" or "invalid"); `happened` is False when the request surely was not taken.
    """
    import requests

    deadline = time.monotonic() + limit_s
    place = f"{who} at {where(url)}"
    data = body.encode() if body is not None else None
    headers = {"Content-Type": "application/json"} if body is not None else None
    try:
        with session.request(
            method,
            url,
            params=query,
            data=data,
            headers=headers,
            timeout=(min(CONNECT_S, limit_s), limit_s),
            allow_redirects=False,
            stream=True,
        ) as answer:
            return Answer(status=answer.status_code, data=decoded(read_body(answer, deadline, place)))
    except requests.ConnectTimeout:
        raise Foreign("unreachable", f"{place} cannot be reached.", happened=False) from None
    except requests.Timeout:
        raise Foreign("timeout", f"{place} did not answer within {limit_s:g} s.") from None
    except requests.ConnectionError as error:
        if is_refused(error):
            raise Foreign(
                "unreachable", f"{place} does not answer: the connection was refused.", happened=False
            ) from None
        if "timed out" in str(error).lower():
            raise Foreign("timeout", f"{place} did not answer within {limit_s:g} s.") from None
        raise Foreign("unreachable", f"{place} broke the connection before it answered.") from None
    except requests.RequestException as error:
        raise Foreign("invalid", f"{place} sent no proper HTTP answer ({type(error).__name__}).") from None


def is_refused(error: BaseException | None) -> bool:
    """True when no connection came about at all, so that nothing can have been taken in."""
    seen = 0
    while error is not None and seen < 12:
        words = f"{type(error).__name__} {error}"
        if any(sign in words for sign in ("NewConnectionError", "ConnectionRefusedError", "NameResolutionError")):
            return True
        error, seen = error.__cause__ or error.__context__, seen + 1
    return False


def read_body(answer: requests.Response, deadline: float, place: str, *, cap_bytes: int = ANSWER_CAP_BYTES) -> bytes:
    """The body of an answer that was asked for as a stream; see `read_raw`."""
    return read_raw(answer.raw, deadline, place, cap_bytes=cap_bytes)


def read_raw(raw: Any, deadline: float, place: str, *, cap_bytes: int = ANSWER_CAP_BYTES) -> bytes:
    """The body of a urllib3 answer, read as it comes so that a trickle ends at the deadline.

    `deadline` is in the time of time.monotonic. Raises Foreign when the body is too long, too slow, or breaks off.
    """
    from urllib3.exceptions import HTTPError, ReadTimeoutError

    pieces: list[bytes] = []
    size = 0
    try:
        while piece := raw.read1(65_536, decode_content=True):
            pieces.append(piece)
            size += len(piece)
            if size > cap_bytes:
                raise Foreign("invalid", f"{place} sent more than {cap_bytes} bytes.")
            if time.monotonic() > deadline:
                raise Foreign("timeout", f"{place} began to answer, but did not end in time.")
    except ReadTimeoutError:
        raise Foreign("timeout", f"{place} began to answer, but did not end in time.") from None
    except (HTTPError, OSError):
        raise Foreign("unreachable", f"{place} broke the connection in the middle of its answer.") from None
    return b"".join(pieces)


def decoded(body: bytes) -> Any:
    """What the JSON says, None when it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None
