"""cleanup: remove old versions of a model from its registry, never one that somebody may want back.

Removing an entry cannot be undone, and `mlflow gc` takes the files of deleted runs without asking what is registered.
So everything that could be a target of a rollback is kept: what an alias or stage points at, what is served, what the
ledger or an open plan names, what is proven good, and the newest versions. Where any of that cannot be read, nothing is
proposed. It is all read again right before each single removal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from bot.model import Draft, Outcome, Plan, Step
from bot.policy import ModelProfile, System
from bot.ports import Foreign, ModelRegistry, ModelVersion, Packages, Refusal, Removals, Scene, Seen
from handlers._look import listed, metrics_of, profile_of, registry_of, server_of, shown
from handlers.actions._proven import Prover
from handlers.actions._target import blast, example_model, unknown_model

USAGE = "cleanup <model> [keep <number>]"
KEEP, MOST_KEPT = 5, 100
AT_ONCE = 8  # versions in one plan: more steps than that nobody reads before approving
PROOF = "prove_kept"
_STEP = "remove_"
_SETTLED = frozenset({"READY", "FAILED_REGISTRATION"})  # anything else is still being made
_NUMBER = re.compile(r"\d{1,3}")
_PASSING = frozenset({"unreachable", "timeout", "overloaded"})
_KB = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One version and why it is kept, "" when it may go."""

    version: ModelVersion
    why_kept: str


class Cleanup:
    """The action as the registry of handlers knows it."""

    name = "cleanup"
    usage = USAGE
    summary = "remove old versions from the registry, never a possible target of a rollback"

    def parse(self, words: Sequence[str], system: System) -> tuple[str, dict[str, str]] | Refusal:
        """The model, and how many of the newest versions stay in any case."""
        is_long = len(words) == 3 and words[1].lower() == "keep" and _NUMBER.fullmatch(words[2])
        if len(words) != 1 and not is_long:
            return Refusal(why=f"I read `{USAGE}`, for example `cleanup {example_model(system)} keep {KEEP}`.")
        model = system.model(words[0])
        if model is None:
            return Refusal(why=unknown_model(words[0], system))
        keep = int(words[2]) if is_long else KEEP
        if not 1 <= keep <= MOST_KEPT:
            return Refusal(why=f"Between 1 and {MOST_KEPT} of the newest versions can be kept, not {keep}.")
        return model.name, {"model": model.name, "keep": str(keep)}

    def draw(self, scene: Scene, request: Mapping[str, str]) -> Draft | Refusal:
        """Read everything that may need a version, and propose what is left. Foreign when any of it is silent."""
        model = profile_of(scene)
        registry = registry_of(scene, model)
        if not isinstance(registry, Removals):
            return Refusal(why=f"The registry “{model.registry}” cannot remove versions. Remove them there by hand.")
        judged = _judge(scene, model, int(request["keep"]))
        endangered = _endangered(registry, model, judged)
        free = [one.version for one in judged if not one.why_kept][::-1]  # the oldest first
        if not free:
            text = f"Every one of the {len(judged)} versions of {model.name} is needed: {_kept(judged)}."
            return Refusal(why=f"{text} {endangered}".strip())
        return _draft(scene, model, judged, free[:AT_ONCE], len(free), endangered)

    def fingerprint(self, scene: Scene, plan: Plan) -> dict[str, str]:
        """What the preview relied on about each version, read again."""
        model = profile_of(scene)
        judged = {one.version.version: one for one in _judge(scene, model, int(plan.request["keep"]))}
        return {shown(name): _fact(judged.get(name)) for name in _victims(plan)}

    def perform(self, scene: Scene, plan: Plan, step: str) -> Seen:
        """Judge anew, then remove one version; or look whether all that is kept is still there."""
        if not step.startswith(_STEP):
            return self.observe(scene, plan, step)
        model, name = profile_of(scene), step.removeprefix(_STEP)
        judged = next(
            (one for one in _judge(scene, model, int(plan.request["keep"])) if one.version.version == name), None
        )
        if judged is None:
            return Seen(outcome=Outcome.DONE, detail=f"{shown(name)} is not in the registry any more.")
        if judged.why_kept:
            text = f"{shown(name)} is needed now: {judged.why_kept}. It was not removed, and nothing after it is."
            return Seen(outcome=Outcome.FAILED, detail=text)
        if _born(judged.version) != _args(plan).get(name):
            return Seen(outcome=Outcome.FAILED, detail=f"{shown(name)} is another version than the one previewed.")
        try:
            cast("Removals", registry_of(scene, model)).remove(model.name, judged.version)
        except Foreign as problem:
            if problem.happened is False and problem.reason in _PASSING:
                return Seen(outcome=Outcome.NOT_YET, detail=f"{problem.sentence} Nothing was removed.")
            if problem.happened is False:
                return Seen(outcome=Outcome.FAILED, detail=problem.sentence)
            raise
        return self.observe(scene, plan, step)

    def observe(self, scene: Scene, plan: Plan, step: str) -> Seen:
        """Look which versions the registry has."""
        model = profile_of(scene)
        there = {one.version for one in registry_of(scene, model).versions(model.name)}
        if step.startswith(_STEP):
            name = step.removeprefix(_STEP)
            if name in there:
                return Seen(outcome=Outcome.NOT_YET, detail=f"{shown(name)} is still in the registry.")
            return Seen(outcome=Outcome.DONE, detail=f"{shown(name)} is gone from the registry.")
        kept = [name for name in _args(plan).get("kept", "").split(",") if name]
        lost = [name for name in kept if name not in there]
        if lost:
            text = f"{listed(map(shown, lost))} should have been kept, but is gone: somebody else removed it."
            return Seen(outcome=Outcome.FAILED, detail=text)
        return Seen(outcome=Outcome.DONE, detail=f"All {len(kept)} versions that are kept are still there.")


