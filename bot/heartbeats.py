"""Dead-man's switch: heartbeats that are waited for, and what their silence means.

Monitoring that is down sends no alert, so nobody would ever hear of it. An alert that always fires (Alertmanager's
Watchdog), a job or another bot is heard of again and again; when it is not for too long, an incident opens, by the same
way as any other: the silence is an alert of a source of our own. When it is heard again the alert ends, and the
incident resolves after its quiet period.

The due time is a row, so a restart changes nothing. The bot cannot hear anything while it is away itself, and must not
take that for silence: after more than AWAY without a sign of life of any replica each heartbeat has its full time
again, from then on. What fell silent while the bot was away is told that much later, and never not at all.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from bot.engine import Engine, Incoming
from bot.model import Alert, Subject
from bot.policy.heartbeat import Heartbeat
from bot.store.beats import Beat

log = logging.getLogger("mlops.heartbeats")

SOURCE = "heartbeat"
ALERT = "MonitoringIsSilent"
AWAY = timedelta(seconds=60)
_ITSELF = "@bot"
_SIGN = timedelta(seconds=10)  # how often our own sign of life is written


class Heartbeats:
    """Hears beats and notices silence. Safe to use from several threads and, on PostgreSQL, from several processes."""

    def __init__(self, engine: Engine, expected: Sequence[Heartbeat]) -> None:
        self._engine = engine
        self._expected = {one.name: one for one in expected}

    def of(self, alert: Alert) -> Heartbeat | None:
        """The heartbeat that an alert belongs to."""
        return next((one for one in self._expected.values() if one.is_beat(alert)), None)

    def heard(self, name: str) -> bool:
        """One that was sent to us by name; False when none of that name is waited for. Raises StoreDown."""
        one = self._expected.get(name)
        if one is not None:
            self._beat(one, counted=False)
        return one is not None

    def take(self, alert: Alert, one: Heartbeat) -> None:
        """An alert that is a beat. One that has ended says that monitoring itself is silent. Raises StoreDown."""
        if alert.firing:
            self._beat(one, counted=True)
            return
        now = self._engine.now()
        with self._engine.store.begin() as tx:
            tx.count("alerts_received")
            tx.count("alerts_heartbeat")
            known = tx.beats().get(one.name)
            if known is not None and known.silent_since is None:
                tx.beat_overdue(one.name, now)

    def look(self) -> list[str]:
        """Notice what is silent. Returns the names that fell silent now. Raises StoreDown."""
        now = self._engine.now()
        known = self._engine.store.beats()
        if not self._expected and not known:
            return []
        itself = known.get(_ITSELF)
        is_fresh = itself is not None and itself.seen_at is not None and now - itself.seen_at < _SIGN
        if not is_fresh or not self._expected.keys() <= known.keys():
            known = self._sign_of_life(now)
        for gone in sorted(known.keys() - self._expected.keys() - {_ITSELF}):
            self._forget(known[gone])
        due = [beat for beat in known.values() if beat.due_at <= now and beat.silent_since is None]
        return [beat.name for beat in due if beat.name in self._expected and self._missed(beat)]

    def _sign_of_life(self, now: datetime) -> dict[str, Beat]:
        """Note that we are here, and give everything its time again when we were not."""
        with self._engine.store.begin() as tx:
            known = tx.beats()
            for name, one in self._expected.items():
                if name not in known:
                    tx.wait_for_beat(name, now + one.silent_after)
            itself = known.get(_ITSELF)
            was_away = itself is not None and itself.seen_at is not None and now - itself.seen_at > AWAY
            if was_away:
                tx.give_grace({name: now + one.silent_after for name, one in self._expected.items()})
            tx.beat_seen(_ITSELF, now, now + AWAY)
            known = tx.beats()
        if was_away:
            log.info("was away; heartbeats are waited for anew", extra={"action": "heartbeats_grace"})
        return known

    def _beat(self, one: Heartbeat, *, counted: bool) -> None:
        now = self._engine.now()
        with self._engine.store.begin() as tx:
            if counted:
                tx.count("alerts_received")
                tx.count("alerts_heartbeat")
            known = tx.beats().get(one.name)
            if known is None or known.silent_since is None:
                tx.beat_seen(one.name, now, now + one.silent_after)
                return
        # The end is stored before the silence is forgotten: if we die in between, the next beat ends it again.
        self._tell(one, known.silent_since, firing=False)
        with self._engine.store.begin() as tx:
            tx.beat_seen(one.name, now, now + one.silent_after)
        log.info("%s is heard again", one.name, extra={"action": "heartbeat_back"})

    def _missed(self, beat: Beat) -> bool:
        """Its silence is stored as an alert first, then as known: each may be repeated by whoever comes next."""
        one = self._expected[beat.name]
        self._tell(one, beat.due_at, firing=True, seen_at=beat.seen_at)
        with self._engine.store.begin() as tx:
            is_first = tx.beat_missed(one.name, beat.due_at)
            known = tx.beats().get(one.name)
        if known is not None and known.silent_since != beat.due_at:  # it beat in between
            self._tell(one, beat.due_at, firing=False)
            return False
        if is_first:
            log.error("%s is silent", one.name, extra={"action": "heartbeat_silent"})
        return is_first

    def _forget(self, beat: Beat) -> None:
        """Nobody waits for it any more: its incident, if there is one, has no cause left."""
        if beat.silent_since is not None:
            one = Heartbeat(name=beat.name, silent_after=timedelta(0))
            self._tell(one, beat.silent_since, firing=False)
        with self._engine.store.begin() as tx:
            tx.forget_beat(beat.name)

    def _tell(self, one: Heartbeat, since: datetime, *, firing: bool, seen_at: datetime | None = None) -> None:
        heard = f"last heard at {seen_at:%Y-%m-%d %H:%M} UTC" if seen_at else "never heard yet"
        system = one.system or self._engine.policy.default.name
        alert = Alert(
            source=SOURCE, fingerprint=one.name, firing=firing, starts_at=since,
            ends_at=None if firing else self._engine.now(),
            labels={
                "alertname": ALERT, "severity": one.severity.lower(), "system": system, "heartbeat": one.name,
                "signal": SOURCE,
            },
            annotations={
                "summary": f"Monitoring is silent: {one.name}, {heard}",
                "description": "Until it is heard again no alert may come from there, and silence says nothing.",
            },
        )  # fmt: skip
        subject = Subject(system=system)
        self._engine.take_in([Incoming(alert=alert, key=f"heartbeat/{one.name}", subject=subject)], (), 0)
