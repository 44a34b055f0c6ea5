"""switch: let a Service select the other of two sides, blue or green.

The side that gets the traffic must have pods that are ready; the other one stays as it is, so the way back is short.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bot.model import Draft, Outcome, Plan, Step
from bot.policy import SwitchProfile, System, WorkloadProfile
from bot.ports import Foreign, Json, Refusal, Scene, Seen, Thing, Workloads
from handlers._kube import POD, SERVICE, SLICE, dig, is_ready, name_of, pointer, ready_endpoints, uid_of
from handlers._look import length, listed
from handlers.actions._change import Change, apply, look, read_change
from handlers.actions._rollout import taken_back
from handlers.actions._workload import missing, owner_of, port_of, rehearse_or_refuse, unknown_service

USAGE = "switch <service> <side>"
SELECT, SERVED = "set_selector", "prove_endpoints"


class Switch:
    """The action as the registry of handlers knows it."""

    name = "switch"
    usage = USAGE
    summary = "send all traffic of a service to its other side, blue or green"

    def parse(self, words: Sequence[str], system: System) -> tuple[str, dict[str, str]] | Refusal:
        """The service and the side, both as the profile names them."""
        words = [word for word in words if word.lower() != "to"]
        if len(words) != 2:
            return Refusal(why=f"I read `{USAGE}`, for example `switch web green`.")
        found = system.workload(words[0])
        if found is None:
            return Refusal(why=unknown_service(words[0], system))
        if found.switch is None:
            return Refusal(
                why=f"{words[0]} has no sides to switch between. Describe them under `switch` in its profile."
            )
        if words[1] not in found.switch.sides:
            return Refusal(why=f"{words[0]} has no side “{words[1][:40]}”; it has {listed(found.switch.sides)}.")
        return words[0], {"service": words[0], "to": words[1]}

    def draw(self, scene: Scene, request: Mapping[str, str]) -> Draft | Refusal:
        """Read the Service and both sides. Raises Foreign when the cluster is silent."""
        profile, switch, port = _where(scene)
        thing = _service(profile, switch)
        lacking = missing(port, self.name, thing)
        if lacking:
            return Refusal(why=lacking)
        live = port.get(thing)
        now, to = str(dig(live, "spec", "selector", switch.label) or ""), request["to"]
        if now == to:
            return Refusal(why=f"Nothing to do: {thing.label} selects {to} already.")
        ready, every = side(port, profile, live, switch, to)
        if not ready:
            why = f"The side {to} of {profile.service} has no ready pod ({every} pods in all)"
            return Refusal(why=f"{why}, so every request would fail. Start it first.")
        at = pointer("spec", "selector", switch.label)
        change = Change(thing=thing, uid=uid_of(live), was={at: now or None}, want={at: to}, cause=f"switch to {to}")
        rehearsal = rehearse_or_refuse(port, change, live)
        if isinstance(rehearsal, Refusal):
            return rehearsal
        change, changes = rehearsal
        left, _ = side(port, profile, live, switch, now)
        warnings = (
            [] if ready >= left else [f"{to} has {ready} ready pods, {now} has {left}: less room for the traffic."]
        )
        owner = owner_of(live)
        warnings += [f"{owner} keeps this Service as its repository says and may switch back."] if owner else []
        wait = length(profile.watch_for)
        steps = (
            Step(name=SELECT, sentence=f"{thing.label}: select {switch.label}={to}, only if it still selects {now}."),
            Step(name=SERVED, proves=True, sentence=f"Proof: watch until the endpoints are the pods of {to} ({wait})."),
        )
        return Draft(
            title=f"Switch {profile.service} from {now or 'no side'} to {to}", from_=now or "no side", to=to,
            because=f"you asked for it; {ready} of {every} pods of {to} are ready.", steps=steps, changes=changes,
            inverse={"service": profile.service, "to": now} if now in switch.sides else {},
            inverse_text=f"/mlops switch {profile.service} {now}" if now in switch.sides else "none",
            fingerprint=_facts(live, switch, ready), args={"change": change.write(), "to": to},
            tier="dangerous", blast=f"all traffic of {thing.label} ({scene.system.environment})",
            warnings=tuple(warnings), watch_for=profile.watch_for,
        )  # fmt: skip

    def fingerprint(self, scene: Scene, plan: Plan) -> dict[str, str]:
        """What is selected, and whether the other side still has ready pods."""
        profile, switch, port = _where(scene)
        try:
            live = port.get(_service(profile, switch))
        except Foreign as problem:
            if problem.reason == "not_found":
                return {}
            raise
        return _facts(live, switch, side(port, profile, live, switch, plan.request["to"])[0])

    def perform(self, scene: Scene, plan: Plan, step: str) -> Seen:
        """Write the selector, or look at the endpoints."""
        if step == SELECT:
            return apply(_where(scene)[2], read_change(plan), plan)
        return _proven(scene, plan)

    def observe(self, scene: Scene, plan: Plan, step: str) -> Seen:
        """Look at the selector, or at the endpoints."""
        if step == SELECT:
            return look(_where(scene)[2], read_change(plan))
        return _proven(scene, plan)


def side(port: Workloads, profile: WorkloadProfile, live: Json, switch: SwitchProfile, name: str) -> tuple[int, int]:
    """Ready and all pods that the Service would select with that side."""
    selector = {**(dig(live, "spec", "selector") or {}), switch.label: name}
    labels = ",".join(f"{key}={value}" for key, value in selector.items())
    pods = port.list(Thing(kind=POD, namespace=profile.namespace), labels=labels)
    return sum(is_ready(pod) for pod in pods), len(pods)


def _where(scene: Scene) -> tuple[WorkloadProfile, SwitchProfile, Workloads]:
    profile = scene.system.workload(scene.service)
    if profile is None or profile.switch is None:
        text = f"The profile of {scene.system.name} names no sides of {scene.service}. Ask again when it does."
        raise Foreign("invalid", text, happened=False)
    return profile, profile.switch, port_of(scene, profile.backend)


def _service(profile: WorkloadProfile, switch: SwitchProfile) -> Thing:
    return Thing(kind=SERVICE, namespace=profile.namespace, name=switch.selects)


def _facts(live: Json, switch: SwitchProfile, ready: int) -> dict[str, str]:
    selected = str(dig(live, "spec", "selector", switch.label) or "none")
    return {"uid": uid_of(live), "selects": selected, "other side": "ready" if ready else "not ready"}


def _proven(scene: Scene, plan: Plan) -> Seen:
    profile, switch, port = _where(scene)
    change = read_change(plan)
    live = port.get(change.thing)
    gone = taken_back(live, change)
    if gone:
        return Seen(outcome=Outcome.FAILED, detail=gone)
    to = plan.request["to"]
    ready, _ = side(port, profile, live, switch, to)
    slices = port.list(Thing(kind=SLICE, namespace=profile.namespace))
    found = ready_endpoints(name_of(live), slices)
    if not ready or found != ready:
        return Seen(outcome=Outcome.NOT_YET, detail=f"{found} endpoints are ready; {to} has {ready} ready pods.")
    return Seen(outcome=Outcome.DONE, detail=f"{found} ready endpoints, all of {to}.")


ACTION = Switch()
