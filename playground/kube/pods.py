"""One simulated pod: its containers together, and the status a kubelet would report for them. Pure, as `behaviour`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from playground.kube.behaviour import PREFIX, Container, Happening, Pace, metrics_quantity, stamp


class Pod:
    """A pod on one of our nodes, from the moment it was bound until it is gone."""

    def __init__(self, document: Mapping[str, Any], ip: str, pace: Pace, now: float) -> None:
        meta, spec = document["metadata"], document["spec"]
        self.namespace: str = meta["namespace"]
        self.name: str = meta["name"]
        self.uid: str = meta["uid"]
        self.labels: dict[str, str] = meta.get("labels", {})
        self.annotations: dict[str, str] = meta.get("annotations", {})
        self.generation: int = meta.get("generation", 1)
        self.node: str = spec["nodeName"]
        self.ip = ip
        self.policy: str = spec.get("restartPolicy", "Always")
        self.stop_s = float(self.annotations.get(f"{PREFIX}stop-s", pace.stop_s))
        self.started_at = now
        self.gone_at: float | None = None  # when it ends, once it was told to
        self._specs: list[dict[str, Any]] = spec["containers"]
        self._setup = [_done(entry, meta["uid"], now) for entry in spec.get("initContainers", [])]
        self.containers = [
            Container(entry, self.annotations, self.policy, pace, now, self.uid) for entry in self._specs
        ]
        self._since: dict[str, tuple[str, float]] = {}

    @property
    def key(self) -> tuple[str, str]:
        return self.namespace, self.name

    @property
    def path(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods/{self.name}"

    def due_at(self) -> float | None:
        """When `advance` has something to do next; None when nothing happens by itself any more."""
        if self.gone_at is not None:
            return self.gone_at
        return min((c.due_at for c in self.containers if c.due_at is not None), default=None)

    def advance(self, now: float) -> list[Happening]:
        """Let every container do what is due; what there is to tell."""
        return [
            told
            for container in self.containers
            for told in container.advance(now, f"{self.name}_{self.namespace}({self.uid})")
        ]

    def phase(self) -> str:
        if self.policy != "Always" and all(c.is_over for c in self.containers):
            failed = any(c.life is not None and c.life.exit_code != 0 for c in self.containers)
            return "Failed" if failed else "Succeeded"
        return "Pending" if any(c.life is None for c in self.containers) else "Running"

    def status(self, now: float, host_ip: str) -> dict[str, Any]:
        """What belongs into the pod's status, all but the scheduler's own condition."""
        unready = [c.name for c in self.containers if not c.is_ready]
        is_over = self.phase() in ("Succeeded", "Failed")
        why = (
            {"reason": "PodCompleted"}
            if is_over
            else {"reason": "ContainersNotReady", "message": f"containers with unready status: [{' '.join(unready)}]"}
        )
        conditions = [
            self._condition("PodReadyToStartContainers", not is_over, {}, now),
            self._condition("Initialized", True, {"reason": "PodCompleted"} if is_over else {}, now),
            self._condition("ContainersReady", not unready, why if unready else {}, now),
            self._condition("Ready", not unready, why if unready else {}, now),
        ]
        return {
            "phase": self.phase(), "observedGeneration": self.generation, "conditions": conditions,
            "startTime": stamp(self.started_at),
            "hostIP": host_ip, "hostIPs": [{"ip": host_ip}], "podIP": self.ip, "podIPs": [{"ip": self.ip}],
            "initContainerStatuses": self._setup, "containerStatuses": [c.status() for c in self.containers],
        }  # fmt: skip

    def usage(self) -> list[dict[str, Any]]:
        """What each container uses now, for the metrics API: the annotations, else half of what it asked for."""
        found = []
        for spec, container in zip(self._specs, self.containers, strict=True):
            if container.is_running:
                requests = spec.get("resources", {}).get("requests", {})
                cpu = self.annotations.get(f"{PREFIX}cpu") or metrics_quantity(requests.get("cpu"), "10m")
                memory = self.annotations.get(f"{PREFIX}memory") or metrics_quantity(requests.get("memory"), "64Mi")
                found.append({"name": container.name, "usage": {"cpu": cpu, "memory": memory}})
        return found

    def _condition(self, kind: str, is_true: bool, rest: Mapping[str, str], now: float) -> dict[str, Any]:
        status = "True" if is_true else "False"
        if self._since.get(kind, ("", 0.0))[0] != status:
            self._since[kind] = (status, now)
        told = {"reason": None, "message": None, **rest}
        at = stamp(self._since[kind][1])
        return {
            "type": kind,
            "status": status,
            "observedGeneration": self.generation,
            "lastProbeTime": None,
            "lastTransitionTime": at,
            **told,
        }


def _done(spec: Mapping[str, Any], uid: str, now: float) -> dict[str, Any]:
    """An init container that has done its work: they always succeed here."""
    ended = {
        "exitCode": 0,
        "reason": "Completed",
        "startedAt": stamp(now),
        "finishedAt": stamp(now),
        "containerID": f"containerd://{uid}",
    }
    return {
        "name": spec["name"], "image": spec["image"], "imageID": spec["image"], "ready": True,
        "started": False, "restartCount": 0,
        "containerID": f"containerd://{uid}", "state": {"terminated": ended}, "lastState": {},
    }  # fmt: skip
