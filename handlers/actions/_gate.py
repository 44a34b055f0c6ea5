"""The gate before a promotion: what the registry recorded about a version and the champion, judged and told.

Shared by every way a promotion is carried out; the rules themselves are in `bot.policy.gate`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from bot.model import canonical
from bot.policy import ModelProfile
from bot.policy.gate import PASS, Check, Evaluation, judge
from bot.policy.gate import WARN as WARNED
from bot.ports import Evaluations, Foreign, ModelVersion, Refusal, Scene
from handlers._look import registry_of, shown

ANYWAY = "anyway"
TOLD = 3  # failed criteria that the refusal spells out; the table has them all


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the gate said of a version."""

    rows: tuple[Check, ...]

    @property
    def failed(self) -> list[Check]:
        """The rows that stand in the way."""
        return [row for row in self.rows if row.verdict not in (PASS, WARNED)]

    @property
    def fact(self) -> str:
        """One line that changes when anything that was judged changes."""
        kept = len(self.rows) - len(self.failed)
        digest = hashlib.sha256(canonical([row.row for row in self.rows]).encode(errors="backslashreplace"))
        return f"{kept} of {len(self.rows)} passed, digest {digest.hexdigest()[:10]}"


def gate_of(
    scene: Scene, model: ModelProfile, version: ModelVersion, champion: ModelVersion | None
) -> Verdict | Refusal:
    """The gate's table. Refuses when there is no gate, or the registry keeps nothing that could be judged."""
    if model.gate is None:
        return Refusal(
            why=f"The profile of {model.name} has no `gate`, and without one nothing is promoted. Say in system.yaml "
            "what a version must show; see docs/how-to/promote.md."
        )
    registry = registry_of(scene, model)
    if not isinstance(registry, Evaluations):
        return Refusal(
            why=f"“{model.registry}” keeps no metrics of versions, so the gate of {model.name} has nothing to judge. "
            "Keep them there, or name a registry that has them."
        )
    ours = _evaluation(registry, model, version)
    if ours is None:
        return Refusal(
            why=f"What was recorded about {shown(version.version)} of {model.name} is gone from “{model.registry}”, so "
            "it cannot be judged. Train and register it anew."
        )
    theirs = _evaluation(registry, model, champion) if champion is not None and model.gate.compares else None
    return Verdict(rows=judge(model.gate, ours, version.tags, theirs))


def failed_gate(model: ModelProfile, version: ModelVersion, verdict: Verdict, *, overrules: bool) -> str:
    """Why the gate stands in the way, "" when it may be set aside and was asked to be."""
    may = model.gate is not None and model.gate.may_be_overruled
    if overrules and may:
        return ""
    failed = verdict.failed
    told = "; ".join(row.sentence for row in failed[:TOLD])
    more = f"; and {len(failed) - TOLD} more" if len(failed) > TOLD else ""
    way = ""
    if may:
        way = f" Two approvers may set the gate aside: `promote {model.name} {version.version} {ANYWAY}`."
    elif overrules:
        way = f" The profile does not allow setting the gate of {model.name} aside."
    return f"The gate says no to {shown(version.version)}: {told}{more}. Nothing was changed.{way}"


def _evaluation(registry: Evaluations, model: ModelProfile, version: ModelVersion) -> Evaluation | None:
    try:
        return registry.evaluation(model.name, version)
    except Foreign as problem:
        if problem.reason == "not_found":
            return None
        raise
