"""A real slack-bolt app plays the story of a rollback in the local workspace, in both modes."""

from typing import Any

import pytest
from slack_bolt import App

from playground.slack import NotOnScreen

from .conftest import Running
from .waiting import until

CONFIRM = {
    "title": {"type": "plain_text", "text": "Roll back now?"},
    "text": {"type": "mrkdwn", "text": "intent_classifier v3 → v2 in production"},
    "confirm": {"type": "plain_text", "text": "Roll back"},
    "deny": {"type": "plain_text", "text": "Not yet"},
}


def button(label: str, action_id: str, **more: Any) -> dict[str, Any]:
    return {"type": "button", "text": {"type": "plain_text", "text": label}, "action_id": action_id, **more}


CARD = [
    {"type": "section", "text": {"type": "mrkdwn", "text": "*Rollback* of `intent_classifier`, v3 → v2"}},
    {
        "type": "actions",
        "block_id": "decision",
        "elements": [
            button("Approve", "approve", value="plan-1", style="primary", confirm=CONFIRM),
            button("Reject", "reject", value="plan-1", style="danger"),
            {
                "type": "overflow",
                "action_id": "more",
                "options": [
                    {"text": {"type": "plain_text", "text": "Snooze 1 hour"}, "value": "snooze-60"},
                    {"text": {"type": "plain_text", "text": "Details"}, "value": "details"},
                ],
            },
        ],
    },
]
REASON_FORM = {
    "type": "modal",
    "callback_id": "reject_reason",
    "title": {"type": "plain_text", "text": "Reject"},
    "submit": {"type": "plain_text", "text": "Reject it"},
    "blocks": [
        {
            "type": "input",
            "block_id": "why",
            "label": {"type": "plain_text", "text": "Reason"},
            "element": {"type": "plain_text_input", "action_id": "text"},
        }
    ],
}


def listen(app: App, heard: list[dict[str, Any]]) -> None:
    """The app: a card on command, decisions by button, a reason by modal, a Home tab."""

    @app.command("/mlops")
    def command(ack: Any, body: Any, client: Any) -> None:
        ack(f"Planning {body['text']}…")
        client.chat_postMessage(channel=body["channel_id"], text="Rollback: approve?", blocks=CARD)

    @app.action("approve")
    def approve(ack: Any, body: Any, client: Any, respond: Any) -> None:
        ack()
        heard.append(body)
        if body["user"]["name"] == "alice":
            respond(text="You asked for it, so somebody else approves.", response_type="ephemeral")
            return
        client.chat_update(
            channel=body["channel"]["id"],
            ts=body["message"]["ts"],
            text="Approved",
            blocks=[{"type": "section", "text": {"type": "mrkdwn", "text": f"Approved by <@{body['user']['id']}>"}}],
        )

    @app.action("reject")
    def reject(ack: Any, body: Any, client: Any) -> None:
        ack()
        client.views_open(trigger_id=body["trigger_id"], view=REASON_FORM)

    @app.view("reject_reason")
    def reason(ack: Any, body: Any, view: Any, client: Any) -> None:
        text = view["state"]["values"]["why"]["text"]["value"]
        if text == "no":
            ack(response_action="errors", errors={"why": "Say more than no"})
            return
        ack()
        client.chat_postMessage(channel=body["user"]["id"], text=f"Rejected: {text}")

    @app.action("more")
    def more(ack: Any, body: Any, respond: Any) -> None:
        ack()
        respond(text=f"chosen {body['actions'][0]['selected_option']['value']}", response_type="ephemeral")

    @app.event("app_home_opened")
    def home(event: Any, client: Any) -> None:
        line = {"type": "section", "text": {"type": "mrkdwn", "text": "Nothing needs you now"}}
        client.views_publish(user_id=event["user"], view={"type": "home", "blocks": [line]})

    @app.event("app_mention")
    def mention(event: Any, say: Any) -> None:
        say(text="On it", thread_ts=event.get("thread_ts") or event["ts"])

    @app.shortcut("declare_incident")
    def declare(ack: Any, body: Any, client: Any) -> None:
        ack()
        text = f"Declared from: {body['message']['text']}"
        client.chat_postMessage(channel=body["channel"]["id"], thread_ts=body["message_ts"], text=text)


