"""chat.*: posting, editing, deleting, scheduling."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from playground.slack import posting, wire
from playground.slack import state as st
from playground.slack.errors import ApiError
from playground.slack.web_api.args import Args, message_in, target_channel, visible_channel

if TYPE_CHECKING:
    from playground.slack.world import World

Json = dict[str, Any]
SCHEDULE_AHEAD_S = 120 * 86_400
SCHEDULE_PER_5_MIN = 30


def _thread(channel: st.Channel, args: Args) -> str | None:
    """The thread to answer in; a reply's stamp leads to its root, as in Slack."""
    ts = args.maybe("thread_ts")
    if ts is None:
        return None
    if not re.fullmatch(r"\d+\.\d{6}", ts):
        raise ApiError("invalid_thread_ts")
    root = channel.find(ts)
    if root is None:
        raise ApiError("thread_not_found")
    return root.thread_ts or root.ts


def _metadata(args: Args) -> Json | None:
    data = args.json("metadata")
    if data is None:
        return None
    if not isinstance(data, dict) or not isinstance(data.get("event_payload"), dict):
        raise ApiError("invalid_metadata_format")
    kind = data.get("event_type")
    if not isinstance(kind, str) or not re.fullmatch(r"[A-Za-z0-9_.:-]{1,255}", kind):
        raise ApiError("invalid_metadata_format")
    return {"event_type": kind, "event_payload": data["event_payload"]}


def post_message(world: World, args: Args) -> Json:
    """chat.postMessage."""
    channel = target_channel(world, args.text("channel"))
    body = args.content()
    posting.check_content(world, body, "chat.postMessage")
    message = posting.by_app(
        world, channel, body, thread_ts=_thread(channel, args), metadata=_metadata(args),
        broadcast=args.flag("reply_broadcast"),
    )  # fmt: skip
    shown = wire.message(world, message, with_metadata=True)
    return {"channel": channel.id, "ts": message.ts, "message": shown}


def post_ephemeral(world: World, args: Args) -> Json:
    """chat.postEphemeral."""
    channel = target_channel(world, args.text("channel"))
    user = args.text("user")
    if user not in channel.members:
        raise ApiError("user_not_in_channel")
    body = args.content()
    posting.check_content(world, body, "chat.postEphemeral")
    message = posting.by_app(world, channel, body, thread_ts=_thread(channel, args), visible_to=user)
    return {"message_ts": message.ts}


def _own(world: World, args: Args, refusal: str) -> st.Message:
    message = message_in(visible_channel(world, args.text("channel")), args.text("ts"))
    if not message.by_app:
        raise ApiError(refusal)
    return message


def update(world: World, args: Args) -> Json:
    """chat.update."""
    message = _own(world, args, "cant_update_message")
    body = args.content()
    merged = {"text": message.text, "blocks": message.blocks, "attachments": message.attachments}
    if body.get("text") is None and body.get("blocks") is not None:
        # Slack keeps no text of its own when only blocks are sent: say so, the fallback goes stale.
        world.note_lint("missing_text", "chat.update", "blocks changed without a new text")
    posting.check_content(world, {**merged, **body}, "chat.update")
    if args.has("metadata"):
        message.metadata = _metadata(args)
    posting.change(world, message, body, st.BOT_USER_ID)
    return {
        "channel": message.channel, "ts": message.ts, "text": message.text,
        "message": wire.message(world, message),
    }  # fmt: skip


def delete(world: World, args: Args) -> Json:
    """chat.delete."""
    message = _own(world, args, "cant_delete_message")
    posting.remove(world, message)
    return {"channel": message.channel, "ts": message.ts}


def permalink(world: World, args: Args) -> Json:
    """chat.getPermalink."""
    channel = visible_channel(world, args.text("channel"))
    message = message_in(channel, args.text("message_ts"))
    return {"channel": channel.id, "permalink": wire.permalink(world, message)}


def schedule_message(world: World, args: Args) -> Json:
    """chat.scheduleMessage; a message with metadata is taken and never posted (Slack's own bug)."""
    channel = target_channel(world, args.text("channel"))
    post_at = args.whole("post_at", 0, high=2**40)
    if post_at <= world.clock.now():
        raise ApiError("time_in_past")
    if post_at > world.clock.now() + SCHEDULE_AHEAD_S:
        raise ApiError("time_too_far")
    near = [s for s in world.state.scheduled.values()
            if s.channel == channel.id and abs(s.post_at - post_at) < 300]  # fmt: skip
    if len(near) >= SCHEDULE_PER_5_MIN:
        raise ApiError("restricted_too_many")
    body = args.content()
    posting.check_content(world, body, "chat.scheduleMessage")
    body["thread_ts"] = _thread(channel, args)
    item = st.Scheduled(
        id=world.new_id("Q"), channel=channel.id, post_at=post_at, fields=body,
        is_dead=_metadata(args) is not None,
    )  # fmt: skip
    if item.is_dead:
        world.note_lint("scheduled_metadata", "chat.scheduleMessage",
                        "Slack never posts a scheduled message that has metadata")  # fmt: skip
    world.state.scheduled[item.id] = item
    posting.schedule(world, item)
    return {
        "channel": channel.id, "scheduled_message_id": item.id, "post_at": post_at,
        "message": {"text": body.get("text", ""), "type": "delayed_message",
                    "user": st.BOT_USER_ID, "bot_id": st.BOT_ID, "team": st.TEAM_ID},
    }  # fmt: skip


def delete_scheduled(world: World, args: Args) -> Json:
    """chat.deleteScheduledMessage."""
    item = world.state.scheduled.get(args.text("scheduled_message_id"))
    if item is None or item.channel != args.text("channel"):
        raise ApiError("invalid_scheduled_message_id")
    del world.state.scheduled[item.id]
    return {}


def list_scheduled(world: World, args: Args) -> Json:
    """chat.scheduledMessages.list."""
    wanted = args.maybe("channel")
    return {
        "scheduled_messages": [
            {"id": s.id, "channel_id": s.channel, "post_at": s.post_at,
             "date_created": int(world.clock.now()), "text": s.fields.get("text", "")}
            for s in world.state.scheduled.values() if wanted in (None, s.channel)
        ],
        "response_metadata": {"next_cursor": ""},
    }  # fmt: skip
