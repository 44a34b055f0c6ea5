"""How a drift began: a step raises doubt, a ramp proves nothing, and what was there from the start began earlier."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from bot.drift.asked import Change, Known, Span
from bot.drift.report import Cause
from handlers.drift.answer import context_of, with_onset
from handlers.drift.onset import began, shape_of
from handlers.drift.psi import DEFAULT_LINES
from handlers.drift.screen import Wanted, compared, paired
from handlers.drift.source import Kind, Source
from handlers.drift.triage import Began, Onset, proposal
from tests.drift.real import write

NOW = datetime(2026, 3, 9, tzinfo=UTC)
WEEK = Span(start_at=NOW - timedelta(days=7), end_at=NOW)
Heights = list[tuple[float, float]]


def over(*values: float) -> Heights:
    return [(value, 0.1) for value in values]


@pytest.mark.parametrize(
    ("heights", "told"),
    [
        (over(0.01, 0.02, 0.01, 0.9, 0.8, 1.0), (Onset.STEP, 3)),
        (over(0.01, 0.02, 0.15, 0.4, 0.8, 1.2), (Onset.RAMP, 2)),
        (over(0.9, 0.8, 0.9, 0.9), None),  # there from the start
        (over(0.01, 0.02, 0.01, 0.02), None),
        (over(0.01, 0.02, 0.01, 0.9), None),  # one slice at the end is no history
        (over(0.01, 0.9, 0.01, 0.02, 0.01, 0.02), None),  # a bump
        (over(0.01, 0.02, 0.15, 0.5, 0.5, 0.2), None),  # neither
        (over(), None),
    ],
)
def test_shapes(heights: Heights, told: tuple[Onset, int] | None) -> None:
    assert shape_of(heights) == told


def look(folder: Path, moved: np.ndarray, rows: int = 4_000, *, by_category: bool = False) -> Began | None:
    """A week of rows, of which `moved` says how far each is shifted, against a reference of the same kind."""
    chance = np.random.default_rng(7)
    before, now = chance.normal(size=rows), chance.normal(size=rows) + moved
    seconds = np.sort(chance.integers(0, 7 * 86_400, rows))
    times = np.datetime64("2026-03-02T00:00:00", "s") + seconds
    frames = [{"x": before, "at": times}, {"x": now, "at": times}]
    if by_category:
        frames = [{"x": np.where(f["x"] > 0.5, "high", "low").astype(object), "at": f["at"]} for f in frames]
    sources = [
        Source(kind=Kind.PARQUET, path=str(write(frame, folder / f"{name}.parquet")))
        for name, frame in zip("ab", frames, strict=True)
    ]
    wanted = Wanted(ignore={"at"})
    with paired(sources[0], sources[1], wanted, scratch=folder) as pair:
        screen = compared(pair, wanted)
        found = began(pair, screen.columns, "at", WEEK, DEFAULT_LINES)
        known = with_onset(Known(), found)
        if found is not None and found.onset is Onset.STEP:
            assert proposal(screen, context_of(known)).cause in {Cause.UNSURE, Cause.DATA_BUG}
        else:
            assert known == Known()
        assert began(pair, screen.columns, "when", WEEK, DEFAULT_LINES) is None
    return found


@pytest.mark.parametrize("by_category", [False, True])
def test_a_step_is_found_with_its_time(tmp_path: Path, by_category: bool) -> None:
    found = look(tmp_path, np.repeat([0.0, 1.5], 2_000), by_category=by_category)
    assert found is not None
    assert (found.onset, found.columns, found.within) == (Onset.STEP, ("x",), timedelta(hours=12))
    assert abs(found.at - datetime(2026, 3, 5, 12, tzinfo=UTC)) <= found.within


def test_a_ramp_is_mentioned_and_unlocks_nothing(tmp_path: Path) -> None:
    found = look(tmp_path, np.linspace(-0.2, 2.0, 4_000))
    assert found is not None
    assert found.onset is Onset.RAMP


@pytest.mark.parametrize(
    ("moved", "rows"),
    [(np.zeros(4_000), 4_000), (np.full(4_000, 1.5), 4_000), (np.repeat([0.0, 1.5], 300), 600)],
    ids=["nothing moved", "there from the start", "too few rows"],
)
def test_nothing_is_said_without_a_history(tmp_path: Path, moved: np.ndarray, rows: int) -> None:
    assert look(tmp_path, moved, rows) is None


def test_what_the_bot_knows_already_is_not_overruled() -> None:
    step = Began(onset=Onset.STEP, at=NOW, within=timedelta(hours=12), columns=("x",))
    assert with_onset(Known(), step).step_at == (
        "about 09 Mar 00:00 UTC, to 12 hours; no deploy or pipeline run that is known here fits it"
    )
    assert with_onset(Known(), replace(step, onset=Onset.RAMP)) == Known()
    assert with_onset(Known(), None) == Known()


def at(hours: float, what: str, wide: float = 0.0) -> Change:
    moment = NOW + timedelta(hours=hours)
    return Change(what=what, earliest_at=moment - timedelta(hours=wide), latest_at=moment)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ((at(-13, "too early"), at(13, "too late")), "no deploy or pipeline run that is known here fits it"),
        ((at(-3, "api was rolled out anew"),), "near it: api was rolled out anew, 08 Mar 21:00 UTC"),
        (
            (at(9, "c"), at(-8, "b"), at(40, "seen late", 60), at(-2, "a")),
            "near it: a, 08 Mar 22:00 UTC; b, 08 Mar 16:00 UTC, and 2 more",
        ),
        ((at(20, "pointer", 30),), "near it: pointer, between 08 Mar 14:00 and 09 Mar 20:00 UTC"),
    ],
    ids=["nothing near", "a deploy", "the nearest first", "known only between two looks"],
)
def test_a_step_is_held_against_what_changed(changes: tuple[Change, ...], told: str) -> None:
    step = Began(onset=Onset.STEP, at=NOW, within=timedelta(hours=12), columns=("x",))
    assert with_onset(Known(changes=changes), step).step_at == f"about 09 Mar 00:00 UTC, to 12 hours; {told}"


def test_the_name_of_a_change_is_only_text() -> None:
    step = Began(onset=Onset.STEP, at=NOW, within=timedelta(hours=12), columns=("x",))
    said = with_onset(Known(changes=(at(0, "a\x00\n" + "b" * 900),)), step).step_at
    assert "\n" not in said
    assert len(said) < 300
