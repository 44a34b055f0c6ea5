"""scale: another number of replicas, within the profile's bounds and whatever else sets them.

An autoscaler takes a number outside its own bounds back within seconds, and zero switches it off; so the first is
refused, and the second asks for two approvals. The write is held to the number that was previewed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bot.model import Draft, Outcome, Plan, Step
from bot.policy import System
from bot.policy.approval import worst_tier
from bot.ports import Refusal, Scene, Seen
from handlers._kube import DAEMON_SET, count, dig, ready_replicas, uid_of, wanted_replicas
from handlers._look import length
from handlers.actions._change import Change, apply, look, read_change
from handlers.actions._rollout import taken_back
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

USAGE = "scale <service> <replicas>"
SET, READY = "set_replicas", "prove_ready"
REPLICAS = "/spec/replicas"


class Scale:
    """The action as the registry of handlers knows it."""

    name = "scale"
    usage = USAGE
    summary = "run more or fewer replicas, within bounds"

    def parse(self, words: Sequence[str], system: System) -> tuple[str, dict[str, str]] | Refusal:
        """The service and a whole number."""
        words = [word for word in words if word.lower() != "to"]
        if len(words) != 2:
            return Refusal(why=f"I read `{USAGE}`, for example `scale {example_service(system)} 3`.")
        if system.workload(words[0]) is None:
            return Refusal(why=unknown_service(words[0], system))
        if not words[1].isascii() or not words[1].isdecimal() or len(words[1]) > 5:
            return Refusal(why=f"“{words[1][:40]}” is no number of replicas. Write a whole number, 0 or more.")
        return words[0], {"service": words[0], "to": str(int(words[1]))}

    def draw(self, scene: Scene, request: Mapping[str, str]) -> Draft | Refusal:
        """Read the workload and what else sets its replicas. Raises Foreign when the cluster is silent."""
        service = scene.system.workload(scene.service)
        if service is not None and service.kind == DAEMON_SET.name:
            return Refusal(why=f"{service.service} is a DaemonSet: it has one pod on each node and cannot be scaled.")
        target = read_target(scene, self.name)
        if isinstance(target, Refusal):
            return target
        now, to = wanted_replicas(target.live), int(request["to"])
        refused = out_of_bounds(target, now, to)
        if refused:
            return Refusal(why=refused)
        scale = {"kind": "Scale", **target.port.get(target.thing, sub="scale")}
        change = Change(
            thing=target.thing, uid=uid_of(scale), was={REPLICAS: now}, want={REPLICAS: to}, sub="scale"
        )  # fmt: skip
        rehearsal = rehearsed(target, change, scale)
        if isinstance(rehearsal, Refusal):
            return rehearsal
        return _propose(scene, target, rehearsal[0], now, to)

    def fingerprint(self, scene: Scene, plan: Plan) -> dict[str, str]:
        """The workload's facts and its replicas, read again."""
        found = fingerprint(scene, self.name)
        if not found:
            return {}
        live = port_here(scene).get(read_change(plan).thing, sub="scale")
        return found | {"replicas": str(count(live, "spec", "replicas"))}

    def perform(self, scene: Scene, plan: Plan, step: str) -> Seen:
        """Set the number, or look whether as many pods are ready."""
        if step == SET:
            return apply(port_here(scene), read_change(plan), plan)
        return _ready(scene, plan)

    def observe(self, scene: Scene, plan: Plan, step: str) -> Seen:
        """Look for the number, or for the pods."""
        if step == SET:
            return look(port_here(scene), read_change(plan))
        return _ready(scene, plan)


def out_of_bounds(target: Target, now: int, to: int) -> str:
    """Why the number is refused, "" when it is not."""
    profile, name = target.profile, target.profile.service
    if to == now:
        return f"Nothing to do: {name} has {now} replicas already."
    if to and not profile.min_replicas <= to <= profile.max_replicas:
        bounds = f"{profile.min_replicas} to {profile.max_replicas}"
        return (
            f"{name} may have {bounds} replicas, as its profile says; {to} is outside. Change `replicas` there first."
        )
    for one in target.scalers:
        if to and not one.least <= to <= one.most:
            return (
                f"{one.name} keeps {name} between {one.least} and {one.most} replicas and would take {to} back within "
                f"seconds. Change its bounds instead."
            )
    return ""


def step_tier(target: Target, now: int, to: int) -> tuple[str, list[str]]:
    """How dangerous the step is, and what to say about it."""
    found: list[str] = []
    tier = "change"
    if to == 0:
        tier = "dangerous"
        found.append("This stops every pod: nothing serves any more.")
        found += [
            f"{one.name} is switched off by zero, and stays off until somebody scales up." for one in target.scalers
        ]
    elif target.scalers:
        tier = "dangerous"  # two hands on one number
        found += [
            f"{one.name} goes on scaling between {one.least} and {one.most}; it may change this again."
            for one in target.scalers
        ]
    if abs(to - now) > target.profile.max_step:
        tier = "dangerous"
        found.append(f"A step of {abs(to - now)} replicas is more than the {target.profile.max_step} of the profile.")
    return tier, found


def _propose(scene: Scene, target: Target, change: Change, now: int, to: int) -> Draft:
    name = target.profile.service
    tier, told = step_tier(target, now, to)
    warnings, least = warnings_of(target, rolls=False)
    wait = length(target.profile.watch_for)
    steps = (
        Step(name=SET, sentence=f"{target.thing.label}: set the replicas to {to}, only if they are still {now}."),
        Step(
            name=READY, sentence=f"Proof: watch until {to} pods are ready and nobody changed it ({wait}).", proves=True
        ),
    )
    proposed = draft(
        scene, target, change, tier=worst_tier(tier, least), steps=steps, warnings=(*told, *warnings),
        changes=(f"replicas: {now} → {to}",), title=f"Scale {name} from {now} to {to} replicas",
        from_=f"{now} replicas", to=f"{to} replicas",
        because=f"you asked for it; {ready_replicas(target.live)} of {now} are ready now.",
        inverse={"service": name, "to": str(now)}, inverse_text=f"/mlops scale {name} {now}",
    )  # fmt: skip
    return replace(proposed, fingerprint=proposed.fingerprint | {"replicas": str(now)})


def _ready(scene: Scene, plan: Plan) -> Seen:
    change = read_change(plan)
    port = port_here(scene)
    wanted = change.want[REPLICAS] or 0
    live = {"kind": change.thing.kind.name, **port.get(change.thing)}
    if wanted_replicas(live) != wanted or dig(live, "metadata", "uid") != change.uid:
        gone = taken_back(live, change)
        now = wanted_replicas(live)
        return Seen(outcome=Outcome.FAILED, detail=f"{gone} There are {now} replicas wanted now, not {wanted}.")
    if count(live, "metadata", "generation") > count(live, "status", "observedGeneration"):
        return Seen(outcome=Outcome.NOT_YET, detail="Kubernetes has not seen the change yet.")
    ready, running = ready_replicas(live), count(live, "status", "replicas")
    if ready != wanted or running != wanted:
        return Seen(outcome=Outcome.NOT_YET, detail=f"{ready} of {wanted} pods are ready, {running} are there.")
    return Seen(outcome=Outcome.DONE, detail=f"{ready} of {wanted} pods are ready.")


ACTION = Scale()