def _judge(scene: Scene, model: ModelProfile, keep: int) -> list[Judged]:
    """Every version, newest first, with why it is kept. Raises Foreign when something that protects cannot be read."""
    registry = registry_of(scene, model)
    versions = list(registry.versions(model.name))
    reasons = {one.version: "" for one in versions}
    if scene.used is None:
        raise Foreign("invalid", "The ledger cannot be read here, so nothing can be removed.", happened=False)
    for name, why in (
        *((one.version, f"one of the {keep} newest") for one in versions[:keep]),
        *((one.version, f"its status is {one.status}") for one in versions if one.status not in _SETTLED),
        *scene.used().items(), *_proven(scene, model, versions), *_recorded(scene, model, versions),
        *_served(scene, model), *_pointed(registry, model, versions),
    ):  # fmt: skip
        if name in reasons:
            reasons[name] = why  # the strongest reason comes last
    return [Judged(version=one, why_kept=reasons[one.version]) for one in versions]


def _pointed(
    registry: ModelRegistry, model: ModelProfile, versions: Sequence[ModelVersion]
) -> Iterator[tuple[str, str]]:
    for one in versions:
        names = [*one.aliases, *([one.stage] if one.stage not in ("", "Archived") else [])]
        if names:
            yield one.version, f"{listed(names)} points at it"
    current = registry.alias(model.name, model.alias)
    if current is not None:
        yield current, f"{model.alias} points at it"


def _served(scene: Scene, model: ModelProfile) -> Iterator[tuple[str, str]]:
    if model.server:
        yield server_of(scene, model).served(model.name).version, "the server serves it"


def _recorded(scene: Scene, model: ModelProfile, versions: Sequence[ModelVersion]) -> Iterator[tuple[str, str]]:
    """The second place that says what is in production."""
    if model.record is None:
        return
    place = scene.backends.get(model.record.backend)
    if place is None:
        text = f"The profile has no backend “{model.record.backend}”, so nobody knows what is in production there."
        raise Foreign("invalid", text, happened=False)
    pointed = cast("ModelRegistry", place).alias(model.name, model.record.pointer)
    for one in versions:
        name = one.tags.get(model.record.tag, "") if model.record.tag else one.version
        if pointed is not None and name == pointed:
            yield one.version, f"“{model.record.backend}” has it as {model.record.pointer}"


