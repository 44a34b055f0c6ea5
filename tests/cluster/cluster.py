"""Documents that tests apply, and short questions to the cluster. The harness itself is `playground.kube`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from playground.kube import Api, Cluster

APPS, BATCH = "/apis/apps/v1", "/apis/batch/v1"
REGISTRY = "registry.local"


def template(name: str, image: str, annotations: Mapping[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """A pod template with one container `srv`. `image` is the part after the registry, such as web:v1."""
    container = {
        "name": "srv",
        "image": f"{REGISTRY}/{image}",
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
    }
    return {
        "metadata": {"labels": {"app": name}, "annotations": dict(annotations or {})},
        "spec": {"containers": [container], **spec},
    }


def deployment(
    name: str, image: str, replicas: int = 2, annotations: Mapping[str, str] | None = None, **spec: Any
) -> dict[str, Any]:
    """A Deployment that is given up after 3 s without progress. `annotations` are the pods'."""
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"replicas": replicas, "progressDeadlineSeconds": 3, "selector": {"matchLabels": {"app": name}},
                 "template": template(name, image, annotations), **spec},
    }  # fmt: skip


def stateful_set(name: str, image: str, replicas: int = 2, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name},
        "spec": {"replicas": replicas, "serviceName": name, "selector": {"matchLabels": {"app": name}},
                 "template": template(name, image), **spec},
    }  # fmt: skip


def daemon_set(name: str, image: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": name},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": template(name, image), **spec},
    }  # fmt: skip


def cron_job(name: str, image: str, annotations: Mapping[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """A CronJob that never comes due by itself unless `schedule` says so."""
    pods = template(name, image, annotations, restartPolicy="Never")
    job = {"spec": {"backoffLimit": 0, "template": pods}}
    return {
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name},
        "spec": {"schedule": "0 0 31 2 *", "jobTemplate": job, **spec},
    }  # fmt: skip


def service(name: str, selector: Mapping[str, str] | None = None) -> dict[str, Any]:
    return {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"selector": dict(selector or {"app": name}), "ports": [{"port": 80, "targetPort": 8080}]},
    }  # fmt: skip


def autoscaler(name: str, least: int, most: int, kind: str = "Deployment") -> dict[str, Any]:
    metric = {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
    }
    target = {"apiVersion": "apps/v1", "kind": kind, "name": name}
    return {
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": name},
        "spec": {"scaleTargetRef": target, "minReplicas": least, "maxReplicas": most, "metrics": [metric]},
    }  # fmt: skip


def role(namespace: str, subject: str, *rules: tuple[str, str, str]) -> list[dict[str, Any]]:
    """A Role and its binding for a user, or for a service account written `namespace:name`.

    A rule is (group, resources, verbs), the last two comma-separated.
    """
    granted = [
        {"apiGroups": [group], "resources": what.split(","), "verbs": verbs.split(",")} for group, what, verbs in rules
    ]
    account_in, _, account = subject.rpartition(":")
    who = (
        {"kind": "ServiceAccount", "namespace": account_in, "name": account}
        if account_in
        else {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": subject}
    )
    meta = {"name": account, "namespace": namespace}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account}
    return [
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": meta, "rules": granted},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": meta,
            "roleRef": reference,
            "subjects": [who],
        },
    ]


def path(namespace: str, plural: str, name: str, group: str = APPS) -> str:
    return f"{group}/namespaces/{namespace}/{plural}/{name}"


def status(api: Api, where: str) -> dict[str, Any]:
    found: dict[str, Any] = api.get(where).get("status", {})
    return found


def condition(api: Api, where: str, kind: str) -> dict[str, Any]:
    """The condition of this type, or {} when the object has none (yet)."""
    return next((c for c in status(api, where).get("conditions", []) if c["type"] == kind), {})


def wait_available(cluster: Cluster, where: str, replicas: int = 2, within_s: float = 30.0) -> None:
    """Until a Deployment has rolled out whole: observed, all new, all available."""

    def is_out() -> bool:
        found = cluster.api.get(where)
        now, wanted = found.get("status", {}), found["metadata"]["generation"]
        counts = [now.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")]
        return now.get("observedGeneration", 0) >= wanted and counts == [replicas] * 3

    cluster.wait(is_out, what=f"{where} has {replicas} new and available pods", within_s=within_s)


def waiting_reason(pod: Mapping[str, Any]) -> str:
    """Why the pod's first container waits, or "" when it does not."""
    states = pod.get("status", {}).get("containerStatuses") or [{}]
    return str(states[0].get("state", {}).get("waiting", {}).get("reason", ""))
