"""Planned work, owners who are asked, listeners and heartbeats: the production program, Slack and Alertmanager."""

from __future__ import annotations

import shutil
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from playground.demo.town import CHANNEL, RUNBOOKS, Town, user_id
from playground.system.monitoring import Webhook
from playground.system.stack import Stack
from tests.e2e.test_crash import wait_for
from tests.e2e.webhooks import alert, webhook

MINUTE = "100ms"
ESCALATION = {"ack_timeout": {"P0": "60m"}, "answer_within": "50m"}
LEVEL = '{after: 60m, to: ["role:manager"]}'  # of the playground's own ladder


def with_rules(here: Town, **more: Any) -> None:
    """Start the bot anew: owners are asked, and the manager's level goes on until it is resolved."""
    here.stop_bot()
    people = {
        key: {"user_id": user_id(key), "name": key, "roles": roles}
        for key, roles in {
            "alice": ["oncall", "engineer"], "bob": ["engineer", "senior"], "carol": ["manager"], "dana": ["director"],
        }.items()
    }  # fmt: skip
    folder = here.folder / "runbooks"
    shutil.copytree(RUNBOOKS, folder)
    profile = folder / "playground" / "system.yaml"
    text = profile.read_text()
    assert LEVEL in text
    profile.write_text(text.replace(LEVEL, LEVEL.replace("}", ", until: resolved}")))
    defaults = {"channel": f"#{CHANNEL}", "oncall": ["alice"], "escalation": ESCALATION}
    here.write_config(defaults=defaults, people=people, runbooks=str(folder), **more)
    here.start_bot()


def dms(here: Town, name: str, words: str) -> list[Any]:
    return [message for message in here.as_(name).dms() if words in message.text]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_an_owner_answers_by_button_planned_work_holds_and_a_listener_listens(town: Callable[..., Town]) -> None:
    here = town(with_system=False, minute=MINUTE, limits="soft")
    with_rules(here)
    alice, bob, carol = here.as_("alice"), here.as_("bob"), here.as_("carol")

    bob.types("/mlops silence playground 1h new weights", channel=CHANNEL)
    bob.sees("incidents are opened and shown")
    here.post_webhook(webhook(alert()))
    assert "Nobody is paged before" in alice.sees("No model is loaded", channel=CHANNEL).text
    alice.does_not_see("you are paged", after=2.5)  # level 1 and 2 are due after 1.5 and 3 s
    bob.types("/mlops unsilence playground", channel=CHANNEL)
    wait_for(lambda: dms(here, "alice", "held back: new weights"), 10, "the page that was held")

    carol.types("/mlops subscribe 1h", channel=CHANNEL)
    carol.sees("until it is resolved")
    bob.types("/mlops ack", channel=CHANNEL)
    [question] = wait_for(lambda: dms(here, "bob", "Still on it?"), 15, "the question")
    bob.clicks("Still on it", within=question)
    bob.sees("You are asked again after")
    wait_for(lambda: dms(here, "carol", "For information"), 10, "what a manager hears of a P0 although somebody has it")
    # nobody clicks the second time: it is nobody's again, and the ladder climbs at once
    wait_for(lambda: len(dms(here, "bob", "Still on it?")) == 2 or None, 15, "the second question")
    wait_for(lambda: len(dms(here, "alice", "level 1 ")) >= 2 or None, 15, "the ladder after no answer")
    headline = alice.sees("No model is loaded", channel=CHANNEL)
    assert "Open, nobody has it yet" in headline.text

    alice.types("/mlops resolve 1 mended", channel=CHANNEL)
    wait_for(lambda: dms(here, "carol", "It is over"), 10, "the last update")
    assert here.workspace.failures == []
    assert here.workspace.lint == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_real_alertmanager_falls_silent_and_is_heard_again(town: Callable[..., Town], stack: Stack) -> None:
    """It is heard of for the first time, which may take it a minute; falls silent; is heard again after our crash."""
    here = town(with_system=False, minute=MINUTE)
    with_rules(here, heartbeats={"alertmanager": {"alert": "Watchdog", "silent_after": "8s"}})
    hook = Webhook(url=f"{here.url}/webhooks/alertmanager", token=here.webhook_token, watchdog=True)
    stack.send_alerts_to(hook)
    wait_for(lambda: _heard(here) >= 3, 90, "the Watchdog, three times")
    wait_for(lambda: _silent(here) == 0.0, 10, "that it is known to be there")

    stack.send_alerts_to(None)
    wait_for(lambda: _silent(here) == 1.0, 40, "its silence")
    assert "alertmanager" in alice_sees(here, "Monitoring is silent: alertmanager, last heard at", 10)
    here.kill_bot()  # what is silent stays silent over a crash
    here.start_bot()
    assert _silent(here) == 1.0

    stack.send_alerts_to(hook)
    wait_for(lambda: _silent(here) == 0.0, 90, "its return")
    wait_for(lambda: '"state": "open"' not in here.run("incidents", "--json").stdout, 30, "the end of the incident")


def alice_sees(here: Town, words: str, within: float) -> str:
    def look() -> str | None:
        return next((m.text for m in here.as_("alice").messages(CHANNEL) if words in m.text), None)

    return wait_for(look, within, f"“{words}” in the channel")


def _metrics(here: Town) -> str:
    with urllib.request.urlopen(f"{here.url}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def _number(here: Town, words: str) -> float:
    line = next((one for one in _metrics(here).splitlines() if words in one), " -1")
    return float(line.rsplit(" ", 1)[1])


def _heard(here: Town) -> float:
    return _number(here, 'mlops_alerts_total{verdict="heartbeat"}')


def _silent(here: Town) -> float:
    return _number(here, 'mlops_heartbeat_silent{heartbeat="alertmanager"}')
