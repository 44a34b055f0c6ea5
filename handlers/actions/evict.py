"""evict: ask Kubernetes to end one pod, so that its controller makes it anew.

By the eviction API, which asks the disruption budgets; a plain delete would not. It is what repairs the pod that a
StatefulSet waits for in vain.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bot.model import Draft, Outcome, Plan, Step
from bot.policy import System, WorkloadProfile
from bot.ports import Foreign, Json, Refusal, Scene, Seen, Thing
from handlers._kube import POD, count, dig, is_live, is_ready, items, name_of, trouble_of, uid_of
from handlers._look import length, listed
from handlers.actions._change import PASSING
from handlers.actions._workload import Target, blast, port_here, read_target

USAGE = "evict <pod>"
EVICT, BACK = "evict_pod", "prove_replaced"
_POD = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")


class Evict:
    """The action as the registry of handlers knows it."""

    name = "evict"
    usage = USAGE
    summary = "end one pod of a service, so that it is made anew"

    def parse(self, words: Sequence[str], system: System) -> tuple[str, dict[str, str]] | Refusal:
        """The pod; its name begins with that of a service that a cluster runs."""
        if len(words) != 1 or _POD.fullmatch(words[0]) is None:
            return Refusal(why=f"I read `{USAGE}`, for example `evict web-0`.")
        fits = [one for one in system.workloads if words[0].startswith(f"{one.name}-")]
        if not fits:
            names = listed(one.name for one in system.workloads) or "none"
            return Refusal(why=f"{words[0][:60]} is no pod of a service of {system.name}. Its workloads: {names}.")
        service: WorkloadProfile = max(fits, key=lambda one: len(one.name))
        return service.service, {"service": service.service, "pod": words[0]}

    def draw(self, scene: Scene, request: Mapping[str, str]) -> Draft | Refusal:
        """Read the workload and its pod. Raises Foreign when the cluster is silent."""
        target = read_target(scene, self.name)
        if isinstance(target, Refusal):
            return target
        pod = next((one for one in target.pods if name_of(one) == request["pod"]), None)
        if pod is None or not is_live(pod):
            known = listed(name_of(one) for one in target.pods if is_live(one)) or "none"
            return Refusal(why=f"{target.profile.service} has no pod {request['pod'][:60]}. Its pods: {known}.")
        refused = _refused_by_budget(target, pod)
        return Refusal(why=refused) if refused else _propose(scene, target, pod)

    def fingerprint(self, scene: Scene, plan: Plan) -> dict[str, str]:
        """Whether it is still the same pod, in the same state."""
        try:
            return _facts(port_here(scene).get(_thing(scene, plan)))
        except Foreign as problem:
            if problem.reason == "not_found":
                return {}
            raise

    def perform(self, scene: Scene, plan: Plan, step: str) -> Seen:
        """Evict the pod with that uid, or look for the one that takes its place."""
        if step != EVICT:
            return _replaced(scene, plan)
        thing, uid = _thing(scene, plan), _uid(plan)
        body = {
            "apiVersion": "policy/v1", "kind": "Eviction", "deleteOptions": {"preconditions": {"uid": uid}},
            "metadata": {"name": thing.name, "namespace": thing.namespace},
        }  # fmt: skip
        try:
            port_here(scene).create(thing, body, sub="eviction")
        except Foreign as problem:
            if problem.reason == "overloaded" and problem.happened is False:
                text = "A disruption budget, or a busy server, does not let the pod go now. It is asked again."
                return Seen(outcome=Outcome.NOT_YET, detail=text)
            if problem.happened is False and problem.reason in PASSING:
                return Seen(outcome=Outcome.NOT_YET, detail=f"{problem.sentence} Nothing was changed.")
            if problem.reason not in ("not_found", "conflict"):
                raise
        return self.observe(scene, plan, step)

    def observe(self, scene: Scene, plan: Plan, step: str) -> Seen:
        """Look whether the pod is on its way out, or replaced."""
        if step != EVICT:
            return _replaced(scene, plan)
        thing = _thing(scene, plan)
        try:
            pod = port_here(scene).get(thing)
        except Foreign as problem:
            if problem.reason != "not_found":
                raise
            return Seen(outcome=Outcome.DONE, detail=f"{thing.label} is gone.")
        if uid_of(pod) != _uid(plan) or dig(pod, "metadata", "deletionTimestamp"):
            return Seen(outcome=Outcome.DONE, detail=f"{thing.label} is on its way out.")
        return Seen(outcome=Outcome.NOT_YET, detail=f"{thing.label} is still there.")


def _refused_by_budget(target: Target, pod: Json) -> str:
    """A budget that is used up lets a broken pod go only when it says so."""
    for one in target.budgets:
        always = dig(one, "spec", "unhealthyPodEvictionPolicy") == "AlwaysAllow" and not is_ready(pod)
        healthy = count(one, "status", "currentHealthy") >= count(one, "status", "desiredHealthy")
        if always or count(one, "status", "disruptionsAllowed") > 0 or (not is_ready(pod) and healthy):
            continue
        allowed = f"PodDisruptionBudget {name_of(one)} allows no disruption now"
        return f"{allowed}, so Kubernetes would not let {name_of(pod)} go. Repair another pod first, or the budget."
    return ""


def _propose(scene: Scene, target: Target, pod: Json) -> Draft:
    name, profile = name_of(pod), target.profile
    reason, restarts = trouble_of(pod)
    state = "ready" if is_ready(pod) else f"not ready{f' ({reason}, {restarts} restarts)' if reason else ''}"
    warnings = list(target.unknown)
    if is_ready(pod):
        others = sum(is_ready(one) for one in target.pods) - 1
        warnings.insert(0, f"{name} is ready and serves; {others} other pods are ready.")
    if not any(one.get("controller") for one in items(pod, "metadata", "ownerReferences")):
        warnings.insert(0, f"{name} has no controller: nobody makes it anew.")
    text = f"Ask the eviction API to end pod {name} (uid {uid_of(pod)[:8]}), only if it is still the same."
    wait = length(profile.watch_for)
    steps = (
        Step(name=EVICT, sentence=text),
        Step(
            name=BACK, sentence=f"Proof: watch until a new pod has taken its place and is ready ({wait}).", proves=True
        ),
    )
    tier = "dangerous" if is_ready(pod) and sum(is_ready(one) for one in target.pods) <= 1 else "change"
    return Draft(
        title=f"Evict pod {name}", from_=state, to="made anew", because=f"you named it; it is {state}.", steps=steps,
        inverse={}, inverse_text="none: the pod is made anew by its controller", fingerprint=_facts(pod), tier=tier,
        args={"pod": name, "uid": uid_of(pod), "pods": str(len([one for one in target.pods if is_live(one)]))},
        blast=blast(scene, target), warnings=tuple(warnings), watch_for=profile.watch_for,
    )  # fmt: skip


def _facts(pod: Json) -> dict[str, str]:
    every = [str(one.get("image")) for one in items(pod, "spec", "containers")]
    return {"uid": uid_of(pod), "images": ", ".join(every)}


def _uid(plan: Plan) -> str:
    return plan.draft.args["uid"] if plan.draft is not None else ""


def _thing(scene: Scene, plan: Plan) -> Thing:
    profile = scene.system.workload(plan.subject.service)
    if profile is None:
        raise Foreign("not_found", f"The profile lists no {plan.subject.service} any more. Ask again.", happened=False)
    return Thing(kind=POD, namespace=profile.namespace, name=plan.request["pod"])


def _replaced(scene: Scene, plan: Plan) -> Seen:
    """As many live pods as before, every one ready, and the evicted one not among them."""
    target = read_target(scene, Evict.name)
    if isinstance(target, Refusal):
        return Seen(outcome=Outcome.NOT_YET, detail=target.why)
    live = [one for one in target.pods if is_live(one)]
    if any(uid_of(one) == _uid(plan) for one in target.pods):
        return Seen(outcome=Outcome.NOT_YET, detail=f"Pod {plan.request['pod']} is ending.")
    wanted = int(plan.draft.args["pods"]) if plan.draft is not None else 1
    ready = sum(is_ready(one) for one in live)
    if min(len(live), ready) < wanted:
        worst = next((trouble_of(one)[0] for one in live if trouble_of(one)[0]), "")
        return Seen(
            outcome=Outcome.NOT_YET, detail=f"{ready} of {wanted} pods are ready{f' ({worst})' if worst else ''}."
        )
    return Seen(
        outcome=Outcome.DONE, detail=f"{ready} of {wanted} pods are ready; {plan.request['pod']} was made anew."
    )


ACTION = Evict()
