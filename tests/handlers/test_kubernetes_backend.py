"""The Kubernetes backend at the wire: every status with its verdict, and every bad day of a network."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.ports import Foreign, Thing
from handlers._kube import DEPLOYMENT
from handlers.backends import kubernetes
from tests.handlers import odd_server

WEB = Thing(kind=DEPLOYMENT, namespace="shop", name="web")


@contextmanager
def client(url: str, folder: Path) -> Iterator[kubernetes.KubernetesCluster]:
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": {"token": "very-secret"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    }  # fmt: skip
    file = folder / "config"
    file.write_text(yaml.safe_dump(config))
    made = kubernetes.BACKEND.build({"kubeconfig": str(file)})
    yield made
    made.close()


TEST_FAILED = "the server rejected our request due to an error in our request"


def status(code: int, message: str) -> dict[str, Any]:
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": message}


@pytest.mark.parametrize(
    "code, message, reason, happened, told",
    [
        (401, "Unauthorized", "refused", False, "does not know us"),
        (403, 'deployments.apps "web" is forbidden: User "x" cannot patch resource "deployments"', "refused", False,
         "lacks the rule “patch deployments in apps, namespace shop”"),
        (403, "exceeded quota: small", "refused", False, "exceeded quota: small"),
        (404, "not found", "not_found", False, "has no Deployment shop/web"),
        (409, "the object has been modified", "conflict", False, "by somebody else"),
        (410, "gone", "conflict", False, "by somebody else"),
        (422, TEST_FAILED, "conflict", False, "somebody changed it"),
        (422, "spec.replicas: Invalid value: -1", "invalid", False, "Invalid value: -1"),
        (400, "admission webhook denied it", "invalid", False, "admission webhook denied it"),
        (429, "slow down", "overloaded", False, "overloaded"),
        (500, "boom", "broken", None, "failed with 500: boom"),
        (503, "starting", "overloaded", None, "overloaded"),
        (504, "timeout", "timeout", None, "did not finish in time"),
    ],
)  # fmt: skip
def test_every_status_has_its_verdict(
    code: int, message: str, reason: str, happened: bool | None, told: str, tmp_path: Path
) -> None:
    with odd_server.answering(code, status(code, message)) as server, client(server.url, tmp_path) as cluster:
        with pytest.raises(Foreign) as raised:
            cluster.patch(WEB, [{"op": "test", "path": "/metadata/uid", "value": "x"}])
        assert len(server.requests) == 1, "a change is never sent twice by the backend itself"
    assert (raised.value.reason, raised.value.happened) == (reason, happened)
    assert told in raised.value.sentence
    assert "very-secret" not in raised.value.sentence


def test_what_is_sent_is_a_json_patch_in_our_name(tmp_path: Path) -> None:
    with odd_server.answering(200, {"kind": "Deployment"}) as server, client(server.url, tmp_path) as cluster:
        cluster.patch(WEB, [{"op": "test", "path": "/metadata/uid", "value": "x"}], dry_run=True)
        cluster.patch(WEB, {"spec": {}}, sub="scale")
    [(method, path, headers), (_, scale, merge)] = server.requests
    assert method == "PATCH"
    assert path.startswith("/apis/apps/v1/namespaces/shop/deployments/web?")
    for part in ("fieldManager=mlops-bot", "dryRun=All", "fieldValidation=Strict"):
        assert part in path
    assert headers["Content-Type"] == "application/json-patch+json"
    assert "dryRun" not in scale
    assert "/web/scale?" in scale
    assert merge["Content-Type"] == "application/merge-patch+json"


@pytest.mark.parametrize(
    "behave, reason",
    [(odd_server.silence, "timeout"), (odd_server.hang_up, "unreachable"), (odd_server.trickle, "timeout")],
)
def test_a_bad_wire_ends_in_time_and_says_that_it_cannot_be_told(behave: Any, reason: str, tmp_path: Path) -> None:
    with odd_server.raw(behave) as url, client(url, tmp_path) as cluster:
        cluster._client()
        began = time.monotonic()
        with pytest.raises(Foreign) as raised:
            cluster.patch(WEB, [])
        assert time.monotonic() - began < 6
    assert (raised.value.reason, raised.value.happened) == (reason, None)


def test_nobody_there_means_that_nothing_happened(tmp_path: Path) -> None:
    with odd_server.nobody() as url, client(url, tmp_path) as cluster, pytest.raises(Foreign) as raised:
        cluster.get(WEB)
    assert (raised.value.reason, raised.value.happened) == ("unreachable", False)


def test_a_login_page_is_no_answer(tmp_path: Path) -> None:
    page = b"<html>log in</html>"
    with (
        odd_server.answering(200, page) as server,
        client(server.url, tmp_path) as cluster,
        pytest.raises(Foreign) as raised,
    ):
        cluster.get(WEB)
    assert raised.value.reason == "invalid"


@pytest.mark.parametrize(
    "settings, told",
    [
        ({}, "needs one of"),
        ({"kubeconfig": "x", "in_cluster": "true"}, "needs one of"),
        ({"in_cluster": "yes"}, "must be true or false"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, str], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        kubernetes.BACKEND.build(settings)


def test_a_kubeconfig_that_is_not_there_is_told_at_the_first_call(tmp_path: Path) -> None:
    cluster = kubernetes.BACKEND.build({"kubeconfig": str(tmp_path / "nosuch")})
    with pytest.raises(Foreign) as raised:
        cluster.get(WEB)
    assert (raised.value.reason, raised.value.happened) == ("invalid", False)
