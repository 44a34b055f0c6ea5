"""The whole cluster as one object: a control plane of our own with simulated nodes, or one that runs already.

    with Cluster() as cluster:
        cluster.namespace("shop")
        cluster.apply("shop.yaml", namespace="shop")
        cluster.wait(lambda: cluster.pods("shop", "app=web"), what="a pod is made")
        bot = cluster.service_account_kubeconfig("mlops-bot", "mlops-bot")

Everything listens on free loopback ports and keeps its data, logs and keys in one folder that is gone after `close`.
RBAC is on; `admin` may do all, everybody else what the applied roles say. The API server makes its own certificate; the
nodes' door and a test's proxy use the same one, so that one CA file serves for all.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from playground.kube.api import Api, ApiError, documents
from playground.kube.behaviour import Pace
from playground.kube.control_plane import START_TIMEOUT_S, ControlPlane, kubeconfig, metrics_service, write_private
from playground.kube.kubelet import Kubelet
from playground.kube.nodes import Nodes
from playground.kube.programs import MissingPrograms, Programs, find
from playground.system.processes import wait_until

T = TypeVar("T")
# Two busy cores: a kind that a CustomResourceDefinition brings is served after a second or two.
KIND_TIMEOUT_S = 15.0


class Cluster:
    """A context manager. Its methods may be called from several threads, `start` and `close` from one.

    `is_ours` is False for a cluster named by MLOPS_TEST_KUBECONFIG: its API server cannot be stopped, its log of
    requests is not to be had, logs of pods neither, and only service accounts can be given a kubeconfig.
    """

    url: str
    api: Api  # all rights
    admin: Path  # the kubeconfig of it
    nodes: Nodes

    def __init__(self, programs: Programs | None = None, *, nodes: int = 2, pace: Pace | None = None) -> None:
        self.programs = programs or find()
        self.is_ours = self.programs.kubeconfig is None
        self.folder = Path(tempfile.mkdtemp(prefix="mlops-kube-"))
        self._count, self._pace = nodes, pace
        self._people: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._control_plane = ControlPlane(self.programs, self.folder) if self.is_ours else None
        self._kubelet: Kubelet | None = None
        self._cordoned: list[str] = []

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Returns when pods can be made. StartFailed with the end of a log, or TimedOut, when that never comes."""
        if self._control_plane is None:
            self._join()
            self.nodes = Nodes(self.api, kubelet_port=10250, count=self._count, pace=self._pace)
        else:
            self._start_own(self._control_plane)
        self.nodes.start()
        self.namespace("default")
        wait_until(self._free_nodes, what="the nodes take pods", timeout_seconds=START_TIMEOUT_S, is_met=self._are_all)

    def close(self) -> None:
        """Stop what was started, uncordon what was cordoned, and remove the folder."""
        if hasattr(self, "nodes"):
            self.nodes.close(remove=not self.is_ours)
        if self._kubelet is not None:
            self._kubelet.close()
        if self._control_plane is not None:
            self._control_plane.close()
        for name in self._cordoned:
            self.api.patch(f"/api/v1/nodes/{name}", {"spec": {"unschedulable": None}})
        shutil.rmtree(self.folder, ignore_errors=True)

    # who may talk to it

    def kubeconfig(self, user: str, groups: Iterable[str] = (), *, server: str = "") -> Path:
        """A kubeconfig of a made-up person with a new token. `server` replaces the address, such as by a proxy's.

        MissingPrograms in a cluster that is not ours: nobody there would know the token.
        """
        if not self.is_ours:
            raise MissingPrograms(
                "a cluster named by MLOPS_TEST_KUBECONFIG knows no made-up people; use service_account_kubeconfig"
            )
        token = secrets.token_hex(16)
        self._people[token] = (user, tuple(groups))
        return self._write_kubeconfig(user, token, server=server)

    def service_account_kubeconfig(self, namespace: str, name: str, *, server: str = "") -> Path:
        """A kubeconfig of a service account, made with its namespace when there is none. Valid for ten hours."""
        self.namespace(namespace)
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        if not self.api.exists(f"{path}/{name}"):
            self.api.create(path, {"metadata": {"name": name}})
        answer = self.api.create(f"{path}/{name}/token", {"spec": {"expirationSeconds": 36_000}})
        return self._write_kubeconfig(f"{namespace}.{name}", answer["status"]["token"], server=server)

    # what is in it

    def namespace(self, name: str) -> str:
        """Make the namespace unless it is there, and wait until pods can be made in it. Returns the name."""
        with contextlib.suppress(ApiError):
            self.api.create("/api/v1/namespaces", {"metadata": {"name": name}})
        account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        what = f"the service account of namespace {name}"
        wait_until(lambda: self.api.exists(account), what=what, timeout_seconds=START_TIMEOUT_S)
        return name

    def apply(
        self, source: Path | str | Iterable[Mapping[str, Any]], *, namespace: str = "default"
    ) -> list[dict[str, Any]]:
        """Server-side apply of a YAML file, a folder of them, YAML text, or documents; the stored objects, in order.

        Namespaces and CustomResourceDefinitions go first. `kustomization.yaml` is passed over, not carried out.
        ApiError when one is refused.
        """
        return [self._apply(document, namespace) for document in sorted(documents(source), key=_rank)]

    def wait(self, look: Callable[[], T], *, what: str = "", within_s: float = 30.0) -> T:
        """Poll until `look` returns something true, and return that; TimedOut with the last value otherwise."""
        return wait_until(look, what=what or "what the cluster was to become", timeout_seconds=within_s)

    def pods(self, namespace: str, selector: str = "") -> list[dict[str, Any]]:
        """The pods as they are now, terminating ones included."""
        found: list[dict[str, Any]] = self.api.get(f"/api/v1/namespaces/{namespace}/pods", labelSelector=selector)[
            "items"
        ]
        return found

    def events(self, namespace: str) -> list[dict[str, Any]]:
        """All Event objects of the namespace, in no order."""
        found: list[dict[str, Any]] = self.api.get(f"/api/v1/namespaces/{namespace}/events")["items"]
        return found

    def requests(self, *, user: str = "", verbs: Iterable[str] = ()) -> list[dict[str, Any]]:
        """The answered requests so far, from the API server's audit log: `verb`, `requestURI`, `responseStatus` …

        Without those of the harness and without watches. `user` is the full name, such as
        system:serviceaccount:ns:name. MissingPrograms in a cluster that is not ours.
        """
        wanted = frozenset(verbs)
        entries = [json.loads(line) for line in self._own().audit_log.read_text().splitlines()]
        return [e for e in entries if user in ("", e["user"].get("username")) and (not wanted or e["verb"] in wanted)]

    # what happens to it

    def stop_apiserver(self) -> None:
        """Kill the API server at once, as a crash would. Everything else goes on and waits for it."""
        self._own().stop_apiserver()

    def start_apiserver(self) -> None:
        """Start it again, with the same port, data and certificate, and wait until it is ready."""
        self._own().start_apiserver()

    @property
    def certificate(self) -> tuple[Path, Path]:
        """The certificate and key of the API server, for whoever stands in its place (ours only)."""
        return self._own().certificate

    def _own(self) -> ControlPlane:
        if self._control_plane is None:
            raise MissingPrograms("MLOPS_TEST_KUBECONFIG names a cluster whose control plane is not ours; unset it")
        return self._control_plane

    def _start_own(self, control_plane: ControlPlane) -> None:
        self.url = control_plane.url
        self.api = control_plane.start()
        self.admin = self._write_kubeconfig("admin", control_plane.admin_token)
        control_plane.start_controllers(self.admin)
        port = control_plane.kubelet_port
        self.nodes = Nodes(self.api, kubelet_port=port, count=self._count, pace=self._pace)
        self._kubelet = Kubelet(self.nodes, port, *control_plane.certificate, self._people)
        self._kubelet.start()
        self.apply(metrics_service(port))

    def _join(self) -> None:
        assert self.programs.kubeconfig is not None
        self.admin = self.programs.kubeconfig
        self.api = Api.from_kubeconfig(self.admin)
        self.url = self.api.url
        # Its own machines would really run the pods; these tests need the simulated ones.
        for node in self.api.get("/api/v1/nodes")["items"]:
            name = node["metadata"]["name"]
            if not node["spec"].get("unschedulable"):
                self.api.patch(f"/api/v1/nodes/{name}", {"spec": {"unschedulable": True}})
                self._cordoned.append(name)

    def _free_nodes(self) -> list[str]:
        found = [self.api.get(f"/api/v1/nodes/{name}") for name in self.nodes.names]
        return [node["metadata"]["name"] for node in found if not node["spec"].get("taints")]

    def _are_all(self, names: list[str]) -> bool:
        return len(names) == self._count

    def _apply(self, document: dict[str, Any], namespace: str) -> dict[str, Any]:
        deadline = time.monotonic() + KIND_TIMEOUT_S
        while True:
            try:
                stored: dict[str, Any] = self.api.apply(document, namespace)
            except ApiError as problem:
                # A kind is served a moment after its definition, a namespace fills a moment after it is made.
                if problem.status != 404 or time.monotonic() > deadline:
                    raise
                time.sleep(0.2)
            else:
                if document["kind"] == "Namespace":
                    self.namespace(document["metadata"]["name"])
                return stored

    def _write_kubeconfig(self, user: str, token: str, *, server: str = "") -> Path:
        path = self.folder / f"{user.replace(':', '.')}-{secrets.token_hex(3)}.kubeconfig"
        cluster: dict[str, Any] = {"server": server or self.url}
        if not cluster["server"].startswith("http://"):
            cluster["certificate-authority"] = str(self.certificate[0] if self.is_ours else self.api.ca_file)
        write_private(path, kubeconfig(user, cluster, {"token": token}))
        return path


def _rank(document: Mapping[str, Any]) -> int:
    """What others need goes first."""
    first = ("Namespace", "CustomResourceDefinition", "ServiceAccount", "ClusterRole", "Role")
    return first.index(document["kind"]) if document["kind"] in first else len(first)
