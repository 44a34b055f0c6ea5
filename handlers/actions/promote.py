"""promote: put a version into production, after its gate, and prove it from the serving side.

The gate judges what the training recorded, before anybody is asked; its table is on the card, and a version that does
not pass is refused there. What was judged is part of the fingerprint: if a recorded number, the champion or the served
version changes between preview and approval, the plan is void.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bot.model import Draft, Plan
from bot.policy import System
from bot.policy.gate import WARN as WARNED
from bot.policy.gate import has_passed
from bot.ports import ModelVersion, Refusal, Scene, Seen
from handlers._look import listed, profile_of, shown
from handlers.actions import _env_promote, _serving
from handlers.actions._gate import ANYWAY, TOLD, Verdict, failed_gate, gate_of
from handlers.actions._target import (
    READY,
    Target,
    blast,
    example_model,
    facts,
    move_args,
    no_version,
    read_target,
    unknown_model,
    warnings_of,
)

USAGE = "promote <model> <version> [anyway]"
_VERSION = re.compile(r"[vV]?([A-Za-z0-9][A-Za-z0-9._-]{0,63})")


class Promote:
    """The action as the registry of handlers knows it."""

    name = "promote"
    usage = USAGE
    summary = "put a version that passes its gate into production, and prove that it serves"

    def parse(self, words: Sequence[str], system: System) -> tuple[str, dict[str, str]] | Refusal:
        """Model and version. Names come from the profile; everything else is refused."""
        if len(words) not in (2, 3) or (len(words) == 3 and words[2].lower() != ANYWAY):
            return Refusal(why=f"I read `{USAGE}`, for example `promote {example_model(system)} 7`.")
        model = system.model(words[0])
        if model is None:
            return Refusal(why=unknown_model(words[0], system))
        if not model.registry:
            return Refusal(why=f"The profile of {model.name} names no registry, so there is nothing to promote in.")
        match = _VERSION.fullmatch(words[1])
        if match is None:
            return Refusal(why=f"“{words[1][:40]}” is no version. Write it as `7` or `v7`.")
        request = {"model": model.name, "to": match[1]}
        return model.name, request | ({ANYWAY: "yes"} if len(words) == 3 else {})

    def draw(self, scene: Scene, request: Mapping[str, str]) -> Draft | Refusal:
        """Read the target and what was recorded about both versions. Foreign when the registry is silent."""
        if profile_of(scene).env is not None:
            return _env_promote.draw(scene, request)
        target = read_target(scene)
        if isinstance(target, Refusal):
            return target
        version = _candidate(target, request["to"])
        if isinstance(version, Refusal):
            return version
        verdict = gate_of(scene, target.model, version, target.find(target.current))
        if isinstance(verdict, Refusal):
            return verdict
        return _draft(scene, target, version, verdict, overrules=ANYWAY in request)

    def fingerprint(self, scene: Scene, plan: Plan) -> dict[str, str]:
        """Pointer, served version, status and what the gate says, read again. Foreign when the registry is silent."""
        if _is_env(plan):
            return _env_promote.fingerprint(scene, plan)
        target = read_target(scene)
        if isinstance(target, Refusal) or plan.draft is None:
            return {}
        to = plan.draft.args["to"]
        version = target.find(to)
        champion = target.find(target.current)
        verdict = gate_of(scene, target.model, version, champion) if version is not None else Refusal(why="")
        said = {} if isinstance(verdict, Refusal) else {"gate": verdict.fact}
        return facts(target, to) | said

    def perform(self, scene: Scene, plan: Plan, step: str) -> Seen:
        """Make the step's call, or look at its proof."""
        if _is_env(plan):
            return _env_promote.perform(scene, plan, step)
        return _serving.perform(scene, plan, step)

    def observe(self, scene: Scene, plan: Plan, step: str) -> Seen:
        """Look for the step's effect."""
        if _is_env(plan):
            return _env_promote.observe(scene, plan, step)
        return _serving.observe(scene, plan, step)


def _is_env(plan: Plan) -> bool:
    """By the plan, not by the profile: it is carried out as it was previewed."""
    return "change" in (plan.draft.args if plan.draft is not None else {})


def _candidate(target: Target, wanted: str) -> ModelVersion | Refusal:
    """The version, when it could be served at all and is not already."""
    model, version = target.model, target.find(wanted)
    if version is None:
        return Refusal(why=no_version(target, wanted))
    if version.version == target.current:
        if target.served in ("", target.current):
            return Refusal(
                why=f"Nothing to do: {model.alias} of {model.name} points at {shown(target.current)} already."
            )
        return Refusal(
            why=f"{model.alias} points at {shown(target.current)} already, but the server still serves "
            f"{shown(target.served)}. Use `reload {model.name}`."
        )
    if version.status != READY:
        return Refusal(
            why=f"{shown(version.version)} of {model.name} has the status {version.status}; only {READY} versions can "
            "be served."
        )
    return version


def _draft(
    scene: Scene, target: Target, version: ModelVersion, verdict: Verdict, *, overrules: bool
) -> Draft | Refusal:
    model, to, old = target.model, version.version, target.current
    found = move_args(scene, target, version)
    if isinstance(found, Refusal):
        return found
    args, remarks = found
    passed = has_passed(verdict.rows)
    refusal = "" if passed else failed_gate(model, version, verdict, overrules=overrules)
    tier, cautions = _cautions(scene, target, version, verdict)
    count = len(verdict.rows)
    because = f"it passed its gate: {count} of {count} criteria, as the registry recorded them."
    if not passed:
        because = f"you asked to set the gate aside. It says no to {len(verdict.failed)} of {count} criteria."
    return Draft(
        title=f"Promote {model.name} from {shown(old)} to {shown(to)}", from_=shown(old), to=shown(to),
        because=because, steps=_serving.steps(scene, model, args, moves=True),
        inverse={"action": "rollback", "model": model.name, "to": old},
        inverse_text=f"/mlops rollback {model.name} to {old}",
        fingerprint=facts(target, to) | {"gate": verdict.fact}, args=args,
        tier=tier if passed else "dangerous", blast=blast(scene, model),
        warnings=(*cautions, *remarks, *warnings_of(target)), watch_for=model.watch_for,
        checks=tuple(row.row for row in verdict.rows), refusal=refusal,
    )  # fmt: skip


def _cautions(scene: Scene, target: Target, version: ModelVersion, verdict: Verdict) -> tuple[str, tuple[str, ...]]:
    """The tier, and what an approver should know besides the table."""
    to, tier, found = version.version, "change", []
    if to in scene.bad_versions:
        tier = "dangerous"
        found.append(f"{shown(to)} is marked bad: {scene.bad_versions[to][:300]}")
    if not has_passed(verdict.rows):
        told = listed(row.what for row in verdict.failed[:TOLD])
        found.append(f"The gate says no ({told}): this sets it aside.")
    found += [
        f"{row.sentence[0].upper()}{row.sentence[1:]}: the comparison says little."
        for row in verdict.rows
        if row.verdict == WARNED
    ]
    names = [one.version for one in target.versions]
    if target.current in names and names.index(to) > names.index(target.current):
        found.append(f"{shown(to)} is older than {shown(target.current)}. To go back, `rollback` is the verb.")
    return tier, tuple(found)


ACTION = Promote()
