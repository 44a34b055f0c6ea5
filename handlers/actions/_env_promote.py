"""promote where the version is an environment variable of a workload: `MODEL_URI`, `MODEL_VERSION`.

The registry says which versions there are and what was recorded about them; what serves is decided by the pod template.
So the gate is the registry's, and the change is the cluster's: one value of one container, rehearsed by the API server,
written only if it is still the previewed one. The way back is the value that stood there, whatever it was: it asks no
gate.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from bot.model import Draft, Outcome, Plan, Step
from bot.policy import EnvProfile, ModelProfile
from bot.policy.gate import has_passed
from bot.ports import ModelVersion, Refusal, Scene, Seen
from handlers._kube import items
from handlers._look import length, profile_of, registry_of, server_of, shown
from handlers.actions import _smoke
from handlers.actions._change import apply, look, read_change
from handlers.actions._gate import ANYWAY, Verdict, failed_gate, gate_of
from handlers.actions._rollout import proofs, prove
from handlers.actions._target import READY
from handlers.actions._workload import (
    Target,
    draft,
    paused,
    port_here,
    read_target,
    rehearsed,
    warnings_of,
)
from handlers.actions._workload import (
    fingerprint as workload_facts,
)

SET, SERVED = "set_env", "prove_served"
BACK = "back"  # of a request that only the stored inverse makes: the value to go back to
_RIGHTS = "set-image"  # the same rights: to read a workload and to patch its template


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the version stands, and what it is now."""

    target: Target
    pointer: str  # JSON pointer to the variable
    value: str  # as it stands there
    version: str  # the registry's number of it, "" when the value is none of the profile's form


def draw(scene: Scene, request: Mapping[str, str]) -> Draft | Refusal:
    """Read workload, registry and records, and let the cluster rehearse. Foreign when one of them is silent."""
    model, place = profile_of(scene), _place(scene)
    if isinstance(place, Refusal):
        return place
    if BACK in request:
        return _propose(scene, place, request[BACK], request["to"], None)
    versions = tuple(registry_of(scene, model).versions(model.name))
    found = {one.version: one for one in versions}
    version = found.get(request["to"]) or found.get(f"v{request['to']}")
    if version is None:
        return Refusal(why=f"{model.name} has no version {shown(request['to'])} in the registry.")
    value = _value(model, version)
    if isinstance(value, Refusal):
        return value
    if value == place.value:
        return Refusal(why=f"Nothing to do: {_env(model).name} of {model.service} is {value} already.")
    verdict = gate_of(scene, model, version, found.get(place.version))
    if isinstance(verdict, Refusal):
        return verdict
    drawn = _propose(scene, place, value, version.version, verdict)
    if isinstance(drawn, Refusal) or has_passed(verdict.rows):
        return drawn
    refusal = failed_gate(model, version, verdict, overrules=ANYWAY in request)
    return replace(drawn, refusal=refusal, because="you asked to set the gate aside.")


def fingerprint(scene: Scene, plan: Plan) -> dict[str, str]:
    """The workload's facts and what the gate says, read again."""
    facts, model = workload_facts(scene, _RIGHTS), profile_of(scene)
    if plan.draft is None or "gate" not in plan.draft.fingerprint:
        return facts
    place = _place(scene)
    found = {one.version: one for one in registry_of(scene, model).versions(model.name)}
    version = found.get(plan.draft.args["to"])
    if isinstance(place, Refusal) or version is None:
        return facts
    verdict = gate_of(scene, model, version, found.get(place.version))
    return facts if isinstance(verdict, Refusal) else facts | {"gate": verdict.fact}


def perform(scene: Scene, plan: Plan, step: str) -> Seen:
    """Write the value, or look at a proof."""
    return apply(port_here(scene), read_change(plan), plan) if step == SET else observe(scene, plan, step)


def observe(scene: Scene, plan: Plan, step: str) -> Seen:
    """Look for the value, or at a proof. Raises Foreign when it cannot be told."""
    match step:
        case "set_env":
            return look(port_here(scene), read_change(plan))
        case "prove_served":
            return _served(scene, plan)
        case "prove_smoke":
            return _smoke.look(scene)
        case _:
            return prove(scene, port_here(scene), plan, step)


def _env(model: ModelProfile) -> EnvProfile:
    assert model.env is not None, "asked only for a model whose version is an environment variable"  # noqa: S101
    return model.env


