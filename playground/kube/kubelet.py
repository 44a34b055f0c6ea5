"""The HTTPS door of the simulated nodes: what the API server asks a kubelet, a metrics server and a token reviewer.

One server plays all three, because each answers two or three questions:

* `GET /containerLogs/{namespace}/{pod}/{container}` — what `pods/log` becomes, with
  `previous`, `tailLines`, `follow` and the rest;
* `GET /apis/metrics.k8s.io/v1beta1/…` — usage of pods and nodes, reached through the API server's aggregation;
* `POST /token` — a TokenReview: who a made-up person of a test is.
"""

from __future__ import annotations

import json
import re
import ssl
import threading
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol

from playground.kube.behaviour import Life, stamp

METRICS = "/apis/metrics.k8s.io/v1beta1"


class Knows(Protocol):
    """What the door asks the nodes."""

    def life(self, namespace: str, pod: str, container: str, previous: bool) -> Life | None: ...

    def pod_metrics(self, namespace: str | None) -> list[dict[str, Any]]: ...

    def node_metrics(self) -> list[dict[str, Any]]: ...


class Kubelet:
    """The door, open from `start` to `close`. `people`: token → user name and groups; it may grow at any time."""

    def __init__(
        self, knows: Knows, port: int, certificate: Path, key: Path, people: Mapping[str, tuple[str, tuple[str, ...]]]
    ) -> None:
        handler = type("Handler", (_Handler,), {"knows": knows, "people": people})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        # The handshake happens in the connection's own thread, so that a client that never begins it blocks nobody.
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="kubelet", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30
    knows: Knows
    people: Mapping[str, tuple[str, tuple[str, ...]]]

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent: the API server's log and audit tell what was asked."""

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        wanted = {key: values[0] for key, values in urllib.parse.parse_qs(query).items()}
        if found := re.fullmatch(r"/containerLogs/([^/]+)/([^/]+)/([^/]+)", path):
            self._logs(found[1], found[2], found[3], wanted)
        elif path.startswith(METRICS):
            self._metrics(path.removeprefix(METRICS), wanted)
        else:
            self._send(404, b"not found", "text/plain")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        known = self.people.get(body["spec"].get("token", ""))
        user = {"username": known[0], "groups": [*known[1], "system:authenticated"]} if known else {}
        self._json(200, {**body, "status": {"authenticated": known is not None, "user": user}})

    def _logs(self, namespace: str, pod: str, container: str, wanted: Mapping[str, str]) -> None:
        life = self.knows.life(namespace, pod, container, wanted.get("previous") == "true")
        if life is None:
            which = "previous terminated " if wanted.get("previous") == "true" else ""
            self._send(400, f'{which}container "{container}" in pod "{pod}" not found'.encode(), "text/plain")
            return
        if wanted.get("follow") != "true":
            text = "".join(_lines(life, wanted, 0))
            limit = int(wanted.get("limitBytes", 0)) or None
            self._send(200, text.encode()[:limit], "text/plain")
            return
        self._follow(life, wanted)

    def _follow(self, life: Life, wanted: Mapping[str, str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        sent = 0
        while True:
            is_over, count = life.ended_at is not None, len(life.lines)
            for line in _lines(life, wanted if sent == 0 else {}, sent):
                data = line.encode()
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            sent = count
            if is_over:
                break
            time.sleep(0.1)
        self.wfile.write(b"0\r\n\r\n")

    def _metrics(self, rest: str, wanted: Mapping[str, str]) -> None:
        version = {"apiVersion": "metrics.k8s.io/v1beta1"}
        if rest == "":
            names = [("nodes", False, "NodeMetrics"), ("pods", True, "PodMetrics")]
            resources = [
                {"name": n, "singularName": "", "namespaced": s, "kind": k, "verbs": ["get", "list"]}
                for n, s, k in names
            ]
            self._json(
                200,
                {
                    "kind": "APIResourceList",
                    "apiVersion": "v1",
                    "groupVersion": "metrics.k8s.io/v1beta1",
                    "resources": resources,
                },
            )
            return
        found = re.fullmatch(r"(?:/namespaces/([^/]+))?/(pods|nodes)(?:/([^/]+))?", rest)
        if found is None:
            self._send(404, b"not found", "text/plain")
            return
        namespace, plural, name = found.groups()
        items = self.knows.node_metrics() if plural == "nodes" else self.knows.pod_metrics(namespace)
        if name:
            one = next((item for item in items if item["metadata"]["name"] == name), None)
            status = {
                "kind": "Status",
                "apiVersion": "v1",
                "status": "Failure",
                "reason": "NotFound",
                "code": 404,
                "message": f'{plural} "{name}" not found',
            }
            self._json(200 if one else 404, one or status)
            return
        chosen = [
            item for item in items if _is_selected(item["metadata"].get("labels", {}), wanted.get("labelSelector", ""))
        ]
        kind = "NodeMetricsList" if plural == "nodes" else "PodMetricsList"
        self._json(200, {**version, "kind": kind, "metadata": {}, "items": chosen})

    def _json(self, status: int, body: Any) -> None:
        self._send(status, json.dumps(body).encode(), "application/json")

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _lines(life: Life, wanted: Mapping[str, str], skip: int) -> Iterator[str]:
    """The lines from number `skip` on that the query asks for, as the kubelet writes them."""
    lines = list(life.lines[skip:])
    since = time.time() - float(wanted["sinceSeconds"]) if "sinceSeconds" in wanted else None
    if "sinceTime" in wanted:
        since = datetime.fromisoformat(wanted["sinceTime"]).timestamp()
    if since is not None:
        lines = [(at, line) for at, line in lines if at >= since]
    if "tailLines" in wanted:
        lines = lines[len(lines) - min(len(lines), int(wanted["tailLines"])) :]
    for at, line in lines:
        yield f"{_precise(at)} {line}\n" if wanted.get("timestamps") == "true" else f"{line}\n"


def _precise(at: float) -> str:
    return datetime.fromtimestamp(at, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")


def _is_selected(labels: Mapping[str, str], selector: str) -> bool:
    """Equality-based selectors, and the set-based `in` that an autoscaler sends."""
    for part in re.split(r",(?![^(]*\))", selector):
        if not part:
            continue
        if found := re.fullmatch(r"(\S+) in \(([^)]*)\)", part):
            if labels.get(found[1]) not in found[2].split(","):
                return False
        else:
            key, _, value = part.replace("==", "=").partition("=")
            if labels.get(key) != value:
                return False
    return True


def metrics_of(
    kind: str, name: str, namespace: str | None, labels: Mapping[str, str], rest: Mapping[str, Any]
) -> dict[str, Any]:
    """One PodMetrics or NodeMetrics object, measured now."""
    meta = {"name": name, "labels": dict(labels)} | ({"namespace": namespace} if namespace else {})
    return {
        "kind": kind,
        "apiVersion": "metrics.k8s.io/v1beta1",
        "metadata": meta,
        "timestamp": stamp(time.time()),
        "window": "15s",
        **rest,
    }
