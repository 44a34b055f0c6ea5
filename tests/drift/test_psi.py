"""The index against known values, and the rules on what may be said with it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.drift.report import Verdict
from handlers.drift.psi import (
    POOLED,
    Lines,
    counted,
    cuts_from,
    judged,
    noise_level,
    of_categories,
    of_histogram,
    of_values,
    psi,
    rows_for,
)

COUNTS = st.lists(st.integers(0, 10_000), min_size=1, max_size=30)


def normal(n: int, *, shift: float = 0.0, seed: int = 0) -> list[float]:
    return [float(value) for value in np.random.default_rng(seed).normal(shift, 1, n)]


@given(COUNTS)
def test_the_same_counts_do_not_differ(counts: list[int]) -> None:
    value = psi(counts, counts)
    assert value is None if not sum(counts) else value == pytest.approx(0, abs=1e-12)


@given(st.data())
def test_it_is_finite_never_negative_and_the_same_both_ways(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 20))
    one, two = (data.draw(st.lists(st.integers(0, 9999), min_size=size, max_size=size)) for _ in range(2))
    there, back = psi(one, two), psi(two, one)
    assert (there is None) == (not sum(one) or not sum(two))
    if there is not None and back is not None:
        assert math.isfinite(there)
        assert there >= -1e-12
        assert there == pytest.approx(back)


def test_a_hand_calculation_agrees() -> None:
    # (60.5/101 − 40.5/101) · ln(60.5/40.5), once for each of the two bins
    assert psi([40, 60], [60, 40]) == pytest.approx(2 * (20 / 101) * math.log(60.5 / 40.5))


@pytest.mark.parametrize(("shift", "low", "high"), [(0.0, 0.0, 0.02), (0.5, 0.2, 0.3), (1.0, 0.8, 1.1)])
def test_a_shift_of_a_bell_has_its_known_height(shift: float, low: float, high: float) -> None:
    drift = of_values(normal(5000), normal(5000, shift=shift, seed=1))
    assert drift.value is not None
    assert low <= drift.value <= high


def test_one_wild_value_does_not_blind_it() -> None:
    """With bins of equal width a single −999 hides a shift of a whole standard deviation."""
    plain = of_values(normal(5000), normal(5000, shift=1, seed=1)).value
    wild = of_values([*normal(5000), -999.0], [*normal(5000, shift=1, seed=1), -999.0]).value
    assert plain is not None
    assert wild == pytest.approx(plain, rel=0.02)


def test_values_below_all_seen_do_not_hide_in_the_bin_of_a_frequent_lowest_one() -> None:
    before = [0.0] * 800 + [float(value) for value in range(1, 201)]
    drift = of_values(before, [-5.0] * 500 + before[:500])
    assert drift.verdict is Verdict.HIGH


def test_a_column_that_was_constant_is_compared() -> None:
    assert of_values([3.0] * 600, [3.0] * 600).verdict is Verdict.STABLE
    assert of_values([3.0] * 600, normal(600)).verdict is Verdict.HIGH


def test_nan_is_no_value_and_infinity_is_beyond_the_last_bin() -> None:
    cuts = cuts_from([1, 2, 3, 4, math.nan, math.inf], bins=2)
    assert counted([math.nan, -math.inf, math.inf], cuts)[-1] == 1
    assert sum(counted([math.nan, -math.inf, math.inf], cuts)) == 2
    assert cuts_from([math.nan]) == ()


@pytest.mark.parametrize(
    ("n", "shift", "verdict"),
    [
        (199, 2.0, Verdict.NONE_YET),  # however far it moved
        (200, 2.0, Verdict.HIGH),
        (499, 0.4, Verdict.NONE_YET),
        (499, 0.0, Verdict.NONE_YET),  # quiet, but "stable" needs 500
        (500, 0.0, Verdict.STABLE),
        (5000, 0.4, Verdict.MODERATE),
        (5000, 1.0, Verdict.HIGH),
    ],
)
def test_the_sample_decides_what_may_be_said(n: int, shift: float, verdict: Verdict) -> None:
    drift = of_values(normal(5000), normal(n, shift=shift, seed=2))
    assert drift.verdict is verdict
    assert drift.n == n


def test_the_smaller_side_counts_whichever_it_is() -> None:
    assert of_values(normal(150), normal(5000, shift=2)).verdict is Verdict.NONE_YET


def test_what_noise_alone_can_reach_is_neither_drift_nor_stable() -> None:
    """Forty categories at 500 rows: noise is higher than the line."""
    before = {f"c{place}": 13 for place in range(40)}
    now = {name: 13 + (6 if place % 2 else -6) for place, name in enumerate(before)}
    drift = of_categories(before, now)
    assert drift.value is not None
    assert drift.noise is not None
    assert 0.1 < drift.value < drift.noise
    assert drift.verdict is Verdict.NONE_YET


@pytest.mark.parametrize("n", [200, 500, 2000])
def test_noise_is_what_unchanged_data_reach_once_in_a_hundred(n: int) -> None:
    chance = np.random.default_rng(3)
    level = noise_level(10, n, n)
    beyond = sum((psi(*(chance.multinomial(n, [0.1] * 10) for _ in range(2))) or 0) > (level or 0) for _ in range(2000))
    assert beyond / 2000 < 0.02


def test_noise_grows_with_the_columns_and_is_unknown_without_rows() -> None:
    assert (noise_level(10, 500, 500, columns=100) or 0) > (noise_level(10, 500, 500) or 0)
    assert noise_level(10, 0, 500) is None


def test_lines_are_checked_and_a_lower_line_needs_more_rows() -> None:
    assert [rows_for(line) for line in (0.3, 0.1, 0.05)] == [200, 500, 1000]
    for moderate, high in ((0.3, 0.1), (0.0, 0.3), (0.1, math.inf), (math.nan, 0.3)):
        with pytest.raises(ValueError, match="profile"):
            Lines(moderate=moderate, high=high)


def test_rare_categories_are_pooled_and_a_frequent_new_one_is_not() -> None:
    rare = {f"r{place}": 1 for place in range(300)}
    assert of_categories({"a": 700, **rare}, {"a": 700, **{f"q{place}": 1 for place in range(300)}}).verdict is (
        Verdict.STABLE
    )
    assert of_categories({"a": 700, **rare}, {"a": 400, "new": 300, **rare}).verdict is Verdict.HIGH
    assert of_categories({"a": 700, POOLED: 300}, {"a": 700, POOLED: 300}).value == pytest.approx(0)


def test_a_window_of_a_histogram_is_taken_apart_first() -> None:
    before = {0.25: 1000.0, 0.5: 2000.0, 1.0: 3000.0, math.inf: 3000.0}
    moved = {0.25: 200.0, 0.5: 800.0, 1.0: 3000.0, math.inf: 3000.0}
    assert of_histogram(before, before).verdict is Verdict.STABLE
    drift = of_histogram(before, moved)
    assert drift.verdict is Verdict.HIGH
    assert drift.value == pytest.approx(judged([1000, 1000, 1000, 0], [200, 600, 2200, 0]).value)
    assert drift.n == 3000


def test_an_empty_window_is_no_verdict() -> None:
    empty = dict.fromkeys((0.5, math.inf), 0.0)
    drift = of_histogram(empty, {0.5: 10.0, math.inf: 900.0})
    assert (drift.value, drift.verdict, drift.n) == (None, Verdict.NONE_YET, 0)


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        ({0.5: 1.0, math.inf: 2.0}, {0.7: 1.0, math.inf: 2.0}, "same buckets"),
        ({0.5: 1.0}, {0.5: 1.0}, "Inf"),
        ({}, {}, "Inf"),
        ({0.5: 5.0, math.inf: 2.0}, {0.5: 1.0, math.inf: 2.0}, "reset"),
        ({0.5: math.nan, math.inf: 2.0}, {0.5: 1.0, math.inf: 2.0}, "finite"),
    ],
)
def test_a_window_that_is_none_is_refused_with_what_to_do(
    before: dict[float, float], now: dict[float, float], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        of_histogram(before, now)


def test_extrapolation_by_a_hair_is_forgiven() -> None:
    window = {0.5: 600.0000001, 1.0: 600.0, math.inf: 600.0}
    assert of_histogram(window, window).value == pytest.approx(0)


def test_counts_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="same bins"):
        psi([1, 2], [1])
    with pytest.raises(ValueError, match="finite"):
        psi([1, -2], [1, 2])
