"""Every Web API method answers in Slack's words, and refuses what Slack refuses."""

import json
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError

from playground.slack import Workspace, channel_id, dm_id, user_id
from playground.slack.manifest import DEFAULT_MANIFEST
from playground.slack.state import BOT_USER_ID
from playground.slack.web_api import METHODS

ALICE, OPS = user_id("alice"), channel_id("ml-oncall")
CHANNELS = {
    "general": ["alice", "bob"],
    "ml-oncall": ["alice", "bob", "bot"],
    "secret": {"members": ["bob"], "private": True},
}


@pytest.fixture
def ws() -> Iterator[Workspace]:
    with Workspace(people=["alice", "bob"], channels=CHANNELS, limits="off") as workspace:
        yield workspace


@pytest.fixture
def client(ws: Workspace) -> WebClient:
    return WebClient(ws.bot_token, base_url=ws.api_url)


def refusal(call: Any, **args: Any) -> dict[str, Any]:
    """The body of a refused call; fails when it is not refused."""
    with pytest.raises(SlackApiError) as caught:
        call(**args)
    return dict(caught.value.response.data)


@pytest.mark.parametrize(
    ("method", "args", "error"),
    [
        ("chat.postMessage", {"channel": "C0NOWHERE", "text": "x"}, "channel_not_found"),
        ("chat.postMessage", {"channel": channel_id("general"), "text": "x"}, "not_in_channel"),
        ("chat.postMessage", {"channel": channel_id("secret"), "text": "x"}, "channel_not_found"),
        ("chat.postMessage", {"channel": OPS}, "no_text"),
        ("chat.postMessage", {"channel": OPS, "text": "x" * 40_001}, "msg_too_long"),
        ("chat.postMessage", {"channel": OPS, "text": "x", "thread_ts": "17.5"}, "invalid_thread_ts"),
        ("chat.postMessage", {"channel": OPS, "text": "x", "blocks": "[{"}, "invalid_blocks_format"),
        ("chat.postMessage", {"channel": OPS, "text": "x", "metadata": {"a": 1}}, "invalid_metadata_format"),
        ("chat.postMessage", {"text": "x"}, "invalid_arguments"),
        ("chat.update", {"channel": OPS, "ts": "1700000000.000001", "text": "x"}, "message_not_found"),
        ("chat.delete", {"channel": OPS, "ts": "1700000000.000001"}, "message_not_found"),
        ("chat.postEphemeral", {"channel": OPS, "user": "U0NOBODY0", "text": "x"}, "user_not_in_channel"),
        ("chat.scheduleMessage", {"channel": OPS, "post_at": 1, "text": "x"}, "time_in_past"),
        ("chat.scheduleMessage", {"channel": OPS, "post_at": 4_000_000_000, "text": "x"}, "time_too_far"),
        ("chat.deleteScheduledMessage", {"channel": OPS, "scheduled_message_id": "Q1"}, "invalid_scheduled_message_id"),
        ("conversations.history", {"channel": channel_id("general")}, "not_in_channel"),
        ("conversations.replies", {"channel": OPS, "ts": "1700000000.000001"}, "thread_not_found"),
        ("conversations.info", {"channel": channel_id("secret")}, "channel_not_found"),
        ("conversations.create", {"name": "ml-oncall"}, "name_taken"),
        ("conversations.create", {"name": "x" * 81}, "invalid_name_maxlength"),
        ("conversations.create", {"name": "Not OK"}, "invalid_name"),
        ("conversations.invite", {"channel": OPS, "users": ALICE}, "already_in_channel"),
        ("conversations.open", {"users": "U0NOBODY0"}, "user_not_found"),
        ("conversations.setTopic", {"channel": OPS, "topic": "x" * 251}, "too_long"),
        ("users.info", {"user": "U0NOBODY0"}, "user_not_found"),
        ("users.lookupByEmail", {"email": "nobody@example.com"}, "users_not_found"),
        ("usergroups.users.list", {"usergroup": "S1"}, "no_such_subteam"),
        ("views.open", {"trigger_id": "1.2.3", "view": {"type": "modal"}}, "invalid_arguments"),
        ("views.update", {"view_id": "V1", "view": {"type": "modal"}}, "not_found"),
        ("reactions.add", {"channel": OPS, "timestamp": "1.000000", "name": "eyes"}, "message_not_found"),
        ("pins.remove", {"channel": OPS, "timestamp": "1.000000"}, "message_not_found"),
        ("bookmarks.add", {"channel_id": OPS, "title": "t", "type": "link", "link": "javascript:1"}, "invalid_link"),
        ("files.completeUploadExternal", {"files": [{"id": "F1"}]}, "file_not_found"),
        ("files.info", {"file": "F1"}, "file_not_found"),
        ("files.getUploadURLExternal", {"filename": "a.png", "length": 0}, "invalid_arguments"),
        ("bots.info", {"bot": "B1"}, "bot_not_found"),
    ],
)
def test_refusals(client: WebClient, method: str, args: dict[str, Any], error: str) -> None:
    """One wrong call each; the error word is the documented one."""
    assert refusal(client.api_call, api_method=method, json=args)["error"] == error


