"""What an action reads before it proposes that another version be served, and the words for it."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace
from datetime import timedelta

from bot.policy import ModelProfile, System
from bot.ports import Foreign, ModelVersion, Refusal, Scene
from handlers._history import on_grid, step_for
from handlers._look import listed, metrics_of, profile_of, registry_of, server_of, shown, start_of
from handlers.actions import _pointer, _serving

READY = "READY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What was read before anything is proposed."""

    model: ModelProfile
    current: str  # what the alias points at
    served: str  # what the server says, "" when it does not answer
    loaded_at: str
    versions: tuple[ModelVersion, ...]  # newest first
    trouble: tuple[str, ...] = ()  # what could not be read
    recorded: str = ""  # what the second place says, "" for nothing, or where there is no second place

    def find(self, version: str) -> ModelVersion | None:
        """The registered version of that name; people may leave out the "v" of "v1.2.0"."""
        return next(
            (one for wanted in (version, f"v{version}") for one in self.versions if one.version == wanted), None
        )


def unknown_model(word: str, system: System) -> str:
    """Why a name is no model of the system, with the nearest one."""
    names = [model.name for model in system.models]
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]}?" if near else f"{system.name} has {listed(names) or 'no models'}."
    return f"{system.name} has no model “{word[:60]}”. {hint}"


def no_version(target: Target, wanted: str) -> str:
    """Why a version cannot be gone to: it is not registered."""
    known = listed(shown(one.version) for one in target.versions[:8])
    return f"{target.model.name} has no version {shown(wanted)} in the registry. It has {known or 'none at all'}."


def example_model(system: System) -> str:
    """A name to show in an example."""
    return system.models[0].name if system.models else "<model>"


def read_target(scene: Scene) -> Target | Refusal:
    """The alias, the registered versions, and what the server says. A server that is silent is a fact, not an error."""
    model = profile_of(scene)
    registry = registry_of(scene, model)
    current = registry.alias(model.name, model.alias)
    if current is None:
        return Refusal(
            why=f"The registry has no alias “{model.alias}” for {model.name}, so nothing says what is in production. "
            "Set it in the registry, then ask again."
        )
    target = Target(
        model=model, current=current, served="", loaded_at="", versions=tuple(registry.versions(model.name)),
        recorded=_recorded(scene, model),
    )  # fmt: skip
    try:
        served = server_of(scene, model).served(model.name)
    except Foreign as problem:
        return replace(target, trouble=(problem.sentence,))
    loaded = served.loaded_at.isoformat() if served.loaded_at else ""
    return replace(target, served=_as_registered(target, served.version), loaded_at=loaded)


def _recorded(scene: Scene, model: ModelProfile) -> str:
    place = _pointer.record_of(scene, model)
    return "" if place is None or model.record is None else place.alias(model.name, model.record.pointer) or ""


def _as_registered(target: Target, served: str) -> str:
    """The registry's number of the version, where the server calls it by the name that its tag holds."""
    if target.model.record is None or target.find(served) is not None:
        return served
    tag = target.model.record.tag
    return next((one.version for one in target.versions if tag and one.tags.get(tag) == served), served)


def move_args(scene: Scene, target: Target, to: ModelVersion) -> tuple[dict[str, str], tuple[str, ...]] | Refusal:
    """What the steps of a move need, with warnings. Refuses when registry and second place do not fit together."""
    model = target.model
    args = {
        "model": model.name, "alias": model.alias, "from": target.current, "to": to.version, "served": target.served,
        "loaded_at": target.loaded_at, "signals": ",".join(broken_signals(scene, model)),
    }  # fmt: skip
    if model.record is None:
        return args, ()
    current, tag, place = target.find(target.current), model.record.tag, model.record.backend
    known = {one.version: one.tags.get(tag, "") if tag else one.version for one in (current, to) if one is not None}
    for number, name in known.items():
        if not name:
            return Refusal(
                why=f"{shown(number)} of {model.name} has no tag “{tag}”, the name that “{place}” knows it by. "
                "Set the tag in the registry, then ask again."
            )
    args |= {"record_from": target.recorded, "record_to": known[to.version]}
    if target.recorded in known.values():
        return args, ()
    if target.recorded and not any(sign.isspace() for sign in target.recorded):
        return Refusal(
            why=f"“{place}” says that {model.record.pointer} is {target.recorded}, the registry says "
            f"{known.get(target.current, shown(target.current))}: the two disagree. Find out which of them is right, "
            "correct the other, then ask again."
        )
    now = f"says {target.recorded}" if target.recorded else "says nothing"
    return args, (f"“{place}” {now}. Afterwards it will say {args['record_to']} alone.",)


def facts(target: Target, to: str) -> dict[str, str]:
    """What an approval relies on: if any of it changes, the plan is void."""
    found, record = target.find(to), target.model.record
    return {
        f"alias {target.model.alias}": target.current,
        "served": target.served or _serving.SILENT,
        "target status": found.status if found is not None else "gone",
        **({f"{record.pointer} in {record.backend}": target.recorded or "nothing"} if record is not None else {}),
    }


def warnings_of(target: Target) -> list[str]:
    """What an approver should know about the target."""
    alias, current = target.model.alias, shown(target.current)
    warnings = [f"{text} The reload is tried until it answers." for text in target.trouble]
    if target.served not in ("", target.current):
        warnings.append(
            f"Registry and server disagree: {alias} is {current}, the server serves {shown(target.served)}."
        )
    if target.find(target.current) is None:
        warnings.append(f"{current}, which {alias} points at, is not among the registered versions.")
    if not target.model.bounds:
        warnings.append(
            "The profile has no bounds for this model: only the served version can be proven, not its quality."
        )
    return warnings


def blast(scene: Scene, model: ModelProfile) -> str:
    """Who is affected."""
    where = f"{scene.system.name}, {scene.system.environment}" if scene.system.environment else scene.system.name
    return f"everybody who uses {model.service or model.name} ({where})"


def broken_signals(scene: Scene, model: ModelProfile) -> list[str]:
    """Signals that broke their bound since the incident began; none when the metrics cannot say."""
    start = start_of(scene.incident, scene.now) - timedelta(minutes=1)
    step = step_for(scene.now - start, points=500)
    broken = []
    try:
        metrics = metrics_of(scene, model)
        for bound in model.bounds:
            series = metrics.over(bound.query, on_grid(start), on_grid(scene.now), step)
            values = [value for one in series for _, value in one.points]
            values += [sample.value for sample in metrics.instant(bound.query)]  # the grid ends up to a step before now
            if not all(map(bound.is_met_by, values)):
                broken.append(bound.signal)
    except Foreign:
        return []  # the proof then wants a value for any bound, and every value within its bound
    return broken
