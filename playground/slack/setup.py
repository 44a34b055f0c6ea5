"""Fills a workspace with people and channels from plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from playground.slack import state as st

if TYPE_CHECKING:
    from playground.slack.world import World

Person = str | Mapping[str, Any]
Channels = Iterable[str] | Mapping[str, Any]

DEFAULT_PEOPLE: tuple[Mapping[str, Any], ...] = (
    {"name": "alice", "real_name": "Alice Moreau", "title": "On call", "tz": "Europe/Paris"},
    {"name": "bob", "real_name": "Bob Osei", "title": "Second engineer", "tz": "Europe/London"},
    {"name": "mia", "real_name": "Mia Tanaka", "title": "Manager", "tz": "Asia/Tokyo"},
    {"name": "oscar", "real_name": "Oscar Lund", "title": "Outsider", "tz": "America/New_York"},
)
DEFAULT_CHANNELS: Mapping[str, Any] = {
    "general": ["alice", "bob", "mia", "oscar"],
    "ml-oncall": ["alice", "bob", "mia", "bot"],
}


def fill(world: World, people: Iterable[Person], channels: Channels, usergroups: Mapping[str, Any]) -> None:
    """Add people, channels and user groups; what exists already stays.

    `people` are names or {name, real_name, title, email, tz, id}. `channels` are names (everybody
    and the app inside) or a mapping name → members or {members, private}; the app is called "bot".
    """
    _add_bot(world)
    for person in people:
        _add_person(world, {"name": person} if isinstance(person, str) else person)
    entries = channels.items() if isinstance(channels, Mapping) else ((c, None) for c in channels)
    for name, spec in entries:
        _add_channel(world, str(name).lstrip("#"), spec)
    for handle, members in usergroups.items():
        key = st.channel_id(handle).replace("C", "S", 1)
        group = st.Usergroup(id=key, handle=handle, name=handle, users=_ids(world, members))
        world.state.usergroups.setdefault(key, group)


def _add_bot(world: World) -> None:
    name = world.manifest.bot_name
    bot = st.User(id=st.BOT_USER_ID, name=name, real_name=name, is_bot=True)
    world.state.users.setdefault(bot.id, bot)


def _add_person(world: World, data: Mapping[str, Any]) -> None:
    name = str(data["name"]).lower()
    user = st.User(
        id=str(data.get("id") or st.user_id(name)),
        name=name,
        real_name=str(data.get("real_name") or name.capitalize()),
        title=str(data.get("title") or ""),
        email=str(data.get("email") or f"{name}@example.com"),
        tz=str(data.get("tz") or "Etc/UTC"),
        is_admin=bool(data.get("is_admin")),
    )
    world.state.users.setdefault(user.id, user)


def _ids(world: World, names: Iterable[str]) -> list[str]:
    found = []
    for name in names:
        if name in ("bot", "@bot"):
            found.append(st.BOT_USER_ID)
            continue
        user = world.state.user_named(name)
        if user is None:
            raise ValueError(f"no person is called {name!r}; list them under people first")
        found.append(user.id)
    return found


def _add_channel(world: World, name: str, spec: Any) -> None:
    kind = "public"
    if isinstance(spec, Mapping):
        kind = "private" if spec.get("private") else "public"
        spec = spec.get("members")
    members = list(world.state.users) if spec is None else _ids(world, spec)
    channel = st.Channel(
        id=st.channel_id(name), name=name, kind=kind, created=int(world.clock.now()),
        creator=members[0] if members else st.SLACKBOT_ID, members=members,
    )  # fmt: skip
    world.state.channels.setdefault(channel.id, channel)
