"""A real MLflow server for tests, with small versions made by calls alone: nothing is trained."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import requests
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag

from playground.system.processes import free_port

_QUIET = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "GIT_PYTHON_REFRESH": "quiet",
    # Only so may a webhook go to this machine.
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
    "MLFLOW_WEBHOOK_CACHE_TTL": "1",
}
SIGNATURE = "signature:\n  inputs: '{inputs}'\n  outputs: '[{{\"type\": \"long\"}}]'\n"


class RealMlflow:
    """A server of its own on a free port, its data in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"http://127.0.0.1:{free_port()}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        port = self.url.rpartition(":")[2]
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1", "--port", port]
        command += ["--backend-store-uri", f"sqlite:///{self.folder / 'mlflow.db'}"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        with (self.folder / "mlflow.log").open("wb") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env=os.environ | _QUIET, start_new_session=True
            )
        self._await()
        self.client = MlflowClient(self.url, self.url)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, 15)
            self._process.wait(20)

    def _await(self) -> None:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            assert self._process is not None
            assert self._process.poll() is None, (self.folder / "mlflow.log").read_text()[-2000:]
            try:
                asked = requests.get(f"{self.url}/api/2.0/mlflow/experiments/search?max_results=1", timeout=5)
            except requests.RequestException:
                time.sleep(0.1)
                continue
            if asked.ok:
                return
        raise AssertionError("MLflow did not come up: " + (self.folder / "mlflow.log").read_text()[-2000:])

    def model(self, name: str) -> None:
        self.client.create_registered_model(name)

    def version(
        self, name: str, *, metrics: Mapping[str, float], params: Mapping[str, Any] | None = None,
        inputs: str = '[{"type": "double"}]', size: int = 100, data: str = "a",
    ) -> str:  # fmt: skip
        """Register another version with a run of its own; returns its number."""
        run = self.client.create_run("0")
        run_id = run.info.run_id
        for key, value in metrics.items():
            self.client.log_metric(run_id, key, value)
        for key, value in (params or {}).items():
            self.client.log_param(run_id, key, value)
        dataset = Dataset(name="holdout", digest=data, source_type="local", source="{}")
        tagged = DatasetInput(dataset, [InputTag("mlflow.data.context", "evaluation")])
        self.client.log_inputs(run_id, [tagged])
        self.client.log_text(run_id, SIGNATURE.format(inputs=inputs), "model/MLmodel")
        self.client.log_text(run_id, "x" * size, "model/weights/part.bin")
        self.client.set_terminated(run_id)
        made = self.client.create_model_version(name, f"runs:/{run_id}/model", run_id)
        return str(made.version)
