"""The signs of broken data that can be read off a screen, each with its bound and the reason for it. Pure.

Every sign asks two things: is the change big enough to matter, and is it beyond chance for this many rows? Chance is
four standard errors, about one in 30,000 for one sign; a screen asks some hundred of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from bot.drift.report import Verdict
from handlers.drift.facts import Column, Form, Screen, Side
from handlers.drift.psi import psi

ERRORS = 4.0  # standard errors
LEAST_ROWS = 20  # below this not even a missing column of values is told from bad luck
MISSING_RISE = 0.02  # of the rows; a source loses a little now and then
MISSING_FALL = 0.10  # missing values that vanish: somebody began to fill them in
UNREADABLE = 0.005  # of the rows; a number column holds numbers or is broken
REJECTED = 0.005  # of the lines of a file
SENTINEL = 0.003  # of the values, all the same and all outside the range: real extremes differ from each other
LEAST_SENTINELS = 4  # rows
OUTSIDE = 0.05  # of the values beyond the reference's range; alone this proves nothing, but it should be looked at
FAR = 0.005  # of the values further out than the whole range is wide: no population moves that far
STUCK = 0.98  # one value nearly everywhere
STUCK_BEFORE = 0.90  # … in a column that knew others
FILLED_RISE = 0.10  # a column of many values in which one suddenly stands out: a default, or stuck for a while
MANY_VALUES = 0.10  # of the rows; the most frequent value of a column of many values has less
RENAMED_LEAST = 0.02  # of the rows; a category with less is not followed
NEW_CATEGORIES = 0.02  # of the values
REPEATED_RISE = 0.03  # of the rows; a batch loaded twice
STANDING_OUT = 10  # different values from which on it is strange that one of them gains so much
STANDING_OUT_RISE = 0.15  # of the values
MOVED = 0.2  # standard deviations; a smaller move of the mean says nothing about the companions
COMPANY_ERRORS = 3.0  # standard errors; this is asked of few columns
FOLLOWED = 0.5  # of the way that the companions should have gone with the column
STAYED = 0.25  # … and below this they did not go along
RELATED = 0.2  # correlation with the target below which its loss is not worth a word
LOST_RELATION = 0.5  # what is left of a correlation that was lost
UNITS = (  # factor and offset from the old unit to the new one
    (10.0, 0.0, "a factor of 10"),
    (100.0, 0.0, "a factor of 100, as between a share and per cent"),
    (1000.0, 0.0, "a factor of 1000, as between milli and whole units"),
    (1e6, 0.0, "a factor of a million"),
    (1e9, 0.0, "a factor of a thousand million"),
    (60.0, 0.0, "a factor of 60, as between seconds and minutes"),
    (3600.0, 0.0, "a factor of 3600, as between seconds and hours"),
    (24.0, 0.0, "a factor of 24, as between hours and days"),
    (12.0, 0.0, "a factor of 12, as between months and years"),
    (1024.0, 0.0, "a factor of 1024"),
    (2.54, 0.0, "a factor of 2.54, as between centimetres and inches"),
    (3.28084, 0.0, "a factor of 3.28, as between feet and metres"),
    (1.60934, 0.0, "a factor of 1.61, as between kilometres and miles"),
    (2.20462, 0.0, "a factor of 2.2, as between pounds and kilograms"),
    (1.8, 32.0, "Celsius and Fahrenheit"),
    (1.0, 273.15, "Celsius and Kelvin"),
    (-1.0, 0.0, "a change of sign"),
)
UNIT_FIT = 0.05  # of the reference's spread: how close the deciles must come once the unit is undone
UNIT_FIT_LARGE = 0.15  # … where the factor is so large that no population could do it
UNIT_LARGE = 10.0
UNIT_GAIN = 4.0  # … and by how much closer than without; else a shift that happens to fit is taken for a unit
UNIT_DECILES = 6  # different ones; columns of few values fit a small factor too easily
UNIT_EVEN = 0.1  # of the factor: how much it may differ from decile to decile
UNIT_ENDS = 0.5  # of the reference's range: how close lowest and highest must come for a small factor


class Points(StrEnum):
    """Which cause a piece of evidence speaks for."""

    DATA_BUG = "data bug"
    VALID = "valid drift"
    EXPECTED = "expected change"
    UNSURE = "unsure"
    NEITHER = "neither"  # worth knowing, and no help in deciding


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One thing seen."""

    sign: str  # a short stable word
    column: str  # "" for the whole window
    sentence: str  # for people, with its numbers
    points: Points
    value: float  # the size of the effect: a share, a factor or hours, as the sentence says


Says = Callable[[str, Points, str], None]


