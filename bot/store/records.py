"""What the store hands out: rows as frozen records."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from bot.audit import AuditLine
from bot.model import TimerKind, Who
from bot.policy.alerts import Verdict

__all__ = [
    "AlertRow", "AuditLine", "Debt", "Job", "Merge", "Overdue", "Quarantined", "QueueStats", "StoredFile", "Timer",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One outgoing message or piece of work, as it was when somebody claimed it."""

    id: str
    incident_id: str
    lane: str  # "slack", "media", "work" or "drift"
    kind: str
    template: str
    payload: dict[str, object]
    target: str  # "root", "thread", "user:U1", "channel:C1"; "" for work
    living: bool  # delivered by replacing the message at `place`, as often as it changes
    attempt: int  # 1 for the first try since the row was last armed
    unanswered: int  # tries that ended without an answer
    unsure: bool  # a try before this one ended without an answer: look for it first
    revision: int  # grows with each change of what is to be shown or done
    owner: str
    fence: int  # grows with each claim; who holds an older one may not settle the row
    lease_until: datetime
    place_channel: str  # where the message is, "" while it is nowhere
    place_ts: str
    created_at: datetime
    priority: int  # 0 goes first
    error: str = ""  # why it was not delivered the last time


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """A due time of an incident."""

    id: int
    incident_id: str
    kind: TimerKind
    epoch: int
    number: int
    plan_id: str
    due_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """What an alert that came in meant, and the incident that its episode belongs to (None: none yet)."""

    verdict: Verdict
    incident_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRow:
    """One episode of an alert."""

    source: str
    fingerprint: str
    name: str
    firing: bool
    starts_at: datetime
    ends_at: datetime | None
    labels: dict[str, str]
    annotations: dict[str, str]
    url: str
    incident_id: str  # "" when it belongs to none
    repeats: int  # how often the same was said again
    first_seen_at: datetime
    last_seen_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """A bad alert, capped, and why it was set aside."""

    at: datetime
    raw: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Debt:
    """A break-glass approval that somebody else must review."""

    plan_id: str
    incident_id: str
    by: Who
    reason: str
    opened_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """What should have happened by now and has not."""

    timers: int = 0
    outbox: int = 0
    unattended: tuple[str, ...] = ()  # incidents that nothing would ever page anybody about


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file that people open by a signed link or find in Slack."""

    id: str  # "DRF-3-html"
    name: str  # what it is saved as
    media_type: str
    body: bytes
    made_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStats:
    """How full the queues are."""

    counts: dict[tuple[str, str, str], int] = field(default_factory=dict)  # (lane, kind, state) → rows
    oldest_s: dict[str, float] = field(default_factory=dict)  # lane → age of the oldest row that still waits


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """How long one fact has been watched for the ledger."""

    since_at: datetime  # the first look
    seen_at: datetime  # the last one that found it as the ledger says; up to a minute old
