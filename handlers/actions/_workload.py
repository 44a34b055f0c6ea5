"""What every action on a workload reads before it proposes anything, and the guards that all of them share.

Order matters: permissions first (nobody is asked to approve what cannot be done), then the target, then what else has a
hand on it: autoscalers, GitOps, a roll-out under way, disruption budgets.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from bot.model import Draft, Step, canonical
from bot.policy import System, WorkloadProfile
from bot.ports import Foreign, Json, Kind, Refusal, Scene, Thing, Workloads
from handlers._kube import (
    AUTOSCALER,
    BUDGET,
    DAEMON_SET,
    DEPLOYMENT,
    POD,
    REPLICA_SET,
    REVISION,
    SCALED_OBJECT,
    STATEFUL_SET,
    annotations_of,
    condition,
    containers,
    count,
    differences,
    dig,
    image_of,
    is_live,
    is_ready,
    items,
    labels_of,
    name_of,
    rolled_out,
    selector_of,
    selects,
    template_of,
    thing_of,
    trouble_of,
    uid_of,
    wanted_replicas,
)
from handlers._kube_rules import ACT, LOOK
from handlers._look import listed
from handlers.actions._change import Change, rehearse

_OWN = frozenset({DEPLOYMENT, STATEFUL_SET, DAEMON_SET})
_CHANGES_CAP = 12  # lines of a preview; more are counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaler:
    """Something that sets the number of replicas by itself."""

    name: str  # as in: HorizontalPodAutoscaler web
    least: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What was read before anything is proposed."""

    profile: WorkloadProfile
    port: Workloads
    thing: Thing
    live: Json
    pods: tuple[Json, ...]
    scalers: tuple[Scaler, ...]
    budgets: tuple[Json, ...]
    unknown: tuple[str, ...]  # what could not be read, in words

    @property
    def template(self) -> dict[str, Any]:
        """The pod template that runs."""
        return template_of(self.live)

    @property
    def image(self) -> str:
        """The image people mean."""
        return image_of(self.template, self.profile.container)

    def change(self, want: Mapping[str, Any], was: Mapping[str, Any], **more: Any) -> Change:
        """A change of this object; the images that run now are always tested."""
        tests = {**self._images(), **was}
        return Change(thing=self.thing, uid=uid_of(self.live), was=tests, want=want, **more)

    def _images(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for part in ("initContainers", "containers"):
            for index, one in enumerate(items(self.live, "spec", "template", "spec", part)):
                at = f"/spec/template/spec/{part}/{index}"
                found |= {f"{at}/name": one.get("name"), f"{at}/image": one.get("image")}
        return found


def workload_of(scene: Scene) -> WorkloadProfile | Refusal:
    """How a cluster runs the scene's service."""
    found = scene.system.workload(scene.service)
    if found is not None:
        return found
    why = f"The profile of {scene.system.name} does not say which cluster runs {scene.service or 'it'}."
    return Refusal(why=f"{why} Give the service a `backend` in system.yaml.")


def port_of(scene: Scene, backend: str) -> Workloads:
    """The cluster of that name. Foreign("invalid") when the profile has none."""
    found = scene.backends.get(backend)
    if found is None:
        text = f"The profile of {scene.system.name} has no backend “{backend}”. Add it to the system's system.yaml."
        raise Foreign("invalid", text, happened=False)
    return cast("Workloads", found)


def port_here(scene: Scene) -> Workloads:
    """The cluster that runs the scene's service. Foreign("invalid") when the profile does not say."""
    profile = workload_of(scene)
    if isinstance(profile, Refusal):
        raise Foreign("invalid", profile.why, happened=False)
    return port_of(scene, profile.backend)


def unknown_service(word: str, system: System) -> str:
    """Why a name is no service that a cluster runs, with the nearest one."""
    names = [one.service for one in system.workloads]
    if word in system.services:
        return f"The profile of {system.name} does not say which cluster runs {word}. Give it a `backend`."
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]}?" if near else f"{system.name} has {listed(names) or 'none that a cluster runs'}."
    return f"{system.name} has no service “{word[:60]}”. {hint}"


def example_service(system: System) -> str:
    """A name to show in an example."""
    return system.workloads[0].service if system.workloads else "<service>"


def read_target(scene: Scene, verb: str) -> Target | Refusal:
    """Ask for the permissions, then read. Raises Foreign when the cluster is silent."""
    profile = workload_of(scene)
    if isinstance(profile, Refusal):
        return profile
    port, thing = port_of(scene, profile.backend), thing_of(profile)
    lacking = missing(port, verb, thing)
    if lacking:
        return Refusal(why=lacking)
    live = {"kind": profile.kind, **port.get(thing)}
    unknown: list[str] = []
    scalers = _scalers(port, thing, unknown)
    near = Thing(kind=POD, namespace=thing.namespace)
    pods = tuple(port.list(near, labels=selector_of(live)))
    labels = dig(live, "spec", "template", "metadata", "labels") or {}
    budgets = tuple(one for one in _optional(port, BUDGET, thing, unknown) if _covers(one, labels))
    return Target(
        profile=profile, port=port, thing=thing, live=live, pods=pods, scalers=scalers, budgets=budgets,
        unknown=tuple(unknown),
    )  # fmt: skip