def of_screen(screen: Screen) -> list[Evidence]:
    """All signs in the screen; those that name a fault closely come first."""
    found = [*_of_shape(screen), *_of_repetition(screen)]
    for column in screen.columns:
        found += _of_column(column)
    # Last, since a broken column also loses its relations; what names the fault itself comes first.
    found += [*_of_relations(screen), *_of_company(screen)]
    return found


def _evidence(sign: str, column: str, points: Points, value: float, sentence: str) -> Evidence:
    return Evidence(sign=sign, column=column, sentence=sentence, points=points, value=value)


def _bug(sign: str, column: str, value: float, sentence: str) -> Evidence:
    return _evidence(sign, column, Points.DATA_BUG, value, sentence)


def _is_beyond_chance(before: float, n_before: int, now: float, n_now: int) -> bool:
    """Whether two shares differ by more than four standard errors; both windows need a handful of rows."""
    if min(n_before, n_now) < LEAST_ROWS:
        return False
    pooled = (before * n_before + now * n_now) / (n_before + n_now)
    error = math.sqrt(pooled * (1 - pooled) * (1 / n_before + 1 / n_now))
    return abs(now - before) > ERRORS * error


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share < 0.1 else f"{100 * share:.0f} %"


def _of_shape(screen: Screen) -> Iterator[Evidence]:
    for name in screen.gone:
        yield _bug("column gone", name, 1.0, f"The column {name} is gone.")
    rows = screen.current_rows + screen.current_rejected
    before = screen.reference_rejected / max(1, screen.reference_rows + screen.reference_rejected)
    now = screen.current_rejected / max(1, rows)
    if now - before > REJECTED:
        yield _bug("bad lines", "", now, f"{_percent(now)} of the lines cannot be read, up from {_percent(before)}.")


def _of_repetition(screen: Screen) -> Iterator[Evidence]:
    before, now = screen.reference_repeated_share, screen.current_repeated_share
    if before is None or now is None or now - before <= REPEATED_RISE:
        return
    n = min(screen.reference_rows, screen.current_rows)
    if _is_beyond_chance(before, n, now, n):
        yield _bug(
            "repeated rows", "", now - before,
            f"{_percent(now)} of the rows repeat another one, up from {_percent(before)}: loaded twice?",
        )  # fmt: skip


def _of_relations(screen: Screen) -> Iterator[Evidence]:
    """Columns that told something about the target and no longer do, although each alone looks as before."""
    if not screen.target:
        return
    related = [
        column for column in screen.columns
        if column.reference.relation is not None and abs(column.reference.relation) >= RELATED
        and min(column.reference.n, column.current.n) >= LEAST_ROWS
    ]  # fmt: skip
    lost = [column for column in related if _is_lost(column)]
    if not lost or 2 * len(lost) <= len(related):
        return
    target = next(column for column in screen.columns if column.name == screen.target)
    worst = max(lost, key=lambda column: abs(column.reference.relation or 0.0))
    sentence = (
        f"{len(lost)} of {len(related)} columns lost their relation to {screen.target} ({worst.name}: correlation "
        f"{worst.reference.relation or 0.0:.2f} → {worst.current.relation or 0.0:.2f})"
    )
    is_as_before = all(column.drift.verdict in {Verdict.STABLE, Verdict.NONE_YET} for column in (target, *lost))
    if is_as_before:
        yield _bug("relation", screen.target, len(lost) / len(related),
                   f"{sentence}, while each alone looks as before: rows joined wrongly, or shuffled?")  # fmt: skip
    else:
        yield _evidence("relation", screen.target, Points.UNSURE, len(lost) / len(related),
                        f"{sentence}: the model's lesson may no longer hold, or rows are joined wrongly.")  # fmt: skip


def _is_lost(column: Column) -> bool:
    before, now = column.reference.relation or 0.0, column.current.relation or 0.0
    if abs(now) > LOST_RELATION * abs(before) and before * now > 0:
        return False
    # Fisher's transformation makes the error of a correlation depend on the rows alone.
    limit = 0.999
    step = math.atanh(max(-limit, min(limit, before))) - math.atanh(max(-limit, min(limit, now)))
    error = math.sqrt(1 / max(1, column.reference.n - 3) + 1 / max(1, column.current.n - 3))
    return abs(step) > ERRORS * error


def _of_column(column: Column) -> Iterator[Evidence]:
    if column.type_change:
        yield _bug("type", column.name, 1.0, f"{column.name} changed its type: {column.type_change}.")
    yield from _of_health(column)
    yield from _of_concentration(column)
    match column.form:
        case Form.NUMBER:
            yield from _of_range(column)
        case Form.CATEGORY:
            yield from _of_categories(column)
        case Form.TIME:
            yield from _of_hours(column)


