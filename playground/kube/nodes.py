"""Simulated machines: Node objects, and for every pod bound to one of them the life that its image's name asks for.

The real scheduler binds pods, the real controllers make and replace them; this takes the kubelet's part only. Pods run
nowhere: a Service's endpoints are real objects with addresses nobody listens on. Rejected: kwok, whose stages are
written in a language of its own and cannot answer `pods/log`.

One thread watches, one does what is due. Everything is told by wall-clock time, because a kubelet's stamps are compared
with the API server's.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import queue
import secrets
import threading
import time
from collections.abc import Iterable
from typing import Any

from playground.kube.api import MERGE, STRATEGIC, Api, ApiError
from playground.kube.behaviour import Container, Happening, Life, Pace, stamp
from playground.kube.kubelet import metrics_of
from playground.kube.pods import Pod
from playground.kube.programs import VERSION

RETRY_S = 0.3
CAPACITY = {"cpu": "8", "memory": "16Gi", "pods": "110", "ephemeral-storage": "100Gi"}

# Every key has to be there; what nobody looks at is empty.
NODE_INFO = dict.fromkeys(("machineID", "systemUUID", "bootID", "kubeProxyVersion"), "") | {
    "kubeletVersion": VERSION,
    "containerRuntimeVersion": "containerd://2.2.0",
    "osImage": "simulated",
    "operatingSystem": "linux",
    "architecture": "amd64",
    "kernelVersion": "6.12.0",
}


class Nodes:
    """The machines `node-1` … `node-<count>`. `start` after the API server answers; `close` before it ends."""

    def __init__(self, api: Api, *, kubelet_port: int, count: int = 2, pace: Pace | None = None) -> None:
        self.pace = pace or Pace()
        self.names = [f"node-{number}" for number in range(1, count + 1)]
        self._api = api
        self._port = kubelet_port
        self._pods: dict[str, Pod] = {}  # by uid
        self._seen: set[str] = set()
        self._lock = threading.RLock()
        self._due: list[tuple[float, int, str]] = []
        self._order = itertools.count()
        self._changes: queue.SimpleQueue[tuple[str, dict[str, Any]] | None] = queue.SimpleQueue()
        self._told: dict[tuple[str, str, str], tuple[str, int]] = {}
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=work, name=f"nodes-{work.__name__}", daemon=True)
            for work in (self._watch, self._work)
        ]

    def start(self) -> None:
        for index, name in enumerate(self.names, 1):
            with contextlib.suppress(ApiError):  # left by an earlier run of a cluster that is not ours
                self._api.create(
                    "/api/v1/nodes",
                    {
                        "metadata": {
                            "name": name,
                            "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"},
                        }
                    },
                )
            self._api.patch(f"/api/v1/nodes/{name}/status", {"status": self._node_status(index, True)})
        for thread in self._threads:
            thread.start()

    def close(self, *, remove: bool = False) -> None:
        """Stop simulating; with `remove` take the Node objects away too."""
        self._stop.set()
        self._changes.put(None)
        self._threads[1].join(5)
        for name in self.names if remove else []:
            self._api.delete(f"/api/v1/nodes/{name}")

    # what a test or a person may do to a running pod

    def write_log(self, namespace: str, pod: str, *lines: str, container: str = "") -> None:
        """Let the container (the first, when not named) print these lines now. KeyError when it does not run."""
        with self._lock:
            life = self._container(namespace, pod, container).life
            if life is None or life.ended_at is not None:
                raise KeyError(f"{namespace}/{pod} runs no container {container}")
            life.lines += [(time.time(), line) for line in lines]

    def end(self, namespace: str, pod: str, *, code: int, reason: str = "Error", container: str = "") -> None:
        """Let the container end now, such as code=137, reason="OOMKilled"."""
        with self._lock:
            found = self._find(namespace, pod)
            told = self._container(namespace, pod, container).end(
                time.time(), code, reason, f"{pod}_{namespace}({found.uid})"
            )
        self._report(found, told)
        self._plan(found)

    def hold_unready(self, namespace: str, pod: str, is_held: bool = True) -> None:
        """Let the readiness of a pod's containers fail from now on, or no longer."""
        with self._lock:
            found = self._find(namespace, pod)
            for container in found.containers:
                container.hold_unready(is_held, time.time())
        told = [
            Happening(
                type="Warning",
                reason="Unhealthy",
                message="Readiness probe failed: HTTP probe failed with statuscode: 503",
            )
        ]
        self._report(found, told if is_held else [])
        self._plan(found)

    def set_node_ready(self, name: str, is_ready: bool) -> None:
        """Let a machine report that it is well or not. The node controller draws its own conclusions."""
        self._api.patch(
            f"/api/v1/nodes/{name}/status", {"status": self._node_status(self.names.index(name) + 1, is_ready)}
        )

    # what the kubelet's door asks

    def life(self, namespace: str, pod: str, container: str, previous: bool) -> Life | None:
        with self._lock:
            try:
                found = self._container(namespace, pod, container)
            except KeyError:
                return None
            return found.previous if previous else found.life

    def pod_metrics(self, namespace: str | None) -> list[dict[str, Any]]:
        with self._lock:
            pods = [pod for pod in self._pods.values() if namespace in (None, pod.namespace)]
            return [
                metrics_of("PodMetrics", p.name, p.namespace, p.labels, {"containers": used})
                for p in pods
                if (used := p.usage())
            ]

    def node_metrics(self) -> list[dict[str, Any]]:
        return [
            metrics_of("NodeMetrics", name, None, {}, {"usage": {"cpu": "900m", "memory": "3Gi"}})
            for name in self.names
        ]

    # the two threads

    def _watch(self) -> None:
        while not self._stop.is_set():
            # The API server may be away for a while: that is one of the things tests do to it.
            with contextlib.suppress(ApiError):
                listed = self._api.get("/api/v1/pods")
                self._changes.put(("LISTED", listed))
                for change in self._api.watch("/api/v1/pods", listed["metadata"]["resourceVersion"]):
                    self._changes.put(change)
                    if self._stop.is_set():
                        return
            self._stop.wait(RETRY_S)

    def _work(self) -> None:
        while not self._stop.is_set():
            wait_s = max(0.0, self._due[0][0] - time.time()) if self._due else 5.0
            try:
                change = self._changes.get(timeout=wait_s) if wait_s else self._changes.get_nowait()
            except queue.Empty:
                change = ("DUE", {})
            if change is not None:
                self._take(*change)
            self._do_due()

    def _take(self, kind: str, document: dict[str, Any]) -> None:
        if kind == "LISTED":
            uids = {item["metadata"]["uid"] for item in document["items"]}
            with self._lock:
                self._pods = {uid: pod for uid, pod in self._pods.items() if uid in uids}
            for item in document["items"]:
                self._take("ADDED", item)
        elif kind == "DELETED":
            with self._lock:
                self._pods.pop(document["metadata"]["uid"], None)
        elif kind in ("ADDED", "MODIFIED") and document["spec"].get("nodeName") in self.names:
            self._meet(document)

    def _meet(self, document: dict[str, Any]) -> None:
        uid, now = document["metadata"]["uid"], time.time()
        with self._lock:
            pod = self._pods.get(uid)
            if pod is None:
                if uid in self._seen:
                    return  # an echo of a pod that is gone
                self._seen.add(uid)
                number = self.names.index(document["spec"]["nodeName"]) + 1
                count = len(self._seen)
                pod = self._pods[uid] = Pod(document, f"10.244.{number}.{2 + count % 250}", self.pace, now)
                self._plan(pod)
            if "deletionTimestamp" in document["metadata"] and pod.gone_at is None:
                grace_s = document["metadata"].get("deletionGracePeriodSeconds", 30)
                pod.gone_at = now + min(pod.stop_s, grace_s)
                self._plan(pod)

    def _plan(self, pod: Pod, at: float | None = None) -> None:
        due_at = at if at is not None else pod.due_at()
        if due_at is not None:
            with self._lock:
                heapq.heappush(self._due, (due_at, next(self._order), pod.uid))
            self._changes.put(("PLANNED", {}))

    def _do_due(self) -> None:
        while self._due and self._due[0][0] <= time.time():
            with self._lock:
                pod = self._pods.get(heapq.heappop(self._due)[2])
                told = pod.advance(time.time()) if pod is not None and pod.gone_at is None else []
            if pod is None:
                continue
            if pod.gone_at is None:
                self._report(pod, told)
                self._plan(pod)
            elif time.time() >= pod.gone_at:
                self._remove(pod)

    def _report(self, pod: Pod, told: Iterable[Happening]) -> None:
        with self._lock:
            status = pod.status(time.time(), f"10.0.0.{self.names.index(pod.node) + 1}")
        try:
            self._api.patch(f"{pod.path}/status", {"metadata": {"uid": pod.uid}, "status": status}, STRATEGIC)
            for happening in told:
                self._tell(pod, happening)
        except ApiError as problem:
            if problem.status in (404, 409):  # gone, or another pod has its name now
                with self._lock:
                    self._pods.pop(pod.uid, None)
            else:
                self._plan(pod, time.time() + RETRY_S)

    def _remove(self, pod: Pod) -> None:
        try:
            self._api.delete(pod.path, {"gracePeriodSeconds": 0, "preconditions": {"uid": pod.uid}})
        except ApiError as problem:
            if problem.status not in (404, 409):
                self._plan(pod, time.time() + RETRY_S)

    def _tell(self, pod: Pod, happening: Happening) -> None:
        """As an Event; the same one again only raises its count, as a kubelet does."""
        key, now = (pod.uid, happening.reason, happening.message), stamp(time.time())
        folder = f"/api/v1/namespaces/{pod.namespace}/events"
        name, count = self._told.get(key, (f"{pod.name}.{secrets.token_hex(8)}", 0))
        self._told[key] = (name, count + 1)
        with contextlib.suppress(ApiError):  # an Event is best effort, and a namespace that ends takes none
            if count:
                self._api.patch(f"{folder}/{name}", {"count": count + 1, "lastTimestamp": now}, MERGE)
                return
            about = {"apiVersion": "v1", "kind": "Pod", "namespace": pod.namespace, "name": pod.name, "uid": pod.uid}
            told = {"type": happening.type, "reason": happening.reason, "message": happening.message}
            source = {"component": "kubelet", "host": pod.node}
            times = {"firstTimestamp": now, "lastTimestamp": now, "count": 1}
            self._api.create(
                folder, {"metadata": {"name": name}, "involvedObject": about, "source": source, **told, **times}
            )

    def _find(self, namespace: str, name: str) -> Pod:
        for pod in self._pods.values():
            if pod.key == (namespace, name) and pod.gone_at is None:
                return pod
        raise KeyError(f"no pod {namespace}/{name} on these nodes")

    def _container(self, namespace: str, name: str, container: str) -> Container:
        containers = self._find(namespace, name).containers
        for found in containers:
            if container in ("", found.name):
                return found
        raise KeyError(f"pod {namespace}/{name} has no container {container}")

    def _node_status(self, index: int, is_ready: bool) -> dict[str, Any]:
        now = stamp(time.time())
        ready = (
            ("True", "KubeletReady", "kubelet is posting ready status")
            if is_ready
            else ("False", "KubeletNotReady", "container runtime is down")
        )
        pressure = [
            (kind, "False", f"KubeletHasNo{kind}", "") for kind in ("MemoryPressure", "DiskPressure", "PIDPressure")
        ]
        conditions = [
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "lastHeartbeatTime": now,
                "lastTransitionTime": now,
            }
            for kind, status, reason, message in (*pressure, ("Ready", *ready))
        ]
        # The API server reaches the kubelet by the host name: an InternalIP on the loopback would be the same for all.
        addresses = [{"type": "InternalIP", "address": f"10.0.0.{index}"}, {"type": "Hostname", "address": "127.0.0.1"}]
        return {
            "capacity": CAPACITY,
            "allocatable": CAPACITY,
            "conditions": conditions,
            "addresses": addresses,
            "nodeInfo": NODE_INFO,
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self._port}},
        }