def _place(scene: Scene) -> Place | Refusal:
    """The variable in the running template. Refuses when it is not there, or is kept elsewhere."""
    model, target = profile_of(scene), read_target(scene, _RIGHTS)
    if isinstance(target, Refusal):
        return target
    refused = paused(target)
    if refused is not None:
        return refused
    env = _env(model)
    for index, container in enumerate(items(target.live, "spec", "template", "spec", "containers")):
        if target.profile.container not in ("", container.get("name")):
            continue
        for number, one in enumerate(items(container, "env")):
            if one.get("name") != env.name:
                continue
            value = one.get("value")
            if not isinstance(value, str):
                return Refusal(why=f"{env.name} of {model.service} comes from a ConfigMap or Secret; change it there.")
            at = f"/spec/template/spec/containers/{index}/env/{number}"
            return Place(target=target, pointer=at, value=value, version=_number(scene, model, value))
    return Refusal(
        why=f"{target.thing.label} has no environment variable {env.name}, which the profile says holds the version. "
        "Set it once, then ask again."
    )


def _number(scene: Scene, model: ModelProfile, value: str) -> str:
    """Which of the registry's versions the value means, "" for none."""
    env = _env(model)
    before, _, after = env.value.partition("{version}")
    match = re.fullmatch(f"{re.escape(before)}(.+){re.escape(after)}", value)
    if match is None:
        return ""
    if not env.tag:
        return match[1]
    versions = registry_of(scene, model).versions(model.name)
    return next((one.version for one in versions if one.tags.get(env.tag) == match[1]), "")


def _value(model: ModelProfile, version: ModelVersion) -> str | Refusal:
    """What has to stand in the variable for this version."""
    env = _env(model)
    if version.status != READY:
        return Refusal(
            why=f"{shown(version.version)} has the status {version.status}; only {READY} ones can be served."
        )
    name = version.tags.get(env.tag, "") if env.tag else version.version
    if not name:
        return Refusal(
            why=f"{shown(version.version)} of {model.name} has no tag “{env.tag}”, the name that {env.name} wants. "
            "Set the tag in the registry, then ask again."
        )
    return env.value.replace("{version}", name)


def _propose(scene: Scene, place: Place, value: str, to: str, verdict: Verdict | None) -> Draft | Refusal:
    model, env, target = profile_of(scene), _env(profile_of(scene)), place.target
    was = {f"{place.pointer}/name": env.name, f"{place.pointer}/value": place.value}
    change = target.change({f"{place.pointer}/value": value}, was, cause=f"promote {model.name} to {value}")
    rehearsal = rehearsed(target, change)
    if isinstance(rehearsal, Refusal):
        return rehearsal
    change, changes = rehearsal
    warnings, least = warnings_of(target)
    if to in scene.bad_versions:
        least, warnings = "dangerous", [f"{shown(to)} is marked bad: {scene.bad_versions[to][:300]}", *warnings]
    passed = verdict is None or has_passed(verdict.rows)
    old = shown(place.version) if place.version else place.value
    new = shown(to) if to else value
    text = f"{target.thing.label}: set {env.name} to {value}, only if it is still {place.value}."
    count = len(verdict.rows) if verdict else 0
    made = draft(
        scene, target, change, tier="dangerous" if least == "dangerous" or not passed else "change", warnings=warnings,
        changes=changes, title=f"{'Promote' if verdict else 'Take back'} {model.name} from {old} to {new}", from_=old,
        to=new, because=f"it passed its gate: {count} of {count} criteria." if verdict else "this is the way back.",
        steps=(Step(name=SET, sentence=text), *_proofs(scene, model, new)),
        inverse={"model": model.name, "to": place.version, BACK: place.value},
        inverse_text=f"/mlops rollback {model.service}", args={"model": model.name, "to": to, "value": value},
        checks=tuple(row.row for row in verdict.rows) if verdict else (),
    )  # fmt: skip
    return replace(made, fingerprint=made.fingerprint | {"gate": verdict.fact}) if verdict else made


def _proofs(scene: Scene, model: ModelProfile, new: str) -> tuple[Step, ...]:
    """The roll-out, the server's own word, predictions, and the metrics, in this order."""
    rollout, *rest = proofs(scene, model.watch_for)
    found = [rollout]
    if model.server:
        text = f"Proof: the model server itself reports {new} (up to {length(model.watch_for)})."
        found += [Step(name=SERVED, sentence=text, proves=True), *_smoke.steps(scene, model)]
    return (*found, *(step for step in rest if step.name != SERVED))


def _served(scene: Scene, plan: Plan) -> Seen:
    model, args = profile_of(scene), plan.draft.args if plan.draft is not None else {}
    version = server_of(scene, model).served(model.name).version
    before, _, after = _env(model).value.partition("{version}")
    name = args.get("value", "").removeprefix(before).removesuffix(after)
    if version in {args.get("to"), name}:
        return Seen(outcome=Outcome.DONE, detail=f"The model server itself says that it serves {shown(version)}.")
    return Seen(outcome=Outcome.NOT_YET, detail=f"The model server still serves {shown(version)}.")
