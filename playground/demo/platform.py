"""The system of `mlops-bot demo --kubernetes`: one Deployment on a real API server, and an alert about it.

The bot gets a service account with the rights that it asks for and no others: its own table of rules is the role.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from handlers._kube_rules import ACT, LOOK
from playground.demo.town import Town
from playground.kube import Cluster
from playground.kube.api import APPLY

SYSTEM = NAMESPACE = "ml-platform"
SERVICE = "ml-service"
RUNBOOKS = Path(__file__).resolve().parent / "runbooks"
REPLICAS = 3
GOOD = "registry.example.com/ml-service:v1.2.0"
BAD = "registry.example.com/ml-service:v1.3.0-crash"  # the word at the end is what a simulated node goes by
ACCOUNT = ("mlops-bot", "mlops-bot")
DEPLOYER = "deploy-pipeline"  # who rolled out, in the bot's findings
RESTARTS = 2  # of one pod, before the alert fires
ALERT = "KubePodCrashLooping"
_WHERE = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{SERVICE}"
_NO_END = "0001-01-01T00:00:00Z"  # how Alertmanager writes "not ended"


class Platform:
    """Works on a running cluster, which it does not stop; `start` first."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._since: datetime | None = None

    def start(self) -> Path:
        """Roles, and the good version rolled out; returns the bot's kubeconfig."""
        self._cluster.namespace(NAMESPACE)
        kubeconfig = self._cluster.service_account_kubeconfig(*ACCOUNT)
        self._cluster.apply(_rights(), namespace=NAMESPACE)
        self.roll_out(GOOD)
        self._cluster.wait(self.is_whole, what=f"{SERVICE} is rolled out", within_s=60)
        return kubeconfig

    def go_bad(self) -> None:
        """Somebody deploys a version that crashes."""
        self.roll_out(BAD)

    def roll_out(self, image: str) -> None:
        """Deploy this image."""
        asked = {"fieldManager": DEPLOYER, "force": "true"}
        self._cluster.api.call("PATCH", _WHERE, _deployment(image), content_type=APPLY, query=asked)

    def image(self) -> str:
        """What the Deployment asks for."""
        found = self._cluster.api.get(_WHERE)
        return str(found["spec"]["template"]["spec"]["containers"][0]["image"])

    def is_whole(self) -> bool:
        """True when all pods are of the newest template and available."""
        found = self._cluster.api.get(_WHERE)
        now = found.get("status", {})
        counts = [now.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")]
        return now.get("observedGeneration", 0) >= found["metadata"]["generation"] and counts == [REPLICAS] * 3

    def remove(self) -> None:
        """Take away what was made, for a cluster that goes on."""
        rights = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}"
        for path in (_WHERE, f"{rights}/rolebindings/{ACCOUNT[1]}", f"{rights}/roles/{ACCOUNT[1]}"):
            if self._cluster.api.exists(path):
                self._cluster.api.delete(path)

    def look(self, town: Town) -> None:
        """Stands in for Prometheus and Alertmanager: posts their webhook when pods begin to crash, and when it ends."""
        restarts = max((_crashes(pod) for pod in self._cluster.pods(NAMESPACE, f"app={SERVICE}")), default=0)
        now = datetime.now(UTC)
        if restarts >= RESTARTS and self._since is None:
            self._since = now
            town.post_webhook(webhook(restarts, started_at=now))
        elif self._since is not None and self.is_whole():
            town.post_webhook(webhook(restarts, started_at=self._since, ended_at=now))
            self._since = None


def webhook(restarts: int, *, started_at: datetime, ended_at: datetime | None = None) -> dict[str, Any]:
    """The notification that Alertmanager would post; resolved when `ended_at` is given."""
    labels = {
        "alertname": ALERT, "namespace": NAMESPACE, "service": SERVICE, "severity": "warning", "signal": "crash",
        "system": SYSTEM,
    }  # fmt: skip
    summary = f"A pod of {SERVICE} crashed {restarts} times within a minute"
    alert = {
        "status": "resolved" if ended_at else "firing", "labels": labels,
        "annotations": {"summary": summary, "value": str(restarts)},
        "startsAt": started_at.isoformat(), "endsAt": ended_at.isoformat() if ended_at else _NO_END,
        "generatorURL": "", "fingerprint": hashlib.sha256(repr(sorted(labels.items())).encode()).hexdigest()[:16],
    }  # fmt: skip
    group = {"alertname": ALERT, "system": SYSTEM, "service": SERVICE}
    return {
        "version": "4", "receiver": "mlops-bot", "status": alert["status"], "alerts": [alert], "groupLabels": group,
        "commonLabels": labels, "commonAnnotations": alert["annotations"], "externalURL": "", "truncatedAlerts": 0,
        "groupKey": "{}:{" + ", ".join(f'{name}="{text}"' for name, text in sorted(group.items())) + "}",
    }  # fmt: skip


def _rights() -> list[dict[str, Any]]:
    head = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": ACCOUNT[1]}}
    rules = [
        {"apiGroups": [rule.kind.group], "resources": [rule.resource], "verbs": [rule.verb]} for rule in (*LOOK, *ACT)
    ]
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ACCOUNT[1]}
    subject = {"kind": "ServiceAccount", "namespace": ACCOUNT[0], "name": ACCOUNT[1]}
    return [
        {**head, "kind": "Role", "rules": rules},
        {**head, "kind": "RoleBinding", "roleRef": role, "subjects": [subject]},
    ]


def _deployment(image: str) -> dict[str, Any]:
    container = {"name": "server", "image": image, "resources": {"limits": {"memory": "512Mi"}}}
    # Longer than a crashing container lives: it must not look ready for a moment and take the place of one that is.
    notes = {"simulated-node/ready-after-s": "1"}
    template = {"metadata": {"labels": {"app": SERVICE}, "annotations": notes}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": SERVICE, "labels": {"app": SERVICE}},
        "spec": {"replicas": REPLICAS, "selector": {"matchLabels": {"app": SERVICE}}, "template": template},
    }  # fmt: skip


def _crashes(pod: dict[str, Any]) -> int:
    """How often the pod was restarted, when it waits for the next time; else 0."""
    return max(
        (
            one["restartCount"]
            for one in pod.get("status", {}).get("containerStatuses", [])
            if one["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff"
        ),
        default=0,
    )
