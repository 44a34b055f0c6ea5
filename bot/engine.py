"""From an event to its committed decision, and back again when timers fall due.

One event is one transaction: its dedupe key, the incident, timers, audit lines and outgoing rows are stored together
or not at all. Whatever leaves the process does so after the commit (see `bot.deliver` and `bot.work`). The engine
knows neither Slack nor any vendor.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bot import events as ev
from bot.decide import decide
from bot.effects import Decision, PostToThread, Record, Why
from bot.events import Event
from bot.model import SYSTEM, Alert, Incident, IncidentKind, Severity, Subject, Who
from bot.policy import Hold, Policy
from bot.policy.approval import refuse
from bot.roster import Roster
from bot.runbook import Runbook, choose
from bot.store import Conflict, Store, StoreDown, Timer, Tx

log = logging.getLogger("mlops.engine")

DUPLICATE = Why(code="duplicate", text="This was handled before.")
MakeEvent = Callable[["Facts", Incident], Event]
_TOGETHER = 50  # timers that fire in one transaction; an acknowledgement waits for it at most
_TRIES = 4  # of a transaction that somebody else's made impossible; each try reads anew


class Facts:
    """What an event needs to know from the same transaction: locks, freezes, debts and fresh ids."""

    def __init__(self, tx: Tx, now: datetime) -> None:
        self._tx = tx
        self.now = now

    def locked_by(self, target_key: str, but_not: str) -> str:
        """Id of another plan that holds the target."""
        return self._tx.locked_by(target_key, but_not)

    def frozen(self, system: str) -> str:
        """Why changes to the system are frozen, "" when they are not."""
        return self._tx.frozen(system, self.now)

    def debts(self, who: Who) -> int:
        """Break-glass uses of this person that nobody has reviewed."""
        return self._tx.debts(who)

    def new_plan_id(self) -> str:
        """An id no plan has had."""
        return self._tx.next_id("PLN")


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """What became of one notification: a verdict per alert, in order."""

    verdicts: tuple[dict[str, str], ...]
    incidents: tuple[str, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """An alert with what it is about, as a source's parser and the profiles say."""

    alert: Alert
    key: str
    subject: Subject
    links: tuple[tuple[str, str], ...] = ()


