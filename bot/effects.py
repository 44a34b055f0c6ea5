"""What must be done after the commit, in the imperative. The store writes these in the transaction of the decision.

Messages that live (headline, card) are re-rendered from the store whenever they are delivered, so their effect says
only *that* they must be shown anew. Messages that are added once carry their data.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bot.model import Incident, TimerKind, Who


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Add a line to the audit chain, which is the incident's timeline too."""

    kind: str  # from a closed set: the event's name, or a refusal's code
    by: Who
    text: str
    data: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowHeadline:
    """Bring the incident's headline up to date (post it when it does not exist)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowCard:
    """Bring a plan's card in the incident's thread up to date."""

    plan_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PostToThread:
    """Add a message to the incident's thread, once."""

    template: str  # name of a template without its ending
    data: dict[str, object]
    kind: str = "result"  # delivery class: approval, headline, result, diagnostic, digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Ask one person or channel for attention."""

    number: int  # level; 0 for a page outside the ladder
    target: str  # "user:U1" or "channel:C1"
    late_by: timedelta
    reason: str  # "level 2", "level 4, repeat 1", "break glass"
    unique: str  # distinguishes pages of the same level and target: epoch and repeat
    asks: str = ""  # "still_on_it": what is wanted of the reader, when it is not to take it


@dataclass(frozen=True, slots=True, kw_only=True)
class TellSubscriber:
    """Tell one person how things stand. Only the newest telling of a subscription goes out."""

    number: int  # of the subscription
    to: Who
    is_last: bool = False  # it is over; nothing more follows


@dataclass(frozen=True, slots=True, kw_only=True)
class SetTimer:
    """Fall due at an absolute time. Setting the same (epoch, kind, number, plan) again moves it."""

    kind: TimerKind
    due_at: datetime
    epoch: int
    number: int = 0
    plan_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopPaging:
    """Cancel the ladder's timers and drop its pages that are not sent yet.

    Pages outside the ladder (`Page.number` 0) stay: whoever was skipped by a broken glass is told in any case. A
    question whether somebody is still on it goes with the ladder: it is about the state that ends.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDiagnostics:
    """Ask these read-only questions; an empty tuple means: those of the runbook."""

    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawPlan:
    """Read the target and propose a change."""

    plan_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RereadTarget:
    """Read the target again; the approval holds only for what was previewed."""

    plan_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStep:
    """Begin, or look at, a step of a running plan."""

    plan_id: str
    index: int
    after: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkBad:
    """Remember that a version is not to be chosen as known-good."""

    version: str
    why: str
    plan_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDebt:
    """A break-glass approval must be reviewed by somebody else."""

    plan_id: str
    by: Who
    reason: str


Effect = (
    Record | ShowHeadline | ShowCard | PostToThread | Page | TellSubscriber | SetTimer | StopPaging | RunDiagnostics
    | DrawPlan | RereadTarget | RunStep | MarkBad | OpenDebt
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """The named reason of a decision and its sentence, the same in log, audit and message."""

    code: str
    text: str
    refused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The incident afterwards (None: still none), what to do, and why."""

    incident: Incident | None
    effects: tuple[Effect, ...]
    why: Why
