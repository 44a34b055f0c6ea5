"""The child that fetches and reads one calendar, so that hostile content costs a child and nothing else.

`python -m bot.calendar_child` reads one JSON object from its standard input: one of `url`, `file` and `body`; `zone`,
in which days and times without a zone are meant; `start` and `end` (seconds since 1970), between which repeats are laid
out. It answers one line: {ok: true, body, entries: [[title, [e-mails], start, end], …]} or {ok: false, why}. The parent
bounds its time, it bounds its own memory and processor time, and `why` holds words of ours only, never the address.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit
from zoneinfo import ZoneInfo

MEMORY_BYTES = 700_000_000
CPU_S = 15
BODY_BYTES = 2_000_000
ENTRIES = 2_000  # in the weeks that are laid out; a rotation that changes more often than hourly is not one
_FETCH_S, _READ_S = 12.0, 5.0
_REDIRECTS = 3
_TITLE, _EMAILS = 200, 20
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class Unreadable(Exception):
    """It cannot be had, or it is no calendar; the text is for people."""


def read(given: Mapping[str, Any]) -> tuple[str, list[list[Any]]]:
    """The text of the calendar and its entries, in order of their beginning. Raises Unreadable."""
    if given.get("url"):
        body = _fetched(str(given["url"]))
    elif given.get("file"):
        body = _from_file(Path(str(given["file"])))
    else:
        body = str(given.get("body") or "").encode()
    return body.decode("utf-8", "replace"), _entries(body, given)


def _fetched(url: str) -> bytes:
    import requests

    deadline = time.monotonic() + _FETCH_S
    for _ in range(_REDIRECTS + 1):
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
            raise Unreadable("only https addresses are fetched")
        try:
            with requests.get(url, timeout=_READ_S, stream=True, allow_redirects=False) as answer:
                if answer.is_redirect:
                    url = urljoin(url, answer.headers["location"])
                    continue
                if answer.status_code != 200:
                    raise Unreadable(f"the server answers {answer.status_code}")
                return _limited(answer.iter_content(65_536), deadline)
        except requests.RequestException as problem:
            raise Unreadable(f"the server cannot be reached ({type(problem).__name__})") from None
    raise Unreadable("the server sends us on more than three times")


def _limited(pieces: Any, deadline: float) -> bytes:
    got = bytearray()
    for piece in pieces:
        got += piece
        if len(got) > BODY_BYTES:
            raise Unreadable("it is larger than 2 MB")
        if time.monotonic() > deadline:
            raise Unreadable(f"it takes longer than {_FETCH_S:g} s to fetch")
    return bytes(got)


def _from_file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            body = file.read(BODY_BYTES + 1)
    except OSError as problem:
        raise Unreadable(f"the file cannot be read ({problem.strerror})") from None
    if len(body) > BODY_BYTES:
        raise Unreadable("it is larger than 2 MB")
    return body


def _entries(body: bytes, given: Mapping[str, Any]) -> list[list[Any]]:
    import icalendar
    import recurring_ical_events

    # Bytes that begin like a calendar: the parser takes some texts for the path of a file.
    if not body.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"BEGIN:VCALENDAR"):
        raise Unreadable("it is not a calendar (iCalendar begins with BEGIN:VCALENDAR)")
    zone = ZoneInfo(str(given["zone"]))
    start, end = (datetime.fromtimestamp(float(given[key]), UTC) for key in ("start", "end"))
    try:
        calendar = icalendar.Calendar.from_ical(body)
        if not any(True for _ in calendar.walk("VEVENT")):
            raise Unreadable("it has no event at all")
        events = recurring_ical_events.of(calendar).between(start, end)
    except Unreadable:
        raise
    except MemoryError:
        raise Unreadable("it takes too much memory to read") from None
    except Exception as problem:  # noqa: BLE001 - what a stranger's text does to a parser
        raise Unreadable(f"it cannot be understood ({type(problem).__name__})") from None
    found = [entry for event in events if (entry := _entry(event, zone)) is not None]
    if len(found) > ENTRIES:
        raise Unreadable(f"it has more than {ENTRIES} events in the weeks that matter")
    return sorted(found, key=lambda entry: (entry[2], entry[3], entry[0]))


def _entry(event: Any, zone: ZoneInfo) -> list[Any] | None:
    """One event; None for one that was called off, or lasts no time."""
    if str(event.get("STATUS", "")).upper() == "CANCELLED" or event.get("DTSTART") is None:
        return None
    start = event["DTSTART"].dt
    if event.get("DTEND") is not None:
        end = event["DTEND"].dt
    elif event.get("DURATION") is not None:
        end = start + event["DURATION"].dt
    else:
        end = start + timedelta(days=1) if not isinstance(start, datetime) else start
    begin_at, end_at = _instant(start, zone), _instant(end, zone)
    if end_at <= begin_at:
        return None
    people = [event.get("ORGANIZER"), *_listed(event.get("ATTENDEE"))]
    emails = [str(one).lower().removeprefix("mailto:")[:_TITLE] for one in people if one]
    return [str(event.get("SUMMARY", ""))[:_TITLE], emails[:_EMAILS], begin_at, end_at]


def _instant(at: date | datetime, zone: ZoneInfo) -> float:
    if not isinstance(at, datetime):
        at = datetime(at.year, at.month, at.day, tzinfo=zone)
    return (at if at.tzinfo else at.replace(tzinfo=zone)).timestamp()


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def main() -> int:
    """Be the child."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    warnings.simplefilter("ignore")
    try:
        body, entries = read(json.loads(sys.stdin.read()))
        answer: dict[str, Any] = {"ok": True, "body": body, "entries": entries}
    except Unreadable as problem:
        answer = {"ok": False, "why": str(problem)}
    except Exception as problem:  # noqa: BLE001 - whatever a stranger's text does to a parser is an answer too
        answer = {"ok": False, "why": f"reading it failed ({type(problem).__name__})"}
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
