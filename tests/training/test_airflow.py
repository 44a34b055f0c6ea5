"""Airflow 2 and 3 on the wire: one run per plan, followed by task, and every refusal before anybody is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.model import Outcome
from bot.policy.training import Argument, TrainingProfile
from bot.ports import Foreign
from handlers.backends.airflow import BACKEND, Airflow
from tests.handlers import odd_server
from tests.training.airflow_double import DAG, PASSWORDS, Double, airflow
from tests.training.drive import Driver

TRAINING = TrainingProfile(
    name="nightly", backend="airflow", dag=DAG, conf={"team": "ml"},
    arguments=(Argument(name="rows", is_number=True, default="100"),),
)  # fmt: skip


@pytest.fixture(params=["v2", "v1"], ids=["Airflow 3", "Airflow 2"])
def server(request: pytest.FixtureRequest) -> Iterator[Double]:
    with airflow(request.param) as state:
        yield state


def client(server: Double, name: str = "bot", **more: str) -> Airflow:
    return BACKEND.build({"url": server.url, "username": name, "password": PASSWORDS[name], **more})


def driver(server: Double, name: str = "bot", training: TrainingProfile = TRAINING) -> Driver:
    return Driver(training, {"airflow": client(server, name)})


def test_a_run_is_triggered_once_and_followed_by_task(server: Double) -> None:
    one = driver(server)
    draft = one.drawn("retrain rank rows=250")
    assert "trigger one run of DAG retraining with team = ml, rows = 250" in draft.steps[0].sentence
    assert draft.to == ("DAG retraining, version 1" if server.api == "v2" else "DAG retraining")
    assert one.fingerprint() == draft.fingerprint
    assert server.runs == {}, "asking whether we may trigger leaves nothing behind"

    assert one.perform().outcome is Outcome.DONE
    [key] = server.runs
    assert server.runs[key]["conf"] == {"team": "ml", "rows": 250}
    assert server.runs[key]["note"] == "plan PLN-1, asked for by mlops-bot"
    assert one.perform().detail == "Waits to begin, under 10 s so far."
    server.set(key, "running", read_labels="running")
    assert one.perform().detail == "Runs, under 10 s so far: task read_labels (0 of 2 tasks done)."
    server.set(key, "running", read_labels="success", fit="up_for_retry")
    assert "task fit (1 of 2 tasks done; it failed once and is tried again)" in one.perform().detail
    server.set(key, "success", fit="success")
    assert one.perform().outcome is Outcome.DONE
    assert server.logins == (1 if server.api == "v2" else 0), "one token serves all calls"


def test_whoever_tries_again_finds_the_run(server: Double) -> None:
    """The danger: the answer of the trigger is lost, and a second run is started."""
    server.lose_answer = True
    one = driver(server)
    one.drawn()
    with pytest.raises(Foreign) as raised:
        one.perform()
    assert raised.value.happened is None
    assert one.observe().outcome is Outcome.DONE
    [key] = server.runs
    one.backends["airflow"].start(TRAINING, key, {"rows": "100"}, "")  # type: ignore[attr-defined]
    assert list(server.runs) == [key]


def test_a_run_of_the_same_moment_is_not_ours(server: Double) -> None:
    """Airflow 2 answers 409 for another run's date too: taking that for ours would follow nothing."""
    server.same_moment = True
    one = driver(server)
    one.drawn()
    seen = one.perform()
    assert (seen.outcome, server.runs) == (Outcome.NOT_YET, {})
    assert one.perform().outcome is Outcome.DONE
    assert len(server.runs) == 1


@pytest.mark.parametrize(
    "change, words",
    [
        ({"paused": True}, "is paused: a run would wait for ever"),
        ({"import_errors": True}, "has import errors"),
        ({"gone": True}, "is gone from Airflow's files"),
        ({"scheduler": "unhealthy"}, "scheduler gives no sign of life since 06:07 UTC"),
    ],
)
def test_what_would_not_run_is_refused_before_approval(server: Double, change: dict[str, Any], words: str) -> None:
    for name, value in change.items():
        setattr(server, name, value)
    assert words in driver(server).refused()


