"""switch and traffic on a real cluster: only to a side that is ready, held to what was previewed."""

from __future__ import annotations

from typing import Any

from bot.model import PlanState
from bot.policy import SwitchProfile, TrafficProfile
from playground.kube import Cluster
from tests.cluster.cluster import deployment, path, service, wait_available
from tests.cluster.desk import BOB, CAROL, MakeTown, image, refusal, roll

SIDES = {"web": {"name": "web-blue", "switch": SwitchProfile(selects="web", label="side", sides=("blue", "green"))}}
PAIR = {"web": {"traffic": TrafficProfile(canary="web-canary")}}
ROUTE = TrafficProfile(
    group="test.example", version="v1", resource="routes", name="web", weight="/spec/backends/1/weight",
    rest="/spec/backends/0/weight", backing="web-canary", max_step=20,
)  # fmt: skip
ROLLOUT = TrafficProfile(rollout="web")


def kind(group: str, plural: str, name: str) -> dict[str, Any]:
    """A definition of a kind whose objects hold anything."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1" if group == "test.example" else "v1alpha1", "served": True, "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": anything, "status": anything}}},
        "subresources": {"status": {}},
    }  # fmt: skip
    names = {"plural": plural, "singular": name.lower(), "kind": name}
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
    }  # fmt: skip


def test_switch_goes_to_the_side_that_is_ready(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    for side, tag in (("blue", "v1"), ("green", "v2")):
        document = deployment(f"web-{side}", f"web:{tag}")
        labels = {"app": "web", "side": side}
        document["spec"]["selector"]["matchLabels"] = labels
        document["spec"]["template"]["metadata"]["labels"] = labels
        cluster.apply([document], namespace=namespace)
        wait_available(cluster, path(namespace, "deployments", f"web-{side}"))
    cluster.apply([service("web", {"app": "web", "side": "blue"})], namespace=namespace)
    here = town(services=SIDES)
    assert "selects blue already" in refusal(here.ask("switch web blue"))
    assert here.say("switch web red").refused
    plan = here.ask("switch web green")
    assert plan.needed == 2
    assert plan.draft is not None
    assert plan.draft.changes == ("selector.side: blue → green",)
    done = here.finish(BOB, CAROL)
    assert done.state is PlanState.VERIFIED, done.ended_why
    where = f"/api/v1/namespaces/{namespace}/services/web"
    assert cluster.api.get(where)["spec"]["selector"] == {"app": "web", "side": "green"}
    cluster.api.patch(path(namespace, "deployments", "web-blue"), {"spec": {"replicas": 0}})
    cluster.wait(lambda: len(cluster.pods(namespace, "side=blue")) == 0)
    assert "has no ready pod" in refusal(here.ask("switch web blue"))


def test_a_side_that_breaks_after_the_preview_voids_it(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    for side in ("blue", "green"):
        document = deployment(f"web-{side}", "web:v1", 1)
        labels = {"app": "web", "side": side}
        document["spec"]["selector"]["matchLabels"] = labels
        document["spec"]["template"]["metadata"]["labels"] = labels
        cluster.apply([document], namespace=namespace)
        wait_available(cluster, path(namespace, "deployments", f"web-{side}"), 1)
    cluster.apply([service("web", {"app": "web", "side": "blue"})], namespace=namespace)
    here = town(services=SIDES)
    first = here.ask("switch web green")
    [pod] = cluster.pods(namespace, "side=green")
    cluster.nodes.hold_unready(namespace, pod["metadata"]["name"])
    cluster.wait(lambda: "True" not in [c["status"] for c in _ready(cluster, namespace)])
    here.approve(BOB, CAROL)
    here.work(until=lambda plan: plan.id != first.id and plan.is_ended)
    assert "has no ready pod" in refusal(here.plan)


def _ready(cluster: Cluster, namespace: str) -> list[dict[str, Any]]:
    [pod] = cluster.pods(namespace, "side=green")
    return [one for one in pod["status"]["conditions"] if one["type"] == "Ready"]


def test_a_pair_of_deployments_is_weighted_by_replicas(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    roll(cluster, namespace, "v1")
    where, canary = path(namespace, "deployments", "web"), path(namespace, "deployments", "web-canary")
    cluster.api.patch(where, {"spec": {"replicas": 4}})
    cluster.apply([deployment("web-canary", "web:v2", 0)], namespace=namespace)
    wait_available(cluster, where, 4)
    here = town(services=PAIR)
    done = here.do("traffic web 25")
    assert done.state is PlanState.VERIFIED, done.ended_why
    counts = [cluster.api.get(one)["spec"]["replicas"] for one in (where, canary)]
    assert counts == [3, 1]
    assert "Nothing to do" in refusal(here.ask("traffic web 25%"))
    assert here.say("traffic web 101").refused
    all_of_it = here.ask("traffic web 100")
    assert all_of_it.needed == 2


def test_a_weight_in_any_object_and_what_is_left(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    cluster.apply([kind("test.example", "routes", "Route")])
    roll(cluster, namespace, "v1")
    route = {
        "apiVersion": "test.example/v1", "kind": "Route", "metadata": {"name": "web"},
        "spec": {"backends": [{"name": "web", "weight": 100}, {"name": "web-canary", "weight": 0}]},
    }  # fmt: skip
    cluster.apply([route], namespace=namespace)
    here = town(services={"web": {"traffic": ROUTE}})
    assert "lacks the rule “get routes in test.example”" in refusal(here.ask("traffic web 10"))
    rules = [{"apiGroups": ["test.example"], "resources": ["routes"], "verbs": ["get", "patch"]}]
    head = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "routes"}}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "routes"}
    subject = {"kind": "ServiceAccount", "namespace": "mlops-bot", "name": "mlops-bot"}
    cluster.apply([{**head, "kind": "Role", "rules": rules}], namespace=namespace)
    cluster.apply([{**head, "kind": "RoleBinding", "roleRef": reference, "subjects": [subject]}], namespace=namespace)
    cluster.wait(lambda: "no ready endpoint" in here.ask("traffic web 10").ended_why, what="the role is in force")
    cluster.apply([service("web-canary", {"app": "web"})], namespace=namespace)

    def is_planned() -> bool:
        return here.ask("traffic web 10").state is PlanState.PENDING

    cluster.wait(is_planned, what="the endpoints are ready")
    done = here.finish()
    assert done.state is PlanState.VERIFIED, done.ended_why
    live = cluster.api.get(f"/apis/test.example/v1/namespaces/{namespace}/routes/web")
    assert [one["weight"] for one in live["spec"]["backends"]] == [90, 10]
    big = here.ask("traffic web 80")
    assert big.draft is not None
    assert big.draft.tier == "dangerous"


def test_a_rollout_is_aborted_and_its_template_put_back(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    """Trap: abort alone leaves the bad template, and the next sync brings it back."""
    cluster.apply([kind("argoproj.io", "rollouts", "Rollout")])
    template = deployment("web", "web:v2")["spec"]["template"]
    rollout = {
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "web"},
        "spec": {"template": template},
    }  # fmt: skip
    [made] = cluster.apply([rollout], namespace=namespace)
    old = deployment("web", "web:v1")["spec"]["template"]
    old["metadata"]["labels"]["rollouts-pod-template-hash"] = "good1"
    owner = {
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "web", "uid": made["metadata"]["uid"],
        "controller": True,
    }  # fmt: skip
    labels = {"app": "web", "rollouts-pod-template-hash": "good1"}
    good = {
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": "web-good1", "labels": labels, "ownerReferences": [owner]},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": old},
    }  # fmt: skip
    cluster.apply([good], namespace=namespace)
    where = f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/rollouts/web"
    status = {"currentPodHash": "bad2", "stableRS": "good1", "phase": "Progressing"}
    cluster.api.patch(f"{where}/status", {"status": status})
    here = town(services={"web": {"traffic": ROLLOUT}})
    assert "its own steps" in refusal(here.ask("traffic web 30"))
    plan = here.ask("traffic web abort")
    assert plan.draft is not None, plan.ended_why
    here.approve(*((BOB, CAROL) if plan.needed == 2 else (BOB,)))
    here.work(until=lambda one: one.state is PlanState.WATCHING or one.is_ended)
    assert cluster.api.get(where)["status"]["abort"] is True
    assert image(cluster, where).endswith("web:v1")
    kept = cluster.api.get(where)["spec"]["template"]["metadata"]["labels"]
    assert kept == {"app": "web"}
    cluster.api.patch(f"{where}/status", {"status": {"currentPodHash": "good1", "phase": "Healthy"}})
    here.work(until=lambda one: one.is_ended)
    assert here.plan.state is PlanState.VERIFIED, here.plan.ended_why
