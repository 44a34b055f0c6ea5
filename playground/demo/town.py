"""The whole town: a local Slack workspace, a real ML system with its monitoring, and the bot that serves them.

The bot is the production program in a process of its own, told by environment variables where everything is. Only its
configuration is written here.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import yaml

from bot.desk.verbs import load as load_verbs
from bot.registry import load
from bot.slack.manifest import COMMAND, manifest
from playground.slack import Human, Workspace, user_id
from playground.slack.state import TEAM_ID
from playground.system.monitoring import MonitoringPrograms, Pace, Webhook
from playground.system.processes import free_port
from playground.system.stack import Stack

CHANNEL = "ml-incidents"
RUNBOOKS = Path(__file__).resolve().parent.parent / "runbooks"
# Key → name, title, roles. Oscar is in the workspace but not in the bot's configuration: an outsider.
PEOPLE: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "alice": ("Alice Moreau", "On call", ("oncall", "engineer")),
    "bob": ("Bob Osei", "Second engineer", ("engineer", "senior")),
    "carol": ("Carol Tanaka", "Manager", ("manager",)),
    "dana": ("Dana Silva", "Director", ("director",)),
    "oscar": ("Oscar Lund", "Outsider", ()),
}
START_TIMEOUT_S = 30.0
PROVEN_S = 9.0  # the profile asks for six seconds; the first measurements come a little later


def _verbs() -> list[dict[str, Any]]:
    """What people can say to the bot, for the completion on the page: what acts comes first."""
    spoken = [one.verb for one in load_verbs().values()]
    return [{"usage": one.usage, "about": one.summary} for one in (*load().actions.values(), *spoken)]


def _rotation() -> dict[str, Any]:
    """Alice has it for the next six days, whenever the demo is played; then Bob. So there is one to stand in for."""
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    layer = {"name": "week", "people": ["alice", "bob"], "starts_on": yesterday, "every": "7d"}
    return {"demo": {"zone": "UTC", "layers": [layer]}}


class Town:
    """Everything, started and stopped together. A context manager; not safe to use from several threads."""

    def __init__(
        self, *, minute: str = "60s", page_port: int = 0, slack_mode: str = "socket", database_url: str = "",
        metrics: MonitoringPrograms | Literal["find"] | None = "find", cache_dir: Path | None = None,
        with_system: bool = True, limits: str = "soft", group_interval: str = "5s", python: str = sys.executable,
        runbooks: Path = RUNBOOKS, addresses: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.folder = Path(tempfile.mkdtemp(prefix="mlops-demo-"))
        self.minute = minute
        self.python = python  # whose `bot` is started
        self.slack_mode = slack_mode
        self.runbooks = runbooks
        self.addresses = dict(addresses or {})  # what other profiles than the playground's take from the environment
        self.database_url = database_url or f"sqlite:///{self.folder / 'mlops.db'}"
        self.webhook_token = secrets.token_hex(16)
        self.secret_key = secrets.token_hex(32)
        self.port = free_port()
        people = [{"name": key, "real_name": name, "title": title} for key, (name, title, _) in PEOPLE.items()]
        members = [key for key in PEOPLE if key != "oscar"]
        self.workspace = Workspace(
            manifest=manifest(socket_mode=slack_mode == "socket", public_url=self.url), people=people,
            channels={"general": None, CHANNEL: [*members, "bot"]}, port=page_port, limits=limits, fails_on_exit=False,
            request_url=f"{self.url}/slack/events" if slack_mode == "http" else None,
        )  # fmt: skip
        self.stack: Stack | None = None
        if with_system:
            hook = Webhook(url=f"{self.url}/webhooks/alertmanager", token=self.webhook_token)
            pace = Pace(group_interval=group_interval)
            self.stack = Stack(webhook=hook, metrics=metrics, cache_dir=cache_dir, pace=pace)
        self.bot: subprocess.Popen[bytes] | None = None
        self._workspace_runs = False
        self._served_since = 0.0

    def wait_until_proven(self) -> None:
        """Return when the first good version has served for long enough to count as known-good."""
        left_s = self._served_since + PROVEN_S - time.monotonic()
        if left_s > 0:
            time.sleep(left_s)

    @property
    def data(self) -> Path:
        """The folder of the rows that drift is told from; without a system a test puts them there."""
        return self.stack.data if self.stack is not None else self.folder / "data"

    @property
    def url(self) -> str:
        """Where the bot serves HTTP."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What the bot says."""
        return self.folder / "bot.log"

    def __enter__(self) -> Self:
        try:
            self.workspace.start()
            self._workspace_runs = True
            self.workspace.world.verbs[COMMAND] = _verbs()
            if self.stack is not None:
                self.stack.start()
            self._served_since = time.monotonic()
            self.write_config()
            self.start_bot()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop everything that was started, and remove the folder."""
        self.stop_bot()
        if self.stack is not None:
            self.stack.close()
        if self._workspace_runs:
            self.workspace.stop()
            self._workspace_runs = False
        shutil.rmtree(self.folder, ignore_errors=True)

    def as_(self, name: str) -> Human:
        """A person at their screen."""
        return self.workspace.as_(name)

    # the bot

    def write_config(self, **changes: Any) -> Path:
        """Write mlops.yaml; keyword arguments replace whole sections."""
        people = {
            key: {"user_id": user_id(key), "name": key, "roles": list(roles)}
            for key, (_, _, roles) in PEOPLE.items()
            if roles
        }
        config: dict[str, Any] = {
            "slack": {"mode": self.slack_mode, "team_id": self.team_id},
            "http": {"listen": f"127.0.0.1:{self.port}", "public_url": self.url},
            "runbooks": str(self.runbooks),
            "people": people,
            "rotations": _rotation(),
            "defaults": {"channel": f"#{CHANNEL}", "oncall": ["rota:demo", "bob"]},
            "audit": {"anchor_file": str(self.folder / "audit.anchor")},
            "drift": {"folders": [str(self.data)], "reports": str(self.folder / "drift-reports")},
            "demo": {"minute": self.minute},
        }
        path = self.folder / "mlops.yaml"
        path.write_text(yaml.safe_dump({**config, **changes}, sort_keys=False, allow_unicode=True))
        return path

    @property
    def team_id(self) -> str:
        """The local workspace's id."""
        return TEAM_ID

    @property
    def environment(self) -> dict[str, str]:
        """What the bot's process is told."""
        stack = self.stack
        nowhere = "http://127.0.0.1:9"  # the discard port: nothing listens there
        addresses = {
            "PLAYGROUND_MLFLOW_URL": stack.mlflow_url if stack else nowhere,
            "PLAYGROUND_SERVER_URL": stack.server_url if stack else nowhere,
            "PLAYGROUND_PROMETHEUS_URL": (stack.prometheus_url if stack else None) or nowhere,
            "PLAYGROUND_DATA": str(self.data),
            "PLAYGROUND_RUNS": str(self.folder / "runs"),
            "PLAYGROUND_PYTHON": sys.executable,
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("SLACK_", "MLOPS_"))}
        return {
            **kept, **self.workspace.environment, **addresses, **self.addresses,
            "MLOPS_CONFIG": str(self.folder / "mlops.yaml"), "MLOPS_DATABASE_URL": self.database_url,
            "MLOPS_WEBHOOK_TOKEN": self.webhook_token, "MLOPS_SECRET_KEY": self.secret_key,
            "PYTHONDONTWRITEBYTECODE": "", "PYTHONUNBUFFERED": "1",
        }  # fmt: skip

    def start_bot(self, *, wait: bool = True) -> float:
        """Start `mlops-bot serve`; returns how many seconds it took until it was ready."""
        began = time.monotonic()
        with self.log.open("ab") as log:
            self.bot = subprocess.Popen(
                [self.python, "-m", "bot", "serve"], env=self.environment, stdout=log, stderr=log, cwd=self.folder
            )
        while wait and not self.is_ready():
            if self.bot.poll() is not None or time.monotonic() - began > START_TIMEOUT_S:
                raise RuntimeError(f"the bot did not come up; the end of its log:\n{self.tail()}")
            time.sleep(0.05)
        return time.monotonic() - began

    def kill_bot(self) -> None:
        """kill -9, as the kernel or a power cut would."""
        if self.bot is not None:
            self.bot.send_signal(signal.SIGKILL)
            self.bot.wait(timeout=10)

    def stop_bot(self) -> None:
        """Ask it to stop, and wait."""
        if self.bot is not None and self.bot.poll() is None:
            self.bot.terminate()
            try:
                self.bot.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.kill_bot()

    def is_ready(self) -> bool:
        """What the bot's /readyz says."""
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=2) as answer:
                return int(answer.status) == 200
        except (urllib.error.URLError, OSError):
            return False

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another command of the command line with the same environment."""
        return subprocess.run(
            [self.python, "-m", "bot", *arguments], env=self.environment, capture_output=True, text=True, timeout=60,
            check=False, cwd=self.folder,
        )  # fmt: skip

    def post_webhook(self, body: object, token: str | None = None) -> tuple[int, dict[str, Any]]:
        """Post to the bot's webhook as Alertmanager would; returns status and answer."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/webhooks/alertmanager", data=data, method="POST")
        request.add_header("Authorization", f"Bearer {self.webhook_token if token is None else token}")
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return int(answer.status), json.loads(answer.read())
        except urllib.error.HTTPError as problem:
            return int(problem.code), json.loads(problem.read() or b"{}")

    def tail(self, lines: int = 40) -> str:
        """The end of the bot's log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""
