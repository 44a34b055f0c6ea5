"""pause and resume: whether a Deployment's template changes are rolled out. Two verbs, one change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bot.model import Draft, Outcome, Plan, Step
from bot.policy import System
from bot.ports import Refusal, Scene, Seen
from handlers._kube import DEPLOYMENT, count, dig, rolled_out
from handlers.actions._change import apply, is_there, look, read_change
from handlers.actions._rollout import proofs, prove, taken_back
from handlers.actions._workload import (
    Target,
    draft,
    example_service,
    fingerprint,
    port_here,
    read_target,
    rehearsed,
    unknown_service,
    warnings_of,
)

SET, SEEN = "set_paused", "prove_seen"
PAUSED = "/spec/paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One of the two directions."""

    verb: str
    inverse: str
    value: bool  # of spec.paused
    title: str
    already: str

    def parse(self, words: Sequence[str], system: System) -> tuple[str, dict[str, str]] | Refusal:
        """The service."""
        if len(words) != 1:
            return Refusal(why=f"I read `{self.verb} <service>`, for example `{self.verb} {example_service(system)}`.")
        if system.workload(words[0]) is None:
            return Refusal(why=unknown_service(words[0], system))
        return words[0], {"service": words[0]}

    def draw(self, scene: Scene) -> Draft | Refusal:
        """Read the Deployment and propose. Raises Foreign when the cluster is silent."""
        service = scene.system.workload(scene.service)
        if service is not None and service.kind != DEPLOYMENT.name:
            return Refusal(why=f"{service.service} is a {service.kind}; only a Deployment can be paused and resumed.")
        target = read_target(scene, self.verb)
        if isinstance(target, Refusal):
            return target
        if (dig(target.live, "spec", "paused") is True) == self.value:
            return Refusal(why=f"Nothing to do: {target.thing.label} is {self.already}.")
        want: dict[str, Any] = {PAUSED: True if self.value else None}
        rehearsal = rehearsed(target, target.change(want, {PAUSED: None if self.value else True}))
        if isinstance(rehearsal, Refusal):
            return rehearsal
        return self._propose(scene, target, rehearsal)

    def _propose(self, scene: Scene, target: Target, rehearsal: tuple[Any, tuple[str, ...]]) -> Draft:
        change, changes = rehearsal
        name = target.profile.service
        warnings, tier = warnings_of(target, rolls=not self.value)
        waiting = rolled_out(target.live)
        if not self.value and waiting:
            warnings = [f"Changes made while it was paused are rolled out now: {waiting}.", *warnings]
        text = f"{target.thing.label}: {'pause' if self.value else 'go on with'} roll-outs."
        proof = Step(name=SEEN, sentence="Proof: watch until Kubernetes has seen it.", proves=True)
        rolled = proofs(scene, target.profile.watch_for, with_quality=False)
        states = ("running", "paused") if self.value else ("paused", "running")
        return draft(
            scene, target, change, tier=tier, title=f"{self.title} {name}", from_=states[0], to=states[1],
            because="you asked for it.", warnings=warnings, changes=changes,
            steps=(Step(name=SET, sentence=text), *((proof,) if self.value else rolled)),
            inverse={"action": self.inverse, "service": name}, inverse_text=f"/mlops {self.inverse} {name}",
        )  # fmt: skip

    def fingerprint(self, scene: Scene) -> dict[str, str]:
        """The workload's facts, read again."""
        return fingerprint(scene, self.verb)

    def see(self, scene: Scene, plan: Plan, step: str, *, change: bool) -> Seen:
        """Carry a step out (`change`), or look at its effect."""
        port, planned = port_here(scene), read_change(plan)
        if step == SET:
            return apply(port, planned, plan) if change else look(port, planned)
        if step != SEEN:
            return prove(scene, port, plan, step)
        live = port.get(planned.thing)
        gone = taken_back(live, planned)
        if gone or not all(is_there(live, at, value) for at, value in planned.want.items()):
            return Seen(outcome=Outcome.FAILED, detail=gone)
        if count(live, "metadata", "generation") > count(live, "status", "observedGeneration"):
            return Seen(outcome=Outcome.NOT_YET, detail="Kubernetes has not seen it yet.")
        return Seen(outcome=Outcome.DONE, detail=f"Kubernetes has seen it: {planned.thing.label} is paused.")
