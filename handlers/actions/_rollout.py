"""The proofs after a workload was changed, in layers.

The change is still there, the controller has seen it, the roll-out is done, the pods run the images and are ready, the
model server answers, the metrics are within their bounds.

A status says something only when it is newer than our change: a stale "deadline exceeded" has made many a good
rollback look failed.
"""

from __future__ import annotations

from datetime import timedelta

from bot.model import Outcome, Plan, Step
from bot.policy import Bound, ModelProfile
from bot.ports import Foreign, Json, Scene, Seen, Thing, Workloads
from handlers._kube import (
    POD,
    STATEFUL_SET,
    changed_by,
    containers,
    dig,
    has_stalled,
    is_live,
    is_ready,
    items,
    made_at,
    name_of,
    rolled_out,
    selector_of,
    short_image,
    template_of,
    trouble_of,
    uid_of,
    wanted_replicas,
)
from handlers._look import length, limit, listed, metrics_of, number, registry_of, server_of, shown, word, worst
from handlers.actions._change import Change, is_there, read_change

ROLLED, SERVED, METRIC = "prove_rollout", "prove_served", "prove_metric"
_GIVES_UP = {"ImagePullBackOff": 0, "ErrImageNeverPull": 0, "InvalidImageName": 0, "CrashLoopBackOff": 3}  # → restarts


def proofs(scene: Scene, watch_for: timedelta, *, with_quality: bool = True) -> tuple[Step, ...]:
    """The proving steps with the sentences an approver reads."""
    text = f"Proof: watch until Kubernetes has seen it, every pod runs these images and is ready ({length(watch_for)})."
    found = [Step(name=ROLLED, sentence=text, proves=True)]
    model = _model(scene)
    if model is not None and model.server:
        text = f"Proof: ask the model server itself until it is healthy and says what it serves of {model.name}."
        found.append(Step(name=SERVED, sentence=text, proves=True))
    if with_quality and model is not None and model.metrics and model.bounds:
        bounds = listed(f"{word(bound)} is {limit(bound)}" for bound in model.bounds)
        found.append(Step(name=METRIC, sentence=f"Proof: ask “{model.metrics}” until {bounds}.", proves=True))
    return tuple(found)


def prove(scene: Scene, port: Workloads, plan: Plan, step: str) -> Seen:
    """Look at one proof. Raises Foreign when it cannot be told."""
    match step:
        case "prove_rollout":
            return _rolled(scene, port, plan)
        case "prove_served":
            return _served(scene)
        case "prove_metric":
            return _metrics(scene)
        case _:
            text = f"There is no step “{step}”. Nothing was done; ask for a new plan."
            return Seen(outcome=Outcome.FAILED, detail=text)


def _model(scene: Scene) -> ModelProfile | None:
    """The one model that the service serves, None for none or several."""
    found = [one for one in scene.system.models if one.service == scene.service]
    return found[0] if len(found) == 1 else None


def _rolled(scene: Scene, port: Workloads, plan: Plan) -> Seen:
    change = read_change(plan)
    live = {"kind": change.thing.kind.name, **port.get(change.thing)}
    gone = taken_back(live, change)
    if gone:
        return Seen(outcome=Outcome.FAILED, detail=gone)
    pods = [one for one in port.list(_pods(change.thing), labels=selector_of(live)) if is_live(one)]
    wanted = containers(template_of(live))
    since = (plan.started_at or scene.now).replace(microsecond=0)  # as precise as a pod's own time
    broken = _broken([pod for pod in pods if (made_at(pod) or since) >= since], wanted)
    if broken:
        return Seen(outcome=Outcome.FAILED, detail=f"{broken} The change is made; undo it or look at the pod's log.")
    if has_stalled(live, plan.started_at or scene.now, scene.now):
        text = "Kubernetes gave the roll-out up: its deadline is exceeded."
        return Seen(outcome=Outcome.FAILED, detail=f"{text} {rolled_out(live)}. Look at the pods.")
    missing = rolled_out(live) or _not_ready(pods, wanted, wanted_replicas(live))
    if missing:
        stuck = _stuck(live, pods, wanted)
        if stuck:  # it ends the plan, so that the pod's own plan can have the target
            return Seen(outcome=Outcome.FAILED, detail=stuck)
        return Seen(outcome=Outcome.NOT_YET, detail=f"Rolling out: {missing}.")
    images = listed(short_image(image) for image in dict.fromkeys(wanted.values()))
    return Seen(outcome=Outcome.DONE, detail=f"{len(pods)} of {wanted_replicas(live)} pods run {images} and are ready.")


def _pods(thing: Thing) -> Thing:
    return Thing(kind=POD, namespace=thing.namespace)


