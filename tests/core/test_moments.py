"""Times as people type them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.policy.moments import moment
from bot.policy.rota_words import moment_words

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)  # a Monday, 13:00 in Berlin


@pytest.mark.parametrize(("typed", "at", "used"), [
    ("now", "2026-11-23 12:00", 1),
    ("14:00", "2026-11-23 13:00", 1),
    ("9:30", "2026-11-24 08:30", 1),  # passed today, so tomorrow's
    ("9h", "2026-11-24 08:00", 1),
    ("today 09:00", "2026-11-23 08:00", 2),
    ("tomorrow", "2026-11-23 23:00", 1),
    ("tomorrow 09:00 main", "2026-11-24 08:00", 2),
    ("yesterday 23:15", "2026-11-22 22:15", 2),
    ("mon 09:00", "2026-11-30 08:00", 2),  # today is Monday: the next one is meant
    ("Wednesday 09:00", "2026-11-25 08:00", 2),
    ("2026-12-24 18:00", "2026-12-24 17:00", 2),
    ("2026-12-24T18:00", "2026-12-24 17:00", 1),
    ("2026-12-24T18:00Z", "2026-12-24 18:00", 1),
    ("2026-03-29 02:30", "2026-03-29 01:00", 2),  # jumped over: when the jump is over
    ("2026-10-25 02:30", "2026-10-25 00:30", 2),  # comes twice: its first coming
])  # fmt: skip
def test_what_is_typed_means_one_instant(typed: str, at: str, used: int) -> None:
    assert moment(typed.split(), NOW, BERLIN) == (datetime.fromisoformat(at).replace(tzinfo=UTC), used)


@pytest.mark.parametrize("typed", ["", "25:00", "soon", "2026-13-01", "2026-02-30 10:00", "moon 09:00", "0001-01-01"])
def test_what_means_none_is_none(typed: str) -> None:
    assert moment(typed.split(), NOW, BERLIN) == (None, 0)


@given(st.lists(st.text(max_size=12), max_size=3))
def test_nothing_that_is_typed_breaks_it(words: list[str]) -> None:
    at, used = moment(words, NOW, BERLIN)

    assert (at is None) == (used == 0)
    assert used <= len(words)


def test_an_hour_that_comes_twice_is_told_apart() -> None:
    first, second = datetime(2026, 10, 25, 0, 30, tzinfo=UTC), datetime(2026, 10, 25, 1, 30, tzinfo=UTC)

    assert moment_words(first, "Europe/Berlin") == "Sun 25 Oct 02:30 +0200 (Europe/Berlin)"
    assert moment_words(second, "Europe/Berlin") == "Sun 25 Oct 02:30 +0100 (Europe/Berlin)"
    assert moment_words(NOW, "Europe/Berlin") == "Mon 23 Nov 13:00 (Europe/Berlin)"