def missing(port: Workloads, verb: str, thing: Thing) -> str:
    """The sentence about the permissions that the verb needs and we lack, "" when nothing is lacking."""
    lacking = []
    for rule in (*LOOK, *ACT):
        if verb not in rule.for_ or rule.is_optional or not _concerns(rule.kind, thing.kind):
            continue
        is_itself = rule.kind == thing.kind and rule.verb in ("get", "patch")
        about = Thing(kind=rule.kind, namespace=thing.namespace, name=thing.name if is_itself else "")
        if not port.may(rule.verb, about, rule.sub):
            lacking.append(f"“{rule.words}”")
    if not lacking:
        return ""
    text = f"I am not allowed to: in namespace {thing.namespace} my role lacks the rule {listed(lacking)}."
    return f"{text} Nobody was asked to approve. Add it; see docs/reference/kubernetes-permissions.md."


def _concerns(rule: Kind, target: Kind) -> bool:
    """Whether a rule's kind matters for a target: of its own kind, or of its own way of keeping history."""
    if rule in _OWN:
        return rule == target
    if rule in (REPLICA_SET, REVISION) and target in _OWN:
        return (rule == REPLICA_SET) == (target == DEPLOYMENT)
    return True


def _optional(port: Workloads, kind: Kind, thing: Thing, unknown: list[str]) -> Sequence[Json]:
    """Objects of a kind that may not be readable, or not even known to the cluster."""
    try:
        return port.list(Thing(kind=kind, namespace=thing.namespace))
    except Foreign as problem:
        if problem.reason == "refused":
            unknown.append(f"{kind.name}s could not be read: {problem.sentence}")
        elif problem.reason != "not_found":
            raise
        return ()


def _scalers(port: Workloads, thing: Thing, unknown: list[str]) -> tuple[Scaler, ...]:
    found = []
    for kind, least, most, floor in (
        (AUTOSCALER, "minReplicas", "maxReplicas", 1),
        (SCALED_OBJECT, "minReplicaCount", "maxReplicaCount", 0),
    ):
        for one in _optional(port, kind, thing, unknown):
            to = dig(one, "spec", "scaleTargetRef") or {}
            if to.get("name") != thing.name or to.get("kind", DEPLOYMENT.name) != thing.kind.name:
                continue
            low, high = dig(one, "spec", least), dig(one, "spec", most)
            found.append(
                Scaler(
                    name=f"{kind.name} {name_of(one)}",
                    least=floor if low is None else int(low),
                    most=100 if high is None else int(high),
                )
            )
    return tuple(found)


def _covers(budget: Json, labels: Mapping[str, str]) -> bool:
    return selects(dig(budget, "spec", "selector", "matchLabels") or {}, labels)


# guards


def owner_of(live: Json) -> str:
    """Which tool keeps the object as a repository says, in words; "" for none."""
    notes, labels = annotations_of(live), labels_of(live)
    if "argocd.argoproj.io/tracking-id" in notes:
        return f"Argo CD ({notes['argocd.argoproj.io/tracking-id'].partition(':')[0][:60]})"
    for label in ("kustomize.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/name"):
        if label in labels:
            return f"Flux ({labels[label][:60]})"
    if labels.get("app.kubernetes.io/managed-by") == "Helm":
        return f"Helm ({notes.get('meta.helm.sh/release-name', 'a release')[:60]})"
    if "app.kubernetes.io/instance" in labels and "app.kubernetes.io/managed-by" not in labels:
        return f"perhaps Argo CD (label app.kubernetes.io/instance is {labels['app.kubernetes.io/instance'][:60]})"
    return ""


def stuck_pods(target: Target) -> tuple[str, ...]:
    """Pods of an ordered StatefulSet that are broken: no change of the template repairs them, only their end does."""
    is_ordered = dig(target.live, "spec", "podManagementPolicy") != "Parallel"
    if target.thing.kind != STATEFUL_SET or not is_ordered:
        return ()
    return tuple(name_of(pod) for pod in target.pods if is_live(pod) and not is_ready(pod) and trouble_of(pod)[0])


def paused(target: Target) -> Refusal | None:
    """A paused Deployment takes a new template and does nothing with it."""
    if dig(target.live, "spec", "paused") is not True:
        return None
    name = target.profile.service
    why = f"{target.thing.label} is paused, so nothing would be rolled out. Use `resume {name}` first."
    return Refusal(why=why)


