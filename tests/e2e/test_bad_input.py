"""What strangers, tired people and broken systems send: each gets its answer, and nothing is lost."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from playground import parts
from playground.demo.town import CHANNEL, Town
from playground.slack import Human
from tests.e2e.test_crash import headlines, wait_for
from tests.e2e.webhooks import alert, webhook


@pytest.fixture(scope="module")
def quiet_town() -> Iterator[Town]:
    """A town whose ML system is not there at all: MLflow, Prometheus and the server refuse connections."""
    with Town(with_system=False, limits="off", cache_dir=parts.cache_dir()) as one:
        yield one


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"{not json", 400, "not JSON"),
        (b"[]", 400, "alerts"),
        (b'{"alerts": 7}', 400, "alerts"),
        (b"", 400, "not JSON"),
    ],
)
def test_what_is_no_webhook(quiet_town: Town, body: bytes, status: int, words: str) -> None:
    """400 only for what can never be taken, with words about what was expected."""
    got, answer = quiet_town.post_webhook(body)
    assert (got, answer["ok"]) == (status, False)
    assert words in answer["error"]


def test_a_wrong_token(quiet_town: Town) -> None:
    """Nobody comes in without the token; the answer does not tell what it is."""
    got, answer = quiet_town.post_webhook(webhook(alert()), token="guess")
    assert got == 401
    assert quiet_town.webhook_token not in json.dumps(answer)


def test_one_bad_alert_costs_only_itself(quiet_town: Town) -> None:
    """Missing and broken fields are judged alert by alert; the counters add up."""
    no_fingerprint = alert(model="m1")
    del no_fingerprint["fingerprint"]
    no_start = alert(model="m2")
    del no_start["startsAt"]
    body = webhook(no_fingerprint, no_start, "not an object", None, {"labels": {}}, alert(severity="sev9½"))
    del body["groupKey"]
    got, answer = quiet_town.post_webhook(body)
    assert got == 200
    received = answer["alerts_new"] + answer["alerts_duplicate"] + answer["alerts_quarantined"]
    assert answer["alerts_received"] == received == 6
    assert answer["alerts_quarantined"] == 4
    assert len(answer["alerts"]) == 6


def test_thousands_of_alerts_in_one_notification(
    quiet_town: Town, record_property: Callable[[str, object], None]
) -> None:
    """5,000 alerts are stored before the answer, and become one incident."""
    many = [alert(instance=f"node-{n}", alertname="Storm", model="", service="", signal="") for n in range(5_000)]
    began = time.monotonic()
    got, answer = quiet_town.post_webhook(webhook(*many, truncated=37))
    record_property("figure", f"5,000 alerts in one webhook: stored and answered in {time.monotonic() - began:.2f} s")
    assert (got, answer["alerts_new"], len(answer["incidents"])) == (200, 5_000, 1)
    assert quiet_town.post_webhook(webhook(*many))[1]["alerts_duplicate"] == 5_000


def test_a_body_over_the_cap(quiet_town: Town) -> None:
    """413, and the bot is still well."""
    quiet_town.stop_bot()
    quiet_town.write_config(http={"listen": f"127.0.0.1:{quiet_town.port}", "max_body_bytes": 100_000})
    quiet_town.start_bot()
    got, answer = quiet_town.post_webhook(webhook(alert(summary="x" * 200_000)))
    assert got == 413, answer
    assert quiet_town.post_webhook(webhook(alert()))[0] == 200
    quiet_town.stop_bot()
    quiet_town.write_config()
    quiet_town.start_bot()


HOSTILE = (
    "<!channel> <@U123|x> <https://evil.example|click>", "*bold* `code` ~no~ _x_", "{{7*7}} {% for x in y %}",
    "\u202eevil\u2066",
    "a\x00b\x1b[31m", "'; DROP TABLE incident; --", "x" * 100_000, "{0.__class__.__mro__}", "😀" * 500,
)  # fmt: skip


def test_hostile_labels_are_shown_inert(quiet_town: Town) -> None:
    """Mentions, links, templates, control characters and 100 kB values neither act nor break a message."""
    alerts = [alert(alertname=text, summary=text, model="", service="", signal="") for text in HOSTILE]
    for one, text in zip(alerts, HOSTILE, strict=True):
        one["annotations"] = {"summary": text, "description": text, "value": text, "runbook_url": text}
        body = webhook(one)
        body["groupKey"] = text[:200]
        got, answer = quiet_town.post_webhook(body)
        assert (got, answer["alerts_quarantined"]) == (200, 0)
    wait_for(lambda: len(quiet_town.workspace.calls("chat.postMessage", ok=True)) >= len(HOSTILE), 60, "the headlines")
    for call in quiet_town.workspace.calls("chat.postMessage"):
        shown = json.dumps([call.args.get("text"), call.args.get("blocks")], ensure_ascii=False)
        assert "<!channel>" not in shown
        assert "<@U123" not in shown
        assert "<https://evil" not in shown
        assert "\\u0000" not in shown
        assert "\u202e" not in shown
        assert "49" not in shown.partition("{{7*7}}")[0][-4:]
        assert call.ok, (call.verdict, shown[:500])
    assert quiet_town.workspace.lint == []


def answer_to(human: Human, line: str, channel: str = CHANNEL) -> str:
    """What a person reads after a command: the acknowledgement, or what follows it on a busy machine."""
    before = len(human.messages(channel))
    outcome = human.types(line, channel=channel)
    assert outcome.is_acked
    text = str((outcome.answer or {}).get("text"))
    if not text.startswith("Working on"):
        return text
    later = wait_for(
        lambda: [m.text for m in human.messages(channel)[before:] if not m.text.startswith("Working on")], 10, line
    )
    return str(later[-1])


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("/mlops rolback intent_classifier", "Did you mean `rollback`"),
        ("/mlops rollback intent_clasifier", "intent_classifier"),
        ("/mlops rollback", "for example `rollback"),
        ("/mlops ack INC-99999", "no INC-99999"),
        ("/mlops severity sideways", "severity P1"),
        ("/mlops snooze forever", "how long"),
        ("/mlops assign @nobody", "To whom"),
        ("/mlops `rm -rf /`", "don't know"),
        ("/mlops help rollback", "model&gt;"),
        ('/mlops severity "P9 unclosed', "severity P1"),
    ],
)
def test_what_tired_people_type(quiet_town: Town, line: str, words: str) -> None:
    """Every answer says what was not understood and what to type instead, at once."""
    text = answer_to(quiet_town.as_("alice"), line)
    assert words.lower() in text.lower(), text


def test_an_outsider_may_look_but_not_touch(town: Callable[..., Town]) -> None:
    """Whoever is not in the configuration is refused with the rule, and the refusal is on record."""
    here = town(with_system=False, limits="off")
    here.post_webhook(webhook(alert()))
    wait_for(lambda: headlines(here), 10, "the headline")
    oscar = here.as_("oscar")
    for line in ("/mlops ack INC-1", "/mlops resolve INC-1", "/mlops rollback intent_classifier"):
        assert "don't know you" in answer_to(oscar, line, "general"), line
    assert "INC-1" in answer_to(oscar, "/mlops status", "general")
    exported = here.run("audit", "export").stdout
    assert exported.count('"refused.unknown_person"') == 3


def test_when_every_backend_is_down(town: Callable[..., Town]) -> None:
    """Each diagnostic says which system did not answer; a rollback is refused before anybody is asked."""
    here = town(with_system=False, limits="off")
    here.post_webhook(webhook(alert()))
    alice = here.as_("alice").looks_at(CHANNEL)
    head = alice.sees("P0", within=10)
    thread = head.ts
    wait_for(lambda: len(alice.messages(CHANNEL, thread=thread)) >= 5, 30, "the unavailable findings")
    outcome = alice.types("/mlops rollback intent_classifier", channel=CHANNEL)
    assert outcome.is_acked
    alice.sees("othing was changed", within=40, thread=thread)


def test_slack_is_down_and_comes_back(town: Callable[..., Town]) -> None:
    """Alerts are taken while Slack refuses everything; the headline goes out when it is back, once."""
    here = town(with_system=False, limits="off")
    here.workspace.fault("500", "chat.postMessage", times=-1)
    got, _ = here.post_webhook(webhook(alert()))
    assert got == 200
    wait_for(lambda: len(here.workspace.calls("chat.postMessage", ok=False)) >= 2, 20, "attempts that fail")
    assert headlines(here) == []
    here.workspace.heal()
    wait_for(lambda: headlines(here), 40, "the headline")
    here.as_("alice").does_not_see("never shown", after=2.0)
    assert len(headlines(here)) == 1


def test_the_database_is_locked(town: Callable[..., Town]) -> None:
    """503 while it cannot be stored, never 2xx; health stays up; afterwards the same webhook is taken."""
    here = town(with_system=False, limits="off")
    lock = sqlite3.connect(here.folder / "mlops.db", isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    body: dict[str, Any] = webhook(alert())
    began = time.monotonic()
    got, answer = here.post_webhook(body)
    assert (got, answer["ok"]) == (503, False)
    assert time.monotonic() - began < 10
    lock.execute("ROLLBACK")
    lock.close()
    assert here.post_webhook(body)[0] == 200
    wait_for(lambda: headlines(here), 15, "the headline")
