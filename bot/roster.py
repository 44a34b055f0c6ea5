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
from itertools import pairwise

from bot.model import Who
from bot.policy import Hold, Policy
from bot.policy.calendar import Span
from bot.policy.roster import StandIn, manned
from bot.policy.rota import Rota, shifts
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
        self._filled: tuple[Marks, Policy | None] = ({}, None)  # the base with calendars, and by which it is known
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
        self.base, self._read_at, self._filled = policy, None, ({}, None)

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
        filled = self._with_calendars(marks(), tx) if has_calendar else self.base
        return manned(filled, stand_ins, {}) if stand_ins else filled

    def _with_calendars(self, seen: Marks, tx: Tx | None) -> Policy:
        """The base with its calendars laid out: done anew only when a copy has changed, because decisions are many."""
        with self._lock:
            known, filled = self._filled
        if filled is None or dict(seen) != dict(known):
            copies = tx.calendars() if tx is not None else self._store.calendars()
            filled = manned(self.base, (), copies)
            with self._lock:
                self._filled = (seen, filled)
        return filled


def _tell(tx: Tx, one: StandIn, before: Policy, after: Policy, now: datetime, *, is_over: bool = False) -> None:
    """Tell everybody whose hours changed, other than the one who changed them."""
    rota = after.rotas.get(one.rotation)
    was = before.rotas.get(one.rotation)
    if rota is None or was is None:  # it was taken out of the files meanwhile
        return
    word = "cancelled" if is_over else "made"
    for key, gained, span, other in handed_over(was, rota, max(one.start_at, now), one.end_at):
        person = after.by_key(key)
        if person is None or (person.who == one.by and not is_over):
            continue
        does = "are" if gained else "are not"
        text = f"You {does} on call for {rota.name} from {span_words(span, person.zone or rota.told_in)}"
        text += f"; @{other} is" if other and not gained else ""
        by = one.by.name or one.by.user_id
        said = f"{text}. {one.id} by @{by} is cancelled." if is_over else f"{text}. {one.id}, made by @{by}."
        row_id = f"{one.id}:{word}:{key}:{int(span.start_at.timestamp())}"
        tx.announce(row_id, f"user:{person.who.user_id}", said, now)


def handed_over(before: Rota, after: Rota, start: datetime, end: datetime) -> list[tuple[str, bool, Span, str]]:
    """Whose hours differ: the person, whether they gained them, which, and who has them instead ("" for nobody)."""
    if start >= end:
        return []
    rows = [shifts(rota, start, end) for rota in (before, after)]
    edges = sorted({start, end, *(at for row in rows for shift in row for at in (shift.start_at, shift.end_at))})
    found: list[tuple[str, bool, Span, str]] = []
    for begin, finish in pairwise(edges):
        old, new = (next((one.person for one in row if one.start_at <= begin < one.end_at), "") for row in rows)
        for key, gained, other in ((new, True, old), (old, False, new)):
            if old == new or not key:
                continue
            last = next((one for one in reversed(found) if one[0] == key and one[1] == gained), None)
            span = Span(start_at=begin, end_at=finish)
            if last is not None and last[2].end_at == begin and last[3] == other:
                found.remove(last)
                span = Span(start_at=last[2].start_at, end_at=finish)
            found.append((key, gained, span, other))
    return found
