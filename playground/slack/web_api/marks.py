"""reactions.*, pins.*, bookmarks.*."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from playground.slack import events, wire
from playground.slack import state as st
from playground.slack.errors import ApiError
from playground.slack.web_api.args import Args, message_in, own_channel, visible_channel

if TYPE_CHECKING:
    from playground.slack.world import World

Json = dict[str, Any]


def _message(world: World, args: Args) -> st.Message:
    return message_in(visible_channel(world, args.text("channel")), args.text("timestamp"))


def react(world: World, user: str, name: str, m: st.Message) -> None:
    """Add one reaction; ApiError when it is there already."""
    users = m.reactions.setdefault(name, [])
    if user in users:
        raise ApiError("already_reacted")
    users.append(user)
    events.reaction(world, "reaction_added", user, name, m)
    world.changed("message", channel=m.channel, ts=m.ts)


def unreact(world: World, user: str, name: str, m: st.Message) -> None:
    """Take one reaction away; ApiError when it is not there."""
    if user not in m.reactions.get(name, []):
        raise ApiError("no_reaction")
    m.reactions[name].remove(user)
    if not m.reactions[name]:
        del m.reactions[name]
    events.reaction(world, "reaction_removed", user, name, m)
    world.changed("message", channel=m.channel, ts=m.ts)


def _name(args: Args) -> str:
    name = args.text("name").strip(":")
    if not re.fullmatch(r"[a-z0-9_+'-]+(::skin-tone-[2-6])?", name):
        raise ApiError("invalid_name")
    return name


def add_reaction(world: World, args: Args) -> Json:
    """reactions.add."""
    message = _message(world, args)
    own_channel(world, message.channel)
    react(world, st.BOT_USER_ID, _name(args), message)
    return {}


def remove_reaction(world: World, args: Args) -> Json:
    """reactions.remove."""
    unreact(world, st.BOT_USER_ID, _name(args), _message(world, args))
    return {}


def get_reactions(world: World, args: Args) -> Json:
    """reactions.get."""
    message = _message(world, args)
    return {"type": "message", "channel": message.channel, "message": wire.message(world, message)}


def add_pin(world: World, args: Args) -> Json:
    """pins.add."""
    message = _message(world, args)
    own_channel(world, message.channel)
    if message.pinned:
        raise ApiError("already_pinned")
    message.pinned = True
    world.changed("message", channel=message.channel, ts=message.ts)
    return {}


def remove_pin(world: World, args: Args) -> Json:
    """pins.remove."""
    message = _message(world, args)
    if not message.pinned:
        raise ApiError("no_pin")
    message.pinned = False
    world.changed("message", channel=message.channel, ts=message.ts)
    return {}


def list_pins(world: World, args: Args) -> Json:
    """pins.list."""
    channel = own_channel(world, args.text("channel"))
    items = [
        {"type": "message", "channel": channel.id, "created": int(float(m.ts)),
         "created_by": m.user, "message": wire.message(world, m)}
        for m in channel.messages if m.pinned
    ]  # fmt: skip
    return {"items": items}


def add_bookmark(world: World, args: Args) -> Json:
    """bookmarks.add: links only, which is all Slack takes."""
    channel = own_channel(world, args.text("channel_id"))
    if args.text("type") != "link":
        raise ApiError("invalid_bookmark_type")
    link = args.text("link")
    if not link.startswith(("http://", "https://")):
        raise ApiError("invalid_link")
    if len(channel.bookmarks) >= 100:
        raise ApiError("too_many_bookmarks")
    now = int(world.clock.now())
    bookmark = {
        "id": world.new_id("Bk"), "channel_id": channel.id, "title": args.text("title"),
        "link": link, "emoji": args.text("emoji", ""), "icon_url": None, "type": "link",
        "entity_id": None, "date_created": now, "date_updated": now, "rank": "U",
        "last_updated_by_user_id": st.BOT_USER_ID, "last_updated_by_team_id": st.TEAM_ID,
        "shortcut_id": None, "app_id": st.APP_ID,
    }  # fmt: skip
    channel.bookmarks.append(bookmark)
    world.changed("channels")
    return {"bookmark": bookmark}


def list_bookmarks(world: World, args: Args) -> Json:
    """bookmarks.list."""
    return {"bookmarks": visible_channel(world, args.text("channel_id")).bookmarks}
