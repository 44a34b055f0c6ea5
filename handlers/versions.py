"""A model's versions side by side: what each is, what points at it, what its training measured, and what is served.

Reads only. What cannot be read is said to be not known; it is never left out and never guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bot.model import Finding
from bot.policy import ModelProfile
from bot.policy.gate import Evaluation, Gate, judged_on
from bot.ports import Evaluations, Foreign, ModelVersion, Package, Packages, Scene
from handlers._look import clock, listed, profile_of, registry_of, server_of, shown

SHOWN = 10  # newest versions; what is pointed at or served is shown besides
METRICS = 6  # per version, and in the picture
ROWS = 12  # of one kind in a comparison
_SILENT = frozenset({"unreachable", "timeout", "overloaded"})  # asking ten times more would take a minute
_LOWER = ("brier", "loss", "error", "mae", "mse", "rmse", "latency", "ece")  # words in names of which less is better
_KB = 1024
_HIGHER = ("accuracy", "f1", "auc", "precision", "recall", "r2", "score")
_NO_ANSWER = "not known: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One version and what could be read about it."""

    version: ModelVersion
    evaluation: Evaluation | None
    why_not: str = ""  # why there is no evaluation
    package: Package | None = None
    no_package: str = ""


def table(scene: Scene) -> Finding:
    """Every recent version in a row of its own. Raises Foreign when the registry does not answer."""
    model = profile_of(scene)
    versions = list(registry_of(scene, model).versions(model.name))
    served, trouble = _served(scene, model)
    wanted = [one for number, one in enumerate(versions) if number < SHOWN or _names(one) or one.version == served]
    rows, is_silent = [], ""
    for one in wanted:
        known = Known(version=one, evaluation=None, why_not=is_silent) if is_silent else _evaluated(scene, model, one)
        is_silent = known.why_not if known.why_not.startswith(_NO_ANSWER) else is_silent
        rows.append(_row(scene, known, model, served))
    left = len(versions) - len(wanted)
    text = f"{model.name} of {scene.system.name} has {_count(len(versions), 'version')}; {_is_served(served, trouble)}."
    if left:
        text += f" {left} older ones are not shown."
    return Finding(diagnostic="versions", sentence=text, rows=tuple(rows))


def compare(scene: Scene, old: str, new: str) -> Finding:
    """Two versions against each other, with a picture. Foreign when there is nothing to compare."""
    model = profile_of(scene)
    versions = {one.version: one for one in registry_of(scene, model).versions(model.name)}
    missing = [shown(name) for name in (old, new) if name not in versions]
    if missing:
        has = listed(map(shown, list(versions)[:8])) or "none at all"
        raise Foreign("not_found", f"{model.name} has no {listed(missing)} in the registry. It has {has}.")
    if old == new:
        raise Foreign("invalid", f"{shown(old)} and {shown(new)} are the same version. Name two different ones.")
    one, two = (_stored(scene, model, _evaluated(scene, model, versions[name])) for name in (old, new))
    rows = [*_metric_rows(model, one, two), *_same_rows(model, one, two), *_param_rows(one, two)]
    picture, alt, silent = _picture(scene, model, one, two)
    return Finding(
        diagnostic="compare", sentence=_sentence(scene, model, one, two) + silent, rows=tuple(rows), picture=picture,
        picture_alt=alt,
    )  # fmt: skip


def _served(scene: Scene, model: ModelProfile) -> tuple[str, str]:
    """The served version, "" with a reason when nobody can tell."""
    try:
        return server_of(scene, model).served(model.name).version, ""
    except Foreign as problem:
        return "", problem.sentence


def _is_served(served: str, trouble: str) -> str:
    return f"{shown(served)} is served" if served else f"what is served is not known ({trouble.rstrip('.')})"


def _evaluated(scene: Scene, model: ModelProfile, version: ModelVersion) -> Known:
    registry = registry_of(scene, model)
    if not isinstance(registry, Evaluations):
        return Known(version=version, evaluation=None, why_not="this registry records no metrics")
    try:
        return Known(version=version, evaluation=registry.evaluation(model.name, version))
    except Foreign as problem:
        before = _NO_ANSWER if problem.reason in _SILENT else ""
        return Known(version=version, evaluation=None, why_not=f"{before}{problem.sentence}")