def warnings_of(target: Target, *, rolls: bool = True) -> tuple[list[str], str]:
    """What an approver should know, and the least tier that it asks for. `rolls`: pods will be replaced."""
    found, tier = [], "light"
    owner = owner_of(target.live)
    if owner:
        tier = "dangerous"
        found.append(f"{owner} keeps this object as its repository says and may take the change back. Change it there.")
    if rolls:
        found += _rolling(target)
        stuck = stuck_pods(target)
        if stuck:
            tier = "dangerous"
            found.append(
                f"{listed(stuck)} of this StatefulSet will stay broken whatever the template says: Kubernetes waits "
                f"for it. Afterwards use `evict {stuck[0]}`."
            )
    found += target.unknown
    return found, tier


def _rolling(target: Target) -> list[str]:
    found = []
    under_way = rolled_out(target.live)
    if under_way:
        found.append(f"A roll-out is under way: {under_way}. This change takes its place.")
    if condition(target.live, "Progressing").get("reason") == "ProgressDeadlineExceeded":
        found.append("Kubernetes gave the last roll-out up; the pods that still serve are of an older revision.")
    strategy = dig(target.live, "spec", "strategy", "type") or dig(target.live, "spec", "updateStrategy", "type")
    if strategy == "Recreate":
        found.append("The strategy is Recreate: every pod is stopped before a new one starts; nothing serves then.")
    elif strategy == "OnDelete":
        found.append("The strategy is OnDelete: no pod changes until it is deleted. Use `evict` for each pod.")
    elif wanted_replicas(target.live) == 1 and target.thing.kind != DEPLOYMENT:
        found.append("There is one replica: the service is down while its pod is replaced.")
    elif wanted_replicas(target.live) == 1:
        found.append("There is one replica: nothing else serves if the new pod does not become ready.")
    found += [
        f"PodDisruptionBudget {name_of(one)} allows no disruption now. A roll-out does not ask it."
        for one in target.budgets
        if count(one, "status", "disruptionsAllowed") == 0
    ]
    return found


def facts(target: Target) -> dict[str, str]:
    """What an approval relies on: if any of it changes, the plan is void.

    The generation moves with every write of the spec. Where an autoscaler writes the replicas, that would void every
    plan, so there the rest of the spec is compared instead.
    """
    found = {"uid": uid_of(target.live), "images": _images(target.live)}
    if not target.scalers:
        return found | {"generation": str(count(target.live, "metadata", "generation"))}
    rest = {key: value for key, value in (target.live.get("spec") or {}).items() if key != "replicas"}
    scalers = [[one.name, one.least, one.most] for one in target.scalers]
    return found | {
        "spec without replicas": hashlib.sha256(canonical(rest).encode(errors="backslashreplace")).hexdigest()[:16],
        "autoscalers": canonical(scalers),
    }


def _images(live: Json) -> str:
    return ", ".join(f"{name}={image}" for name, image in containers(template_of(live)).items())


def rehearsed(target: Target, change: Change, live: Json | None = None) -> tuple[Change, tuple[str, ...]] | Refusal:
    """The change as the server would store it, and what it changes, line by line. A refusal of the server is ours."""
    return rehearse_or_refuse(target.port, change, target.live if live is None else live)


def rehearse_or_refuse(port: Workloads, change: Change, live: Json) -> tuple[Change, tuple[str, ...]] | Refusal:
    """The same for an object that is no workload."""
    try:
        after, change = rehearse(port, change, live)
    except Foreign as problem:
        if problem.reason in {"refused", "invalid", "conflict"}:
            return Refusal(why=f"The server's dry run refused it. {problem.sentence} Nothing was changed.")
        raise
    return change, shown_changes(live, after)


def shown_changes(before: Json, after: Json) -> tuple[str, ...]:
    """What differs in what people wrote, at most twelve lines."""
    lines = differences(before.get("spec"), after.get("spec"))
    lines = [line.removeprefix("template.spec.").removeprefix("template.") for line in lines]
    more = len(lines) - _CHANGES_CAP
    return (*lines[:_CHANGES_CAP], *([f"and {more} more"] if more > 0 else []))


def blast(scene: Scene, target: Target) -> str:
    """Who is affected."""
    pods = wanted_replicas(target.live)
    where = f"{scene.system.name}, {scene.system.environment}"
    return f"everybody who uses {target.profile.service} ({where}); {target.thing.label}, {pods} pods"


def draft(
    scene: Scene, target: Target, change: Change, *, steps: tuple[Step, ...], warnings: Sequence[str] = (), **words: Any
) -> Draft:
    """A proposal for one change of a workload, with what all of them have in common; `words` are fields of Draft."""
    args = {"change": change.write(), **words.pop("args", {})}
    return Draft(
        steps=steps, args=args, fingerprint=facts(target), blast=blast(scene, target), warnings=tuple(warnings),
        watch_for=target.profile.watch_for, **words,
    )  # fmt: skip


def fingerprint(scene: Scene, verb: str) -> dict[str, str]:
    """The facts, read again; empty when the target is gone. Raises Foreign when the cluster is silent."""
    try:
        target = read_target(scene, verb)
    except Foreign as problem:
        if problem.reason == "not_found":
            return {}
        raise
    return {} if isinstance(target, Refusal) else facts(target)
