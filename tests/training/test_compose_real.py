"""A real Docker engine, started by the test: trainings as one-off containers, restarts, and its death in the middle.

No image is fetched: one is made of this machine's shell and the libraries it needs.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import os
import re
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.model import Outcome
from bot.policy.training import TrainingProfile
from bot.ports import Foreign
from handlers.backends._engine import Engine
from handlers.backends.compose import BACKEND, Compose
from playground import parts
from playground.system.processes import Part, Parts, wait_until
from tests.training.drive import Driver

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.geteuid() != 0, reason="a Docker engine is started as root"),
]
LABELS = {
    "com.docker.compose.project": "shop", "com.docker.compose.service": "trainer",
    "com.docker.compose.oneoff": "False", "com.docker.compose.container-number": "1",
}  # fmt: skip
PROGRAMS = ("sh", "sleep", "cat", "tail", "head", "test")


class Daemon:
    """A dockerd in a folder of its own."""

    def __init__(self) -> None:
        parts.install(["dockerd"])
        self.folder = Path(tempfile.mkdtemp(prefix="mlops-dd-"))
        self._parts = Parts(self.folder)
        self.url = f"unix://{self.folder / 's'}"
        self.engine = Engine(self.url)
        self._part: Part | None = None

    def start(self) -> None:
        """Up when it answers. No bridge, no firewall rules: nothing of this machine is changed."""
        command = [str(parts.need("dockerd")), "--host", self.url, "--data-root", str(self.folder / "data")]
        command += ["--exec-root", str(self.folder / "exec"), "--pidfile", str(self.folder / "pid")]
        command += ["--bridge=none", "--iptables=false", "--storage-driver=vfs"]
        self._part = self._parts.start("dockerd", command)
        wait_until(self._answers, what="the engine answers", timeout_seconds=60)

    def kill(self) -> None:
        """kill -9, as a power cut would."""
        assert self._part is not None
        os.kill(self._part.pid, signal.SIGKILL)
        self._part.process.wait()
        # Its containerd died with it. Where nobody reaps the dead, a daemon would wait for that pid for ever.
        for name in ("pid", "exec/containerd/containerd.pid"):
            (self.folder / name).unlink(missing_ok=True)

    def close(self) -> None:
        """End it, every container, what kept them, and what they mounted. All of it names our folder."""
        if self._answers():
            for one in self.call("GET", "/containers/json", query={"all": "1"}).data:
                self.call("DELETE", f"/containers/{one['Id']}", query={"force": "1"})
        self._parts.close()
        for line in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if str(self.folder).encode() in line.read_bytes():
                    os.kill(int(line.parent.name), signal.SIGKILL)
        mounted = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
        for place in sorted((one for one in mounted if one.startswith(str(self.folder))), reverse=True):
            subprocess.run(["umount", "-l", place], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def call(self, method: str, path: str, **more: Any) -> Any:
        """A call past the backend."""
        return self.engine.call(method, path, 30, **more)[0]

    def _answers(self) -> bool:
        try:
            return bool(self.engine.call("GET", "/_ping", 3)[0].status == 200)
        except Foreign:
            return False

    def import_image(self) -> None:
        """`trainer:base`, made of this machine's shell."""
        connection = http.client.HTTPConnection("engine", timeout=60)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self.folder / "s"))
        head = {"Content-Type": "application/x-tar"}
        connection.request("POST", "/images/create?fromSrc=-&repo=trainer&tag=base", _root_file_system(), head)
        answer = connection.getresponse().read()
        connection.close()
        assert b"sha256:" in answer, answer

    def compose_up(self, *words: str) -> str:
        """What `docker compose create trainer` leaves behind."""
        body = {
            "Image": "trainer:base",
            "Cmd": list(words),
            "Labels": LABELS,
            "HostConfig": {"NetworkMode": "none", "Memory": 32 * 1024 * 1024, "MemorySwap": 32 * 1024 * 1024},
        }
        made = self.call("POST", "/containers/create", query={"name": "shop-trainer-1"}, body=body)
        assert made.status == 201, made.data
        return str(made.data["Id"])


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    one = Daemon()
    try:
        one.start()
        one.import_image()
        one.compose_up("/bin/sh", "-c", "echo from the service; sleep 300")
        yield one
    finally:
        one.close()


@pytest.fixture
def compose(daemon: Daemon) -> Compose:
    return BACKEND.build({"url": daemon.url, "project": "shop"})


