"""`mlops-bot demo --kubernetes`, played by its script: the production bot, a real API server, the local Slack."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from playground.demo.on_kubernetes import Alarm, ClusterStory
from playground.demo.platform import RUNBOOKS, Platform
from playground.demo.town import Town
from playground.kube import Cluster


@pytest.fixture
def platform(cluster: Cluster) -> Iterator[Platform]:
    made = Platform(cluster)
    yield made
    made.remove()


@pytest.mark.timeout(240)
def test_a_bad_roll_out_is_taken_back_from_slack(cluster: Cluster, platform: Platform) -> None:
    """Alert, findings, ack, refusal, approval, proof, resolve; with the rights of the bot's own table of rules."""
    addresses = {"PLAYGROUND_KUBECONFIG": str(platform.start())}
    with Town(
        minute="500ms", limits="real", with_system=False, runbooks=RUNBOOKS, addresses=addresses
    ) as town, Alarm(town, platform):  # fmt: skip
        story = ClusterStory(town, platform)
        story.play()
        assert story.steps >= 12
        assert town.workspace.lint == []
        assert town.workspace.failures == []
        assert town.run("check").returncode == 0
        checked = town.run("audit", "verify")
    assert "is whole" in checked.stdout, checked.stdout + checked.stderr
