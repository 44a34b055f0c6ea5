"""The main job from alert to verified rollback, on real parts, in both of Slack's modes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from playground.demo.story import Story
from playground.demo.town import Town


@pytest.mark.timeout(300)
def test_the_whole_story_over_socket_mode(town: Callable[..., Town]) -> None:
    """Alert, diagnosis, ack, refusal, void plan, approval, proof, resolve; then a P0 that nobody answers."""
    here = town(minute="250ms", limits="real")
    story = Story(here)
    story.play()
    assert story.steps >= 18
    assert here.workspace.lint == []
    assert here.workspace.failures == []
    checked = here.run("audit", "verify")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "is whole" in checked.stdout


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_rollback_over_signed_http(town: Callable[..., Town]) -> None:
    """The same production code with Slack calling in over HTTP with signatures; the browser test plays it so too."""
    here = town(minute="250ms", limits="real", slack_mode="http")
    story = Story(here)
    story.bad_model()
    story.acknowledge()
    story.rollback()
    story.resolved()
    assert here.workspace.lint == []
    assert here.workspace.failures == []
