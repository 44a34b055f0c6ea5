"""The scripted human sees what a person would see, and cannot do what a person could not."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from slack_sdk import WebClient

from playground.slack import Human, NotOnScreen, Workspace, channel_id, user_id

ROOT = Path(__file__).resolve().parents[2]
CHANNELS = {"ops": ["alice", "bob", "bot"], "general": ["oscar"], "board": {"members": ["bob", "bot"], "private": True}}
OPS = channel_id("ops")


@pytest.fixture
def ws() -> Iterator[Workspace]:
    with Workspace(people=["alice", "bob", "oscar"], channels=CHANNELS, limits="off") as workspace:
        yield workspace


@pytest.fixture
def client(ws: Workspace) -> WebClient:
    return WebClient(ws.bot_token, base_url=ws.api_url)


def hasty(ws: Workspace, name: str) -> Human:
    human = ws.as_(name)
    human.patience_s = 0.1
    return human


def buttons(*labels: str, **more: Any) -> list[dict[str, Any]]:
    elements = [
        {"type": "button", "action_id": f"b{n}", "text": {"type": "plain_text", "text": label}, **more}
        for n, label in enumerate(labels)
    ]
    return [{"type": "actions", "elements": elements}]


def test_each_person_sees_their_own_screen(ws: Workspace, client: WebClient) -> None:
    """Private channels, ephemerals, direct messages: only for those they are for."""
    client.chat_postMessage(channel=OPS, text="headline")
    client.chat_postMessage(channel=channel_id("board"), text="for the board")
    client.chat_postEphemeral(channel=OPS, user=user_id("alice"), text="psst")
    client.chat_postMessage(channel=user_id("bob"), text="page for bob")
    alice, bob, oscar = (hasty(ws, n) for n in ("alice", "bob", "oscar"))
    assert [m.text for m in alice.messages()] == ["headline", "psst"]
    assert [m.text for m in bob.messages()] == ["headline", "for the board", "page for bob"]
    assert [m.text for m in bob.dms()] == ["page for bob"]
    assert oscar.messages() == []
    with pytest.raises(NotOnScreen, match="oscar is not in a channel 'ops'"):
        oscar.types("/mlops ack", channel="ops")
    with pytest.raises(NotOnScreen, match="bob sees 'page for bob' but should not"):
        bob.does_not_see("page for bob")
    oscar.joins("ops")
    oscar.sees("headline")
    oscar.does_not_see("psst")


def test_a_failure_shows_the_screen(ws: Workspace, client: WebClient) -> None:
    """The message of the error is a picture of what is there."""
    client.chat_postMessage(channel=OPS, text="P1", blocks=buttons("Acknowledge"))
    with pytest.raises(NotOnScreen) as caught:
        hasty(ws, "alice").clicks("Approve")
    picture = str(caught.value)
    assert "finds no button 'Approve'" in picture
    assert "--- #ops" in picture
    assert "[ Acknowledge ]" in picture


def test_text_behind_blocks_is_not_on_the_screen(ws: Workspace, client: WebClient) -> None:
    """`text` is for notifications once there are blocks; tests must not find what people cannot see."""
    block = {"type": "section", "text": {"type": "mrkdwn", "text": f"*shown* to <@{user_id('bob')}>"}}
    client.chat_postMessage(channel=OPS, text="only a fallback", blocks=[block])
    alice = hasty(ws, "alice")
    alice.sees("shown to @bob")
    alice.does_not_see("only a fallback")


def test_words_as_people_read_them(ws: Workspace, client: WebClient) -> None:
    """Links by label, entities decoded, dates in the reader's zone."""
    ws.world.user(user_id("alice")).tz = "Asia/Tokyo"
    text = "<https://x.test/r|runbook> a &lt; b <!date^1700000000^{date_num} {time}|then> in <#" + OPS + "> <!here>"
    client.chat_postMessage(channel=OPS, text=text)
    hasty(ws, "alice").sees("runbook a < b 2023-11-15 07:13 in #ops @here")
    hasty(ws, "bob").sees("2023-11-14 22:13")


def test_the_newest_button_is_meant_unless_a_message_is_named(ws: Workspace, client: WebClient) -> None:
    for name in ("one", "two"):
        section = {"type": "section", "text": {"type": "plain_text", "text": name}}
        client.chat_postMessage(channel=OPS, text=name, blocks=[section, *buttons("Go", value=name)])
    alice = hasty(ws, "alice")
    alice.clicks("Go")
    alice.clicks("Go", within="one")
    alice.clicks("Go", within=alice.sees("two"))
    assert [e.payload["actions"][0]["value"] for e in ws.envelopes] == ["two", "one", "two"]


def test_a_confirm_dialog_must_be_answered_and_only_then(ws: Workspace, client: WebClient) -> None:
    texts = {k: {"type": "plain_text", "text": v} for k, v in
             {"title": "Sure?", "text": "v3 to v2", "confirm": "Yes", "deny": "No"}.items()}  # fmt: skip
    client.chat_postMessage(channel=OPS, text="x", blocks=buttons("Approve", confirm=texts))
    alice = hasty(ws, "alice")
    with pytest.raises(NotOnScreen, match=r"confirm dialog opened(.|\n)*v3 to v2"):
        alice.clicks("Approve")
    assert alice.clicks("Approve", confirm=False).outcome == "denied"
    assert ws.envelopes == []
    assert alice.clicks("Approve", confirm=True).dialog == "Sure?\nv3 to v2"
    client.chat_postMessage(channel=OPS, text="x", blocks=buttons("Look"))
    with pytest.raises(NotOnScreen, match="opened no confirm dialog"):
        alice.clicks("Look", confirm=True)


