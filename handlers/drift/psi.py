"""The population stability index, and what may be said with it.

The index compares two distributions bin by bin: the sum of (current share − reference share) · ln(current / reference).

- **Bins** are cut at the reference's own deciles. Bins of equal width over the joined range are blinded by one wild
  value: it stretches the range until all ordinary values share a bin. A decile stays where it is.
- **Pseudo-count**: every bin gets half a row on both sides. An empty bin would make the logarithm infinite; half a row
  keeps the answer finite and fades as rows come in. A bin that is empty on both sides is left out.
- **Noise**: two samples of one population differ too. Their index is about chi-squared with (bins − 1) degrees of
  freedom, times (1/n + 1/m). `noise` is the height that only one set of unchanged columns in a hundred exceeds, so it
  grows with the number of columns looked at.
- **Verdict**: no line is judged on fewer rows than it needs: 200 for 0.3, 500 for 0.1. And a value that noise alone can
  reach is never called drift, nor stable.

Rejected: p-values, which find every difference significant once the windows are large.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist

from bot.drift.report import Verdict

BINS = 10
PSEUDO_COUNT = 0.5  # rows added to each bin of both sides
ROWS_FOR_HIGH = 200  # below, half of all unchanged windows may cross 0.3
ROWS_FOR_MODERATE = 500  # below, up to a fifth of all unchanged windows cross 0.1
FALSE_ALARM_RATIO = 0.01  # of unchanged sets of columns, not of columns
POOLED = "(all others)"
MIN_EXPECTED = 5.0  # rows; the chi-squared approximation wants at least so many in a category


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """Where a system draws its lines. Raises ValueError when they are not 0 < moderate < high."""

    moderate: float = 0.1
    high: float = 0.3

    def __post_init__(self) -> None:
        if not 0 < self.moderate < self.high < math.inf:
            raise ValueError(
                f"Drift lines must be numbers with 0 < moderate < high; got {self.moderate} and {self.high}. "
                "Correct them in the profile."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How far one distribution moved, and whether that means anything."""

    n: int  # rows of the smaller side that had a value; the smaller side decides what can be seen
    value: float | None  # the index; None when one side has no rows
    bound: float | None  # the line the value was held against: the profile's, or the noise when that is higher
    noise: float | None  # unchanged data stays below this in 99 of 100 runs
    verdict: Verdict


DEFAULT_LINES = Lines()


def cuts_of(deciles: Iterable[float], lowest: float) -> tuple[float, ...]:
    """The upper edges of the bins, ascending and without repeats, from the reference's inner quantiles and minimum.

    A bin is open below and closed above; a last one, beyond the last edge, is understood. Where many rows share the
    lowest value, an edge just below it is added, so that lower values than ever seen do not hide in its bin.
    """
    edges = sorted({float(edge) for edge in deciles if math.isfinite(edge)})
    if edges and edges[0] <= lowest:
        edges.insert(0, math.nextafter(lowest, -math.inf))
    return tuple(edges)


