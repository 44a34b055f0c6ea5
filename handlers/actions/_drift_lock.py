"""The lock on retraining while the data are probably broken.

A model that is trained on broken data is worse than the one it replaces. So the last finished drift check has a say in
every retrain, by whatever way it is asked for: a probable data bug refuses it, doubt makes it dangerous, and what a
person decided is bound into the plan, so that a newer report or another decision makes the plan void.
"""

from __future__ import annotations

from dataclasses import replace

from bot.model import Draft
from bot.policy import TIERS
from bot.policy.drift import Standing
from bot.ports import Refusal, Scene

FACT = "last drift check"
_UNSURE = "unsure"


def guarded(scene: Scene, drawn: Draft | Refusal) -> Draft | Refusal:
    """The retrain as drift allows it: refused, with a higher tier and a warning, or as it was drawn."""
    standing = scene.standing
    if isinstance(drawn, Refusal) or standing is None:
        return drawn
    if standing.is_bug:
        return Refusal(why=_why(standing))
    tier, warning = drawn.tier, ""
    if standing.cause == _UNSURE:
        tier, warning = "dangerous", f"{standing.report_id} is not clear yet: {standing.lock or standing.sentence}"
    elif standing.overruled:
        tier = "change"
        warning = f"{standing.report_id} proposed a data bug; {standing.overruled} said that the drift is valid."
    elif standing.lock:
        warning = f"{standing.report_id}: {standing.lock}"
    return replace(
        drawn, tier=max(drawn.tier, tier, key=_rank), warnings=(*drawn.warnings, *([warning] if warning else [])),
        fingerprint={**drawn.fingerprint, FACT: standing.fact},
    )  # fmt: skip


def facts(scene: Scene, read: dict[str, str]) -> dict[str, str]:
    """The target's facts with that of the last drift check, as a plan's fingerprint holds them."""
    return {**read, FACT: scene.standing.fact} if scene.standing is not None and read else read


def _why(standing: Standing) -> str:
    return (
        f"Locked by {standing.report_id}: {standing.lock} Check again with `drift` once it is fixed; if the data are "
        "right after all, choose “valid drift” at that report."
    )


def _rank(tier: str) -> int:
    return TIERS.index(tier) if tier in TIERS else len(TIERS)