def _stored(scene: Scene, model: ModelProfile, known: Known) -> Known:
    """The same with what its files tell."""
    registry, package, why = registry_of(scene, model), None, "this registry does not say"
    if isinstance(registry, Packages):
        try:
            package, why = registry.package(model.name, known.version), ""
        except Foreign as problem:
            why = problem.sentence
    return Known(
        version=known.version, evaluation=known.evaluation, why_not=known.why_not, package=package, no_package=why
    )


def _names(version: ModelVersion) -> tuple[str, ...]:
    """What points at it."""
    return (*version.aliases, *([version.stage] if version.stage else []))


def _row(scene: Scene, known: Known, model: ModelProfile, served: str) -> tuple[str, str, str]:
    one = known.version
    marks = [*_names(one), *(["SERVED"] if one.version == served else [])]
    marks += [f"status {one.status}"] if one.status != "READY" else []
    bad = scene.bad_versions.get(one.version, "")
    marks += [f"MARKED BAD: {bad[:120]}"] if bad else []
    made = f"made {clock(one.created_at, scene.now)} UTC"
    return shown(one.version), " · ".join([*marks, made]), _told_metrics(model, known)


def _told_metrics(model: ModelProfile, known: Known) -> str:
    if known.evaluation is None:
        return f"· {known.why_not}"
    found = known.evaluation.metrics
    names = _ordered(model, found)
    if not names:
        return "· its training recorded no metrics"
    more = f" and {len(names) - METRICS} more" if len(names) > METRICS else ""
    return "· " + ", ".join(f"{name} {_number(found[name])}" for name in names[:METRICS]) + more


def _ordered(model: ModelProfile, *found: Mapping[str, float]) -> list[str]:
    """Names of metrics, those that the profile cares about first."""
    cares = [one.metric for one in model.gate.criteria] if model.gate else []
    cares += [bound.signal for bound in model.bounds]
    names = sorted({name for one in found for name in one})
    return sorted(names, key=lambda name: cares.index(name) if name in cares else len(cares))


def _metric_rows(model: ModelProfile, one: Known, two: Known) -> Iterator[tuple[str, str, str]]:
    for known in (one, two):
        if known.evaluation is None:
            yield f"metrics of {shown(known.version.version)}", "not known", known.why_not
    old, new = _metrics(one), _metrics(two)
    names = _ordered(model, old, new)
    for name in names[:ROWS]:
        before, after = old.get(name), new.get(name)
        told = f"{_number(before)} → {_number(after)}"
        yield name, told, _change(model, name, before, after)
    if len(names) > ROWS:
        yield "…", f"{len(names) - ROWS} more metrics", ""


def _metrics(known: Known) -> Mapping[str, float]:
    return known.evaluation.metrics if known.evaluation is not None else {}


