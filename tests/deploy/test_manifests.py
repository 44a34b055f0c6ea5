"""The manifests agree with each other, with the image and with the bot; no cluster is needed to see it."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import date
from pathlib import Path

import pytest
import yaml

from bot import __version__
from bot.check import check_everything
from bot.cli import names_of
from bot.registry import load
from playground import parts
from tests.deploy.manifests import EXAMPLE, KUBERNETES, ROOT, Document, containers, only, render

DOCKERFILE = (ROOT / "Dockerfile").read_text()
LABELS = {"app.kubernetes.io/name": "mlops-bot"}
SECRET_ENV = {
    "SLACK_BOT_TOKEN", "SLACK_APP_TOKEN", "MLOPS_WEBHOOK_TOKEN", "MLOPS_SECRET_KEY", "MLOPS_DATABASE_URL",
}  # fmt: skip
REVIEWED = date(2026, 11, 21)


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    return render(EXAMPLE)


def test_every_kind_is_there_once(documents: list[Document]) -> None:
    kinds = sorted(one["kind"] for one in documents)
    assert kinds == sorted([
        "Namespace", "ServiceAccount", "ClusterRole", "ClusterRole", "RoleBinding", "RoleBinding", "ConfigMap",
        "ConfigMap", "Service", "Deployment", "PodDisruptionBudget", "ServiceMonitor", "NetworkPolicy", "NetworkPolicy",
    ])  # fmt: skip


def test_every_selector_finds_the_pods(documents: list[Document]) -> None:
    """Danger: a Service, a budget or a network policy that selects nothing looks fine and does nothing."""
    pods = only(documents, "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert pods == LABELS
    selectors = [
        only(documents, "Deployment")["spec"]["selector"]["matchLabels"],
        only(documents, "Service")["spec"]["selector"],
        only(documents, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        *(one["spec"]["podSelector"]["matchLabels"] for one in documents if one["kind"] == "NetworkPolicy"),
    ]
    assert selectors == [pods] * 5
    monitor, service = only(documents, "ServiceMonitor"), only(documents, "Service")
    assert monitor["spec"]["selector"]["matchLabels"] == service["metadata"]["labels"]
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]


def test_the_image_is_named_with_this_release(documents: list[Document]) -> None:
    """Danger: no tag means :latest, which is another program tomorrow."""
    assert {one["image"] for one in containers(render(KUBERNETES / "base"))} == {f"mlops-bot:{__version__}"}
    images = {one["image"] for one in containers(documents)}
    assert len(images) == 1
    assert images.pop().endswith(f"/mlops-bot:{__version__}")


def test_every_container_is_locked_down(documents: list[Document]) -> None:
    pod = only(documents, "Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for one in containers(documents):
        context = one["securityContext"]
        assert (context["readOnlyRootFilesystem"], context["allowPrivilegeEscalation"]) == (True, False), one["name"]
        assert context["capabilities"] == {"drop": ["ALL"]}, one["name"]
        assert {"requests", "limits"} <= one["resources"].keys(), one["name"]


def test_pods_and_image_agree(documents: list[Document]) -> None:
    """The user, the port, the writable folders and the place of the configuration, each written in two files."""
    pod = only(documents, "Deployment")["spec"]["template"]["spec"]
    user = pod["securityContext"]["runAsUser"]
    assert f"\nUSER {user}:{user}\n" in DOCKERFILE
    bot = pod["containers"][0]
    assert f"\nEXPOSE {bot['ports'][0]['containerPort']}\n" in DOCKERFILE
    mounts = {one["mountPath"]: one["name"] for one in bot["volumeMounts"]}
    assert f"\nVOLUME {next(path for path, name in mounts.items() if name == 'data')}\n" in DOCKERFILE
    assert f"MLOPS_CONFIG={next(path for path, name in mounts.items() if name == 'config')}\n" in DOCKERFILE
    assert mounts["/tmp"] == "tmp"
    assert pod["initContainers"][0]["volumeMounts"] == bot["volumeMounts"]
    assert [one["args"] for one in containers(documents)] == [["migrate"], ["serve"]]


def test_no_secret_is_written(documents: list[Document]) -> None:
    """The tokens come from a Secret that somebody else makes; the example of it holds nothing."""
    assert not [one for one in documents if one["kind"] == "Secret"]
    for one in containers(documents):
        assert one["envFrom"] == [{"secretRef": {"name": "mlops-bot"}}]
        assert "env" not in one
    example = yaml.safe_load((KUBERNETES / "secret.example.yaml").read_text())
    assert example["metadata"] == {"name": "mlops-bot", "namespace": "mlops-bot"}
    assert example["stringData"] == dict.fromkeys(SECRET_ENV, "replace-me")
    for path in KUBERNETES.rglob("*.yaml"):
        assert not re.search(r"xox[abp]-|xapp-|://[^ /]+:[^ /@]+@(?!HOST)", path.read_text()), path


def test_the_mounted_configuration_is_found_right(documents: list[Document], tmp_path: Path) -> None:
    """The ConfigMaps, put where the pod mounts them, pass `mlops-bot check` without a warning; the folder too."""
    maps = {one["metadata"]["name"]: one["data"] for one in documents if one["kind"] == "ConfigMap"}
    pod = only(documents, "Deployment")["spec"]["template"]["spec"]
    volumes = {one["name"]: one["configMap"]["name"] for one in pod["volumes"] if "configMap" in one}
    used = set()
    for mount in pod["containers"][0]["volumeMounts"]:
        if mount["name"] not in volumes:
            continue
        used.add(volumes[mount["name"]])
        for name, text in maps[volumes[mount["name"]]].items():
            path = tmp_path / mount["mountPath"].lstrip("/") / ("" if "subPath" in mount else name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    assert used == set(maps), "every ConfigMap is mounted"
    env = dict.fromkeys(SECRET_ENV, "long-enough-to-be-a-key")
    env |= {"MLOPS_DATABASE_URL": "sqlite:///:memory:"}
    for file in (tmp_path / "etc/mlops-bot/mlops.yaml", EXAMPLE / "mlops.yaml"):
        problems = check_everything(file, env, names_of(load()), REVIEWED)
        assert [str(one) for one in problems] == []


def test_bindings_name_what_is_there(documents: list[Document]) -> None:
    account = only(documents, "ServiceAccount")["metadata"]
    roles = {one["metadata"]["name"] for one in documents if one["kind"] == "ClusterRole"}
    for one in documents:
        if one["kind"] == "RoleBinding":
            assert one["roleRef"]["name"] in roles
            assert one["subjects"] == [
                {"kind": "ServiceAccount", "name": account["name"], "namespace": account["namespace"]}
            ]
            assert one["metadata"]["namespace"] == "ml-platform"


def test_the_network_policy_opens_the_ports_that_are_used(documents: list[Document]) -> None:
    policy = next(one for one in documents if one["kind"] == "NetworkPolicy" and one["metadata"]["name"] == "mlops-bot")
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    port = only(documents, "Service")["spec"]["ports"][0]["port"]
    assert [each["port"] for rule in policy["spec"]["ingress"] for each in rule["ports"]] == [port]
    assert {each["port"] for rule in policy["spec"]["egress"] for each in rule["ports"]} == {53, 443, 6443, 5432}
    assert all(rule.get("from") for rule in policy["spec"]["ingress"]), "an empty `from` would let everybody in"


def test_alertmanager_accepts_the_receiver() -> None:
    """Judged by Alertmanager's own tool; and it goes to the Service that the manifests make."""
    file = ROOT / "deploy" / "alertmanager" / "receiver.yaml"
    tool = parts.need("alertmanager").with_name("amtool")
    done = subprocess.run([tool, "check-config", file], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    hook = yaml.safe_load(file.read_text())["receivers"][0]["webhook_configs"][0]
    service = only(render(KUBERNETES / "base"), "Service")
    name, namespace = service["metadata"]["name"], service["metadata"]["namespace"]
    assert hook["url"] == f"http://{name}.{namespace}.svc:{service['spec']['ports'][0]['port']}/webhooks/alertmanager"
    assert hook["http_config"]["authorization"].keys() == {"type", "credentials_file"}, "no token is written"


@pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="kubectl would be the judge of this reader, and is not here"
)
def test_this_reader_reads_as_kustomize_does(documents: list[Document]) -> None:
    text = subprocess.run(
        ["kubectl", "kustomize", str(EXAMPLE)], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    theirs = {(one["kind"], _plain(one["metadata"]["name"])): one for one in yaml.safe_load_all(text)}
    ours = {(one["kind"], one["metadata"]["name"]): one for one in documents}
    assert theirs.keys() == ours.keys()
    for key, one in ours.items():
        assert one.get("data") == theirs[key].get("data"), key
        assert one.get("rules") == theirs[key].get("rules"), key
        if one["kind"] != "Deployment":  # there the ConfigMaps' names have their suffix
            assert one.get("spec") == theirs[key].get("spec"), key
    assert [one["volumeMounts"] for one in containers(documents)] == [
        one["volumeMounts"] for one in containers(list(theirs.values()))
    ]


def _plain(name: str) -> str:
    """Without the suffix of a generated ConfigMap."""
    return re.sub(r"-[0-9a-z]{10}$", "", name)
