"""A real Airflow, 2 or 3, in a virtual environment of its own, for tests and for trying the bot against it.

    python -m playground.airflow build      # both, into ~/.cache/mlops-bot/airflow (a minute each)
    python -m playground.airflow run 3      # start one, print its address and users, until Ctrl-C

Airflow pins half of PyPI, so it can share an environment neither with the bot nor with the other release. The
requirement files beside this one are what was tried together; Airflow's own constraint files are not on PyPI.

Airflow 3 runs as api-server, scheduler and dag-processor, Airflow 2 as webserver and scheduler, on SQLite, on the
loopback. Users: `bot` may do everything, `eve` may only look.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from playground.system.processes import Part, Parts, free_port, wait_until

HERE = Path(__file__).resolve().parent
USERS = {"bot": ("admin", "Admin"), "eve": ("viewer", "Viewer")}
DAG = "retraining"
START_TIMEOUT_S = 120.0
BUILD_TIMEOUT_S = 900


class MissingAirflow(Exception):
    """There is no Airflow of that release here and none could be built. The message says why."""


def cache_dir() -> Path:
    """The folder of the environments; honours XDG_CACHE_HOME. It need not exist."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "mlops-bot" / "airflow"


def build(release: int) -> Path:
    """The folder of Airflow's programs, made first unless that is done already. Raises MissingAirflow."""
    wanted = HERE / f"requirements-{release}.txt"
    digest = hashlib.sha256(wanted.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = cache_dir() / f"{release}-{digest}"
    if (folder / "built").exists():
        return folder / "bin"
    if release == 2 and sys.version_info >= (3, 13):
        raise MissingAirflow("Airflow 2.10 needs Python 3.12 or older")
    print(f"airflow: installing Airflow {release} into {folder} …", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    uv = str(Path(sys.executable).with_name("uv"))
    python = str(Path(sys.executable).resolve())
    install = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--no-deps", "--python", str(folder)]
    for command in ([uv, "venv", "--quiet", "--python", python, str(folder)], [*install, "-r", str(wanted)]):
        _run(command, _package_settings())
    (folder / "built").touch()
    return folder / "bin"


def _package_settings() -> dict[str, str]:
    """What uv needs of pip's settings, which it does not read itself."""
    pairs = (("UV_DEFAULT_INDEX", "PIP_INDEX_URL"), ("SSL_CERT_FILE", "PIP_CERT"))
    found = {ours: os.environ[theirs] for ours, theirs in pairs if os.environ.get(theirs) and ours not in os.environ}
    return {**found, "UV_HTTP_TIMEOUT": "180", "UV_LINK_MODE": "copy", "UV_PYTHON_DOWNLOADS": "never"}


def _run(command: list[str], environment: dict[str, str], timeout_s: float = BUILD_TIMEOUT_S) -> None:
    done = subprocess.run(
        command, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=timeout_s, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-8:])
        raise MissingAirflow(f"{' '.join(command[:4])} … ended with status {done.returncode}:\n{tail}")


class Server:
    """A running Airflow with the playground's pipeline; a context manager. Raises MissingAirflow, StartFailed."""

    def __init__(self, release: int) -> None:
        self.release = release
        self.bin = build(release)
        self.folder = Path(tempfile.mkdtemp(prefix="mlops-airflow-"))
        self.dags = self.folder / "dags"
        shutil.copytree(HERE / "dags", self.dags, ignore=shutil.ignore_patterns("__pycache__"))
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.passwords = {name: secrets.token_urlsafe(12) for name in USERS}
        self._parts = Parts(self.folder)
        self._running: dict[str, Part] = {}
        self._token = ""

    def __enter__(self) -> Self:
        try:
            self._prepare()
            for name in self.programs:
                self.start(name)
            self.wait_until_up()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop every program and remove the folder."""
        self._parts.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def programs(self) -> tuple[str, ...]:
        """What this release consists of; the first one answers HTTP."""
        return ("webserver", "scheduler") if self.release == 2 else ("api-server", "scheduler", "dag-processor")

    @property
    def api(self) -> str:
        """The root of its REST API."""
        return f"{self.url}/api/{'v1' if self.release == 2 else 'v2'}"

    def start(self, name: str) -> None:
        """Start one of its programs."""
        more = ["--port", str(self.port), "--workers", "1"] if name == "webserver" else []
        self._running[name] = self._parts.start(name, [str(self.bin / "airflow"), name, *more], self._environment)

    def kill(self, name: str) -> None:
        """kill -9 of a program and whatever it started in its session."""
        part = self._running.pop(name)
        for process in _session(part.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, 9)
        part.process.wait()

    def wait_until_up(self, *, with_scheduler: bool = True) -> None:
        """Return when it answers, has read the pipeline, and its scheduler is alive.

        On SQLite, Airflow 2 runs tasks inside its scheduler, which gives no sign of life while one takes its time.
        """

        def look() -> bool:
            self._running[self.programs[0]].ensure_running()
            try:
                self._token = ""
                health = requests.get(f"{self.api}{'/monitor' if self.release == 3 else ''}/health", timeout=5).json()
                is_alive = health["scheduler"]["status"] == "healthy" or not with_scheduler
                return is_alive and self.call("GET", f"/dags/{DAG}").ok
            except (requests.RequestException, ValueError, KeyError):
                return False

        wait_until(look, what=f"Airflow {self.release} answers", timeout_seconds=START_TIMEOUT_S)

    def pause(self, is_paused: bool) -> None:
        """Pause the pipeline, or let it run."""
        self.call("PATCH", f"/dags/{DAG}", json={"is_paused": is_paused}).raise_for_status()

    def runs(self) -> list[dict[str, Any]]:
        """Every run of the pipeline."""
        found = self.call("GET", f"/dags/{DAG}/dagRuns")
        found.raise_for_status()
        return list(found.json()["dag_runs"])

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        """A call as `bot`."""
        if self.release == 2:
            return requests.request(
                method, f"{self.api}{path}", auth=("bot", self.passwords["bot"]), timeout=10, **more
            )
        if not self._token:
            body = {"username": "bot", "password": self.passwords["bot"]}
            self._token = requests.post(f"{self.url}/auth/token", json=body, timeout=10).json()["access_token"]
        headers = {"Authorization": f"Bearer {self._token}"}
        return requests.request(method, f"{self.api}{path}", headers=headers, timeout=10, **more)

    @property
    def _environment(self) -> dict[str, str]:
        home = self.folder / "home"
        settings = {
            "CORE__DAGS_FOLDER": str(self.dags), "CORE__LOAD_EXAMPLES": "False", "LOGGING__LOGGING_LEVEL": "WARNING",
            "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "5", "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
            "SCHEDULER__MIN_FILE_PROCESS_INTERVAL": "2", "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "2",
            "DAG_PROCESSOR__REFRESH_INTERVAL": "2", "USAGE_DATA_COLLECTION__ENABLED": "False",
            "API__HOST": "127.0.0.1", "API__PORT": str(self.port), "API__WORKERS": "1",
            "WEBSERVER__WEB_SERVER_HOST": "127.0.0.1", "WEBSERVER__WORKERS": "1",
            "CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/", "API_AUTH__JWT_SECRET": "playground" * 8,
            "CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, (role, _) in USERS.items()),
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.folder / "passwords.json"),
            "API__AUTH_BACKENDS": "airflow.api.auth.backend.basic_auth", "WEBSERVER__SECRET_KEY": "playground" * 4,
        }  # fmt: skip
        kept = {f"AIRFLOW__{name}": value for name, value in settings.items()}
        # Airflow starts its tasks by name, so its own programs come first.
        return {
            **kept,
            "AIRFLOW_HOME": str(home),
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "PYTHONWARNINGS": "ignore",
        }

    def _prepare(self) -> None:
        (self.folder / "passwords.json").write_text(json.dumps(self.passwords))
        airflow = str(self.bin / "airflow")
        environment = {**self._environment, "PYTHONDONTWRITEBYTECODE": ""}
        _run([airflow, "db", "migrate"], environment)
        if self.release == 2:
            _run([airflow, "sync-perm"], environment)
            for name, (_, role) in USERS.items():
                who = ["-u", name, "-p", self.passwords[name], "-r", role, "-f", name, "-l", name]
                _run([airflow, "users", "create", *who, "-e", f"{name}@example.org"], environment)


def _session(leader: int) -> list[int]:
    """Processes of the session: gunicorn's workers have groups of their own."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[3]) == leader:
                found.append(int(stat.parent.name))
    return found
