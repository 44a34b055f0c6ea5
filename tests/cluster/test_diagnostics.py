"""What the bot tells about a real cluster's trouble, with the rights of the look role alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bot import doctor
from bot.config import BackendConfig, Secret, Settings
from bot.model import Finding
from playground.kube import Cluster
from tests.cluster.cluster import deployment, path, service, wait_available, waiting_reason
from tests.cluster.desk import ACCOUNT, MakeTown, Town, grant, roll


def told(finding: Finding) -> str:
    """Everything of a finding as one text."""
    return "\n".join([finding.sentence, *(" | ".join(row) for row in finding.rows)])


def until(here: Town, name: str, is_there: Callable[[Finding], bool]) -> Finding:
    """Ask again until the finding is as wanted; the simulated machines need a moment."""
    found: list[Finding] = []

    def look() -> bool:
        found.append(here.diagnose(name))
        return is_there(found[-1])

    from playground.system.processes import wait_until

    wait_until(look, what=f"{name}: {found[-1].sentence if found else ''}", timeout_seconds=20)
    return found[-1]


def test_pods_that_are_well(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    roll(cluster, namespace, "v1")
    found = town().diagnose("pods")
    assert found.sentence == "2 of 2 pods of web are ready."
    assert found.severity is None
    assert all("web:v1 on node-" in row[2] for row in found.rows)


def test_a_pod_that_is_killed_for_its_memory(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    document = deployment("web", "web:oom")
    limits = {"limits": {"memory": "512Mi"}}
    document["spec"]["template"]["spec"]["containers"][0]["resources"] = limits
    cluster.apply([document], namespace=namespace)
    found = until(town(), "pods", lambda one: "2 of 2 pods of web restart every" in one.sentence)
    assert "2 of 2 pods of web restart every" in found.sentence
    assert found.sentence.endswith("OOMKilled at the 512Mi limit.")


def test_an_image_that_is_not_there(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    cluster.apply([deployment("web", "web:missing")], namespace=namespace)
    here = town()
    cluster.wait(lambda: [p for p in cluster.pods(namespace) if waiting_reason(p) == "ImagePullBackOff"])
    found = here.diagnose("pods")
    assert "cannot pull their image web:missing" in found.sentence
    assert found.severity == "P0"
    events = until(here, "events", lambda one: "Failed" in told(one))
    assert "web:missing" in told(events)


def test_logs_put_the_error_first_and_hide_what_is_secret(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    lines = """INFO starting
INFO password=hunter2 db=postgres://ml:s3cr3t@db/shop
ERROR cannot reach shard 17
ERROR cannot reach shard 18
INFO Authorization: Bearer abcdefghijklmnop.qrstuvwxyz"""
    cluster.apply([deployment("web", "web:v1", 1, {"simulated-node/log": lines})], namespace=namespace)
    wait_available(cluster, path(namespace, "deployments", "web"), 1)
    found = town().diagnose("logs")
    assert found.sentence.startswith("“ERROR cannot reach shard 18” (2× in web-")
    assert found.rows[0][0] == "error"
    for secret in ("hunter2", "s3cr3t", "abcdefghijklmnop"):
        assert secret not in told(found)


def test_logs_of_a_crash_are_those_of_the_life_before(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    cluster.apply([deployment("web", "web:crash", 1)], namespace=namespace)
    here = town()
    cluster.wait(lambda: [p for p in cluster.pods(namespace) if waiting_reason(p) == "CrashLoopBackOff"])
    found = until(here, "logs", lambda one: "bad magic number" in told(one))
    assert "RuntimeError: cannot load the model: bad magic number" in told(found)
    pods = until(here, "pods", lambda one: "exit code 1" in one.sentence)
    assert "1 of 1 pods of web restart" in pods.sentence


def test_the_roll_out_and_who_wrote_it(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    roll(cluster, namespace, "v1")
    roll(cluster, namespace, "v2")
    here = town()
    found = here.diagnose("rollout")
    assert found.sentence.startswith("web:v2 is rolled out whole; last written by ")
    assert [row[1] for row in found.rows] == ["web:v2", "web:v1"]
    assert "runs now" in found.rows[0][2]
    roll(cluster, namespace, "missing", wait=False)
    found = until(here, "rollout", lambda one: "gave the roll-out" in one.sentence)
    assert "Older pods still serve." in found.sentence


def test_what_changed_names_the_deploy(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    roll(cluster, namespace, "v1")
    roll(cluster, namespace, "v2")
    found = town().diagnose("what_changed")
    assert "web:v2 went live" in found.sentence
    assert "web was changed to web:v1 (revision 1)" in told(found)


def test_endpoints_and_a_selector_that_fits_nothing(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    roll(cluster, namespace, "v1")
    here = town()
    assert here.diagnose("endpoints").sentence == "No Service selects the pods of web."
    cluster.apply([service("web")], namespace=namespace)
    found = until(here, "endpoints", lambda one: "has 2" in one.sentence)
    assert found.sentence == "Ready endpoints: web has 2."
    cluster.api.patch(f"/api/v1/namespaces/{namespace}/services/web", {"spec": {"selector": {"app": "wbe"}}})
    found = here.diagnose("endpoints")
    assert found.sentence == "The selector of Service web fits no pod of web."
    assert found.severity == "P0"


def test_what_pods_use(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    roll(cluster, namespace, "v1")
    found = until(town(), "resources", lambda one: len(one.rows) == 4)
    assert found.sentence == "No pod of web is near a limit."
    assert any("memory" in row[0] for row in found.rows)


def test_a_quota_that_is_used_up(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small"},
        "spec": {"hard": {"pods": "2"}},
    }
    cluster.apply([quota], namespace=namespace)
    where = f"/api/v1/namespaces/{namespace}/resourcequotas/small"
    cluster.wait(lambda: cluster.api.get(where).get("status", {}).get("hard"))
    cluster.apply([deployment("web", "web:v1", 3)], namespace=namespace)
    found = until(town(), "quota", lambda one: "not made" in one.sentence)
    assert "exceeded quota" in found.sentence


def test_a_pod_for_which_there_is_no_room(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    document = deployment("web", "web:v1", 1)
    document["spec"]["template"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "500"}}
    cluster.apply([document], namespace=namespace)
    found = until(town(), "quota", lambda one: "find no node" in one.sentence)
    assert "Insufficient cpu" in found.sentence
    assert "find no node" in town().diagnose("pods").sentence


def test_permissions_are_told_one_by_one(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    here = town()
    rows = here.cluster.permissions(here.system.workloads)
    assert all(given for _, given, _ in rows), [rule for rule, given, _ in rows if not given]
    bare = cluster.service_account_kubeconfig(ACCOUNT[0], "nobody")
    nobody = here.registry.backends["kubernetes"].build({"kubeconfig": str(bare)})
    rows = nobody.permissions([replace(here.system.workloads[0])])
    assert not any(given for _, given, _ in rows)
    assert (f"patch deployments in apps, namespace {namespace}", False) in [(rule, given) for rule, given, _ in rows]


def test_people_ask_for_pods_and_logs_by_the_services_name(cluster: Cluster, namespace: str, town: MakeTown) -> None:
    roll(cluster, namespace, "v1")
    here = town()
    for words, told_first in (
        ("pods web", "2 of 2 pods of web are ready."),
        ("logs web", "No error in the last lines"),
    ):
        reply = here.say(words)
        assert not reply.refused
        assert reply.later is not None
        assert reply.later().text.startswith(told_first)
    unknown = here.say("pods wbe")
    assert unknown.refused
    assert "Did you mean web?" in unknown.text


def test_a_fresh_incident_is_asked_only_what_its_parts_can_answer(
    cluster: Cluster, namespace: str, town: MakeTown
) -> None:
    """A service without a registry and metrics costs nobody the lines "no registry" and "no metrics"."""
    roll(cluster, namespace, "v1")
    here = town()
    here.say("declare P1 web answers slowly")
    incident = here.incident
    names = here.worker._names_for(incident)
    assert {"pods", "events", "logs", "rollout", "resources", "endpoints", "quota", "what_changed"} == set(names)


def test_doctor_lists_each_permission_with_yes_or_no(
    cluster: Cluster, namespace: str, town: MakeTown, tmp_path: Path
) -> None:
    here = town()
    kubeconfig = cluster.service_account_kubeconfig(*ACCOUNT)
    config = BackendConfig(kind="kubernetes", settings={"kubeconfig": str(kubeconfig)})
    settings = Settings(
        policy=here.engine.policy, database_url=Secret(f"sqlite:///{tmp_path / 'bot.db'}"),
        secret_key=Secret("k" * 20), backends={"shop": {"cluster": config}},
    )  # fmt: skip
    lines = doctor._backends(settings, here.registry)
    assert lines[0].words.startswith("answers, Kubernetes v1.")
    given = {line.what.partition(": ")[2].partition(": ")[2]: line for line in lines[1:]}
    patch = given[f"patch deployments in apps, namespace {namespace}"]
    assert patch.ok
    assert patch.words == "yes, for rollback, restart, set-image, pause, resume"
    grant(cluster, namespace, but=("patch", "deployments"))

    def is_missing() -> bool:
        found = doctor._backends(settings, here.registry)
        return any(not line.ok and "patch deployments in apps" in line.what for line in found)

    cluster.wait(is_missing, what="doctor says no")
