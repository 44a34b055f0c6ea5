"""What concerns a model on a real cluster: its training as a Job, and the proof by the server that serves it.

The simulated nodes run no program, so the model server of these tests listens beside the cluster and serves what the
pods' image says; it is asked over HTTP as any other.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from bot.desk import Asker
from bot.model import PlanState
from bot.policy import EnvProfile, ModelProfile, TrafficProfile
from bot.policy.gate import Criterion, Evaluation, Gate
from handlers.backends import model_http
from playground.kube import Cluster
from tests.cluster.cluster import cron_job, deployment, path, wait_available
from tests.cluster.desk import ALICE, BOB, CAROL, MakeTown, image, refusal, roll
from tests.cluster.test_actions_traffic import kind
from tests.handlers.fakes import FakeRegistry, version

MODEL = "intent_classifier"
JOBS = "/apis/batch/v1/namespaces/{}/jobs"


class ModelServer:
    """Serves the version that the Deployment's image names, and is as healthy as it is told to be."""

    def __init__(self, cluster: Cluster, where: str, serves: Callable[[], str] | None = None) -> None:
        self.is_healthy = True
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                version = serves() if serves is not None else image(cluster, where).rpartition(":v")[2]
                status = 200 if outer.is_healthy or self.path != "/health" else 503
                told = {"name": MODEL, "version": version, "status": "ok" if status == 200 else "loading weights"}
                body = json.dumps(told).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join(5)


@pytest.fixture
def server(cluster: Cluster, namespace: str) -> Iterator[ModelServer]:
    running = ModelServer(cluster, path(namespace, "deployments", "web"))
    yield running
    running.close()


def served_by(server: ModelServer) -> dict[str, Any]:
    """What a town takes, so that its service `web` serves the model."""
    client = model_http.BACKEND.build({"url": server.url})
    return {
        "more": {"models": (ModelProfile(name=MODEL, service="web", server="models"),)},
        "backends": {"models": client},
    }


def test_success_waits_for_the_model_server_itself(
    cluster: Cluster, namespace: str, town: MakeTown, server: ModelServer
) -> None:
    """Trap: the pods are ready, and the model is not."""
    where = roll(cluster, namespace, "v1")
    roll(cluster, namespace, "v2")
    server.is_healthy = False
    here = town(**served_by(server))
    plan = here.ask("rollback web")
    assert plan.draft is not None, plan.ended_why
    assert [step.name for step in plan.draft.steps][-1] == "prove_served"
    here.approve(BOB)
    here.work(until=lambda plan: "loading weights" in plan.steps[-1].detail or plan.is_ended)
    assert here.plan.state is PlanState.WATCHING, here.plan.ended_why
    assert image(cluster, where).endswith("v1")
    server.is_healthy = True
    here.work(until=lambda plan: plan.is_ended)
    assert here.plan.state is PlanState.VERIFIED, here.plan.ended_why
    assert here.plan.ended_why == f"The model server is healthy and serves v1 of {MODEL}."


