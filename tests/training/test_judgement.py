"""Why a training failed: what is certain first, then the profile, then what the log says last."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.model import Outcome
from bot.policy import JobProfile, ModelProfile, System
from bot.policy.training import NEXT_STEPS, TITLES, Argument, Cause, TrainingProfile, judge, pattern_fault
from bot.ports import Foreign, Ready, Run, Scene, Thing
from bot.registry import load
from handlers.actions._training import coarse, failure, run_key
from tests.handlers.fakes import FakeRegistry, plan_of, version
from tests.training.drive import MODEL, Driver

TRAINING = TrainingProfile(name="nightly", backend="there", command=("train",))


def cause(log: str = "", code: int | None = 1, profile: TrainingProfile = TRAINING, **more: bool) -> Cause:
    given = {"is_out_of_memory": False, "is_over_time": False, **more}
    return judge(profile, exit_code=code, log=log, **given)[0]


@pytest.mark.parametrize(
    "log, expected",
    [
        ("ValueError: too few labels: 12 of 200", Cause.TOO_FEW_LABELS),
        ("not enough labelled rows", Cause.TOO_FEW_LABELS),
        ("Not enough training samples in window", Cause.TOO_FEW_LABELS),
        ("ValueError: The least populated class in y has only 1 member", Cause.TOO_FEW_LABELS),
        ("insufficient data", Cause.TOO_FEW_LABELS),
        ("pandera.errors.SchemaError: expected series 'age' to have type int64", Cause.VALIDATION),
        ("data validation of batch 7 failed", Cause.VALIDATION),
        ("Expectation expect_column_values_to_not_be_null failed", Cause.VALIDATION),
        ("Evaluation gate rejected the challenger", Cause.GATE),
        ("challenger is not better than champion (F1 0.71 against 0.72)", Cause.GATE),
        ("model refused by the evaluation gate", Cause.GATE),
        ("MemoryError", Cause.OUT_OF_MEMORY),
        ("torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", Cause.OUT_OF_MEMORY),
        ("Task exited with return code -9", Cause.KILLED),
        ("terminate called after throwing an instance of 'std::bad_alloc'", Cause.OUT_OF_MEMORY),
        ("KeyError: 'label'", Cause.CODE),
        ("", Cause.CODE),
        # What was good news, or was said before the end, is not the cause.
        ("data validation passed\ngate passed\nZeroDivisionError: division by zero", Cause.CODE),
        ("warning: too few labels for class 7, dropped\nMemoryError", Cause.OUT_OF_MEMORY),
        ("MemoryError in fold 1, retrying with less\nthe gate refused the model", Cause.GATE),
    ],
)
def test_the_last_line_that_says_a_cause_decides(log: str, expected: Cause) -> None:
    assert cause(log) is expected


@pytest.mark.parametrize(
    "code, expected",
    [
        (-9, Cause.KILLED), (137, Cause.KILLED), (-15, Cause.STOPPED), (143, Cause.STOPPED),
        (130, Cause.STOPPED), (2, Cause.CODE), (None, Cause.CODE), (0, Cause.CODE),
    ],
)  # fmt: skip
def test_an_exit_code_says_what_a_log_cannot(code: int | None, expected: Cause) -> None:
    assert cause("epoch 3", code) is expected


def test_what_is_certain_comes_first() -> None:
    known = replace(TRAINING, exits={3: Cause.GATE}, patterns=((Cause.VALIDATION, "rows are odd"),))
    assert cause("too few labels", 3, known, is_out_of_memory=True) is Cause.OUT_OF_MEMORY
    assert cause("too few labels", 3, known, is_over_time=True) is Cause.TIME
    assert cause("too few labels", 3, known) is Cause.GATE, "the profile's exit code before the log"
    assert cause("rows are odd: out of memory", 1, known) is Cause.VALIDATION, "its patterns before ours"
    assert cause("rows are fine", -9, known) is Cause.KILLED


def test_every_cause_has_words_and_a_next_step() -> None:
    assert set(TITLES) == set(NEXT_STEPS) == set(Cause)
    for one in Cause:
        told = failure(replace(TRAINING, exits={9: one}), Run(state="failed", exit_code=9), timedelta(minutes=3))
        assert told.startswith(f"Failed after 3 min: {TITLES[one]} (exit code 9). ") or one is Cause.TIME
        assert told.endswith(".")


def test_a_hostile_log_is_a_line_of_words() -> None:
    log = "\x1b[31m<!channel> error: {{7*7}} token=abcdef\n" + "x" * 100_000 + " error " + "y" * 100_000
    told = failure(TRAINING, Run(state="failed", exit_code=1, log=log), timedelta(seconds=5))
    assert len(told) < 500
    assert "abcdef" not in told


@pytest.mark.parametrize(
    "argument, value, is_let_through",
    [
        (Argument(name="a", pattern="[0-9]+"), "12", True),
        (Argument(name="a", pattern="[0-9]+"), "12\n", False),
        (Argument(name="a", pattern=".*"), "a b", False),
        (Argument(name="a", pattern=".*"), "--help", False),
        (Argument(name="a", pattern=".*"), "$(id)", False),
        (Argument(name="a", pattern=".*"), "x" * 81, False),
        (Argument(name="a", choices=("x", "y")), "y", True),
        (Argument(name="a", choices=("x", "y")), "z", False),
        (Argument(name="a", is_number=True), "1.5", True),
        (Argument(name="a", is_number=True), "1e9", False),
        (Argument(name="a", is_number=True), "٣", False),
        (Argument(name="a", is_number=True, pattern="[1-9]"), "12", False),
    ],
)
def test_what_an_argument_may_be(argument: Argument, value: str, is_let_through: bool) -> None:
    assert (argument.fault(value) == "") is is_let_through


def test_patterns_are_judged_when_they_are_written() -> None:
    assert pattern_fault("a+") == ""
    assert "no regular expression" in pattern_fault("a(")
    assert "empty" in pattern_fault(" ")


@pytest.mark.parametrize(
    "seconds, words",
    [(0, "under 10 s"), (14, "10 s"), (59, "50 s"), (61, "1 min"), (599, "9 min"), (1000, "15 min"), (9000, "2 h")],
)
def test_a_growing_time_changes_in_steps(seconds: float, words: str) -> None:
    assert coarse(timedelta(seconds=seconds)) == words


# what is proven at the end


class There:
    """Something that runs trainings, told by the test what it sees."""

    place = ""

    def __init__(self) -> None:
        self.sees: Run | Foreign | None = Run(state="succeeded")
        self.started: list[str] = []

    def ready(self, training: TrainingProfile, values: Any) -> Ready:
        return Ready(what="a thing", start="Run it.", facts={"running": "none"})

    def start(self, training: TrainingProfile, key: str, values: Any, note: str) -> None:
        self.started.append(key)

    def run(self, training: TrainingProfile, key: str) -> Run | None:
        if isinstance(self.sees, Foreign):
            raise self.sees
        return self.sees


class Registry(FakeRegistry):
    """The fakes' registry for this model."""

    def _may(self, what: str, model: str) -> None:
        assert model == MODEL
        if what in self.trouble:
            raise self.trouble[what]


