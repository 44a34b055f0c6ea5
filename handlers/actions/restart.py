"""restart: replace every pod by one of the same template, a few at a time, as the roll-out strategy says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bot.model import Draft, Plan, Step
from bot.policy import System
from bot.ports import Foreign, Refusal, Scene, Seen
from handlers._kube import RESTARTED, dig, moment, pointer, rolled_out
from handlers._look import length
from handlers.actions._change import Change, apply, look, read_change
from handlers.actions._rollout import proofs, prove
from handlers.actions._workload import (
    draft,
    example_service,
    fingerprint,
    paused,
    port_here,
    read_target,
    rehearsed,
    unknown_service,
    warnings_of,
)

USAGE = "restart <service>"
STAMP = "stamp_template"
AT = pointer("spec", "template", "metadata", "annotations", RESTARTED)
LATER = "when this starts"  # stands for the time, which is not known before


class Restart:
    """The action as the registry of handlers knows it."""

    name = "restart"
    usage = USAGE
    summary = "replace every pod by a fresh one of the same template"

    def parse(self, words: Sequence[str], system: System) -> tuple[str, dict[str, str]] | Refusal:
        """The service."""
        if len(words) != 1:
            return Refusal(why=f"I read `{USAGE}`, for example `restart {example_service(system)}`.")
        if system.workload(words[0]) is None:
            return Refusal(why=unknown_service(words[0], system))
        return words[0], {"service": words[0]}

    def draw(self, scene: Scene, request: Mapping[str, str]) -> Draft | Refusal:
        """Read the workload. Raises Foreign when the cluster is silent."""
        target = read_target(scene, self.name)
        if isinstance(target, Refusal):
            return target
        is_paused = paused(target)
        if is_paused is not None:
            return is_paused
        name, before = target.profile.service, _stamp(target.live)
        last = moment(before)
        under_way = rolled_out(target.live)
        if last is not None and under_way and (scene.now - last).total_seconds() < 600:
            ago = length(scene.now - last)
            return Refusal(why=f"{name} was restarted {ago} ago and is not done: {under_way}. Wait for it.")
        change = target.change({AT: f"{scene.now:%Y-%m-%dT%H:%M:%SZ}"}, {AT: before}, cause="restart")
        rehearsal = rehearsed(target, change)
        if isinstance(rehearsal, Refusal):
            return rehearsal
        warnings, tier = warnings_of(target)
        text = f"{target.thing.label}: stamp the pod template with the time, so that every pod is replaced."
        return draft(
            scene, target, replace(change, want={AT: LATER}), tier=tier, title=f"Restart {name}", from_=target.image,
            to=target.image, because="you asked for it; the template stays as it is.", warnings=warnings, inverse={},
            inverse_text="none: a restart is not undone", changes=("annotation restartedAt of the pod template: now",),
            steps=(Step(name=STAMP, sentence=text), *proofs(scene, target.profile.watch_for, with_quality=False)),
        )  # fmt: skip

    def fingerprint(self, scene: Scene, plan: Plan) -> dict[str, str]:
        """The workload's facts, read again."""
        return fingerprint(scene, self.name)

    def perform(self, scene: Scene, plan: Plan, step: str) -> Seen:
        """Stamp the template, or look at a proof."""
        stamped = _dated(plan)
        if step == STAMP:
            return apply(port_here(scene), read_change(stamped), plan)
        return prove(scene, port_here(scene), stamped, step)

    def observe(self, scene: Scene, plan: Plan, step: str) -> Seen:
        """Look for the stamp, or at a proof."""
        stamped = _dated(plan)
        if step == STAMP:
            return look(port_here(scene), read_change(stamped))
        return prove(scene, port_here(scene), stamped, step)


def _stamp(live: Mapping[str, object]) -> str | None:
    found = dig(live, "spec", "template", "metadata", "annotations", RESTARTED)
    return str(found) if found is not None else None


def _dated(plan: Plan) -> Plan:
    """The plan with the time of its own start in the change: the same at every try, and of this plan alone."""
    if plan.draft is None or plan.started_at is None:
        raise Foreign("invalid", f"Plan {plan.id} has not started. Nothing was done.", happened=False)
    change: Change = read_change(plan)
    dated = replace(change, want={AT: f"{plan.started_at:%Y-%m-%dT%H:%M:%SZ}"})
    return replace(plan, draft=replace(plan.draft, args={**plan.draft.args, "change": dated.write()}))


ACTION = Restart()
