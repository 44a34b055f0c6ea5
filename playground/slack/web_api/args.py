"""What a Web API call brings along, whatever its encoding."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from playground.slack import state as st
from playground.slack.errors import ApiError, bad_arguments

if TYPE_CHECKING:
    from playground.slack.world import World

Json = dict[str, Any]

# Only these travel as JSON inside a form field; a text that looks like JSON stays a text.
JSON_FIELDS = ("blocks", "attachments", "metadata", "view", "files", "prompts", "message", "users_json")


class Args:
    """Typed access to arguments; a missing or odd one becomes `invalid_arguments`."""

    def __init__(self, raw: Json, token: str | None) -> None:
        self.raw = raw
        self.token = token

    def has(self, name: str) -> bool:
        """True when the argument was given and is not null."""
        return self.raw.get(name) is not None

    def text(self, name: str, default: str | None = None) -> str:
        """A text; required unless a default is given."""
        value = self.raw.get(name)
        if value is None or value == "":
            if default is None:
                raise bad_arguments(f"missing required field: {name}")
            return default
        return value if isinstance(value, str) else str(value)

    def maybe(self, name: str) -> str | None:
        """A text, or None."""
        value = self.raw.get(name)
        return None if value in (None, "") else str(value)

    def flag(self, name: str, *, default: bool = False) -> bool:
        """A truth value in any of Slack's spellings."""
        value = self.raw.get(name)
        if value is None:
            return default
        return value is True or str(value).lower() in ("1", "true", "yes")

    def whole(self, name: str, default: int, *, low: int = 0, high: int = 1000) -> int:
        """A whole number, cut to its bounds."""
        value = self.raw.get(name)
        if value is None:
            return default
        try:
            return min(high, max(low, int(value)))
        except (TypeError, ValueError):
            raise bad_arguments(f"{name} must be a whole number") from None

    def names(self, name: str) -> list[str]:
        """A list given as a list or with commas."""
        value = self.raw.get(name)
        if isinstance(value, list):
            return [str(v) for v in value]
        return [part.strip() for part in str(value or "").split(",") if part.strip()]

    def json(self, name: str) -> Any:
        """A structure that may have come as JSON text."""
        value = self.raw.get(name)
        if isinstance(value, str):
            try:
                return json.loads(value)
            except ValueError:
                code = {"blocks": "invalid_blocks_format", "view": "invalid_arguments"}.get(name)
                raise ApiError(code or f"invalid_{name}_format") from None
        return value

    def content(self) -> Json:
        """`text`, `blocks`, `attachments` as given; `markdown_text` becomes a markdown block."""
        found = {
            name: self.json(name) if name != "text" else self.raw.get("text")
            for name in ("text", "blocks", "attachments")
            if self.has(name)
        }
        markdown = self.maybe("markdown_text")
        if markdown is None:
            return found
        if found.get("text") or found.get("blocks"):
            raise ApiError("markdown_text_conflict")
        if len(markdown) > 12_000:
            raise ApiError("msg_too_long")
        return {**found, "text": markdown, "blocks": [{"type": "markdown", "text": markdown}]}


HISTORY = {"public": "channels:history", "private": "groups:history", "im": "im:history"}
READ = {"public": "channels:read", "private": "groups:read", "im": "im:read"}
ANY_HISTORY = ("channels:history", "groups:history", "im:history", "mpim:history")
ANY_READ = ("channels:read", "groups:read", "im:read", "mpim:read")


def need_scope(world: World, *any_of: str) -> None:
    """Refuse unless the manifest grants one of these scopes."""
    if any_of and not world.manifest.bot_scopes.intersection(any_of):
        raise ApiError(
            "missing_scope",
            needed=",".join(any_of),
            provided=",".join(sorted(world.manifest.bot_scopes)),
        )


def visible_channel(world: World, key: str) -> st.Channel:
    """A channel the app may know about; private ones only as a member."""
    channel = world.state.channels.get(key)
    if channel is None or (channel.kind != "public" and st.BOT_USER_ID not in channel.members):
        raise ApiError("channel_not_found")
    return channel


def target_channel(world: World, key: str) -> st.Channel:
    """Where to post: a channel id, a name, or a person's id (their direct message)."""
    if key in world.state.users and not world.state.users[key].is_bot:
        return world.dm(key)
    named = world.state.channel_named(key) if key not in world.state.channels else None
    channel = visible_channel(world, named.id if named else key)
    if channel.archived:
        raise ApiError("is_archived")
    is_inside = channel.kind == "im" or st.BOT_USER_ID in channel.members
    if not is_inside and "chat:write.public" not in world.manifest.bot_scopes:
        raise ApiError("not_in_channel")
    return channel


def own_channel(world: World, key: str) -> st.Channel:
    """A channel the app is a member of."""
    channel = visible_channel(world, key)
    if st.BOT_USER_ID not in channel.members:
        raise ApiError("not_in_channel")
    return channel


def message_in(channel: st.Channel, ts: str) -> st.Message:
    """A lasting message, or `message_not_found`."""
    found = channel.find(ts)
    if found is None:
        raise ApiError("message_not_found")
    return found


def person(world: World, key: str) -> st.User:
    """A user, or `user_not_found`."""
    user = world.state.users.get(key)
    if user is None:
        raise ApiError("user_not_found")
    return user


def page(items: list[Any], args: Args, default: int, high: int = 1000) -> tuple[list[Any], str]:
    """One page of a list and the cursor of the next, which is empty at the end."""
    limit = args.whole("limit", default, low=1, high=high)
    cursor = args.maybe("cursor") or "0"
    if not cursor.removeprefix("next:").isdigit():
        raise ApiError("invalid_cursor")
    start = int(cursor.removeprefix("next:"))
    more = start + limit < len(items)
    return items[start : start + limit], f"next:{start + limit}" if more else ""