def proven(registry: Registry, training: TrainingProfile = TRAINING) -> Driver:
    return Driver(training, {"there": There(), "registry": registry}, registry="registry")


def test_a_good_end_without_a_new_version_is_no_success() -> None:
    registry = Registry()
    one = proven(registry)
    assert [step.name for step in one.drawn().steps] == ["start_training", "prove_ended", "prove_registered"]
    seen = one.follow()
    assert seen.outcome is Outcome.FAILED
    assert "has no version newer than v3: nothing came of it" in seen.detail


def test_a_new_version_is_waited_for_until_it_is_ready() -> None:
    registry = Registry()
    one = proven(registry)
    one.drawn()
    one.perform()
    one.perform()
    registry.known.append(version("4", status="PENDING_REGISTRATION"))
    assert one.perform().detail == "v4 is registered and still PENDING_REGISTRATION."
    registry.trouble["versions"] = Foreign("unreachable", "The registry does not answer.", happened=False)
    assert one.perform().detail == "The registry does not answer."
    registry.trouble.clear()
    registry.known[-1] = version("4")
    seen = one.perform()
    assert (seen.outcome, "v4 is registered. It serves nobody yet" in seen.detail) == (Outcome.DONE, True)


def test_an_older_version_that_went_away_is_no_new_one() -> None:
    registry = Registry()
    one = proven(registry)
    one.drawn()
    registry.known = [version("2"), version("1")]
    assert one.follow().outcome is Outcome.FAILED


