"""rollback of a model: point the alias at the last known-good version, reload, and prove it from the serving side.

The version is never "the one before": it is the newest earlier one that is shown to have served well (`_proven`). Where
that cannot be shown, the person must name a version, and the card says what is not known about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

from bot.model import Draft, Plan
from bot.policy import ModelProfile
from bot.ports import Foreign, ModelVersion, Refusal, Scene
from handlers._look import length, listed, metrics_of, shown
from handlers.actions import _serving
from handlers.actions._proven import Proof, Prover, because
from handlers.actions._target import (
    READY,
    Target,
    blast,
    facts,
    move_args,
    no_version,
    read_target,
    warnings_of,
)

VERB = "rollback"
AGAIN_SOON = timedelta(minutes=10)  # a second rollback within this time needs two approvals
FORWARD = "this is a step forward, not back."


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The version to go to, and what is known about it."""

    version: ModelVersion
    because: str
    warnings: tuple[str, ...] = ()
    tier: str = "change"


def draw(scene: Scene, request: Mapping[str, str]) -> Draft | Refusal:
    """Read alias, server, registry and history, and propose where to go. Foreign when the registry is silent."""
    target = read_target(scene)
    if isinstance(target, Refusal):
        return target
    wanted = request.get("to", "")
    choice = _named(scene, target, wanted) if wanted else _known_good(scene, target)
    return choice if isinstance(choice, Refusal) else _draft(scene, target, choice)


def fingerprint(scene: Scene, plan: Plan) -> dict[str, str]:
    """Alias, served version and the wanted version's status. Raises Foreign when the registry is silent."""
    to = plan.draft.args["to"] if plan.draft is not None else ""
    target = read_target(scene)
    return {} if isinstance(target, Refusal) else facts(target, to)


def _known_good(scene: Scene, target: Target) -> Choice | Refusal:
    """The newest earlier version with a proof."""
    earlier = _earlier(target)
    if not earlier:
        text = f"There is no version of {target.model.name} before {shown(target.current)} to go back to."
        return Refusal(why=f"{text}{_replaced(scene, target)}")
    passed: list[str] = []
    try:
        prover = Prover(scene, target.model, metrics_of(scene, target.model))
        behind = _alias_is_right_already(scene, target, prover)
        if behind:
            return Refusal(why=behind)
        for version in earlier:
            if version.version == target.served:
                passed.append(f"{shown(version.version)} (what the server serves now)")
                continue
            why_not = _unfit(scene, version)
            proof = prover.proof(version.version) if not why_not else None
            if proof is not None:
                over = (f"Passed over: {listed(passed)}.",) if passed else ()
                return Choice(version=version, because=because(version.version, proof, scene.now), warnings=over)
            passed.append(f"{shown(version.version)} ({why_not or _unproven(prover, version.version, target.model)})")
    except Foreign as problem:
        why = f"No version can be shown to be known-good: {problem.sentence}"
    else:
        why = f"No earlier version can be shown to be known-good: {listed(passed)}."
    ready = [one.version for one in earlier if one.status == READY]
    example = ready[0] if ready else earlier[0].version
    return Refusal(why=f"{why} If you know one, name it: `rollback {target.model.name} to {example}`.")


def _replaced(scene: Scene, target: Target) -> str:
    """What was in production before, when it is a newer version: only a person can say that it was the better one."""
    pointer = f"alias {target.model.alias}"
    last = next((one for one in scene.moves if one.what == pointer and one.to == target.current), None)
    before = target.find(last.from_) if last is not None and last.from_ else None
    if before is None or before.version == target.current:
        return ""
    name = target.model.name
    return f" It replaced {shown(before.version)}, which is newer: `rollback {name} to {before.version}` takes it back."


def _earlier(target: Target) -> tuple[ModelVersion, ...]:
    """Versions to consider, newest first: those before the newest of what the alias says and what is really served.

    The two differ when somebody moved the alias and the server was not told; going back then starts at what is served.
    """
    names = [one.version for one in target.versions]
    if target.current not in names:
        return ()
    newest = min(names.index(version) for version in (target.current, target.served) if version in names)
    return tuple(one for one in target.versions[newest + 1 :] if one.version != target.current)


def _alias_is_right_already(scene: Scene, target: Target, prover: Prover) -> str:
    """The alias was moved back already and the server does not know: going further back would be wrong."""
    if target.served in ("", target.current) or target.current in scene.bad_versions:
        return ""
    if prover.proof(target.current) is None:
        return ""
    name, current = target.model.name, shown(target.current)
    return (
        f"{target.model.alias} points at {current} already, which is known-good, but the server still serves "
        f"{shown(target.served)}. Use `reload {name}`; to go further back, name the version."
    )


