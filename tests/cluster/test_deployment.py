"""deploy/kubernetes on the real API server: accepted to the letter, running, and allowed exactly what it says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from handlers._kube_rules import ACT, LOOK, Rule
from playground.kube import Api, ApiError, Cluster
from playground.kube.api import APPLY
from tests.cluster.cluster import path, status, wait_available
from tests.cluster.desk import ACCOUNT
from tests.deploy.manifests import EXAMPLE, KUBERNETES, Document, render

WATCHED = "ml-platform"  # the namespace that the example binds the roles in
# What every account may ask about itself, by Kubernetes' own default roles.
BASICS = {
    ("create", "authorization.k8s.io", "selfsubjectaccessreviews"),
    ("create", "authorization.k8s.io", "selfsubjectrulesreviews"),
    ("create", "authentication.k8s.io", "selfsubjectreviews"),
}
Grant = tuple[str, str, str]  # verb, group, resource with its subresource


@pytest.fixture(scope="module")
def documents(cluster: Cluster) -> Iterator[list[Document]]:
    """The example, rendered, on a cluster where its namespaces and its foreign kind exist. Put away afterwards."""
    found = [*render(EXAMPLE), yaml.safe_load((KUBERNETES / "secret.example.yaml").read_text())]
    monitors = _service_monitors()
    cluster.apply([monitors])
    for namespace in {one["metadata"]["namespace"] for one in found if "namespace" in one["metadata"]}:
        cluster.namespace(namespace)
    cluster.wait(lambda: _is_served(cluster.api), what="ServiceMonitor is served")
    yield found
    for one in reversed([monitors, *found]):
        if one["kind"] not in ("Namespace", "ServiceAccount") and cluster.api.exists(cluster.api.path_of(one)):
            cluster.api.delete(cluster.api.path_of(one))


def test_every_manifest_is_accepted_to_the_letter(cluster: Cluster, documents: list[Document]) -> None:
    """As a dry run: unknown and doubled fields are refused, and so is what admission would not let in."""
    for one in documents:
        answer = _send(cluster.api, one, dryRun="All")
        assert (answer["kind"], answer["metadata"]["name"]) == (one["kind"], one["metadata"]["name"])


def test_a_misspelt_field_would_be_refused(cluster: Cluster, documents: list[Document]) -> None:
    """The test above can fail."""
    budget = next(one for one in documents if one["kind"] == "PodDisruptionBudget")
    wrong = {**budget, "spec": {**budget["spec"], "minAvailible": 1}}
    with pytest.raises(ApiError, match="minAvailible"):
        _send(cluster.api, wrong, dryRun="All")


def test_both_replicas_run_and_one_may_be_disturbed(cluster: Cluster, documents: list[Document]) -> None:
    """Applied for real: the namespace's rule for pods lets them in, the nodes run them, the budget counts them."""
    for one in documents:
        _send(cluster.api, one)
    wait_available(cluster, path(ACCOUNT[0], "deployments", "mlops-bot"), 2)
    pods = cluster.pods(ACCOUNT[0], "app.kubernetes.io/name=mlops-bot")
    assert len(pods) == 2
    assert {pod["spec"]["nodeName"] for pod in pods} <= set(cluster.nodes.names)
    assert {pod["spec"]["serviceAccountName"] for pod in pods} == {ACCOUNT[1]}
    assert [pod["status"]["initContainerStatuses"][0]["name"] for pod in pods] == ["migrate"] * 2

    where = path(ACCOUNT[0], "poddisruptionbudgets", "mlops-bot", "/apis/policy/v1")
    seen = cluster.wait(lambda: _counts(cluster.api, where), what="the budget has counted two pods")
    assert seen == {"expectedPods": 2, "currentHealthy": 2, "desiredHealthy": 1, "disruptionsAllowed": 1}

    slices = cluster.wait(lambda: _addresses(cluster), what="the Service has both addresses")
    assert slices == {pod["status"]["podIP"] for pod in pods}


def test_nothing_root_gets_into_the_namespace(cluster: Cluster, documents: list[Document]) -> None:
    """Danger: somebody later loosens the Deployment, and nobody notices."""
    _send(cluster.api, next(one for one in documents if one["kind"] == "Namespace"))
    pod = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "loose", "namespace": ACCOUNT[0]},
        "spec": {"containers": [{"name": "any", "image": "registry.local/any:v1"}]},
    }  # fmt: skip
    with pytest.raises(ApiError, match="violates PodSecurity"):
        cluster.api.create(f"/api/v1/namespaces/{ACCOUNT[0]}/pods", pod, dryRun="All")


