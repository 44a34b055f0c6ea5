"""Modals and the Home tab: triggers, stacks, hashes, response URLs."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.webhook import WebhookClient

from playground.slack import Workspace, channel_id, user_id

OPS = channel_id("ml-oncall")
MODAL: dict[str, Any] = {
    "type": "modal",
    "title": {"type": "plain_text", "text": "Details"},
    "submit": {"type": "plain_text", "text": "Save"},
    "blocks": [
        {
            "type": "input",
            "block_id": "b",
            "label": {"type": "plain_text", "text": "Note"},
            "element": {"type": "plain_text_input", "action_id": "a"},
        },
        {
            "type": "actions",
            "block_id": "nav",
            "elements": [{"type": "button", "action_id": "go", "text": {"type": "plain_text", "text": "Next"}}],
        },
    ],
}
HOME = {"type": "home", "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "one"}}]}


@pytest.fixture
def ws() -> Iterator[Workspace]:
    with Workspace(limits="off") as workspace:
        yield workspace


@pytest.fixture
def client(ws: Workspace) -> WebClient:
    return WebClient(ws.bot_token, base_url=ws.api_url)


def error(call: Any, **args: Any) -> str:
    with pytest.raises(SlackApiError) as caught:
        call(**args)
    return str(caught.value.response["error"])


def typed(ws: Workspace) -> dict[str, Any]:
    """Type a command without any app listening; its payload."""
    ws.as_("alice").types("/mlops help", channel="ml-oncall")
    return dict(ws.envelopes[-1].payload)


def clicked(ws: Workspace, label: str) -> dict[str, Any]:
    ws.as_("alice").clicks(label)
    return dict(ws.envelopes[-1].payload)


def test_a_trigger_works_once_and_for_three_seconds(ws: Workspace, client: WebClient) -> None:
    first, second = typed(ws)["trigger_id"], typed(ws)["trigger_id"]
    assert client.views_open(trigger_id=first, view=MODAL)["view"]["state"] == {
        "values": {"b": {"a": {"type": "plain_text_input", "value": None}}}
    }
    assert error(client.views_open, trigger_id=first, view=MODAL) == "exchanged_trigger_id"
    ws.clock.advance(seconds=3.01)
    assert error(client.views_open, trigger_id=second, view=MODAL) == "expired_trigger_id"
    assert error(client.views_open, trigger_id="1.2.3", view=MODAL) == "invalid_trigger_id"


def test_a_wrong_view_does_not_use_the_trigger_up(ws: Workspace, client: WebClient) -> None:
    """The app may correct itself within the three seconds."""
    trigger = typed(ws)["trigger_id"]
    long = MODAL | {"title": {"type": "plain_text", "text": "x" * 25}}
    with pytest.raises(SlackApiError) as caught:
        client.views_open(trigger_id=trigger, view=long)
    assert "[json-pointer:/title/text]" in caught.value.response["response_metadata"]["messages"][0]
    assert client.views_open(trigger_id=trigger, view=MODAL)["ok"]


def test_three_modals_deep_and_no_deeper(ws: Workspace, client: WebClient) -> None:
    """Push needs a trigger from inside the modal; the fourth view is refused; closing goes back."""
    outside = typed(ws)["trigger_id"]
    client.views_open(trigger_id=typed(ws)["trigger_id"], view=MODAL)
    assert error(client.views_push, trigger_id=outside, view=MODAL) == "invalid_trigger_id"
    for _ in range(2):
        client.views_push(trigger_id=clicked(ws, "Next")["trigger_id"], view=MODAL)
    assert error(client.views_push, trigger_id=clicked(ws, "Next")["trigger_id"], view=MODAL) == "push_limit_reached"
    alice = ws.as_("alice")
    assert len(alice.screen()["modals"]) == 3
    alice.closes()
    assert len(alice.screen()["modals"]) == 2


def test_hash_guards_against_lost_updates(ws: Workspace, client: WebClient) -> None:
    """An update or publish with an old hash is refused, for modals and Home."""
    view = client.views_open(trigger_id=typed(ws)["trigger_id"], view=MODAL)["view"]
    newer = client.views_update(view_id=view["id"], hash=view["hash"], view=MODAL)["view"]
    assert error(client.views_update, view_id=view["id"], hash=view["hash"], view=MODAL) == "hash_conflict"
    assert client.views_update(view_id=view["id"], hash=newer["hash"], view=MODAL)["ok"]
    alice = user_id("alice")
    old = client.views_publish(user_id=alice, view=HOME)["view"]["hash"]
    client.views_publish(user_id=alice, view=HOME, hash=old)
    assert error(client.views_publish, user_id=alice, view=HOME, hash=old) == "hash_conflict"


def test_typed_text_survives_an_update_of_the_modal(ws: Workspace, client: WebClient) -> None:
    view = client.views_open(trigger_id=typed(ws)["trigger_id"], view=MODAL)["view"]
    alice = ws.as_("alice")
    alice.fills(Note="half a sentence")
    client.views_update(view_id=view["id"], view=MODAL)
    alice.submits()
    state = ws.envelopes[-1].payload["view"]["state"]["values"]
    assert state["b"]["a"]["value"] == "half a sentence"


def test_closing_tells_the_app_only_when_it_asked(ws: Workspace, client: WebClient) -> None:
    alice = ws.as_("alice")
    client.views_open(trigger_id=typed(ws)["trigger_id"], view=MODAL)
    alice.closes()
    assert ws.envelopes[-1].kind == "slash_commands"
    client.views_open(trigger_id=typed(ws)["trigger_id"], view=MODAL | {"notify_on_close": True})
    alice.closes()
    assert ws.envelopes[-1].payload["type"] == "view_closed"


def test_home_larger_than_250_kb_is_refused(client: WebClient) -> None:
    block = {"type": "section", "text": {"type": "mrkdwn", "text": "x" * 2900}}
    big = {"type": "home", "blocks": [block] * 90}
    assert error(client.views_publish, user_id=user_id("alice"), view=big) == "invalid_arguments"


def test_response_url_works_five_times_in_thirty_minutes(ws: Workspace) -> None:
    """Ephemeral by default, public on wish, first answer replaceable, then used up; another expires."""
    url, other = typed(ws)["response_url"], typed(ws)["response_url"]
    hook = WebhookClient(url)
    alice, bob = ws.as_("alice"), ws.as_("bob")
    assert hook.send(text="working on it").status_code == 200
    assert alice.sees("working on it").is_ephemeral
    assert hook.send(text="it is done", replace_original=True).status_code == 200
    alice.sees("it is done")
    alice.does_not_see("working on it")
    hook.send(text="for everyone", response_type="in_channel")
    assert not bob.sees("for everyone").is_ephemeral
    bob.does_not_see("it is done")
    assert hook.send(delete_original=True).status_code == 200
    alice.does_not_see("it is done")
    assert hook.send(text="five").status_code == 200
    sixth = hook.send(text="six")
    assert (sixth.status_code, sixth.body) == (404, "used_url")
    ws.clock.advance(minutes=30, seconds=1)
    late = WebhookClient(other).send(text="late")
    assert (late.status_code, late.body) == (404, "expired_url")


def test_a_click_on_an_ephemeral_message_brings_no_message_but_can_replace_it(ws: Workspace, client: WebClient) -> None:
    """Slack sends the container only; the response URL is the one way to change an ephemeral message."""
    actions = MODAL["blocks"][1]
    client.chat_postEphemeral(channel=OPS, user=user_id("alice"), text="choose", blocks=[actions])
    payload = clicked(ws, "Next")
    assert payload["container"]["is_ephemeral"] is True
    assert "message" not in payload
    WebhookClient(payload["response_url"]).send(text="chosen", replace_original=True)
    assert ws.as_("alice").sees("chosen").buttons == []


def test_external_select_asks_the_app_for_options(ws: Workspace, client: WebClient) -> None:
    """The suggestion carries what was typed; without the app the choice cannot be made up."""
    element = {"type": "external_select", "action_id": "model", "min_query_length": 1}
    actions = {"type": "actions", "block_id": "x", "elements": [element]}
    client.chat_postMessage(channel=OPS, text="pick", blocks=[actions])
    message = ws.as_("alice").messages("ml-oncall")[-1]
    body = {
        "as": "alice", "act": "suggest", "channel": OPS, "ts": message.ts, "block_id": "x", "action_id": "model",
        "query": "inte",
    }  # fmt: skip
    status, _ = post(ws, "/ui/do", body)
    assert status == 200
    payload = ws.envelopes[-1].payload
    assert (payload["type"], payload["value"], payload["action_id"]) == ("block_suggestion", "inte", "model")
    status, answer = post(ws, "/ui/do", {**body, "act": "use", "value": "made_up"})
    assert status == 409
    assert "not among the options" in answer["why"]


def post(ws: Workspace, path: str, body: dict[str, Any], **headers: str) -> tuple[int, dict[str, Any]]:
    """POST JSON to the workspace; HTTP status and answer."""
    request = urllib.request.Request(
        ws.url + path, json.dumps(body).encode(), {"Content-Type": "application/json", **headers}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as refused:
        return refused.code, json.loads(refused.read())