def environment(cluster: Cluster, where: str) -> dict[str, str]:
    """The variables of the Deployment's only container."""
    [container] = cluster.api.get(where)["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one["value"] for one in container["env"]}


def test_a_version_that_stands_in_the_pods_environment_is_promoted_and_taken_back(
    cluster: Cluster, namespace: str, town: MakeTown
) -> None:
    """The gate is the registry's, the change is the cluster's, the proof is the server's; the way back asks no gate."""
    where = path(namespace, "deployments", "web")
    made = deployment("web", "web:v1")
    made["spec"]["template"]["spec"]["containers"][0]["env"] = [
        {"name": "LOG", "value": "info"}, {"name": "MODEL_URI", "value": f"models:/{MODEL}/1"},
    ]  # fmt: skip
    cluster.apply([made], namespace=namespace)
    wait_available(cluster, where)
    server = ModelServer(cluster, where, lambda: environment(cluster, where)["MODEL_URI"].rpartition("/")[2])
    registry = FakeRegistry(aliases={})
    registry.recorded = {
        number: Evaluation(metrics={"accuracy": value}) for number, value in (("1", 0.9), ("2", 0.96), ("3", 0.4))
    }
    model = ModelProfile(
        name=MODEL, service="web", registry="registry", server="models",
        env=EnvProfile(name="MODEL_URI", value=f"models:/{MODEL}/{{version}}"),
        gate=Gate(criteria=(Criterion(metric="accuracy", at_least=0.95),)),
    )  # fmt: skip
    backends = {"registry": registry, "models": model_http.BACKEND.build({"url": server.url})}
    try:
        here = town(more={"models": (model,)}, backends=backends)
        assert "The gate says no to v3: accuracy is 0.4" in here.ask(f"promote {MODEL} 3").ended_why
        assert (
            refusal(here.ask(f"promote {MODEL} 1")) == f"Nothing to do: MODEL_URI of web is models:/{MODEL}/1 already."
        )
        plan = here.ask(f"promote {MODEL} 2")
        assert plan.draft is not None, plan.ended_why
        assert (plan.draft.from_, plan.draft.to, plan.draft.tier) == ("v1", "v2", "change")
        assert [step.name for step in plan.draft.steps] == ["set_env", "prove_rollout", "prove_served"]
        assert environment(cluster, where)["MODEL_URI"].endswith("/1"), "a preview changes nothing"
        done = here.finish(BOB)
        assert done.state is PlanState.VERIFIED, done.ended_why
        assert environment(cluster, where) == {"LOG": "info", "MODEL_URI": f"models:/{MODEL}/2"}
        reply = here.desk.click_undo(done.id, Asker(who=ALICE))
        assert not reply.refused, reply.text
        here.work(until=lambda plan: plan.draft is not None or plan.is_ended)
        assert here.plan.draft is not None, here.plan.ended_why
        assert here.plan.draft.title == f"Take back {MODEL} from v2 to v1"
        assert here.finish(BOB).state is PlanState.VERIFIED, here.plan.ended_why
        assert environment(cluster, where)["MODEL_URI"].endswith("/1")
    finally:
        server.close()


def test_a_variable_that_somebody_changes_meanwhile_voids_the_plan(
    cluster: Cluster, namespace: str, town: MakeTown
) -> None:
    where = path(namespace, "deployments", "web")
    made = deployment("web", "web:v1")
    made["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "MODEL_VERSION", "value": "v1.0.0"}]
    cluster.apply([made], namespace=namespace)
    wait_available(cluster, where)
    registry = FakeRegistry(known=[version("2", tags={"name": "v2.0.0"}), version("1", tags={"name": "v1.0.0"})])
    registry.recorded = {number: Evaluation(metrics={"accuracy": 0.96}) for number in "12"}
    model = ModelProfile(
        name=MODEL, service="web", registry="registry",
        env=EnvProfile(name="MODEL_VERSION", value="{version}", tag="name"),
        gate=Gate(criteria=(Criterion(metric="accuracy", at_least=0.95),)),
    )  # fmt: skip
    here = town(more={"models": (model,)}, backends={"registry": registry})
    plan = here.ask(f"promote {MODEL} 2")
    assert plan.draft is not None, plan.ended_why
    assert plan.draft.args["value"] == "v2.0.0"
    made["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] = "v9.9.9"
    cluster.apply([made], namespace=namespace)
    here.approve(BOB)
    here.work(until=lambda plan: plan.state is PlanState.PENDING or plan.is_ended)
    assert here.plan.id != plan.id, "a new preview"
    assert here.plan.draft is not None, here.plan.ended_why
    assert here.plan.draft.from_ == "v9.9.9", "what is none of the registry's versions is shown as it is"
    assert environment(cluster, where)["MODEL_VERSION"] == "v9.9.9"


def trained(**profile: Any) -> dict[str, Any]:
    model = ModelProfile(name=MODEL, service="web", retrain="train", **profile)
    return {"jobs": ("train",), "more": {"models": (model,)}}


def test_retrain_makes_one_job_of_the_models_cron_job(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    cluster.apply([cron_job("train", "train:v1")], namespace=namespace)
    here = town(**trained())
    assert here.say("retrain no_such_model").refused
    plan = here.ask(f"retrain {MODEL}")
    assert plan.draft is not None, plan.ended_why
    assert plan.draft.title == f"Retrain {MODEL}"
    assert cluster.api.get(JOBS.format(namespace))["items"] == [], "a preview makes nothing"
    done = here.finish()
    assert done.state is PlanState.VERIFIED, done.ended_why
    [job] = cluster.api.get(JOBS.format(namespace))["items"]
    assert job["metadata"]["annotations"]["mlops-bot/plan"] == done.id
    assert [one["name"] for one in job["metadata"]["ownerReferences"]] == ["train"]


def test_a_training_that_fails_is_a_failed_plan(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    cluster.apply([cron_job("train", "train:v1", {"simulated-node/exit-code": "1"})], namespace=namespace)
    done = town(**trained()).do(f"retrain {MODEL}")
    assert done.state is PlanState.FAILED
    assert "failed" in done.ended_why


def test_keda_keeps_its_bounds_and_its_owner_is_named(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    cluster.apply([kind("keda.sh", "scaledobjects", "ScaledObject")])
    where = roll(cluster, namespace, "v1")
    scaled = {
        "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "web-by-queue"},
        "spec": {"scaleTargetRef": {"name": "web"}, "minReplicaCount": 1, "maxReplicaCount": 5},
    }  # fmt: skip
    cluster.apply([scaled], namespace=namespace)
    here = town()
    assert "ScaledObject web-by-queue keeps web between 1 and 5" in refusal(here.ask("scale web 6"))
    assert cluster.api.get(where)["spec"]["replicas"] == 2
    within = here.ask("scale web 3")
    assert within.draft is not None, within.ended_why
    assert "ScaledObject web-by-queue" in " ".join(within.draft.warnings)
    assert within.needed == 2, "it may be taken back at any moment"


def test_what_makes_a_roll_out_risky_is_said_before_anybody_approves(
    cluster: Cluster, namespace: str, town: MakeTown
) -> None:
    where = roll(cluster, namespace, "v1")
    cluster.api.patch(where, {"spec": {"replicas": 1}})
    wait_available(cluster, where, 1)
    budget = {
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "keep-web"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
    }  # fmt: skip
    cluster.apply([budget], namespace=namespace)
    where_budget = path(namespace, "poddisruptionbudgets", "keep-web", "/apis/policy/v1")
    cluster.wait(lambda: "currentHealthy" in cluster.api.get(where_budget).get("status", {}), what="it is counted")
    here = town()
    plan = here.ask("restart web")
    assert plan.draft is not None, plan.ended_why
    told = " ".join(plan.draft.warnings)
    assert "There is one replica" in told
    assert "PodDisruptionBudget keep-web allows no disruption now" in told
    slow = {"op": "add", "path": "/spec/template/metadata/annotations", "value": {"simulated-node/ready-after-s": "20"}}
    cluster.api.patch(where, [slow], "application/json-patch+json")
    cluster.wait(lambda: len(cluster.pods(namespace, "app=web")) == 2, what="the roll-out is under way")
    here.desk.click_reject(plan.id, "not now", Asker(who=BOB))
    restarted = here.ask("restart web")
    assert restarted.draft is not None, restarted.ended_why
    assert "A roll-out is under way" in " ".join(restarted.draft.warnings)


def test_a_rollout_is_promoted_by_its_own_field(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    cluster.apply([kind("argoproj.io", "rollouts", "Rollout")])
    rollout = {
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "web"},
        "spec": {"template": deployment("web", "web:v2")["spec"]["template"]},
    }  # fmt: skip
    cluster.apply([rollout], namespace=namespace)
    where = f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/rollouts/web"
    status = {"currentPodHash": "new2", "stableRS": "good1", "phase": "Paused"}
    cluster.api.patch(f"{where}/status", {"status": status})
    here = town(services={"web": {"traffic": TrafficProfile(rollout="web")}})
    plan = here.ask("traffic web promote")
    assert plan.draft is not None, plan.ended_why
    assert plan.needed == 2, "all of the traffic at once"
    here.approve(BOB, CAROL)
    here.work(until=lambda one: one.state is PlanState.WATCHING or one.is_ended)
    assert cluster.api.get(where)["status"]["promoteFull"] is True
    assert here.plan.state is PlanState.WATCHING, "written is not done: the controller has yet to do it"
    cluster.api.patch(f"{where}/status", {"status": {"stableRS": "new2", "phase": "Healthy"}})
    here.work(until=lambda one: one.is_ended)
    assert here.plan.state is PlanState.VERIFIED, here.plan.ended_why


def test_the_canary_is_ready_before_the_stable_side_shrinks(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    """Trap: pods are taken away while those that replace them still load their model."""
    where, canary = path(namespace, "deployments", "web"), path(namespace, "deployments", "web-canary")
    roll(cluster, namespace, "v1")
    cluster.apply([deployment("web-canary", "web:v2", 0, {"simulated-node/ready-after-s": "600"})], namespace=namespace)
    here = town(services={"web": {"traffic": TrafficProfile(canary="web-canary", max_step=60)}})
    plan = here.ask("traffic web 50")
    assert plan.draft is not None, plan.ended_why
    assert [step.name for step in plan.draft.steps] == ["shift_1", "prove_grown", "shift_2", "prove_share"]
    here.approve(*((BOB, CAROL) if plan.needed == 2 else (BOB,)))
    here.work(until=lambda one: "0 of 1 pods are ready" in one.steps[1].detail or one.is_ended)
    assert cluster.api.get(where)["spec"]["replicas"] == 2, "nothing was taken away"
    template = {"template": {"metadata": {"annotations": {"simulated-node/ready-after-s": "0"}}}}
    cluster.api.patch(canary, {"spec": template})
    here.work(until=lambda one: one.is_ended)
    assert here.plan.state is PlanState.VERIFIED, here.plan.ended_why
    assert [cluster.api.get(one)["spec"]["replicas"] for one in (where, canary)] == [1, 1]
