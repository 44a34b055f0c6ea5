"""Messages: from what is known to what Slack shows.

    Renderer(templates_dir, runbooks=(), actions=None)
        .headline(incident, policy, now) -> Message
        .card(incident, plan, policy, now) -> Message
        .page(incident, data, policy, now) -> Message      data: number, reason, late_by_s, repeated (sent before),
                                                           asks, target (whom it goes to)
        .bundle([(incident, data of its page), …]) -> Message
        .update(incident, data, policy, now) -> Message    data: is_last, next_at
        .diagnosis(data, incident) -> Message              data of the finding, and file_id of its uploaded picture
        .note(data, incident) -> Message                   data: text, by
        .summary(incident, timeline, policy, now) -> Message
        .runbook(incident, runbook | None) -> Message
        .drift(report, …) -> Message                        a drift check
        .drift_review(system, reports) -> Message           the weekly look at a system's models
        .render(name, context) -> Message                  any template with a record from `bot.render.contexts`

A message that cannot be rendered comes back all the same, in plain text with the same facts and buttons; `failed` then
says why, for the audit and the log. Nothing here raises because of a template or a value.

Buttons carry `INC-7|<epoch>` or `PLN-4|<first 16 of the digest>`; action ids are ack, act:<verb>, resolve, details,
more, approve, reject, undo, takeover, still_on_it, unack, unsubscribe. Options of `more` carry
`<choice>|INC-7|<epoch>`; choices: snooze, escalate, resolve, unack, diagnose, runbook.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from bot.model import Incident, Plan
from bot.policy import Policy
from bot.policy.drift import Report
from bot.render.card import card
from bot.render.contexts import TEMPLATES, Context
from bot.render.drift import drift_card, drift_review
from bot.render.fallback import fallback
from bot.render.headline import bundle, headline, page, update
from bot.render.limits import clamp
from bot.render.templating import BadTemplate, environment, run
from bot.render.thread import Line, checklist, diagnosis, note, summary
from bot.runbook import Runbook

__all__ = [
    "TEMPLATES",
    "Message",
    "Renderer",
    "card",
    "checklist",
    "diagnosis",
    "headline",
    "note",
    "page",
    "summary",
    "update",
]

log = logging.getLogger("mlops.render")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is sent: text for notifications and screen readers, and blocks. `failed`: why the template was not used."""

    text: str
    blocks: tuple[dict[str, Any], ...] = ()
    failed: str = ""


class Renderer:
    """Renders messages with the templates of one folder. Safe to use from several threads."""

    def __init__(
        self, templates_dir: Path, *, runbooks: Sequence[Runbook] = (), actions: Collection[str] | None = None
    ) -> None:
        self.folder = templates_dir
        self._env = environment(templates_dir)
        self._runbooks = {book.name: book for book in runbooks}
        self._actions = actions

    def render(self, name: str, context: Context) -> Message:
        """The message of that template, or its facts in plain text."""
        try:
            text, blocks = run(self._env, name, context)
            text, fitting = clamp(text, blocks)
            return Message(text=text, blocks=fitting)
        except Exception as problem:  # whatever a template does wrong, the page must go out
            failed = str(problem) if isinstance(problem, BadTemplate) else f"{name}.j2:1: {type(problem).__name__}"
            log.exception("template %s failed; plain text is sent", name, extra={"action": "template_failed"})
        text, blocks = fallback(context)
        text, fitting = clamp(text, blocks)
        return Message(text=text, blocks=fitting, failed=failed[:500])

    def headline(self, incident: Incident, policy: Policy, now: datetime) -> Message:
        """The incident's headline as it stands."""
        book = self._runbooks.get(incident.runbook)
        verbs = [verb for verb in book.actions if self._actions is None or verb in self._actions] if book else []
        return self.render("headline", headline(incident, policy, now, verbs, book.title if book else ""))

    def card(self, incident: Incident, plan: Plan, policy: Policy, now: datetime) -> Message:
        """The plan's card as it stands."""
        return self.render("card", card(incident, plan, policy, now))

    def page(self, incident: Incident, data: Mapping[str, object], policy: Policy, now: datetime) -> Message:
        """A page to a person or channel."""
        return self.render("page", page(incident, data, policy, now))

    def bundle(self, pages: Sequence[tuple[Incident, Mapping[str, object]]], *, repeated: bool = False) -> Message:
        """Several pages for one person."""
        return self.render("bundle", bundle(pages, repeated=repeated))

    def update(self, incident: Incident, data: Mapping[str, object], policy: Policy, now: datetime) -> Message:
        """How things stand, for a subscriber."""
        return self.render("update", update(incident, data, policy, now))

    def diagnosis(self, data: Mapping[str, object], incident: Incident | None = None) -> Message:
        """The answer to one diagnostic."""
        return self.render("diagnosis", diagnosis(data, incident))

    def note(self, data: Mapping[str, object], incident: Incident | None = None) -> Message:
        """A remark in the thread."""
        return self.render("note", note(data, incident))

    def summary(self, incident: Incident, timeline: Iterable[Line], policy: Policy, now: datetime) -> Message:
        """The end on one screen."""
        return self.render("summary", summary(incident, timeline, policy, now))

    def drift(self, report: Report, *, picture_id: str, link: str, lasts: timedelta, retrains: bool) -> Message:
        """A drift check as it stands."""
        return self.render(
            "drift", drift_card(report, picture_id=picture_id, link=link, lasts=lasts, retrains=retrains)
        )

    def drift_review(self, system: str, reports: Sequence[Report]) -> Message:
        """The weekly review of a system as far as it has come."""
        return self.render("drift_review", drift_review(system, reports))

    def runbook(self, incident: Incident, book: Runbook | None) -> Message:
        """The checklist; says so when the runbook is gone."""
        if book is None:
            return self.note(
                {"text": "This runbook is gone. Ask again with `runbook`, or look into the runbooks folder."}, incident
            )
        return self.render("runbook", checklist(incident, book, self._actions))
