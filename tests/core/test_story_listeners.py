"""Stories of people who only listen: at their cadence, once after an outage, once more at the end."""

from __future__ import annotations

from datetime import timedelta

from bot import events as ev
from bot.model import TimerKind
from tests.core.script import due, opened
from tests.core.stage import ALICE, BOB, CAROL, MALLORY
from tests.core.transcript import play

HALF_AN_HOUR = timedelta(minutes=30)


def update(number: int) -> ev.TimerDue:
    return due(TimerKind.UPDATE, number, epoch=0)


def test_updates_come_at_absolute_times_and_once_after_an_outage() -> None:
    play([
        (1, ev.Subscribed(by=CAROL, every=HALF_AN_HOUR), "subscribed", ["record subscribed", "timer update 1 at 31"]),
        (30, update(1), "too_early", ["timer update 1 at 31"]),
        (32, update(1), "told", ["tell carol", "timer update 1 at 61"]),
        (200, update(1), "told", ["tell carol", "timer update 1 at 211"]),
        (211, update(1), "told", ["tell carol", "timer update 1 at 241"]),
    ], opened())  # fmt: skip


def test_saying_it_again_changes_the_cadence_and_leaves_one_subscription() -> None:
    last = play([
        (1, ev.Subscribed(by=CAROL, every=HALF_AN_HOUR), "subscribed", ["record subscribed", "timer update 1 at 31"]),
        (2, ev.Subscribed(by=CAROL, every=timedelta(hours=2)), "subscribed",
         ["record subscribed", "timer update 2 at 122"]),
        (31, update(1), "stale_timer", []),
        (40, ev.Unsubscribed(by=BOB), "not_subscribed", []),
        (40, ev.Unsubscribed(by=CAROL), "unsubscribed", ["record unsubscribed"]),
        (122, update(2), "stale_timer", []),
    ], opened())  # fmt: skip

    assert (last.subscriptions, last.subscribed) == ((), 2)


def test_the_end_is_told_to_everybody_who_listens_and_nothing_after_it() -> None:
    last = play([
        (1, ev.Subscribed(by=CAROL, every=HALF_AN_HOUR), "subscribed", ["record subscribed", "timer update 1 at 31"]),
        # whoever is not listed may look, and so may listen
        (2, ev.Subscribed(by=MALLORY, every=HALF_AN_HOUR), "subscribed", ["record subscribed", "timer update 2 at 32"]),
        (10, ev.Resolved(by=ALICE), "resolved",
         ["record resolved", "stop paging", "post summary", "tell carol, last", "tell bob, last", "headline"]),
        (31, update(1), "stale_timer", []),
        (40, ev.Subscribed(by=CAROL, every=HALF_AN_HOUR), "not_open", ["record refused.not_open"]),
    ], opened())  # fmt: skip

    assert last.subscriptions == ()


def test_a_cadence_has_bounds() -> None:
    play([
        (1, ev.Subscribed(by=CAROL, every=timedelta(seconds=1)), "bad_cadence", ["record refused.bad_cadence"]),
        (1, ev.Subscribed(by=CAROL, every=timedelta(days=8)), "bad_cadence", ["record refused.bad_cadence"]),
    ], opened())  # fmt: skip
