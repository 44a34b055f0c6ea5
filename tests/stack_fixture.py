"""The real playground for tests: started once a session, handed to each test in its first state."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from playground import parts
from playground.system.processes import wait_until
from playground.system.stack import GOOD_VERSION, Stack


@pytest.fixture(scope="session")
def running_stack() -> Iterator[Stack]:
    """One playground for the session (each xdist worker has its own). Take `stack` instead, unless you only look."""
    with Stack(cache_dir=parts.cache_dir().parent / "trained") as stack:
        yield stack


@pytest.fixture
def stack(running_stack: Stack) -> Iterator[Stack]:
    """The playground with version 2 served, no fault, no alert. Put back after the test, whatever the test did to it.

    Alertmanager tells nobody at first: `stack.send_alerts_to(Webhook(url=…, token=…))`.
    """
    _put_back(running_stack)
    yield running_stack
    running_stack.send_alerts_to(None)


def _put_back(stack: Stack) -> None:
    stack.send_alerts_to(None)
    stack.start_server()
    stack.set_fault(clear=True)
    if stack.champion_version() != GOOD_VERSION or stack.served_version() != GOOD_VERSION:
        stack.restore()
    stack.wait_for_accuracy(at_least=0.9)
    wait_until(lambda: not stack.firing_alerts(), what="all alerts are over", timeout_seconds=30)