def test_unknown_method_is_refused_and_fails_the_test_that_called_it() -> None:
    """A method this workspace lacks must not pass unnoticed."""
    ws = Workspace().start()
    client = WebClient(ws.bot_token, base_url=ws.api_url)
    assert refusal(client.api_call, api_method="admin.users.list")["error"] == "unknown_method"
    with pytest.raises(AssertionError, match=r"admin\.users\.list"):
        ws.__exit__(None, None, None)


def test_tokens(ws: Workspace) -> None:
    """No token, a wrong one, the wrong kind, a revoked one."""
    assert refusal(WebClient(None, base_url=ws.api_url).auth_test)["error"] == "not_authed"
    assert refusal(WebClient("xoxb-other", base_url=ws.api_url).auth_test)["error"] == "invalid_auth"
    app_client = WebClient(ws.app_token, base_url=ws.api_url)
    assert refusal(app_client.chat_postMessage, channel=OPS, text="x")["error"] == "not_allowed_token_type"
    bot_client = WebClient(ws.bot_token, base_url=ws.api_url)
    assert refusal(bot_client.apps_connections_open, app_token=ws.bot_token)["error"] == "not_allowed_token_type"
    ws.revoke_token()
    assert refusal(bot_client.auth_test)["error"] == "token_revoked"
    ws.heal()
    assert bot_client.auth_test()["user_id"] == BOT_USER_ID
    assert "token" not in json.dumps([c.args for c in ws.log])


def _without(scope: str) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads(json.dumps(DEFAULT_MANIFEST))
    scopes = manifest["oauth_config"]["scopes"]["bot"]
    manifest["oauth_config"]["scopes"]["bot"] = [s for s in scopes if s != scope]
    return manifest


@pytest.mark.parametrize(("method", "scope"), [(n, m.scopes[0]) for n, m in METHODS.items() if len(m.scopes) == 1])
def test_each_scope_is_asked_for(method: str, scope: str) -> None:
    """Taking one scope out of the manifest closes each method that needs it, naming the scope."""
    with Workspace(manifest=_without(scope), people=["alice"], channels=["ml-oncall"]) as ws:
        client = WebClient(ws.bot_token, base_url=ws.api_url)
        body = refusal(client.api_call, api_method=method, params={"channel": OPS})
        assert (body["error"], body["needed"]) == ("missing_scope", scope)
        assert scope not in body["provided"].split(",")
        assert "commands" in body["provided"].split(",")


def test_history_scope_depends_on_the_kind_of_channel() -> None:
    """channels:history does not open direct messages."""
    with Workspace(manifest=_without("im:history"), people=["alice"], channels=["ml-oncall"]) as ws:
        client = WebClient(ws.bot_token, base_url=ws.api_url)
        client.conversations_open(users=ALICE)
        assert client.conversations_history(channel=OPS)["messages"] == []
        body = refusal(client.conversations_history, channel=dm_id(ALICE))
        assert (body["error"], body["needed"]) == ("missing_scope", "im:history")


