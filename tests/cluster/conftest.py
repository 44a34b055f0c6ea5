"""A real Kubernetes for the tests of this folder: one cluster per worker, a fresh namespace per test.

Every test here is of the mark `cluster`. Without the programs they fail and say how to get them; `make test` looks
first, leaves them out and says so.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from playground.kube import Cluster
from tests.cluster.desk import ACCOUNT, MakeTown, Town, grant
from tests.cluster.proxy import FaultProxy

HERE = Path(__file__).parent
_numbers = itertools.count(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The cluster of this worker. Tests share it: stay in your namespace, put back what you stop."""
    with Cluster() as running:
        yield running


@pytest.fixture
def own_cluster(cluster: Cluster) -> Cluster:
    """The same, where the control plane has to be ours: it is stopped, its wire is cut, its log is read."""
    if not cluster.is_ours:
        pytest.skip("MLOPS_TEST_KUBECONFIG names a cluster that the tests may not stop or listen to")
    return cluster


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of this test alone. Emptied afterwards in the background."""
    worker = getattr(request.config, "workerinput", {}).get("workerid", "gw0")
    name = f"test-{worker}-{next(_numbers)}"
    yield cluster.namespace(name)
    cluster.api.delete(f"/api/v1/namespaces/{name}")


@pytest.fixture
def proxy(own_cluster: Cluster) -> Iterator[FaultProxy]:
    """A wire that can be cut. Give a client `cluster.kubeconfig(…, server=proxy.url)`."""
    with FaultProxy(own_cluster) as running:
        yield running


@pytest.fixture
def town(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[MakeTown]:
    """Make towns in the test's namespace: the bot, with the roles that we ship."""
    made: list[Town] = []
    grant(cluster, namespace)

    def make(*, server: str = "", **options: Any) -> Town:
        kubeconfig = cluster.service_account_kubeconfig(*ACCOUNT, server=server)
        made.append(Town(kubeconfig, namespace, tmp_path / "bot.db", **options))
        return made[-1]

    yield make
    for one in made:
        one.close()