def test_command_card_refusal_and_approval(running: Running) -> None:
    """The whole decision: acknowledged at once, own click refused in private, another's click changes the card."""
    heard: list[dict[str, Any]] = []
    listen(running.app, heard)
    alice, bob = running.ws.as_("alice"), running.ws.as_("bob")

    typed = alice.types("/mlops rollback intent_classifier", channel="#ml-oncall")
    assert typed.is_acked
    assert typed.took_ms < 1000
    assert alice.sees("Planning rollback intent_classifier…").is_ephemeral
    card = bob.sees("Rollback of intent_classifier, v3 → v2")
    assert card.buttons == ["Approve", "Reject"]

    clicked = alice.clicks("Approve", confirm=True)
    assert "intent_classifier v3 → v2 in production" in clicked.dialog
    assert alice.sees("somebody else approves").is_ephemeral
    bob.does_not_see("somebody else approves")
    bob.does_not_see("Planning")

    assert bob.clicks("Approve", confirm=False).outcome == "denied"
    assert [b["user"]["name"] for b in heard] == ["alice"]
    assert bob.clicks("Approve", confirm=True).is_acked
    done = alice.sees("Approved by @bob")
    assert done.ts == card.ts
    assert done.buttons == []
    with pytest.raises(NotOnScreen, match="finds no button 'Approve'"):
        _impatient(bob).clicks("Approve", confirm=True)
    assert running.ws.lint == []


def _impatient(human: Any) -> Any:
    human.patience_s = 0.2
    return human


def test_click_payload_tells_where_it_came_from(running: Running) -> None:
    """Message, container, channel, team, trigger, response URL and state are all in a click."""
    heard: list[dict[str, Any]] = []
    listen(running.app, heard)
    alice = running.ws.as_("alice")
    alice.types("/mlops rollback x")
    alice.clicks("Approve", confirm=True)
    alice.sees("somebody else")
    body = heard[0]
    assert body["container"] == {
        "type": "message",
        "message_ts": body["message"]["ts"],
        "channel_id": body["channel"]["id"],
        "is_ephemeral": False,
    }
    assert body["actions"][0]["value"] == "plan-1"
    assert body["actions"][0]["block_id"] == "decision"
    assert body["team"]["id"] == body["user"]["team_id"]
    assert body["state"] == {"values": {}}
    assert body["trigger_id"]
    assert body["response_url"].startswith(running.ws.url)


def test_modal_keeps_errors_and_closes_when_fine(running: Running) -> None:
    """An error answer stays beside its field; a good one closes the modal."""
    listen(running.app, [])
    bob = running.ws.as_("bob")
    bob.types("/mlops rollback x", channel="ml-oncall")
    bob.clicks("Reject")
    bob.sees("Reason")
    with pytest.raises(NotOnScreen, match="required field"):
        bob.submits()
    bob.fills(Reason="no").submits()
    bob.sees("Say more than no")
    bob.fills(Reason="v2 has the same fault").submits()
    assert bob.sees("Rejected: v2 has the same fault").text in [m.text for m in bob.dms()]
    assert bob.screen()["modals"] == []


def test_overflow_home_mention_and_shortcut(running: Running) -> None:
    """Menus, the Home tab, mentions in threads, and message shortcuts reach their listeners."""
    listen(running.app, [])
    alice = running.ws.as_("alice")
    alice.types("/mlops rollback x")
    alice.chooses("Snooze 1 hour")
    alice.sees("chosen snooze-60")
    assert "Nothing needs you now" in alice.opens_home()
    alice.says("something is odd with the classifier")
    alice.shortcut("Declare incident", on="something is odd")
    answer = alice.sees("Declared from: something is odd")
    alice.says("@mlops help", thread=answer)
    assert alice.sees("On it", thread=answer.thread_ts).thread_ts == answer.thread_ts


