"""The weekly review and the dead man: neither doubled nor lost, whatever restarts; silence is never called health."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.drift_watch import SILENT, DeadMan, latest_due, review
from bot.ports import Foreign
from bot.store import Store
from handlers.sources.alertmanager import key_of
from tests.engine.conftest import NewOffice
from tests.engine.drift_lab import QUIET, Lab, Retrain, answer, rules
from tests.engine.office import at_once


@pytest.fixture
def lab(file_store: Store, new_office: NewOffice, tmp_path: Path) -> Lab:
    return Lab(new_office(file_store, rules=rules(), lever=Retrain()), tmp_path)


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-03-02T07:00:00", "2026-03-02T07:00:00"),  # Monday, on the minute
        ("2026-03-02T06:59:59", "2026-02-23T07:00:00"),
        ("2026-03-08T23:59:59", "2026-03-02T07:00:00"),  # Sunday
        ("2026-01-01T00:00:00", "2025-12-29T07:00:00"),  # over the year's end
    ],
)
def test_reviews_are_due_on_mondays(now: str, due: str) -> None:
    assert latest_due(datetime.fromisoformat(now).replace(tzinfo=UTC)) == datetime.fromisoformat(due).replace(
        tzinfo=UTC
    )


def next_monday(lab: Lab) -> None:
    lab.office.clock.at = latest_due(lab.office.clock()) + timedelta(days=7, minutes=1)


def test_what_was_due_before_the_bot_existed_was_not_missed(lab: Lab) -> None:
    assert review(lab.office.engine) == []
    assert review(lab.office.engine) == []


def test_a_review_is_asked_for_once_by_whoever_comes_first(lab: Lab) -> None:
    review(lab.office.engine)
    next_monday(lab)
    done = at_once(*[lambda: review(lab.office.engine)] * 4)
    assert sorted(len(one) if isinstance(one, list) else -1 for one in done) == [0, 0, 0, 1]
    assert review(lab.office.engine) == []
    assert lab.kinds().count("drift.review") == 1
    assert [one.why for one in lab.office.store.drift.latest("shop", "intent")] == ["weekly"]


def test_after_an_outage_the_latest_week_is_made_up_for(lab: Lab) -> None:
    review(lab.office.engine)
    next_monday(lab)
    lab.office.clock.advance(days=15)  # three Mondays were missed
    assert len(review(lab.office.engine)) == 1
    assert review(lab.office.engine) == []
    line = next(line for line in lab.office.store.audit_lines() if line.kind == "drift.review")
    assert int(line.data["late_s"]) == 24 * 3600 + 60


def test_a_review_is_one_message_with_its_checks_in_the_thread(lab: Lab) -> None:
    review(lab.office.engine)
    next_monday(lab)
    [review_id] = review(lab.office.engine)
    lab.office.deliver()
    assert "still under way: 1 of 1 checks" in lab.shown()
    lab.run = lambda _: answer(QUIET)
    lab.settle(12)
    assert "Weekly drift review of shop:* nothing to decide about" in lab.shown().replace("shop:", "shop:*")
    place = lab.office.store.drift.place(review_id)
    assert place is not None
    told = [one for one in lab.office.ws.as_("alice").messages(thread=place[1]) if "Triage – quiet" in one.text]
    assert [one.raw.get("thread_ts") for one in told] == [place[1]]
    next_monday(lab)
    review(lab.office.engine)
    lab.run = lambda _: answer()
    lab.settle(12)
    assert "look at intent" in lab.shown()


def dead_man(lab: Lab) -> DeadMan:
    return DeadMan(lab.office.engine, key_of)


def test_weeks_without_a_report_open_an_incident_and_the_next_report_ends_it(lab: Lab) -> None:
    watch = dead_man(lab)
    assert watch.look() == []
    lab.office.clock.advance(days=14)
    assert watch.look() == []
    lab.office.clock.advance(days=2)
    assert watch.look() == ["shop/intent"]
    assert watch.look() == []
    assert dead_man(lab).look() == ["shop/intent"]  # after a restart it is said again, and changes nothing
    [incident] = lab.office.store.incidents(open_only=True)
    assert incident.alert_names == (SILENT,)
    assert "Is its monitoring running?" in incident.symptom
    assert incident.subject.model == "intent"
    lab.run = lambda _: answer(QUIET)
    lab.say("drift intent")
    lab.settle()
    assert dead_man(lab).look() == ["shop/intent"]
    assert lab.office.store.incident(incident.id).firing == 0
    assert watch.look() == []


def test_a_check_that_fails_every_week_is_silence_too(lab: Lab) -> None:
    """Otherwise a broken source would look like a calm one for ever."""

    def fails(_: object) -> None:
        raise Foreign("not_found", "The file is gone.")

    lab.run = fails
    watch = dead_man(lab)
    watch.look()
    for _ in range(3):
        lab.office.clock.advance(days=6)
        lab.say("drift intent")
        lab.settle(2)
    assert watch.look() == ["shop/intent"]


def test_two_replicas_ask_for_one_review_and_open_one_incident(
    url: str, open_store: Callable[[str], Store], new_office: NewOffice, tmp_path: Path
) -> None:
    """On SQLite and on PostgreSQL, each replica with a store of its own, both in the same instant."""
    replicas = [
        Lab(new_office(open_store(url), rules=rules(), lever=Retrain(), owner=name), tmp_path)
        for name in ("one", "two")
    ]
    watches = [dead_man(one) for one in replicas]
    for one, watch in zip(replicas, watches, strict=True):
        assert (review(one.office.engine), watch.look()) == ([], [])
    next_monday(replicas[0])  # they share a clock
    done = at_once(*[lambda one=one: review(one.office.engine) for one in replicas] * 2)
    assert sum(len(one) for one in done if isinstance(one, list)) == 1, done
    assert len(replicas[1].office.store.drift.latest("shop", "intent")) == 1

    replicas[0].office.clock.advance(days=16)
    done = at_once(*[watch.look for watch in watches])
    assert ["shop/intent"] in done
    [incident] = replicas[1].office.store.incidents(open_only=True)
    [alert] = replicas[1].office.store.alerts(incident.id)
    assert (alert.name, alert.firing) == (SILENT, True)
