"""What happened outside the core, in the past tense. `decide` turns an incident and one of these into a Decision.

Every event carries what the core may not find out by itself: ids that were drawn at the edge, counts from the store,
and the facts of the same transaction (locks, freezes, debts).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.model import Alert, Draft, Finding, IncidentKind, Outcome, Severity, Subject, TimerKind, Who


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertsChanged:
    """Alerts of one incident key began or stopped firing. Repeats never come this far."""

    incident_id: str  # to be used when a new incident is opened
    key: str
    subject: Subject
    changed: tuple[Alert, ...]
    firing: int  # of this incident, after the change
    total: int
    truncated: int = 0
    links: tuple[tuple[str, str], ...] = ()
    runbook: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """A person (or a guarded action without an incident) opened an incident."""

    incident_id: str
    key: str
    subject: Subject
    by: Who
    title: str
    severity: Severity
    kind: IncidentKind = IncidentKind.DECLARED
    runbook: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """Somebody says: I am on it. `epoch` is the button's; None for a typed command."""

    by: Who
    epoch: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unacknowledged:
    """Somebody gives it back."""

    by: Who


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned:
    """Somebody hands it to a person."""

    by: Who
    to: Who


@dataclass(frozen=True, slots=True, kw_only=True)
class SeverityChanged:
    """A person set the severity."""

    by: Who
    to: Severity
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snoozed:
    """Nobody is to be paged until then."""

    by: Who
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A person says that it is over."""

    by: Who
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reopened:
    """A person says that it is not over."""

    by: Who


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """A remark for the timeline."""

    by: Who
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EscalateClicked:
    """Somebody wants the next level now. `epoch` is the button's; None for a typed command."""

    by: Who
    epoch: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StillOnIt:
    """Whoever has it says that they work on it. `epoch` is the button's; None for a typed command."""

    by: Who
    epoch: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldsChanged:
    """Planned work that holds pages back began, was prolonged or ended; the rules say what holds now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscribed:
    """A person wants to hear how things stand, this often."""

    by: Who
    every: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsubscribed:
    """A person has heard enough."""

    by: Who


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonPaged:
    """Somebody wants one person to look at it now."""

    by: Who
    to: Who
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerDue:
    """A timer of this incident fell due. `epoch` and `number` are what it was set for."""

    kind: TimerKind
    epoch: int
    number: int = 0
    plan_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunbookAsked:
    """A person wants the runbook's checklist in the thread."""

    by: Who
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unattended:
    """The auditor found the incident open with nothing that would ever page anybody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingReported:
    """A diagnostic answered."""

    finding: Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnosticsAsked:
    """A person asks for diagnostics again."""

    by: Who
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionRequested:
    """A person asks for a guarded action; arguments are validated against the profile."""

    plan_id: str
    action: str
    subject: Subject
    request: dict[str, str]
    by: Who
    reason: str = ""
    frozen: str = ""  # why changes are frozen now, "" when they are not
    replaces: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanDrawn:
    """The action read the target and proposes this."""

    plan_id: str
    draft: Draft


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRefused:
    """The action read the target and will not propose anything."""

    plan_id: str
    why: str  # one sentence with the next step


@dataclass(frozen=True, slots=True, kw_only=True)
class ApproveClicked:
    """A person approves what the card showed."""

    plan_id: str
    digest: str  # of the card that was clicked
    by: Who
    break_glass: str = ""  # the reason, when the person sets the rule of two aside
    locked_by: str = ""  # id of another plan that holds the target, "" for none
    frozen: str = ""
    debts: int = 0  # break-glass uses of this person that nobody has reviewed


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectClicked:
    """A person says no."""

    plan_id: str
    by: Who
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetReread:
    """The target was read again just before the start."""

    plan_id: str
    fingerprint: dict[str, str]
    next_plan_id: str  # for the plan that replaces this one if the target moved
    locked_by: str = ""
    frozen: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepBegun:
    """The intent to make the step's foreign call is stored; the call follows the commit.

    `after_attempt`: how many attempts had been stored when the target was last looked at; 0 before the first. Two who
    looked at the same time cannot both call.
    """

    plan_id: str
    index: int
    after_attempt: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StepObserved:
    """What the step's call, or a look at the target, told."""

    plan_id: str
    index: int
    outcome: Outcome
    detail: str


Event = (
    AlertsChanged | Declared | Acknowledged | Unacknowledged | Assigned | SeverityChanged | Snoozed | Resolved
    | Reopened | Noted | EscalateClicked | TimerDue | FindingReported | DiagnosticsAsked | ActionRequested | PlanDrawn
    | PlanRefused | ApproveClicked | RejectClicked | TargetReread | StepBegun | StepObserved | Unattended | RunbookAsked
    | StillOnIt | HoldsChanged | Subscribed | Unsubscribed | PersonPaged
)  # fmt: skip