def test_a_running_run_and_a_missing_right_are_refused_before_approval(server: Double) -> None:
    assert "does not let eve trigger retraining. Give that user the right" in driver(server, "eve").refused()
    one = driver(server)
    one.drawn()
    one.perform()
    assert "runs already (mlops-nightly-" in driver(server).refused()
    other = TrainingProfile(name="n", backend="airflow", dag="nosuch")
    assert "has no DAG nosuch" in driver(server, training=other).refused()


@pytest.mark.parametrize("change", [{"paused": True}, {"import_errors": True}])
def test_what_moved_since_the_preview_voids_the_plan(server: Double, change: dict[str, Any]) -> None:
    one = driver(server)
    draft = one.drawn()
    for name, value in change.items():
        setattr(server, name, value)
    assert one.fingerprint() != draft.fingerprint


def test_another_version_of_the_pipeline_voids_the_plan() -> None:
    with airflow("v2") as server:
        one = driver(server)
        draft = one.drawn()
        server.version = 2
        assert (draft.fingerprint["version"], one.fingerprint()["version"]) == ("1", "2")


@pytest.mark.parametrize(
    "raised, words",
    [
        ("ValueError: too few labels: 12 of 200", "too few labels. Its log: “ValueError: too few labels: 12 of 200”"),
        ("RuntimeError: the evaluation gate refused it", "the new model did not pass the gate"),
        ("pandera.errors.SchemaError: column age", "the data did not pass their checks"),
        ("MemoryError: ", "out of memory"),
        ("KeyError: labels", "the training program broke. Its log: “KeyError: labels”"),
        ("", "the training program broke"),
    ],
)
def test_a_failed_run_is_classified_by_the_failed_tasks_log(server: Double, raised: str, words: str) -> None:
    one = driver(server)
    one.drawn()
    one.perform()
    [key] = server.runs
    server.log, server.raised = ["training on 100 rows", "token=hunter2hunter2"], raised
    server.set(key, "failed", read_labels="success", fit="failed")
    seen = one.perform()
    assert seen.outcome is Outcome.FAILED
    assert words in seen.detail
    assert "hunter2" not in seen.detail
    assert f"task fit of run {key} in Airflow" in seen.detail


def test_a_run_that_somebody_marked_as_failed(server: Double) -> None:
    one = driver(server)
    one.drawn()
    one.perform()
    server.set(next(iter(server.runs)), "failed", read_labels="success")
    assert "No task of it failed: it was marked as failed" in one.perform().detail


def test_a_run_that_was_removed_is_unknown(server: Double) -> None:
    one = driver(server)
    one.drawn()
    one.perform()
    server.runs.clear()
    seen = one.perform()
    assert (seen.outcome, "is gone: somebody removed it" in seen.detail) == (Outcome.UNKNOWN, True)


def test_a_dead_scheduler_is_named_while_it_is_followed(server: Double) -> None:
    one = driver(server)
    one.drawn()
    one.perform()
    server.scheduler = "unhealthy"
    seen = one.perform()
    assert seen.outcome is Outcome.NOT_YET
    assert "scheduler gives no sign of life since 06:07 UTC" in seen.detail


def test_a_token_that_ran_out_is_renewed_once() -> None:
    with airflow("v2") as server:
        one = driver(server)
        one.drawn()
        server.valid.clear()
        assert one.perform().outcome is Outcome.DONE
        assert server.logins == 2


def test_a_given_token_is_used_as_it_is_and_a_refused_one_says_so(server: Double) -> None:
    server.valid.add("jwt-bot-given")
    one = Driver(TRAINING, {"airflow": BACKEND.build({"url": server.url, "token": "jwt-bot-given"})})
    one.drawn()
    server.valid.clear()
    with pytest.raises(Foreign) as raised:
        one.perform()
    assert (raised.value.reason, raised.value.happened) == ("refused", False)
    assert "jwt-bot-given" not in raised.value.sentence


