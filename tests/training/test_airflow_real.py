"""A real Airflow 3, and a real Airflow 2, in environments of their own: what is asked of them and what they do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from bot.model import Outcome
from bot.policy.training import Argument, TrainingProfile
from bot.ports import Foreign
from handlers.backends.airflow import BACKEND, Airflow
from playground.airflow import DAG, Server
from playground.system.processes import wait_until
from tests.training.drive import Driver

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

TRAINING = TrainingProfile(
    name="nightly", backend="airflow", dag=DAG, conf={"wait": False}, watch_for=timedelta(minutes=3),
    arguments=(
        Argument(name="rows", is_number=True, default="100"),
        Argument(name="end", choices=("well", "few", "memory", "gate", "code"), default="well"),
    ),
)  # fmt: skip
WAITING = TrainingProfile(name="nightly", backend="airflow", dag=DAG, conf={"wait": True})
ENDS = [("few", "too few labels"), ("gate", "did not pass the gate"), ("memory", "out of memory")]


@pytest.fixture(scope="module", params=[3, 2], ids=["Airflow 3", "Airflow 2"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """One of each release for the whole module."""
    with Server(request.param) as running:
        yield running


@pytest.fixture
def airflow(server: Server) -> Iterator[Airflow]:
    """A client that may trigger; the pipeline runs and nothing of it is left over."""
    server.pause(False)
    (server.dags / "go").unlink(missing_ok=True)
    yield client(server)
    (server.dags / "go").touch()
    wait_until(
        lambda: all(run["state"] in ("success", "failed") for run in server.runs()), what="all has ended",
        timeout_seconds=60,
    )  # fmt: skip


def client(server: Server, name: str = "bot") -> Airflow:
    return BACKEND.build({"url": server.url, "username": name, "password": server.passwords[name]})


def driver(airflow: Airflow, training: TrainingProfile = TRAINING) -> Driver:
    return Driver(training, {"airflow": airflow})


def test_a_run_is_followed_task_by_task_to_its_good_end(server: Server, airflow: Airflow) -> None:
    one = driver(airflow, WAITING)
    draft = one.drawn()
    assert one.fingerprint() == draft.fingerprint
    before = len(server.runs())
    one.follow(within_s=60, until=lambda seen: "task read_labels (0 of 2 tasks done)" in seen.detail)
    assert "runs already (mlops-nightly-" in driver(airflow).refused(), "a second one is refused before approval"
    assert one.plan is not None
    key = next(run["dag_run_id"] for run in server.runs() if run["state"] == "running")
    airflow.start(WAITING, key, {}, "once more, as after a crash")
    (server.dags / "go").touch()
    assert one.follow(within_s=90).outcome is Outcome.DONE
    assert one.told[-1].startswith("It ended well after ")
    assert len(server.runs()) == before + 1
    [run] = [run for run in server.runs() if run["dag_run_id"] == key]
    assert run["conf"] == {"wait": True}
    assert run["note"] == "plan PLN-1, asked for by mlops-bot"
    now = datetime.now(UTC)
    begins = [began_at for began_at, _ in airflow.ran(WAITING, now - timedelta(hours=1), now, 1)]
    assert begins == [datetime.fromisoformat(run["start_date"])], "the newest only"
    assert airflow.ran(WAITING, now - timedelta(hours=2), now - timedelta(hours=1), 5) == []


@pytest.mark.parametrize("end, words", ENDS)
def test_a_failed_run_says_why(airflow: Airflow, end: str, words: str) -> None:
    one = driver(airflow)
    one.drawn(f"retrain rank end={end} rows=12", plan_id=f"PLN-{end}")
    seen = one.follow(within_s=90)
    assert seen.outcome is Outcome.FAILED
    assert words in seen.detail
    assert "task fit of run mlops-nightly-" in seen.detail


def test_what_would_fail_is_refused_before_anybody_is_asked(server: Server, airflow: Airflow) -> None:
    runs = len(server.runs())
    server.pause(True)
    assert f"DAG {DAG} is paused" in driver(airflow).refused()
    server.pause(False)
    assert "does not let eve trigger" in driver(client(server, "eve")).refused()
    nobody = BACKEND.build({"url": server.url, "username": "bot", "password": "wrong"})
    with pytest.raises(Foreign) as raised:
        driver(nobody).ask()
    assert raised.value.reason == "refused"
    assert "wrong" not in raised.value.sentence
    missing = TrainingProfile(name="n", backend="airflow", dag="nosuch")
    assert "has no DAG nosuch" in driver(airflow, missing).refused()
    assert len(server.runs()) == runs, "asking whether we may leaves nothing behind"
    assert BACKEND.check(airflow).endswith("its scheduler is alive")


def test_a_file_that_broke_is_refused(server: Server, airflow: Airflow) -> None:
    file = server.dags / "retraining.py"
    good = file.read_text()
    try:
        file.write_text("import nosuch_module\n" + good)
        wait_until(
            lambda: server.call("GET", f"/dags/{DAG}").json()["has_import_errors"], what="Airflow sees it",
            timeout_seconds=60,
        )  # fmt: skip
        assert "has import errors" in driver(airflow).refused()
    finally:
        file.write_text(good)
    wait_until(
        lambda: not server.call("GET", f"/dags/{DAG}").json()["has_import_errors"], what="Airflow sees it",
        timeout_seconds=60,
    )  # fmt: skip


def test_airflow_dies_in_the_middle_and_comes_back(server: Server, airflow: Airflow) -> None:
    """Its web server dies by kill -9 while a run is followed: that is said, and the run is followed on, once."""
    one = driver(airflow, WAITING)
    one.drawn(plan_id="PLN-kill")
    before = len(server.runs())
    one.follow(within_s=60, until=lambda seen: "task read_labels" in seen.detail)
    server.kill(server.programs[0])
    one.follow(within_s=20, until=lambda seen: "the connection was refused" in seen.detail)
    server.start(server.programs[0])
    server.wait_until_up(with_scheduler=False)
    one.follow(within_s=30, until=lambda seen: "task read_labels" in seen.detail)
    (server.dags / "go").touch()
    assert one.follow(within_s=90).outcome is Outcome.DONE
    assert len(server.runs()) == before + 1


def test_a_dead_scheduler_is_named(server: Server, airflow: Airflow) -> None:
    """Nothing fails and nothing goes on: the message must not stay at “runs”."""
    one = driver(airflow)
    one.drawn(plan_id="PLN-scheduler")
    server.kill("scheduler")
    try:
        one.follow(within_s=60, until=lambda seen: "scheduler gives no sign of life since" in seen.detail)
        assert (
            "scheduler gives no sign of life" in driver(airflow).refused()
            or "runs already" in driver(airflow).refused()
        )
    finally:
        server.start("scheduler")
        server.wait_until_up()
    assert one.follow(within_s=120).outcome is Outcome.DONE