class Engine:
    """Applies events. Safe to use from many threads and, on PostgreSQL, from many processes."""

    def __init__(
        self, store: Store, policy: Policy, now: Callable[[], datetime], runbooks: Sequence[Runbook] = ()
    ) -> None:
        self.store = store
        self.roster = Roster(store, policy, now)
        self.now = now
        self.runbooks = tuple(runbooks)
        self.work_to_do = threading.Event()  # set after each commit, so that nothing waits for the next tick

    @property
    def policy(self) -> Policy:
        """The rules in force, with who is on call as people and calendars say."""
        return self.roster.policy

    @policy.setter
    def policy(self, policy: Policy) -> None:
        self.roster.replace(policy)

    def apply(self, incident_id: str, event: Event | MakeEvent, *, key: str = "") -> Decision:
        """Decide one event of an incident and store the decision.

        `key`: events with a key are handled once for ever, however often they are delivered. Raises StoreDown when the
        database cannot take it; nothing is stored then.
        """
        for _ in range(_TRIES):
            try:
                decision = self._apply(incident_id, event, key)
            except Conflict as problem:  # somebody else was first: what they did is read now, and judged
                log.info("%s: %s", incident_id, problem, extra={"action": "conflict", "incident": incident_id})
                continue
            self._tell(decision)
            return decision
        return self._lost_the_lock(incident_id, event)

    def open_incident(self, declared: Callable[[str], ev.Declared], key: str, *, once: str = "") -> Decision:
        """Open an incident by hand, or find the open one with the same key. `once`: as `key` of `apply`."""
        now = self.now()
        with self.store.begin() as tx:
            if once and not tx.once(once, now):
                return Decision(incident=None, effects=(), why=DUPLICATE)
            tx.lock_key(key)
            found = tx.incident_for_key(key, now, timedelta(0))
            event = declared(found.id if found else tx.next_id("INC"))
            decision = decide(found, event, now, self.roster.inside(tx, now))
            tx.save(decision, now)
        self._tell(decision)
        return decision

    def open_change(self, declared: Callable[[str], ev.Declared], asked: MakeEvent, *, key: str = "") -> Decision:
        """Open a thread for a guarded action that belongs to no incident, and ask for it, in one transaction.

        Two transactions would leave a thread without a plan open for ever when the process ends between them.
        """
        now = self.now()
        with self.store.begin() as tx:
            if key and not tx.once(key, now):
                return Decision(incident=None, effects=(), why=DUPLICATE)
            opened = decide(None, declared(tx.next_id("INC")), now, self.roster.inside(tx, now))
            tx.save(opened, now)
            if opened.incident is None:
                return opened
            decision = decide(opened.incident, asked(Facts(tx, now), opened.incident), now, self.roster.inside(tx, now))
            tx.save(decision, now)
        self._tell(decision)
        return decision

    def take_in(self, incoming: Sequence[Incoming], quarantined: Sequence[tuple[str, str]], truncated: int) -> Intake:
        """Store a notification's alerts and what follows from them, in one transaction.

        Returns only after the commit. A repeat of what is known changes nothing but a counter. Raises StoreDown.
        """
        for _ in range(_TRIES):
            try:
                taken = self._take_in(incoming, quarantined, truncated)
            except Conflict as problem:  # another replica stored the same alert in the same instant
                log.info("a notification is stored again: %s", problem, extra={"action": "conflict"})
                continue
            self.work_to_do.set()
            return taken
        raise StoreDown("Other writers were faster several times in a row; nothing of this was stored. Send it again.")

    def _take_in(self, incoming: Sequence[Incoming], quarantined: Sequence[tuple[str, str]], truncated: int) -> Intake:
        now = self.now()
        incidents: list[str] = []
        with self.store.begin() as tx:
            for key in sorted({item.key for item in incoming}):
                tx.lock_key(key)
            verdicts = tx.merge_alerts([item.alert for item in incoming], now)
            for raw, why in quarantined:
                tx.quarantine(raw, why, now)
            fresh: dict[str, list[tuple[Incoming, str]]] = {}
            for item, verdict in zip(incoming, verdicts, strict=True):
                if verdict.verdict in {"new", "changed"}:
                    fresh.setdefault(item.key, []).append((item, verdict.incident_id or ""))
            for changed in fresh.values():
                incidents += self._alerts_changed(tx, changed, truncated, now)
            counts = _counts([verdict.verdict for verdict in verdicts], len(quarantined))
            for name, number in counts.items():
                tx.count(name, number)
        told = tuple(
            {"fingerprint": item.alert.fingerprint, "verdict": verdict.verdict}
            for item, verdict in zip(incoming, verdicts, strict=True)
        )
        bad = tuple({"fingerprint": "", "verdict": "quarantined", "why": why} for _, why in quarantined)
        return Intake(verdicts=(*told, *bad), incidents=tuple(dict.fromkeys(incidents)), counts=counts)

    def freeze(self, system: str, length: timedelta, by: Who, reason: str) -> None:
        """Let no guarded action of the system start for a while."""
        now = self.now()
        with self.store.begin() as tx:
            tx.freeze(system, now + length, by, reason)
            tx.record(kind="frozen", by=by, text=f"froze {system}: {reason}", data={"system": system}, now=now)

    def unfreeze(self, system: str, by: Who) -> None:
        """End a freeze."""
        now = self.now()
        with self.store.begin() as tx:
            tx.unfreeze(system)
            tx.record(kind="unfrozen", by=by, text=f"ended the freeze of {system}", data={"system": system}, now=now)

    def hold(self, one: Hold, by: Who, *, key: str = "") -> int | None:
        """Hold pages about a part of a system back; how many open incidents wait now. None: this was done before.

        Every open incident is given its new due time in the same transaction.
        """
        now = self.now()
        with self.store.begin() as tx:
            if key and not tx.once(key, now):
                return None
            tx.hold(one)
            about = one.part or one.system
            text = f"holds pages about {about} until {one.until:%Y-%m-%d %H:%M} UTC: {one.why}"
            tx.record(kind="silenced", by=by, text=text, data={"system": one.system, "part": one.part}, now=now)
            self._announce(tx, one.system, f"@{by.name or by.user_id} {text}", now)
            touched = self._holds_changed(tx, one.system, now)
        self.roster.changed()
        self.work_to_do.set()
        return touched

    def release(self, system: str, part: str, by: Who, *, key: str = "") -> int | None:
        """Hold no more; how many open incidents go on. None: nothing was held there (any more)."""
        now = self.now()
        with self.store.begin() as tx:
            if (key and not tx.once(key, now)) or not tx.end_hold(system, part, now):
                return None
            text = f"pages about {part or system} are no longer held"
            tx.record(kind="unsilenced", by=by, text=text, data={"system": system, "part": part}, now=now)
            self._announce(tx, system, f"{text}, says @{by.name or by.user_id}", now)
            touched = self._holds_changed(tx, system, now)
        self.roster.changed()
        self.work_to_do.set()
        return touched

    def _announce(self, tx: Tx, system: str, text: str, now: datetime) -> None:
        """Say in the system's channel that pages are held or go out again: who waits for one must know."""
        channel = self.roster.base.system(system).channel
        if channel:
            tx.announce(key_of("hold", system, text, now.isoformat()), f"channel:{channel}", text, now)

    def _holds_changed(self, tx: Tx, system: str, now: datetime) -> int:
        policy = self.roster.inside(tx, now)
        touched = 0
        for incident_id in tx.open_incidents(system):
            decision = decide(tx.incident(incident_id), ev.HoldsChanged(), now, policy)
            tx.save(decision, now)
            touched += bool(decision.effects)
        return touched

    def review(self, plan_id: str, by: Who) -> bool:
        """Somebody else looked at a break-glass approval. False: there is none that this person could review."""
        now = self.now()
        with self.store.begin() as tx:
            done = tx.review_debt(plan_id, by, now)
            if done:
                tx.record(
                    kind="reviewed",
                    by=by,
                    text=f"reviewed the break-glass of {plan_id}",
                    data={"plan": plan_id},
                    now=now,
                )
        return done

    def note_refusal(self, why: Why, by: Who, incident_id: str, action: str) -> None:
        """Write down a refusal that belongs to no decision of an incident."""
        now = self.now()
        with self.store.begin() as tx:
            tx.record(
                kind=f"refused.{why.code}",
                by=by,
                text=why.text,
                data={"action": action},
                incident_id=incident_id,
                now=now,
            )

    def note_broken_template(self, incident_id: str, template: str, why: str) -> None:
        """Write down, once for each reason, that a message went out in plain text because its template failed."""
        now = self.now()
        with self.store.begin() as tx:
            if tx.once(f"template:{template}:{why}", now):
                tx.record(
                    kind="template_failed", by=SYSTEM, text=f"{template} was sent in plain text: {why}", data={},
                    incident_id=incident_id, now=now,
                )  # fmt: skip

    def note_medium_failed(self, incident_id: str, key: str, text: str) -> None:
        """Say once in an incident's thread that a person's medium did not work, and write it down."""
        now = self.now()
        with self.store.begin() as tx:
            incident = tx.incident(incident_id)
            if incident is None or not tx.once(key, now):
                return
            record = Record(kind="medium_failed", by=SYSTEM, text=text)
            post = PostToThread(template="note", data={"text": text, "by": ""})
            tx.save(Decision(incident=incident, effects=(record, post), why=Why(code="medium_failed", text=text)), now)
        self.work_to_do.set()

    def note_undelivered(self, incident_id: str, kind: str, target: str, why: str) -> None:
        """Write down that a message was given up, so that somebody who reads the timeline sees it."""
        now = self.now()
        with self.store.begin() as tx:
            tx.record(
                kind="undelivered", by=SYSTEM, text=f"a {kind} to {target} was given up: Slack says {why}",
                data={"code": why}, incident_id=incident_id, now=now,
            )  # fmt: skip

    def forget(self, keep: timedelta) -> None:
        """Drop event keys, ended timers and settled messages that are older than `keep`."""
        self.store.prune(self.now(), keep)

    def tick(self) -> int:
        """Handle every timer that is due. Returns how many fired."""
        fired = 0
        while due := self.store.due_timers(self.now()):
            done = sum(self._fire_some(due[start : start + _TOGETHER]) for start in range(0, len(due), _TOGETHER))
            fired += done
            if not done:  # another replica has them all, or the store refuses: the next tick comes
                break
        return fired

    def audit(self) -> list[str]:
        """Prove that every open incident has a live next step; repair those that have none. Returns what was wrong."""
        found = self.store.overdue(self.now(), timedelta(seconds=60))
        for incident_id in found.unattended:
            try:
                self.apply(incident_id, ev.Unattended())
            except StoreDown:
                raise
            except Exception:  # one that cannot be repaired must not keep the others from it
                log.exception("%s could not be repaired", incident_id, extra={"action": "repair_failed"})
        problems = [f"{incident_id} had no live next step; repaired" for incident_id in found.unattended]
        if found.timers:
            problems.append(f"{found.timers} timers are more than a minute late")
        if found.outbox:
            problems.append(f"{found.outbox} messages wait for more than a minute")
        for problem in problems:
            log.error("auditor: %s", problem, extra={"action": "auditor_found"})
        return problems

    def _apply(self, incident_id: str, event: Event | MakeEvent, key: str) -> Decision:
        now = self.now()
        with self.store.begin() as tx:
            if key and not tx.once(key, now):
                return Decision(incident=None, effects=(), why=DUPLICATE)
            incident = tx.incident(incident_id)
            made = event(Facts(tx, now), incident) if callable(event) and incident is not None else event
            if callable(made):
                return decide(
                    None, ev.Noted(by=Who(team_id="-", user_id="-"), text=""), now, self.roster.inside(tx, now)
                )
            decision = decide(incident, made, now, self.roster.inside(tx, now))
            tx.save(decision, now)
        return decision

    def _fire_some(self, timers: Sequence[Timer]) -> int:
        """Fire timers together; when that fails, each alone, so that whatever is wrong with one costs only that one."""
        if len(timers) > 1:
            try:
                return self._fire(timers)
            except StoreDown:
                raise
            except Exception as problem:  # noqa: BLE001 - whichever it was is told when it fails alone
                log.info("timers fire one by one: %s", problem, extra={"action": "fire_alone"})
        return sum(self._fire_alone(timer) for timer in timers)

    def _fire_alone(self, timer: Timer) -> int:
        try:
            return self._fire([timer])
        except StoreDown:
            raise
        except Exception:
            log.exception(
                "timer %s of %s failed; it is tried again", timer.kind, timer.incident_id,
                extra={"action": "timer_failed", "incident": timer.incident_id},
            )  # fmt: skip
            return 0

    def _fire(self, timers: Sequence[Timer]) -> int:
        """Fire timers in one transaction: one wait for the disk, whatever their number. Returns how many were ours."""
        now = self.now()
        decisions: list[Decision] = []
        with self.store.begin() as tx:
            taken = tx.take_timers([timer.id for timer in timers], now)
            policy = self.roster.inside(tx, now) if taken else self.policy
            for timer in timers:
                if timer.id in taken:
                    event = ev.TimerDue(kind=timer.kind, epoch=timer.epoch, number=timer.number, plan_id=timer.plan_id)
                    decisions.append(decide(tx.incident(timer.incident_id), event, now, policy))
                    tx.save(decisions[-1], now)
        for decision in decisions:
            self._tell(decision)
        return len(decisions)

    def _alerts_changed(self, tx: Tx, fresh: list[tuple[Incoming, str]], truncated: int, now: datetime) -> list[str]:
        """Let each incident of the fresh alerts decide. An ended alert stays with the incident it opened."""
        told: list[str] = []
        firing = [item for item, _ in fresh if item.alert.firing]
        if firing:
            told.append(self._fired(tx, firing, truncated, now))
        for owner in dict.fromkeys(owner for item, owner in fresh if not item.alert.firing and owner):
            ended = [item for item, its in fresh if not item.alert.firing and its == owner]
            self._save_change(tx, tx.incident(owner), owner, ended, truncated, now)
            told.append(owner)
        return told

    def _fired(self, tx: Tx, firing: list[Incoming], truncated: int, now: datetime) -> str:
        first = firing[0]
        found = tx.incident_for_key(first.key, now, self.roster.base.system(first.subject.system).reopen_within)
        incident_id = found.id if found else tx.next_id("INC")
        tx.attach_alerts([item.alert for item in firing], incident_id)
        self._save_change(tx, found, incident_id, firing, truncated, now)
        return incident_id

    def _save_change(
        self, tx: Tx, found: Incident | None, incident_id: str, items: list[Incoming], truncated: int, now: datetime
    ) -> None:
        first = items[0]
        firing, total = tx.count_alerts(incident_id)
        event = ev.AlertsChanged(
            incident_id=incident_id, key=first.key, subject=first.subject, changed=tuple(item.alert for item in items),
            firing=firing, total=total, truncated=truncated, links=first.links,
            runbook=self._runbook(first.subject.system, first.alert),
        )  # fmt: skip
        tx.save(decide(found, event, now, self.roster.inside(tx, now)), now)

    def _runbook(self, system: str, alert: Alert) -> str:
        chosen = choose(self.runbooks, system, alert.labels)
        return chosen.name if chosen else ""

    def _lost_the_lock(self, incident_id: str, event: Event | MakeEvent) -> Decision:
        """Two plans wanted one target in the same instant, or two incidents one key; the database let one have it."""
        why = refuse("already_open", "A newer incident about the same thing is open; go on there.")
        if not isinstance(event, ev.Reopened):
            why = refuse(
                "locked", "Another plan took the same target a moment ago. Wait for its result, then ask again."
            )
        return Decision(incident=self.store.incident(incident_id), effects=(), why=why)

    def _tell(self, decision: Decision) -> None:
        if decision.effects:
            self.work_to_do.set()
        incident = decision.incident.id if decision.incident else "-"
        log.info("%s: %s", incident, decision.why.code, extra={"action": decision.why.code, "incident": incident})


def change_of(incident_id: str, subject: Subject, by: Who, title: str) -> ev.Declared:
    """The event that opens a thread for a guarded action that belongs to no incident."""
    return ev.Declared(
        incident_id=incident_id, key=f"change:{subject.system}/{subject.label}:{incident_id}", subject=subject, by=by,
        title=title, severity=Severity.P3, kind=IncidentKind.CHANGE,
    )  # fmt: skip


def key_of(*parts: str) -> str:
    """A short stable key for an event that may be delivered more than once."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:40]


def _counts(verdicts: list[str], quarantined: int) -> dict[str, int]:
    """Received = new + duplicate + quarantined, always."""
    new = sum(verdict in {"new", "changed"} for verdict in verdicts)
    return {
        "alerts_received": len(verdicts) + quarantined,
        "alerts_new": new,
        "alerts_duplicate": len(verdicts) - new,
        "alerts_quarantined": quarantined,
    }
