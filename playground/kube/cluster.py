"""The whole cluster as one object: a control plane of our own with simulated nodes, or one that runs already.

    with Cluster() as cluster:
        cluster.namespace("shop")
        cluster.apply("deploy/example/shop.yaml", namespace="shop")
        cluster.wait(lambda: cluster.api.get("/apis/apps/v1/namespaces/shop/deployments/web")["status"].get("availableReplicas"))

Everything listens on free loopback ports and keeps its data, logs and keys in one folder that is gone after `close`.
RBAC is on; `admin` may do all, everybody else what the applied roles say. The API server makes its own certificate; the
nodes' door and a test's proxy use the same one, so that one CA file serves for all.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import yaml

from playground.kube.api import Api, ApiError, documents
from playground.kube.behaviour import Pace
from playground.kube.kubelet import Kubelet
from playground.kube.nodes import Nodes
from playground.kube.programs import MissingPrograms, Programs, find
from playground.system.processes import Part, Parts, free_port, wait_until

T = TypeVar("T")
START_TIMEOUT_S = 60.0
# Two busy cores: a kind that a CustomResourceDefinition brings is served after a second or two.
KIND_TIMEOUT_S = 15.0


class Cluster:
    """A context manager. Its methods may be called from several threads, `start` and `close` from one.

    `is_ours` is False for a cluster named by MLOPS_TEST_KUBECONFIG: its API server cannot be stopped, its log of
    requests is not to be had, and only service accounts can be given a kubeconfig.
    """

    url: str
    api: Api
    admin: Path
    nodes: Nodes

    def __init__(self, programs: Programs | None = None, *, nodes: int = 2, pace: Pace | None = None) -> None:
        self.programs = programs or find()
        self.is_ours = self.programs.kubeconfig is None
        self.folder = Path(tempfile.mkdtemp(prefix="mlops-kube-"))
        self._count, self._pace = nodes, pace
        self._parts = Parts(self.folder)
        self._people: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._api_port, self._etcd_port, self._kubelet_port = free_port(), free_port(), free_port()
        self._control_plane: list[Part] = []
        self._apiserver: Part | None = None
        self._kubelet: Kubelet | None = None
        self._cordoned: list[str] = []
        self._token = secrets.token_hex(16)

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
        if self.is_ours:
            self._start_control_plane()
        else:
            self._join()
        self.nodes = Nodes(self.api, kubelet_port=self._kubelet_port, count=self._count, pace=self._pace)
        if self.is_ours:
            self._kubelet = Kubelet(self.nodes, self._kubelet_port, *self.certificate, self._people)
            self._kubelet.start()
        self.nodes.start()
        self._wait_for_use()

    def close(self) -> None:
        """Stop what was started, uncordon what was cordoned, and remove the folder."""
        if hasattr(self, "nodes"):
            self.nodes.close()
        if self._kubelet is not None:
            self._kubelet.close()
        if not self.is_ours:
            self._leave()
        # Their data goes with the folder, so nobody needs time to end in good order.
        for part in self._control_plane:
            part.process.kill()
        self._parts.close()
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
        """A kubeconfig of a service account, which is made, with its namespace, when there is none. Valid for ten hours."""
        self.namespace(namespace)
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        if not self.api.exists(f"{path}/{name}"):
            self.api.create(path, {"metadata": {"name": name}})
        answer = self.api.create(f"{path}/{name}/token", {"spec": {"expirationSeconds": 36_000}})
        return self._write_kubeconfig(f"{namespace}.{name}", answer["status"]["token"], server=server)

    def api_of(self, kubeconfig: Path) -> Api:
        """Plain calls with the rights of that kubeconfig."""
        return Api.from_kubeconfig(kubeconfig)

    # what is in it

    def namespace(self, name: str) -> str:
        """Make the namespace unless it is there, and wait until pods can be made in it. Returns the name."""
        with contextlib.suppress(ApiError):
            self.api.create("/api/v1/namespaces", {"metadata": {"name": name}})
        account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
        wait_until(
            lambda: self.api.exists(account),
            what=f"the service account of namespace {name}",
            timeout_seconds=START_TIMEOUT_S,
        )
        return name

    def apply(
        self, source: Path | str | Iterable[Mapping[str, Any]], *, namespace: str = "default"
    ) -> list[dict[str, Any]]:
        """Server-side apply of a YAML file, a folder of them, YAML text, or documents; the stored objects.

        Namespaces and CustomResourceDefinitions go first. `kustomization.yaml` is passed over, not carried out. ApiError
        when one is refused.
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
        found: list[dict[str, Any]] = self.api.get(f"/api/v1/namespaces/{namespace}/events")["items"]
        return found

    def requests(self, *, user: str = "", verbs: Iterable[str] = ()) -> list[dict[str, Any]]:
        """The answered requests so far, from the API server's audit log: `verb`, `requestURI`, `user`, `responseStatus` …

        Only of a cluster that is ours. `user` is the full name, such as system:serviceaccount:ns:name.
        """
        wanted = frozenset(verbs)
        entries = [json.loads(line) for line in (self.folder / "audit.log").read_text().splitlines()]
        return [e for e in entries if user in ("", e["user"].get("username")) and (not wanted or e["verb"] in wanted)]

    # what happens to it

    def stop_apiserver(self) -> None:
        """Kill it at once, as a crash would. Everything else goes on and waits for it."""
        if self._apiserver is None:
            raise MissingPrograms("the API server is not ours to stop, or is stopped already")
        self._apiserver.process.kill()
        self._parts.stop(self._apiserver)
        self._control_plane.remove(self._apiserver)
        self._apiserver = None

    def start_apiserver(self) -> None:
        """Start it (again) on the same port with the same data and certificate, and wait until it answers."""
        self._apiserver = self._run("kube-apiserver", self._apiserver_flags())
        self._wait_ready()

    @property
    def certificate(self) -> tuple[Path, Path]:
        """The certificate and key of the API server, for whoever stands in its place (ours only)."""
        return self.folder / "pki" / "apiserver.crt", self.folder / "pki" / "apiserver.key"

    # how a control plane starts

    def _start_control_plane(self) -> None:
        self.url = f"https://127.0.0.1:{self._api_port}"
        self._write_files()
        self._run("etcd", self._etcd_flags())
        self._apiserver = self._run("kube-apiserver", self._apiserver_flags())
        crt = self.certificate[0]
        wait_until(
            lambda: self._alive() and crt.exists() and self.certificate[1].exists(),
            what="the API server's certificate",
            timeout_seconds=START_TIMEOUT_S,
        )
        self.admin = self._write_kubeconfig("admin", self._token)
        self.api = Api(self.url, token=self._token, ca_file=crt)
        self._wait_ready()
        # Not waited for: each asks the API until it gets answers.
        for name, flags in (
            ("kube-controller-manager", self._controller_flags()),
            ("kube-scheduler", self._scheduler_flags()),
        ):
            self._run(name, [f"--kubeconfig={self.admin}", "--leader-elect=false", *flags])
        self.apply(_metrics_service(self._kubelet_port))

    def _run(self, name: str, flags: Iterable[str]) -> Part:
        part = self._parts.start(name, [*self.programs.commands[name], *flags])
        self._control_plane.append(part)
        return part

    def _alive(self) -> bool:
        if self._apiserver is not None:
            self._apiserver.ensure_running()
        return True

    def _wait_ready(self) -> None:
        def is_ready() -> bool:
            self._alive()
            try:
                self.api.call("GET", "/readyz", timeout_s=5)
            except ApiError:
                return False
            return True

        wait_until(is_ready, what="the API server is ready", timeout_seconds=START_TIMEOUT_S)

    def _wait_for_use(self) -> None:
        def free() -> list[str]:
            found = [self.api.get(f"/api/v1/nodes/{name}") for name in self.nodes.names]
            return [node["metadata"]["name"] for node in found if not node["spec"].get("taints")]

        self.namespace("default")
        wait_until(
            free,
            what="the nodes take pods",
            timeout_seconds=START_TIMEOUT_S,
            is_met=lambda names: len(names) == self._count,
        )

    def _write_files(self) -> None:
        (self.folder / "pki").mkdir(mode=0o700)
        key = [
            "openssl",
            "genpkey",
            "-algorithm",
            "RSA",
            "-pkeyopt",
            "rsa_keygen_bits:2048",
            "-out",
            str(self._accounts_key),
        ]
        try:
            subprocess.run(key, check=True, capture_output=True)
        except FileNotFoundError:
            raise MissingPrograms(
                "a cluster of our own needs the program openssl for a key; as root: apt-get install openssl"
            ) from None
        # The harness itself: it must be known without anybody's help, while the nodes' door is not open yet.
        (self.folder / "tokens.csv").write_text(f'{self._token},admin,admin,"system:masters"\n')
        (self.folder / "tokens.csv").chmod(0o600)
        reviewer = {"server": f"https://127.0.0.1:{self._kubelet_port}/token", "insecure-skip-tls-verify": True}
        (self.folder / "reviewer.yaml").write_text(_kubeconfig("reviewer", reviewer, {}))
        policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"]}
        # Who watches and who writes Events is of no interest, and is most of the traffic.
        rules = [
            {"level": "None", "users": ["admin", "system:apiserver"]},
            {"level": "None", "verbs": ["watch"]},
            {"level": "Metadata"},
        ]
        (self.folder / "audit.yaml").write_text(yaml.safe_dump({**policy, "rules": rules}))
        (self.folder / "audit.log").touch()

    @property
    def _accounts_key(self) -> Path:
        return self.folder / "pki" / "accounts.key"

    def _etcd_flags(self) -> list[str]:
        client, peer = f"http://127.0.0.1:{self._etcd_port}", f"http://127.0.0.1:{free_port()}"
        return [
            f"--data-dir={self.folder / 'etcd'}", f"--listen-client-urls={client}", f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync", "--log-level=warn",
        ]  # fmt: skip

    def _apiserver_flags(self) -> list[str]:
        return [
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}", f"--cert-dir={self.folder / 'pki'}",
            "--bind-address=127.0.0.1", f"--secure-port={self._api_port}",
            # An address on the loopback is refused as an endpoint of the Service `kubernetes`, and nobody here needs that.
            "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none",
            "--authorization-mode=RBAC", f"--token-auth-file={self.folder / 'tokens.csv'}",
            f"--authentication-token-webhook-config-file={self.folder / 'reviewer.yaml'}", "--authentication-token-webhook-version=v1",
            "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={self._accounts_key}",
            f"--service-account-signing-key-file={self._accounts_key}", "--service-cluster-ip-range=10.96.0.0/16", "--allow-privileged=true",
            "--kubelet-preferred-address-types=Hostname",
            f"--audit-policy-file={self.folder / 'audit.yaml'}", f"--audit-log-path={self.folder / 'audit.log'}", "--audit-log-mode=blocking",
            "--profiling=false",
        ]  # fmt: skip

    def _controller_flags(self) -> list[str]:
        return [
            f"--service-account-private-key-file={self._accounts_key}", f"--root-ca-file={self.certificate[0]}", "--secure-port=0",
            # A machine under test stalls; a node whose reports are late is no part of any story here unless a test says so.
            "--node-monitor-period=1s", "--node-monitor-grace-period=1h",
            "--horizontal-pod-autoscaler-sync-period=2s", "--horizontal-pod-autoscaler-downscale-stabilization=2s",
            "--horizontal-pod-autoscaler-cpu-initialization-period=1s", "--horizontal-pod-autoscaler-initial-readiness-delay=1s",
        ]  # fmt: skip

    def _scheduler_flags(self) -> list[str]:
        return ["--secure-port=0", "--authentication-skip-lookup=true"]

    # a cluster that runs already

    def _join(self) -> None:
        assert self.programs.kubeconfig is not None
        self.admin = self.programs.kubeconfig
        self.api = Api.from_kubeconfig(self.admin)
        self.url = self.api.url
        # Its own machines would really run the pods; these tests need the simulated ones.
        for node in self.api.get("/api/v1/nodes")["items"]:
            name = node["metadata"]["name"]
            if not node["spec"].get("unschedulable") and not name.startswith("node-"):
                self.api.patch(f"/api/v1/nodes/{name}", {"spec": {"unschedulable": True}})
                self._cordoned.append(name)

    def _leave(self) -> None:
        for name in self._cordoned:
            self.api.patch(f"/api/v1/nodes/{name}", {"spec": {"unschedulable": None}})

    # small things

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
        path.touch(mode=0o600)
        path.write_text(_kubeconfig(user, cluster, {"token": token}))
        return path


def _kubeconfig(user: str, cluster: Mapping[str, Any], credentials: Mapping[str, Any]) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": dict(cluster)}],
            "users": [{"name": user, "user": dict(credentials)}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user, "namespace": "default"}}],
        }  # fmt: skip
    )


def _rank(document: Mapping[str, Any]) -> int:
    """What others need goes first."""
    first = ("Namespace", "CustomResourceDefinition", "ServiceAccount", "ClusterRole", "Role")
    return first.index(document["kind"]) if document["kind"] in first else len(first)


def _metrics_service(port: int) -> list[dict[str, Any]]:
    """metrics.k8s.io, answered by the nodes' door: an ExternalName is the one kind of Service that may lead to the loopback."""
    name, version = "metrics-server", "v1beta1"
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "kube-system"},
        "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]},
    }
    spec = {
        "group": "metrics.k8s.io", "version": version, "groupPriorityMinimum": 100, "versionPriority": 100, "insecureSkipTLSVerify": True,
        "service": {"name": name, "namespace": "kube-system", "port": port},
    }  # fmt: skip
    registration = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": f"{version}.metrics.k8s.io"},
        "spec": spec,
    }
    return [service, registration]
