"""A person asks one other person for help. The ladder goes on as it was."""

from __future__ import annotations

from datetime import datetime, timedelta

from bot.decide.results import WORDS_CAP, late, refused, told
from bot.effects import Decision, Page, Record, Why
from bot.events import PersonPaged
from bot.model import Incident
from bot.policy import Policy
from bot.policy.approval import may_steer, refuse


def person_paged(incident: Incident, event: PersonPaged, now: datetime, policy: Policy) -> Decision:
    """Page that person once, with the reason; a page like this is not withdrawn when somebody acknowledges."""
    allowed = may_steer(policy, policy.system(incident.subject.system), event.by)
    if allowed.refused:
        return refused(incident, allowed, event.by)
    if not incident.is_open:
        why = refuse("not_open", f"{incident.id} is resolved; reopen it, or write to @{event.to.name} yourself.")
        return refused(incident, why, event.by)
    if event.to == event.by:
        return late(incident, "already", "You know of it already; say who else should.")
    asked = told(event.reason, WORDS_CAP, one_line=True)
    reason = f"@{event.by.name or event.by.user_id} asks for you" + (f": {asked}" if asked else "")
    page = Page(
        number=0, target=f"user:{event.to.user_id}", late_by=timedelta(0), reason=reason,
        unique=f"{incident.epoch}.asked.{now.isoformat()}",
    )  # fmt: skip
    text = f"paged @{event.to.name or event.to.user_id}" + (f": {asked}" if asked else "")
    record = Record(kind="person_paged", by=event.by, text=text, data={"to": event.to.user_id})
    told_back = f"@{event.to.name or event.to.user_id} is paged about {incident.id}."
    return Decision(incident=incident, effects=(record, page), why=Why(code="person_paged", text=told_back))
