"""kill -9 at the moments that matter: nothing is lost and nothing is repeated."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from playground.demo.town import CHANNEL, Town
from tests.e2e.webhooks import alert, webhook

T = TypeVar("T")


def wait_for(look: Callable[[], T | None], within: float, what: str) -> T:
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    message = f"{what} did not happen within {within} s"
    raise AssertionError(message)


def headlines(town: Town) -> list[Any]:
    """Messages at the top level of the incident channel, posted by the bot."""
    alice = town.as_("alice")
    return [m for m in alice.messages(CHANNEL) if m.thread_ts in (None, m.ts) and "intent" in m.text]


def pages(town: Town, name: str) -> list[Any]:
    return [m for m in town.as_(name).dms() if "P0" in m.text]


def assert_audit_is_whole(town: Town) -> None:
    checked = town.run("audit", "verify")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_after_the_webhooks_answer(town: Callable[..., Town]) -> None:
    """2xx means durable: the process dies right after it, and the incident is posted by the next one, once."""
    here = town(with_system=False)
    one = alert()
    status, answer = here.post_webhook(webhook(one))
    here.kill_bot()
    assert (status, answer["alerts_new"]) == (200, 1)
    here.start_bot()
    wait_for(lambda: headlines(here), 15, "the headline")
    status, answer = here.post_webhook(webhook(one))  # Alertmanager may well send it again
    assert (status, answer["alerts_duplicate"]) == (200, 1)
    here.as_("alice").does_not_see("never shown", after=2.0)
    assert len(headlines(here)) == 1
    listed = json.loads(here.run("incidents", "--json").stdout)
    assert len(listed) == 1
    assert_audit_is_whole(here)


@pytest.mark.parametrize(
    "fault",
    [
        "timeout_after",
        pytest.param("500", marks=pytest.mark.slow),
        pytest.param("reset_after", marks=pytest.mark.slow),
        pytest.param("timeout_before", marks=pytest.mark.slow),
    ],
)
def test_between_a_pages_send_and_its_mark(town: Callable[..., Town], fault: str) -> None:
    """The page's call gets no answer and the process dies: the next one looks in the channel before it sends again."""
    here = town(with_system=False, minute="100ms", limits="off")
    direct = here.workspace.as_("alice")
    here.post_webhook(webhook(alert()))
    wait_for(lambda: headlines(here), 10, "the headline")
    here.workspace.fault(fault, "chat.postMessage", times=1, seconds=8.0)
    attempted = len(here.workspace.calls("chat.postMessage"))
    if fault == "timeout_after":
        wait_for(lambda: pages(here, "alice"), 15, "the page on the recipient's screen")
    else:
        wait_for(lambda: len(here.workspace.calls("chat.postMessage")) > attempted or None, 15, "the failing call")
    here.kill_bot()
    here.workspace.heal()
    here.start_bot()
    wait_for(lambda: pages(here, "alice"), 20, "the page")
    direct.types("/mlops ack", channel=CHANNEL)
    direct.does_not_see("never shown", after=3.0)
    level_one = [page for page in pages(here, "alice") if "evel 1" in page.text and "repeat" not in page.text]
    assert len(level_one) == 1, [page.text for page in pages(here, "alice")]
    assert_audit_is_whole(here)