def test_a_wrong_password_is_told_without_it(server: Double) -> None:
    wrong = BACKEND.build({"url": server.url, "username": "bot", "password": "not-the-one"})
    with pytest.raises(Foreign) as raised:
        Driver(TRAINING, {"airflow": wrong}).ask()
    assert (raised.value.reason, raised.value.happened) == ("refused", False)
    assert "not-the-one" not in raised.value.sentence


@pytest.mark.parametrize("status, reason", [(500, "broken"), (302, "invalid")])
def test_an_airflow_in_trouble_is_told_by_a_bounded_reason(server: Double, status: int, reason: str) -> None:
    one = driver(server)
    one.drawn()
    server.status = status
    with pytest.raises(Foreign) as raised:
        one.perform()
    assert (raised.value.reason, raised.value.happened) == (reason, None if status == 500 else False)


@pytest.mark.parametrize("status", [429, 503])
def test_an_airflow_that_has_no_time_is_asked_again(server: Double, status: int) -> None:
    one = driver(server)
    one.drawn()
    server.status = status
    if status == 429:  # refused before it was looked at
        seen = one.perform()
        assert (seen.outcome, "Nothing was started" in seen.detail) == (Outcome.NOT_YET, True)
    else:  # perhaps carried out behind the door that said so
        with pytest.raises(Foreign) as raised:
            one.perform()
        assert (raised.value.reason, raised.value.happened) == ("overloaded", None)
    server.status = 0
    assert one.perform().outcome is Outcome.DONE
    assert len(server.runs) == 1


def test_something_else_at_its_address() -> None:
    with odd_server.answering(200, b"<html>login</html>") as page:
        odd = BACKEND.build({"url": page.url, "username": "bot", "password": "pw"})
        with pytest.raises(Foreign) as raised:
            Driver(TRAINING, {"airflow": odd}).ask()
    assert "answers neither /api/v2 nor /api/v1" in raised.value.sentence


def test_nobody_at_its_address() -> None:
    nobody = BACKEND.build({"url": "http://127.0.0.1:9", "token": "t", "api": "v2"})
    one = Driver(TRAINING, {"airflow": nobody})
    with pytest.raises(Foreign) as raised:
        one.ask()
    assert (raised.value.reason, raised.value.happened) == ("unreachable", False)


def test_doctor_is_told_version_and_scheduler(server: Double) -> None:
    words = BACKEND.check(client(server))
    assert words.startswith("Airflow 3.3.2" if server.api == "v2" else "Airflow 2.10.5")
    assert words.endswith("answers; its scheduler is alive")


@pytest.mark.parametrize(
    "settings, words",
    [
        ({}, "needs `url`"),
        ({"url": "http://a", "api": "v3"}, "`api` is v1"),
        ({"url": "http://a", "username": "bot"}, "belong together"),
        ({"url": "http://u:p@a"}, "holds a user or password"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, str], words: str) -> None:
    build: Callable[[dict[str, str]], Airflow] = BACKEND.build
    with pytest.raises(ValueError, match=words):
        build(settings)


def test_runs_of_whoever_started_them_are_told_newest_first(server: Double) -> None:
    until = datetime(2026, 3, 9, tzinfo=UTC)
    begins = [until - timedelta(hours=hours) for hours in (1, 30, 60, 400)]
    for number, began_at in enumerate(begins):
        ended = None if number == 0 else (began_at + timedelta(minutes=5)).isoformat()
        server.runs[f"scheduled__{number}"] = {
            "dag_run_id": f"scheduled__{number}", "dag_id": DAG, "state": "success",
            "start_date": began_at.isoformat(), "end_date": ended,
        }  # fmt: skip
    server.runs["queued"] = {"dag_run_id": "queued", "dag_id": DAG, "state": "queued", "start_date": None}
    found = client(server).ran(TRAINING, until - timedelta(days=7), until, 2)
    assert found == [(begins[0], None), (begins[1], begins[1] + timedelta(minutes=5))]
    server.status = 500
    with pytest.raises(Foreign, match="answered 500"):
        client(server).ran(TRAINING, until - timedelta(days=7), until, 2)
