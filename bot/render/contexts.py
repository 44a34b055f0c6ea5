"""What each template may say: one frozen record per template, its fields named as the template names them.

Texts in here are as they came, hostile ones included; they are made inert where a template prints them. `lead` is the
first sentence of the message: severity, subject and symptom, in that order, wherever there is an incident.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """A person, or a channel. Printed as a name; the filter `mention` makes it call the person."""

    name: str
    user_id: str = ""  # "" for a channel, or for the bot itself

    def __str__(self) -> str:
        return self.name if self.name.startswith(("#", "@")) or not self.user_id else f"@{self.name or self.user_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirm:
    """What a button asks before it does anything."""

    title: str
    text: str
    yes: str
    no: str = "Cancel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Button:
    """A button; `value` is routing data only."""

    action_id: str
    label: str
    value: str
    style: str = ""  # "", "primary", "danger"
    confirm: Confirm | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PagedLine:
    """A level that was paged."""

    number: int
    at: datetime
    whom: tuple[Name, ...]
    late_by: timedelta  # zero: in time
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NextLevel:
    """The level that is paged next, unless somebody answers."""

    number: int
    at: datetime
    whom: tuple[Name, ...]
    is_repeat: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanLine:
    """A plan in one line."""

    id: str
    title: str
    state: str  # in words
    why: str = ""
    brief: str = ""  # why it did not end well, in half a line; "" for a plan that runs or was verified
    took: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLine:
    """A step of a plan."""

    number: int
    sentence: str
    state: str  # in words; "" before the plan has started
    detail: str = ""  # "" where the plan's end says the same
    took: timedelta | None = None
    is_proof: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteLine:
    """An approval."""

    by: Name
    at: datetime
    break_glass: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line of the timeline."""

    at: datetime
    by: Name
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """headline.j2: the one message of an incident that is kept up to date."""

    lead: str
    incident_id: str
    kind: str  # alert, declared, change
    state: str  # open, acknowledged, snoozed, resolved
    severity: str  # P0 … P3
    severity_word: str  # critical, high, medium, low
    why: str
    subject: str
    service: str
    system: str
    environment: str
    symptom: str
    since: datetime
    owner: Name | None
    acked_at: datetime | None
    team: str  # who owns the system
    call: tuple[Name, ...]  # on call, mentioned while nobody was paged for a new P0 or P1
    firing: int
    total: int
    truncated: int
    alerts: tuple[str, ...]
    paged: tuple[PagedLine, ...]
    next_level: NextLevel | None
    informed: NextLevel | None  # who hears of it next although somebody has it
    held_until: datetime | None  # nobody is paged before then
    held_why: str
    asked_at: datetime | None  # when the owner was asked whether they are still on it
    answer_until: datetime | None
    snoozed_until: datetime | None
    quiet_until: datetime | None
    resolved_at: datetime | None
    resolved_by: Name | None
    lasted: timedelta | None
    reopened: int
    plans: tuple[PlanLine, ...]
    runbook: str
    links: tuple[tuple[str, str], ...]
    buttons: tuple[Button, ...]
    menu: tuple[tuple[str, str], ...]  # (label, value) of the overflow


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """card.j2: one guarded action, from preview to result."""

    lead: str
    incident_id: str
    plan_id: str
    state: str  # drawing, pending, approved, running, watching, verified, failed, unknown, refused, rejected, …
    state_words: str
    title: str
    action: str
    subject: str
    environment: str
    from_version: str
    to_version: str
    because: str
    reason: str
    requested_by: Name
    requested_at: datetime
    steps: tuple[StepLine, ...]
    is_over: bool  # nothing more will happen to it
    never_begun: bool  # it is over, and nothing was started
    changes: tuple[str, ...]  # what differs, field by field
    checks: tuple[tuple[str, str, str, str], ...]  # what was judged beforehand: verdict, what, value, bound
    has_changed: bool  # something on the target was surely changed
    inverse: str
    warnings: tuple[str, ...]
    blast: str
    tier: str
    needed: int
    votes: tuple[VoteLine, ...]
    may_approve: str  # "@bob, @carol; not @alice, who asked"
    expires_at: datetime | None
    watch_until: datetime | None
    ended_at: datetime | None
    ended_by: Name | None
    ended_why: str
    took: timedelta | None
    replaces: str
    buttons: tuple[Button, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """page.j2: asks one person or channel for attention."""

    lead: str
    incident_id: str
    severity: str
    severity_word: str
    subject: str
    service: str
    system: str
    environment: str
    symptom: str
    why: str
    since: datetime
    number: int  # level; 0 for a page outside the ladder
    reason: str
    late_by: timedelta  # zero: in time
    is_repeated: bool  # sent before without an answer: the reader may get it twice
    owner: Name | None
    tried: tuple[str, ...]
    channel: str
    buttons: tuple[Button, ...]
    asks: str = ""  # "" to take it, "still_on_it" for an answer, "nothing" when it is for information
    call: Name | None = None  # whom it mentions, in a channel or thread; None in a direct message


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleLine:
    """One of several pages that come together."""

    incident_id: str
    severity: str
    subject: str
    symptom: str
    since: datetime
    reason: str  # "level 1"
    late_by: timedelta  # zero: in time
    channel: str
    buttons: tuple[Button, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """bundle.j2: several pages for one person in one message."""

    lead: str
    incidents: tuple[BundleLine, ...]
    is_repeated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """update.j2: how things stand, for somebody who asked to hear it at a cadence."""

    lead: str
    incident_id: str
    severity: str
    severity_word: str
    state: str
    subject: str
    system: str
    environment: str
    symptom: str
    since: datetime
    owner: Name | None
    acked_at: datetime | None
    resolved_by: Name | None
    lasted: timedelta | None
    tried: tuple[str, ...]
    next_level: NextLevel | None
    next_at: datetime | None  # of the next message like this one
    is_last: bool
    channel: str
    buttons: tuple[Button, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """diagnosis.j2: the answer to one diagnostic."""

    lead: str
    diagnostic: str
    sentence: str
    rows: tuple[tuple[str, str, str], ...]
    is_available: bool
    took: timedelta
    at: datetime | None
    picture_id: str  # Slack's id of the uploaded picture, "" for none
    picture_alt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """note.j2: one remark in the thread."""

    lead: str
    said: str
    by: Name | None  # None for the bot


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """summary.j2: the end of an incident on one screen."""

    lead: str
    incident_id: str
    severity: str
    why: str
    subject: str
    symptom: str
    note: str
    lasted: timedelta
    to_acknowledge: timedelta | None
    to_resolve: timedelta | None
    acked_by: Name | None
    resolved_by: Name | None
    total: int
    reopened: int
    plans: tuple[PlanLine, ...]
    approvals: tuple[str, ...]
    refusals: tuple[Entry, ...]
    more_refusals: int
    paged: tuple[PagedLine, ...]
    more_pages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Checklist:
    """runbook.j2: what to do, offered as a checklist."""

    lead: str
    incident_id: str
    title: str
    owner: str
    reviewed: str
    meaning: str
    impact: str
    diagnosis: str
    checklist: tuple[str, ...]
    mitigation: str  # shown where there is no list
    buttons: tuple[Button, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftCard:
    """drift.j2: one drift check, from the wish to a person's choice."""

    lead: str
    report_id: str
    model: str
    feature: str  # the one column that was asked for, "" for all
    state_words: str
    is_done: bool
    cause: str  # what is proposed
    meaning: str
    columns: tuple[tuple[str, ...], ...]  # the table, its heading first
    signs: tuple[tuple[str, str], ...]  # (cause it speaks for, sentence)
    set_aside: tuple[tuple[str, str], ...]  # (column, why)
    more_aside: int
    picture_id: str  # Slack's id of the uploaded picture, "" for none
    picture_alt: str
    lock: str  # why retraining is locked, "" when it is not
    chosen: str  # the exit, "" while nobody chose
    chosen_by: Name
    chosen_at: datetime | None
    next_step: str
    rows_words: str  # sample sizes and noise
    window_words: str
    why_words: str
    took: timedelta | None
    ended_at: datetime | None
    link: str  # signed address of the whole report, "" where nobody could reach it
    link_lasts: str
    remarks: tuple[str, ...]
    buttons: tuple[Button, ...]
    menu: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewLine:
    """One model in a weekly review."""

    model: str
    report_id: str
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftReview:
    """drift_review.j2: the weekly look at a system's models."""

    lead: str
    system: str
    summary: str
    lines: tuple[ReviewLine, ...]
    is_quiet: bool


Context = Headline | Card | Page | Bundle | Update | Diagnosis | Note | Summary | Checklist | DriftCard | DriftReview

TEMPLATES: dict[str, type[Context]] = {
    "headline": Headline, "card": Card, "page": Page, "bundle": Bundle, "update": Update, "diagnosis": Diagnosis,
    "note": Note, "summary": Summary, "runbook": Checklist, "drift": DriftCard, "drift_review": DriftReview,
}  # fmt: skip
