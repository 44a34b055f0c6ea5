"""Which methods exist, which scopes and tier each has, and which token it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from playground.slack import blocks as bk
from playground.slack.errors import ApiError, bad_arguments
from playground.slack.web_api import args as a
from playground.slack.web_api import chat, conversations, files, marks, people, views
from playground.slack.web_api.args import Args

if TYPE_CHECKING:
    from playground.slack.world import World

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Method:
    """One Web API method."""

    run: Callable[[World, Args], Json]
    scopes: tuple[str, ...] = ()  # one of these is enough
    tier: int | None = None
    token: str = "bot"  # bot, app, any or none
    is_post: bool = False  # has the one-a-second rule of its channel


def validate(world: World, args: Args) -> Json:
    """blocks.validate: public, no token, says nothing about a missing text."""
    del world
    given = [n for n in ("blocks", "message", "view") if args.has(n)]
    if len(given) != 1:
        raise bad_arguments("give exactly one of blocks, message and view")
    value = args.json(given[0])
    flaws = {
        "blocks": lambda: bk.check_blocks(value, at=""),
        "message": lambda: bk.check_message(value),
        "view": lambda: bk.check_view(value),
    }[given[0]]()
    if flaws:
        raise ApiError(f"invalid_{given[0]}", errors=[f.wire() for f in flaws])
    return {}


def _no_socket(world: World, args: Args) -> Json:
    raise NotImplementedError("the server answers apps.connections.open itself")


METHODS: dict[str, Method] = {
    "api.test": Method(lambda _w, args: {"args": args.raw}, token="none", tier=4),
    "auth.test": Method(people.auth_test, token="any", tier=None),
    # Slack lists one a minute and lets bursts pass; an app that reconnects must not be locked out.
    "apps.connections.open": Method(_no_socket, token="app"),
    "blocks.validate": Method(validate, token="none", tier=4),
    "chat.postMessage": Method(chat.post_message, ("chat:write",), is_post=True),
    "chat.postEphemeral": Method(chat.post_ephemeral, ("chat:write",), 4),
    "chat.update": Method(chat.update, ("chat:write",), 3),
    "chat.delete": Method(chat.delete, ("chat:write",), 3),
    "chat.getPermalink": Method(chat.permalink, (), None),
    "chat.scheduleMessage": Method(chat.schedule_message, ("chat:write",), 3),
    "chat.deleteScheduledMessage": Method(chat.delete_scheduled, ("chat:write",), 3),
    "chat.scheduledMessages.list": Method(chat.list_scheduled, (), 3),
    "conversations.list": Method(conversations.list_, a.ANY_READ, 2),
    "conversations.info": Method(conversations.info, a.ANY_READ, 3),
    "conversations.members": Method(conversations.members, a.ANY_READ, 4),
    "conversations.open": Method(conversations.open_, ("im:write", "mpim:write"), 3),
    "conversations.history": Method(conversations.history, a.ANY_HISTORY, 3),
    "conversations.replies": Method(conversations.replies, a.ANY_HISTORY, 3),
    "conversations.create": Method(conversations.create, ("channels:manage", "groups:write"), 2),
    "conversations.invite": Method(
        conversations.invite, ("channels:manage", "channels:write.invites", "groups:write"), 3
    ),
    "conversations.join": Method(conversations.join, ("channels:join",), 3),
    "conversations.setTopic": Method(
        conversations.set_topic, ("channels:manage", "channels:write.topic", "groups:write"), 2
    ),
    "conversations.setPurpose": Method(
        conversations.set_purpose, ("channels:manage", "channels:write.topic", "groups:write"), 2
    ),
    "conversations.archive": Method(conversations.archive, ("channels:manage", "groups:write"), 2),
    "users.info": Method(people.info, ("users:read",), 4),
    "users.list": Method(people.list_, ("users:read",), 2),
    "users.lookupByEmail": Method(people.lookup_by_email, ("users:read.email",), 3),
    "users.getPresence": Method(people.presence, ("users:read",), 3),
    "usergroups.list": Method(people.groups, ("usergroups:read",), 2),
    "usergroups.users.list": Method(people.group_users, ("usergroups:read",), 2),
    "usergroups.users.update": Method(people.set_group_users, ("usergroups:write",), 2),
    "views.open": Method(views.open_, (), 4),
    "views.push": Method(views.push, (), 4),
    "views.update": Method(views.update, (), 4),
    "views.publish": Method(views.publish, (), 4),
    "reactions.add": Method(marks.add_reaction, ("reactions:write",), 3),
    "reactions.remove": Method(marks.remove_reaction, ("reactions:write",), 2),
    "reactions.get": Method(marks.get_reactions, ("reactions:read",), 3),
    "pins.add": Method(marks.add_pin, ("pins:write",), 2),
    "pins.remove": Method(marks.remove_pin, ("pins:write",), 2),
    "pins.list": Method(marks.list_pins, ("pins:read",), 2),
    "bookmarks.add": Method(marks.add_bookmark, ("bookmarks:write",), 2),
    "bookmarks.list": Method(marks.list_bookmarks, ("bookmarks:read",), 3),
    "files.getUploadURLExternal": Method(files.upload_url, ("files:write",), 4),
    "files.completeUploadExternal": Method(files.complete, ("files:write",), 4),
    "files.info": Method(files.info, ("files:read",), 4),
    "team.info": Method(people.team_info, ("team:read",), 3),
    "bots.info": Method(people.bot_info, ("users:read",), 3),
}
