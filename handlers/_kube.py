"""Objects of a Kubernetes API, as it sends them: pure reading. Nothing here calls anything.

Objects are plain mappings. Whatever is absent is read as empty, because the API leaves out what is zero, false or
empty.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.model import canonical
from bot.policy import WorkloadProfile
from bot.ports import Json, Kind, Thing

DEPLOYMENT = Kind(group="apps", version="v1", plural="deployments", name="Deployment")
STATEFUL_SET = Kind(group="apps", version="v1", plural="statefulsets", name="StatefulSet")
DAEMON_SET = Kind(group="apps", version="v1", plural="daemonsets", name="DaemonSet")
REPLICA_SET = Kind(group="apps", version="v1", plural="replicasets", name="ReplicaSet")
REVISION = Kind(group="apps", version="v1", plural="controllerrevisions", name="ControllerRevision")
POD = Kind(group="", version="v1", plural="pods", name="Pod")
EVENT = Kind(group="", version="v1", plural="events", name="Event")
SERVICE = Kind(group="", version="v1", plural="services", name="Service")
QUOTA = Kind(group="", version="v1", plural="resourcequotas", name="ResourceQuota")
SLICE = Kind(group="discovery.k8s.io", version="v1", plural="endpointslices", name="EndpointSlice")
AUTOSCALER = Kind(group="autoscaling", version="v2", plural="horizontalpodautoscalers", name="HorizontalPodAutoscaler")
SCALED_OBJECT = Kind(group="keda.sh", version="v1alpha1", plural="scaledobjects", name="ScaledObject")
BUDGET = Kind(group="policy", version="v1", plural="poddisruptionbudgets", name="PodDisruptionBudget")
JOB = Kind(group="batch", version="v1", plural="jobs", name="Job")
CRON_JOB = Kind(group="batch", version="v1", plural="cronjobs", name="CronJob")
ROLLOUT = Kind(group="argoproj.io", version="v1alpha1", plural="rollouts", name="Rollout")
POD_USAGE = Kind(group="metrics.k8s.io", version="v1beta1", plural="pods", name="PodMetrics")
_WORKLOADS = {kind.name: kind for kind in (DEPLOYMENT, STATEFUL_SET, DAEMON_SET)}

HASH_LABEL = "pod-template-hash"
REVISION_LABEL = "controller-revision-hash"
RESTARTED = "kubectl.kubernetes.io/restartedAt"
NUMBER = "deployment.kubernetes.io/revision"
CAUSE = "kubernetes.io/change-cause"
STALL = timedelta(seconds=15)  # how long the controller must stand by it that a roll-out is given up
NAME_LABEL = "kubernetes.io/service-name"  # on an EndpointSlice: whose it is
ROLLED_BACK = "mlops-bot/rolled-back-at"  # ours, on the workload: when this bot last rolled it back


def thing_of(service: WorkloadProfile) -> Thing:
    """The object that runs a service."""
    return Thing(kind=_WORKLOADS[service.kind], namespace=service.namespace, name=service.name)


def dig(value: Any, *path: str | int) -> Any:
    """What stands at the path inside an object, None when any part of it is absent."""
    for part in path:
        if isinstance(value, Mapping):
            value = value.get(str(part))
        elif isinstance(value, Sequence) and not isinstance(value, str) and isinstance(part, int):
            value = value[part] if part < len(value) else None
        else:
            return None
    return value


def name_of(found: Json) -> str:
    """Its name."""
    return str(dig(found, "metadata", "name") or "")


def uid_of(found: Json) -> str:
    """Its uid."""
    return str(dig(found, "metadata", "uid") or "")


def labels_of(found: Json) -> Mapping[str, str]:
    """Its labels."""
    return dig(found, "metadata", "labels") or {}


def annotations_of(found: Json) -> Mapping[str, str]:
    """Its annotations."""
    return dig(found, "metadata", "annotations") or {}


def items(value: Any, *path: str | int) -> list[Any]:
    """The list at the path, empty when there is none."""
    found = dig(value, *path)
    return list(found) if isinstance(found, Sequence) and not isinstance(found, str) else []


def count(found: Any, *path: str) -> int:
    """The number at the path; what is absent is zero."""
    value = dig(found, *path)
    return value if isinstance(value, int) else 0


def moment(text: object) -> datetime | None:
    """A time as the API writes it, None for anything else."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def made_at(found: Json) -> datetime | None:
    """When it was created."""
    return moment(dig(found, "metadata", "creationTimestamp"))


def is_owned_by(found: Json, uid: str) -> bool:
    """True when the object with that uid controls it."""
    return any(one.get("uid") == uid and one.get("controller") for one in items(found, "metadata", "ownerReferences"))


