"""What the beginning of a drift is held against: the ledger, our own plans, and the runs that a pipeline remembers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.drift.asked import Change
from bot.drift_changes import MOST_RUNS, changes
from bot.policy import JobProfile, System, WorkloadProfile
from bot.policy.training import TrainingProfile
from bot.ports import FIRST_LOOK, LOOKED, RELEASED, Foreign, Move, Thing
from bot.store import Store
from tests.engine.drift_lab import Lab, Retrain, rules
from tests.engine.office import MODEL, Clock, Office

NewOffice = Callable[..., Office]
TRAINING = TrainingProfile(name="features", backend="flows", dag="build_features")


class Flows:
    """A pipeline that remembers its runs."""

    def __init__(self, *runs: tuple[datetime, datetime | None], problem: Exception | None = None) -> None:
        self.runs, self.problem = runs, problem

    def ran(
        self, training: TrainingProfile, since: datetime, until: datetime, most: int
    ) -> Sequence[tuple[datetime, datetime | None]]:
        assert training is TRAINING
        if self.problem is not None:
            raise self.problem
        return [run for run in self.runs if since <= run[0] <= until][:most]


@pytest.fixture
def lab(file_store: Store, new_office: NewOffice, tmp_path: Path) -> Lab:
    return Lab(new_office(file_store, rules=rules(), lever=Retrain()), tmp_path)


def shop() -> System:
    service = WorkloadProfile(service="feeder", backend="cluster", kind="Deployment", namespace="shop", name="feeder")
    return replace(rules().system("shop"), workloads=(service,), trainings=(TRAINING,))


def moved(lab: Lab, about: str, what: str, from_: str, to: str, hours: float, told_by: str = LOOKED) -> None:
    """A move, seen at that many hours before now, ten seconds after the look before."""
    seen = lab.office.clock() - timedelta(hours=hours)
    with lab.office.store.begin() as tx:
        tx.add_move(Move(
            system="shop", model=about, what=what, from_=from_, to=to, earliest_at=seen - timedelta(seconds=10),
            latest_at=seen, told_by=told_by,
        ))  # fmt: skip


def near(lab: Lab, flows: Flows | None = None, days: int = 7) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    backends = {} if flows is None else {"flows": flows}
    return changes(lab.office.store, shop(), MODEL, backends, lab.office.clock(), days)


def test_the_ledger_tells_of_deploys_and_moves_and_silence_is_none(lab: Lab) -> None:
    moved(lab, MODEL, "alias champion", "", "2", 150, FIRST_LOOK)
    moved(lab, MODEL, "alias champion", "2", "3", 40)
    moved(lab, MODEL, "served", "", "2", 150, FIRST_LOOK)
    moved(lab, MODEL, "served", "2", "", 100)  # the server was down, and came back as it was
    moved(lab, MODEL, "served", "", "2", 99)
    moved(lab, "feeder", RELEASED, "", "aaaa", 150, FIRST_LOOK)
    moved(lab, "feeder", RELEASED, "aaaa", "", 21)  # under way for an hour
    moved(lab, "feeder", RELEASED, "", "bbbb", 20)
    moved(lab, "other", RELEASED, "x", "y", 10)  # nothing of this system's
    found, silent = near(lab)
    assert [one.what for one in found] == ["feeder was rolled out anew", f"champion of {MODEL} went from 2 to 3"]
    assert found[0].latest_at - found[0].earliest_at == timedelta(hours=1, seconds=10)
    assert silent == ()


def test_what_was_long_before_the_window_is_left_out(lab: Lab) -> None:
    moved(lab, MODEL, "alias champion", "1", "2", 24 * 40, FIRST_LOOK)
    moved(lab, MODEL, "alias champion", "2", "3", 24 * 10)
    assert near(lab) == ((), ())
    assert len(near(lab, days=14)[0]) == 1


def test_our_own_plans_are_changes(lab: Lab) -> None:
    office = lab.office
    lab.say(f"retrain {MODEL}")
    office.settle(5)
    assert near(lab) == ((), ()), "a plan that waits has changed nothing"
    office.approve(office.plan)
    office.settle(5)
    [found] = near(lab)[0]
    assert found.what.startswith(f"{office.plan.id} ran (")
    assert found.earliest_at == office.plan.started_at


def test_a_pipeline_tells_of_its_runs_unless_it_runs_all_the_time(lab: Lab, clock: Clock) -> None:
    begin = clock() - timedelta(hours=30)
    found, _ = near(lab, Flows((begin, begin + timedelta(minutes=20))))
    assert found == (
        Change(what="the pipeline features ran", earliest_at=begin, latest_at=begin + timedelta(minutes=20)),
    )
    hourly = Flows(*((clock() - timedelta(hours=hours), None) for hours in range(1, MOST_RUNS + 2)))
    assert near(lab, hourly) == ((), ()), "what fits every moment explains none"


def test_a_silent_pipeline_costs_its_own_part_and_is_named(lab: Lab) -> None:
    moved(lab, MODEL, "alias champion", "1", "2", 90, FIRST_LOOK)
    moved(lab, MODEL, "alias champion", "2", "3", 40)
    found, silent = near(lab, Flows(problem=Foreign("unreachable", "Airflow does not answer.")))
    assert len(found) == 1
    assert silent == ("Runs of features are not known: Airflow does not answer.",)


def test_an_odd_answer_of_a_pipeline_costs_no_report(lab: Lab) -> None:
    found, [said] = near(lab, Flows(problem=KeyError("start_date")))
    assert found == ()
    assert said.startswith("Runs of features are not known: reading them failed inside the bot")


def test_the_worker_is_told_of_them(lab: Lab) -> None:
    moved(lab, MODEL, "alias champion", "1", "2", 90, FIRST_LOOK)
    moved(lab, MODEL, "alias champion", "2", "3", 40)
    lab.say(f"drift {MODEL}")
    lab.settle(2)
    [asked] = lab.asked
    assert [one.what for one in asked.known.changes] == [f"champion of {MODEL} went from 2 to 3"]


class Cluster:
    """A cluster that still has some Jobs."""

    def __init__(self, *jobs: dict[str, Any]) -> None:
        self.jobs = jobs

    def list(self, thing: Thing, *, labels: str = "", fields: str = "") -> Sequence[dict[str, Any]]:
        assert (thing.kind.name, thing.namespace) == ("Job", "shop")
        return self.jobs


def job(owner: str, began: datetime | None, ended: datetime | None = None) -> dict[str, Any]:
    status = {"startTime": began and began.isoformat(), "completionTime": ended and ended.isoformat()}
    return {"metadata": {"ownerReferences": [{"kind": "CronJob", "name": owner}]}, "status": status}


def test_a_clusters_cron_job_tells_of_its_runs(lab: Lab, clock: Clock) -> None:
    begin = clock() - timedelta(hours=30)
    end = begin + timedelta(minutes=4)
    cluster = Cluster(
        job("export", begin, end), job("other", begin, end), job("export", None), job("export", begin - timedelta(30)),
        {"metadata": {}, "status": {}},
    )  # fmt: skip
    failed = {"type": "Failed", "status": "True", "lastTransitionTime": (end + timedelta(hours=1)).isoformat()}
    broken = job("export", begin + timedelta(hours=1))
    broken["status"]["conditions"] = [failed]
    cluster.jobs += (broken,)
    profile = JobProfile(name="rows", backend="k", namespace="shop", cronjob="export")
    here = replace(shop(), jobs=(profile,))
    found, silent = changes(lab.office.store, here, MODEL, {"k": cluster}, clock(), 7)
    assert [(one.what, one.earliest_at, one.latest_at) for one in found] == [
        ("the pipeline rows ran", begin + timedelta(hours=1), end + timedelta(hours=1)),
        ("the pipeline rows ran", begin, end),
    ]
    assert silent == ()