def _of_health(column: Column) -> Iterator[Evidence]:
    before, now = column.reference, column.current
    rise = now.missing_share - before.missing_share
    if _is_beyond_chance(before.missing_share, before.rows, now.missing_share, now.rows):
        told = f"missing values in {column.name}: {_percent(before.missing_share)} → {_percent(now.missing_share)}."
        if rise > MISSING_RISE:
            yield _bug("missing", column.name, rise, f"More {told}")
        elif -rise > MISSING_FALL:
            yield _evidence("missing", column.name, Points.UNSURE, rise, f"Fewer {told} Are they filled in now?")
    for sign, was, is_now, what in (
        ("unreadable", before.unreadable_share, now.unreadable_share, f"are not a {column.form}"),
        ("infinite", before.infinite_share, now.infinite_share, "are infinite"),
    ):
        if is_now - was > UNREADABLE and _is_beyond_chance(was, before.rows, is_now, now.rows):
            yield _bug(sign, column.name, is_now, f"{_percent(is_now)} of the values of {column.name} {what}.")


def _of_concentration(column: Column) -> Iterator[Evidence]:
    """One value that took the column over, wholly or for a part of the window."""
    before, now = column.reference, column.current
    if column.form is Form.TIME or not _is_beyond_chance(before.top_share, before.n, now.top_share, now.n):
        return
    gain = now.top_share - before.top_share
    is_stuck = now.top_share >= STUCK and before.top_share < STUCK_BEFORE
    is_many = column.form is Form.NUMBER and before.distinct >= STANDING_OUT
    if is_stuck or (is_many and before.top_share < MANY_VALUES and gain > FILLED_RISE):
        yield _bug(
            "stuck", column.name, gain,
            f"{_percent(now.top_share)} of {column.name} is one value, {now.top[:40]}; before, the most frequent one "
            f"had {_percent(before.top_share)}.",
        )  # fmt: skip
    elif is_many and gain > STANDING_OUT_RISE:
        told = f"One value of {column.name}, {now.top[:40]}, went from {_percent(before.top_share)} to "
        yield _evidence("standing out", column.name, Points.UNSURE, gain, f"{told}{_percent(now.top_share)} of it.")


def _of_company(screen: Screen) -> Iterator[Evidence]:
    """Whether what goes with a drifted column went along. A population moves as a whole, a broken feed moves alone."""
    by_name = {column.name: column for column in screen.columns}
    for column in screen.columns:
        moved = _moved(column)
        if not column.companions or abs(moved) < MOVED:
            continue
        pairs = [
            (companion.relation * moved, _moved(by_name[companion.name]))
            for companion in column.companions
            if companion.name in by_name
        ]
        weight = sum(should * should for should, _ in pairs)
        error = math.sqrt(1 / max(1, column.reference.n) + 1 / max(1, column.current.n))
        if not weight:
            continue
        followed = sum(should * did for should, did in pairs) / weight
        doubt = COMPANY_ERRORS * error / math.sqrt(weight)  # large where the relation is weak or the rows are few
        names = ", ".join(companion.name for companion in column.companions)
        if followed >= max(FOLLOWED, doubt):
            yield _evidence("company", column.name, Points.VALID, followed,
                            f"What goes with {column.name} moved along ({names}).")  # fmt: skip
        elif followed < min(STAYED, 1 - doubt):
            yield _evidence("company", column.name, Points.UNSURE, followed,
                            f"{column.name} moved alone: what goes with it ({names}) stayed.")  # fmt: skip


def _moved(column: Column) -> float:
    """How far the mean went, in standard deviations of the reference."""
    before, now = column.reference, column.current
    if before.mean is None or now.mean is None or not before.deviation:
        return 0.0
    return (now.mean - before.mean) / before.deviation


def _of_range(column: Column) -> Iterator[Evidence]:
    unit = unit_change(column.reference, column.current)
    if unit:
        factor, words = unit
        yield _bug("unit", column.name, factor, f"{column.name} looks as if its unit changed: {words}.")
    n_before, n = column.reference.n, column.current.n
    outside = column.outside_share
    if n < LEAST_ROWS or not _is_beyond_chance(2 / max(1, n_before), n_before, outside, n):
        return
    value, share = column.outside_top, column.outside_top_share
    if value is not None and share >= SENTINEL and share * n >= LEAST_SENTINELS and share >= outside / 2:
        yield _bug(
            "sentinel", column.name, share,
            f"{_percent(share)} of {column.name} is {value:g}, outside all seen before: a stand-in for missing?",
        )  # fmt: skip
    elif column.far_share >= FAR:
        told = f"{_percent(column.far_share)} of {column.name} is further out than its whole range is wide."
        yield _bug("range", column.name, column.far_share, told)
    elif outside >= OUTSIDE:
        yield _evidence("range", column.name, Points.UNSURE, outside,
                        f"{_percent(outside)} of {column.name} is outside the range seen before.")  # fmt: skip


