"""conversations.*: channels, members, history."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from playground.slack import events, wire
from playground.slack import state as st
from playground.slack.errors import ApiError
from playground.slack.web_api import args as a
from playground.slack.web_api.args import Args

if TYPE_CHECKING:
    from playground.slack.world import World

Json = dict[str, Any]
_TYPES = {"public_channel": "public", "private_channel": "private", "im": "im", "mpim": "mpim"}


def list_(world: World, args: Args) -> Json:
    """conversations.list."""
    kinds = [_TYPES.get(t) for t in args.names("types") or ["public_channel"]]
    if None in kinds:
        raise ApiError("invalid_types")
    for kind in kinds:
        a.need_scope(world, a.READ.get(str(kind), "mpim:read"))
    found = [
        c for c in world.state.channels.values()
        if c.kind in kinds and (c.kind == "public" or st.BOT_USER_ID in c.members)
        and not (args.flag("exclude_archived") and c.archived)
    ]  # fmt: skip
    part, cursor = a.page(found, args, 100)
    return {
        "channels": [wire.channel(world, c) for c in part],
        "response_metadata": {"next_cursor": cursor},
    }


def info(world: World, args: Args) -> Json:
    """conversations.info."""
    channel = a.visible_channel(world, args.text("channel"))
    a.need_scope(world, a.READ[channel.kind])
    return {"channel": wire.channel(world, channel)}


def members(world: World, args: Args) -> Json:
    """conversations.members."""
    channel = a.visible_channel(world, args.text("channel"))
    a.need_scope(world, a.READ[channel.kind])
    part, cursor = a.page(channel.members, args, 100)
    return {"members": part, "response_metadata": {"next_cursor": cursor}}


def open_(world: World, args: Args) -> Json:
    """conversations.open: the direct message with one person."""
    key = args.maybe("channel")
    if key is not None:
        channel = a.visible_channel(world, key)
        return {"channel": {"id": channel.id}, "no_op": True, "already_open": True}
    users = args.names("users")
    if len(users) != 1:
        # Group conversations are not part of this workspace.
        raise ApiError("users_list_not_supplied" if not users else "method_not_supported")
    user = a.person(world, users[0])
    if user.is_bot:
        raise ApiError("user_not_found")
    was_open = st.dm_id(user.id) in world.state.channels
    channel = world.dm(user.id)
    shown = wire.channel(world, channel) if args.flag("return_im") else {"id": channel.id}
    return {"channel": shown, "no_op": was_open, "already_open": was_open}


def history(world: World, args: Args) -> Json:
    """conversations.history: newest first, without replies and ephemerals."""
    channel = _readable(world, args)
    found = [
        m for m in channel.messages
        if m.visible_to is None and (not m.is_reply or m.broadcast) and _between(m, args)
    ]  # fmt: skip
    part, cursor = a.page(found[::-1], args, 100, 999)
    return _page(world, args, part, cursor) | {"pin_count": sum(m.pinned for m in found)}


def replies(world: World, args: Args) -> Json:
    """conversations.replies: the root, then its replies, oldest first."""
    channel = _readable(world, args)
    root = channel.find(args.text("ts"))
    if root is None:
        raise ApiError("thread_not_found")
    if root.is_reply:
        return _page(world, args, [root], "")
    found = [m for m in channel.thread(root.ts) if _between(m, args)]
    part, cursor = a.page([root, *found], args, 1000)
    return _page(world, args, part, cursor)


def _readable(world: World, args: Args) -> st.Channel:
    channel = a.visible_channel(world, args.text("channel"))
    a.need_scope(world, a.HISTORY[channel.kind])
    if st.BOT_USER_ID not in channel.members:
        raise ApiError("not_in_channel")
    return channel


def _between(m: st.Message, args: Args) -> bool:
    try:
        at = float(m.ts)
        oldest, latest = (float(args.text(n, "0")) for n in ("oldest", "latest"))
    except ValueError:
        raise ApiError("invalid_ts_latest") from None
    edge = args.flag("inclusive")
    after = at > oldest or (edge and at == oldest)
    before = not latest or at < latest or (edge and at == latest)
    return after and before


def _page(world: World, args: Args, part: list[st.Message], cursor: str) -> Json:
    with_metadata = args.flag("include_all_metadata")
    return {
        "messages": [wire.message(world, m, with_metadata=with_metadata) for m in part],
        "has_more": bool(cursor), "response_metadata": {"next_cursor": cursor},
    }  # fmt: skip


def create(world: World, args: Args) -> Json:
    """conversations.create."""
    name = args.text("name").lstrip("#")
    if len(name) > 80:
        raise ApiError("invalid_name_maxlength")
    if not re.fullmatch(r"[a-z0-9_-]+", name):
        raise ApiError("invalid_name_specials" if name.lower() == name else "invalid_name")
    if world.state.channel_named(name):
        raise ApiError("name_taken")
    kind = "private" if args.flag("is_private") else "public"
    a.need_scope(world, "groups:write" if kind == "private" else "channels:manage")
    channel = st.Channel(
        id=st.channel_id(name), name=name, kind=kind, created=int(world.clock.now()),
        creator=st.BOT_USER_ID, members=[st.BOT_USER_ID],
    )  # fmt: skip
    world.state.channels[channel.id] = channel
    world.changed("channels")
    return {"channel": wire.channel(world, channel)}


def invite(world: World, args: Args) -> Json:
    """conversations.invite."""
    channel = a.own_channel(world, args.text("channel"))
    if channel.archived:
        raise ApiError("is_archived")
    users = args.names("users")
    if not users:
        raise ApiError("no_user")
    for user in users:
        a.person(world, user)
        if user == st.BOT_USER_ID:
            raise ApiError("cant_invite_self")
    new = [u for u in users if u not in channel.members]
    if not new:
        raise ApiError("already_in_channel")
    for user in new:
        join_channel(world, channel, user, inviter=st.BOT_USER_ID)
    return {"channel": wire.channel(world, channel)}


def join_channel(world: World, channel: st.Channel, user: str, *, inviter: str | None = None) -> None:
    """Add a member and tell the app."""
    channel.members.append(user)
    world.changed("channels")
    events.member_joined(world, channel, user, inviter)


def join(world: World, args: Args) -> Json:
    """conversations.join: public channels only."""
    channel = a.visible_channel(world, args.text("channel"))
    if channel.kind != "public":
        raise ApiError("method_not_supported_for_channel_type")
    if channel.archived:
        raise ApiError("is_archived")
    body: Json = {"channel": wire.channel(world, channel)}
    if st.BOT_USER_ID in channel.members:
        return body | {"warning": "already_in_channel"}
    join_channel(world, channel, st.BOT_USER_ID)
    return {"channel": wire.channel(world, channel)}


def set_topic(world: World, args: Args) -> Json:
    """conversations.setTopic."""
    return _set(world, args, "topic")


def set_purpose(world: World, args: Args) -> Json:
    """conversations.setPurpose."""
    return _set(world, args, "purpose")


def _set(world: World, args: Args, what: str) -> Json:
    channel = a.own_channel(world, args.text("channel"))
    value = args.text(what, "")
    if len(value) > 250:
        raise ApiError("too_long")
    now = int(world.clock.now())
    setattr(channel, what, {"value": value, "creator": st.BOT_USER_ID, "last_set": now})
    world.changed("channels")
    return {"channel": wire.channel(world, channel), what: value}


def archive(world: World, args: Args) -> Json:
    """conversations.archive."""
    channel = a.own_channel(world, args.text("channel"))
    if channel.archived:
        raise ApiError("already_archived")
    if channel.name == "general":
        raise ApiError("cant_archive_general")
    channel.archived = True
    world.changed("channels")
    return {}