def test_messages_are_found_again_by_metadata(client: WebClient) -> None:
    """A delivery id in metadata comes back from history only with include_all_metadata."""
    metadata = {"event_type": "delivery", "event_payload": {"id": "page-17"}}
    sent = client.chat_postMessage(channel="#ml-oncall", text="page", metadata=metadata)
    client.chat_postMessage(channel=OPS, text="reply", thread_ts=sent["ts"], metadata=metadata)
    plain = client.conversations_history(channel=OPS)["messages"]
    full = client.conversations_history(channel=OPS, include_all_metadata=True)["messages"]
    assert [m.get("metadata") for m in plain] == [None]
    assert [m["metadata"] for m in full] == [metadata]
    thread = client.conversations_replies(channel=OPS, ts=sent["ts"], include_all_metadata=True)["messages"]
    assert [m["text"] for m in thread] == ["page", "reply"]
    assert {m["metadata"]["event_payload"]["id"] for m in thread} == {"page-17"}
    assert thread[0]["reply_count"] == 1


def test_history_pages_and_windows(client: WebClient) -> None:
    """Newest first, cursors, oldest and latest; ephemerals and replies are not in it."""
    stamps = [client.chat_postMessage(channel=OPS, text=f"m{n}")["ts"] for n in range(5)]
    client.chat_postEphemeral(channel=OPS, user=ALICE, text="only you")
    client.chat_postMessage(channel=OPS, text="inside", thread_ts=stamps[0])
    first = client.conversations_history(channel=OPS, limit=2)
    assert [m["text"] for m in first["messages"]] == ["m4", "m3"]
    assert first["has_more"] is True
    cursor = first["response_metadata"]["next_cursor"]
    second = client.conversations_history(channel=OPS, limit=2, cursor=cursor)
    assert [m["text"] for m in second["messages"]] == ["m2", "m1"]
    window = client.conversations_history(channel=OPS, oldest=stamps[1], latest=stamps[3])
    assert [m["text"] for m in window["messages"]] == ["m2"]
    edges = client.conversations_history(channel=OPS, oldest=stamps[1], latest=stamps[3], inclusive=True)
    assert [m["text"] for m in edges["messages"]] == ["m3", "m2", "m1"]


def test_update_keeps_what_is_not_given_and_only_own_messages_change(ws: Workspace, client: WebClient) -> None:
    """Blocks stay when only text is sent, go with an empty list; people's messages are not ours."""
    block = {"type": "section", "text": {"type": "mrkdwn", "text": "card"}}
    sent = client.chat_postMessage(channel=OPS, text="a", blocks=[block])
    client.chat_update(channel=OPS, ts=sent["ts"], text="b")
    assert client.conversations_history(channel=OPS)["messages"][0]["blocks"][0]["text"]["text"] == "card"
    client.chat_update(channel=OPS, ts=sent["ts"], text="c", blocks=[])
    latest = client.conversations_history(channel=OPS)["messages"][0]
    assert (latest["text"], "blocks" in latest, latest["edited"]["user"]) == ("c", False, BOT_USER_ID)
    alice = ws.as_("alice")
    alice.says("mine", channel="ml-oncall")
    hers = alice.sees("mine").ts
    assert refusal(client.chat_update, channel=OPS, ts=hers, text="x")["error"] == "cant_update_message"
    assert refusal(client.chat_delete, channel=OPS, ts=hers)["error"] == "cant_delete_message"
    private = client.chat_postEphemeral(channel=OPS, user=ALICE, text="psst")["message_ts"]
    assert refusal(client.chat_update, channel=OPS, ts=private, text="x")["error"] == "message_not_found"


def test_scheduled_messages_come_when_due_and_never_with_metadata(ws: Workspace, client: WebClient) -> None:
    """Slack takes a scheduled message with metadata and never posts it; so does this workspace."""
    alice = ws.as_("alice")
    at = int(ws.clock.now()) + 600
    client.chat_scheduleMessage(channel=OPS, post_at=at, text="in ten minutes")
    dropped = client.chat_scheduleMessage(channel=OPS, post_at=at, text="taken back")
    client.api_call(
        "chat.scheduleMessage",
        json={"channel": OPS, "post_at": at, "text": "never", "metadata": {"event_type": "d", "event_payload": {}}},
    )
    client.chat_deleteScheduledMessage(channel=OPS, scheduled_message_id=dropped["scheduled_message_id"])
    assert len(client.chat_scheduledMessages_list()["scheduled_messages"]) == 2
    alice.does_not_see("in ten minutes")
    ws.clock.advance(minutes=10, seconds=1)
    alice.sees("in ten minutes")
    alice.does_not_see("never")
    alice.does_not_see("taken back")
    assert [n.rule for n in ws.lint] == ["scheduled_metadata"]