def unit_change(before: Side, now: Side) -> tuple[float, str] | None:
    """The factor, and in words the change of unit, that maps the old deciles onto the new ones; None when none does."""
    old, new = before.deciles, now.deciles
    if len(old) != len(new) or not old or now.n < LEAST_ROWS or old[-1] <= old[0]:
        return None
    apart = _apart(old, new)
    for factor, offset, words in UNITS:
        for is_back in (False, True):
            fit = _apart(old, sorted(_undone(value, factor, offset, is_back=is_back) for value in new))
            if fit * UNIT_GAIN < apart and _fits(before, now, fit, (factor, offset, is_back)):
                return (1 / factor if is_back else factor), words
    return None


def _undone(value: float, factor: float, offset: float, *, is_back: bool) -> float:
    return value * factor + offset if is_back else (value - offset) / factor


def _apart(old: Sequence[float], new: Sequence[float]) -> float:
    """The largest distance between two rows of deciles, in units of the old spread."""
    return max(abs(is_now - was) for was, is_now in zip(old, new, strict=True)) / (old[-1] - old[0])


def _is_even(old: Sequence[float], new: Sequence[float]) -> bool:
    """Whether all deciles went by the same factor. In a long-tailed column only the last ones show in a distance."""
    small = UNIT_FIT * (old[-1] - old[0])
    ratios = [is_now / was for was, is_now in zip(old, new, strict=True) if abs(was) > small]
    return bool(ratios) and max(ratios) - min(ratios) <= UNIT_EVEN * abs(max(ratios, key=abs))


def _fits(before: Side, now: Side, fit: float, unit: tuple[float, float, bool]) -> bool:
    factor, offset, is_back = unit
    # With few rows the deciles themselves wander, so closeness is asked for in their own error.
    wander = 2.5 / math.sqrt(min(before.n, now.n))
    if abs(factor) >= UNIT_LARGE:
        return fit <= max(UNIT_FIT_LARGE, wander)
    if fit > max(UNIT_FIT, wander) or len(set(before.deciles)) < UNIT_DECILES:
        return False
    if not offset and factor > 0 and not _is_even(before.deciles, now.deciles):
        return False
    # A population can lean by a small factor, but then it keeps its ends: a scale of 0 to 16 still ends at 16.
    if None in (before.lowest, before.highest, now.lowest, now.highest):
        return False
    ends = sorted(_undone(end or 0.0, factor, offset, is_back=is_back) for end in (now.lowest, now.highest))
    low, high = before.lowest or 0.0, before.highest or 0.0
    return max(abs(ends[0] - low), abs(ends[1] - high)) <= UNIT_ENDS * (high - low)


def _of_categories(column: Column) -> Iterator[Evidence]:
    n_before, n = column.reference.n, column.current.n
    renamed: set[str] = set()
    for lost, had in column.lost:
        if had < RENAMED_LEAST or not _is_beyond_chance(had, n_before, 0.0, n):
            continue
        heir = next(
            (name for name, share in column.new
             if name not in renamed and not _is_beyond_chance(had, n_before, share, n)
             and abs(share - had) <= max(RENAMED_LEAST, had / 3)), None,
        )  # fmt: skip
        if heir is None:
            yield _evidence("category gone", column.name, Points.UNSURE, had,
                            f"{column.name} no longer has “{lost[:40]}”, which was {_percent(had)} of it.")  # fmt: skip
        else:
            renamed.add(heir)
            told = f"In {column.name}, “{lost[:40]}” is gone and “{heir[:40]}” came in its place: renamed?"
            yield _bug("renamed", column.name, had, told)
    rest = column.new_share - sum(share for name, share in column.new if name in renamed)
    if rest >= NEW_CATEGORIES and _is_beyond_chance(0.0, n_before, rest, n):
        named = ", ".join(f"“{name[:40]}”" for name, _ in column.new if name not in renamed)
        yield _evidence("new category", column.name, Points.UNSURE, rest,
                        f"{_percent(rest)} of {column.name} is new: {named}.")  # fmt: skip


def _of_hours(column: Column) -> Iterator[Evidence]:
    """Whether the day keeps its shape but stands some hours later or earlier."""
    if column.drift.verdict not in {Verdict.MODERATE, Verdict.HIGH}:
        return
    now, before = column.current_counts, column.reference_counts
    apart = column.drift.value or 0.0
    shifts = {
        hours: psi(before, [now[(hour + hours) % len(now)] for hour in range(len(now))]) or 0.0
        for hours in range(-12, 13) if hours
    }  # fmt: skip
    best = min(shifts, key=lambda hours: (shifts[hours], abs(hours)))
    if shifts[best] < min(column.drift.bound or 0.0, apart / UNIT_GAIN):
        way = f"{abs(best)} h {'later' if best > 0 else 'earlier'}"
        told = f"{column.name} stands {way} than before, with the day's shape kept: a time zone?"
        yield _bug("time zone", column.name, float(best), told)
