"""The same calls against the local workspace and, when asked, against a real one: drift is found here.

For a real workspace set SLACK_BOT_TOKEN and SLACK_TEST_CHANNEL, the id of a channel the app is a member of. What is
posted there is deleted again, except for one small file.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler

from playground.slack import Workspace, channel_id

SECTION = {"type": "section", "text": {"type": "mrkdwn", "text": "card"}}
LONG_HEADER = {"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}


@dataclass(frozen=True)
class Place:
    """A workspace as an app sees it, local or real."""

    client: WebClient
    channel: str

    def error(self, method: str, **args: Any) -> dict[str, Any]:
        """The answer to a call that must be refused."""
        with pytest.raises(SlackApiError) as caught:
            self.client.api_call(method, json=args)
        return dict(caught.value.response.data)


@pytest.fixture(params=["local", "real"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "local":
        with Workspace(channels=["ops"], limits="off", fails_on_exit=False) as ws:
            yield Place(client=WebClient(ws.bot_token, base_url=ws.api_url), channel=channel_id("ops"))
        return
    token, channel = (os.environ.get(f"REAL_SLACK_{n}") for n in ("BOT_TOKEN", "TEST_CHANNEL"))
    if not token or not channel:
        pytest.skip("set SLACK_BOT_TOKEN and SLACK_TEST_CHANNEL to compare with a real workspace")
    client = WebClient(token, retry_handlers=[RateLimitErrorRetryHandler(max_retry_count=3)])
    yield Place(client=client, channel=channel)


def test_a_message_lives(place: Place) -> None:
    """Post with metadata, find it again, edit text and blocks separately, reply, delete, gone."""
    client, channel = place.client, place.channel
    metadata = {"event_type": "delivery", "event_payload": {"id": "42"}}
    ts = client.chat_postMessage(channel=channel, text="one", blocks=[SECTION], metadata=metadata)["ts"]
    found = client.conversations_history(
        channel=channel, latest=ts, inclusive=True, limit=1, include_all_metadata=True
    )["messages"][0]
    assert (found["ts"], found["text"], found["metadata"]) == (ts, "one", metadata)
    assert found["blocks"][0]["block_id"]
    client.chat_update(channel=channel, ts=ts, text="two", blocks=[])
    reply = client.chat_postMessage(channel=channel, text="below", thread_ts=ts)
    thread = client.conversations_replies(channel=channel, ts=ts)["messages"]
    assert [m["text"] for m in thread] == ["two", "below"]
    assert "blocks" not in thread[0] or thread[0]["blocks"][0]["type"] == "rich_text"
    assert thread[1]["parent_user_id"] == thread[0]["user"]
    assert client.chat_getPermalink(channel=channel, message_ts=ts)["permalink"].endswith(ts.replace(".", ""))
    client.chat_delete(channel=channel, ts=reply["ts"])
    client.chat_delete(channel=channel, ts=ts)
    assert place.error("chat.update", channel=channel, ts=ts, text="x")["error"] == "message_not_found"


@pytest.mark.parametrize(
    ("method", "args", "error"),
    [
        ("chat.postMessage", {"channel": "C00000000", "text": "x"}, "channel_not_found"),
        ("chat.postMessage", {"text": ""}, "no_text"),
        ("chat.postMessage", {"text": "x", "blocks": [LONG_HEADER]}, "invalid_blocks"),
        ("chat.update", {"ts": "1700000000.000001", "text": "x"}, "message_not_found"),
        ("chat.scheduleMessage", {"post_at": 1, "text": "x"}, "time_in_past"),
        ("users.info", {"user": "U00000000"}, "user_not_found"),
        ("views.open", {"trigger_id": "1.2.abc", "view": {
            "type": "modal", "title": {"type": "plain_text", "text": "t"}, "blocks": [SECTION]}}, "invalid_trigger_id"),
        ("nothing.atAll", {}, "unknown_method"),
    ],
)  # fmt: skip
def test_refusals_have_the_same_word(place: Place, method: str, args: dict[str, Any], error: str) -> None:
    given = {"channel": place.channel, **args} if method.startswith("chat.") else args
    assert place.error(method, **given)["error"] == error


def test_block_flaws_carry_pointers(place: Place) -> None:
    """Both the posting method and blocks.validate say where."""
    refused = place.error("chat.postMessage", channel=place.channel, text="x", blocks=[LONG_HEADER])
    assert "json-pointer:/blocks/0/text" in str(refused)
    checked = place.error("blocks.validate", blocks=[LONG_HEADER])
    assert checked["error"] == "invalid_blocks"
    assert "/0/text" in checked["errors"][0]["pointer"]


def test_a_file_arrives_in_the_channel(place: Place) -> None:
    done = place.client.files_upload_v2(
        channel=place.channel, content="a,b\n1,2\n", filename="drift.csv", title="Drift", initial_comment="drift table"
    )
    file = place.client.files_info(file=done["file"]["id"])["file"]
    assert (file["name"], file["title"], file["size"]) == ("drift.csv", "Drift", 8)
    assert file["url_private"].startswith("http")
