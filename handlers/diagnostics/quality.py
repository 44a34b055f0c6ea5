"""How good the model is, by true labels: with how many there are, how late they come, and against its own baseline.

No label, too few, or a share of labelled rows that nobody measures: each is said, and none of them is "fine". The
baseline is what the registry recorded for the version that is served, so a new version is not judged by an old one's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from bot.drift.labelled import Labelled
from bot.model import Finding
from bot.policy import ModelProfile
from bot.policy.quality import KNOWN, LOWER_IS_BETTER, QualityProfile
from bot.ports import Evaluations, Foreign, Metrics, ModelVersion, Scene
from handlers._look import length, listed, metrics_of, profile_of, registry_of, server_of, shown

FINE, WORSE, UNKNOWN, NO_BASELINE = "within its baseline", "WORSE", "not known", "no baseline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was found out about a window. None: nobody knows."""

    values: Mapping[str, float | None]
    labelled: int | None
    coverage: float | None  # share of the predictions that have a label
    delay: timedelta | None  # half of the labels come within it
    slow: timedelta | None = None  # nine of ten come within it
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What the registry recorded for the version that is served."""

    version: str
    values: Mapping[str, float] = field(default_factory=dict)
    why_not: str = ""


class Quality:
    """The diagnostic as the registry of handlers knows it."""

    name = "quality"
    question = "How good is the model by true labels, and how many have come in?"
    needs = ("quality",)

    def ask(self, scene: Scene) -> Finding:
        """One row per metric. Raises Foreign when what measures does not answer, or the profile says nothing."""
        model = profile_of(scene)
        rules = model.quality
        if rules is None:
            text = f"The profile of {model.name} has no `quality`, so nobody says how it is measured. Add it."
            raise Foreign("not_found", text, happened=False)
        measured = _of_rows(scene, model) if rules.has_rows else _of_metrics(metrics_of(scene, model), rules)
        baseline = _baseline(scene, model, rules)
        doubt = _doubt(rules, measured)
        judged = {name: _judge(rules, name, value, baseline) for name, value in measured.values.items()}
        rows = [
            (name, _number(value), _remark(rules, name, value, baseline, judged[name]))
            for name, value in measured.values.items()
        ]
        rows += [*_coverage_rows(rules, measured), *(("note", "", note) for note in measured.notes)]
        rows += _mixed(scene, rules)
        return Finding(
            diagnostic=self.name, sentence=_sentence(model, rules, measured, judged, doubt, baseline), rows=tuple(rows)
        )


def _of_rows(scene: Scene, model: ModelProfile) -> Measured:
    if scene.labels is None:
        raise Foreign("invalid", f"Labels of {model.name} cannot be read here: no worker is running.", happened=False)
    found: Labelled = scene.labels()
    order = [name for name in KNOWN if name in found.metrics]
    return Measured(
        values={name: found.metrics[name] for name in order} or dict.fromkeys(KNOWN[:2]), labelled=found.labelled,
        coverage=found.labelled / found.rows if found.rows else None, delay=_span(found.delay_p50_s),
        slow=_span(found.delay_p90_s), notes=found.notes,
    )  # fmt: skip


def _of_metrics(metrics: Metrics, rules: QualityProfile) -> Measured:
    labelled, share = _value(metrics, rules.labels_query), _value(metrics, rules.coverage_query)
    return Measured(
        values={name: _value(metrics, query) for name, query in rules.queries.items()},
        labelled=None if labelled is None else int(labelled), coverage=share,
        delay=_span(_value(metrics, rules.delay_query)),
    )  # fmt: skip


def _value(metrics: Metrics, query: str) -> float | None:
    """The query's one number. None without a sample; several samples are no one number."""
    if not query:
        return None
    found = [sample.value for sample in metrics.instant(query) if math.isfinite(sample.value)]
    if len(found) > 1:
        text = f"A query gave {len(found)} series where one number is needed; aggregate it: {query[:80]}"
        raise Foreign("invalid", text, happened=False)
    return found[0] if found else None


def _span(seconds: float | None) -> timedelta | None:
    return None if seconds is None or not 0 <= seconds < timedelta.max.total_seconds() else timedelta(seconds=seconds)


def _baseline(scene: Scene, model: ModelProfile, rules: QualityProfile) -> Baseline:
    """Numbers recorded with the served version: of its run, or tags of the version itself."""
    try:
        registry = registry_of(scene, model)
        name = _served(scene, model) or registry.alias(model.name, model.alias) or ""
        version = next((one for one in registry.versions(model.name) if one.version == name), None)
        if version is None:
            return Baseline(version=name, why_not="the served version is not in the registry")
        recorded = registry.evaluation(model.name, version).metrics if isinstance(registry, Evaluations) else {}
    except Foreign as problem:
        return Baseline(version="", why_not=problem.sentence)
    wanted = {name: rules.baseline.get(name, name) for name in (*rules.queries, *KNOWN)}
    values = {name: value for name, key in wanted.items() if (value := _recorded(version, recorded, key)) is not None}
    why = "" if values else f"{shown(version.version)} has no recorded metric of these names"
    return Baseline(version=version.version, values=values, why_not=why)


def _served(scene: Scene, model: ModelProfile) -> str:
    try:
        return server_of(scene, model).served(model.name).version if model.server else ""
    except Foreign:
        return ""  # the pointer says what should be served


