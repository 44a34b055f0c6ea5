"""The cluster itself: what a real control plane does with simulated nodes, so that other tests can build on it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import kubernetes
import pytest

from playground.kube import Api, ApiError, Cluster, programs
from tests.cluster import cluster as k8s
from tests.cluster.cluster import APPS, BATCH
from tests.cluster.proxy import Answer, Cut, Delay, FaultProxy, GoneWatch, Hang, Meanwhile

ROLLOUT_S = 30.0


def test_the_server_says_which_release_it_is(own_cluster: Cluster) -> None:
    version = own_cluster.api.get("/version")
    assert version["gitVersion"] == programs.VERSION
    assert f"v{version['major']}.{version['minor']}" == programs.VERSION.rpartition(".")[0]


def test_a_deployment_becomes_available_and_its_service_has_endpoints(cluster: Cluster, namespace: str) -> None:
    cluster.apply([k8s.deployment("web", "web:v1"), k8s.service("web")], namespace=namespace)
    k8s.wait_available(cluster, k8s.path(namespace, "deployments", "web"))
    pods = cluster.pods(namespace, "app=web")
    assert {pod["status"]["phase"] for pod in pods} == {"Running"}
    assert {pod["spec"]["nodeName"] for pod in pods} <= set(cluster.nodes.names)
    slices = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"

    def addresses() -> set[str]:
        found = cluster.api.get(slices)["items"]
        return {e["addresses"][0] for s in found for e in s["endpoints"] or [] if e["conditions"]["ready"]}

    assert cluster.wait(lambda: len(addresses()) == 2)
    assert addresses() == {pod["status"]["podIP"] for pod in pods}


def test_a_bad_image_gets_stuck_while_the_old_pods_serve(cluster: Cluster, namespace: str) -> None:
    where = k8s.path(namespace, "deployments", "web")
    cluster.apply([k8s.deployment("web", "web:v1")], namespace=namespace)
    k8s.wait_available(cluster, where)
    cluster.apply([k8s.deployment("web", "web:v2-missing")], namespace=namespace)
    stuck = cluster.wait(
        lambda: k8s.condition(cluster.api, where, "Progressing").get("status") == "False", within_s=ROLLOUT_S
    )
    assert stuck
    assert k8s.condition(cluster.api, where, "Progressing")["reason"] == "ProgressDeadlineExceeded"
    assert k8s.condition(cluster.api, where, "Available")["status"] == "True"
    reasons = {k8s.waiting_reason(pod) for pod in cluster.pods(namespace, "app=web")}
    assert reasons & {"ErrImagePull", "ImagePullBackOff"}
    assert any("Failed to pull image" in event["message"] for event in cluster.events(namespace))


@pytest.mark.parametrize(("image", "code", "reason"), [("web:crash", 1, "Error"), ("web:oom", 137, "OOMKilled")])
def test_a_container_that_dies_is_restarted_with_back_off(
    cluster: Cluster, namespace: str, image: str, code: int, reason: str
) -> None:
    cluster.apply([k8s.deployment("web", image, 1)], namespace=namespace)

    def state() -> dict[str, object]:
        pods = cluster.pods(namespace, "app=web")
        return next(iter(pods[0]["status"].get("containerStatuses", [])), {}) if pods else {}

    cluster.wait(lambda: int(str(state().get("restartCount", 0))) >= 2, what="two restarts")
    cluster.wait(lambda: k8s.waiting_reason(cluster.pods(namespace, "app=web")[0]) == "CrashLoopBackOff")
    last = cluster.pods(namespace, "app=web")[0]["status"]["containerStatuses"][0]["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"]) == (code, reason)


def test_a_pod_is_ready_when_it_is_told_to_be(cluster: Cluster, namespace: str) -> None:
    where = k8s.path(namespace, "deployments", "web")
    cluster.apply([k8s.deployment("web", "web:unready", 1)], namespace=namespace)
    cluster.wait(lambda: any(e["reason"] == "Unhealthy" for e in cluster.events(namespace)), what="the probe failed")
    assert k8s.status(cluster.api, where).get("availableReplicas", 0) == 0
    cluster.apply([k8s.deployment("web", "web:v2", 1, {"simulated-node/ready-after-s": "1"})], namespace=namespace)
    k8s.wait_available(cluster, where, 1)
    pod = next(p for p in cluster.pods(namespace) if "v2" in p["spec"]["containers"][0]["image"])["metadata"]["name"]
    cluster.nodes.hold_unready(namespace, pod)
    cluster.wait(lambda: k8s.status(cluster.api, where).get("availableReplicas", 0) == 0, what="it is not ready")
    cluster.nodes.hold_unready(namespace, pod, is_held=False)
    k8s.wait_available(cluster, where, 1)


def test_a_node_that_is_not_well_gets_no_pods(cluster: Cluster, namespace: str) -> None:
    ill, well = cluster.nodes.names[0], set(cluster.nodes.names[1:])
    node = f"/api/v1/nodes/{ill}"
    cluster.nodes.set_node_ready(ill, False)
    try:
        cluster.wait(lambda: cluster.api.get(node)["spec"].get("taints"), what="the node controller notices")
        cluster.apply([k8s.deployment("web", "web:v1", 4)], namespace=namespace)
        k8s.wait_available(cluster, k8s.path(namespace, "deployments", "web"), 4)
        assert {pod["spec"]["nodeName"] for pod in cluster.pods(namespace)} == well
    finally:
        cluster.nodes.set_node_ready(ill, True)
        cluster.wait(lambda: not cluster.api.get(node)["spec"].get("taints"), what="the node is well again")


def test_a_pod_that_ends_slowly_stays_terminating(cluster: Cluster, namespace: str) -> None:
    cluster.apply([k8s.deployment("web", "web:v1", 1, {"simulated-node/stop-s": "2"})], namespace=namespace)
    k8s.wait_available(cluster, k8s.path(namespace, "deployments", "web"), 1)
    name = cluster.pods(namespace)[0]["metadata"]["name"]
    cluster.api.delete(f"/api/v1/namespaces/{namespace}/pods/{name}")
    told = next(pod["metadata"] for pod in cluster.pods(namespace) if pod["metadata"]["name"] == name)
    assert "deletionTimestamp" in told
    cluster.wait(lambda: name not in {pod["metadata"]["name"] for pod in cluster.pods(namespace)}, what="it is gone")


def test_a_stateful_set_stays_stuck_after_its_template_is_good_again(cluster: Cluster, namespace: str) -> None:
    """Only deleting the broken pod repairs it: the controller waits for a pod that never becomes ready."""
    where = k8s.path(namespace, "statefulsets", "db")
    cluster.apply([k8s.stateful_set("db", "db:v1"), k8s.service("db")], namespace=namespace)
    cluster.wait(
        lambda: k8s.status(cluster.api, where).get("readyReplicas") == 2, what="both are ready", within_s=ROLLOUT_S
    )
    cluster.apply([k8s.stateful_set("db", "db:v2-missing")], namespace=namespace)
    pod = f"/api/v1/namespaces/{namespace}/pods/db-1"

    def why() -> str:
        found = cluster.pods(namespace, "statefulset.kubernetes.io/pod-name=db-1")
        return k8s.waiting_reason(found[0]) if found else ""

    cluster.wait(lambda: why() == "ImagePullBackOff", within_s=ROLLOUT_S)
    good = cluster.apply([k8s.stateful_set("db", "db:v1")], namespace=namespace)[0]
    cluster.wait(lambda: k8s.status(cluster.api, where)["observedGeneration"] >= good["metadata"]["generation"])
    assert why() == "ImagePullBackOff"
    cluster.api.delete(pod)
    cluster.wait(lambda: k8s.status(cluster.api, where).get("readyReplicas") == 2, what="repaired", within_s=ROLLOUT_S)


def test_an_autoscaler_takes_a_manual_scale_back(cluster: Cluster, namespace: str) -> None:
    where = k8s.path(namespace, "deployments", "web")
    cluster.apply([k8s.deployment("web", "web:v1"), k8s.autoscaler("web", 2, 3)], namespace=namespace)
    k8s.wait_available(cluster, where)
    cluster.api.patch(f"{where}/scale", {"spec": {"replicas": 7}})
    cluster.wait(lambda: cluster.api.get(where)["spec"]["replicas"] <= 3, what="the autoscaler fights back")
    assert cluster.api.get(where)["spec"]["replicas"] in (2, 3)


def test_a_cron_job_makes_up_for_a_run_it_missed(cluster: Cluster, namespace: str) -> None:
    """The controller itself makes the Job. Its last run is dated back, so that nobody waits for the full minute."""
    cron = k8s.path(namespace, "cronjobs", "retrain", BATCH)
    cluster.apply([k8s.cron_job("retrain", "train:v1", schedule="* * * * *", suspend=True)], namespace=namespace)
    before = (datetime.now(UTC) - timedelta(seconds=90)).strftime("%Y-%m-%dT%H:%M:%SZ")
    cluster.api.patch(f"{cron}/status", {"status": {"lastScheduleTime": before}})
    cluster.api.patch(cron, {"spec": {"suspend": False}})
    jobs = f"{BATCH}/namespaces/{namespace}/jobs"
    made = cluster.wait(lambda: cluster.api.get(jobs)["items"], what="a job is made")
    assert made[0]["metadata"]["ownerReferences"][0]["name"] == "retrain"
    cluster.wait(
        lambda: k8s.status(cluster.api, cron).get("lastSuccessfulTime"), what="the CronJob knows of the success"
    )


def test_a_job_made_by_hand_belongs_to_its_cron_job(cluster: Cluster, namespace: str) -> None:
    made = cluster.apply([k8s.cron_job("retrain", "train:v1")], namespace=namespace)[0]
    owner = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "name": "retrain",
        "uid": made["metadata"]["uid"],
        "controller": True,
    }
    meta = {"name": "by-hand", "ownerReferences": [owner]}
    cluster.api.create(
        f"{BATCH}/namespaces/{namespace}/jobs", {"metadata": meta, "spec": made["spec"]["jobTemplate"]["spec"]}
    )
    job = k8s.path(namespace, "jobs", "by-hand", BATCH)
    cluster.wait(
        lambda: k8s.condition(cluster.api, job, "Complete").get("status") == "True", what="the job is complete"
    )
    assert k8s.status(cluster.api, job)["succeeded"] == 1


def test_a_job_that_fails_says_so(cluster: Cluster, namespace: str) -> None:
    made = k8s.cron_job("retrain", "train:fail")["spec"]["jobTemplate"]["spec"]
    cluster.apply(
        [{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"}, "spec": made}], namespace=namespace
    )
    job = k8s.path(namespace, "jobs", "once", BATCH)
    cluster.wait(lambda: k8s.condition(cluster.api, job, "Failed").get("status") == "True", what="the job has failed")
    assert k8s.condition(cluster.api, job, "Failed")["reason"] == "BackoffLimitExceeded"


def test_a_daemon_set_runs_on_every_node(cluster: Cluster, namespace: str) -> None:
    cluster.apply([k8s.daemon_set("agent", "agent:v1")], namespace=namespace)
    where = k8s.path(namespace, "daemonsets", "agent")
    cluster.wait(lambda: k8s.status(cluster.api, where).get("numberReady") == len(cluster.nodes.names))
    assert {pod["spec"]["nodeName"] for pod in cluster.pods(namespace)} == set(cluster.nodes.names)


def test_a_pod_that_fits_nowhere_is_told_why(cluster: Cluster, namespace: str) -> None:
    pods = k8s.template("big", "big:v1")
    pods["spec"]["containers"][0]["resources"]["requests"]["memory"] = "1Ti"
    cluster.apply([k8s.deployment("big", "big:v1", 1, template=pods)], namespace=namespace)
    told = cluster.wait(lambda: [e for e in cluster.events(namespace) if e["reason"] == "FailedScheduling"])
    assert "Insufficient memory" in told[0]["message"]


def test_logs_come_through_the_api_server_the_previous_ones_too(own_cluster: Cluster, namespace: str) -> None:
    note = {"simulated-node/log": "INFO the first line\nERROR the second line"}
    own_cluster.apply([k8s.deployment("web", "web:v1", 1, annotations=note)], namespace=namespace)
    k8s.wait_available(own_cluster, k8s.path(namespace, "deployments", "web"), 1)
    pod = own_cluster.pods(namespace)[0]["metadata"]["name"]
    log = f"/api/v1/namespaces/{namespace}/pods/{pod}/log"
    assert own_cluster.api.get(log, tailLines="1") == "ERROR the second line\n"
    with pytest.raises(ApiError, match="previous terminated container"):
        own_cluster.api.get(log, previous="true")
    own_cluster.nodes.write_log(namespace, pod, "CRITICAL the last word")
    own_cluster.nodes.end(namespace, pod, code=137, reason="OOMKilled")
    own_cluster.wait(lambda: own_cluster.pods(namespace)[0]["status"]["containerStatuses"][0]["restartCount"] == 1)
    assert own_cluster.api.get(log, previous="true").endswith("CRITICAL the last word\n")
    assert own_cluster.api.get(log, timestamps="true").count("Z INFO the first line") == 1


def test_usage_comes_through_the_api_server(own_cluster: Cluster, namespace: str) -> None:
    note = {"simulated-node/memory": "500Mi"}
    own_cluster.apply([k8s.deployment("web", "web:v1", 1, annotations=note)], namespace=namespace)
    k8s.wait_available(own_cluster, k8s.path(namespace, "deployments", "web"), 1)

    def used() -> list[dict[str, dict[str, str]]]:
        try:
            items = own_cluster.api.get(f"/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods")["items"]
        except ApiError as problem:
            if problem.status != 503:  # 503: registered, not yet asked for the first time
                raise
            return []
        return [container for item in items for container in item["containers"]]

    found = own_cluster.wait(used, what="metrics.k8s.io answers")
    assert found[0]["usage"] == {"cpu": "25m", "memory": "500Mi"}


def test_rights_are_what_the_applied_roles_say(cluster: Cluster, namespace: str) -> None:
    bot = Api.from_kubeconfig(cluster.service_account_kubeconfig(namespace, "bot"))
    where = k8s.path(namespace, "deployments", "web")
    cluster.apply([k8s.deployment("web", "web:v1")], namespace=namespace)
    with pytest.raises(ApiError) as refused:
        bot.get(where)
    assert (refused.value.status, refused.value.reason) == (403, "Forbidden")
    cluster.apply(k8s.role(namespace, f"{namespace}:bot", ("apps", "deployments", "get")))

    def may(verb: str) -> bool:
        asked = {"namespace": namespace, "verb": verb, "group": "apps", "resource": "deployments"}
        review = bot.create(
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {"spec": {"resourceAttributes": asked}}
        )
        return bool(review["status"]["allowed"])

    cluster.wait(lambda: may("get"), what="the role is in force")
    assert bot.get(where)["metadata"]["name"] == "web"
    assert not may("patch")
    with pytest.raises(ApiError, match='cannot patch resource "deployments"'):
        bot.patch(where, {"metadata": {"labels": {"a": "b"}}})


def test_a_made_up_person_is_known_by_name_and_groups(own_cluster: Cluster, namespace: str) -> None:
    person = Api.from_kubeconfig(own_cluster.kubeconfig("eve", ["readers"]))
    who = person.create("/apis/authentication.k8s.io/v1/selfsubjectreviews", {})["status"]["userInfo"]
    assert who["username"] == "eve"
    assert "readers" in who["groups"]
    with pytest.raises(ApiError, match='User "eve" cannot list'):
        person.get(f"/api/v1/namespaces/{namespace}/pods")
    asked = own_cluster.requests(user="eve", verbs=["list"])
    assert [entry["responseStatus"]["code"] for entry in asked] == [403]


def test_the_official_client_gets_along_with_what_we_hand_out(own_cluster: Cluster, proxy: FaultProxy) -> None:
    file = own_cluster.kubeconfig("admin", ["system:masters"], server=proxy.url)
    with kubernetes.config.new_client_from_config(str(file)) as client:  # type: ignore[no-untyped-call]
        nodes = kubernetes.client.CoreV1Api(client).list_node().items
    assert {node.metadata.name for node in nodes if node.metadata} == set(own_cluster.nodes.names)
    assert proxy.count("GET", "/nodes$") == 1


def test_a_stranger_is_not_let_in(own_cluster: Cluster) -> None:
    with pytest.raises(ApiError) as refused:
        Api(own_cluster.url, token="made-up", ca_file=own_cluster.api.ca_file).get("/api/v1/pods")
    assert refused.value.status == 401


def test_a_custom_kind_can_be_brought_along(cluster: Cluster, namespace: str) -> None:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    names = {"plural": "rollouts", "singular": "rollout", "kind": "Rollout", "listKind": "RolloutList"}
    version = {"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "rollouts.test.example"},
        "spec": {"group": "test.example", "scope": "Namespaced", "names": names, "versions": [version]},
    }  # fmt: skip
    thing = {
        "apiVersion": "test.example/v1alpha1",
        "kind": "Rollout",
        "metadata": {"name": "web"},
        "spec": {"abort": True},
    }
    stored = cluster.apply([thing, definition], namespace=namespace)
    assert stored[-1]["spec"] == {"abort": True}


def test_the_api_server_dies_and_comes_back_with_everything(own_cluster: Cluster, namespace: str) -> None:
    where = k8s.path(namespace, "deployments", "web")
    own_cluster.apply([k8s.deployment("web", "web:v1", 1)], namespace=namespace)
    k8s.wait_available(own_cluster, where, 1)
    own_cluster.stop_apiserver()
    try:
        with pytest.raises(ApiError) as gone:
            own_cluster.api.get(where)
        assert gone.value.status == 0
    finally:
        own_cluster.start_apiserver()
    own_cluster.api.patch(f"{where}/scale", {"spec": {"replicas": 2}})
    k8s.wait_available(own_cluster, where, 2)


# the wire


@pytest.fixture
def client(own_cluster: Cluster, proxy: FaultProxy) -> Api:
    return Api.from_kubeconfig(own_cluster.kubeconfig("admin", ["system:masters"], server=proxy.url))


@pytest.fixture
def web(own_cluster: Cluster, namespace: str) -> str:
    """The path of a Deployment that stands still."""
    own_cluster.apply([k8s.deployment("web", "web:v1", 1)], namespace=namespace)
    where = k8s.path(namespace, "deployments", "web")
    k8s.wait_available(own_cluster, where, 1)
    return where


NOTE = {"metadata": {"annotations": {"note": "written"}}}


def _note(cluster: Cluster, where: str) -> str:
    return str(cluster.api.get(where)["metadata"].get("annotations", {}).get("note", ""))


@pytest.mark.parametrize(
    ("status", "reason"),
    [(409, "Conflict"), (410, "Expired"), (422, "Invalid"), (429, "TooManyRequests"), (500, "InternalError")],
)
def test_an_injected_answer_never_reaches_the_server(
    own_cluster: Cluster, proxy: FaultProxy, client: Api, web: str, status: int, reason: str
) -> None:
    proxy.on("PATCH", "/deployments/web$", Answer(status=status, retry_after_s=1 if status == 429 else None))
    with pytest.raises(ApiError) as refused:
        client.patch(web, NOTE)
    assert (refused.value.status, refused.value.reason) == (status, reason)
    assert _note(own_cluster, web) == ""
    client.patch(web, NOTE)  # a fault serves once
    assert _note(own_cluster, web) == "written"
    assert [seen.status for seen in proxy.seen] == [0, 200]


@pytest.mark.parametrize(("after_write", "left"), [(False, ""), (True, "written")])
def test_a_cut_before_the_write_loses_it_and_one_after_loses_only_the_answer(
    own_cluster: Cluster, proxy: FaultProxy, client: Api, web: str, after_write: bool, left: str
) -> None:
    proxy.on("PATCH", "/deployments/web$", Cut(after_write=after_write))
    with pytest.raises(ApiError) as cut:
        client.patch(web, NOTE)
    assert cut.value.status == 0
    assert _note(own_cluster, web) == left
    assert proxy.count("PATCH") == int(after_write)


@pytest.mark.parametrize(("after_write", "left"), [(False, ""), (True, "written")])
def test_a_client_that_gave_up_waiting_does_not_know(
    own_cluster: Cluster, proxy: FaultProxy, client: Api, web: str, after_write: bool, left: str
) -> None:
    proxy.on("PATCH", "/deployments/web$", Hang(seconds=5, after_write=after_write))
    with pytest.raises(ApiError, match="timed out"):
        client.call("PATCH", web, NOTE, content_type="application/merge-patch+json", timeout_s=0.5)
    assert _note(own_cluster, web) == left


def test_somebody_else_is_faster(own_cluster: Cluster, proxy: FaultProxy, client: Api, web: str) -> None:
    seen = client.get(web)
    proxy.on("PUT", "/deployments/web$", Meanwhile(do=lambda: own_cluster.api.patch(web, NOTE)))
    with pytest.raises(ApiError) as refused:
        client.put(web, seen)
    assert (refused.value.status, refused.value.reason) == (409, "Conflict")
    assert _note(own_cluster, web) == "written"


def test_only_the_third_request_meets_the_fault(proxy: FaultProxy, client: Api, web: str) -> None:
    proxy.on("GET", "/deployments/web$", Answer(status=500), skip=2)
    proxy.on("GET", "/deployments/web$", Delay(seconds=0.1), times=-1)
    assert [client.get(web)["kind"] for _ in range(2)] == ["Deployment"] * 2
    with pytest.raises(ApiError, match="InternalError"):
        client.get(web)
    assert client.get(web)["kind"] == "Deployment"


def test_a_watch_goes_through_and_can_be_told_that_its_version_is_gone(
    own_cluster: Cluster, proxy: FaultProxy, client: Api, web: str
) -> None:
    folder = web.rpartition("/")[0]
    since = client.get(folder)["metadata"]["resourceVersion"]
    proxy.on("GET", "watch=1", GoneWatch())
    with pytest.raises(ApiError) as gone:
        next(iter(client.watch(folder, since)))
    assert (gone.value.status, gone.value.reason) == (410, "Expired")
    own_cluster.api.patch(web, NOTE)
    kind, seen = next(iter(client.watch(folder, since)))
    assert (kind, seen["metadata"]["annotations"]["note"]) == ("MODIFIED", "written")


def test_the_api_server_is_away_and_so_is_the_proxy_until_it_is_back(
    own_cluster: Cluster, client: Api, web: str
) -> None:
    own_cluster.stop_apiserver()
    try:
        with pytest.raises(ApiError) as away:
            client.get(web)
        assert away.value.status == 0
    finally:
        own_cluster.start_apiserver()
    assert client.get(web)["kind"] == "Deployment"


def test_a_kubeconfig_is_nobody_elses_to_read(own_cluster: Cluster) -> None:
    found: Path = own_cluster.kubeconfig("eve")
    assert found.stat().st_mode & 0o077 == 0
    assert APPS in own_cluster.api.path_of(k8s.deployment("web", "web:v1"))
