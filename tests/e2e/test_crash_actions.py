"""kill -9 around an execution: the approval's change is carried out, and carried out once."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from playground.demo.town import CHANNEL, Town
from tests.e2e.test_crash import assert_audit_is_whole, wait_for


def approved_card(here: Town) -> Any:
    """Bring the town to a card that bob can approve."""
    assert here.stack is not None
    here.wait_until_proven()
    here.stack.go_bad()
    alice, bob = here.as_("alice").looks_at(CHANNEL), here.as_("bob").looks_at(CHANNEL)
    alice.sees("P1", within=40)
    alice.types("/mlops ack", channel=CHANNEL)
    alice.types("/mlops rollback intent_classifier", channel=CHANNEL)
    bob.sees("last known-good", within=20)
    return bob


def proven(here: Town) -> None:
    """The plan ended verified, was started once, moved the alias once, and the server serves v2."""
    assert here.stack is not None
    here.as_("bob").sees("verified", within=60)
    assert here.stack.served_version() == "2"
    assert here.stack.champion_version() == "2"
    exported = [json.loads(line) for line in here.run("audit", "export").stdout.splitlines()]
    kinds = [line["kind"] for line in exported]
    assert kinds.count("started") == 1
    assert kinds.count("plan_verified") == 1
    done = [line["data"]["step"] for line in exported if line["kind"] == "step_done"]
    assert len(done) == len(set(done)), done
    assert_audit_is_whole(here)


@pytest.mark.timeout(180)
def test_after_the_approval(town: Callable[..., Town]) -> None:
    """The approval is stored, the process dies before the first change; the next one carries the plan out, once."""
    here = town(minute="2s", limits="off")
    bob = approved_card(here)
    assert bob.clicks("Approve", confirm=True, within="last known-good").is_acked
    here.kill_bot()
    here.start_bot()
    proven(here)


@pytest.mark.timeout(180)
def test_in_the_middle_of_the_execution(town: Callable[..., Town]) -> None:
    """The server is frozen in the reload and the process dies; the reload's effect lands while nobody waits for it."""
    here = town(minute="2s", limits="off")
    assert here.stack is not None
    bob = approved_card(here)
    os.kill(here.stack.server_pid, signal.SIGSTOP)
    try:
        # The click is not waited for: with the server frozen the fresh look at the target cannot end either.
        bob.clicks("Approve", confirm=True, within="last known-good")
        os.kill(here.stack.server_pid, signal.SIGCONT)
        wait_for(lambda: here.stack is not None and here.stack.champion_version() == "2", 20, "the alias move")
        os.kill(here.stack.server_pid, signal.SIGSTOP)
        here.kill_bot()
    finally:
        os.kill(here.stack.server_pid, signal.SIGCONT)
    here.start_bot()
    proven(here)
