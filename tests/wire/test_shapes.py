"""What the workspace sends parses with the real SDKs, and carries every member Slack documents."""

from collections.abc import Iterator
from typing import Any

import pytest
from slack_bolt import BoltRequest
from slack_sdk import WebClient
from slack_sdk.models.blocks import Block
from slack_sdk.models.metadata import Metadata
from slack_sdk.models.views import View
from slack_sdk.socket_mode.request import SocketModeRequest

from playground.slack import Workspace, channel_id, user_id
from playground.slack.manifest import DEFAULT_MANIFEST

ALICE, OPS = user_id("alice"), channel_id("ml-oncall")
MANIFEST: dict[str, Any] = {
    **DEFAULT_MANIFEST,
    "settings": {
        "interactivity": {"is_enabled": True},
        "socket_mode_enabled": True,
        "event_subscriptions": {
            "bot_events": [
                "app_home_opened", "app_mention", "message.im", "message.channels", "reaction_added",
                "reaction_removed", "member_joined_channel",
            ],
        },
    },
}  # fmt: skip
BLOCKS = [
    {"type": "header", "text": {"type": "plain_text", "text": "P1"}},
    {
        "type": "section",
        "text": {"type": "mrkdwn", "text": "*accuracy* fell"},
        "accessory": {
            "type": "static_select",
            "action_id": "who",
            "placeholder": {"type": "plain_text", "text": "Assign"},
            "options": [{"text": {"type": "plain_text", "text": "Alice"}, "value": "a"}],
        },
    },
    {
        "type": "actions",
        "elements": [
            {"type": "button", "action_id": "ack", "text": {"type": "plain_text", "text": "Ack"}, "value": "7"},
        ],
    },
]
FORM = {
    "type": "modal",
    "callback_id": "note",
    "title": {"type": "plain_text", "text": "Note"},
    "submit": {"type": "plain_text", "text": "Save"},
    "notify_on_close": True,
    "blocks": [
        {
            "type": "input",
            "block_id": "b",
            "label": {"type": "plain_text", "text": "Text"},
            "element": {"type": "plain_text_input", "action_id": "a", "initial_value": "x"},
        }
    ],
}


@pytest.fixture(scope="module")
def told() -> Iterator[dict[str, dict[str, Any]]]:
    """One envelope of each kind, as the socket would carry it, by payload type."""
    with Workspace(manifest=MANIFEST, limits="off") as ws:
        client = WebClient(ws.bot_token, base_url=ws.api_url)
        alice = ws.as_("alice").looks_at("ml-oncall")
        client.chat_postMessage(channel=OPS, text="P1", blocks=BLOCKS)
        alice.clicks("Ack")
        alice.chooses("Alice")
        alice.types("/mlops ack")
        for _ in range(2):
            client.views_open(trigger_id=ws.envelopes[-1].payload["trigger_id"], view=FORM)
            alice.closes() if _ else alice.submits()
        alice.says("@mlops help <now> & here")
        alice.shortcut("Declare incident", on="help <now>")
        alice.reacts("eyes", to="help <now>")
        client.conversations_join(channel=channel_id("general"))
        client.views_publish(user_id=ALICE, view={"type": "home", "blocks": BLOCKS})
        alice.opens_home()
        alice.says("hello", channel=alice.screen()["channels"][-1]["id"])
        found: dict[str, dict[str, Any]] = {}
        for envelope in ws.envelopes:
            payload = envelope.payload
            key = payload.get("type", "slash_command")
            key = payload["event"]["type"] if key == "event_callback" else key
            found[key] = envelope.wire(0, "")
        yield found


MEMBERS = {
    "slash_command": "token team_id team_domain channel_id channel_name user_id user_name command text api_app_id "
    "is_enterprise_install response_url trigger_id",
    "block_actions": "type user api_app_id token container trigger_id team enterprise is_enterprise_install channel "
    "message state response_url actions",
    "view_submission": "type team user api_app_id token trigger_id view response_urls is_enterprise_install enterprise",
    "view_closed": "type team user api_app_id token view is_cleared is_enterprise_install enterprise",
    "message_action": "type token action_ts team user channel is_enterprise_install enterprise callback_id trigger_id "
    "response_url message_ts message",
    "app_mention": "type user ts team text channel event_ts",
    "app_home_opened": "type user channel tab view event_ts",
    "message": "type user ts team text channel channel_type event_ts",
    "reaction_added": "type user reaction item item_user event_ts",
    "member_joined_channel": "type user channel channel_type team event_ts",
}
KIND = {"slash_command": "slash_commands"} | dict.fromkeys(
    ("block_actions", "view_submission", "view_closed", "message_action"), "interactive"
)


