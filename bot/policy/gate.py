"""The evaluation gate: whether a version may be promoted, judged by what its training recorded.

A gate compares numbers that somebody measured earlier; it measures nothing itself. So it is strict about what it does
not know: a number that was not recorded never passes, and a comparison with the champion counts only when both were
judged on the same data.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from fnmatch import fnmatchcase

PASS, FAIL, MISSING, WARN = "pass", "FAIL", "not recorded", "warning"
APART = "not compared"  # both were recorded, but not on the same data
JUDGING = frozenset({"evaluation", "eval", "validation", "test", "testing", "holdout"})  # what such data is called
_ROUNDING = 1e-9
_CAP = 40  # characters of a foreign name or value that are shown


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSet:
    """Data that a run used."""

    name: str
    digest: str
    context: str = ""  # what for: "training", "validation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What was recorded about one version when it was made."""

    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    data: tuple[DataSet, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Criterion:
    """What one metric must keep to. A pattern with `*` means every metric that fits, at least one."""

    metric: str
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    improves_by: float | None = None  # at least so much better than the champion
    worsens_by: float | None = None  # at most so much worse than the champion
    is_share: bool = False  # the two above are shares of the champion's value
    lower_is_better: bool = False

    @property
    def compares(self) -> bool:
        """True when the champion's value matters."""
        return self.improves_by is not None or self.worsens_by is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What a version must show before it may be promoted."""

    criteria: tuple[Criterion, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)  # of the version, or of its run
    same_data_by: str = ""  # run's parameter or tag that names the evaluation data; "" for the data sets it logged
    same_data_is_must: bool = True  # False: other data is a warning, and the comparison counts all the same
    may_be_overruled: bool = False  # two approvers may set a failed gate aside

    @property
    def compares(self) -> bool:
        """True when a criterion looks at the champion."""
        return any(one.compares for one in self.criteria)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What must stand at one place of a prediction's answer."""

    at: str  # JSON pointer
    equals: str = ""  # compared as text; "" for no such demand
    at_least: float | None = None
    at_most: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Smoke:
    """One prediction that the server must answer as expected after a change."""

    path: str
    body: str  # JSON text
    expects: tuple[Expectation, ...]
    within: timedelta = timedelta(seconds=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One row of the gate's table."""

    verdict: str  # PASS, FAIL, MISSING, APART, WARN
    what: str
    value: str
    bound: str
    told: str = ""  # the sentence, where the form below would not read well

    @property
    def row(self) -> tuple[str, str, str, str]:
        """As a table shows it."""
        return self.verdict, self.what, self.value, self.bound

    @property
    def sentence(self) -> str:
        """As in: accuracy is 0.41, must be at least 0.95."""
        if self.told:
            return self.told
        if self.verdict == APART:
            return f"{self.what} cannot be compared"
        if self.verdict == MISSING:
            return f"{self.what}: {self.value or MISSING}, must be {self.bound}"
        return f"{self.what} is {self.value}, must be {self.bound}"


def judge(
    gate: Gate, candidate: Evaluation, version_tags: Mapping[str, str], champion: Evaluation | None
) -> tuple[Check, ...]:
    """Every criterion with its verdict, in the order of the profile. `champion` is None when its run is not known."""
    rows: list[Check] = []
    comparable = True
    if gate.compares:
        same = _same_data(gate, candidate, champion)
        rows.append(same)
        comparable = same.verdict in (PASS, WARN)
    for criterion in gate.criteria:
        rows += _judged(criterion, candidate, champion, comparable=comparable)
    found = {**candidate.params, **candidate.tags, **version_tags}
    rows += [_tag(name, wanted, found.get(name)) for name, wanted in gate.tags.items()]
    return tuple(rows)


def has_passed(rows: tuple[Check, ...]) -> bool:
    """True when nothing failed and nothing is missing. An empty gate has not been passed."""
    return bool(rows) and all(row.verdict in (PASS, WARN) for row in rows)


def number(value: float) -> str:
    """A metric as people read it, exact enough to tell two models apart."""
    return f"{value:.4g}"


def _judged(
    criterion: Criterion, candidate: Evaluation, champion: Evaluation | None, *, comparable: bool
) -> Iterator[Check]:
    names = [criterion.metric]
    if "*" in criterion.metric:
        names = sorted(name for name in candidate.metrics if fnmatchcase(name, criterion.metric))
        if champion is not None and criterion.compares:  # one that the candidate lost counts as missing
            names = sorted({*names, *(one for one in champion.metrics if fnmatchcase(one, criterion.metric))})
    if not names:
        text = " and ".join(_bounds(criterion)) or "recorded"
        yield Check(verdict=MISSING, what=_short(criterion.metric), value="", bound=text)
    for name in names:
        value = candidate.metrics.get(name)
        yield from _absolute(criterion, name, value)
        if criterion.compares:
            found = _relative(criterion, name, value, champion.metrics.get(name) if champion else None)
            yield found if comparable else replace(found, verdict=MISSING if found.verdict == MISSING else APART)


def _absolute(criterion: Criterion, name: str, value: float | None) -> Iterator[Check]:
    demands = (
        (criterion.at_least, "at least", operator.ge), (criterion.above, "above", operator.gt),
        (criterion.at_most, "at most", operator.le), (criterion.below, "below", operator.lt),
    )  # fmt: skip
    for bound, word, holds in demands:
        if bound is None:
            continue
        text = f"{word} {number(bound)}"
        if value is None:
            yield Check(verdict=MISSING, what=_short(name), value="", bound=text)
            continue
        verdict = PASS if math.isfinite(value) and holds(value, bound) else FAIL
        yield Check(verdict=verdict, what=_short(name), value=number(value), bound=text)


def _relative(criterion: Criterion, name: str, value: float | None, champion: float | None) -> Check:
    what, bound = f"{_short(name)} vs champion", " and ".join(_bounds(criterion, only_compared=True))
    if value is None or champion is None:
        told = "" if value is None else f"{number(value)} vs {MISSING}"
        return Check(verdict=MISSING, what=what, value=told, bound=bound)
    told = f"{number(value)} vs {number(champion)}"
    gain = champion - value if criterion.lower_is_better else value - champion
    if criterion.is_share:
        if champion == 0 or not math.isfinite(champion):
            return Check(verdict=MISSING, what=what, value=f"{told}: no share of that", bound=bound)
        gain /= abs(champion)
    enough = math.isfinite(gain)
    if criterion.improves_by is not None:
        enough = enough and gain >= criterion.improves_by - _ROUNDING
    if criterion.worsens_by is not None:
        enough = enough and -gain <= criterion.worsens_by + _ROUNDING
    return Check(verdict=PASS if enough else FAIL, what=what, value=told, bound=bound)


def _bounds(criterion: Criterion, *, only_compared: bool = False) -> list[str]:
    def amount(value: float) -> str:
        return f"{number(value * 100)} %" if criterion.is_share else number(value)

    found = [] if only_compared else [
        f"{word} {number(value)}"
        for word, value in (
            ("at least", criterion.at_least), ("above", criterion.above), ("at most", criterion.at_most),
            ("below", criterion.below),
        )
        if value is not None
    ]  # fmt: skip
    if criterion.improves_by is not None:
        found.append(f"better by {amount(criterion.improves_by)}" if criterion.improves_by else "at least as good")
    found += [f"worse by at most {amount(criterion.worsens_by)}"] if criterion.worsens_by is not None else []
    return found


def _same_data(gate: Gate, candidate: Evaluation, champion: Evaluation | None) -> Check:
    ours, theirs = judged_on(gate, candidate), judged_on(gate, champion) if champion is not None else ""
    what, value, bound = "evaluation data", _short(ours) or MISSING, f"{_short(theirs) or MISSING} (champion's)"
    if not ours or not theirs:
        told = "on which data it and the champion were judged was not recorded for both"
        verdict = MISSING if gate.same_data_is_must else WARN
        return Check(verdict=verdict, what=what, value=value, bound=bound, told=told)
    told = f"it was judged on other data ({value}) than the champion ({_short(theirs)})"
    otherwise = FAIL if gate.same_data_is_must else WARN
    return Check(verdict=PASS if ours == theirs else otherwise, what=what, value=value, bound=bound, told=told)


def judged_on(gate: Gate, evaluation: Evaluation) -> str:
    """What the version was judged on, uncut; "" when that was not recorded."""
    if gate.same_data_by:
        return {**evaluation.params, **evaluation.tags}.get(gate.same_data_by, "")
    sets = sorted({(one.name, one.digest) for one in evaluation.data if one.context.lower() in JUDGING and one.digest})
    return ", ".join(f"{name} {digest}" for name, digest in sets)


def _tag(name: str, wanted: str, found: str | None) -> Check:
    what = f"tag {_short(name)}"
    if found is None:
        return Check(verdict=MISSING, what=what, value="", bound=wanted)
    return Check(verdict=PASS if found == wanted else FAIL, what=what, value=_short(found), bound=wanted)


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _CAP else f"{line[: _CAP - 1]}…"
