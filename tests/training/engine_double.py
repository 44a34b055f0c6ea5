"""A Docker engine on a socket, as strict as the real one: shapes and refusals recorded from 20.10.24 (API 1.41)."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

IMAGE = "sha256:589775ce7b91828ae5b1fdc997d1be53e10fce5c95e5ceb7c1e06dd6ff0d5dee"
NEVER = "0001-01-01T00:00:00Z"
STARTED, FINISHED = "2026-11-21T06:53:26.679036887Z", "2026-11-21T06:53:46.683423059Z"
LABELS = {
    "com.docker.compose.project": "shop", "com.docker.compose.service": "trainer",
    "com.docker.compose.oneoff": "False", "com.docker.compose.container-number": "1",
    "com.docker.compose.config-hash": "c0ffee0123456789",
}  # fmt: skip


def container(name: str, **state: Any) -> dict[str, Any]:
    """As the engine inspects one that compose made."""
    return {
        "Id": f"id-{name}", "Name": f"/{name}", "Image": IMAGE,
        "State": {
            "Status": "exited", "OOMKilled": False, "ExitCode": 0, "Error": "", "StartedAt": STARTED,
            "FinishedAt": FINISHED, **state,
        },
        "Config": {
            "Hostname": "9540a08b0714", "Env": ["TOKEN=hunter2-secret"], "Cmd": ["python", "train.py"], "Tty": False,
            "Image": "trainer:base", "Volumes": None, "WorkingDir": "/app", "Entrypoint": None, "Labels": dict(LABELS),
        },
        "HostConfig": {
            "Binds": ["/srv/data:/data:rw"], "NetworkMode": "shop_default", "Memory": 536870912, "AutoRemove": False,
            "PortBindings": {"8000/tcp": [{"HostIp": "", "HostPort": "8000"}]},
            "RestartPolicy": {"Name": "always", "MaximumRetryCount": 0},
        },
        "NetworkSettings": {"Networks": {"shop_default": {"NetworkID": "n1"}, "shop_data": {"NetworkID": "n2"}}},
    }  # fmt: skip


@dataclass
class Double:
    """State of the engine, for the test to set and to look at."""

    path: Path
    containers: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {"shop-trainer-1": container("shop-trainer-1")}
    )
    image: str = IMAGE  # what trainer:base is now; "" for none
    log: bytes = b""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    joined: list[tuple[str, str]] = field(default_factory=list)
    starts: int = 0
    lose_answer_to: str = ""  # the next call with this in its path is carried out and its answer lost
    refuse_start: str = ""

    @property
    def url(self) -> str:
        """Its address as a profile writes it."""
        return f"unix://{self.path}"

    def set(self, key: str, **state: Any) -> None:
        """A container goes on."""
        self.containers[key]["State"].update(state)


def framed(text: str, stream: int = 1) -> bytes:
    """A piece of a log as the engine sends it."""
    raw = text.encode()
    return bytes([stream, 0, 0, 0]) + len(raw).to_bytes(4, "big") + raw


@contextmanager
def engine(folder: Path) -> Iterator[Double]:
    """A running double on a socket in that folder."""
    state = Double(path=folder / "e.sock")
    server = ThreadingUnixStreamServer(str(state.path), type("Bound", (_Handler,), {"state": state}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    state: Double
    protocol_version = "HTTP/1.1"

    def address_string(self) -> str:
        return "socket"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        state = self.state
        length = int(self.headers.get("Content-Length") or 0)
        sent = json.loads(self.rfile.read(length)) if length else None
        parts = urlsplit(self.path)
        state.asked.append(f"{self.command} {parts.path}")
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        path = [unquote(part) for part in parts.path.strip("/").split("/")]
        status, body = self._route(path, query, sent)
        self.close_connection = True
        if state.lose_answer_to and state.lose_answer_to in self.path:
            state.lose_answer_to = ""
            return
        payload = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Connection", "close")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def _route(self, path: list[str], query: dict[str, str], sent: Any) -> tuple[int, Any]:
        state = self.state
        match (self.command, *path):
            case ("GET", "version"):
                return 200, {"Version": "20.10.24+dfsg1", "ApiVersion": "1.41"}
            case ("GET", "containers", "json"):
                wanted = dict(label.split("=", 1) for label in json.loads(query["filters"])["label"])
                assert query["all"] == "1"
                found = [one for one in state.containers.values() if wanted.items() <= one["Config"]["Labels"].items()]
                return 200, [{"Id": one["Id"], "State": one["State"]["Status"]} for one in found]
            case ("GET", "images", "trainer:base", "json"):
                return (200, {"Id": state.image}) if state.image else (404, {"message": "No such image: trainer:base"})
            case ("POST", "containers", "create"):
                return self._create(query["name"], sent)
            case ("POST", "networks", name, "connect"):
                state.joined.append((name, sent["Container"]))
                return 200, None
            case (_, "containers", name, *rest):
                return self._container(name, rest)
        return 404, {"message": "page not found"}

    def _create(self, name: str, sent: Any) -> tuple[int, Any]:
        state = self.state
        if name in state.containers:
            return 409, {"message": f'Conflict. The container name "/{name}" is already in use by container "x".'}
        if len(sent["NetworkingConfig"]["EndpointsConfig"]) > 1:
            return 400, {"message": "Container cannot be connected to network endpoints: a, b"}
        if sent["Image"] != "trainer:base":
            return 404, {"message": f"No such image: {sent['Image']}"}
        state.bodies.append(sent)
        made = container(name, Status="created", StartedAt=NEVER, FinishedAt=NEVER)
        made["Config"] |= {"Labels": sent["Labels"], "Cmd": sent["Cmd"]}
        state.containers[name] = made
        return 201, {"Id": made["Id"], "Warnings": []}

    def _container(self, name: str, rest: list[str]) -> tuple[int, Any]:
        state = self.state
        one = next((one for one in state.containers.values() if name in (one["Id"], one["Name"][1:])), None)
        if one is None:
            return 404, {"message": f"No such container: {name}"}
        match (self.command, *rest):
            case ("GET", "json"):
                return 200, one
            case ("GET", "logs"):
                return 200, state.log
            case ("POST", "start"):
                if state.refuse_start:
                    return 400, {"message": state.refuse_start}
                if one["State"]["Status"] == "running":
                    return 304, None
                state.starts += 1  # one that has ended runs a second time, and the engine says nothing
                one["State"] |= {"Status": "running", "StartedAt": STARTED, "FinishedAt": NEVER}
                return 204, None
            case ("POST", "restart"):
                one["State"] |= {"Status": "running", "StartedAt": "2026-11-21T07:00:00.5Z", "FinishedAt": FINISHED}
                return 204, None
        return 404, {"message": "page not found"}
