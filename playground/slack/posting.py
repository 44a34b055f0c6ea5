"""Putting messages into channels: one path for the app, for people and for response URLs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from playground.slack import blocks as bk
from playground.slack import events, wire
from playground.slack import state as st
from playground.slack.checking import Flaw
from playground.slack.errors import ApiError

if TYPE_CHECKING:
    from playground.slack.world import World

Json = dict[str, Any]
CONTENT = ("text", "blocks", "attachments")


def refuse_flaws(flaws: list[Flaw], code: str) -> None:
    """Raise the API error that carries the flaws, if there are any."""
    if flaws:
        lines = [f.line() for f in flaws]
        raise ApiError(code, errors=lines, response_metadata={"messages": [f"[ERROR] {n}" for n in lines]})


def check_content(world: World, body: Json, where: str) -> None:
    """Refuse what Slack refuses; note a missing text fallback.

    `body` holds `text`, `blocks`, `attachments` as the app sent them. Raises ApiError.
    """
    text, blocks = body.get("text"), body.get("blocks")
    if text is not None and not isinstance(text, str):
        raise ApiError("invalid_arguments", response_metadata={"messages": ["[ERROR] text"]})
    if not text and not blocks and not body.get("attachments"):
        raise ApiError("no_text")
    if text and len(text) > bk.MAX_TEXT:
        raise ApiError("msg_too_long")
    refuse_flaws(bk.check_message(body), "invalid_blocks")
    if blocks and bk.block_chars(blocks) > bk.MAX_BLOCK_CHARS:
        raise ApiError("msg_blocks_too_long")
    _check_files(world, blocks or [])
    if (blocks or body.get("attachments")) and not (text or "").strip():
        world.note_lint(
            "missing_text", where,
            "blocks without text: notifications and screen readers get nothing to say",
        )  # fmt: skip


def _check_files(world: World, node: Any) -> None:
    if isinstance(node, list):
        for item in node:
            _check_files(world, item)
    elif isinstance(node, dict):
        ref = node.get("slack_file") if node.get("type") == "image" else None
        if isinstance(ref, dict) and not any(
            f.done and (f.id == ref.get("id") or f.id in str(ref.get("url", ""))) for f in world.state.files.values()
        ):
            raise ApiError("invalid_blocks", errors=["invalid slack file [json-pointer:/blocks]"])
        for value in node.values():
            _check_files(world, value)


def add(world: World, message: st.Message) -> st.Message:
    """Store a message that is allowed to be there, and tell everyone concerned."""
    channel = world.state.channels[message.channel]
    message.blocks = world.fill_blocks(message.blocks)
    for attachment in message.attachments:
        if isinstance(attachment.get("blocks"), list):
            attachment["blocks"] = world.fill_blocks(attachment["blocks"])
    channel.messages.append(message)
    world.changed("message", channel=channel.id, ts=message.ts)
    if message.visible_to is None:
        events.message_posted(world, message)
    return message


def by_app(world: World, channel: st.Channel, body: Json, **more: Any) -> st.Message:
    """Post as the app; `body` was checked before."""
    return add(world, st.Message(
        ts=world.new_ts(), channel=channel.id, user=st.BOT_USER_ID, by_app=True,
        subtype="bot_message" if more.pop("as_subtype", False) else None,
        text=body.get("text") or "", blocks=body.get("blocks") or [],
        attachments=[dict(a) for a in body.get("attachments") or []], **more,
    ))  # fmt: skip


def by_slackbot(world: World, channel: st.Channel, user: str, text: str) -> st.Message:
    """What the workspace itself tells one person."""
    return add(world, st.Message(
        ts=world.new_ts(), channel=channel.id, user=st.SLACKBOT_ID, text=text, visible_to=user,
    ))  # fmt: skip


def change(world: World, m: st.Message, body: Json, editor: str) -> None:
    """Replace content; members that are absent stay as they were."""
    before = wire.message(world, m)
    if body.get("text") is not None:
        m.text = body["text"]
    if body.get("blocks") is not None:
        m.blocks = world.fill_blocks(body["blocks"])
    if body.get("attachments") is not None:
        m.attachments = [dict(a) for a in body["attachments"]]
        for attachment in m.attachments:
            if isinstance(attachment.get("blocks"), list):
                attachment["blocks"] = world.fill_blocks(attachment["blocks"])
    m.edited = {"user": editor, "ts": world.new_ts()}
    world.changed("message", channel=m.channel, ts=m.ts)
    if m.visible_to is None:
        events.message_changed(world, m, before)


def remove(world: World, m: st.Message) -> None:
    """Delete a message; its replies stay, as in Slack."""
    world.state.channels[m.channel].messages.remove(m)
    world.changed("message", channel=m.channel, ts=m.ts)
    if m.visible_to is None:
        events.message_deleted(world, m)


def answer_response_url(world: World, key: str, body: Json) -> tuple[int, str]:
    """Handle a POST to a response URL; returns HTTP status and text."""
    entry = world.state.responses.get(key)
    if entry is None:
        return 404, "invalid_url"
    if world.clock.now() - entry.born > 30 * 60:
        return 404, "expired_url"
    if entry.uses >= 5:
        return 404, "used_url"
    entry.uses += 1
    channel = world.state.channels[entry.channel]
    source = next((m for m in channel.messages if m.ts == entry.message_ts), None)
    if body.get("delete_original"):
        if source is None:
            return 404, "message_not_found"
        remove(world, source)
        return 200, "ok"
    try:
        return _apply_response(world, entry, channel, source, body)
    except ApiError as error:
        world.fail(f"response_url refused the app's message: {error.body()}")
        return 400, error.code


def _apply_response(
    world: World, entry: st.ResponseUrl, channel: st.Channel, source: st.Message | None, body: Json
) -> tuple[int, str]:
    if body.get("replace_original") and source is not None:
        check_content(world, body, "response_url")
        change(world, source, {**{k: [] for k in CONTENT[1:]}, **body}, st.BOT_USER_ID)
        return 200, "ok"
    answered = respond(world, entry.user, channel, body, thread_ts=body.get("thread_ts"))
    if answered is not None and entry.message_ts is None:
        # A later replace_original of a command's address replaces the command's first answer.
        entry.message_ts = answered.ts
    return 200, "ok"


def respond(
    world: World, user: str, channel: st.Channel, body: Json, *, thread_ts: str | None = None
) -> st.Message | None:
    """A command's acknowledgement or a response: ephemeral unless `in_channel`."""
    if not any(body.get(k) for k in CONTENT):
        return None
    check_content(world, body, "response")
    is_public = body.get("response_type") == "in_channel"
    return by_app(world, channel, body, thread_ts=thread_ts, visible_to=None if is_public else user)


def schedule(world: World, item: st.Scheduled) -> None:
    """Post a scheduled message when its time comes, unless it was deleted before."""

    async def later() -> None:
        await world.clock.sleep_until(item.post_at)
        if world.state.scheduled.pop(item.id, None) is None or item.is_dead:
            return
        by_app(world, world.state.channels[item.channel], item.fields,
               thread_ts=item.fields.get("thread_ts"))  # fmt: skip

    world.delivery.background(later())