def test_slash_commands_end_where_slack_ends_them(running: Running) -> None:
    """In a thread, or undeclared, a command never reaches the app."""
    listen(running.app, [])
    alice = running.ws.as_("alice")
    alice.says("root", channel="ml-oncall")
    root = alice.sees("root")
    with pytest.raises(NotOnScreen, match="not supported in threads"):
        alice.says("/mlops ack", thread=root)
    with pytest.raises(NotOnScreen, match="/deploy is not a valid command"):
        alice.types("/deploy now")
    assert running.ws.calls("chat.postMessage") == []


def test_file_upload_in_three_steps(running: Running) -> None:
    """`files_upload_v2` shares a picture in a thread; members open it, outsiders do not."""
    root = running.client.chat_postMessage(channel="#ml-oncall", text="accuracy fell")
    png = b"\x89PNG\r\n\x1a\n" + bytes(500)
    done = running.client.files_upload_v2(
        channel=root["channel"],
        thread_ts=root["ts"],
        content=png,
        filename="accuracy.png",
        title="Accuracy",
        alt_txt="accuracy falls from 0.91 to 0.41 at 14:02",
        initial_comment="the graph",
    )
    shared = running.ws.as_("alice").sees("the graph")
    assert shared.thread_ts == root["ts"]
    assert running.ws.as_("alice").opens_file("accuracy.png") == png
    with pytest.raises(NotOnScreen, match="sees no file"):
        running.ws.as_("oscar").opens_file("accuracy.png")
    info = running.client.files_info(file=done["file"]["id"])["file"]
    assert (info["title"], info["size"], info["mimetype"]) == ("Accuracy", len(png), "image/png")
    assert running.ws.lint == []


@pytest.mark.parametrize(
    ("action", "depth", "title"), [("update", 1, "Second"), ("push", 2, "Second"), ("clear", 0, "")]
)
def test_a_submission_can_update_push_or_clear(running: Running, action: str, depth: int, title: str) -> None:
    """The acknowledgement of a submission decides what happens to the stack of modals."""

    @running.app.command("/mlops")
    def command(ack: Any, body: Any, client: Any) -> None:
        ack()
        client.views_open(trigger_id=body["trigger_id"], view=REASON_FORM)

    @running.app.view("reject_reason")
    def submitted(ack: Any) -> None:
        second = REASON_FORM | {"title": {"type": "plain_text", "text": "Second"}}
        ack(response_action=action, **({} if action == "clear" else {"view": second}))

    alice = running.ws.as_("alice")
    alice.types("/mlops reject", channel="ml-oncall")
    alice.fills(Reason="because").submits()
    stack = alice.screen()["modals"]
    assert len(stack) == depth
    assert (stack[-1]["title"]["text"] if stack else "") == title


def test_edits_deletions_and_direct_messages_reach_the_app(running: Running) -> None:
    """What people do to their messages is told; what the app itself posts is not its own event."""
    heard: list[tuple[str, str]] = []

    @running.app.event("message")
    def message(event: Any, say: Any) -> None:
        heard.append((event.get("subtype", "plain"), event["channel_type"]))
        if event.get("subtype") is None:
            say("got it")

    alice = running.ws.as_("alice")
    im = next(c["id"] for c in alice.screen()["channels"] if c["kind"] == "im")
    alice.says("hello", channel=im)
    alice.sees("got it", channel=im)
    mine = alice.sees("hello", channel=im)
    alice.edits(mine, "hello again")
    alice.deletes(alice.sees("hello again"))
    until(lambda: len(heard) == 3)
    assert heard == [("plain", "im"), ("message_changed", "im"), ("message_deleted", "im")]


def test_an_acknowledgement_that_slack_would_refuse_fails_the_test(running: Running) -> None:
    """Broken blocks in an ack never reach the person, and the workspace says so."""

    @running.app.command("/mlops")
    def command(ack: Any) -> None:
        ack(text="x", blocks=[{"type": "header", "text": {"type": "mrkdwn", "text": "no"}}])

    running.ws.as_("alice").types("/mlops x", channel="ml-oncall")
    assert "/blocks/0/text/type" in running.ws.failures[0]
    running.ws.world.failures.clear()
    running.ws.as_("alice").does_not_see("no")