def selector_of(found: Json) -> str:
    """A workload's selector in the form that a query takes. Set-based parts are written as the API reads them."""
    parts = [f"{key}={value}" for key, value in (dig(found, "spec", "selector", "matchLabels") or {}).items()]
    for rule in items(found, "spec", "selector", "matchExpressions"):
        key, values = rule.get("key", ""), ",".join(rule.get("values") or [])
        how = {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "Exists": key}
        parts.append(how.get(rule.get("operator", ""), f"!{key}"))
    return ",".join(parts)


def selects(wanted: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """True when every wanted label is there; an empty wish selects nothing, as for a Service."""
    return bool(wanted) and all(labels.get(key) == value for key, value in wanted.items())


def changed_by(live: Json) -> str:
    """The manager whose write is the newest, in the API's own words; status writes do not count."""
    found = [
        (at, str(one.get("manager") or ""))
        for one in items(live, "metadata", "managedFields")
        if one.get("subresource") != "status" and (at := moment(one.get("time"))) is not None
    ]
    return max(found)[1] or "somebody else" if found else "somebody else"


def ready_endpoints(service: str, slices: Iterable[Json]) -> int:
    """How many different addresses behind a Service are ready."""
    ready = {
        str(address)
        for one in slices
        if labels_of(one).get(NAME_LABEL) == service
        for end in items(one, "endpoints")
        if dig(end, "conditions", "ready") is not False
        for address in items(end, "addresses")
    }
    return len(ready)


# templates and images


def template_of(found: Json) -> dict[str, Any]:
    """The pod template of a workload, a ReplicaSet or a ControllerRevision, without the hash its controller adds."""
    raw = dig(found, "spec", "template") or dig(found, "data", "spec", "template") or {}
    template: dict[str, Any] = deepcopy(dict(raw))
    template.pop("$patch", None)
    labels = dig(template, "metadata", "labels")
    if isinstance(labels, dict):
        labels.pop(HASH_LABEL, None)
    return template


def template_id(template: Json) -> str:
    """Names what a template runs: twelve hex digits that a restart does not change, and nothing else leaves alone."""
    plain = deepcopy(dict(template))
    meta = dict(plain.get("metadata") or {})
    meta.pop("creationTimestamp", None)
    notes = {key: value for key, value in (meta.get("annotations") or {}).items() if key != RESTARTED}
    labels = {key: value for key, value in (meta.get("labels") or {}).items() if key != HASH_LABEL}
    meta = {**meta, "annotations": notes, "labels": labels}
    plain["metadata"] = {key: value for key, value in meta.items() if value}
    return hashlib.sha256(canonical(plain).encode(errors="backslashreplace")).hexdigest()[:12]


def containers(template: Json) -> dict[str, str]:
    """Image by name of the container, init containers included."""
    every = [*items(template, "spec", "initContainers"), *items(template, "spec", "containers")]
    return {str(one.get("name")): str(one.get("image")) for one in every}


def image_of(template: Json, container: str) -> str:
    """The image people mean: of the named container, or of the first."""
    every = {str(one.get("name")): str(one.get("image")) for one in items(template, "spec", "containers")}
    return every.get(container) or next(iter(every.values()), "")


def short_image(image: str) -> str:
    """The last part of an image's name, for people: web:v2, or web@1a2b3c4d for a digest."""
    name, _, digest = image.rpartition("/")[2].partition("@")
    return f"{name}@{digest.rpartition(':')[2][:8]}" if digest else name


# state


def condition(found: Json, kind: str) -> Json:
    """The condition of that type, empty when there is none."""
    return next((one for one in items(found, "status", "conditions") if one.get("type") == kind), {})


def wanted_replicas(found: Json) -> int:
    """How many pods a workload should have."""
    if dig(found, "kind") == DAEMON_SET.name:
        return count(found, "status", "desiredNumberScheduled")
    replicas = dig(found, "spec", "replicas")
    return 1 if replicas is None else int(replicas)


def ready_replicas(found: Json) -> int:
    """How many of them are ready."""
    return count(found, "status", "numberReady" if dig(found, "kind") == DAEMON_SET.name else "readyReplicas")


def is_ready(pod: Json) -> bool:
    """True when the pod is ready and not on its way out."""
    return condition(pod, "Ready").get("status") == "True" and not dig(pod, "metadata", "deletionTimestamp")


def is_live(pod: Json) -> bool:
    """True unless the pod has ended or is on its way out."""
    over = dig(pod, "status", "phase") in ("Succeeded", "Failed")
    return not over and not dig(pod, "metadata", "deletionTimestamp")


def trouble_of(pod: Json) -> tuple[str, int]:
    """Why a container of the pod does not run ("CrashLoopBackOff"), "" when all do; and how often it was restarted."""
    worst = ("", 0)
    for one in [*items(pod, "status", "initContainerStatuses"), *items(pod, "status", "containerStatuses")]:
        reason = str(dig(one, "state", "waiting", "reason") or "")
        if reason in ("PodInitializing", "ContainerCreating"):
            reason = ""
        worst = max(worst, (reason, count(one, "restartCount")), key=lambda pair: (bool(pair[0]), pair[1]))
    return worst


def rolled_out(found: Json) -> str:
    """What is missing until a workload's roll-out is done, in words; "" when it is done.

    The words follow the order in which the controllers get on. A status that is older than the spec says nothing.
    """
    if count(found, "metadata", "generation") > count(found, "status", "observedGeneration"):
        return "the controller has not seen the change yet"
    wanted, ready = wanted_replicas(found), ready_replicas(found)
    if dig(found, "kind") == DAEMON_SET.name:
        updated = count(found, "status", "updatedNumberScheduled")
        available = count(found, "status", "numberAvailable")
        running = wanted
    else:
        updated, available = count(found, "status", "updatedReplicas"), count(found, "status", "availableReplicas")
        running = count(found, "status", "replicas")
    held_back = min(count(found, "spec", "updateStrategy", "rollingUpdate", "partition"), wanted)
    if updated < wanted - held_back:
        return f"{updated} of {wanted - held_back} pods are of the new revision"
    if running > updated and dig(found, "kind") == DEPLOYMENT.name:
        return f"{running - updated} old pods are still there"
    if min(ready, available) < wanted:
        return f"{min(ready, available)} of {wanted} new pods are ready"
    if running > wanted:
        return f"{running} pods are there, {wanted} are wanted"
    status = found.get("status") or {}
    is_whole = held_back or status.get("currentRevision") == status.get("updateRevision")
    if dig(found, "kind") == STATEFUL_SET.name and not is_whole:
        return "the last pod has not become the current revision yet"
    return ""


def has_stalled(found: Json, since: datetime, now: datetime) -> bool:
    """True when the controller gave the roll-out up after that time, and a while ago.

    What it said before is about something else. And giving up is not the end: a roll-out that was held up, such as by
    an API server that was away, goes on by itself, and the controller takes its word back then.
    """
    progress = condition(found, "Progressing")
    at = moment(progress.get("lastUpdateTime"))
    is_seen = count(found, "metadata", "generation") <= count(found, "status", "observedGeneration")
    return (
        is_seen
        and progress.get("reason") == "ProgressDeadlineExceeded"
        and at is not None
        and since <= at <= now - STALL
    )


# pointers into an object (RFC 6901)


def pointer(*parts: str) -> str:
    """A JSON pointer from its parts."""
    return "".join(f"/{part.replace('~', '~0').replace('/', '~1')}" for part in parts)


def parts_of(text: str) -> list[str]:
    """The parts of a JSON pointer."""
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def at_pointer(found: Any, text: str) -> Any:
    """What a JSON pointer points at, None when it is absent."""
    for part in parts_of(text):
        if isinstance(found, Mapping):
            found = found.get(part)
        elif isinstance(found, Sequence) and not isinstance(found, str) and part.isdecimal() and int(part) < len(found):
            found = found[int(part)]
        else:
            return None
    return found


# differences, for people

_NAMED = ("name", "containerPort", "mountPath", "key")


def differences(before: Any, after: Any, path: str = "") -> list[str]:
    """What changes from one object to another, one line for each value: "srv.image: web:v2 → web:v1"."""
    if before == after:
        return []
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        keys = sorted({*before, *after})
        return [line for key in keys for line in differences(before.get(key), after.get(key), _under(path, str(key)))]
    if _is_list_of_maps(before) and _is_list_of_maps(after):
        one, two = _by_name(before), _by_name(after)
        keys = list(dict.fromkeys([*one, *two]))
        return [line for key in keys for line in differences(one.get(key), two.get(key), f"{path}[{key}]")]
    return [f"{path}: {_told(before)} → {_told(after)}"]


def _under(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _is_list_of_maps(value: Any) -> bool:
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    return is_list and bool(value) and all(isinstance(one, Mapping) for one in value)


def _by_name(value: Iterable[Json]) -> dict[str, Json]:
    named: dict[str, Json] = {}
    for index, one in enumerate(value):
        name = next((str(one[key]) for key in _NAMED if key in one), str(index))
        named[name if name not in named else f"{name}#{index}"] = one
    return named


def _told(value: Any) -> str:
    if value is None:
        return "(none)"
    text = value if isinstance(value, str) else canonical(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
