"""The whole playground as one object: MLflow, training, model server, traffic, Prometheus, Alertmanager.

    with Stack(webhook=Webhook(url="http://127.0.0.1:8080/webhooks/alertmanager", token="…")) as stack:
        stack.go_bad()
        stack.wait_for_accuracy(below=0.8)

Everything listens on free loopback ports and keeps its data and logs in one folder. Nothing outlives `close`.
"""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from playground.system import monitoring, prepared, registry
from playground.system.faults import BLANK
from playground.system.monitoring import MonitoringPrograms, Pace, Webhook
from playground.system.processes import Part, Parts, StartFailed, free_port, wait_until
from playground.system.registry import MODEL_NAME
from playground.system.served import SERVED
from playground.system.wire import CallFailed, answers, call, call_text

GOOD_VERSION = "2"
BAD_VERSION = "3"
START_TIMEOUT_SECONDS = 120.0
_QUIET_MLFLOW = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "GIT_PYTHON_REFRESH": "quiet",
    # One patient retry instead of MLflow's seven: a registry that is down must be reported, not waited for.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
}


class Stack:
    """A running playground; a context manager. Not safe to use from several threads.

    `metrics=None` leaves Prometheus and Alertmanager out: `prometheus_url` and `alertmanager_url` are then None,
    accuracy is read from the model server itself, and whoever wants an alert posts `webhook.build_webhook`. By
    default the programs are found by `playground.parts`. With `cache_dir` the trained models are kept there and
    reused.
    """

    mlflow_url: str
    server_url: str
    prometheus_url: str | None
    alertmanager_url: str | None

    def __init__(
        self,
        *,
        webhook: Webhook | None = None,
        metrics: MonitoringPrograms | Literal["find"] | None = "find",
        cache_dir: Path | None = None,
        pace: Pace | None = None,
        rows_per_second: float = 40.0,
        admin_token: str | None = None,
    ) -> None:
        self.webhook = webhook
        self._programs = monitoring.find_programs() if metrics == "find" else metrics
        self.folder = Path(tempfile.mkdtemp(prefix="mlops-playground-"))
        self._cache_dir = cache_dir
        self._pace = pace or Pace()
        self._rows_per_second = rows_per_second
        self._admin_token = admin_token
        self._parts = Parts(self.folder)
        self._mlflow: Part | None = None
        self._server: Part | None = None
        self._prometheus: Part | None = None
        self._alertmanager: Part | None = None
        self._assign_ports()

    def _assign_ports(self) -> None:
        self.mlflow_url = f"http://127.0.0.1:{free_port()}"
        self.server_url = f"http://127.0.0.1:{free_port()}"
        self.prometheus_url = self.alertmanager_url = None
        if self._programs:
            self.prometheus_url = f"http://127.0.0.1:{free_port()}"
            self.alertmanager_url = f"http://127.0.0.1:{free_port()}"

    # -- starting and stopping

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> Self:
        """Bring everything up.

        Returns when version 2 is served and its accuracy can be read. Raises StartFailed, nothing left running.
        """
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Stop every program and remove the folder. May be called twice."""
        self._parts.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def data(self) -> Path:
        """The folder of the rows that drift is told from."""
        return self.folder / "data"

    def _start(self) -> None:
        self.data.mkdir()
        is_prepared = self._cache_dir is not None and prepared.take(self._cache_dir, self.folder)
        mlflow = self._start_mlflow()
        training = None if is_prepared else self._start_training()
        self._spawn_server()
        traffic = self._start_traffic()
        if self._programs:
            self._start_monitoring(self._programs)
        self._await(mlflow, self._is_mlflow_ready, "MLflow answers")
        if training is not None:
            self._finish_training(training)
        self._await_server()
        if self.served_version() != GOOD_VERSION:  # loaded between the promotion of version 1 and that of version 2
            self.reload_server()
        self._await_monitoring()
        self._await(traffic, lambda: self.accuracy() is not None, "the accuracy can be read")
        if self._programs:
            # Whatever rang while the parts came up is over before anybody is told of alerts.
            self._await(traffic, lambda: not self.firing_alerts(), "no alert is left from the start")
            self.send_alerts_to(self.webhook)

    def _start_mlflow(self) -> Part:
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
        command += ["--host", "127.0.0.1", "--port", str(_port(self.mlflow_url))]
        command += ["--backend-store-uri", f"sqlite:///{self.folder / prepared.DATABASE}"]
        command += ["--artifacts-destination", str(self.folder / prepared.ARTIFACTS)]
        self._mlflow = self._parts.start("mlflow", command, _QUIET_MLFLOW)
        return self._mlflow

    def _start_training(self) -> Part:
        command = [sys.executable, "-m", "playground.system.train", "--tracking-uri", self.mlflow_url]
        return self._parts.start("training", command, _QUIET_MLFLOW)

    def _finish_training(self, training: Part) -> None:
        wait_until(lambda: not training.is_running(), what="training ends", timeout_seconds=START_TIMEOUT_SECONDS)
        if training.process.returncode != 0:
            training.ensure_running()  # raises, with the end of the log
        if self._cache_dir is not None:
            prepared.keep(self._cache_dir, self.folder)

    def _spawn_server(self) -> Part:
        command = [sys.executable, "-m", "playground.system.server", "--tracking-uri", self.mlflow_url]
        command += ["--port", str(_port(self.server_url)), "--served-rows", str(self.data / SERVED)]
        token = {"PLAYGROUND_ADMIN_TOKEN": self._admin_token or ""}
        self._server = self._parts.start("server", command, _QUIET_MLFLOW | token)
        return self._server

    def _start_traffic(self) -> Part:
        command = [sys.executable, "-m", "playground.system.traffic", "--server", self.server_url]
        command += ["--reference", str(self.data)]
        return self._parts.start("traffic", [*command, "--rows-per-second", str(self._rows_per_second)])

    def _start_monitoring(self, programs: MonitoringPrograms) -> None:
        """Started first, because Prometheus looks for its targets only after five seconds.

        Nobody is told of alerts yet.
        """
        assert self.prometheus_url is not None
        assert self.alertmanager_url is not None
        server, at_prometheus = _port(self.server_url), _port(self.prometheus_url)
        at_alertmanager = _port(self.alertmanager_url)
        config = monitoring.alertmanager_config(self.folder, None, self._pace)
        command = monitoring.alertmanager_command(programs.alertmanager)
        command += [f"--config.file={config}", f"--storage.path={self.folder / 'alertmanager'}"]
        command += [f"--web.listen-address=127.0.0.1:{at_alertmanager}", f"--web.external-url={self.alertmanager_url}"]
        command += ["--cluster.listen-address="]
        self._alertmanager = self._parts.start("alertmanager", command)
        config = monitoring.prometheus_config(self.folder, server_port=server, alertmanager_port=at_alertmanager)
        command = [str(programs.prometheus), f"--config.file={config}"]
        command += [f"--storage.tsdb.path={self.folder / 'prometheus'}"]
        command += [f"--web.listen-address=127.0.0.1:{at_prometheus}", f"--web.external-url={self.prometheus_url}"]
        self._prometheus = self._parts.start("prometheus", command)

    def _await_monitoring(self) -> None:
        for part, url in ((self._alertmanager, self.alertmanager_url), (self._prometheus, self.prometheus_url)):
            if part is not None:
                self._await(part, partial(answers, f"{url}/-/ready"), f"{part.name} answers")

    def _await(self, part: Part, look: Any, what: str) -> None:
        """Wait for `look`, but give up at once when `part` has ended."""

        def look_and_check() -> bool:
            part.ensure_running()
            return bool(look())

        try:
            wait_until(look_and_check, what=what, timeout_seconds=START_TIMEOUT_SECONDS)
        except StartFailed:
            raise
        except Exception as error:
            raise StartFailed(f"{part.name}: {error}; the end of {part.log}:\n{part.tail()}") from error

    def _await_server(self) -> None:
        assert self._server is not None
        self._await(self._server, lambda: self.served_version() is not None, "the model server serves a model")

    def _is_mlflow_ready(self) -> bool:
        # Not /health: that is green while every other call is still refused.
        return answers(f"{self.mlflow_url}/api/2.0/mlflow/experiments/search?max_results=1")

    # -- what a test or a demo does with it

    def go_bad(self) -> None:
        """The incident: version 3 is promoted and the server told to reload, as a release pipeline would."""
        self.promote(BAD_VERSION)

    def restore(self) -> None:
        """Back to version 2, whoever moved it away. Does not wait for the accuracy to recover."""
        self.promote(GOOD_VERSION)

    def promote(self, version: str) -> None:
        """Move `champion` and reload. Raises CallFailed when either refuses."""
        registry.promote(self.mlflow_url, MODEL_NAME, version)
        self.reload_server()

    def reload_server(self, alias: str = registry.CHAMPION) -> dict[str, Any]:
        """POST /admin/reload-model; returns its answer. Raises CallFailed on a refusal."""
        query = {"model_name": MODEL_NAME, "alias": alias}
        url = f"{self.server_url}/admin/reload-model"
        answer = call("POST", url, query=query, bearer=self._admin_token, timeout_seconds=30.0)
        assert isinstance(answer, dict)
        return answer

    def set_fault(self, **fault: Any) -> None:
        """Switch faults of the model server, by the keys that `faults` lists: `set_fault(latency_seconds=2.0)`."""
        call("POST", f"{self.server_url}/admin/fault", body=fault, bearer=self._admin_token)

    def stop_server(self) -> None:
        """End the model server; the rest goes on. `start_server` brings it back."""
        if self._server is not None:
            self._parts.stop(self._server)

    def stop_mlflow(self) -> None:
        """Kill the registry with all its workers, as a machine that dies would; `start_mlflow` brings it back."""
        if self._mlflow is not None:
            self._mlflow.kill()

    def start_mlflow(self) -> None:
        """Start the registry again on the same port and data, and wait until it answers calls."""
        if self._mlflow is None or not self._mlflow.is_running():
            self._await(self._start_mlflow(), self._is_mlflow_ready, "MLflow answers again")

    def freeze_mlflow(self, *, frozen: bool) -> None:
        """Let the registry take connections and answer none, or go on."""
        assert self._mlflow is not None
        self._mlflow.signal(signal.SIGSTOP if frozen else signal.SIGCONT)

    def start_server(self) -> None:
        """Start the model server again on the same port and wait until it serves what `champion` points at."""
        if self._server is None or not self._server.is_running():
            self._spawn_server()
        self._await_server()

    def send_alerts_to(self, webhook: Webhook | None) -> None:
        """Point the running Alertmanager at another address.

        What it has told already it does not tell again before the repeat interval.
        """
        if self.alertmanager_url is None:
            raise RuntimeError("this stack runs without Alertmanager (metrics=None)")
        self.webhook = webhook
        monitoring.alertmanager_config(self.folder, webhook, self._pace)
        call("POST", f"{self.alertmanager_url}/-/reload")

    # -- what can be seen

    @property
    def server_pid(self) -> int:
        assert self._server is not None
        return self._server.pid

    def served_version(self) -> str | None:
        """What the server itself says it serves; None when it does not answer or has no model."""
        try:
            return str(call("GET", f"{self.server_url}/model/info")["version"])
        except CallFailed:
            return None

    def champion_version(self) -> str | None:
        return registry.alias_version(self.mlflow_url, MODEL_NAME, registry.CHAMPION)

    def accuracy(self) -> float | None:
        """As Prometheus knows it, or the server itself where there is no Prometheus; None while there is none."""
        try:
            if self.prometheus_url is not None:
                return monitoring.query_number(self.prometheus_url, "model_accuracy")
            for line in call_text("GET", f"{self.server_url}/metrics").splitlines():
                if line.startswith("model_accuracy "):
                    return float(line.split()[1])
        except CallFailed:
            return None
        return None

    def served_rows(self, *, broken: bool = False) -> int:
        """How many rows are kept of what was served; with `broken`, of those that the broken feed sent."""
        path = self.data / SERVED
        lines = path.read_text().splitlines()[1:] if path.exists() else []
        return sum(f",{BLANK:.5f}," in line for line in lines) if broken else len(lines)

    def firing_alerts(self) -> list[str]:
        """Names of the active alerts at Alertmanager; empty without one."""
        return monitoring.firing_alerts(self.alertmanager_url) if self.alertmanager_url else []

    def wait_for_accuracy(self, *, below: float = 2.0, at_least: float = -1.0, timeout_seconds: float = 30.0) -> float:
        """Wait until the accuracy is known and within the two bounds; returns it. Raises TimedOut."""

        def within(accuracy: float | None) -> bool:
            return accuracy is not None and at_least <= accuracy < below

        what = "the accuracy is as expected"
        found = wait_until(self.accuracy, what=what, timeout_seconds=timeout_seconds, is_met=within)
        assert found is not None
        return found

    def wait_for_version(self, version: str, *, timeout_seconds: float = 30.0) -> None:
        """Wait until the server itself reports `version`. Raises TimedOut."""
        what = f"the server serves version {version}"
        wait_until(self.served_version, what=what, timeout_seconds=timeout_seconds, is_met=lambda seen: seen == version)


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])