def _unfit(scene: Scene, version: ModelVersion) -> str:
    if version.version in scene.bad_versions:
        return f"marked bad: {scene.bad_versions[version.version][:120]}"
    return "" if version.status == READY else f"status {version.status} in the registry"


def _unproven(prover: Prover, version: str, model: ModelProfile) -> str:
    if not model.bounds:
        return "the profile has no bounds to judge by"
    served = prover.longest(version)
    if not served:
        return "never seen serving alone"
    if served < model.proven_after:
        return f"served only {length(served)}, of {length(model.proven_after)} needed"
    return f"served {length(served)}, but not {length(model.proven_after)} on end within its bounds"


def _named(scene: Scene, target: Target, wanted: str) -> Choice | Refusal:
    """The version the person named, with what is and is not known about it."""
    name = target.model.name
    version = target.find(wanted)
    if version is None:
        return Refusal(why=no_version(target, wanted))
    wanted = version.version
    if wanted == target.current:
        if target.served in ("", wanted):
            return Refusal(why=f"Nothing to do: {target.model.alias} of {name} points at {shown(wanted)} already.")
        return Refusal(
            why=f"{target.model.alias} points at {shown(wanted)} already, but the server still serves "
            f"{shown(target.served)}. Use `reload {name}`."
        )
    if version.status != READY:
        return Refusal(
            why=f"{shown(wanted)} of {name} has the status {version.status}; only {READY} versions can be served."
        )
    choice = Choice(version=version, because=f"you named it. {_knowledge(scene, target, wanted)}")
    names = [one.version for one in target.versions]
    if target.current in names and names.index(wanted) < names.index(target.current):
        newer = f"{shown(wanted)} is newer than {shown(target.current)}: {FORWARD}"
        choice = replace(choice, warnings=(newer,))
    if wanted in scene.bad_versions:
        bad = f"{shown(wanted)} is marked bad: {scene.bad_versions[wanted][:300]}"
        return replace(choice, warnings=(bad, *choice.warnings), tier="dangerous")
    return choice if choice.because.endswith("known-good.") else replace(choice, warnings=(
        f"{shown(wanted)} is not shown to be known-good.", *choice.warnings
    ))  # fmt: skip


def _knowledge(scene: Scene, target: Target, version: str) -> str:
    """What the history says about a version, as a sentence; ends with "known-good." when it is."""
    try:
        prover = Prover(scene, target.model, metrics_of(scene, target.model))
        proof: Proof | None = prover.proof(version)
        if proof is None:
            return f"It has not been proven: {_unproven(prover, version, target.model)}."
    except Foreign as problem:
        return f"It could not be checked: {problem.sentence}"
    return f"It has been proven: {proof.sentence(scene.now)}, so it is known-good."


def _draft(scene: Scene, target: Target, choice: Choice) -> Draft | Refusal:
    model, to = target.model, choice.version.version
    found = move_args(scene, target, choice.version)
    if isinstance(found, Refusal):
        return found
    args, remarks = found
    warnings = [*choice.warnings, *remarks, *warnings_of(target)]
    tier, again = choice.tier, _recent(scene, model)
    if again:
        tier, warnings = "dangerous", [again, *warnings]
    left = target.served if target.served not in ("", to) else target.current
    is_forward = any(text.endswith(FORWARD) for text in choice.warnings)
    return Draft(
        title=f"Roll back {model.name} from {shown(target.current)} to {shown(to)}",
        from_=shown(target.current), to=shown(to), because=choice.because,
        steps=_serving.steps(scene, model, args, moves=True),
        inverse={"model": model.name, "to": target.current},
        inverse_text=f"/mlops rollback {model.name} to {target.current}",
        fingerprint=facts(target, to), args=args, tier=tier, blast=blast(scene, model), warnings=tuple(warnings),
        watch_for=model.watch_for, marks_bad="" if is_forward else left,
    )  # fmt: skip


def _recent(scene: Scene, model: ModelProfile) -> str:
    """Why this is a second rollback within a short time, "" when it is not."""
    plans = scene.incident.plans if scene.incident is not None else ()
    begun = [(plan.started_at, f"plan {plan.id}") for plan in plans if plan.action == VERB and plan.started_at]
    begun += [
        (move.latest_at, move.by) for move in scene.moves if move.by and move.what == f"alias {model.alias}"
    ]  # fmt: skip
    for at, by in begun:
        if scene.now - at <= AGAIN_SOON:
            return f"{model.alias} was rolled back only {length(scene.now - at)} ago ({by}); it may not be the cause."
    return ""
