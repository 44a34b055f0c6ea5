"""`/mlops retrain` as people see it: the demo's own training, a real new version, and a failure that says why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from playground.demo.town import CHANNEL, Town
from playground.slack import Human, Seen
from playground.system.wire import call
from tests.e2e.test_crash import assert_audit_is_whole, wait_for

pytestmark = pytest.mark.slow


def approve(alice: Human, bob: Human, said: str, title: str) -> Seen:
    """Alice asks, bob agrees; the card, to be looked at again."""
    alice.types(f"/mlops {said}", channel=CHANNEL)
    bob.sees(f"Approval needed: {title}", within=20)
    assert bob.clicks("Approve", confirm=True, within=f"Approval needed: {title}").is_acked
    return bob.sees(title)


def versions(here: Town) -> list[str]:
    """What the registry has, oldest first."""
    assert here.stack is not None
    url = f"{here.stack.mlflow_url}/api/2.0/mlflow/model-versions/search"
    found = call("GET", url, query={"filter": "name='intent_classifier'"})
    return sorted(str(one["version"]) for one in found["model_versions"])


@pytest.mark.timeout(240)
def test_a_retrain_makes_a_version_though_the_bot_dies_in_the_middle(town: Callable[..., Town]) -> None:
    here = town(minute="2s", limits="off", metrics=None)
    alice, bob = here.as_("alice").looks_at(CHANNEL), here.as_("bob").looks_at(CHANNEL)
    runs = here.folder / "runs"

    approve(alice, bob, "retrain intent_classifier", "Retrain intent_classifier with rows = all")
    wait_for(lambda: any(runs.glob("*/command.json")), 20, "the command")
    here.kill_bot()
    here.start_bot()
    done = bob.sees("Verified: Retrain intent_classifier", within=90)
    assert "v4 is registered" in done.text
    assert "promote intent_classifier 4" in done.text
    assert versions(here) == ["1", "2", "3", "4"], "one run, one version"
    assert here.stack is not None
    assert here.stack.champion_version() == "2", "nothing is put into production by it"
    assert len(list(runs.iterdir())) == 1
    assert_audit_is_whole(here)

    approve(alice, bob, "retrain intent_classifier rows=50", "Retrain intent_classifier with rows = 50")
    failed = bob.sees("Failed: Retrain intent_classifier with rows = 50", within=60)
    for words in ("too few labels (exit code 3)", "too few labels: 50 of at least 200", "Wait until more labels"):
        assert words in failed.text
    assert versions(here) == ["1", "2", "3", "4"]
    assert not [path for path in runs.rglob("*") if _holds(path, here.secret_key)]

    alice.types("/mlops retrain intent_classifier rows=50;id", channel=CHANNEL)
    alice.sees("rows=50;id is refused: use letters, digits", within=10)


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and text in path.read_text(errors="replace")
