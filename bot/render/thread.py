"""What is added to an incident's thread: findings, notes, the closing summary and the runbook's checklist."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Protocol

from bot.model import Incident, Plan, Who
from bot.policy import Policy
from bot.render.contexts import Checklist, Diagnosis, Entry, Name, Note, Summary
from bot.render.parts import action_button, called, elapsed, lead, name_of, paged_lines, plan_line
from bot.runbook import Runbook
from bot.words import visible

_ROWS = 200
_REFUSALS_SHOWN, _PAGES_SHOWN = 8, 8
_REFUSED = "refused."


class Line(Protocol):
    """A line of the audit chain, as the store gives it."""

    @property
    def at(self) -> datetime:
        """When."""

    @property
    def kind(self) -> str:
        """The event's name, or "refused." and the code."""

    @property
    def by(self) -> Who:
        """Who."""

    @property
    def text(self) -> str:
        """The sentence."""


def diagnosis(data: Mapping[str, object], incident: Incident | None = None) -> Diagnosis:
    """A finding. `data` is what the core posted, and `file_id` when its picture was uploaded."""
    sentence = str(data.get("sentence") or "")
    name = str(data.get("diagnostic") or "")
    return Diagnosis(
        lead=_about(incident, sentence),
        diagnostic=name,
        sentence=sentence,
        rows=_rows(data.get("rows")),
        is_available=bool(data.get("available", True)),
        took=_seconds(data.get("took_s")),
        at=_moment(data.get("at")),
        picture_id=str(data.get("file_id") or ""),
        picture_alt=str(data.get("picture_alt") or f"Graph for {name}"),
    )


def note(data: Mapping[str, object], incident: Incident | None = None) -> Note:
    """A remark. `data`: text, and the user id of who made it."""
    by = str(data.get("by") or "")
    text = str(data.get("text") or "")
    shown = visible(text[:4_000]).split("\n")
    return Note(
        lead=_about(incident, next((line.strip()[:300] for line in shown if line.strip()), "a note")),
        said=text if any(line.strip() for line in shown) else "(no words)",
        by=None if by in {"", "mlops-bot"} else Name(name=by, user_id=by),
    )


def summary(
    incident: Incident, timeline: Iterable[Line], policy: Policy, now: datetime, *, closing: str = ""
) -> Summary:
    """The end on one screen. `closing`: what was said when it was resolved; found in the timeline when not given."""
    known = list(timeline)
    refusals = [
        Entry(at=line.at, by=called(line.by), text=line.text) for line in known if line.kind.startswith(_REFUSED)
    ]
    last = next((line.text for line in reversed(known) if line.kind == "resolved"), "")
    ended = incident.resolved_at or now
    acked = incident.first_acked_at
    return Summary(
        lead=lead(incident, f"resolved – {incident.symptom}"),
        incident_id=incident.id,
        severity=incident.severity,
        why=incident.severity_why,
        subject=incident.subject.label,
        symptom=incident.symptom,
        note=closing or last,
        lasted=max(ended - incident.started_at, timedelta(0)),
        to_acknowledge=elapsed(incident.opened_at, acked),
        to_resolve=elapsed(incident.opened_at, ended),
        acked_by=name_of(incident.acked_by),
        resolved_by=name_of(incident.resolved_by),
        total=incident.total,
        reopened=incident.reopened,
        plans=tuple(plan_line(plan) for plan in incident.plans[-8:]),
        approvals=tuple(_approval(plan) for plan in incident.plans[-8:] if plan.votes),
        refusals=tuple(refusals[-_REFUSALS_SHOWN:]),
        more_refusals=max(len(refusals) - _REFUSALS_SHOWN, 0),
        paged=paged_lines(incident, policy, _PAGES_SHOWN),
        more_pages=max(len(incident.escalation.paged) - _PAGES_SHOWN, 0),
    )


def checklist(incident: Incident, book: Runbook, actions: Collection[str] | None = None) -> Checklist:
    """A runbook for this incident. `actions`: the verbs that exist; None: all of the runbook's."""
    verbs = [verb for verb in book.actions if actions is None or verb in actions]
    is_ready = incident.is_open and bool(incident.subject.model or incident.subject.service)
    return Checklist(
        lead=lead(incident, f"runbook “{book.title}”"),
        incident_id=incident.id,
        title=book.title,
        owner=book.owner,
        reviewed=book.reviewed.isoformat() if book.reviewed else "",
        meaning=book.meaning,
        impact=book.impact,
        diagnosis=book.diagnosis,
        checklist=book.checklist,
        mitigation="" if book.checklist else book.mitigation,
        buttons=tuple(action_button(verb, incident) for verb in verbs[:3]) if is_ready else (),
    )


def _about(incident: Incident | None, sentence: str) -> str:
    """The sentence with severity and subject before it, said once."""
    if incident is None:
        return sentence
    return lead(incident, sentence.removeprefix(f"{incident.subject.label}: "))


def _approval(plan: Plan) -> str:
    people = ", ".join(
        f"{called(vote.by)}{' alone, breaking the glass' if vote.break_glass else ''}" for vote in plan.votes
    )
    return f"{plan.id} approved by {people}, asked for by {_plain(called(plan.requested_by))}"


def _plain(name: Name) -> str:
    return str(name)


def _rows(value: object) -> tuple[tuple[str, str, str], ...]:
    if not isinstance(value, (list, tuple)):
        return ()
    found: list[tuple[str, str, str]] = []
    for row in value[:_ROWS]:
        cells = [str(cell) for cell in row] if isinstance(row, (list, tuple)) else [str(row)]
        what, shown, remark = [*cells, "", "", ""][:3]
        found.append((what, shown, remark))
    return tuple(found)


def _seconds(value: object) -> timedelta:
    return timedelta(seconds=value) if isinstance(value, (int, float)) and 0 <= value < 1e6 else timedelta(0)


def _moment(value: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(str(value)) if value else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None