def driver(compose: Compose, script: str) -> Driver:
    words = ("/bin/sh", "-c", script) if script else ()
    return Driver(
        TrainingProfile(name="nightly", backend="engine", service="trainer", command=words), {"engine": compose}
    )


def test_a_one_off_is_followed_to_its_good_end(daemon: Daemon, compose: Compose) -> None:
    one = driver(compose, "echo epoch 1; sleep 2; echo epoch 2")
    draft = one.drawn()
    assert one.fingerprint() == draft.fingerprint
    one.follow(until=lambda seen: "so far: epoch 1" in seen.detail)
    assert "runs already (mlops-nightly-" in driver(compose, "").refused()
    [mine] = [one for one in _all(daemon) if "mlops-bot.run" in one["Labels"]]
    key = mine["Names"][0].lstrip("/")
    assert one.follow().outcome is Outcome.DONE
    compose.start(one.training, key, {}, "again")
    [mine] = [one for one in _all(daemon) if "mlops-bot.run" in one["Labels"]]
    assert mine["State"] == "exited", "a run that has ended is not started again"


@pytest.mark.parametrize(
    "script, words",
    [
        ("echo 'too few labels: 12 of 200' >&2; exit 3", "too few labels (exit code 3)"),
        ("echo eating; tail /dev/zero; exit $?", "memory (exit code 137)"),
        ("exit 1", "the training program broke (exit code 1)"),
    ],
)
def test_a_failed_one_off_is_classified(compose: Compose, script: str, words: str) -> None:
    one = driver(compose, script)
    one.drawn(plan_id=f"PLN-{abs(hash(script)) % 1000}")
    seen = one.follow(within_s=60)
    assert seen.outcome is Outcome.FAILED
    assert words in seen.detail


def test_a_program_that_is_not_there_is_told_in_the_engines_words(compose: Compose) -> None:
    training = TrainingProfile(name="n", backend="engine", service="trainer", command=("/bin/nosuch",))
    one = Driver(training, {"engine": compose})
    one.drawn()
    with pytest.raises(Foreign) as raised:
        one.perform()
    assert raised.value.happened is False or one.observe().outcome is Outcome.NOT_YET
    assert "/bin/nosuch" in raised.value.sentence


def test_a_service_is_restarted(daemon: Daemon, compose: Compose) -> None:
    [one] = compose.containers("trainer")
    assert (one.state, one.started_at) == ("created", None)
    daemon.call("POST", f"/containers/{one.id}/start")
    [before] = compose.containers("trainer")
    assert "runs already (shop-trainer-1)" in driver(compose, "").refused()
    compose.restart("trainer")
    [after] = compose.containers("trainer")
    assert (after.state, after.id) == ("running", before.id)
    assert before.started_at is not None
    assert after.started_at is not None
    assert after.started_at > before.started_at
    daemon.call("POST", f"/containers/{one.id}/stop", query={"t": "0"})


def test_the_engine_dies_in_the_middle(daemon: Daemon, compose: Compose) -> None:
    """The engine is killed while a run is followed. That is said; the run is not started a second time."""
    one = driver(compose, "echo epoch 1; sleep 4; echo epoch 2")
    one.drawn(plan_id="PLN-kill")
    one.follow(until=lambda seen: "epoch 1" in seen.detail)
    daemon.kill()
    assert "cannot be reached" in one.perform().detail
    daemon.start()
    seen = one.follow(within_s=60)
    assert seen.outcome in (Outcome.DONE, Outcome.FAILED), seen
    runs = [found for found in _all(daemon) if found["Labels"].get("mlops-bot.note", "").startswith("plan PLN-kill")]
    assert len(runs) == 1


def _all(daemon: Daemon) -> list[dict[str, Any]]:
    return list(daemon.call("GET", "/containers/json", query={"all": "1"}).data)


def _root_file_system() -> bytes:
    """A tar of a few programs and what the dynamic linker loads for them."""
    files: set[Path] = set()
    for name in PROGRAMS:
        found = shutil.which(name, path="/bin:/usr/bin")
        assert found is not None
        files.add(Path(found))
        told = subprocess.run(["ldd", found], capture_output=True, text=True, check=True).stdout
        files |= {Path(path) for path in re.findall(r"(/\S+)", told)}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for path in sorted(files):
            target = f"bin/{path.name}" if path.parent.name == "bin" else str(path).lstrip("/")
            tar.add(path.resolve(), arcname=target)
        for folder in ("tmp", "proc", "sys", "dev", "etc"):
            made = tarfile.TarInfo(folder)
            made.type, made.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(made)
    return out.getvalue()
