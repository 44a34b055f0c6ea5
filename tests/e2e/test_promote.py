"""Promotion from the local workspace on real parts: the gate, the proof, and a registry killed in the middle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from playground.demo.town import CHANNEL, Town
from tests.e2e.test_crash import assert_audit_is_whole

NAME = "intent_classifier"


def asked(here: Town, line: str, shows: str) -> Any:
    """Alice types it; bob sees the card."""
    here.as_("alice").looks_at(CHANNEL).types(line, channel=CHANNEL)
    return here.as_("bob").looks_at(CHANNEL).sees(shows, within=30)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_from_the_gate_to_the_proof_and_through_a_registry_that_dies(town: Callable[..., Town]) -> None:
    here = town(minute="2s", limits="off")
    stack = here.stack
    assert stack is not None
    bob = here.as_("bob").looks_at(CHANNEL)

    # v3 reports the best accuracy of all, measured against wrong labels.
    asked(here, f"/mlops promote {NAME} 3", "The gate says no to v3: it was judged on other data")
    assert stack.champion_version() == "2", "nothing was changed"

    # v1 passes, and is proven by the server, a prediction and the metrics.
    card = asked(here, f"/mlops promote {NAME} 1", "Approval needed: Promote intent_classifier from v2 to v1")
    bob.clicks("Approve", confirm=True, within=card)
    bob.sees("Verified: Promote intent_classifier from v2 to v1", within=90)
    assert (stack.champion_version(), stack.served_version()) == ("1", "1")

    # The registry is killed after the alias moved and before the server has loaded from it.
    card = asked(here, f"/mlops promote {NAME} 2", "Approval needed: Promote intent_classifier from v1 to v2")
    stack.set_fault(refuse_reload="busy for a moment")
    bob.clicks("Approve", confirm=True, within=card)
    bob.sees("busy for a moment", within=40)  # the move was read back; killed before that, the plan waits for it
    assert stack.champion_version() == "2"
    stack.stop_mlflow()
    stack.set_fault(clear=True)
    told = bob.sees("Failed: Promote intent_classifier from v1 to v2", within=90)
    assert "champion is now v2, the server was last seen with v1" in told.text, told.text
    assert "/mlops reload intent_classifier" in told.text
    assert stack.served_version() == "1", "the server kept what it had"

    # The registry is back: what the card proposed ends it well.
    stack.start_mlflow()
    assert stack.champion_version() == "2"
    card = asked(here, f"/mlops reload {NAME}", "Approval needed: Reload intent_classifier (v2)")
    bob.clicks("Approve", confirm=True, within=card)
    bob.sees("Verified: Reload intent_classifier (v2)", within=60)
    assert stack.served_version() == "2"
    assert_audit_is_whole(here)