@pytest.mark.parametrize("name", MEMBERS)
def test_envelopes_parse_and_are_complete(told: dict[str, dict[str, Any]], name: str) -> None:
    """The SDK's envelope reader takes it, and no documented member is missing."""
    envelope = told[name]
    request = SocketModeRequest.from_dict(envelope)
    assert request is not None
    assert request.type == KIND.get(name, "events_api")
    is_event = request.type == "events_api"
    assert request.accepts_response_payload is not is_event
    assert request.retry_attempt == (0 if is_event else None)
    body = request.payload["event"] if is_event else request.payload
    assert set(MEMBERS[name].split()) <= set(body)
    if is_event:
        outer = "token team_id api_app_id event type event_id event_time authorizations is_ext_shared_channel"
        assert set(outer.split()) <= set(request.payload)


@pytest.mark.parametrize("name", MEMBERS)
def test_bolt_finds_the_same_people_and_places(told: dict[str, dict[str, Any]], name: str) -> None:
    """Bolt's own reading of who, which team and where."""
    payload = told[name]["payload"]
    context = BoltRequest(mode="socket_mode", body=payload).context
    assert context.team_id == "T0LOCALWS0"
    expected_user = "U0000LOCALB" if name == "member_joined_channel" else ALICE
    assert context.user_id == expected_user
    assert context.is_enterprise_install is False
    if name in ("slash_command", "block_actions", "message_action"):
        assert context.channel_id == OPS
        assert context.response_url == payload["response_url"]
    if name == "message":
        assert context.channel_id == "D" + ALICE[1:]


def test_typed_text_arrives_escaped_with_ids(told: dict[str, dict[str, Any]]) -> None:
    """People's < > & are entities and their @names are ids, as in Slack."""
    assert told["app_mention"]["payload"]["event"]["text"] == "<@U0000LOCALB> help &lt;now&gt; &amp; here"


def test_state_holds_the_choice_and_view_the_typed_text(told: dict[str, dict[str, Any]]) -> None:
    action = told["block_actions"]["payload"]
    assert action["actions"][0]["selected_option"]["value"] == "a"
    (values,) = action["state"]["values"].values()
    assert values["who"]["selected_option"]["value"] == "a"
    view = told["view_submission"]["payload"]["view"]
    assert view["state"]["values"]["b"]["a"] == {"type": "plain_text_input", "value": "x"}


def test_web_api_answers_parse_with_slack_sdk_models() -> None:
    """Blocks, views and metadata that come back are taken by the SDK's classes, none dropped."""
    with Workspace(limits="off") as ws:
        client = WebClient(ws.bot_token, base_url=ws.api_url)
        metadata = Metadata("delivery", {"id": "1"})
        sent = client.chat_postMessage(channel=OPS, text="P1", blocks=BLOCKS, metadata=metadata)
        parsed = Block.parse_all(sent["message"]["blocks"])
        assert [b.type for b in parsed] == ["header", "section", "actions"]
        assert all(b.block_id for b in parsed)
        found = client.conversations_history(channel=OPS, include_all_metadata=True)["messages"][0]
        assert Metadata(**found["metadata"]) == metadata
        ws.as_("alice").types("/mlops ack", channel="ml-oncall")
        answer = client.views_open(trigger_id=ws.envelopes[-1].payload["trigger_id"], view=FORM)
        view = View(**answer["view"])
        assert view.state is not None
        assert view.state.values["b"]["a"].value == "x"
        assert view.to_dict()["callback_id"] == "note"
        pages = [page["members"] for page in client.users_list(limit=2)]
        assert [len(p) for p in pages] == [2, 2, 1]
        assert sent.headers["x-oauth-scopes"]
