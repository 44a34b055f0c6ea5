"""What the workspace holds: people, channels, messages, files, views.

Plain mutable records, touched only on the server's event loop. Identifiers are a pure function of
the name (`user_id("alice")`), so an app's configuration can be written before the server starts and
stays right over restarts.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

TEAM_ID = "T0LOCALWS0"
APP_ID = "A0LOCALAPP"
BOT_ID = "B0LOCALBOT"
_ID_BODY = 10  # characters after the letter; Slack's own ids are 9 to 11 in all


def _identifier(letter: str, name: str) -> str:
    body = re.sub(r"[^A-Z0-9]", "", name.upper())
    if len(body) > _ID_BODY or not body or re.sub(r"[a-z0-9]", "", name):
        # Anything that does not survive the reduction unchanged gets a tail, so names never collide.
        tail = hashlib.sha256(name.encode()).hexdigest()[:4].upper()
        body = body[: _ID_BODY - 4] + tail
    return letter + body.rjust(_ID_BODY, "0")


def user_id(name: str) -> str:
    """The id of the person called `name` (lower case, as in `as_("alice")`)."""
    return _identifier("U", name.lower())


def channel_id(name: str) -> str:
    """The id of the channel called `name`, with or without its `#`."""
    return _identifier("C", name.lstrip("#").lower())


def dm_id(user: str) -> str:
    """The id of the direct message channel between the app and the user with this id."""
    return "D" + user[1:]


BOT_USER_ID = "U0000LOCALB"
SLACKBOT_ID = "USLACKBOT"


@dataclass(slots=True, kw_only=True)
class User:
    """A person or a bot."""

    id: str
    name: str
    real_name: str
    title: str = ""
    email: str = ""
    tz: str = "Etc/UTC"
    is_bot: bool = False
    is_admin: bool = False
    deleted: bool = False

    def wire(self, *, with_email: bool) -> Json:
        """The `user` object of the Web API."""
        profile: Json = {
            "real_name": self.real_name, "real_name_normalized": self.real_name,
            "display_name": self.name, "display_name_normalized": self.name,
            "title": self.title, "phone": "", "skype": "", "status_text": "", "status_emoji": "",
            "team": TEAM_ID, "avatar_hash": "0" * 12,
        }  # fmt: skip
        if with_email and self.email:
            profile["email"] = self.email
        if self.is_bot:
            profile |= {"api_app_id": APP_ID, "bot_id": BOT_ID, "always_active": True}
        return {
            "id": self.id, "team_id": TEAM_ID, "name": self.name, "deleted": self.deleted,
            "real_name": self.real_name, "tz": self.tz, "tz_label": self.tz, "tz_offset": 0,
            "profile": profile, "is_admin": self.is_admin, "is_owner": False,
            "is_primary_owner": False, "is_restricted": False, "is_ultra_restricted": False,
            "is_bot": self.is_bot, "is_app_user": False, "updated": 1700000000,
        }  # fmt: skip


@dataclass(slots=True, kw_only=True)
class Message:
    """One message; an ephemeral one has `visible_to`."""

    ts: str
    channel: str
    user: str
    text: str = ""
    blocks: list[Json] = field(default_factory=list)
    attachments: list[Json] = field(default_factory=list)
    thread_ts: str | None = None
    subtype: str | None = None
    by_app: bool = False
    visible_to: str | None = None
    metadata: Json | None = None
    edited: Json | None = None
    reactions: dict[str, list[str]] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    broadcast: bool = False
    pinned: bool = False

    @property
    def is_reply(self) -> bool:
        """True for a message that lives inside a thread."""
        return self.thread_ts is not None and self.thread_ts != self.ts


@dataclass(slots=True, kw_only=True)
class Channel:
    """A public or private channel, or the direct message with the app."""

    id: str
    name: str
    kind: str  # "public", "private" or "im"
    created: int
    creator: str
    members: list[str] = field(default_factory=list)
    topic: Json = field(default_factory=lambda: {"value": "", "creator": "", "last_set": 0})
    purpose: Json = field(default_factory=lambda: {"value": "", "creator": "", "last_set": 0})
    archived: bool = False
    messages: list[Message] = field(default_factory=list)
    last_read: dict[str, str] = field(default_factory=dict)
    bookmarks: list[Json] = field(default_factory=list)

    def find(self, ts: str | None) -> Message | None:
        """The lasting (not ephemeral) message with this stamp."""
        return next((m for m in self.messages if m.ts == ts and m.visible_to is None), None)

    def thread(self, ts: str) -> list[Message]:
        """Lasting replies under `ts`, oldest first."""
        return [m for m in self.messages if m.thread_ts == ts and m.is_reply and not m.visible_to]


@dataclass(slots=True, kw_only=True)
class File:
    """An uploaded file; without `done` its bytes or its completion are still missing."""

    id: str
    name: str
    size: int
    ticket: str
    created: int
    user: str
    title: str = ""
    alt_text: str = ""
    content: bytes | None = None
    done: bool = False
    channels: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class View:
    """A modal (one of a person's stack) or somebody's Home tab."""

    id: str
    user: str
    raw: Json  # the blocks and texts the app sent, with generated ids filled in
    hash: str
    root: str
    previous: str | None = None
    values: dict[str, Json] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Usergroup:
    """A user group such as @ml-oncall."""

    id: str
    handle: str
    name: str
    users: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """The right to open one modal within three seconds."""

    id: str
    user: str
    born_steady: float
    in_view: str | None


@dataclass(slots=True, kw_only=True)
class ResponseUrl:
    """A short-lived address that answers one interaction."""

    key: str
    user: str
    channel: str
    born: float
    message_ts: str | None = None
    is_ephemeral: bool = False
    thread_ts: str | None = None
    uses: int = 0


@dataclass(slots=True, kw_only=True)
class Scheduled:
    """A message to be posted later."""

    id: str
    channel: str
    post_at: int
    fields: Json
    is_dead: bool = False  # metadata was given: Slack accepts such a message and never posts it


@dataclass(slots=True)
class State:
    """Everything above, by id."""

    users: dict[str, User] = field(default_factory=dict)
    channels: dict[str, Channel] = field(default_factory=dict)
    files: dict[str, File] = field(default_factory=dict)
    usergroups: dict[str, Usergroup] = field(default_factory=dict)
    modals: dict[str, list[View]] = field(default_factory=dict)  # user id → stack, top last
    homes: dict[str, View] = field(default_factory=dict)
    triggers: dict[str, Trigger] = field(default_factory=dict)
    used_triggers: set[str] = field(default_factory=set)
    responses: dict[str, ResponseUrl] = field(default_factory=dict)
    scheduled: dict[str, Scheduled] = field(default_factory=dict)
    inputs: dict[tuple[str, str, str], dict[str, Json]] = field(default_factory=dict)
    home_open: set[str] = field(default_factory=set)

    def channel_named(self, name: str) -> Channel | None:
        """Look up by name, with or without `#`."""
        plain = name.lstrip("#")
        return next((c for c in self.channels.values() if c.name == plain and c.kind != "im"), None)

    def user_named(self, name: str) -> User | None:
        """Look up by handle, with or without `@`, or by id."""
        plain = name.lstrip("@")
        return self.users.get(plain) or next((u for u in self.users.values() if u.name == plain), None)

    def view(self, view_id: str | None, external_id: str | None = None) -> View | None:
        """Find an open view by its id or its external id."""
        every = [v for stack in self.modals.values() for v in stack] + list(self.homes.values())
        for view in every:
            if view.id == view_id or (external_id and view.raw.get("external_id") == external_id):
                return view
        return None
