"""Play events through the core and write down what it wants done, one short line per effect."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from bot import effects as ef
from bot.decide import decide
from bot.effects import Effect
from bot.events import Event
from bot.model import Incident
from bot.policy import Policy
from tests.core.stage import POLICY, T0

Line = tuple[float, Event, str, list[str]]  # minute, what happened, the reason's code, what must be done


def play(script: Iterable[Line], incident: Incident | None = None, policy: Policy = POLICY) -> Incident:
    """Run the script; each line must have exactly its reason and its effects. Returns the incident at the end."""
    for minute, event, code, wanted in script:
        decision = decide(incident, event, at(minute), policy)
        got = [line(effect) for effect in decision.effects]
        assert (decision.why.code, got) == (code, wanted), f"at minute {minute:g}: {event}"
        incident = decision.incident
    assert incident is not None
    return incident


def at(minute: float) -> datetime:
    """That many minutes after the beginning."""
    return T0 + timedelta(minutes=minute)


def line(effect: Effect) -> str:
    """One effect in a few words."""
    match effect:
        case ef.Record():
            return f"record {effect.kind}"
        case ef.ShowHeadline():
            return "headline"
        case ef.ShowCard():
            return f"card {effect.plan_id}"
        case ef.PostToThread():
            return f"post {effect.template}"
        case ef.Page():
            late = f", late by {_minutes(effect.late_by)}" if effect.late_by else ""
            return f"page {effect.target}: {effect.reason}{late}"
        case ef.TellSubscriber():
            return f"tell {effect.to.name}{', last' if effect.is_last else ''}"
        case ef.SetTimer():
            what = effect.plan_id or effect.number or ""
            return f"timer {effect.kind} {what} at {_minutes(effect.due_at - T0)}".replace("  ", " ")
        case ef.StopPaging():
            return "stop paging"
        case ef.RunDiagnostics():
            return f"diagnose {', '.join(effect.names)}".strip()
        case ef.DrawPlan():
            return f"draw {effect.plan_id}"
        case ef.RereadTarget():
            return f"reread {effect.plan_id}"
        case ef.RunStep():
            after = f" after {effect.after.seconds} s" if effect.after else ""
            return f"step {effect.plan_id} {effect.index}{after}"
        case ef.MarkBad():
            return f"mark {effect.version} bad"
        case ef.OpenDebt():
            return f"debt of {effect.by.name}"


def _minutes(span: timedelta) -> str:
    return f"{span.total_seconds() / 60:g}"