def test_a_thirty_first_scheduled_message_in_five_minutes_is_refused(ws: Workspace, client: WebClient) -> None:
    at = int(ws.clock.now()) + 600
    for _ in range(30):
        client.chat_scheduleMessage(channel=OPS, post_at=at, text="x")
    assert refusal(client.chat_scheduleMessage, channel=OPS, post_at=at, text="x")["error"] == "restricted_too_many"


def test_missing_text_fallback_is_noted(ws: Workspace, client: WebClient) -> None:
    """Blocks alone are allowed and leave a lint note, in every way of posting."""
    block = {"type": "divider"}
    sent = client.api_call("chat.postMessage", json={"channel": OPS, "blocks": [block]})
    client.api_call("chat.postEphemeral", json={"channel": OPS, "user": ALICE, "blocks": [block]})
    client.api_call("chat.update", json={"channel": OPS, "ts": sent["ts"], "blocks": [block]})
    assert {(n.rule, n.where) for n in ws.lint} == {
        ("missing_text", "chat.postMessage"),
        ("missing_text", "chat.postEphemeral"),
        ("missing_text", "chat.update"),
    }


def test_too_many_characters_in_blocks(client: WebClient) -> None:
    """The undocumented total, seen in the field near 13,200 characters."""
    block = {"type": "section", "text": {"type": "mrkdwn", "text": "x" * 2900}}
    assert client.chat_postMessage(channel=OPS, text="t", blocks=[block] * 4)["ok"]
    body = refusal(client.chat_postMessage, channel=OPS, text="t", blocks=[block] * 5)
    assert body["error"] == "msg_blocks_too_long"


def test_channels_people_and_groups(ws: Workspace, client: WebClient) -> None:
    """Create, join, invite, topic, purpose, archive; look people up; user groups; marks."""
    made = client.conversations_create(name="inc-7-classifier")["channel"]
    assert made["is_member"]
    client.conversations_invite(channel=made["id"], users=f"{ALICE},{user_id('bob')}")
    assert set(client.conversations_members(channel=made["id"])["members"]) == {ALICE, user_id("bob"), BOT_USER_ID}
    assert client.conversations_setTopic(channel=made["id"], topic="P0").get("topic") == "P0"
    client.conversations_setPurpose(channel=made["id"], purpose="fix it")
    info = client.conversations_info(channel=made["id"])["channel"]
    assert (info["topic"]["value"], info["purpose"]["value"]) == ("P0", "fix it")
    assert client.conversations_join(channel=channel_id("general"))["channel"]["is_member"]
    names = [c["name"] for c in client.conversations_list(types="public_channel")["channels"]]
    assert names == ["general", "ml-oncall", "inc-7-classifier"]
    client.conversations_archive(channel=made["id"])
    assert refusal(client.chat_postMessage, channel=made["id"], text="x")["error"] == "is_archived"
    assert client.users_lookupByEmail(email="alice@example.com")["user"]["id"] == ALICE
    assert client.users_info(user=ALICE)["user"]["profile"]["email"] == "alice@example.com"
    assert client.conversations_open(users=ALICE)["channel"]["id"] == dm_id(ALICE)
    assert ws.as_("alice").unread("inc-7-classifier") == 0