def _proven(scene: Scene, model: ModelProfile, versions: Sequence[ModelVersion]) -> Iterator[tuple[str, str]]:
    """Versions that are shown to have served well: where a rollback would go."""
    if not (model.metrics and model.bounds):
        return
    prover = Prover(scene, model, metrics_of(scene, model))
    for one in versions:
        if one.version not in scene.bad_versions and prover.proof(one.version) is not None:
            yield one.version, "it is known-good"


def _endangered(registry: Removals, model: ModelProfile, judged: Sequence[Judged]) -> str:
    """What the registry's own garbage collection would take though it is needed."""
    doomed = []
    for one in judged:
        try:
            is_doomed = bool(one.why_kept) and registry.is_doomed(model.name, one.version)
        except Foreign as problem:
            if problem.reason != "not_found":
                raise
            is_doomed = True
        doomed += [f"{shown(one.version.version)} (run {one.version.run_id[:12]})"] if is_doomed else []
    if not doomed:
        return ""
    return (
        f"DANGER: the training run of {listed(doomed)} is deleted, so `mlflow gc` would take its files, though the "
        "version is needed. Restore the run before anybody runs it."
    )


def _draft(
    scene: Scene, model: ModelProfile, judged: Sequence[Judged], victims: Sequence[ModelVersion], free: int,
    endangered: str,
) -> Draft:  # fmt: skip
    names = [one.version for one in victims]
    kept = [one.version.version for one in judged if one.why_kept]
    steps = [
        Step(name=f"{_STEP}{name}", sentence=f"Judge {shown(name)} of {model.name} anew, then remove it for good.")
        for name in names
    ]
    steps.append(Step(name=PROOF, sentence="Proof: every version that is kept is still there.", proves=True))
    left = free - len(names)
    warnings = [endangered] if endangered else []
    warnings.append("A removed version cannot be brought back.")
    warnings += [f"{left} more could go; ask again afterwards."] if left else []
    by_name = {one.version.version: one for one in judged}
    return Draft(
        title=f"Remove {len(names)} old versions of {model.name}", from_=f"{len(judged)} versions",
        to=f"{len(judged) - len(names)} versions", because=f"you asked for it. Kept are {_kept(judged)}.",
        steps=tuple(steps), inverse={}, inverse_text="none: a removed version cannot be brought back",
        fingerprint={shown(name): _fact(by_name[name]) for name in names},
        args={"model": model.name, "victims": ",".join(names), "kept": ",".join(kept),
              **{one.version: _born(one) for one in victims}},
        tier="dangerous", blast=f"nobody now; a later rollback of {blast(scene, model)}", warnings=tuple(warnings),
        changes=tuple(_loss(scene, model, one) for one in victims), watch_for=model.watch_for,
    )  # fmt: skip


def _loss(scene: Scene, model: ModelProfile, version: ModelVersion) -> str:
    """What is lost with a version, and how big it is."""
    registry = registry_of(scene, model)
    size = "of unknown size"
    if isinstance(registry, Packages):
        try:
            package = registry.package(model.name, version)
            size = f"{package.size_bytes / _KB:,.1f} kB in {package.files} files"
        except Foreign as problem:
            size = f"of unknown size ({problem.sentence.rstrip('.')})"
    bad = ", marked bad" if version.version in scene.bad_versions else ""
    return (
        f"{shown(version.version)}, made {version.created_at:%Y-%m-%d}{bad}: {size}, run {version.run_id[:12] or '-'}"
    )


def _kept(judged: Sequence[Judged]) -> str:
    kept = [one for one in judged if one.why_kept]
    told = [f"{shown(one.version.version)} ({one.why_kept})" for one in kept[:8]]
    return listed([*told, *([f"{len(kept) - 8} more"] if len(kept) > 8 else [])])


def _fact(judged: Judged | None) -> str:
    """What must be the same when the plan starts."""
    if judged is None:
        return "gone"
    return f"{_born(judged.version)}, {judged.why_kept or 'nobody needs it'}"


def _born(version: ModelVersion) -> str:
    return f"made {version.created_at.isoformat()} by run {version.run_id or '-'}"


def _victims(plan: Plan) -> list[str]:
    return [name for name in _args(plan).get("victims", "").split(",") if name]


def _args(plan: Plan) -> Mapping[str, str]:
    return plan.draft.args if plan.draft is not None else {}


ACTION = Cleanup()
