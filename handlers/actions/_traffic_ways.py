"""The three things that may carry a canary's share of traffic, read and turned into changes.

- A pair of Deployments: the share is that of the replicas.
- Any object with a weight in it, such as a Gateway's route: a JSON pointer of the profile says where.
- An Argo Rollout: it has steps of its own, so it is only aborted or promoted. Abort alone would leave the bad template
  in the spec and bring it back with the next sync, so the stable template is put back with it. Its ReplicaSets are
  never touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bot.policy import TrafficProfile, WorkloadProfile
from bot.ports import Json, Kind, Refusal, Thing, Workloads
from handlers._kube import (
    DEPLOYMENT,
    REPLICA_SET,
    ROLLOUT,
    SLICE,
    at_pointer,
    count,
    dig,
    is_owned_by,
    labels_of,
    ready_endpoints,
    template_of,
    thing_of,
    uid_of,
    wanted_replicas,
)
from handlers.actions._change import Change
from handlers.actions._workload import missing

ROLLOUT_HASH = "rollouts-pod-template-hash"
REPLICAS = "/spec/replicas"


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One change of the share: what is written, in order, and what it relies on."""

    now: str  # the share before, for people
    changes: tuple[tuple[str, Change, Json], ...]  # (what for people, change, the object as it is)
    facts: Mapping[str, str]
    inverse: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    share: int = 0  # before, in percent


def plan_move(
    port: Workloads, profile: WorkloadProfile, traffic: TrafficProfile, request: Mapping[str, str]
) -> Move | Refusal:
    """What has to be written for the wanted share. Raises Foreign when the cluster is silent."""
    to = int(request["to"])
    if traffic.canary:
        return _pair(port, profile, traffic, to, request)
    return _rollout(port, profile, traffic, to) if traffic.rollout else _weight(port, profile, traffic, to)


def facts_now(port: Workloads, profile: WorkloadProfile, traffic: TrafficProfile) -> dict[str, str]:
    """What an approval relies on, read again."""
    if traffic.canary:
        return _pair_facts(*_pair_objects(port, profile, traffic))
    if traffic.rollout:
        return _rollout_facts(port.get(_rollout_thing(profile, traffic)))
    live = port.get(weighted(profile, traffic))
    return _weight_facts(live, traffic)


def weighted(profile: WorkloadProfile, traffic: TrafficProfile) -> Thing:
    """The object that holds the weight."""
    kind = Kind(group=traffic.group, version=traffic.version, plural=traffic.resource, name=traffic.resource)
    return Thing(kind=kind, namespace=profile.namespace, name=traffic.name)


# a pair of Deployments


def canary_of(profile: WorkloadProfile, traffic: TrafficProfile) -> Thing:
    """The canary's Deployment."""
    return Thing(kind=DEPLOYMENT, namespace=profile.namespace, name=traffic.canary)


def _pair_objects(port: Workloads, profile: WorkloadProfile, traffic: TrafficProfile) -> tuple[Json, Json]:
    return port.get(thing_of(profile)), port.get(canary_of(profile, traffic))


def _pair_facts(stable: Json, canary: Json) -> dict[str, str]:
    return {
        "stable": f"{uid_of(stable)}, {wanted_replicas(stable)} replicas",
        "canary": f"{uid_of(canary)}, {wanted_replicas(canary)} replicas",
        "templates": f"{count(stable, 'metadata', 'generation')}/{count(canary, 'metadata', 'generation')}",
    }


def _pair(
    port: Workloads, profile: WorkloadProfile, traffic: TrafficProfile, to: int, request: Mapping[str, str]
) -> Move | Refusal:
    lacking = missing(port, "traffic", thing_of(profile))
    if lacking:
        return Refusal(why=lacking)
    stable, canary = _pair_objects(port, profile, traffic)
    old, new = wanted_replicas(stable), wanted_replicas(canary)
    total = old + new
    if "canary" in request:
        wanted = (int(request["stable"]), int(request["canary"]))
    else:
        some = max(1, round(total * to / 100)) if to else 0
        some = min(some, total - 1) if to < 100 else total
        wanted = (total - some, some)
    if to and total < 2 and to < 100:
        why = f"{profile.service} and its canary have {total} replicas together, too few for {to} %. Scale up first."
        return Refusal(why=why)
    if wanted == (old, new):
        return Refusal(why=f"Nothing to do: the canary has {new} of {total} replicas already, the nearest to {to} %.")
    parts = [(thing_of(profile), stable, old, wanted[0]), (canary_of(profile, traffic), canary, new, wanted[1])]
    parts.sort(key=lambda part: part[2] - part[3])  # what grows goes first
    changes = []
    for thing, live, before, after in parts:
        if before != after:
            change = Change(thing=thing, uid=uid_of(live), was={REPLICAS: before}, want={REPLICAS: after}, sub="scale")
            changes.append((f"{thing.label}: {before} → {after} replicas", change, port.get(thing, sub="scale")))
    share = round(100 * new / total) if total else 0
    return Move(
        now=f"{new} of {total} replicas", changes=tuple(changes), facts=_pair_facts(stable, canary), share=share,
        inverse={"to": str(share), "stable": str(old), "canary": str(new)},
        warnings=("One side grows and is ready before the other shrinks; meanwhile there are more pods in all.",),
    )  # fmt: skip