def _recorded(version: ModelVersion, metrics: Mapping[str, float], key: str) -> float | None:
    if key in metrics:
        return metrics[key] if math.isfinite(metrics[key]) else None
    try:
        found = float(version.tags.get(key, "nan"))
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _doubt(rules: QualityProfile, measured: Measured) -> str:
    """Why the numbers may not be called fine, "" when they may."""
    if all(value is None for value in measured.values.values()) or measured.labelled == 0:
        return "no data"
    if measured.labelled is not None and measured.labelled < rules.min_labels:
        return f"only {measured.labelled:,} labels, and {rules.min_labels:,} are needed for a verdict"
    if measured.coverage is not None and measured.coverage < rules.min_coverage:
        return (
            f"only {measured.coverage:.0%} of the predictions have a label yet, and {rules.min_coverage:.0%} are "
            "needed for a verdict"
        )
    if measured.labelled is None and measured.coverage is None:
        return "nobody measures how many predictions have a label (`labels_query`, `coverage_query`)"
    return ""


def _judge(rules: QualityProfile, name: str, value: float | None, baseline: Baseline) -> str:
    if value is None:
        return UNKNOWN
    if name not in baseline.values:
        return NO_BASELINE
    worse = _worse(name, value, baseline.values[name])
    return WORSE if worse > rules.worse_by.get(name, rules.allowed) + 1e-9 else FINE


def _worse(name: str, value: float, baseline: float) -> float:
    """How much worse than the baseline; below zero: better."""
    return value - baseline if name in LOWER_IS_BETTER else baseline - value


def _remark(rules: QualityProfile, name: str, value: float | None, baseline: Baseline, judged: str) -> str:
    if value is None:
        return "NO DATA, which is not the same as fine"
    if judged == NO_BASELINE:
        return f"no baseline: {baseline.why_not or f'{shown(baseline.version)} has none recorded'}"
    recorded = baseline.values[name]
    worse = _worse(name, value, recorded)
    change = "the same" if not worse else f"{'worse' if worse > 0 else 'better'} by {abs(worse):.3g}"
    allowed = rules.worse_by.get(name, rules.allowed)
    return f"baseline {_number(recorded)} of {shown(baseline.version)}: {change}, {allowed:g} worse is allowed"


def _coverage_rows(rules: QualityProfile, measured: Measured) -> list[tuple[str, str, str]]:
    count = "not known" if measured.labelled is None else f"{measured.labelled:,} labels"
    part = "not known" if measured.coverage is None else f"{measured.coverage:.0%}"
    rows = [("label coverage", count, f"share of the predictions: {part}, last {length(rules.window)}")]
    delay = "not known" if measured.delay is None else f"half come within {length(measured.delay)}"
    slow = "" if measured.slow is None else f"nine of ten within {length(measured.slow)}"
    return [*rows, ("label delay", delay, slow)]


def _mixed(scene: Scene, rules: QualityProfile) -> list[tuple[str, str, str]]:
    """Several versions served in the window: the numbers are about all of them together."""
    begin = scene.now - rules.window
    served = [
        move for move in scene.moves if move.what == "served" and move.latest_at > begin and move.from_ and move.to
    ]
    if not served:
        return []
    names = listed(map(shown, dict.fromkeys([served[-1].from_, *(move.to for move in reversed(served))])))
    return [("note", "", f"{names} were served within this window; the numbers are about all of them together.")]


def _sentence(
    model: ModelProfile, rules: QualityProfile, measured: Measured, judged: Mapping[str, str], doubt: str,
    baseline: Baseline,
) -> str:  # fmt: skip
    window = length(rules.window)
    if doubt == "no data":
        why = "no label has come in" if measured.labelled == 0 or rules.has_rows else "none of its queries has a value"
        late = f" Labels usually take {length(measured.delay)}." if measured.delay else ""
        return f"NO DATA: {why} for {model.name} in the last {window}, so how good it is, nobody knows.{late}"
    told = listed(f"{name} {_number(value)}" for name, value in measured.values.items() if value is not None)
    worse = [name for name, verdict in judged.items() if verdict == WORSE]
    if worse:
        against = listed(
            f"{name} {_number(measured.values[name])} against {_number(baseline.values[name])}" for name in worse
        )
        more = f" Not sure: {doubt}." if doubt else ""
        return f"WORSE than when {shown(baseline.version)} was registered: {against} in the last {window}.{more}"
    if doubt:
        return f"NOT ENOUGH LABELS for a verdict on {model.name}: {doubt}. So far: {told}."
    if FINE not in judged.values():
        why = baseline.why_not or "no baseline"
        return f"{model.name}: {told} in the last {window}. Nothing to compare it with: {why}."
    rest = [f" No {what} for {listed(names)}." for what, verdict in (("data", UNKNOWN), ("baseline", NO_BASELINE))
            if (names := [name for name, found in judged.items() if found == verdict])]  # fmt: skip
    good = f"{model.name} is as good as {shown(baseline.version)} was when registered"
    return f"{good}: {told} in the last {window}.{''.join(rest)}"


def _number(value: float | None) -> str:
    return "no data" if value is None else f"{value:.3f}"


DIAGNOSTIC = Quality()
