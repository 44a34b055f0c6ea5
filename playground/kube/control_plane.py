"""etcd, the API server, the controllers and the scheduler: their files, their flags, their start and their end."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from playground.kube.api import Api, ApiError
from playground.kube.programs import MissingPrograms, Programs
from playground.system.processes import Part, Parts, free_port, wait_until

START_TIMEOUT_S = 60.0


class ControlPlane:
    """The four programs, on free loopback ports, with everything they keep in `folder`.

    `admin_token` may do all. Other tokens are shown to `https://127.0.0.1:<kubelet_port>/token` for review.
    """

    def __init__(self, programs: Programs, folder: Path) -> None:
        self.folder = folder
        self.admin_token = secrets.token_hex(16)
        self.kubelet_port = free_port()
        self._commands = programs.commands
        self._api_port, self._etcd_port, self._peer_port = free_port(), free_port(), free_port()
        self._parts = Parts(folder)
        self._running: list[Part] = []
        self._apiserver: Part | None = None
        self.url = f"https://127.0.0.1:{self._api_port}"

    @property
    def certificate(self) -> tuple[Path, Path]:
        """The API server's own certificate and key. It makes them itself; the certificate is its own CA."""
        return self.folder / "pki" / "apiserver.crt", self.folder / "pki" / "apiserver.key"

    @property
    def audit_log(self) -> Path:
        """One JSON line for each answered request that is not the harness's own."""
        return self.folder / "audit.log"

    def start(self) -> Api:
        """Start etcd and the API server and wait until it is ready; a client with all rights.

        StartFailed or TimedOut when it does not come up, MissingPrograms without openssl.
        """
        self._write_files()
        self._run("etcd", self._etcd_flags())
        self._apiserver = self._run("kube-apiserver", self._apiserver_flags())
        wait_until(self._has_certificate, what="the API server's certificate", timeout_seconds=START_TIMEOUT_S)
        self.api = Api(self.url, token=self.admin_token, ca_file=self.certificate[0])
        self._wait_ready()
        return self.api

    def start_controllers(self, kubeconfig: Path) -> None:
        """Start the controllers and the scheduler. They ask the API until it answers, so nobody waits here."""
        flags = (("kube-controller-manager", self._controller_flags()), ("kube-scheduler", self._scheduler_flags()))
        for name, own in flags:
            self._run(name, [f"--kubeconfig={kubeconfig}", "--leader-elect=false", *own])

    def stop_apiserver(self) -> None:
        """Kill it at once, as a crash would. MissingPrograms when it does not run."""
        if self._apiserver is None:
            raise MissingPrograms("the API server is stopped already: call start_apiserver first")
        self._apiserver.process.kill()
        self._parts.stop(self._apiserver)
        self._running.remove(self._apiserver)
        self._apiserver = None

    def start_apiserver(self) -> None:
        """Start it again, with the same port, data and certificate, and wait until it is ready."""
        self._apiserver = self._run("kube-apiserver", self._apiserver_flags())
        self._wait_ready()

    def close(self) -> None:
        # Their data goes with the folder, so nobody needs time to end in good order.
        for part in self._running:
            part.process.kill()
        self._parts.close()

    def _run(self, name: str, flags: Iterable[str]) -> Part:
        part = self._parts.start(name, [*self._commands[name], *flags])
        self._running.append(part)
        return part

    def _ensure_running(self) -> None:
        if self._apiserver is not None:
            self._apiserver.ensure_running()

    def _has_certificate(self) -> bool:
        self._ensure_running()
        return all(file.exists() for file in self.certificate)

    def _wait_ready(self) -> None:
        def is_ready() -> bool:
            self._ensure_running()
            try:
                self.api.call("GET", "/readyz", timeout_s=5)
            except ApiError:
                return False
            return True

        wait_until(is_ready, what="the API server is ready", timeout_seconds=START_TIMEOUT_S)

    def _write_files(self) -> None:
        (self.folder / "pki").mkdir(mode=0o700)
        key = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", str(self._accounts_key)]
        try:
            subprocess.run(["openssl", "genpkey", *key], check=True, capture_output=True)
        except FileNotFoundError:
            raise MissingPrograms(
                "a cluster of our own needs the program openssl for a key; as root: apt-get install openssl"
            ) from None
        # The harness itself must be known without anybody's help, while the nodes' door is not open yet.
        self._write_private("tokens.csv", f'{self.admin_token},admin,admin,"system:masters"\n')
        reviewer = {"server": f"https://127.0.0.1:{self.kubelet_port}/token", "insecure-skip-tls-verify": True}
        self._write_private("reviewer.yaml", kubeconfig("reviewer", reviewer, {}))
        # The harness and whoever only watches are of no interest, and are most of the traffic.
        mine = {"level": "None", "users": ["admin", "system:apiserver"]}
        rules = [mine, {"level": "None", "verbs": ["watch"]}, {"level": "Metadata"}]
        policy = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": rules}
        self._write_private("audit.yaml", yaml.safe_dump(policy))
        self.audit_log.touch()

    def _write_private(self, name: str, text: str) -> None:
        write_private(self.folder / name, text)

    @property
    def _accounts_key(self) -> Path:
        return self.folder / "pki" / "accounts.key"

    def _etcd_flags(self) -> list[str]:
        client, peer = f"http://127.0.0.1:{self._etcd_port}", f"http://127.0.0.1:{self._peer_port}"
        return [
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",  # its data does not outlive it
            "--log-level=warn",
        ]

    def _apiserver_flags(self) -> list[str]:
        return [
            f"--etcd-servers=http://127.0.0.1:{self._etcd_port}",
            f"--cert-dir={self.folder / 'pki'}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self._api_port}",
            # No Endpoints may lie on the loopback, and nobody here reaches the API by the Service `kubernetes`.
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            "--authorization-mode=RBAC",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            f"--authentication-token-webhook-config-file={self.folder / 'reviewer.yaml'}",
            "--authentication-token-webhook-version=v1",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self._accounts_key}",
            f"--service-account-signing-key-file={self._accounts_key}",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--kubelet-preferred-address-types=Hostname",
            f"--audit-policy-file={self.folder / 'audit.yaml'}",
            f"--audit-log-path={self.audit_log}",
            "--audit-log-mode=blocking",  # a test may read a line as soon as it has the answer
            "--profiling=false",
        ]

    def _controller_flags(self) -> list[str]:
        return [
            f"--service-account-private-key-file={self._accounts_key}",
            f"--root-ca-file={self.certificate[0]}",
            "--secure-port=0",
            # A machine under test stalls; a late report of a node belongs to no story unless a test tells it.
            "--node-monitor-period=1s",
            "--node-monitor-grace-period=1h",
            "--horizontal-pod-autoscaler-sync-period=2s",
            "--horizontal-pod-autoscaler-downscale-stabilization=2s",
            "--horizontal-pod-autoscaler-cpu-initialization-period=1s",
            "--horizontal-pod-autoscaler-initial-readiness-delay=1s",
        ]

    def _scheduler_flags(self) -> list[str]:
        return ["--secure-port=0", "--authentication-skip-lookup=true"]


def metrics_service(port: int) -> list[dict[str, Any]]:
    """metrics.k8s.io, answered by the nodes' door: only an ExternalName may lead to the loopback."""
    place = {"name": "metrics-server", "namespace": "kube-system"}
    leads_to = {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]}
    spec = {
        "group": "metrics.k8s.io",
        "version": "v1beta1",
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
        "insecureSkipTLSVerify": True,
        "service": {**place, "port": port},
    }
    meta = {"name": "v1beta1.metrics.k8s.io"}
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": place, "spec": leads_to},
        {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": meta, "spec": spec},
    ]


def kubeconfig(user: str, cluster: Mapping[str, Any], credentials: Mapping[str, Any]) -> str:
    """The text of a kubeconfig with one cluster, one user and one context."""
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": dict(cluster)}],
            "users": [{"name": user, "user": dict(credentials)}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": user, "namespace": "default"}}],
        }
    )


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, from its first byte on."""
    path.touch(mode=0o600)
    path.write_text(text)
