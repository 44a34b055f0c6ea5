"""A service of a docker compose project: run once as a one-off, followed, and restarted. On the wire."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bot.model import Outcome
from bot.policy.training import Argument, TrainingProfile
from bot.ports import Foreign
from handlers.backends._engine import unframed
from handlers.backends.compose import BACKEND, Compose
from tests.training.drive import Driver
from tests.training.engine_double import Double, container, engine, framed

TRAINING = TrainingProfile(name="nightly", backend="engine", service="trainer")


@pytest.fixture
def server() -> Iterator[Double]:
    # Not tmp_path: the path of a socket may be 107 bytes long.
    folder = Path(tempfile.mkdtemp(prefix="mlops-"))
    with engine(folder) as state:
        yield state
    shutil.rmtree(folder, ignore_errors=True)


def client(server: Double) -> Compose:
    return BACKEND.build({"url": server.url, "project": "shop"})


def driver(server: Double, **more: Any) -> Driver:
    training = TrainingProfile(**{"name": "nightly", "backend": "engine", "service": "trainer", **more})
    return Driver(training, {"engine": client(server)})


def key_of(server: Double) -> str:
    [key] = [name for name in server.containers if name.startswith("mlops-nightly-")]
    return key


def test_a_service_is_run_as_a_one_off_and_followed_to_its_end(server: Double) -> None:
    one = driver(server)
    draft = one.drawn()
    assert "run one new container of image 589775ce7b91, without ports" in draft.steps[0].sentence
    assert one.fingerprint() == draft.fingerprint
    assert list(server.containers) == ["shop-trainer-1"], "a preview makes nothing"
    one.perform()
    [body] = server.bodies
    assert body["Cmd"] == ["python", "train.py"]
    assert body["Env"] == ["TOKEN=hunter2-secret"]
    host = body["HostConfig"]
    assert (host["PortBindings"], host["RestartPolicy"], host["Memory"]) == ({}, {"Name": "no"}, 536870912)
    assert host["Binds"] == ["/srv/data:/data:rw"]
    assert body["Labels"]["com.docker.compose.oneoff"] == "True"
    assert "com.docker.compose.config-hash" not in body["Labels"]
    assert "Hostname" not in body
    key = key_of(server)
    assert server.joined == [("shop_data", f"id-{key}")]
    server.log = framed("epoch 1\n") + framed("a warning\n", stream=2) + framed("epoch 2\n")
    assert one.perform().detail.endswith("so far: epoch 2.")
    server.set(key, Status="exited", ExitCode=0, FinishedAt="2026-11-21T06:54:00Z")
    seen = one.perform()
    assert (seen.outcome, seen.detail) == (Outcome.DONE, "It ended well after 33 s.")
    assert not [text for text in one.told if "hunter2" in text]


@pytest.mark.parametrize("call", ["/containers/create", "/start"])
def test_a_lost_answer_starts_nothing_twice(server: Double, call: str) -> None:
    one = driver(server)
    one.drawn()
    server.lose_answer_to = call
    with pytest.raises(Foreign) as raised:
        one.perform()
    assert raised.value.happened is None
    seen = one.observe()
    assert seen.outcome is (Outcome.NOT_YET if call.endswith("create") else Outcome.DONE)
    if seen.outcome is Outcome.NOT_YET:
        assert one.perform().outcome is Outcome.DONE
    assert (server.starts, len(server.bodies)) == (1, 1)


def test_a_run_that_has_ended_is_never_started_again(server: Double) -> None:
    """The engine starts an exited container again without a word: that would be a second training."""
    one = driver(server)
    one.drawn()
    one.perform()
    key = key_of(server)
    server.set(key, Status="exited", ExitCode=1)
    client(server).start(one.training, key, {}, "again")
    assert server.starts == 1


@pytest.mark.parametrize(
    "state, log, words",
    [
        ({"ExitCode": 3}, "too few labels: 3", "too few labels (exit code 3). Its log: “too few labels: 3”"),
        ({"ExitCode": 137, "OOMKilled": True}, "epoch 1", "out of memory (exit code 137)"),
        ({"ExitCode": 137}, "epoch 1", "killed, most often for want of memory"),
        ({"ExitCode": 0, "OOMKilled": True}, "", "out of memory"),
        ({"ExitCode": 143}, "epoch 1", "stopped from outside"),
        ({"ExitCode": 1}, "KeyError: 'labels' password=hunter2", "the training program broke"),
    ],
)
def test_a_failed_run_is_classified(server: Double, state: dict[str, Any], log: str, words: str) -> None:
    one = driver(server)
    one.drawn()
    one.perform()
    key = key_of(server)
    server.log = framed(f"{log}\n")
    server.set(key, Status="exited", **state)
    seen = one.perform()
    assert seen.outcome is Outcome.FAILED
    assert words in seen.detail
    assert f"docker logs {key}" in seen.detail
    assert "hunter2" not in seen.detail


def test_what_would_not_run_is_refused_before_approval(server: Double) -> None:
    server.set("shop-trainer-1", Status="running")
    assert "runs already (shop-trainer-1)" in driver(server).refused()
    server.set("shop-trainer-1", Status="exited")
    server.image = ""
    assert "its image is not on the machine" in driver(server).refused()
    server.containers.clear()
    assert "Run `docker compose create trainer` there once" in driver(server).refused()


def test_a_run_of_ours_that_goes_on_refuses_the_next_and_a_paused_one_is_named(server: Double) -> None:
    one = driver(server)
    one.drawn()
    one.perform()
    assert "runs already (mlops-nightly-" in driver(server).refused()
    server.set(key_of(server), Status="paused")
    assert one.perform().detail.endswith("Somebody paused its container.")
    server.set(key_of(server), Status="dead")
    assert one.perform().outcome is Outcome.UNKNOWN


def test_a_new_image_is_told_and_voids_an_older_plan(server: Double) -> None:
    one = driver(server)
    draft = one.drawn()
    server.image = "sha256:feed00000000"
    assert one.fingerprint() != draft.fingerprint
    assert "was built anew (feed00000000)" in driver(server).drawn().warnings[0]


def test_arguments_become_words_of_the_command(server: Double) -> None:
    rows = Argument(name="rows", pattern="[0-9]{1,4}", default="100")
    one = driver(server, command=("python", "train.py", "--rows={rows}"), arguments=(rows,))
    one.drawn("retrain rank rows=20")
    one.perform()
    assert server.bodies[0]["Cmd"] == ["python", "train.py", "--rows=20"]


def test_a_program_that_is_not_in_the_image_is_a_failure(server: Double) -> None:
    server.refuse_start = 'OCI runtime create failed: exec: "nosuch": executable file not found'
    one = driver(server)
    one.drawn()
    with pytest.raises(Foreign) as raised:
        one.perform()
    assert (raised.value.reason, raised.value.happened) == ("invalid", False)
    assert "executable file not found" in raised.value.sentence


def test_a_container_of_that_name_that_is_not_ours_is_left_alone(server: Double) -> None:
    server.containers["mlops-x"] = container("mlops-x", Status="created")
    with pytest.raises(Foreign) as raised:
        client(server).start(TRAINING, "mlops-x", {}, "")
    assert (raised.value.reason, server.starts) == ("conflict", 0)


def test_a_service_is_restarted_and_its_runs_are_left_alone(server: Double) -> None:
    one = driver(server)
    one.drawn()
    one.perform()
    engine_ = client(server)
    [before] = engine_.containers("trainer")
    engine_.restart("trainer")
    [after] = engine_.containers("trainer")
    assert (after.name, after.state, after.health) == ("shop-trainer-1", "running", "")
    assert after.started_at == datetime(2026, 11, 21, 7, 0, 0, 500_000, tzinfo=UTC)
    assert before.started_at is not None
    assert after.started_at > before.started_at
    assert server.containers[key_of(server)]["State"]["StartedAt"] != "2026-11-21T07:00:00.5Z"
    assert engine_.how("trainer") == "Restart every container of the service trainer of compose project shop."
    assert engine_.make_load("trainer") == "Service trainer of compose project shop was restarted."
    [again] = engine_.containers("trainer")
    assert again.state == "running"
    for restart in (engine_.restart, engine_.make_load):
        with pytest.raises(Foreign) as raised:
            restart("nosuch")
        assert (raised.value.reason, raised.value.happened) == ("not_found", False)


def test_no_engine(tmp_path: Path) -> None:
    for url in (f"unix://{tmp_path}/nosuch", "http://127.0.0.1:9"):
        with pytest.raises(Foreign) as raised:
            BACKEND.check(BACKEND.build({"url": url, "project": "shop"}))
        assert (raised.value.reason, raised.value.happened) == ("unreachable", False)


def test_doctor_is_told_the_version(server: Double) -> None:
    assert BACKEND.check(client(server)) == "Docker engine 20.10.24+dfsg1 answers for project shop"


@pytest.mark.parametrize("settings", [{}, {"project": "a", "url": "tcp://x"}, {"project": "a", "url": "unix://x/y"}])
def test_wrong_settings_are_named(settings: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="compose needs"):
        BACKEND.build(settings)


@pytest.mark.parametrize(
    "raw, text",
    [(b"", ""), (b"plain of a terminal\n", "plain of a terminal\n"), (framed("a\n") + framed("b")[:-1], "a\n")],
)
def test_logs_with_and_without_frames(raw: bytes, text: str) -> None:
    assert unframed(raw) == text