def _change(model: ModelProfile, name: str, before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return "recorded for one of them only"
    gain = after - before
    if not gain:
        return "the same"
    share = f", {gain / abs(before):+.1%}" if before else ""
    return f"{_better(model, name, gain)} ({gain:+.4g}{share})"


def _better(model: ModelProfile, name: str, gain: float) -> str:
    """Which way is good: the profile says it; else names that mean a loss are known, and for others nothing is said."""
    said = [one.lower_is_better for one in (model.gate.criteria if model.gate else ()) if one.metric == name]
    words = set(name.lower().replace("-", "_").split("_"))
    is_lower = said[0] if said else bool(words.intersection(_LOWER))
    if not said and not is_lower and not words.intersection(_HIGHER):
        return "higher" if gain > 0 else "lower"
    return "better" if (gain > 0) != is_lower else "WORSE"


def _same_rows(model: ModelProfile, one: Known, two: Known) -> Iterator[tuple[str, str, str]]:
    """Data, signature, size and age of both."""
    yield "evaluated on", *_versus(_evaluation_data(model, one), _evaluation_data(model, two))
    yield "trained on", *_versus(_training_data(one), _training_data(two))
    if one.package is None or two.package is None:
        known = one if one.package is None else two
        yield "files", "not known", f"{shown(known.version.version)}: {known.no_package}"
    else:
        for what in ("inputs", "outputs"):
            yield f"signature, {what}", *_versus(getattr(one.package, what), getattr(two.package, what))
        size = f"{_size(one.package)} → {_size(two.package)}"
        yield "size", size, _growth(one.package.size_bytes, two.package.size_bytes)
    yield "made", f"{one.version.created_at:%Y-%m-%d %H:%M} → {two.version.created_at:%Y-%m-%d %H:%M} UTC", ""


def _versus(old: str, new: str) -> tuple[str, str]:
    if not old and not new:
        return "not recorded", ""
    if old == new:
        return "the same", old[:80]
    return "DIFFERENT", f"{old[:80] or 'not recorded'} → {new[:80] or 'not recorded'}"


def _evaluation_data(model: ModelProfile, known: Known) -> str:
    return judged_on(model.gate or Gate(), known.evaluation) if known.evaluation is not None else ""


def _training_data(known: Known) -> str:
    found = known.evaluation.data if known.evaluation is not None else ()
    return ", ".join(sorted({f"{one.name} {one.digest}" for one in found if one.context.lower() == "training"}))


def _param_rows(one: Known, two: Known) -> Iterator[tuple[str, str, str]]:
    if one.evaluation is None or two.evaluation is None:
        return
    old, new = one.evaluation.params, two.evaluation.params
    names = sorted(old.keys() | new.keys())
    other = [name for name in names if old.get(name) != new.get(name)]
    for name in other[:ROWS]:
        yield f"parameter {name}", f"{_value(old, name)} → {_value(new, name)}", ""
    same = len(names) - len(other)
    rest = f"{len(other) - ROWS} more differ, " if len(other) > ROWS else ""
    yield "parameters", f"{rest}{same} of {len(names)} are the same" if names else "none were recorded", ""


def _value(params: Mapping[str, str], name: str) -> str:
    return params[name][:60] if name in params else "not set"


def _sentence(scene: Scene, model: ModelProfile, one: Known, two: Known) -> str:
    old, new = _metrics(one), _metrics(two)
    both = [name for name in _ordered(model, old, new) if name in old and name in new]
    judged = [_better(model, name, new[name] - old[name]) if new[name] != old[name] else "same" for name in both]
    counts = [f"{judged.count(word)} {word.lower()}" for word in ("better", "WORSE", "same", "higher", "lower")
              if word in judged]  # fmt: skip
    about = f"of {_count(len(both), 'metric')} {listed(counts)}" if both else "no metric is recorded for both"
    data_one, data_two = _evaluation_data(model, one), _evaluation_data(model, two)
    text = f"{shown(two.version.version)} against {shown(one.version.version)} of {model.name}: {about}."
    if both and not (data_one and data_one == data_two):
        why = "on different data" if data_one and data_two else "on data that was not recorded for both"
        text += f" They were measured {why}, so the numbers need not be comparable."
    bad = [shown(known.version.version) for known in (one, two) if known.version.version in scene.bad_versions]
    return f"{text} {listed(bad)} {'is' if len(bad) == 1 else 'are'} marked bad." if bad else text


def _picture(scene: Scene, model: ModelProfile, one: Known, two: Known) -> tuple[str, str, str]:
    """Path of a PNG, its words, and what to say when there is none."""
    old, new = _metrics(one), _metrics(two)
    both = [name for name in _ordered(model, old, new) if name in old and name in new][:METRICS]
    if not both:
        return "", "", ""
    if scene.draw is None:
        return "", "", " (No picture: the chart worker is not running.)"
    names = [shown(one.version.version), shown(two.version.version)]
    title = f"{model.name}: {names[0]} and {names[1]}"
    panels = [{"label": name, "values": [old[name], new[name]]} for name in both]
    alt = ", ".join(f"{name} {_number(old[name])} and {_number(new[name])}" for name in both)
    try:
        path = scene.draw({"title": title, "bars": panels, "names": names})
    except Foreign as problem:
        return "", "", f" ({problem.sentence})"
    return path, f"Bar charts, {title}: {alt}.", ""


def _number(value: float | None) -> str:
    return "not recorded" if value is None else f"{value:.4g}"


def _size(package: Package) -> str:
    value, unit = float(package.size_bytes), "B"
    for bigger in ("kB", "MB", "GB"):
        if value < _KB:
            break
        value, unit = value / _KB, bigger
    return f"{value:.3g} {unit} in {_count(package.files, 'file')}"


def _growth(old: int, new: int) -> str:
    if old == new:
        return "the same"
    return f"{(new - old) / old:+.1%}" if old else ""


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
