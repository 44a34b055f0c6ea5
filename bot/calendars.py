"""Calendars (ICS) as a source of who is on call: read every few minutes, the last good copy kept in the store.

A calendar that cannot be read changes nothing: its last good copy goes on, its repeats laid out anew for the weeks to
come, and `oncall` tells how old it is and why. Whoever it does not name, and every time it does not cover, is left to
the layers below and to the catch-all.
"""

from __future__ import annotations

import contextlib
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bot.config.settings import CalendarSource
from bot.policy.roster import Entry, Reading
from bot.store import Store

log = logging.getLogger("mlops.calendars")

LIMIT_S = 25.0  # for one calendar, the start of the child included
BEHIND, AHEAD = timedelta(days=2), timedelta(days=62)  # the weeks whose repeats are laid out
_ENVIRONMENT = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
_ANSWER_BYTES = 20_000_000


class CalendarReader:
    """Starts a child for each calendar. `environment`: what of the process' environment it may see."""

    def __init__(self, environment: Mapping[str, str], *, limit_s: float = LIMIT_S) -> None:
        named = {name: environment[name] for name in _ENVIRONMENT if environment.get(name)}
        self._environment = {
            **named, "PYTHONPATH": str(Path(__file__).resolve().parents[1]), "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin",
        }  # fmt: skip
        self._limit_s = limit_s

    def read(self, source: CalendarSource, now: datetime) -> Reading:
        """The calendar as it is now."""
        where = {"url": source.url.reveal()} if source.url else {"file": str(source.file)}
        return self._call(where, source, now)

    def lay_out(self, body: str, source: CalendarSource, now: datetime) -> Reading:
        """The entries of a text that was read before."""
        return self._call({"body": body}, source, now)

    def _call(self, where: Mapping[str, str], source: CalendarSource, now: datetime) -> Reading:
        start, end = (now - BEHIND).timestamp(), (now + AHEAD).timestamp()
        asked = json.dumps({**where, "zone": source.zone, "start": start, "end": end}).encode()
        child = subprocess.Popen(
            [sys.executable, "-m", "bot.calendar_child"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, env=self._environment, cwd="/",
        )  # fmt: skip
        try:
            told, _ = child.communicate(asked, timeout=self._limit_s)
            answer = json.loads(told[:_ANSWER_BYTES])
            if answer["ok"] is True:
                return Reading(body=str(answer["body"]), entries=_entries(answer["entries"]))
            return Reading(why=str(answer["why"])[:200])
        except subprocess.TimeoutExpired:
            return Reading(why=f"reading it takes longer than {self._limit_s:g} s")
        except (OSError, ValueError, KeyError, TypeError):
            return Reading(why="it takes more than a calendar may take to read")
        finally:
            with contextlib.suppress(OSError):
                child.kill()
            child.communicate()


class Calendars:
    """Keeps the copies of all calendars fresh. One replica at a time reads one."""

    def __init__(
        self, store: Store, sources: tuple[CalendarSource, ...], reader: CalendarReader, now: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._sources = sources
        self._reader = reader
        self._now = now

    def round(self) -> int:
        """Read what is due. Returns how many were read, whatever came of it. Raises StoreDown."""
        due = [one for one in self._sources if self._store.take_calendar(one.name, self._now(), self._since(one))]
        for source in due:
            self._refresh(source)
        return len(due)

    def _since(self, source: CalendarSource) -> datetime:
        return self._now() - source.refresh

    def _refresh(self, source: CalendarSource) -> None:
        found = self._reader.read(source, self._now())
        if not found.why:
            self._store.keep_calendar(source.name, found.body, found.entries, self._now())
            log.info("read calendar %s: %d events", source.name, len(found.entries), extra={"action": "calendar_read"})
            return
        log.warning("calendar %s: %s", source.name, found.why, extra={"action": "calendar_failed"})
        body = self._store.calendar_body(source.name)
        older = self._reader.lay_out(body, source, self._now()) if body else None
        entries = older.entries if older is not None and not older.why else None
        self._store.keep_older_calendar(source.name, entries, found.why, self._now())


def _entries(found: Any) -> tuple[Entry, ...]:
    return tuple(
        Entry(
            title=str(title), emails=tuple(map(str, emails)), start_at=datetime.fromtimestamp(float(start), UTC),
            end_at=datetime.fromtimestamp(float(end), UTC),
        )
        for title, emails, start, end in found
    )  # fmt: skip