def cuts_from(values: Iterable[float], bins: int = BINS) -> tuple[float, ...]:
    """The same from the reference's values themselves; values that are not finite are left out."""
    ordered = sorted(value for value in values if math.isfinite(value))
    if not ordered:
        return ()
    last = len(ordered) - 1
    return cuts_of((ordered[last * step // bins] for step in range(1, bins)), ordered[0])


def counted(values: Iterable[float], cuts: Sequence[float]) -> tuple[int, ...]:
    """How many of the values fall into each bin. NaN is no value; an infinity belongs to the outermost bin."""
    counts = [0] * (len(cuts) + 1)
    for value in values:
        if not math.isnan(value):
            counts[bisect_left(cuts, value)] += 1
    return tuple(counts)


def psi(reference: Sequence[float], current: Sequence[float]) -> float | None:
    """The index of two rows of counts over the same bins; None when either is empty. Raises ValueError otherwise."""
    if len(reference) != len(current):
        raise ValueError(f"Both sides need the same bins; got {len(reference)} and {len(current)}.")
    if any(not 0 <= count < math.inf for count in (*reference, *current)):
        raise ValueError("Counts must be finite and not negative.")
    pairs = [(was, now) for was, now in zip(reference, current, strict=True) if was or now]
    before, after = sum(reference), sum(current)
    if not before or not after:
        return None
    spread = PSEUDO_COUNT * len(pairs)
    total = 0.0
    for was, now in pairs:
        share, share_now = (was + PSEUDO_COUNT) / (before + spread), (now + PSEUDO_COUNT) / (after + spread)
        total += (share_now - share) * math.log(share_now / share)
    return total


def noise_level(bins: int, reference_n: int, current_n: int, columns: int = 1) -> float | None:
    """The index that unchanged data of this size stays below in 99 of 100 runs over so many columns.

    None without rows. The chi-squared quantile is Wilson and Hilferty's, within 2 % for the sizes here.
    """
    if not reference_n or not current_n:
        return None
    freedom = max(1, bins - 1)
    beyond = NormalDist().inv_cdf(1 - FALSE_ALARM_RATIO / max(1, columns))
    quantile = freedom * (1 - 2 / (9 * freedom) + beyond * math.sqrt(2 / (9 * freedom))) ** 3
    return quantile * (1 / reference_n + 1 / current_n)


def rows_for(line: float) -> int:
    """How many rows a line needs before it is judged; a lower line than 0.1 needs more, in proportion."""
    if line >= 0.3:
        return ROWS_FOR_HIGH
    if line >= 0.1:
        return ROWS_FOR_MODERATE
    return math.ceil(ROWS_FOR_MODERATE * 0.1 / line)


def judged(
    reference: Sequence[float], current: Sequence[float], *, columns: int = 1, lines: Lines = DEFAULT_LINES
) -> Drift:
    """The index of two rows of counts with its verdict. `columns`: how many are looked at in this run."""
    value = psi(reference, current)
    before, after = int(sum(reference)), int(sum(current))
    bins = sum(1 for was, now in zip(reference, current, strict=True) if was or now)
    noise = noise_level(bins, before, after, columns)
    n = min(before, after)
    verdict, bound = verdict_of(n, value, noise, lines)
    return Drift(n=n, value=value, bound=bound, noise=noise, verdict=verdict)


def verdict_of(n: int, value: float | None, noise: float | None, lines: Lines) -> tuple[Verdict, float | None]:
    """The verdict, and the line that decided it."""
    if value is None or noise is None or n < min(rows_for(lines.high), rows_for(lines.moderate)):
        return Verdict.NONE_YET, None
    high, moderate = max(lines.high, noise), max(lines.moderate, noise)
    if n >= rows_for(lines.high) and value > high:
        return Verdict.HIGH, high
    if n < rows_for(lines.moderate):
        # Not past the upper line; whether past the lower one cannot be seen with so few rows.
        return Verdict.NONE_YET, high
    if value > moderate:
        return Verdict.MODERATE, moderate
    if value > lines.moderate:  # past the line, but noise gets there too
        return Verdict.NONE_YET, moderate
    return Verdict.STABLE, moderate


def of_values(
    reference: Sequence[float], current: Sequence[float], *, columns: int = 1, lines: Lines = DEFAULT_LINES
) -> Drift:
    """Two samples of a number. Missing values (NaN) are left out: watch their share beside this."""
    cuts = cuts_from(reference)
    return judged(counted(reference, cuts), counted(current, cuts), columns=columns, lines=lines)


def of_categories(
    reference: Mapping[str, int], current: Mapping[str, int], *, columns: int = 1, lines: Lines = DEFAULT_LINES
) -> Drift:
    """Two counts by category. A category too rare to count on is pooled; one that is new and not rare stands alone."""
    before, after = sum(reference.values()), sum(current.values())
    names = sorted(set(reference) | set(current))
    kept = [name for name in names if name != POOLED and _is_frequent(name, reference, current, before, after)]
    was = [reference.get(name, 0) for name in kept]
    now = [current.get(name, 0) for name in kept]
    return judged([*was, before - sum(was)], [*now, after - sum(now)], columns=columns, lines=lines)


def _is_frequent(name: str, reference: Mapping[str, int], current: Mapping[str, int], before: int, after: int) -> bool:
    """Whether the smaller side would hold enough rows of it, had nothing changed."""
    if not before or not after:
        return True
    share = (reference.get(name, 0) + current.get(name, 0)) / (before + after)
    return share * min(before, after) >= MIN_EXPECTED


def of_histogram(
    reference: Mapping[float, float], current: Mapping[float, float], *, lines: Lines = DEFAULT_LINES
) -> Drift:
    """Two windows of one Prometheus histogram, each as upper bound → increase of its bucket, +Inf included.

    Buckets are cumulative, so neighbours are subtracted. Raises ValueError, with what to do, when the two do not have
    the same buckets, when +Inf is missing, or when a window is not cumulative. Says nothing about inputs, nor about
    single values: only how the predictions are spread.
    """
    if set(reference) != set(current):
        raise ValueError(
            "The two windows do not have the same buckets, so they cannot be compared: the histogram was changed "
            "between them. Take a reference window after that change."
        )
    return judged(_uncumulated(reference), _uncumulated(current), lines=lines)


def _uncumulated(window: Mapping[float, float]) -> tuple[float, ...]:
    bounds = sorted(window)
    if not bounds or bounds[-1] != math.inf:
        raise ValueError("A histogram window needs its +Inf bucket; ask for all values of the label `le`.")
    heights = [window[bound] for bound in bounds]
    if any(not 0 <= height < math.inf for height in heights):
        raise ValueError("A bucket is not a finite, positive number; there is no data in this window, or a bad query.")
    # increase() extrapolates each bucket for itself, so neighbours may cross by a hair
    slack = 1e-6 * max(1.0, heights[-1])
    if any(upper < lower - slack for lower, upper in pairwise(heights)):
        raise ValueError("The buckets do not rise from bound to bound; a counter was probably reset in this window.")
    return tuple(max(0.0, upper - lower) for lower, upper in pairwise([0.0, *heights]))
