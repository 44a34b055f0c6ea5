"""Looking at a scene: its backends by their port, and numbers, versions and times as people read them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import cast

from bot.model import Incident
from bot.policy import Bound, ModelProfile
from bot.ports import Foreign, Metrics, ModelRegistry, ModelServer, Reloads, Scene

_UNITS = {"s": " s", "per_s": "/s", "ratio": ""}


def profile_of(scene: Scene) -> ModelProfile:
    """The scene's model, or the only one its service serves. Foreign("not_found") when that leaves none or several."""
    if scene.model is not None:
        return scene.model
    served = [model for model in scene.system.models if scene.service and model.service == scene.service]
    if len(served) == 1:
        return served[0]
    why = (
        f"{scene.service or 'The alert'} names no single model of {scene.system.name}, so there is nothing to look at."
    )
    raise Foreign("not_found", f"{why} Add a label `model` to the alert rule, or list the model in the profile.")


def registry_of(scene: Scene, model: ModelProfile) -> ModelRegistry:
    """The model's registry. Foreign("invalid") when the profile names none."""
    return cast("ModelRegistry", _backend(scene, model, "registry", model.registry))


def server_of(scene: Scene, model: ModelProfile) -> ModelServer:
    """The model's server. Foreign("invalid") when the profile names none."""
    return cast("ModelServer", _backend(scene, model, "server", model.server))


def metrics_of(scene: Scene, model: ModelProfile) -> Metrics:
    """What answers the model's metric queries. Foreign("invalid") when the profile names none."""
    return cast("Metrics", _backend(scene, model, "metrics", model.metrics))


def named_backend(scene: Scene, model: ModelProfile, key: str, name: str) -> ModelRegistry:
    """A registry that the profile names under another key. Foreign("invalid") when there is none of that name."""
    return cast("ModelRegistry", _backend(scene, model, key, name))


def reloader_of(scene: Scene, model: ModelProfile) -> tuple[Reloads, str] | None:
    """What makes the server load anew, and the name it goes by there; None when the server has a route of its own."""
    if not model.reload:
        return None
    name, _, part = model.reload.partition("/")
    return cast("Reloads", _backend(scene, model, "reload", name)), part


def _backend(scene: Scene, model: ModelProfile, key: str, name: str) -> object:
    found = scene.backends.get(name) if name else None
    if found is None:
        what = f"names no {key} for {model.name}" if not name else f"has no backend “{name}”, the {key} of {model.name}"
        raise Foreign(
            "invalid",
            f"The profile of {scene.system.name} {what}. Add it to the system's system.yaml.",
            happened=False,
        )
    return found


def start_of(incident: Incident | None, now: datetime) -> datetime:
    """When the trouble began: the incident's start, or now when there is no incident."""
    return min(incident.started_at, now) if incident is not None else now


def worst(bound: Bound, values: Iterable[float]) -> float | None:
    """The value that is nearest to breaking the bound, or breaks it most; None when there is none."""
    found = list(values)
    if not found:
        return None
    outside = [value for value in found if not bound.is_met_by(value)]
    if bound.below is None or (outside and bound.above is not None and max(found) > bound.above):
        return max(found)
    return min(found)


def shown(version: str) -> str:
    """A version as people write it: "v3"; what is no number stays as it is."""
    return f"v{version}" if version.isdecimal() else version


def number(value: float, bound: Bound) -> str:
    """A value with its unit: "0.41", "1.3 s", "1,250/s"."""
    text = f"{value:,.0f}" if 1000 <= abs(value) < float("inf") else f"{value:.3g}"
    return f"{text}{_UNITS.get(bound.unit, f' {bound.unit}' if bound.unit else '')}"


def limit(bound: Bound) -> str:
    """The bound in words with its unit: "at least 0.8", "at most 1 s"."""
    return f"{bound.limit}{_UNITS.get(bound.unit, f' {bound.unit}' if bound.unit else '')}"


def word(bound: Bound) -> str:
    """What the bound is about, inside a sentence."""
    return bound.signal.replace("_", " ")


def title(bound: Bound, model: str) -> str:
    """What the bound is about, standing alone."""
    return bound.title or f"{word(bound)} of {model}"


def clock(at: datetime, now: datetime) -> str:
    """The time of day in UTC, with the date when it is another day's."""
    return f"{at:%H:%M}" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M}"


def period(start: datetime, end: datetime, now: datetime) -> str:
    """As in: from 14:02 to 14:31 UTC (29 min). With seconds when it is short."""
    if end - start < timedelta(minutes=5):
        day = "" if start.date() == now.date() else f"on {start:%Y-%m-%d} "
        return f"{day}from {start:%H:%M:%S} to {end:%H:%M:%S} UTC ({length(end - start)})"
    return f"from {clock(start, now)} to {clock(end, now)} UTC ({length(end - start)})"


def length(span: timedelta) -> str:
    """A span of time in one unit: "40 s", "12 min", "5 h", "3 days"."""
    seconds = abs(span.total_seconds())
    for size, unit in ((2 * 86_400, "days"), (2 * 3_600, "h"), (100, "min")):
        if seconds >= size:
            return f"{seconds / {'days': 86_400, 'h': 3_600, 'min': 60}[unit]:.0f} {unit}"
    return f"{seconds:.0f} s"


def listed(words: Iterable[str]) -> str:
    """Words as a sentence lists them: "a, b and c"; "" for none."""
    found = list(words)
    return " and ".join([", ".join(found[:-1]), found[-1]]) if len(found) > 1 else "".join(found)
