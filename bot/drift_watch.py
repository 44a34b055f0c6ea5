"""What recurs around drift: the weekly review, and the question whether drift is looked at at all.

Both are called often and do something rarely. Whether a week's review was asked for is a row, taken in the same
transaction in which its checks are stored: a restart neither doubles nor loses it, and of several replicas one does it.
After an outage the latest week is made up for, the ones before it are not: their windows are gone.

Silence is no sign of health. A model that has had no finished report for weeks gets an alert of our own, which opens an
incident by the same rules as any other and ends by itself with the next report.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from bot import drift_checks
from bot.drift_checks import Wish
from bot.engine import Engine, Incoming
from bot.model import SYSTEM, Alert, Subject
from bot.policy import ModelProfile, System

REVIEW_DAY, REVIEW_HOUR = 0, 7  # Monday, 07:00 UTC: before people begin
SILENT_AFTER = timedelta(days=15)  # two reviews have come to nothing by then
SILENT = "DriftReportsMissing"
_SOURCE = "mlops-bot"
KeyOf = Callable[[Subject, str, Alert], str]


def latest_due(now: datetime) -> datetime:
    """The last time at which a review was due."""
    monday = now.astimezone(UTC) - timedelta(days=now.astimezone(UTC).weekday() - REVIEW_DAY)
    due = monday.replace(hour=REVIEW_HOUR, minute=0, second=0, microsecond=0)
    return due if due <= now else due - timedelta(days=7)


def review(engine: Engine) -> list[str]:
    """Ask for the checks of every review that is due; returns the ids of the reviews. Raises StoreDown."""
    due_at = latest_due(engine.now())
    return [one for system in engine.policy.systems.values() if (one := _review_of(engine, system, due_at))]


def _review_of(engine: Engine, system: System, due_at: datetime) -> str:
    models = [model for model in system.models if model.drift]
    if not models:
        return ""
    now = engine.now()
    review_id = f"drift-review:{system.name}:{due_at:%Y-%m-%d}"
    with engine.store.begin() as tx:
        if not tx.drift.turn(f"drift-review:{system.name}", due_at):
            return ""
        payload = {"review": review_id, "system": system.name}
        tx.drift.show_review(review_id, payload, f"channel:{system.channel}", now)
        for model in models:
            wish = Wish(
                system=system.name, model=model.name, by=SYSTEM, target=f"under:{review_id}", why="weekly",
                days=max(7, model.drift_days), review=review_id,
            )  # fmt: skip
            drift_checks.ask_in(tx, engine, wish)
        tx.record(
            kind="drift.review", by=SYSTEM, text=f"began the weekly drift review of {system.name}",
            data={"review": review_id, "late_s": str(round((now - due_at).total_seconds()))}, now=now,
        )  # fmt: skip
    engine.work_to_do.set()
    return review_id


class DeadMan:
    """Notices models whose drift nobody has looked at for too long."""

    def __init__(self, engine: Engine, key_of: KeyOf, *, silent_after: timedelta = SILENT_AFTER) -> None:
        self._engine = engine
        self._store = engine.store
        self._key_of = key_of
        self._silent_after = silent_after
        self._told: set[str] = set()  # so that the counters of alerts do not rise with each look

    def look(self) -> list[str]:
        """Open an incident for each model that has become silent, end it for each that speaks again: their names."""
        changed = []
        for system, model in _watched(self._engine):
            last_at = self._last_at(system, model)
            is_silent = self._engine.now() - last_at > self._silent_after
            since = last_at + self._silent_after
            name = f"{system.name}/{model.name}"
            if is_silent and f"{name}@{since.isoformat()}" not in self._told:
                self._say(system, model, since, firing=True)
                self._told.add(f"{name}@{since.isoformat()}")
                changed.append(name)
            elif not is_silent:
                changed += [name] * self._end(system, model)
        return changed

    def _last_at(self, system: System, model: ModelProfile) -> datetime:
        """When its drift was last known; else since when we could have known it."""
        now = self._engine.now()
        done = self._store.drift.latest(system.name, model.name, 1, done=True)
        if done and done[0].ended_at is not None:
            return done[0].ended_at
        with self._store.begin() as tx:
            return tx.drift.first_seen(f"drift-watch:{system.name}/{model.name}", now)

    def _end(self, system: System, model: ModelProfile) -> bool:
        """Say that an alert of ours is over, wherever one still fires."""
        found = [
            row for incident in self._store.open_incident_about(system.name, model.name)
            if SILENT in incident.alert_names for row in self._store.alerts(incident.id)
            if row.source == _SOURCE and row.name == SILENT and row.firing
        ]  # fmt: skip
        for row in found:
            self._say(system, model, row.starts_at, firing=False)
        return bool(found)

    def _say(self, system: System, model: ModelProfile, since: datetime, *, firing: bool) -> None:
        days = round(self._silent_after / timedelta(days=1))
        labels = {
            "alertname": SILENT, "system": system.name, "service": model.service, "model": model.name,
            "signal": "monitoring", "severity": "low",
        }  # fmt: skip
        summary = (
            f"No drift report of {model.name} has been finished for {days} days. Is its monitoring running? "
            f"Ask `/mlops drift {model.name}` and look at why it fails."
        )
        alert = Alert(
            source=_SOURCE, fingerprint=f"{SILENT}/{system.name}/{model.name}", firing=firing, starts_at=since,
            ends_at=None if firing else self._engine.now(), labels=labels, annotations={"summary": summary},
        )  # fmt: skip
        subject = Subject(system=system.name, service=model.service, model=model.name)
        incoming = Incoming(alert=alert, key=self._key_of(subject, "", alert), subject=subject)
        self._engine.take_in([incoming], [], 0)


def _watched(engine: Engine) -> Iterator[tuple[System, ModelProfile]]:
    for system in engine.policy.systems.values():
        for model in system.models:
            if model.drift:
                yield system, model