# an object with a weight


def _weight_facts(live: Json, traffic: TrafficProfile) -> dict[str, str]:
    found = {"uid": uid_of(live), "weight": str(at_pointer(live, traffic.weight))}
    return found | ({"rest": str(at_pointer(live, traffic.rest))} if traffic.rest else {})


def _weight(port: Workloads, profile: WorkloadProfile, traffic: TrafficProfile, to: int) -> Move | Refusal:
    thing = weighted(profile, traffic)
    for verb in ("get", "patch"):
        if not port.may(verb, thing):
            rule = f"“{verb} {traffic.resource} in {traffic.group or 'the core group'}”"
            why = f"I am not allowed to: in namespace {profile.namespace} my role lacks the rule {rule}."
            return Refusal(why=f"{why} Nobody was asked to approve. See docs/reference/kubernetes-permissions.md.")
    live = port.get(thing)
    now = at_pointer(live, traffic.weight)
    if not isinstance(now, int):
        return Refusal(why=f"{thing.label} has no number at {traffic.weight}. Correct `weight` in the profile.")
    if now == to:
        return Refusal(why=f"Nothing to do: the weight in {thing.label} is {to} already.")
    if to and traffic.backing and not backing_ready(port, profile, traffic):
        why = f"Service {traffic.backing} has no ready endpoint, so {to} % of the requests would fail."
        return Refusal(why=f"{why} Start the canary first.")
    was, want = {traffic.weight: now}, {traffic.weight: to}
    if traffic.rest:
        was[traffic.rest] = at_pointer(live, traffic.rest)
        want[traffic.rest] = 100 - to
    change = Change(thing=thing, uid=uid_of(live), was=was, want=want, cause=f"traffic {to} %")
    warnings = (
        ()
        if traffic.backing
        else ("The profile names no `backing` Service: whether the canary is ready is not known.",)
    )
    return Move(
        now=f"{now} %", changes=((f"{thing.label}: weight {now} → {to}", change, live),), share=now, warnings=warnings,
        facts=_weight_facts(live, traffic), inverse={"to": str(now)} if 0 <= now <= 100 else {},
    )  # fmt: skip


def backing_ready(port: Workloads, profile: WorkloadProfile, traffic: TrafficProfile) -> int:
    """Ready endpoints of the Service behind the canary."""
    return ready_endpoints(traffic.backing, port.list(Thing(kind=SLICE, namespace=profile.namespace)))


# an Argo Rollout


def _rollout_thing(profile: WorkloadProfile, traffic: TrafficProfile) -> Thing:
    return Thing(kind=ROLLOUT, namespace=profile.namespace, name=traffic.rollout)


def _rollout_facts(live: Json) -> dict[str, str]:
    return {
        "uid": uid_of(live), "generation": str(count(live, "metadata", "generation")),
        "new revision": str(dig(live, "status", "currentPodHash")), "stable": str(dig(live, "status", "stableRS")),
    }  # fmt: skip


def _rollout(port: Workloads, profile: WorkloadProfile, traffic: TrafficProfile, to: int) -> Move | Refusal:
    thing = _rollout_thing(profile, traffic)
    if to not in (0, 100):
        return Refusal(why=f"{thing.label} takes its own steps: use 0 to abort it, or 100 to promote it at once.")
    if not (port.may("get", thing) and port.may("patch", thing) and port.may("patch", thing, "status")):
        why = f"I am not allowed to: in namespace {profile.namespace} my role lacks get and patch of rollouts and"
        return Refusal(why=f"{why} rollouts/status in argoproj.io. See docs/reference/kubernetes-permissions.md.")
    live = port.get(thing)
    new, stable = dig(live, "status", "currentPodHash"), dig(live, "status", "stableRS")
    if not stable or new == stable:
        return Refusal(why=f"Nothing to do: {thing.label} is not between two revisions.")
    common: dict[str, Any] = {"facts": _rollout_facts(live), "share": 100 - to, "now": f"{stable} → {new} under way"}
    if to == 100:
        change = Change(thing=thing, uid=uid_of(live), was={}, want={"/status/promoteFull": True}, sub="status")
        return Move(
            changes=((f"{thing.label}: promote at once, without its steps", change, live),), inverse={}, **common
        )
    sets = port.list(Thing(kind=REPLICA_SET, namespace=profile.namespace), labels=f"{ROLLOUT_HASH}={stable}")
    good = next((one for one in sets if is_owned_by(one, uid_of(live))), None)
    if good is None or not dig(live, "spec", "template"):
        return Refusal(
            why=f"The template of the stable revision {stable} is not to be found, so an abort would not last."
        )
    template = template_of(good)
    labels = {key: value for key, value in labels_of(template).items() if key != ROLLOUT_HASH}
    template["metadata"] = {**template.get("metadata", {}), "labels": labels}
    abort = Change(thing=thing, uid=uid_of(live), was={}, want={"/status/abort": True}, sub="status")
    back = Change(
        thing=thing, uid=uid_of(live), was={"/spec/template": dig(live, "spec", "template")},
        want={"/spec/template": template}, cause="abort",
    )  # fmt: skip
    told = f"{thing.label}: put the template of {stable} back, so that the abort lasts"
    return Move(changes=((f"{thing.label}: abort", abort, live), (told, back, live)), inverse={}, **common)
