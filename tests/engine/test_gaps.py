"""Gaps are told once a day, before they come, whatever restarts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest

from bot.gaps import GapNotices
from bot.policy.calendar import Window
from bot.store import Store
from tests.engine.conftest import NewOffice
from tests.engine.office import Office, at_once, posts, text_of
from tests.engine.test_on_call import WEEK, here, rules

NIGHTS = replace(WEEK, windows=(Window(opens=time(18), closes=time(9)),))
SUNDAYS_OFF = replace(WEEK, windows=(Window(days=frozenset(range(6))),))


@pytest.fixture
def office(file_store: Store, new_office: NewOffice) -> Office:
    return here(new_office(file_store, rules=rules(SUNDAYS_OFF)))


def told(office: Office) -> list[str]:
    office.settle(3)
    return [text_of(call) for call in posts(office.ws)]


def test_a_gap_is_told_in_the_channel_with_what_to_do(office: Office) -> None:
    assert GapNotices(office.engine).round() == 1

    (text,) = told(office)
    assert text.startswith("Nobody is on call for main from Sun 29 Nov 2026 00:00 to Mon 30 Nov 2026 00:00 (Europe/Ber")
    (call,) = posts(office.ws)
    assert "`/mlops override @person 24h main from 2026-11-28T23:00Z`" in str(call.args["blocks"])
    said = office.say("override @bob 24h main from 2026-11-28T23:00Z").text
    assert "It closes a gap." in said
    office.clock.advance(days=1)
    assert GapNotices(office.engine).round() == 0


def test_once_a_day_and_not_at_night(office: Office) -> None:
    notices = GapNotices(office.engine)
    assert [notices.round(), notices.round(), GapNotices(office.engine).round()] == [1, 0, 0]
    office.clock.at = datetime(2026, 11, 24, 7, 59, tzinfo=UTC)  # 08:59 in Berlin
    assert notices.round() == 0
    office.clock.advance(minutes=1)
    assert notices.round() == 1
    assert len(told(office)) == 2


def test_two_replicas_tell_it_once(store: Store, new_office: NewOffice) -> None:
    offices = [new_office(store, owner=str(n), rules=rules(NIGHTS)) for n in range(2)]
    here(offices[0])

    results = at_once(*(GapNotices(office.engine).round for office in offices))

    assert sorted(map(str, results)) == ["0", "1"]
    (text,) = told(offices[0])
    assert "6 more times" in text or "7 more times" in text


@pytest.mark.parametrize("layer", [WEEK, NIGHTS])
def test_what_is_covered_or_meant_to_be_open_is_not_told(
    file_store: Store, new_office: NewOffice, layer: object
) -> None:
    made = rules(layer)  # type: ignore[arg-type]
    rota = replace(made.rotas["main"], may_have_gaps=layer is NIGHTS)
    office = here(new_office(file_store, rules=replace(made, rotas={"main": rota})))
    office.clock.advance(seconds=timedelta(hours=1).total_seconds())

    assert GapNotices(office.engine).round() == 0