def taken_back(live: Json, change: Change) -> str:
    """Why our change is not there any more, "" when it is."""
    if uid_of(live) != change.uid:
        return f"{change.thing.label} was removed and made anew by somebody else. Look at it and ask again."
    lost = [at for at, value in change.want.items() if not is_there(live, at, value)]
    if not lost:
        return ""
    text = f"Superseded: {changed_by(live)} changed {change.thing.label} after this plan did."
    return f"{text} This plan's change is gone; find out who does it before you try again."


def _runs(pod: Json, wanted: dict[str, str]) -> bool:
    """True when the pod was made from the template; containers that others inject do not count."""
    own = {
        str(one.get("name")): str(one.get("image"))
        for part in ("initContainers", "containers")
        for one in items(pod, "spec", part)
    }
    return all(own.get(name) == image for name, image in wanted.items())


def _broken(pods: list[Json], wanted: dict[str, str]) -> str:
    """Why a pod of the new revision will not come up by waiting, "" when none is that bad."""
    for pod in pods:
        reason, restarts = trouble_of(pod)
        if _runs(pod, wanted) and reason in _GIVES_UP and restarts >= _GIVES_UP[reason]:
            times = f" after {restarts} restarts" if restarts else ""
            return f"Pod {name_of(pod)} with the wanted images does not come up: {reason}{times}."
    return ""


def _not_ready(pods: list[Json], wanted: dict[str, str], replicas: int) -> str:
    old = [name_of(pod) for pod in pods if not _runs(pod, wanted)]
    if old:
        return f"{len(old)} of {len(pods)} pods still run other images ({old[0]})"
    ready = sum(is_ready(pod) for pod in pods)
    return "" if ready >= replicas else f"{ready} of {replicas} pods are ready"


def _stuck(live: Json, pods: list[Json], wanted: dict[str, str]) -> str:
    """The sentence about a StatefulSet's pod that Kubernetes will wait for for ever."""
    is_ordered = dig(live, "spec", "podManagementPolicy") != "Parallel"
    if dig(live, "kind") != STATEFUL_SET.name or not is_ordered:
        return ""
    stale = dig(live, "status", "updateRevision")
    for pod in pods:
        is_old = dig(pod, "metadata", "labels", "controller-revision-hash") != stale or not _runs(pod, wanted)
        if is_old and not is_ready(pod) and trouble_of(pod)[0] in _GIVES_UP:
            text = (
                f"The template is changed, but Kubernetes waits for ever for {name_of(pod)}, which is broken and old."
            )
            return f"{text} Ask for `evict {name_of(pod)}`; the roll-out goes on by itself then."
    return ""


def _served(scene: Scene) -> Seen:
    """Whether the model server is healthy and, where a registry says what is right, serves that."""
    model = _model(scene)
    if model is None:
        return Seen(outcome=Outcome.DONE, detail="No model is served here.")
    server = server_of(scene, model)
    healthy, words = server.is_healthy()
    if not healthy:
        return Seen(outcome=Outcome.NOT_YET, detail=f"The model server is not healthy: {words}.")
    version = server.served(model.name).version
    try:
        wanted = registry_of(scene, model).alias(model.name, model.alias) if model.registry else None
    except Foreign:
        wanted = None  # the registry's silence says nothing about the server
    if wanted is not None and wanted != version:
        text = f"The model server serves {shown(version)}, but {model.alias} is {shown(wanted)}."
        return Seen(outcome=Outcome.NOT_YET, detail=text)
    text = f"The model server is healthy and serves {shown(version)} of {model.name}."
    return Seen(outcome=Outcome.DONE, detail=text)


def _metrics(scene: Scene) -> Seen:
    model = _model(scene)
    if model is None:
        return Seen(outcome=Outcome.DONE, detail="No bounds are set here.")
    metrics = metrics_of(scene, model)
    good, bad = [], []
    for bound in model.bounds:
        value = worst(bound, (sample.value for sample in metrics.instant(bound.query)))
        if value is not None and bound.is_met_by(value):
            good.append(f"{word(bound)} is {number(value, bound)}")
        else:
            bad.append(f"{_told(bound, value)}, not yet {limit(bound)}")
    if bad or not good:
        return Seen(outcome=Outcome.NOT_YET, detail=f"Still outside: {listed(bad) or 'no bound has a value'}.")
    return Seen(outcome=Outcome.DONE, detail=f"Within bounds: {listed(good)}.")


def _told(bound: Bound, value: float | None) -> str:
    return f"{word(bound)} has no value" if value is None else f"{word(bound)} is {number(value, bound)}"
