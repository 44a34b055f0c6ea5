"""The ground that trials are played on: a local Slack, a database, and the production program in processes of its own.

The runner posts alerts as Alertmanager would (again and again until it hears 200), notes what it was promised, and
never looks into the bot's database: what counts is what stands in the recipients' conversations.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from bot.slack.manifest import manifest
from playground.slack import Workspace, user_id
from playground.slack.state import TEAM_ID
from playground.system.processes import free_port

ROOT = Path(__file__).resolve().parents[2]
START_S = 40.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How many pages, and when. One page for each incident, level and target."""

    incidents: int = 100
    levels: int = 5
    targets: int = 2  # of one level
    systems: int = 20  # each with people of its own: Slack takes one message per second and conversation
    over_s: float = 40.0  # the alerts come within this
    first_after_s: int = 2  # from the opening to the first level
    gap_s: int = 2  # from level to level

    @property
    def pages(self) -> int:
        """How many pages are owed."""
        return self.incidents * self.levels * self.targets

    @property
    def ladder_s(self) -> float:
        """From an incident's opening until its last level is due."""
        return self.first_after_s + self.gap_s * (self.levels - 1)

    def after_s(self, level: int) -> float:
        """When a level is due, from the opening."""
        return self.first_after_s + self.gap_s * (level - 1)

    def person(self, system: int, level: int, target: int) -> str:
        """Key of a person. Each is on one level of one system."""
        return f"p{system:02d}x{level}x{target}"


@dataclass(slots=True, kw_only=True)
class Posted:
    """What the runner knows of one alert, on the workspace's clock."""

    number: int
    first_sent_at: float
    answered_at: float = 0.0  # 200 was heard; 0 for never


@dataclass(slots=True, kw_only=True)
class Life:
    """One process of the bot, from start to end."""

    began_at: float
    ended_at: float = 0.0
    how: str = ""