def test_every_kind_of_choice(ws: Workspace, client: WebClient) -> None:
    """Labels on the screen become the values and ids the app gets."""
    options = [{"text": {"type": "plain_text", "text": t}, "value": t[:1]} for t in ("one", "two", "six")]
    kinds = ("static_select", "multi_static_select", "radio_buttons", "checkboxes")
    rows = [{"type": "input", "block_id": k, "label": {"type": "plain_text", "text": k},
             "element": {"type": k, "action_id": "x", "options": options}} for k in kinds]  # fmt: skip
    for kind in ("users_select", "datepicker", "plain_text_input"):
        label = {"type": "plain_text", "text": kind}
        rows.append({"type": "input", "block_id": kind, "label": label, "element": {"type": kind, "action_id": "x"}})
    ws.as_("alice").types("/mlops x", channel="ops")
    view = {"type": "modal", "title": {"type": "plain_text", "text": "t"},
            "submit": {"type": "plain_text", "text": "Go"}, "blocks": rows}  # fmt: skip
    client.views_open(trigger_id=ws.envelopes[-1].payload["trigger_id"], view=view)
    alice = hasty(ws, "alice")
    alice.fills({
        "static_select": "two", "multi_static_select": ["one", "six"], "radio_buttons": "six", "checkboxes": ["one"],
        "users_select": "bob", "datepicker": "2030-01-31", "plain_text_input": "hello",
    })  # fmt: skip
    with pytest.raises(NotOnScreen, match="offers"):
        alice.fills(static_select="ten")
    alice.submits()
    values = {k: v["x"] for k, v in ws.envelopes[-1].payload["view"]["state"]["values"].items()}
    assert values["static_select"]["selected_option"]["value"] == "t"
    assert [o["value"] for o in values["multi_static_select"]["selected_options"]] == ["o", "s"]
    assert values["radio_buttons"]["selected_option"]["value"] == "s"
    assert [o["value"] for o in values["checkboxes"]["selected_options"]] == ["o"]
    assert values["users_select"]["selected_user"] == user_id("bob")
    assert values["datepicker"]["selected_date"] == "2030-01-31"
    assert values["plain_text_input"]["value"] == "hello"


def test_an_open_modal_covers_the_rest(ws: Workspace, client: WebClient) -> None:
    client.chat_postMessage(channel=OPS, text="x", blocks=buttons("Behind"))
    alice = hasty(ws, "alice")
    alice.types("/mlops x", channel="ops")
    view = {"type": "modal", "title": {"type": "plain_text", "text": "t"}, "blocks": buttons("Inside")}
    client.views_open(trigger_id=ws.envelopes[-1].payload["trigger_id"], view=view)
    with pytest.raises(NotOnScreen, match="finds no button 'Behind'"):
        alice.clicks("Behind")
    alice.clicks("Inside")
    alice.closes()
    alice.clicks("Behind")
    hasty(ws, "bob").clicks("Behind")


def test_unread_badges_count_what_is_new(ws: Workspace, client: WebClient) -> None:
    alice = ws.as_("alice")
    first = client.chat_postMessage(channel=OPS, text="one")
    client.chat_postMessage(channel=OPS, text="in the thread", thread_ts=first["ts"])
    client.chat_postMessage(channel=OPS, text=f"<@{user_id('alice')}> look")
    assert alice.unread("ops") == 2
    assert next(c["mentions"] for c in alice.screen()["channels"] if c["name"] == "ops") == 1
    alice.looks_at("ops")
    assert alice.unread("ops") == 0


def test_buttons_cannot_be_forged_past_the_screen(ws: Workspace, client: WebClient) -> None:
    """The server checks too: an element that is gone, or on another's ephemeral message, cannot be used."""
    ephemeral = client.chat_postEphemeral(channel=OPS, user=user_id("alice"), text="x", blocks=buttons("Mine"))
    bob = ws.as_("bob")
    for body in (
        {"ts": ephemeral["message_ts"], "block_id": "b", "action_id": "b0"},
        {"ts": client.chat_postMessage(channel=OPS, text="bare")["ts"], "block_id": "b", "action_id": "b0"},
    ):
        status, _ = bob._post("/ui/do", {"as": "bob", "act": "use", "channel": OPS, **body})
        assert status == 409
    assert ws.envelopes == []


def test_a_workspace_in_its_own_process(tmp_path: Path) -> None:
    """`python -m playground.slack` prints its addresses; a human in another process uses it."""
    setup = tmp_path / "setup.yaml"
    setup.write_text("people: [alice]\nchannels: {ops: [alice, bot]}\n")
    server = subprocess.Popen(
        [sys.executable, "-m", "playground.slack", "--setup", str(setup)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        found = json.loads(server.stdout.readline())
        client = WebClient(found["SLACK_BOT_TOKEN"], base_url=found["SLACK_API_URL"])
        client.chat_postMessage(channel="#ops", text="over the wall")
        assert Human(found["page"], "alice").sees("over the wall").sender == "mlops"
        with pytest.raises(NotOnScreen, match="nobody is called 'bob'; there are alice"):
            Human(found["page"], "bob").screen()
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(10) == 0
        server.stdout.close()
