"""Who is on call as it stands: the rotations of the files, with the stand-ins and calendars of the store.

A decision reads them in its own transaction (`inside`), so a page goes to who has the rotation at that instant,
whichever replica was told. What people look at may be a second old.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bot.model import Who
from bot.policy import Hold, Policy
from bot.policy.calendar import Span
from bot.policy.roster import CalendarCopy, StandIn, manned
from bot.policy.rota import shifts
from bot.policy.rota_words import span_words
from bot.store import Store, StoreDown, Tx

log = logging.getLogger("mlops.roster")

KEPT = timedelta(days=30)  # how far back a look at who was on call knows stand-ins
MOST = 200  # stand-ins of one rotation that are not over
_FRESH = timedelta(seconds=1)
Marks = Mapping[str, tuple[datetime | None, datetime | None, str]]


class TooMany(Exception):
    """A rotation has as many stand-ins as it can keep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A stand-in that was made or ended, and the rules before and after it. None: there was none (any more)."""

    stand_in: StandIn | None
    before: Policy
    after: Policy
    is_new: bool = True  # False: the same request was handled before


class Roster:
    """Rotations with what people and calendars say. Safe to use from many threads."""

    def __init__(self, store: Store, policy: Policy, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now
        self._lock = threading.Lock()
        self._calendars: tuple[Marks, dict[str, CalendarCopy]] = ({}, {})
        self._read_at: datetime | None = None
        self._policy = policy
        self.base = policy

    @property
    def policy(self) -> Policy:
        """The rules in force, at most a second old. Those last read while the store is down."""
        now = self._now()
        if self._read_at is None or not timedelta(0) <= now - self._read_at < _FRESH:
            try:
                found = self._held(self._read(now), self._store.holds(now))
            except StoreDown as problem:
                log.warning("rotations as last read: %s", problem, extra={"action": "roster_stale"})
                found = self._policy if self._read_at else self.base
            self._policy, self._read_at = found, now
        return self._policy

    def replace(self, policy: Policy) -> None:
        """Other rules from now on."""
        self.base, self._read_at = policy, None

    def inside(self, tx: Tx, now: datetime) -> Policy:
        """The rules in force, exactly, in a transaction."""
        policy = self.base
        if policy.rotas:
            policy = self._manned(tx.stand_ins(now - KEPT), tx.calendar_marks, tx)
        return self._held(policy, tx.holds(now))

    def changed(self) -> None:
        """Something was stored that changes the rules: read them anew."""
        self._read_at = None

    def stand_in(self, rotation: str, person: str, span: Span, by: Who, *, key: str = "") -> Change:
        """Put somebody on call for a span; those concerned are told. Raises TooMany and StoreDown."""
        now = self._now()
        with self._store.begin() as tx:
            tx.lock_rotation(rotation)  # first: what stands before this one must be what is stored before it
            before = self.inside(tx, now)
            if key and not tx.once(key, now):
                return Change(stand_in=None, before=before, after=before, is_new=False)
            if sum(one.rotation == rotation for one in tx.stand_ins(now)) >= MOST:
                raise TooMany(rotation)
            one = StandIn(
                id=tx.next_id("OVR"), rotation=rotation, person=person, start_at=span.start_at, end_at=span.end_at,
                by=by, made_at=now,
            )  # fmt: skip
            tx.add_stand_in(one)
            text = f"{one.id}: @{person} has {rotation} from {span.start_at:%Y-%m-%d %H:%M} to "
            tx.record(
                kind="override", by=by, text=f"{text}{span.end_at:%Y-%m-%d %H:%M} UTC", now=now,
                data={"rotation": rotation, "person": person, "id": one.id},
            )  # fmt: skip
            after = self.inside(tx, now)
            _tell(tx, one, before, after, now)
        self._read_at = None
        return Change(stand_in=one, before=before, after=after)

    def cancel(self, which: str, by: Who, *, key: str = "") -> Change:
        """End a stand-in; the hours of it that are past stay."""
        now = self._now()
        with self._store.begin() as tx:
            before = self.inside(tx, now)
            if key and not tx.once(key, now):
                return Change(stand_in=None, before=before, after=before, is_new=False)
            one = tx.cancel_stand_in(which, now, by)
            if one is not None:
                data = {"rotation": one.rotation, "person": one.person, "id": one.id}
                text = f"cancelled {one.id}: @{one.person} for {one.rotation}"
                tx.record(kind="override_cancelled", by=by, text=text, now=now, data=data)
            after = self.inside(tx, now)
            if one is not None:
                _tell(tx, one, before, after, now, is_over=True)
        self._read_at = None
        return Change(stand_in=one, before=before, after=after)

    def _read(self, now: datetime) -> Policy:
        if not self.base.rotas:
            return self.base
        return self._manned(self._store.stand_ins(now - KEPT), self._store.calendar_marks, None)

    @staticmethod
    def _held(policy: Policy, holds: tuple[Hold, ...]) -> Policy:
        return replace(policy, holds=holds) if holds or policy.holds else policy

    def _manned(self, stand_ins: tuple[StandIn, ...], marks: Callable[[], Marks], tx: Tx | None) -> Policy:
        has_calendar = any(layer.calendar for rota in self.base.rotas.values() for layer in rota.layers)
        copies: Mapping[str, CalendarCopy] = {}
        if has_calendar:
            copies = self._copies(marks(), tx)
        return manned(self.base, stand_ins, copies) if stand_ins or copies else self.base

    def _copies(self, seen: Marks, tx: Tx | None) -> Mapping[str, CalendarCopy]:
        """The copies, read anew only when one has changed: they are read in each decision."""
        with self._lock:
            known, copies = self._calendars
        if dict(seen) != dict(known):
            copies = tx.calendars() if tx is not None else self._store.calendars()
            with self._lock:
                self._calendars = (seen, copies)
        return copies


def _tell(tx: Tx, one: StandIn, before: Policy, after: Policy, now: datetime, *, is_over: bool = False) -> None:
    """Tell everybody whose hours changed, other than the one who changed them."""
    start = max(one.start_at, now)
    gained, lost = (before, after) if is_over else (after, before)
    held = {shift.person for shift in shifts(lost.rotas[one.rotation], start, one.end_at)} if start < one.end_at else ()
    for key in dict.fromkeys((one.person, *sorted(held))):
        person = gained.by_key(key)
        if person is None or (person.who == one.by and not is_over):
            continue
        zone = person.zone or after.rotas[one.rotation].told_in
        span = span_words(Span(start_at=start, end_at=one.end_at), zone)
        theirs = key == one.person
        does = "are not" if theirs == is_over else "are"
        by = one.by.name or one.by.user_id
        what = f"You {does} on call for {one.rotation} from {span}"
        if not theirs:
            what += "" if is_over else f"; @{one.person} is"
        word = "cancelled" if is_over else "made"
        said = f"{what}. {one.id}, {word} by @{by}." if not is_over else f"{what}. {one.id} by @{by} is cancelled."
        tx.announce(f"{one.id}:{word}:{key}", f"user:{person.who.user_id}", said, now)
