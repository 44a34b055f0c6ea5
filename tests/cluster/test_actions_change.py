"""scale, restart, set-image, pause, resume, job and evict on a real cluster: outcome, guard and trap of each."""

from __future__ import annotations

import itertools

import pytest

from bot.desk import Asker
from bot.model import PlanState
from playground.kube import Cluster
from tests.cluster.cluster import autoscaler, cron_job, daemon_set, deployment, path, stateful_set, wait_available
from tests.cluster.desk import BOB, CAROL, DANA, MakeTown, image, refusal, roll
from tests.cluster.proxy import FaultProxy, Meanwhile

DIGEST = "sha256:" + "a" * 64


def replicas(cluster: Cluster, where: str) -> int:
    return int(cluster.api.get(where)["spec"]["replicas"])


def test_scale_sets_the_number_and_waits_for_the_pods(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    where = roll(cluster, namespace, "v1")
    here = town()
    done = here.do("scale web 4")
    assert done.state is PlanState.VERIFIED, done.ended_why
    assert "4 of 4 pods are ready" in done.ended_why
    assert cluster.api.get(where)["status"]["readyReplicas"] == 4
    assert done.draft is not None
    assert done.draft.inverse == {"service": "web", "to": "2"}
    assert "Nothing to do" in refusal(here.ask("scale web 4"))
    assert "1 to 10 replicas" in refusal(here.ask("scale web 11"))
    assert here.say("scale web -1").refused
    assert here.say("scale web 1.5").refused
    assert replicas(cluster, where) == 4


def test_scale_to_zero_and_back_takes_two(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    where = roll(cluster, namespace, "v1")
    here = town()
    plan = here.ask("scale web 0")
    assert plan.needed == 2
    assert plan.draft is not None
    assert "stops every pod" in " ".join(plan.draft.warnings)
    assert here.finish(BOB, CAROL).state is PlanState.VERIFIED
    assert replicas(cluster, where) == 0
    back = here.do("scale web 2")
    assert back.state is PlanState.VERIFIED, back.ended_why
    assert replicas(cluster, where) == 2


def test_a_number_outside_the_autoscalers_bounds_is_refused(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    """Trap: the autoscaler takes it back within seconds, and the person thinks that it helped."""
    where = roll(cluster, namespace, "v1")
    cluster.apply([autoscaler("web", 2, 4)], namespace=namespace)
    here = town()
    assert "HorizontalPodAutoscaler web keeps web between 2 and 4" in refusal(here.ask("scale web 7"))
    zero = here.ask("scale web 0")
    assert zero.draft is not None
    assert "switched off" in " ".join(zero.draft.warnings)
    assert replicas(cluster, where) == 2


def test_an_autoscaler_that_fights_back_is_not_called_success(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    """The autoscaler comes after the approval: the number is taken back, and the plan says so."""
    where = path(namespace, "deployments", "web")
    slow = {"simulated-node/ready-after-s": "8"}  # so that the autoscaler is there before every pod is ready
    cluster.apply([deployment("web", "web:v1", 1, slow)], namespace=namespace)
    wait_available(cluster, where, 1)
    here = town()
    here.ask("scale web 8")
    here.approve(BOB, CAROL)
    here.work(until=lambda plan: any(step.state == "done" for step in plan.steps) or plan.is_ended)
    cluster.apply([autoscaler("web", 2, 4)], namespace=namespace)
    here.work(until=lambda plan: plan.is_ended)
    ended = here.plan
    assert ended.state is PlanState.FAILED
    assert "Superseded" in ended.ended_why
    assert "not 8" in ended.ended_why


def test_a_daemon_set_goes_back_and_cannot_be_scaled(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    where = path(namespace, "daemonsets", "agent")
    cluster.apply([daemon_set("agent", "agent:v1")], namespace=namespace)

    def is_whole(tag: str) -> bool:
        pods = [pod for pod in cluster.pods(namespace) if pod["spec"]["containers"][0]["image"].endswith(tag)]
        status = cluster.api.get(where).get("status", {})
        return len(pods) == status.get("numberAvailable") == status.get("desiredNumberScheduled") == 2

    cluster.wait(lambda: is_whole("v1"))
    here = town(services={"agent": {"kind": "DaemonSet"}})
    here.ledger.look()
    change = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "registry.local/agent:v2"}]
    cluster.api.patch(where, change, "application/json-patch+json")
    cluster.wait(lambda: is_whole("v2"))
    assert "cannot be scaled" in refusal(here.ask("scale agent 3"))
    assert "only a Deployment can be paused" in refusal(here.ask("pause agent"))
    done = here.do("rollback agent")
    assert done.state is PlanState.VERIFIED, done.ended_why
    assert image(cluster, where).endswith("agent:v1")


def test_restart_replaces_every_pod(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    where = roll(cluster, namespace, "v1")
    before = {pod["metadata"]["uid"] for pod in cluster.pods(namespace)}
    here = town()
    done = here.do("restart web")
    assert done.state is PlanState.VERIFIED, done.ended_why
    now = {pod["metadata"]["uid"] for pod in cluster.pods(namespace) if not pod["metadata"].get("deletionTimestamp")}
    assert not now & before
    notes = cluster.api.get(where)["spec"]["template"]["metadata"]["annotations"]
    assert list(notes) == ["kubectl.kubernetes.io/restartedAt"]


def test_images_are_set_all_or_none(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    """Trap: kubectl applies the good pair and then complains about the bad one."""
    where = roll(cluster, namespace, "v1")
    here = town(services={"web": {"images": ("registry.local/web:v*",)}})
    good, wrong = "srv=registry.local/web:v2", "nosuch=registry.local/web:v2"
    assert "has no container nosuch" in refusal(here.ask(f"set-image web {good} {wrong}"))
    assert image(cluster, where).endswith("v1")
    assert "is not allowed" in refusal(here.ask("set-image web srv=elsewhere.example/web:v2"))
    assert here.say("set-image web *=registry.local/web:v2").refused
    plan = here.ask(f"set-image web {good}")
    assert plan.needed == 2
    done = here.finish(BOB, CAROL)
    assert done.state is PlanState.VERIFIED, done.ended_why
    assert image(cluster, where).endswith("web:v2")
    digest = here.ask(f"set-image web srv=registry.local/web@{DIGEST}")
    assert digest.state is PlanState.PENDING


def test_an_image_that_cannot_be_pulled_fails_at_once(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    roll(cluster, namespace, "v1")
    here = town(services={"web": {"images": ("*",)}})
    done = here.do("set-image web srv=registry.local/web:missing")
    assert done.state is PlanState.FAILED
    assert "ImagePullBackOff" in done.ended_why or "deadline" in done.ended_why
    assert done.draft is not None
    assert done.draft.inverse["ran_before"] == "yes"


def test_pause_holds_a_roll_out_and_refuses_what_would_wait(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    where = roll(cluster, namespace, "v1")
    roll(cluster, namespace, "v2")
    here = town()
    assert "not paused" in refusal(here.ask("resume web"))
    assert here.do("pause web").state is PlanState.VERIFIED
    assert cluster.api.get(where)["spec"]["paused"] is True
    assert "paused already" in refusal(here.ask("pause web"))
    for words in ("rollback web", "restart web"):
        assert "is paused" in refusal(here.ask(words))
    done = here.do("resume web")
    assert done.state is PlanState.VERIFIED, done.ended_why
    assert "paused" not in cluster.api.get(where)["spec"]


def test_a_status_that_is_written_meanwhile_spoils_no_preview(
    cluster: Cluster, namespace: str, town: MakeTown, proxy: FaultProxy
) -> None:
    """Trap: an absent value can only be held by the object's version, and controllers move that all the time."""
    where = roll(cluster, namespace, "v1")
    numbers = itertools.count()

    def touch() -> None:
        # A label moves the version and not the generation, as a status does.
        cluster.api.patch(where, {"metadata": {"labels": {"seen": str(next(numbers))}}})

    here = town(server=proxy.url)
    proxy.on("PATCH", r"dryRun=All", Meanwhile(do=touch), times=3)
    plan = here.ask("pause web")
    assert plan.state is PlanState.PENDING, plan.ended_why
    proxy.on("PATCH", r"/deployments/web\?(?!.*dryRun)", Meanwhile(do=touch))
    done = here.finish(*((BOB, CAROL) if plan.needed == 2 else (BOB,)))
    assert done.state is PlanState.VERIFIED, done.ended_why
    assert cluster.api.get(where)["spec"]["paused"] is True
    assert next(numbers) == 4, "each of the writes in between took place"


def test_a_job_is_made_once_and_followed_to_its_end(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    cluster.apply([cron_job("nightly", "train:v1", suspend=True)], namespace=namespace)
    here = town(jobs=("nightly",))
    plan = here.ask("job nightly")
    assert plan.draft is not None, plan.ended_why
    assert "suspended" in " ".join(plan.draft.warnings)
    done = here.finish()
    assert done.state is PlanState.VERIFIED, done.ended_why
    [job] = cluster.api.get(f"/apis/batch/v1/namespaces/{namespace}/jobs")["items"]
    assert job["metadata"]["annotations"]["mlops-bot/plan"] == done.id
    assert job["metadata"]["annotations"]["cronjob.kubernetes.io/instantiate"] == "manual"
    [owner] = job["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["controller"], owner.get("blockOwnerDeletion")) == ("CronJob", True, None)
    action = here.registry.actions["job"]
    again = action.perform(here.worker.scene(here.incident, done.subject), done, "create_job")
    assert again.outcome == "done", "a second try finds it made"
    assert len(cluster.api.get(f"/apis/batch/v1/namespaces/{namespace}/jobs")["items"]) == 1


def test_a_running_job_that_forbids_a_second_one(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    notes = {"simulated-node/run-s": "60"}
    cluster.apply([cron_job("nightly", "train:v1", notes, concurrencyPolicy="Forbid")], namespace=namespace)
    here = town(jobs=("nightly",))
    here.ask("job nightly")
    here.approve()
    here.work(until=lambda plan: plan.state is PlanState.WATCHING)
    other = town(jobs=("nightly",))
    other.store = here.store
    found = here.registry.actions["job"].draw(here.worker.scene(here.incident, here.plan.subject), {"job": "nightly"})
    assert "forbids two at once" in getattr(found, "why", "")


def test_a_failed_job_is_a_failed_plan(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    cluster.apply([cron_job("nightly", "train-fail:v1")], namespace=namespace)
    done = town(jobs=("nightly",)).do("job nightly")
    assert done.state is PlanState.FAILED
    assert "BackoffLimitExceeded" in done.ended_why


def test_a_stateful_set_that_is_stuck_is_told_and_repaired_by_evict(
    cluster: Cluster, namespace: str, town: MakeTown
) -> None:
    """Trap: after the roll back the template is good and the broken pod stays broken for ever."""
    where = path(namespace, "statefulsets", "db")
    cluster.apply([stateful_set("db", "db:v1")], namespace=namespace)
    here = town(services={"db": {"kind": "StatefulSet"}})
    cluster.wait(lambda: cluster.api.get(where)["status"].get("readyReplicas") == 2)
    here.ledger.look()
    change = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "registry.local/db:missing"}]
    cluster.api.patch(where, change, "application/json-patch+json")

    def broken() -> list[str]:
        found = [pod for pod in cluster.pods(namespace) if pod["spec"]["containers"][0]["image"].endswith("missing")]
        reasons = [pod["status"].get("containerStatuses", [{}])[0].get("state", {}).get("waiting", {}) for pod in found]
        return [one.get("reason", "") for one in reasons if one.get("reason") == "ImagePullBackOff"]

    cluster.wait(broken, what="a pod of the bad revision cannot pull its image")
    plan = here.ask("rollback db")
    assert plan.draft is not None, plan.ended_why
    assert plan.draft.tier == "dangerous"
    assert "evict db-1" in " ".join(plan.draft.warnings)
    here.approve(BOB, CAROL)
    here.work(until=lambda plan: plan.is_ended)
    assert here.plan.state is PlanState.FAILED
    assert "evict db-1" in here.plan.ended_why
    repaired = here.do("evict db-1")
    assert repaired.state is PlanState.VERIFIED, repaired.ended_why
    cluster.wait(lambda: cluster.api.get(where)["status"].get("readyReplicas") == 2)
    images = {pod["spec"]["containers"][0]["image"] for pod in cluster.pods(namespace)}
    assert images == {"registry.local/db:v1"}


def test_evict_ends_one_pod_and_asks_the_budget(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    roll(cluster, namespace, "v1")
    here = town()
    [one, two] = [pod["metadata"]["name"] for pod in cluster.pods(namespace)]
    done = here.do(f"evict {one}")
    assert done.state is PlanState.VERIFIED, done.ended_why
    assert one not in [pod["metadata"]["name"] for pod in cluster.pods(namespace)]
    budget = {
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
        "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}},
    }  # fmt: skip
    cluster.apply([budget], namespace=namespace)
    at = f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets/web"
    cluster.wait(lambda: cluster.api.get(at)["status"].get("currentHealthy") == 2)
    assert "allows no disruption now" in refusal(here.ask(f"evict {two}"))
    assert here.say("evict other-0").refused


@pytest.mark.parametrize("kind", ["labels", "annotations"])
def test_gitops_is_seen_and_takes_two(cluster: Cluster, namespace: str, town: MakeTown, kind: str) -> None:
    """Trap: what keeps the object as a repository says takes the change back after seconds."""
    marks = {
        "labels": {"kustomize.toolkit.fluxcd.io/name": "shop"},
        "annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:x/web"},
    }
    document = deployment("web", "web:v1")
    document["metadata"].setdefault(kind, {}).update(marks[kind])
    cluster.apply([document], namespace=namespace)
    wait_available(cluster, path(namespace, "deployments", "web"))
    roll(cluster, namespace, "v2")
    plan = town().ask("rollback web")
    assert plan.needed == 2
    assert plan.draft is not None
    assert "repository" in plan.draft.warnings[-1] or "repository" in " ".join(plan.draft.warnings)


def test_the_undo_button_takes_a_change_back(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    """The stored way back is a plan of its own, with its own approval; what ran before needs no pattern."""
    where = roll(cluster, namespace, "v1")
    here = town(services={"web": {"images": ("registry.local/web:v2",)}})
    done = here.do("set-image web srv=registry.local/web:v2")
    assert done.state is PlanState.VERIFIED, done.ended_why
    reply = here.desk.click_undo(done.id, Asker(who=BOB))
    assert not reply.refused, reply.text
    here.work(until=lambda plan: plan.id != done.id and (plan.draft is not None or plan.is_ended))
    assert here.plan.reason == f"undo of plan {done.id}"
    assert here.plan.needed == 2
    back = here.finish(CAROL, DANA)
    assert back.state is PlanState.VERIFIED, back.ended_why
    assert image(cluster, where).endswith("web:v1")
