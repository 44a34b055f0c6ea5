"""One write transaction: what a caller may ask and store in it, and how a decision becomes rows."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy.engine import Connection

from bot.audit import AuditLine
from bot.effects import (
    Decision,
    DrawPlan,
    Effect,
    MarkBad,
    OpenDebt,
    Page,
    PostToThread,
    Record,
    RereadTarget,
    RunDiagnostics,
    RunStep,
    SetTimer,
    ShowCard,
    ShowHeadline,
    StopPaging,
    TellSubscriber,
)  # fmt: skip
from bot.model import Alert, Incident, Who, canonical
from bot.policy import Hold
from bot.policy.reach import MEDIUM
from bot.policy.roster import CalendarCopy, StandIn
from bot.ports import Move
from bot.store import beats, chain, incidents, ledger, moves, outbox, roster, timers
from bot.store.database import lock_words
from bot.store.documents import clean
from bot.store.drift_views import DriftTx
from bot.store.records import Merge, Watch


class Tx:
    """An open transaction. Made by `Store.begin`; worth nothing after its block.

    Audit lines and counters are kept until the end and written last: every writer needs the same rows for them, so they
    are locked as late and as shortly as can be.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._read: dict[str, incidents.Stored | None] = {}
        self._lines: list[AuditLine] = []
        self._counts: Counter[str] = Counter()

    def finish(self, audit_key: bytes) -> None:
        """Write what was kept until the end. Called once, by the store."""
        ledger.add_counts(self._connection, self._counts)
        chain.add_lines(self._connection, self._lines, audit_key)

    # ids, duplicates, counters

    def once(self, key: str, now: datetime) -> bool:
        """Remember an event's key; False when it was handled before (then do nothing)."""
        return ledger.first_time(self._connection, key, now)

    def next_id(self, kind: str) -> str:
        """INC-1, INC-2 … for "INC"; a number is given once, and is lost with a transaction that fails."""
        return f"{kind}-{ledger.next_number(self._connection, kind)}"

    def count(self, name: str, n: int = 1) -> None:
        """Raise a counter."""
        self._counts[name] += n

    def quarantine(self, raw: str, why: str, now: datetime) -> None:
        """Keep a capped copy of a bad alert."""
        ledger.set_aside(self._connection, raw, why, now)

    # incidents and alerts

    def lock_key(self, key: str) -> None:
        """Until the end of this transaction, let nobody else open an incident of this key."""
        lock_words(self._connection, clean(f"incident {key}"))

    def incident(self, incident_id: str) -> Incident | None:
        """The incident, locked until the end of this transaction."""
        return self._keep(incident_id, incidents.load(self._connection, clean(incident_id), lock=True))

    def incident_for_key(self, key: str, now: datetime, reopen_within: timedelta) -> Incident | None:
        """The open incident of a key, else the newest that was resolved less than `reopen_within` ago; locked."""
        found = incidents.load_for_key(self._connection, key, now - reopen_within)
        return self._keep(found.incident.id, found) if found else None

    def incident_of_plan(self, plan_id: str) -> str | None:
        """Id of the incident that has the plan."""
        return incidents.incident_of_plan(self._connection, clean(plan_id))

    def merge_alert(self, alert: Alert, now: datetime) -> Merge:
        """Store what a source said about one alert, and tell what it means."""
        return incidents.merge(self._connection, alert, now)

    def merge_alerts(self, alerts: Sequence[Alert], now: datetime) -> list[Merge]:
        """The same for many alerts in their order, in few statements."""
        return incidents.merge_all(self._connection, alerts, now)

    def attach_alert(self, alert: Alert, incident_id: str) -> None:
        """Let a stored alert belong to an incident (which may be saved later in this transaction)."""
        incidents.attach(self._connection, (alert,), incident_id)

    def attach_alerts(self, alerts: Sequence[Alert], incident_id: str) -> None:
        """The same for many alerts."""
        incidents.attach(self._connection, alerts, incident_id)

    def count_alerts(self, incident_id: str) -> tuple[int, int]:
        """How many alerts of an incident fire, and how many there are."""
        return incidents.count_alerts(self._connection, incident_id)

    # what guards ask

    def locked_by(self, target_key: str, but_not: str) -> str:
        """Id of the plan that holds the target, "" for none."""
        return incidents.locked_by(self._connection, target_key, clean(but_not))

    def frozen(self, system: str, now: datetime) -> str:
        """Why changes of the system are frozen, "" when they are not."""
        return ledger.frozen(self._connection, system, now)

    def freeze(self, system: str, until: datetime, by: Who, reason: str) -> None:
        """Let no change of the system start before then."""
        ledger.set_freeze(self._connection, system, until, by, reason)

    def unfreeze(self, system: str) -> None:
        """End a freeze."""
        ledger.end_freeze(self._connection, system)

    def debts(self, who: Who) -> int:
        """Break-glass approvals of this person that nobody has reviewed."""
        return ledger.count_debts(self._connection, who)

    def review_debt(self, plan_id: str, by: Who, now: datetime) -> bool:
        """Somebody else reviewed it; False when there is none open or it is their own."""
        return ledger.review_debt(self._connection, clean(plan_id), by, now)

    # planned work, heartbeats

    def hold(self, one: Hold) -> None:
        """Hold pages about a part of a system until a time."""
        ledger.set_hold(self._connection, one)

    def end_hold(self, system: str, part: str, now: datetime) -> bool:
        """Hold no more; False when nothing was held there."""
        return ledger.end_hold(self._connection, system, part, now)

    def holds(self, now: datetime) -> tuple[Hold, ...]:
        """What holds now."""
        return ledger.holds(self._connection, now)

    def open_incidents(self, system: str) -> list[str]:
        """Ids of the open incidents of a system, in order."""
        return incidents.open_ids(self._connection, clean(system))

    def beats(self) -> dict[str, beats.Beat]:
        """Every heartbeat that is waited for, by name."""
        return beats.beats(self._connection)

    def beat_seen(self, name: str, now: datetime, due_at: datetime) -> None:
        """It beat; the next one is due then."""
        beats.seen(self._connection, name, now, due_at)

    def wait_for_beat(self, name: str, due_at: datetime) -> None:
        """Begin to wait for one that is not waited for yet."""
        beats.wait_for(self._connection, name, due_at)

    def beat_overdue(self, name: str, now: datetime) -> None:
        """It said itself that it has stopped."""
        beats.overdue(self._connection, name, now)

    def beat_missed(self, name: str, due_at: datetime) -> bool:
        """Its due time passed; False when it beat in the meantime, or when this is known."""
        return beats.missed(self._connection, name, due_at)

    def give_grace(self, until: Mapping[str, datetime]) -> None:
        """Let nothing that is not silent yet be missed before those times."""
        beats.give_grace(self._connection, until)

    def forget_beat(self, name: str) -> None:
        """Wait no more for it."""
        beats.forget(self._connection, name)

    # who is on call by word of people and calendars

    def lock_rotation(self, name: str) -> None:
        """Until the end of this transaction, let nobody else change who stands in for whom there."""
        lock_words(self._connection, clean(f"rotation {name}"))

    def add_stand_in(self, one: StandIn) -> None:
        """Keep a stand-in."""
        roster.add_stand_in(self._connection, one)

    def cancel_stand_in(self, which: str, now: datetime, by: Who) -> StandIn | None:
        """End a stand-in; None when there is none that is not over."""
        return roster.cancel_stand_in(self._connection, which, now, by)

    def stand_ins(self, since: datetime) -> tuple[StandIn, ...]:
        """Stand-ins that end after that time, in the order they were made."""
        return roster.stand_ins(self._connection, since)

    def calendar_marks(self) -> dict[str, tuple[datetime | None, datetime | None, str]]:
        """By which each calendar's copy is known to have changed."""
        return roster.marks(self._connection)

    def calendars(self) -> dict[str, CalendarCopy]:
        """The last good copy of each calendar."""
        return roster.copies(self._connection)

    def announce(self, row_id: str, target: str, text: str, now: datetime) -> None:
        """A message that belongs to no incident, sent once: the same id is the same message."""
        row = outbox.Wanted(
            id=row_id, incident_id="", lane="slack", kind="digest", payload={"text": text, "by": ""}, target=target,
            template="note",
        )  # fmt: skip
        outbox.add_once(self._connection, row, now)

    def keep_announcing(self, row_id: str, target: str, text: str, now: datetime) -> None:
        """A message that belongs to no incident and is kept up to date in its place."""
        row = outbox.Wanted(
            id=row_id, incident_id="", lane="slack", kind="digest", payload={"text": text, "by": ""}, target=target,
            template="note",
        )  # fmt: skip
        outbox.arm(self._connection, row, now)

    @property
    def drift(self) -> DriftTx:
        """What belongs to drift reports, in this transaction."""
        return DriftTx(self._connection)

    # timers, moves, the audit

    def take_timer(self, timer_id: int, now: datetime) -> bool:
        """Mark a due timer done; True for exactly one caller."""
        return timer_id in timers.take(self._connection, [timer_id], now)

    def take_timers(self, timer_ids: Sequence[int], now: datetime) -> frozenset[int]:
        """Mark due timers done; each is given to exactly one caller. Those of incidents that others hold are left."""
        return timers.take(self._connection, timer_ids, now)

    def lock_ledger(self, system: str, model: str) -> None:
        """Until the end of this transaction, let nobody else add to the ledger of this model."""
        moves.lock(self._connection, system, model)

    def add_move(self, move: Move) -> bool:
        """Note that something in production changed; False when it was noted before."""
        return moves.add(self._connection, move)

    def moves(self, system: str, model: str, limit: int = 50, what: str = "") -> tuple[Move, ...]:
        """What changed in production of a model, newest first; with `what`, one fact about it alone."""
        return moves.of_model(self._connection, system, model, limit, what)

    def saw(self, system: str, model: str, what: str, at: datetime) -> None:
        """Note that something was looked at, and is as the ledger's last line about it says."""
        moves.saw(self._connection, system, model, what, at)

    def watches(self, system: str, model: str) -> dict[str, Watch]:
        """Which facts about a model are watched, and since when."""
        return moves.watches(self._connection, system, model)

    def record(
        self,
        *,
        kind: str,
        by: Who,
        text: str,
        data: Mapping[str, str] | None = None,
        incident_id: str = "",
        now: datetime,
    ) -> None:
        """Add an audit line that belongs to no decision."""
        line = AuditLine(seq=0, at=now, kind=kind, by=by, incident_id=incident_id, text=text, data=dict(data or {}))
        self._lines.append(chain.cleaned(line))

    # decisions

    def save(self, decision: Decision, now: datetime) -> None:
        """Store a decision: the incident, and a row for each effect, in order.

        An incident that exists must have been read in this transaction. Raises Conflict when the database refuses: a
        second open incident of one key, a second plan on one target, or a change by somebody else.
        """
        incident = decision.incident
        if incident is not None:
            before = self._read.get(incident.id)
            self._read[incident.id] = incidents.save(self._connection, incident, before)
        for effect in decision.effects:
            if isinstance(effect, Record):
                incident_id = incident.id if incident else ""
                self.record(
                    kind=effect.kind, by=effect.by, text=effect.text, data=effect.data, incident_id=incident_id, now=now
                )
            elif incident is None:
                raise ValueError(f"{type(effect).__name__} belongs to an incident, and the decision has none")
            else:
                self._do(incident, effect, now)

    def _do(self, incident: Incident, effect: Effect, now: datetime) -> None:
        match effect:
            case SetTimer():
                timers.arm(self._connection, incident.id, effect)
            case StopPaging():
                timers.cancel_ladder(self._connection, incident.id, incident.epoch)
                outbox.drop_pages(self._connection, incident.id, now)
            case MarkBad():
                plan = incident.plan(effect.plan_id)
                ledger.mark_bad(self._connection, plan.subject if plan else incident.subject, effect, now)
            case OpenDebt():
                ledger.open_debt(self._connection, effect, incident.id, now)
            case ShowHeadline() | ShowCard() | PostToThread() | Page() | TellSubscriber():
                self._send(incident, effect, now)
            case RunDiagnostics() | DrawPlan() | RereadTarget() | RunStep():
                self._work(incident.id, effect, now)
            case Record():
                raise AssertionError("records are written by save")

    def _send(
        self, incident: Incident, effect: ShowHeadline | ShowCard | PostToThread | Page | TellSubscriber, now: datetime
    ) -> None:
        message = partial(outbox.Wanted, incident_id=incident.id, lane="slack")
        match effect:
            case ShowHeadline():
                row = message(id=outbox.headline_id(incident.id), kind="headline", target="root")
                outbox.arm(self._connection, row, now)
            case ShowCard():
                row_id, payload = outbox.place_id(incident.id, f"card:{effect.plan_id}"), {"plan_id": effect.plan_id}
                row = message(id=row_id, kind="approval", payload=payload, target="thread")
                outbox.arm(self._connection, row, now)
            case PostToThread():
                row_id = f"{incident.id}:post:{incidents.next_serial(self._connection, incident.id)}"
                row = message(
                    id=row_id, kind=effect.kind, payload=effect.data, target="thread", template=effect.template
                )
                outbox.add_once(self._connection, row, now)
            case Page():
                content = {
                    "number": effect.number, "reason": effect.reason, "late_by_s": effect.late_by.total_seconds(),
                    "epoch": incident.epoch, **({"asks": effect.asks} if effect.asks else {}),
                }  # fmt: skip
                # Pages of the ladder can be dropped together; one outside it goes out whatever the ladder does.
                template = outbox.LADDER_PAGE if effect.number > 0 or effect.asks else ""
                row_id = page_id(incident.id, effect)
                lane = "media" if effect.target.startswith(MEDIUM) else "slack"
                row = outbox.Wanted(
                    id=row_id, incident_id=incident.id, lane=lane, kind="page", payload=content, target=effect.target,
                    template=template,
                )  # fmt: skip
                outbox.add_once(self._connection, row, now)
            case TellSubscriber():
                outbox.drop_unsent(self._connection, incident.id, f"update:{effect.number}", now)
                row_id = f"{incident.id}:update:{effect.number}:{incidents.next_serial(self._connection, incident.id)}"
                row = message(
                    id=row_id,
                    kind="digest",
                    payload={"is_last": effect.is_last},
                    target=f"user:{effect.to.user_id}",
                    template=f"update:{effect.number}",
                )
                outbox.add_once(self._connection, row, now)

    def _work(
        self, incident_id: str, effect: RunDiagnostics | DrawPlan | RereadTarget | RunStep, now: datetime
    ) -> None:
        work = partial(outbox.Wanted, incident_id=incident_id, lane="work")
        match effect:
            case RunDiagnostics():
                row_id = f"{incident_id}:diagnose:{incidents.next_serial(self._connection, incident_id)}"
                row = work(id=row_id, kind="diagnose", payload={"names": list(effect.names)})
                outbox.add_once(self._connection, row, now)
            case DrawPlan():
                row = work(id=f"draw:{effect.plan_id}", kind="draw", payload={"plan_id": effect.plan_id})
                outbox.arm(self._connection, row, now)
            case RereadTarget():
                row = work(id=f"reread:{effect.plan_id}", kind="reread", payload={"plan_id": effect.plan_id})
                outbox.arm(self._connection, row, now)
            case RunStep():
                payload = {"plan_id": effect.plan_id, "index": effect.index}
                row = work(id=f"step:{effect.plan_id}:{effect.index}", kind="step", payload=payload)
                outbox.arm(self._connection, row, now, after=effect.after)

    def _keep(self, incident_id: str, found: incidents.Stored | None) -> Incident | None:
        self._read[incident_id] = found
        return found.incident if found else None


def page_id(incident_id: str, page: Page) -> str:
    """The id of a page: the same page has the same id, however often it is decided."""
    content = canonical([incident_id, page.unique, page.number, page.target])
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:32]
