"""Calls to Slack's Web API, each tried once, each failure told apart.

The SDK's own retries are off: its default posts again after a reset, which would page somebody twice. Who retries, and
when, is the delivery's business.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import URLError

from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.models.metadata import Metadata

from bot.chat import SlackProblem
from bot.render import Message
from bot.slack.punctual import PunctualClient

TIMEOUT_S = 10
_AT_ONCE_S = 1.0  # delivery leaves room for one call; a second one only if the refusal of the first came this soon
EVENT_TYPE = "mlops_delivery"
_GONE = frozenset({"message_not_found", "thread_not_found", "cant_update_message", "edit_window_closed"})
_NEVER = frozenset({
    "channel_not_found", "not_in_channel", "is_archived", "restricted_action", "user_not_found", "user_disabled",
    "cannot_dm_bot", "no_permission", "not_allowed_token_type", "invalid_arguments", "messages_tab_disabled",
    "users_not_found", "user_not_visible", "ekm_access_denied", "team_access_not_granted", "invalid_metadata_format",
    "invalid_metadata_schema", "metadata_too_large", "cannot_reply_to_message", "channel_type_not_supported",
    "method_not_supported_for_channel_type", "restricted_action_read_only_channel",
    "restricted_action_thread_only_channel", "restricted_action_non_threadable_channel",
    "restricted_action_thread_locked",
})  # fmt: skip
_BLOCKS = frozenset(
    {"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long", "invalid_attachments"}
)
# A wrong token or a missing scope is mended by a person; until then the message waits.
_MENDABLE = frozenset(
    {"invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "missing_scope"}
)
_UNSURE = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org"})
_LOOK_BACK = timedelta(seconds=60)  # clocks of two machines differ
_SLOW = timedelta(seconds=15)  # an answer may be this old; more than that is the clock
_LOOK_BACK_FAR = timedelta(minutes=15)  # when ours was certainly wrong
_PAGES = 5


def web_client(token: str, api_url: str) -> PunctualClient:
    """A client that calls once and gives up after ten seconds."""
    return PunctualClient(token=token, base_url=api_url, timeout=TIMEOUT_S, retry_handlers=[])


class SlackChat:
    """Delivery's view of Slack. Safe to use from several threads."""

    def __init__(self, client: PunctualClient, now: Callable[[], datetime]) -> None:
        self._client = client
        self._now = now
        self._direct: dict[str, str] = {}
        self._channels: dict[str, str] = {}
        self._lock = threading.Lock()
        self._bot_id = ""
        self._ahead: timedelta | None = None  # how far our clock was ahead of Slack's at most; None before any answer

    def post(
        self, channel: str, message: Message, *, thread_ts: str, delivery_id: str, latest_s: float
    ) -> tuple[str, str]:
        """Post a message with its delivery id in the metadata; returns (channel id, ts).

        Nothing is sent after `latest_s` of the steady clock (bot.clock.steady_s); that is a temporary problem.
        """
        metadata = Metadata(event_type=EVENT_TYPE, event_payload={"id": delivery_id})
        kept: dict[str, Any] = {"channel": self.resolve(channel), "metadata": metadata, "unfurl_links": False}
        if thread_ts:
            kept["thread_ts"] = thread_ts
        with self._client.until(latest_s):
            answer = self._with_blocks("chat_postMessage", message, kept)
        return str(answer["channel"]), str(answer["ts"])

    def update(self, channel: str, ts: str, message: Message) -> None:
        """Replace a message's text and blocks."""
        self._with_blocks("chat_update", message, {"channel": channel, "ts": ts})

    def find(self, channel: str, *, thread_ts: str, delivery_id: str, since: datetime) -> str:
        """The ts of our message with this delivery id in the channel or thread, "" when it is not there."""
        kept: dict[str, Any] = {
            "channel": self.resolve(channel), "include_all_metadata": True, "limit": 100,
            "oldest": f"{self._oldest(since):.6f}",
        }  # fmt: skip
        method = "conversations_replies" if thread_ts else "conversations_history"
        if thread_ts:
            kept["ts"] = thread_ts
        for _ in range(_PAGES):
            answer = self._call(method, **kept)
            for found in answer.get("messages") or []:
                if self._is_ours(found, delivery_id):
                    return str(found["ts"])
            cursor = (answer.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return ""
            kept["cursor"] = cursor
        # Not all was read, so "it is not there" cannot be said; delivery then sends once more at most.
        raise SlackProblem("refused", "too_much_to_read")

    def _oldest(self, since: datetime) -> float:
        """Where to begin to look for what was created at `since` by our clock, on Slack's, which stamps messages.

        Ours may be ahead, or have been ahead when it was created: then the message is older than it should be.
        """
        if self._ahead is None:
            self._call("auth_test")
        now = self._now()
        back = (self._ahead or timedelta(0)) + (_LOOK_BACK if since <= now else _LOOK_BACK_FAR)
        return (min(since, now) - back).timestamp()

    def _compare_clocks(self, headers: Mapping[str, Any]) -> None:
        told = {str(name).lower(): value for name, value in headers.items()}.get("date", "")
        try:
            slacks = parsedate_to_datetime(str(told))
            ahead = self._now() - slacks
        except (ValueError, TypeError):
            return  # no date, or one without a zone: then nothing is known
        self._ahead = max(ahead if ahead > _SLOW else timedelta(0), self._ahead or timedelta(0))

    def _is_ours(self, found: Mapping[str, Any], delivery_id: str) -> bool:
        """Whether it is this delivery: another app, or our twin for testing, may number its messages as we do."""
        metadata = found.get("metadata") or {}
        if metadata.get("event_type") != EVENT_TYPE or (metadata.get("event_payload") or {}).get("id") != delivery_id:
            return False
        if not self._bot_id:
            self._bot_id = str(self._call("auth_test").get("bot_id") or "")
        return not self._bot_id or str(found.get("bot_id") or self._bot_id) == self._bot_id

    def direct(self, user_id: str) -> str:
        """The direct conversation with a person; it is opened once."""
        if user_id not in self._direct:
            self._direct[user_id] = str(self._call("conversations_open", users=user_id)["channel"]["id"])
        return self._direct[user_id]

    def upload(self, file: Path | bytes, title: str, alt: str, *, name: str = "") -> str:
        """Upload a picture without sharing it; returns its file id."""
        if isinstance(file, bytes):
            given: dict[str, Any] = {"content": file, "filename": name}
        else:
            given = {"file": str(file), "filename": file.name}
        answer = self._call("files_upload_v2", title=title or given["filename"], alt_txt=alt, **given)
        return str(answer["file"]["id"])

    def share(self, body: bytes, *, name: str, title: str, channel: str, thread_ts: str) -> None:
        """Upload a file and post it in a channel or thread."""
        kept: dict[str, Any] = {"content": body, "filename": name, "title": title, "channel": self.resolve(channel)}
        self._call("files_upload_v2", **kept, **({"thread_ts": thread_ts} if thread_ts else {}))

    def find_file(self, channel: str, *, thread_ts: str, name: str) -> str:
        """The ts of the message in a thread that shares a file of that name, "" when there is none."""
        if not thread_ts or not name:
            raise SlackProblem("refused", "no_thread_to_look_in")
        kept: dict[str, Any] = {"channel": self.resolve(channel), "ts": thread_ts, "limit": 100}
        for _ in range(_PAGES):
            answer = self._call("conversations_replies", **kept)
            for found in answer.get("messages") or []:
                if any(file.get("name") == name for file in found.get("files") or []):
                    return str(found["ts"])
            cursor = (answer.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return ""
            kept["cursor"] = cursor
        raise SlackProblem("refused", "too_much_to_read")

    def check(self) -> str:
        """Who we are to Slack; raises SlackProblem when the token is not accepted."""
        answer = self._call("auth_test")
        return f"{answer['user']} in {answer['team']}"

    def resolve(self, channel: str) -> str:
        """A channel's id; names ("#ml-oncall") are looked up once."""
        if not channel.startswith("#"):
            return channel
        if channel not in self._channels:
            with self._lock:
                self._find_channel(channel)
        return self._channels.get(channel, channel)

    def _find_channel(self, channel: str) -> None:
        cursor = ""
        for _ in range(50):
            answer = self._call(
                "conversations_list",
                types="public_channel,private_channel",
                exclude_archived=True,
                limit=1000,
                cursor=cursor,
            )
            for found in answer.get("channels") or []:
                self._channels[f"#{found['name']}"] = str(found["id"])
            cursor = (answer.get("response_metadata") or {}).get("next_cursor") or ""
            if channel in self._channels or not cursor:
                return

    def _with_blocks(self, method: str, message: Message, kept: dict[str, Any]) -> Any:
        """Send text and blocks; blocks that Slack refuses must not cost the message, so the text alone goes then."""
        began = time.monotonic()
        try:
            return self._joined(method, {**kept, "text": message.text, "blocks": list(message.blocks)})
        except SlackProblem as problem:
            if problem.code not in _BLOCKS or not message.blocks:
                raise
            _only_soon(began, problem.code)
        return self._joined(method, {**kept, "text": message.text[:3_900], "blocks": []})

    def _joined(self, method: str, kept: dict[str, Any]) -> Any:
        """Call; when the bot is not in the channel yet, join it and call again (the first call surely did nothing)."""
        began = time.monotonic()
        try:
            return self._call(method, **kept)
        except SlackProblem as problem:
            if problem.code != "not_in_channel":
                raise
        self._call("conversations_join", channel=kept["channel"])
        _only_soon(began, "joined_late")
        return self._call(method, **kept)

    def _call(self, method: str, **kept: Any) -> Any:
        try:
            answer = getattr(self._client, method)(**kept)
            self._compare_clocks(answer.headers)
            return answer
        except SlackApiError as problem:
            raise _told_apart(problem) from None
        except URLError as problem:
            raise _unreached(problem) from None
        except (OSError, HTTPException, SlackClientError, ValueError) as problem:
            # Reset, time-out, half an answer: it may have happened.
            raise SlackProblem("no_answer", type(problem).__name__) from None


def _only_soon(began: float, code: str) -> None:
    """A second call may not begin when it could outlive the lease under which the first was made."""
    if time.monotonic() - began > _AT_ONCE_S:
        raise SlackProblem("temporary", code)


def _told_apart(problem: SlackApiError) -> SlackProblem:
    response = problem.response
    status = int(getattr(response, "status_code", 200) or 200)
    code = str(response.get("error") or f"http_{status}") if hasattr(response, "get") else f"http_{status}"
    if status == 429 or code in {"ratelimited", "rate_limited"}:
        return SlackProblem("limited", "ratelimited", _retry_after(response))
    if status >= 500 or code in _UNSURE:
        return SlackProblem("no_answer", code)
    if code in _GONE:
        return SlackProblem("gone", code)
    if code in _MENDABLE:
        return SlackProblem("temporary", code)
    if code in _NEVER or code in _BLOCKS:
        return SlackProblem("refused", code)
    return SlackProblem("temporary", code)


def _retry_after(response: Any) -> float:
    headers = {str(name).lower(): value for name, value in dict(getattr(response, "headers", {}) or {}).items()}
    value = headers.get("retry-after", "1")
    value = value[0] if isinstance(value, list) else value
    try:
        return min(max(float(value), 1.0), 3_600.0)
    except ValueError:
        return 1.0


def _unreached(problem: URLError) -> SlackProblem:
    """No connection was made: surely nothing happened. A time-out while waiting for the answer is another matter."""
    if isinstance(problem.reason, (ConnectionRefusedError, OSError)) and not isinstance(
        problem.reason, (TimeoutError, ConnectionResetError, BrokenPipeError)
    ):
        return SlackProblem("temporary", type(problem.reason).__name__)
    return SlackProblem("no_answer", type(problem.reason).__name__)
