"""What the bot works on, as frozen records.

The aggregate is the `Incident`: it owns its escalation and its plans, and it is the only thing `decide` changes. Alerts
are kept as rows of their own, because one incident may have ten thousand of them; the incident carries their counts
only.

Times are aware UTC datetimes named `*_at` or `*_until`; spans are timedeltas. Nothing here does I/O or knows a clock.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum


class Severity(StrEnum):
    """How bad an incident is. P0 is the worst."""

    P0 = "P0"  # nothing served, data lost, breach
    P1 = "P1"  # degraded for users
    P2 = "P2"  # minor, or only monitoring is unhappy
    P3 = "P3"  # can wait for a working day

    @property
    def rank(self) -> int:
        """0 for P0 … 3 for P3."""
        return int(self.value[1])

    def is_worse_than(self, other: Severity) -> bool:
        """True when this severity is more urgent than `other`."""
        return self.rank < other.rank


class IncidentState(StrEnum):
    """Where an incident stands."""

    OPEN = "open"  # nobody owns it; the ladder climbs
    ACKNOWLEDGED = "acknowledged"  # somebody owns it; the ladder rests
    SNOOZED = "snoozed"  # nobody is paged until a given time
    RESOLVED = "resolved"  # over


class IncidentKind(StrEnum):
    """Why an incident exists."""

    ALERT = "alert"  # alerts opened it
    DECLARED = "declared"  # a person opened it
    CHANGE = "change"  # a guarded action without an incident opened it; nobody is paged


class EscalationState(StrEnum):
    """What the ladder of people is doing."""

    ARMED = "armed"  # a next level has a due time
    RESTING = "resting"  # acknowledged or snoozed
    REPEATING = "repeating"  # every level was paged; the last one is repeated until somebody answers
    STOPPED = "stopped"  # the incident is over, or it never pages (a change)


class PlanState(StrEnum):
    """The life of one guarded action."""

    DRAWING = "drawing"  # facts are being gathered for the preview
    PENDING = "pending"  # the preview is shown; approvals are awaited
    APPROVED = "approved"  # enough approvals; the target is being read again
    RUNNING = "running"  # steps change the target
    WATCHING = "watching"  # every change is made; the serving side is being asked for proof
    VERIFIED = "verified"  # proven from the serving side
    FAILED = "failed"  # a step failed; what was and was not changed is known
    UNKNOWN = "unknown"  # it cannot be told what happened; a person must look
    REFUSED = "refused"  # a guard said no, or there was nothing to do
    REJECTED = "rejected"  # an approver said no
    EXPIRED = "expired"  # nobody approved in time
    VOID = "void"  # the target moved after the preview; a new plan replaces it


class StepState(StrEnum):
    """One step of a plan."""

    PENDING = "pending"  # not begun
    STARTED = "started"  # the intent is stored; the foreign call may or may not have happened
    DONE = "done"  # observed
    FAILED = "failed"  # observed not to have worked
    UNKNOWN = "unknown"  # could not be observed


class Outcome(StrEnum):
    """What an attempt at a step, or a look at its effect, tells."""

    DONE = "done"
    NOT_YET = "not_yet"
    FAILED = "failed"
    UNKNOWN = "unknown"


class TimerKind(StrEnum):
    """What falls due."""

    ESCALATE = "escalate"  # page the given level
    REPEAT = "repeat"  # page the last level again
    UNSNOOZE = "unsnooze"  # the snooze is over
    QUIET = "quiet"  # every alert has been silent long enough
    EXPIRE = "expire"  # a plan's approval time is over
    NUDGE = "nudge"  # whoever has it has shown no progress: ask whether they are still on it
    LAPSE = "lapse"  # they did not answer: it is nobody's again
    INFORM = "inform"  # a level that hears of it until it is resolved, although somebody has it
    UPDATE = "update"  # a subscriber is told how things stand; `number` says which one


OPEN_STATES = frozenset({IncidentState.OPEN, IncidentState.ACKNOWLEDGED, IncidentState.SNOOZED})
ENDED_PLAN_STATES = frozenset({
    PlanState.VERIFIED, PlanState.FAILED, PlanState.UNKNOWN, PlanState.REFUSED,
    PlanState.REJECTED, PlanState.EXPIRED, PlanState.VOID,
})  # fmt: skip
LOCKING_PLAN_STATES = frozenset({PlanState.APPROVED, PlanState.RUNNING, PlanState.WATCHING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """A person's identity. Names are for reading only; equality is by team and user id."""

    team_id: str
    user_id: str
    name: str = field(default="", compare=False)