def test_the_account_may_what_the_table_says_and_nothing_else(own_cluster: Cluster, documents: list[Document]) -> None:
    """Asked of the API server itself: with both bindings, with looking alone, and in a namespace without any."""
    cluster = own_cluster
    bound = {one["metadata"]["name"]: one for one in documents if one["kind"] == "RoleBinding"}
    roles = [one for one in documents if one["kind"] in ("ServiceAccount", "ClusterRole")]
    for one in (*roles, *bound.values()):
        _send(cluster.api, one)
    bot = Api.from_kubeconfig(cluster.service_account_kubeconfig(*ACCOUNT))
    look, act = {_grant(rule) for rule in LOOK}, {_grant(rule) for rule in ACT}
    cluster.wait(lambda: act <= _granted(bot, WATCHED), what="the roles hold")
    assert _granted(bot, WATCHED) == look | act | BASICS
    assert _granted(bot, "default") == BASICS
    assert _granted(bot, ACCOUNT[0]) == BASICS, "not even its own Secret"

    cluster.api.delete(cluster.api.path_of(bound["mlops-bot-act"]))
    cluster.wait(lambda: not act & (_granted(bot, WATCHED) - look), what="the right to act is gone")
    assert _granted(bot, WATCHED) == look | BASICS


@pytest.mark.parametrize(
    "grant",
    [
        ("get", "", "secrets"), ("list", "", "configmaps"), ("create", "", "pods/exec"), ("create", "", "pods/attach"),
        ("create", "", "pods"), ("delete", "", "pods"), ("delete", "apps", "deployments"),
        ("create", "rbac.authorization.k8s.io", "rolebindings"), ("impersonate", "", "users"),
        ("create", "", "serviceaccounts/token"), ("get", "", "nodes"),
    ],
    ids="-".join,
)  # fmt: skip
def test_what_would_open_the_cluster_is_denied(cluster: Cluster, documents: list[Document], grant: Grant) -> None:
    for one in documents:
        if one["kind"] in ("ServiceAccount", "ClusterRole", "RoleBinding"):
            _send(cluster.api, one)
    verb, group, resource = grant
    plural, _, sub = resource.partition("/")
    asked = {"verb": verb, "group": group, "resource": plural, "subresource": sub, "namespace": WATCHED}
    user = f"system:serviceaccount:{ACCOUNT[0]}:{ACCOUNT[1]}"
    groups = ["system:serviceaccounts", f"system:serviceaccounts:{ACCOUNT[0]}", "system:authenticated"]
    review = {"spec": {"user": user, "groups": groups, "resourceAttributes": asked}}
    answer = cluster.api.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    assert answer["status"]["allowed"] is False, answer["status"]


def _send(api: Api, document: Document, **query: str) -> Any:
    """Server-side apply that refuses what it does not know."""
    asked = {"fieldManager": "deployment", "force": "true", "fieldValidation": "Strict", **query}
    return api.call("PATCH", api.path_of(document), document, content_type=APPLY, query=asked)


def _grant(rule: Rule) -> Grant:
    return rule.verb, rule.kind.group, rule.resource


def _granted(api: Api, namespace: str) -> set[Grant]:
    """Everything this identity may do in the namespace, by the API server's own list."""
    asked = {"spec": {"namespace": namespace}}
    answer = api.create("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", asked)["status"]
    assert not answer["incomplete"], answer
    assert not any(rule.get("resourceNames") for rule in answer["resourceRules"])
    return {
        (verb, group, resource)
        for rule in answer["resourceRules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def _counts(api: Api, where: str) -> dict[str, int]:
    """The budget's numbers once it has seen both pods, else nothing."""
    now = status(api, where)
    names = ("expectedPods", "currentHealthy", "desiredHealthy", "disruptionsAllowed")
    return {name: now[name] for name in names} if now.get("currentHealthy") == 2 else {}


def _addresses(cluster: Cluster) -> set[str]:
    found = cluster.api.get(
        f"/apis/discovery.k8s.io/v1/namespaces/{ACCOUNT[0]}/endpointslices",
        labelSelector="kubernetes.io/service-name=mlops-bot",
    )
    seen = {address for one in found["items"] for end in one.get("endpoints") or [] for address in end["addresses"]}
    return seen if len(seen) == 2 else set()


def _is_served(api: Api) -> bool:
    """A new kind answers 404, then 429, then as it should."""
    try:
        api.get("/apis/monitoring.coreos.com/v1/namespaces/default/servicemonitors")
    except ApiError as problem:
        if problem.status not in (404, 429):
            raise
        return False
    return True


def _service_monitors() -> Document:
    """The least that makes the kind known, with the fields that we use and no others."""
    text = {"type": "string"}
    endpoint = {"type": "object", "properties": {"port": text, "path": text, "interval": text}}
    labels = {"type": "object", "additionalProperties": text}
    selector = {"type": "object", "properties": {"matchLabels": labels}}
    spec = {"type": "object", "properties": {"selector": selector, "endpoints": {"type": "array", "items": endpoint}}}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "servicemonitors.monitoring.coreos.com"},
        "spec": {
            "group": "monitoring.coreos.com", "scope": "Namespaced",
            "names": {"plural": "servicemonitors", "singular": "servicemonitor", "kind": "ServiceMonitor"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }  # fmt: skip