def test_user_groups_pins_bookmarks_reactions() -> None:
    """The small families, once through."""
    with Workspace(people=["alice", "bob"], channels=["ops"], usergroups={"oncall": ["alice"]}, limits="off") as ws:
        client = WebClient(ws.bot_token, base_url=ws.api_url)
        group = client.usergroups_list(include_users=True)["usergroups"][0]
        assert group["users"] == [ALICE]
        client.usergroups_users_update(usergroup=group["id"], users=[user_id("bob")])
        assert client.usergroups_users_list(usergroup=group["id"])["users"] == [user_id("bob")]
        ops = channel_id("ops")
        ts = client.chat_postMessage(channel=ops, text="headline")["ts"]
        client.pins_add(channel=ops, timestamp=ts)
        assert [i["message"]["ts"] for i in client.pins_list(channel=ops)["items"]] == [ts]
        assert refusal(client.pins_add, channel=ops, timestamp=ts)["error"] == "already_pinned"
        client.pins_remove(channel=ops, timestamp=ts)
        client.bookmarks_add(channel_id=ops, title="Dashboard", type="link", link="https://example.com/d")
        assert [b["title"] for b in client.bookmarks_list(channel_id=ops)["bookmarks"]] == ["Dashboard"]
        client.reactions_add(channel=ops, timestamp=ts, name="eyes")
        ws.as_("alice").reacts("eyes", to=ts)
        found = client.reactions_get(channel=ops, timestamp=ts)["message"]["reactions"]
        assert found == [{"name": "eyes", "users": [BOT_USER_ID, ALICE], "count": 2}]
        client.reactions_remove(channel=ops, timestamp=ts, name="eyes")
        assert refusal(client.reactions_remove, channel=ops, timestamp=ts, name="eyes")["error"] == "no_reaction"
        assert client.team_info()["team"]["id"] == client.auth_test()["team_id"]
        assert client.bots_info(bot=client.auth_test()["bot_id"])["bot"]["user_id"] == BOT_USER_ID
        link = client.chat_getPermalink(channel=ops, message_ts=ts)["permalink"]
        assert link == f"{ws.url}/archives/{ops}/p{ts.replace('.', '')}"


@pytest.mark.parametrize("encoding", ["form", "json", "query", "form with JSON text"])
def test_every_encoding_is_understood_and_text_is_never_parsed(ws: Workspace, encoding: str) -> None:
    """Blocks travel as JSON or as JSON text; a text that looks like JSON stays as it is."""
    blocks = [{"type": "section", "text": {"type": "plain_text", "text": "hi"}}]
    fields: dict[str, Any] = {"channel": OPS, "text": '{"looks": "like JSON"}'}
    url, data, headers = ws.api_url + "chat.postMessage", b"", {"Authorization": f"Bearer {ws.bot_token}"}
    if encoding == "json":
        data, headers["Content-Type"] = json.dumps({**fields, "blocks": blocks}).encode(), "application/json"
    else:
        if encoding != "form":
            fields["blocks"] = json.dumps(blocks)
        coded = urllib.parse.urlencode(fields)
        url, data = (f"{url}?{coded}", b"") if encoding == "query" else (url, coded.encode())
    request = urllib.request.Request(url, data or None, headers)
    with urllib.request.urlopen(request, timeout=5) as answer:
        body = json.loads(answer.read())
    assert body["ok"], body
    assert body["message"]["text"] == '{"looks": "like JSON"}'
    assert ("blocks" in body["message"]) == (encoding != "form")
    assert ws.as_("alice").sees("hi" if encoding != "form" else "like JSON")


def test_limits_by_tier_and_by_channel() -> None:
    """Twenty a minute for tier 2, then 429 with the seconds to wait; other channels are not held up."""
    with Workspace(people=["alice"], channels=["one", "two"], limits="real") as ws:
        client = WebClient(ws.bot_token, base_url=ws.api_url)
        for _ in range(20):
            client.users_list()
        with pytest.raises(SlackApiError) as caught:
            client.users_list()
        assert caught.value.response.status_code == 429
        wait_s = int(caught.value.response.headers["Retry-After"])
        assert 55 <= wait_s <= 60
        ws.clock.advance(seconds=wait_s)
        assert client.users_list()["ok"]
        client.chat_postMessage(channel=channel_id("one"), text="a")
        client.chat_postMessage(channel=channel_id("two"), text="b")
        assert refusal(client.chat_postMessage, channel=channel_id("one"), text="c")["error"] == "ratelimited"
        ws.clock.advance(seconds=1)
        client.chat_postMessage(channel=channel_id("one"), text="d")
        ws.world.limits.set_mode("soft")
        client.chat_postMessage(channel=channel_id("one"), text="e")
        assert ws.world.limits.would_have_limited == 3
