"""Each binding from the plan to the proof by the serving side, and back again by the stored inverse.

The pieces are the real ones: a registry file and a process that is started anew; MLflow's stages, a table of
deployments and a server that is told what to load.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa

from bot.model import Draft, Outcome, Plan, StepState
from bot.policy import ModelProfile, RecordProfile, System
from bot.policy.gate import Criterion, Expectation, Gate, Smoke
from bot.ports import Foreign, Refusal, Scene, Seen
from handlers.actions import promote, rollback
from handlers.backends import mlflow_stages, model_http, registry_file, reload_command, sql_table
from playground.system.processes import free_port, wait_until
from playground.system.registry import MODEL_NAME
from playground.system.stack import Stack
from playground.system.wire import CallFailed, call
from tests.handlers.fakes import plan_of

SERVER = Path(__file__).with_name("file_server.py")
SMOKE = Smoke(path="/predict", body="{}", expects=(Expectation(at="/label", equals="approve"),))


@dataclass
class Place:
    """A model with its backends; `scene` is what an action may look at now."""

    model: ModelProfile
    backends: Mapping[str, Any]

    def scene(self) -> Scene:
        system = System(name="shop", services=(self.model.service,), models=(self.model,))
        return Scene(
            now=datetime.now(UTC), system=system, model=self.model, service=self.model.service, backends=self.backends
        )

    def drawn(self, action: Any, **request: str) -> Draft:
        draft = action.draw(self.scene(), {"model": self.model.name} | request)
        assert isinstance(draft, Draft), draft
        assert draft.refusal == "", draft.refusal
        return draft

    def finish(self, action: Any, plan: Plan) -> list[Seen]:
        """Carry out every step as the engine does: read again, perform, look again while it is not there yet."""
        assert plan.draft is not None
        assert action.fingerprint(self.scene(), plan) == plan.draft.fingerprint
        seen: list[Seen] = []
        for index, step in enumerate(plan.steps):
            deadline = time.monotonic() + 30
            seen.append(self._try(action, plan, step.name))
            while seen[-1].outcome is Outcome.NOT_YET:
                assert time.monotonic() < deadline, seen[-1].detail
                time.sleep(0.1)
                seen[-1] = self._try(action, plan, step.name)
            done = replace(step, state=StepState.DONE, ended_at=datetime.now(UTC))
            plan = replace(plan, steps=(*plan.steps[:index], done, *plan.steps[index + 1 :]))
        return seen

    def _try(self, action: Any, plan: Plan, step: str) -> Seen:
        try:
            return action.perform(self.scene(), plan, step)  # type: ignore[no-any-return]
        except Foreign as problem:  # as the engine takes it: a proof is looked for again
            return Seen(outcome=Outcome.NOT_YET, detail=problem.sentence)


def undone(place: Place, draft: Draft) -> list[Seen]:
    """The stored inverse, as the button Undo asks for it."""
    request = dict(draft.inverse)
    action = {"rollback": rollback.ACTION, "promote": promote.ACTION}[request.pop("action", "rollback")]
    return place.finish(action, plan_of("rollback", place.drawn(action, **request)))


# a file, and a process that reads it when it starts


@pytest.fixture
def by_file(tmp_path: Path) -> Iterator[Place]:
    versions = {}
    (tmp_path / "models").mkdir()
    for number, label in (("1", "approve"), ("2", "approve"), ("3", "decline")):
        content = json.dumps({"name": "credit", "version": number, "label": label}).encode()
        (tmp_path / f"v{number}.pkl").write_bytes(content)
        versions[number] = {
            "path": f"v{number}.pkl", "sha256": hashlib.sha256(content).hexdigest(),
            "metrics": {"f1": 0.8 + int(number) / 100}, "data": {"holdout": "d1"},
        }  # fmt: skip
    (tmp_path / "models" / "production.pkl").write_bytes((tmp_path / "v1.pkl").read_bytes())
    found = {"models": {"credit": {"production": "1", "versions": versions}}}
    (tmp_path / "registry.json").write_text(json.dumps(found))
    port = free_port()
    script = tmp_path / "restart"
    script.write_text(
        f"#!/bin/sh\ncd {tmp_path}\n[ -f pid ] && kill $(cat pid)\n"
        f"setsid {sys.executable} -S -E {SERVER} {port} models/production.pkl </dev/null >log 2>&1 &\necho $! > pid\n"
    )
    script.chmod(0o700)
    backends = {
        "registry": registry_file.BACKEND.build({"folder": str(tmp_path), "serves": "models/production.pkl"}),
        "server": model_http.BACKEND.build({"url": f"http://127.0.0.1:{port}"}),
        "process": reload_command.BACKEND.build({"run": str(script), "folder": str(tmp_path)}),
    }
    model = ModelProfile(
        name="credit", service="api", registry="registry", server="server", alias="production", reload="process",
        gate=Gate(criteria=(Criterion(metric="f1", improves_by=0.005),)), smoke=(SMOKE,),
    )  # fmt: skip
    place = Place(model=model, backends=backends)
    try:
        backends["process"].make_load("")  # type: ignore[attr-defined]
        wait_until(lambda: served(place) == "1", what="the process serves", timeout_seconds=30)
        yield place
    finally:
        with suppress(FileNotFoundError, ProcessLookupError):
            os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


def served(place: Place) -> str:
    try:
        return str(place.backends["server"].served(place.model.name).version)
    except Foreign:
        return ""


def test_a_registry_file_and_a_process_that_is_started_anew(by_file: Place, tmp_path: Path) -> None:
    """Promote, prove by the process that came up with the new file, undo, prove again."""
    draft = by_file.drawn(promote.ACTION, to="2")
    assert draft.steps[1].sentence.startswith("Run `")
    seen = by_file.finish(promote.ACTION, plan_of("promote", draft))
    assert [one.outcome for one in seen] == [Outcome.DONE] * 4, seen
    assert served(by_file) == "2"
    assert json.loads((tmp_path / "registry.json").read_text())["models"]["credit"]["production"] == "2"
    assert [one.outcome for one in undone(by_file, draft)] == [Outcome.DONE] * 4
    assert served(by_file) == "1"


def test_a_file_whose_model_answers_wrongly_fails_and_goes_back(by_file: Place) -> None:
    draft = by_file.drawn(promote.ACTION, to="3")
    seen = by_file.finish(promote.ACTION, plan_of("promote", draft))
    assert seen[-1].outcome is Outcome.FAILED
    assert "/label is “decline”, not approve" in seen[-1].detail
    assert [one.outcome for one in undone(by_file, draft)] == [Outcome.DONE] * 4
    assert served(by_file) == "1"


# MLflow's stages, a table of deployments, and a server that is told the stage


@contextmanager
def following(stage_of: Callable[[str], str | None]) -> Iterator[str]:
    """The address of a server that loads what the stage says when it is told to, and lists what it has loaded."""
    loaded = {"name": MODEL_NAME, "version": "2", "loaded_at": datetime.now(UTC).isoformat()}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(200, {"models": [{"name": "other", "version": "9"}, dict(loaded)]})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = urlsplit(self.path)
            if parts.path == "/predict":
                self._answer(200, {"label": "approve"})
                return
            asked = parse_qs(parts.query)
            found = stage_of(asked["stage"][0]) if asked["model_name"] == [MODEL_NAME] else None
            if found is None:
                self._answer(409, {"error": "nothing is in that stage"})
                return
            loaded.update(version=found, loaded_at=datetime.now(UTC).isoformat())
            self._answer(200, {"version": found})

        def _answer(self, status: int, body: object) -> None:
            payload = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def to_mlflow(stack: Stack, what: str, **body: object) -> None:
    call("POST", f"{stack.mlflow_url}/api/2.0/mlflow/model-versions/{what}", body={"name": MODEL_NAME, **body})


@pytest.fixture
def by_stage(stack: Stack, tmp_path: Path) -> Iterator[Place]:
    url = f"sqlite:///{tmp_path / 'deployments.db'}"
    with sa.create_engine(url).begin() as connection:
        connection.execute(
            sa.text("CREATE TABLE deployments (id INTEGER PRIMARY KEY, model_name TEXT, version TEXT, share INTEGER)")
        )
        for number in (1, 2):
            connection.execute(
                sa.text("INSERT INTO deployments VALUES (:n, :m, :v, :s)"),
                {"n": number, "m": MODEL_NAME, "v": f"v1.{number}.0", "s": 100 if number == 2 else 0},
            )
    for number in "123":
        to_mlflow(stack, "set-tag", version=number, key="version", value=f"v1.{number}.0")
    to_mlflow(stack, "transition-stage", version="2", stage="Production", archive_existing_versions=False)
    registry = mlflow_stages.BACKEND.build({"url": stack.mlflow_url})
    try:
        with following(lambda stage: registry.alias(MODEL_NAME, stage)) as address:
            server = {"url": address, "info": "/models", "pointer": "stage"}
            backends = {
                "registry": registry, "server": model_http.BACKEND.build(server),
                "deployments": sql_table.BACKEND.build({"url": url, "table": "deployments", "share": "share"}),
            }  # fmt: skip
            model = ModelProfile(
                name=MODEL_NAME, service="model-server", registry="registry", server="server", alias="Production",
                record=RecordProfile(backend="deployments", pointer="production", tag="version"), smoke=(SMOKE,),
                gate=Gate(criteria=(Criterion(metric="f1", worsens_by=0.02),), same_data_by="validation_digest"),
                watch_for=timedelta(minutes=1),
            )  # fmt: skip
            yield Place(model=model, backends=backends)
    finally:
        for number in "123":
            with suppress(CallFailed):
                to_mlflow(stack, "transition-stage", version=number, stage="None", archive_existing_versions=False)


def test_stages_and_a_table_move_together_and_the_server_proves_it(by_stage: Place) -> None:
    draft = by_stage.drawn(promote.ACTION, to="1")
    assert draft.fingerprint["production in deployments"] == "v1.2.0"
    assert [step.name for step in draft.steps] == [
        "move_alias", "move_record", "reload_server", "prove_served", "prove_smoke"
    ]  # fmt: skip
    seen = by_stage.finish(promote.ACTION, plan_of("promote", draft))
    assert [one.outcome for one in seen] == [Outcome.DONE] * 5, seen
    table, registry = by_stage.backends["deployments"], by_stage.backends["registry"]
    assert (registry.alias(MODEL_NAME, "Production"), table.alias(MODEL_NAME, "production")) == ("1", "v1.1.0")
    assert served(by_stage) == "1"
    assert {one.version: one.stage for one in registry.versions(MODEL_NAME)}["2"] == "Archived"
    assert [one.outcome for one in undone(by_stage, draft)] == [Outcome.DONE] * 5
    assert (registry.alias(MODEL_NAME, "Production"), table.alias(MODEL_NAME, "production")) == ("2", "v1.2.0")
    assert served(by_stage) == "2"


def test_a_table_that_somebody_set_by_hand_is_found_before_anything_moves(by_stage: Place) -> None:
    table = by_stage.backends["deployments"]
    table.move_alias(MODEL_NAME, "production", expected="v1.2.0", to="v1.1.0")
    refusal = promote.ACTION.draw(by_stage.scene(), {"model": MODEL_NAME, "to": "3"})
    assert isinstance(refusal, Refusal)
    assert "“deployments” says that production is v1.1.0, the registry says v1.2.0" in refusal.why
    assert by_stage.backends["registry"].alias(MODEL_NAME, "Production") == "2"


def test_two_versions_in_the_stage_are_nobodys_guess(by_stage: Place, stack: Stack) -> None:
    to_mlflow(stack, "transition-stage", version="3", stage="Production", archive_existing_versions=False)
    with pytest.raises(Foreign, match="nothing says which one is meant"):
        rollback.ACTION.draw(by_stage.scene(), {"model": MODEL_NAME, "to": "1"})