SYSTEM = Who(team_id="-", user_id="mlops-bot", name="mlops-bot")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What an incident or a plan is about. Empty string: not known."""

    system: str
    service: str = ""
    model: str = ""

    @property
    def label(self) -> str:
        """The shortest name a person would use."""
        return self.model or self.service or self.system


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert as its source sent it, after checking; text is hostile and uncapped here."""

    source: str  # "alertmanager"
    fingerprint: str  # the source's own, or computed from the labels
    firing: bool
    starts_at: datetime
    ends_at: datetime | None
    labels: dict[str, str]
    annotations: dict[str, str]
    url: str = ""

    @property
    def name(self) -> str:
        """The rule's name, or the fingerprint where there is none."""
        return self.labels.get("alertname", "") or self.fingerprint

    @property
    def value(self) -> float | None:
        """The measured value, from the annotation `value`; None when it is absent or not a number."""
        try:
            number = float(self.annotations.get("value", ""))
        except ValueError:
            return None
        return None if math.isnan(number) else number


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One rung of the ladder."""

    number: int  # 1 is the first
    after: timedelta  # since the incident's base time
    targets: tuple[str, ...]  # "oncall", "role:manager", "person:bob", "rota:main", "group:S1", "channel:#ml-oncall"
    until_resolved: bool = False  # an acknowledgement does not stop it: it is told, for information, until the end


@dataclass(frozen=True, slots=True, kw_only=True)
class Paged:
    """A level that was paged."""

    number: int
    at: datetime
    whom: tuple[str, ...]  # user or channel ids
    late_by: timedelta
    why: str = ""  # why nobody could be reached, when `whom` is the catch-all
    ladder: str = ""  # epoch and severity of the ladder that was climbed: "1.P0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalation:
    """The ladder of one incident: a snapshot of the policy, and how far it has climbed."""

    state: EscalationState
    levels: tuple[Level, ...]
    base_at: datetime  # due times are absolute: base_at + level.after
    next_number: int  # the level that is due next; len(levels) + 1 when all were paged
    next_due_at: datetime | None
    repeat_every: timedelta
    repeats: int = 0
    paged: tuple[Paged, ...] = ()
    at_work: bool = False  # pages only while the team is at work
    ack_timeout: timedelta | None = None  # without progress for so long, the owner is asked; None: never
    answer_within: timedelta = timedelta(minutes=10)  # after being asked; then the ladder climbs again
    held_until: datetime | None = None  # what is due before then waits: planned work, or nobody is at work
    held_why: str = ""
    planned_at: datetime | None = None  # when the next level would be due if nothing held it
    informed: int = 0  # the highest level that was told for information since somebody has it


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """Somebody who wants to hear how things stand, at a cadence."""

    number: int  # distinguishes subscriptions of an incident; never used again
    by: Who
    every: timedelta
    next_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a plan. `proves` steps only look; the others change something."""

    name: str
    sentence: str  # what exactly will be done, for people
    proves: bool = False
    state: StepState = StepState.PENDING
    attempts: int = 0
    detail: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """One approval."""

    by: Who
    at: datetime
    break_glass: str = ""  # the reason, when the rule against approving one's own request was set aside


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What an action proposes after reading the target: everything an approver must see and the digest must bind."""

    title: str  # "Roll back intent_classifier from v3 to v2"
    from_: str
    to: str
    because: str  # why this target, and how we know
    steps: tuple[Step, ...]
    inverse: dict[str, str]  # arguments of the action that undoes this one; empty: there is no way back
    inverse_text: str
    fingerprint: dict[str, str]  # facts about the target that must be unchanged when the plan starts
    args: dict[str, str]  # what the steps need, resolved
    tier: str  # approval tier: light, change, dangerous
    blast: str = ""  # who is affected
    warnings: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()  # what differs, field by field, as the target itself previewed it
    watch_for: timedelta = timedelta(minutes=10)  # how long proof may take
    marks_bad: str = ""  # the version that is left, when the action says that it is bad
    checks: tuple[tuple[str, str, str, str], ...] = ()  # what was judged beforehand: verdict, what, value, bound
    refusal: str = ""  # why nobody is asked: the preview is shown, and the plan ends with it


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One guarded action, bound to a target."""

    id: str
    action: str
    subject: Subject
    request: dict[str, str]  # the validated arguments as asked for
    requested_by: Who
    requested_at: datetime
    reason: str = ""
    state: PlanState = PlanState.DRAWING
    draft: Draft | None = None
    digest: str = ""
    needed: int = 1
    expires_at: datetime | None = None
    votes: tuple[Vote, ...] = ()
    steps: tuple[Step, ...] = ()
    approved_at: datetime | None = None
    started_at: datetime | None = None
    watch_until: datetime | None = None
    ended_at: datetime | None = None
    ended_why: str = ""  # one sentence
    ended_by: Who | None = None
    replaces: str = ""  # id of the void plan this one replaces

    @property
    def target_key(self) -> str:
        """What is locked while the plan runs."""
        return target_key(self.subject)

    @property
    def is_ended(self) -> bool:
        """True when nothing more will happen to the plan."""
        return self.state in ENDED_PLAN_STATES

    def next_step(self) -> int | None:
        """Index of the first step that is not done, None when all are."""
        for index, step in enumerate(self.steps):
            if step.state is not StepState.DONE:
                return index
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The answer to one diagnostic."""

    diagnostic: str
    sentence: str  # what a tired person needs to know
    rows: tuple[tuple[str, str, str], ...] = ()  # (what, value, bound or remark)
    severity: Severity | None = None  # evidence may raise the incident to this
    severity_why: str = ""
    available: bool = True  # False: the backend could not answer; `sentence` says why
    took_s: float = 0.0
    picture: str = ""  # path of a PNG the chart worker drew, "" for none
    picture_alt: str = ""
    at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """What people work on: one or more alerts about one subject."""

    id: str  # "INC-7"
    key: str  # alerts with the same key join the same open incident
    kind: IncidentKind
    state: IncidentState
    epoch: int  # grows with every ack, unack, snooze, resolve, reopen; older timers, pages and buttons are stale
    severity: Severity
    severity_why: str
    subject: Subject
    title: str
    symptom: str
    channel: str
    opened_at: datetime
    started_at: datetime  # the earliest alert's start
    escalation: Escalation
    firing: int = 0
    total: int = 0
    truncated: int = 0
    alert_names: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()  # (label, http(s) address)
    runbook: str = ""
    owner: Who | None = None
    acked_at: datetime | None = None
    acked_by: Who | None = None
    first_acked_at: datetime | None = None
    snoozed_until: datetime | None = None
    quiet_until: datetime | None = None  # every alert is silent; resolves then unless one fires again
    resolved_at: datetime | None = None
    resolved_by: Who | None = None
    reopened: int = 0
    plans: tuple[Plan, ...] = ()
    issue: str = ""  # kind of issue, as the profile names it; chooses the ladder; "" for none
    progress_at: datetime | None = None  # when somebody last did something about it, since it is owned
    asked_at: datetime | None = None  # when the owner was asked whether they are still on it; None: no answer is due
    subscriptions: tuple[Subscription, ...] = ()
    subscribed: int = 0  # how many subscriptions there ever were

    @property
    def is_open(self) -> bool:
        """True until the incident is resolved."""
        return self.state in OPEN_STATES

    def plan(self, plan_id: str) -> Plan | None:
        """The plan with that id, None when it is not of this incident."""
        return next((plan for plan in self.plans if plan.id == plan_id), None)


def target_key(subject: Subject) -> str:
    """What plans about this subject lock: two plans with the same key never run at once."""
    return f"{subject.system}/{subject.label}"


def canonical(value: object) -> str:
    """JSON with sorted keys and no spaces, the form that digests and chains are computed over."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)


def digest_of(action: str, subject: Subject, draft: Draft) -> str:
    """SHA-256 (hex) over everything an approver was shown; the approval is worth nothing for any other content."""
    shown = {
        "action": action,
        "subject": [subject.system, subject.service, subject.model],
        "title": draft.title,
        "from": draft.from_,
        "to": draft.to,
        "because": draft.because,
        "blast": draft.blast,
        "inverse_text": draft.inverse_text,
        "marks_bad": draft.marks_bad,
        "args": draft.args,
        "inverse": draft.inverse,
        "fingerprint": draft.fingerprint,
        "tier": draft.tier,
        "steps": [[step.name, step.sentence, step.proves] for step in draft.steps],
        "warnings": list(draft.warnings),
        "changes": list(draft.changes),
        "checks": [list(row) for row in draft.checks],
    }
    # Half a surrogate pair in a stranger's text has no UTF-8 form; spelt out, it still has a digest of its own.
    return hashlib.sha256(canonical(shown).encode(errors="backslashreplace")).hexdigest()
