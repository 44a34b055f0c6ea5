"""What one person sees, as JSON: the data behind the page and behind the scripted human."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from playground.slack import inputs, wire
from playground.slack import state as st

if TYPE_CHECKING:
    from playground.slack.world import World

Json = dict[str, Any]
SHOWN_PER_CHANNEL = 400


def screen(world: World, user: str) -> Json:
    """Everything this person may see; KeyError for an unknown person."""
    me = world.user(user)
    state = world.state
    world.dm(user)
    stack = state.modals.get(user, [])
    home = state.homes.get(user)
    return {
        "rev": world.revision, "now": world.clock.now(), "speed": world.clock.speed,
        "workspace": {"name": "Local workspace", "team_id": st.TEAM_ID,
                      "banner": "A local simulator of a chat workspace. Nothing leaves this machine."},
        "app": {"name": world.manifest.bot_name, "user_id": st.BOT_USER_ID,
                "has_home": world.manifest.has_home},
        "me": _person(me),
        "people": [_person(u) for u in state.users.values()],
        "usergroups": [{"id": g.id, "handle": g.handle, "name": g.name, "users": g.users}
                       for g in state.usergroups.values()],
        "channels": [_channel(world, c, user) for c in state.channels.values()
                     if user in c.members or c.kind == "public"],
        "modals": [_view(v) for v in stack],
        "home": _view(home) if home else None,
        "home_open": user in state.home_open,
        "files": _files(world, user),
        "commands": [{"command": c.command, "description": c.description,
                      "usage_hint": c.usage_hint, "verbs": world.verbs.get(c.command, [])}
                     for c in world.manifest.commands.values()],
        "guide": world.guide,
        "shortcuts": [{"name": s.name, "callback_id": s.callback_id, "kind": s.kind}
                      for s in world.manifest.shortcuts],
        "lint": len(world.lint), "failures": len(world.failures),
        "faults": [f.wire() for f in world.faults.armed], "limits": world.limits.mode,
    }  # fmt: skip


def _person(u: st.User) -> Json:
    return {"id": u.id, "name": u.name, "real_name": u.real_name, "title": u.title,
            "is_bot": u.is_bot, "tz": u.tz}  # fmt: skip


def _channel(world: World, c: st.Channel, user: str) -> Json:
    is_member = user in c.members
    shown = [m for m in c.messages if m.visible_to in (None, user)] if is_member else []
    read = float(c.last_read.get(user, "0"))
    new = [m for m in shown if float(m.ts) > read and m.user != user]
    return {
        "id": c.id, "name": world.manifest.bot_name if c.kind == "im" else c.name, "kind": c.kind,
        "is_member": is_member, "members": c.members, "topic": c.topic["value"],
        "purpose": c.purpose["value"], "archived": c.archived, "bookmarks": c.bookmarks,
        "last_read": c.last_read.get(user, "0"),
        "unread": sum(1 for m in new if not m.is_reply or m.broadcast),
        "mentions": sum(1 for m in new if c.kind == "im" or f"<@{user}>" in m.text
                        or "<!here" in m.text or "<!channel" in m.text),
        "messages": [_message(world, m, user) for m in shown[-SHOWN_PER_CHANNEL:]],
    }  # fmt: skip


def _message(world: World, m: st.Message, user: str) -> Json:
    body = wire.message(world, m)
    body.pop("bot_profile", None)
    sender = world.state.users.get(m.user)
    values = world.state.inputs.get((user, m.channel, m.ts))
    return body | {
        "channel": m.channel, "sender": sender.name if sender else "Slackbot",
        "is_ephemeral": m.visible_to is not None, "is_reply": m.is_reply,
        "broadcast": m.broadcast, "files": m.files, "permalink": wire.permalink(world, m),
        "values": values or inputs.initial_values(inputs.all_blocks(body)),
    }  # fmt: skip


def _view(v: st.View) -> Json:
    return wire.view(v) | {"values": v.values, "errors": v.errors}


def may_see_file(world: World, user: str, file_id: str) -> bool:
    """True when the file was shared where this person is a member, or is not shared yet."""
    file = world.state.files.get(file_id)
    if file is None or not file.done:
        return False
    shared = [world.state.channels[c] for c in file.channels]
    return not shared or any(user in c.members for c in shared)


def _files(world: World, user: str) -> Json:
    return {
        f.id: {
            "name": f.name, "title": f.title or f.name, "size": f.size, "alt_text": f.alt_text,
            "mimetype": wire.file(world, f)["mimetype"],
            "url": f"/ui/file/{f.id}?as={user}",
        }
        for f in world.state.files.values() if may_see_file(world, user, f.id)
    }  # fmt: skip
