"""Several incidents for one person: the first page goes at once, those that follow soon after come as one message.

Ten phones' worth of pages within a minute are ten times the same outage. So a page for somebody who was paged about
another incident a moment ago waits until the window after that page is over, and whatever waits by then goes together.
No page waits for longer than one window; a P0, and whatever is no level of a ladder, waits for nothing. What was sent
is remembered by this process only: after a restart, or beside another replica, a page may go alone that could have
waited, and none waits that could have gone.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import datetime, timedelta

from bot.model import Incident, IncidentState, Severity
from bot.store import Job, Store
from bot.store.bundles import BUNDLE
from bot.store.outbox import LADDER_PAGE

WAITING = "waits for others to the same person"
PARTED = "goes by itself: together it was refused"
_KEPT = 1_000  # people and channels; more than a team has


class Bundles:
    """Decides which page waits. Safe to use from several threads."""

    def __init__(self, store: Store, window: timedelta | None) -> None:
        self._store = store
        self._window = window
        self._lock = threading.Lock()
        self._paged: dict[str, tuple[datetime, str]] = {}  # target → when it was last paged, and about what

    def hold(self, job: Job, incident: Incident, now: datetime) -> datetime | None:
        """Until when the page waits; None when it may go now."""
        if self._window is None or not _may_wait(job) or incident.severity is Severity.P0 or job.error == WAITING:
            return None
        with self._lock:
            at, about = self._paged.get(job.target, (None, ""))
        if at is None or about == incident.id or not at <= now < at + self._window:
            return None
        return at + self._window

    def gather(self, job: Job, now: datetime) -> bool:
        """Whether the page became part of a message that stands for several; it is settled then."""
        if self._window is None or not _may_wait(job) or job.error != WAITING:
            return False
        return self._store.bundle(job, now, WAITING)

    def sent(self, job: Job, now: datetime) -> None:
        """A page is out: the window begins."""
        if self._window is None or job.kind != "page" or not job.target.startswith("user:"):
            return
        with self._lock:
            if len(self._paged) >= _KEPT:
                self._paged.clear()
            self._paged[job.target] = (now, job.incident_id)


def _may_wait(job: Job) -> bool:
    is_level = job.kind == "page" and job.template == LADDER_PAGE and not job.payload.get("asks")
    return is_level and job.target.startswith("user:") and not job.unsure and job.error != PARTED


def is_bundle(job: Job) -> bool:
    """Whether the message stands for several pages."""
    return job.kind == "page" and job.template == BUNDLE


def pages_of(job: Job) -> list[Mapping[str, object]]:
    """The pages it stands for."""
    found = job.payload.get("pages")
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def is_wanted(page: Mapping[str, object], incident: Incident | None) -> bool:
    """Whether a page is still to be sent: its incident is as it was decided for, and nobody has taken it."""
    if incident is None or not incident.is_open or incident.epoch != page.get("epoch"):
        return False
    return incident.state is not IncidentState.ACKNOWLEDGED
