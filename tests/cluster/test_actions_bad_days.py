"""A guarded change of a cluster on a bad day: races, a target that moves, a wire that breaks, a bot that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from bot.desk import Reply
from bot.model import PlanState
from playground.kube import Cluster
from tests.cluster.cluster import autoscaler
from tests.cluster.desk import ACCOUNT, BOB, CAROL, MakeTown, grant, image, refusal, restart, roll
from tests.cluster.proxy import Answer, Cut, FaultProxy, Hang, Meanwhile


def patches(proxy: FaultProxy) -> int:
    """Changes that reached the server; its dry runs are none."""
    return sum(
        one.verb == "PATCH" and one.status == 200 and "dryRun" not in one.path and "/scale" not in one.path
        for one in proxy.seen
    )


def two_versions(cluster: Cluster, namespace: str) -> str:
    roll(cluster, namespace, "v1")
    return roll(cluster, namespace, "v2")


def test_two_approvers_race_and_it_is_done_once(
    cluster: Cluster, namespace: str, town: MakeTown, proxy: FaultProxy
) -> None:
    where = two_versions(cluster, namespace)
    here = town(server=proxy.url)
    plan = here.ask("rollback web")
    start = threading.Barrier(2)
    replies: list[Reply] = []

    def click(who: object) -> None:
        start.wait()
        replies.append(here.approve(who, plan=plan))  # type: ignore[arg-type]

    threads = [threading.Thread(target=click, args=(who,)) for who in (BOB, CAROL)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.refused for one in replies) == [False, True], [one.text for one in replies]
    here.work(until=lambda one: one.is_ended)
    assert here.plan.state is PlanState.VERIFIED, here.plan.ended_why
    assert patches(proxy) == 1
    assert image(cluster, where).endswith("web:v1")


@pytest.mark.parametrize("what", ["image", "scaled", "restarted", "replaced", "autoscaler"])
def test_a_target_that_moves_after_the_preview_voids_the_approval(
    cluster: Cluster, namespace: str, town: MakeTown, what: str
) -> None:
    """Danger: people approved something else than what would be done now."""
    where = two_versions(cluster, namespace)
    here = town()
    here.ask("rollback web")
    moves: dict[str, Callable[[], object]] = {
        "image": lambda: roll(cluster, namespace, "v3"),
        "scaled": lambda: cluster.api.patch(where, {"spec": {"replicas": 3}}),
        "restarted": lambda: restart(cluster, where),
        "replaced": lambda: (cluster.api.delete(where), cluster.wait(lambda: not cluster.api.exists(where)),
                             roll(cluster, namespace, "v2")),
        "autoscaler": lambda: cluster.apply([autoscaler("web", 1, 5)], namespace=namespace),
    }  # fmt: skip
    moves[what]()
    before = image(cluster, where)
    voided = here.plan
    here.approve()
    here.work(until=lambda one: one.id != voided.id and (one.draft is not None or one.is_ended))
    found = here.store.incident(here.store.incident_of_plan(voided.id) or "")
    assert found is not None
    old = found.plan(voided.id)
    assert old is not None
    assert old.state is PlanState.VOID, old.ended_why
    assert here.plan.replaces == voided.id
    assert here.plan.state in (PlanState.PENDING, PlanState.REFUSED), "what was approved before does not carry over"
    assert image(cluster, where) == before


def test_somebody_who_is_faster_by_a_moment_is_not_overwritten(
    cluster: Cluster, namespace: str, town: MakeTown, proxy: FaultProxy
) -> None:
    """Between our last look and our patch somebody else deploys: the tests in the patch fail, the plan stops."""
    where = two_versions(cluster, namespace)
    here = town(server=proxy.url)
    here.ask("rollback web")
    proxy.on("PATCH", r"/deployments/web\?", Meanwhile(do=lambda: roll(cluster, namespace, "v3", wait=False)))
    done = here.finish()
    assert done.state is PlanState.FAILED
    assert "was changed by" in done.ended_why
    assert image(cluster, where).endswith("web:v3")


@pytest.mark.parametrize(
    "fault",
    [Cut(after_write=True), Cut(), Answer(status=500), Answer(status=503), Answer(status=429, retry_after_s=1),
     Answer(status=409), Hang(seconds=6, after_write=True)],
    ids=["cut after the write", "cut before", "500", "503", "429", "409", "no answer after the write"],
)  # fmt: skip
def test_an_answer_that_is_lost_is_looked_for_and_never_doubled(
    cluster: Cluster, namespace: str, town: MakeTown, proxy: FaultProxy, fault: Cut | Answer | Hang
) -> None:
    where = two_versions(cluster, namespace)
    here = town(server=proxy.url)
    here.ask("rollback web")
    proxy.on("PATCH", r"/deployments/web\?", fault)
    done = here.finish()
    assert done.state is PlanState.VERIFIED, done.ended_why
    assert patches(proxy) == 1
    assert image(cluster, where).endswith("web:v1")


@pytest.mark.timeout(200)
def test_the_api_server_is_down_for_half_a_minute_in_the_middle(
    own_cluster: Cluster, namespace: str, town: MakeTown
) -> None:
    where = two_versions(own_cluster, namespace)
    # Half a minute without an API server is no progress either; the template's few seconds would end the roll-out.
    own_cluster.api.patch(where, {"spec": {"progressDeadlineSeconds": 120}})
    here = town(watch_for=timedelta(seconds=100))
    here.ask("rollback web")
    here.approve()
    here.work(until=lambda plan: plan.state in (PlanState.RUNNING, PlanState.WATCHING))
    own_cluster.stop_apiserver()
    try:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            here.step()
        assert not here.plan.is_ended, here.plan.ended_why
    finally:
        own_cluster.start_apiserver()
    here.work(until=lambda plan: plan.is_ended, within_s=100)
    assert here.plan.state is PlanState.VERIFIED, here.plan.ended_why
    assert image(own_cluster, where).endswith("web:v1")


def test_the_bot_is_killed_between_the_patch_and_its_record(
    cluster: Cluster, namespace: str, town: MakeTown, proxy: FaultProxy, tmp_path: Path
) -> None:
    """Another process finds a begun step: it looks, sees that it is done, and does not do it again."""
    where = two_versions(cluster, namespace)
    here = town(server=proxy.url)
    here.ask("rollback web")
    here.approve()
    proxy.on("PATCH", r"/deployments/web\?", Hang(after_write=True))
    kubeconfig = cluster.service_account_kubeconfig(*ACCOUNT, server=proxy.url)
    program = f"""
        from pathlib import Path
        from tests.cluster.desk import Town
        town = Town(Path({str(kubeconfig)!r}), {namespace!r}, Path({str(tmp_path / "bot.db")!r}))
        town.work(until=lambda plan: plan.is_ended)
    """
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    bot = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], cwd=root, env=environment)
    try:
        cluster.wait(lambda: image(cluster, where).endswith("web:v1"), what="the patch of the bot that will be killed")
    finally:
        bot.send_signal(signal.SIGKILL)
        bot.wait(10)
    proxy.heal()
    assert not here.plan.is_ended
    here.store.expire_leases(here.now(), of_others_than="nobody")
    here.work(until=lambda plan: plan.is_ended)
    assert here.plan.state is PlanState.VERIFIED, here.plan.ended_why
    assert patches(proxy) == 1
    assert [step.attempts for step in here.plan.steps if not step.proves] == [1]


@pytest.mark.parametrize(
    "words, but, rule",
    [
        ("rollback web", ("patch", "deployments"), "patch deployments in apps"),
        ("rollback web", ("list", "replicasets"), "list replicasets in apps"),
        ("restart web", ("patch", "deployments"), "patch deployments in apps"),
        ("scale web 3", ("patch", "deployments/scale"), "patch deployments/scale in apps"),
        ("pause web", ("patch", "deployments"), "patch deployments in apps"),
        ("job nightly", ("create", "jobs"), "create jobs in batch"),
    ],
)
def test_a_missing_permission_refuses_before_anybody_is_asked(
    cluster: Cluster, namespace: str, town: MakeTown, words: str, but: tuple[str, str], rule: str
) -> None:
    roll(cluster, namespace, "v1")
    here = town(jobs=("nightly",))
    grant(cluster, namespace, but=but)
    cluster.wait(lambda: rule in _why(here, words), what="the role is in force")
    assert "Nobody was asked to approve" in refusal(here.ask(words))


def _why(here: object, words: str) -> str:
    plan = here.ask(words)  # type: ignore[attr-defined]
    if plan.state is PlanState.PENDING:
        here.desk.click_reject(plan.id, "not yet", _asker())  # type: ignore[attr-defined]
    return str(plan.ended_why)


def _asker() -> object:
    from bot.desk import Asker

    return Asker(who=BOB)


def test_a_roll_back_that_cannot_work_ends_as_failed(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    """The version that was good once does not come up any more: done is not said."""
    roll(cluster, namespace, "missing", wait=False)
    cluster.wait(lambda: cluster.api.get(f"/apis/apps/v1/namespaces/{namespace}/replicasets")["items"])
    roll(cluster, namespace, "v2")
    here = town()
    plan = here.ask("rollback web to 1")
    assert plan.draft is not None
    assert "not shown to be known-good" in " ".join(plan.draft.warnings)
    done = here.finish()
    assert done.state is PlanState.FAILED
    assert "ImagePullBackOff" in done.ended_why or "deadline" in done.ended_why
    assert done.draft is not None
    back = here.do(f"rollback web to {done.draft.inverse['to']}")
    assert back.state is PlanState.VERIFIED, back.ended_why


def test_a_change_that_is_taken_back_is_no_success(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    """As a GitOps tool with self-healing does after a few seconds."""
    where = two_versions(cluster, namespace)
    here = town()
    here.ask("rollback web")
    here.approve()
    here.work(until=lambda plan: any(step.state == "done" for step in plan.steps))
    roll(cluster, namespace, "v2", wait=False)
    here.work(until=lambda plan: plan.is_ended)
    assert here.plan.state is PlanState.FAILED
    assert "Superseded: test-harness" in here.plan.ended_why or "Superseded" in here.plan.ended_why
    assert image(cluster, where).endswith("web:v2")
