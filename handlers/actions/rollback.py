"""rollback: one verb for whatever serves. A model goes back by its alias, a service by its pod template.

Which of the two is meant, the profile says: a model with a registry is rolled back there; a service that a cluster
runs, and a model without a registry, by the workload.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bot.model import Draft, Plan
from bot.policy import System
from bot.ports import Refusal, Scene, Seen
from handlers.actions import _alias_rollback, _serving, _workload_rollback
from handlers.actions._target import example_model, unknown_model
from handlers.actions._workload import example_service, unknown_service

USAGE = "rollback <service|model> [to <version>]"
_VERSION = re.compile(r"[vV]?([A-Za-z0-9][A-Za-z0-9._-]{0,63})")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,250}")  # a number, a ReplicaSet's name, an image


class Rollback:
    """The action as the registry of handlers knows it."""

    name = "rollback"
    usage = USAGE
    summary = "go back to the last known-good version, or to the one you name"

    def parse(self, words: Sequence[str], system: System) -> tuple[str, dict[str, str]] | Refusal:
        """What, and when one was named, the version. Names come from the profile; everything else is refused."""
        if len(words) not in (1, 3) or (len(words) == 3 and words[1].lower() != "to"):
            example = example_model(system) if system.models else example_service(system)
            return Refusal(why=f"I read `{USAGE}`, for example `rollback {example}`.")
        model = system.model(words[0])
        service = system.workload(words[0] if model is None else model.service)
        to = words[2] if len(words) == 3 else ""
        if service is not None and (model is None or not model.registry or model.env is not None):
            return _of_service(service.service, to)
        if model is None:
            is_cluster = bool(system.workloads) and not system.models
            return Refusal(why=(unknown_service if is_cluster else unknown_model)(words[0], system))
        if not to and len(words) == 1:
            return model.name, {"model": model.name}
        match = _VERSION.fullmatch(to)
        if match is None:
            return Refusal(why=f"“{to[:40]}” is no version. Write it as `to 2` or `to v2`.")
        return model.name, {"model": model.name, "to": match[1]}

    def draw(self, scene: Scene, request: Mapping[str, str]) -> Draft | Refusal:
        """Read the target and propose where to go. Foreign when what knows it is silent."""
        if "service" in request:
            return _workload_rollback.draw(scene, request)
        return _alias_rollback.draw(scene, request)

    def fingerprint(self, scene: Scene, plan: Plan) -> dict[str, str]:
        """What the preview relied on, read again. Raises Foreign when what knows it is silent."""
        if _is_workload(plan):
            return _workload_rollback.fingerprint(scene, plan)
        return _alias_rollback.fingerprint(scene, plan)

    def perform(self, scene: Scene, plan: Plan, step: str) -> Seen:
        """Make the step's call, or look at its proof."""
        if _is_workload(plan):
            return _workload_rollback.perform(scene, plan, step)
        return _serving.perform(scene, plan, step)

    def observe(self, scene: Scene, plan: Plan, step: str) -> Seen:
        """Look for the step's effect."""
        if _is_workload(plan):
            return _workload_rollback.observe(scene, plan, step)
        return _serving.observe(scene, plan, step)


def _of_service(name: str, to: str) -> tuple[str, dict[str, str]] | Refusal:
    if not to:
        return name, {"service": name}
    if _REVISION.fullmatch(to) is None:
        return Refusal(why=f"“{to[:40]}” is no revision. Write its number, its ReplicaSet's name or its image.")
    return name, {"service": name, "to": to}


def _is_workload(plan: Plan) -> bool:
    return "change" in (plan.draft.args if plan.draft is not None else {})


ACTION = Rollback()
