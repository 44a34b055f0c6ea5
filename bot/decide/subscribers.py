"""People who want to hear how things stand, at a cadence of their own, without having to do anything.

Due times are absolute: after an outage one telling goes out, not one for each that was missed, and the next one comes
when it would have come anyway.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from bot.decide import ladder
from bot.decide.results import late, refused
from bot.effects import Decision, Effect, Record, SetTimer, TellSubscriber, Why
from bot.events import Subscribed, TimerDue, Unsubscribed
from bot.model import Incident, Subscription, TimerKind
from bot.policy.approval import refuse

SHORTEST, LONGEST = timedelta(minutes=1), timedelta(days=1)
MOST = 50  # subscribers of one incident; Slack takes about one message a second


def subscribed(incident: Incident, event: Subscribed, now: datetime) -> Decision:
    """A person wants to hear of it; saying it again changes the cadence."""
    if not incident.is_open:
        return refused(incident, refuse("not_open", f"{incident.id} is over; there is nothing to hear."), event.by)
    if not SHORTEST <= event.every <= LONGEST:
        why = refuse("bad_cadence", "Updates come every 1m to every 1d; choose in between.")
        return refused(incident, why, event.by)
    others = tuple(one for one in incident.subscriptions if one.by != event.by)
    if len(others) >= MOST:
        return refused(incident, refuse("too_many", f"{MOST} people hear of it already. Follow its thread."), event.by)
    number = incident.subscribed + 1
    fresh = Subscription(number=number, by=event.by, every=event.every, next_at=now + event.every)
    moved = replace(incident, subscriptions=(*others, fresh), subscribed=number)
    text = f"{ladder.on_it(event.by)} hears of {incident.id} every {_words(event.every)} until it is resolved."
    record = Record(kind="subscribed", by=event.by, text=f"asked for updates every {_words(event.every)}")
    return Decision(incident=moved, effects=(record, _timer(fresh)), why=Why(code="subscribed", text=text))


def unsubscribed(incident: Incident, event: Unsubscribed) -> Decision:
    """A person has heard enough."""
    others = tuple(one for one in incident.subscriptions if one.by != event.by)
    if len(others) == len(incident.subscriptions):
        return late(incident, "not_subscribed", f"You get no updates about {incident.id}.")
    record = Record(kind="unsubscribed", by=event.by, text="wants no more updates")
    text = f"No more updates about {incident.id}."
    moved = replace(incident, subscriptions=others)
    return Decision(incident=moved, effects=(record,), why=Why(code="unsubscribed", text=text))


def update_due(incident: Incident, event: TimerDue, now: datetime) -> Decision:
    """A telling is due."""
    mine = next((one for one in incident.subscriptions if one.number == event.number), None)
    if mine is None or not incident.is_open:
        return late(incident, "stale_timer", "They wanted no more updates, or it is over.")
    if now < mine.next_at:
        return Decision(incident=incident, effects=(_timer(mine),), why=Why(code="too_early", text="Not due yet."))
    missed = (now - mine.next_at) // mine.every
    moved = replace(mine, next_at=mine.next_at + (missed + 1) * mine.every)
    kept = tuple(moved if one.number == mine.number else one for one in incident.subscriptions)
    tell = TellSubscriber(number=mine.number, to=mine.by)
    why = Why(code="told", text=f"{ladder.on_it(mine.by)} is told how things stand.")
    return Decision(incident=replace(incident, subscriptions=kept), effects=(tell, _timer(moved)), why=why)


def ended(incident: Incident) -> tuple[Incident, tuple[Effect, ...]]:
    """It is over: everybody who wanted to hear of it is told once more, and no more."""
    last = tuple(TellSubscriber(number=one.number, to=one.by, is_last=True) for one in incident.subscriptions)
    return replace(incident, subscriptions=()), last


def _timer(one: Subscription) -> SetTimer:
    return SetTimer(kind=TimerKind.UPDATE, due_at=one.next_at, epoch=0, number=one.number)


def _words(span: timedelta) -> str:
    minutes = int(span.total_seconds()) // 60
    return f"{minutes // 60} h" if minutes >= 60 and minutes % 60 == 0 else f"{minutes} min"