def test_the_first_version_of_a_model_counts() -> None:
    registry = Registry()
    registry.trouble["versions"] = Foreign("not_found", "There is no such model.", happened=False)
    one = proven(registry)
    assert "a version of it" in one.drawn().steps[-1].sentence
    registry.trouble.clear()
    registry.known = [version("1")]
    assert one.follow().outcome is Outcome.DONE


def test_a_profile_may_say_that_nothing_is_registered() -> None:
    one = proven(Registry(), replace(TRAINING, registers=False))
    assert len(one.drawn().steps) == 2
    assert one.follow().outcome is Outcome.DONE


def test_a_run_that_never_begins_is_called_unknown() -> None:
    one = Driver(replace(TRAINING, queue_for=timedelta(seconds=1)), {"there": There()})
    there = one.backends["there"]
    assert isinstance(there, There)
    one.drawn()
    there.sees = Run(state="waiting")
    one.perform()
    seen = one.follow(within_s=20)
    assert seen.outcome is Outcome.UNKNOWN
    assert "has not begun" in seen.detail


def test_a_run_that_surely_is_not_there_is_started_under_the_same_name_again() -> None:
    one = Driver(TRAINING, {"there": There()})
    there = one.backends["there"]
    assert isinstance(there, There)
    one.drawn()
    there.sees = None
    assert [one.perform().outcome, one.observe().outcome, one.perform().outcome] == [Outcome.NOT_YET] * 3
    assert one.plan is not None
    assert there.started == [run_key(TRAINING, one.plan)] * 2


class Cluster:
    """A cluster with one failed Job and its pod, as the API tells them."""

    def __init__(self, terminated: dict[str, Any], log: str) -> None:
        self.pod = {"metadata": {"name": "nightly-abc"}, "status": {"containerStatuses": [
            {"name": "sidecar", "state": {"terminated": {"exitCode": 0}}},
            {"name": "train", "state": {"terminated": terminated}},
        ]}}  # fmt: skip
        self.log: str | Foreign = log
        self.asked: list[Any] = []

    def get(self, thing: Thing) -> dict[str, Any]:
        told = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}
        return {"metadata": {"name": thing.name}, "status": {"conditions": [told]}}

    def list(self, thing: Thing, *, labels: str) -> list[dict[str, Any]]:
        self.asked.append(labels)
        return [self.pod]

    def logs(self, pod: Thing, container: str, *, lines: int) -> str:
        self.asked.append((pod.name, container))
        if isinstance(self.log, Foreign):
            raise self.log
        return self.log


@pytest.mark.parametrize(
    "terminated, log, words",
    [
        ({"exitCode": 137, "reason": "OOMKilled"}, "epoch 1", "out of memory (exit code 137)"),
        ({"exitCode": 1}, "too few labels: 3\n", "too few labels (exit code 1). Its log: “too few labels: 3”"),
        ({"exitCode": 1}, Foreign("refused", "No.", happened=False), "failed: BackoffLimitExceeded. Look at the log"),
    ],
)
def test_a_failed_job_of_a_cluster_is_classified_too(terminated: dict[str, Any], log: Any, words: str) -> None:
    cluster = Cluster(terminated, "")
    cluster.log = log
    job = JobProfile(name="nightly", backend="k", namespace="shop", cronjob="nightly")
    model = ModelProfile(name=MODEL, service="ranker", retrain="nightly")
    scene = Scene(
        now=datetime.now(UTC), system=System(name="shop", models=(model,), jobs=(job,)), model=model, service="ranker",
        backends={"k": cluster},
    )  # fmt: skip
    draft = proven(Registry()).drawn()
    plan = plan_of("retrain", draft, request={"model": MODEL, "job": "nightly"})
    seen = load().actions["retrain"].perform(scene, plan, "prove_ended")
    assert seen.outcome is Outcome.FAILED
    assert words in seen.detail
    assert cluster.asked[1] == ("nightly-abc", "train")
    assert cluster.asked[0].startswith("job-name=nightly-")