@dataclass(slots=True)
class Replica:
    """One place where a serving process runs, one life after the other."""

    name: str
    port: int
    folder: Path
    environment: dict[str, str]
    clock: Callable[[], float]
    lives: list[Life] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    program: tuple[str, ...] = ()  # another program than the bot

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def start(self, *, mark: str = "", plant: str = "", wait: bool = True) -> None:
        """Start `mlops-bot serve`. With a mark or a plant a wrapper of ours changes it from outside first."""
        command = [sys.executable, "-m", "bot", "serve", "--log-level", "warning"]
        if self.program:
            command = [sys.executable, *self.program]
        elif mark or plant or "LD_PRELOAD" in self.environment:
            command = [sys.executable, "-m", "tests.faults.wrapped", "--mark", mark, "--plant", plant]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, cwd=ROOT)
        self.lives.append(Life(began_at=self.clock()))
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self, within_s: float = START_S) -> bool:
        """True when it is ready, False when it ended before."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if not self.is_alive():
                return False
            if self.answers("/readyz"):
                return True
            time.sleep(0.03)
        raise AssertionError(f"{self.name} did not become ready within {within_s} s:\n{self.tail()}")

    def answers(self, path: str) -> bool:
        try:
            with urllib.request.urlopen(self.url + path, timeout=2) as answer:
                return int(answer.status) == 200
        except (urllib.error.URLError, OSError, http.client.HTTPException):
            return False

    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> bool:
        """kill -9. False when it was dead already."""
        if self.process is None:
            return False
        was_alive = self.is_alive()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(timeout=20)
        self.ended("killed")
        return was_alive

    def stop(self) -> None:
        """Ask it to stop, and wait."""
        if self.process is None or not self.is_alive():
            return
        self.process.terminate()
        try:
            self.process.wait(timeout=25)
        except subprocess.TimeoutExpired:
            self.kill()
        self.ended("stopped")

    def freeze(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGSTOP)

    def is_stopped(self) -> bool:
        """True while the kernel holds it stopped."""
        if self.process is None or not self.is_alive():
            return False
        try:
            return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        except OSError:
            return False

    def thaw(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)

    def ended(self, how: str) -> None:
        life = self.lives[-1]
        if not life.ended_at:
            life.ended_at, life.how = self.clock(), how

    def tail(self, lines: int = 30) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""


class Ground:
    """A context manager. Posting runs in threads; everything else is called by one."""

    def __init__(
        self, load: Load, database_url: str, *, replicas: int = 1, seed: int = 1, limits: str = "soft",
        environment: Mapping[str, str] | None = None, folder: Path | None = None,
    ) -> None:  # fmt: skip
        self.load = load
        self.database_url = database_url
        self.chance = random.Random(seed)
        self.folder = folder or Path(tempfile.mkdtemp(prefix="mlops-faults-"))
        self.webhook_token = secrets.token_hex(8)
        self._secret_key = secrets.token_hex(16)
        people = [load.person(s, n, t) for s in range(load.systems) for n in self._levels() for t in self._targets()]
        self.workspace = Workspace(
            manifest=manifest(socket_mode=False, public_url="http://127.0.0.1:9"), people=people,
            channels={f"sys-{s:02d}": ["bot"] for s in range(load.systems)}, limits=limits, fails_on_exit=False,
        )  # fmt: skip
        self.now = self.workspace.clock.now
        self._extra = dict(environment or {})
        self.posted: list[Posted] = []
        self.crashes = 0
        self.frozen = 0
        self.pretended_s = 0.0  # how far the bot's machine is from the true time
        self._posting: list[threading.Thread] = []
        self._closing = threading.Event()
        self.replicas: list[Replica] = []
        self._wanted = replicas

    def _levels(self) -> range:
        return range(1, self.load.levels + 1)

    def _targets(self) -> range:
        return range(self.load.targets)

    def __enter__(self) -> Self:
        self.workspace.start()
        self._write_configuration()
        for number in range(self._wanted):
            port = free_port()
            self.replicas.append(Replica(f"replica-{number}", port, self.folder, self._environment(port), self.now))
        first = self.replicas[0]
        migrated = subprocess.run(
            [sys.executable, "-m", "bot", "migrate"], env=first.environment | {"LD_PRELOAD": ""}, capture_output=True,
            text=True, timeout=60, check=False, cwd=ROOT,
        )  # fmt: skip
        if migrated.returncode != 0:
            raise AssertionError(f"mlops-bot migrate failed: {migrated.stderr}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        for replica in self.replicas:
            replica.thaw()
            replica.kill()
        for thread in self._posting:
            thread.join(timeout=20)
        self.workspace.stop()
        if kind is None and not os.environ.get("FAULTS_KEEP"):
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            print(f"# logs are kept in {self.folder}", file=sys.stderr)

    # alerts

    def post_alerts(self, over_s: float | None = None, count: int | None = None) -> None:
        """Begin to post the load's alerts, spread evenly; returns at once."""
        span = self.load.over_s if over_s is None else over_s
        total = self.load.incidents if count is None else count
        start, first = time.monotonic(), len(self.posted)
        numbers = list(range(first, first + total))
        hands = 4
        moments = [start + span * place / max(total, 1) for place in range(total)]
        for number in numbers:
            self.posted.append(Posted(number=number, first_sent_at=0.0))
        for hand in range(hands):
            mine = [(numbers[place], moments[place]) for place in range(hand, total, hands)]
            thread = threading.Thread(target=self._post_some, args=(mine,), daemon=True)
            thread.start()
            self._posting.append(thread)

    def wait_until_posted(self, within_s: float) -> None:
        """Return when every alert was answered with 200."""
        deadline = time.monotonic() + within_s
        for thread in self._posting:
            thread.join(timeout=max(deadline - time.monotonic(), 0.1))
        open_ones = [one.number for one in self.posted if not one.answered_at]
        if open_ones:
            raise AssertionError(f"alerts {open_ones[:10]} were not answered within {within_s} s")

    def _post_some(self, mine: Sequence[tuple[int, float]]) -> None:
        for number, moment in mine:
            if self._closing.wait(max(moment - time.monotonic(), 0)):
                return
            self._post_until_answered(self.posted[number])

    def _post_until_answered(self, one: Posted) -> None:
        """As Alertmanager: 5xx, no connection and no answer mean again."""
        body = json.dumps(self._webhook(one.number)).encode()
        one.first_sent_at = self.now()
        turn = one.number
        while not self._closing.is_set():
            replica = self.replicas[turn % len(self.replicas)]
            turn += 1
            request = urllib.request.Request(f"{replica.url}/webhooks/alertmanager", data=body, method="POST")
            request.add_header("Authorization", f"Bearer {self.webhook_token}")
            try:
                with urllib.request.urlopen(request, timeout=8) as answer:
                    answer.read()
                one.answered_at = self.now()
                return
            except urllib.error.HTTPError as problem:
                problem.close()
                if problem.code < 500:
                    raise AssertionError(f"the webhook was refused: {problem.code}") from None
            except (urllib.error.URLError, OSError, http.client.HTTPException):
                pass
            self._closing.wait(0.1)

    def _webhook(self, number: int) -> dict[str, Any]:
        system = f"sys-{number % self.load.systems:02d}"
        name = f"Trial-{number:05d}"
        labels = {"alertname": name, "system": system, "severity": "critical"}
        starts_at = datetime.now(UTC) + timedelta(seconds=self.pretended_s)
        alert = {
            "status": "firing", "labels": labels, "annotations": {"summary": f"alert {name}"},
            "startsAt": starts_at.isoformat(), "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "",
            "fingerprint": f"{number:016x}",
        }  # fmt: skip
        return {
            "version": "4", "groupKey": f'{{}}:{{alertname="{name}"}}', "truncatedAlerts": 0, "status": "firing",
            "receiver": "mlops-bot", "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {},
            "externalURL": "", "alerts": [alert],
        }  # fmt: skip

    # configuration

    def _write_configuration(self) -> None:
        load = self.load
        keys = [load.person(s, n, t) for s in range(load.systems) for n in self._levels() for t in self._targets()]
        people = {key: {"user_id": user_id(key), "name": key, "roles": ["engineer", "senior"]} for key in keys}
        config = {
            "slack": {"mode": "http", "team_id": TEAM_ID},
            "runbooks": str(self.folder / "runbooks"),
            "people": people,
            "defaults": {"channel": "#sys-00", "oncall": [keys[0]]},
        }
        (self.folder / "mlops.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        for system in range(load.systems):
            self._write_profile(f"sys-{system:02d}", system)

    def _write_profile(self, name: str, system: int) -> None:
        load = self.load
        levels = [
            {"after": f"{load.after_s(n):.0f}s",
             "to": [f"person:{load.person(system, n, t)}" for t in self._targets()]}
            for n in self._levels()
        ]  # fmt: skip
        profile = {
            "title": name, "channel": f"#{name}", "catch_all": [f"channel:#{name}"],
            "oncall": [load.person(system, 1, 0)],
            "severity": [
                {"name": "all", "severity": "P0", "because": "it is a trial", "match": {"severity": ["critical"]}}
            ],
            "escalation": {"P0": levels, "repeat_every": "24h"},
        }  # fmt: skip
        folder = self.folder / "runbooks" / name
        folder.mkdir(parents=True)
        (folder / "system.yaml").write_text(yaml.safe_dump(profile, sort_keys=False))

    def _environment(self, port: int) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLACK_", "MLOPS_"))}
        path = self.folder / f"mlops-{port}.yaml"
        config = yaml.safe_load((self.folder / "mlops.yaml").read_text())
        path.write_text(yaml.safe_dump({**config, "http": {"listen": f"127.0.0.1:{port}"}}, sort_keys=False))
        return {
            **kept, **self.workspace.environment, "MLOPS_CONFIG": str(path), "MLOPS_DATABASE_URL": self.database_url,
            "MLOPS_WEBHOOK_TOKEN": self.webhook_token, "MLOPS_SECRET_KEY": self._secret_key,
            "PYTHONDONTWRITEBYTECODE": "", "PYTHONUNBUFFERED": "1", "NO_PROXY": "127.0.0.1", **self._extra,
        }  # fmt: skip

    def tail(self) -> str:
        """The end of each replica's log."""
        return "\n".join(f"--- {replica.name}\n{replica.tail()}" for replica in self.replicas)
