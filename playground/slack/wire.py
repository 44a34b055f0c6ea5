"""JSON forms of channels, messages, files and views as the Web API and the events carry them."""

from __future__ import annotations

import mimetypes
from typing import TYPE_CHECKING, Any

from playground.slack import state as st

if TYPE_CHECKING:
    from playground.slack.world import World

Json = dict[str, Any]


def message(world: World, m: st.Message, *, with_metadata: bool = False) -> Json:
    """A message object; `metadata` only where the caller asked for it."""
    body: Json = {"type": "message", "user": m.user, "ts": m.ts, "text": m.text, "team": st.TEAM_ID}
    if m.subtype:
        body["subtype"] = m.subtype
    if m.by_app:
        body |= {"bot_id": st.BOT_ID, "app_id": st.APP_ID, "bot_profile": bot(world)}
    for name in ("blocks", "attachments", "edited"):
        if getattr(m, name):
            body[name] = getattr(m, name)
    if m.files:
        body["files"] = [file(world, world.state.files[f]) for f in m.files]
    if m.reactions:
        body["reactions"] = [{"name": name, "users": users, "count": len(users)} for name, users in m.reactions.items()]
    if m.pinned:
        body["pinned_to"] = [m.channel]
    if with_metadata and m.metadata:
        body["metadata"] = m.metadata
    if m.visible_to:
        body["is_ephemeral"] = True
    return body | _threading(world, m)


def _threading(world: World, m: st.Message) -> Json:
    if m.is_reply:
        parent = world.state.channels[m.channel].find(m.thread_ts)
        body: Json = {"thread_ts": m.thread_ts}
        if parent is not None:
            body["parent_user_id"] = parent.user
        return body
    replies = world.state.channels[m.channel].thread(m.ts)
    if not replies:
        return {}
    users = list(dict.fromkeys(r.user for r in replies))
    return {
        "thread_ts": m.ts, "reply_count": len(replies), "reply_users_count": len(users),
        "latest_reply": replies[-1].ts, "reply_users": users, "is_locked": False,
        "subscribed": False,
    }  # fmt: skip


def bot(world: World) -> Json:
    """The app's bot profile."""
    return {
        "id": st.BOT_ID, "app_id": st.APP_ID, "user_id": st.BOT_USER_ID, "deleted": False,
        "name": world.manifest.bot_name, "updated": 1700000000, "team_id": st.TEAM_ID,
        "icons": {"image_36": "", "image_48": "", "image_72": ""},
    }  # fmt: skip


def channel(world: World, c: st.Channel) -> Json:
    """A conversation object as the app sees it."""
    body: Json = {
        "id": c.id, "created": c.created, "is_archived": c.archived, "is_im": c.kind == "im",
        "is_org_shared": False, "context_team_id": st.TEAM_ID, "updated": c.created * 1000,
    }  # fmt: skip
    if c.kind == "im":
        other = next((u for u in c.members if u != st.BOT_USER_ID), "")
        return body | {"user": other, "is_user_deleted": False, "is_open": True, "priority": 0}
    return body | {
        "name": c.name, "name_normalized": c.name, "is_channel": c.kind == "public",
        "is_group": c.kind == "private", "is_mpim": False, "is_private": c.kind == "private",
        "is_general": c.name == "general", "is_shared": False, "is_ext_shared": False,
        "is_pending_ext_shared": False, "unlinked": 0, "creator": c.creator,
        "is_member": st.BOT_USER_ID in c.members, "topic": c.topic, "purpose": c.purpose,
        "num_members": len(c.members), "previous_names": [],
    }  # fmt: skip


def file(world: World, f: st.File) -> Json:
    """A file object with private addresses on this server."""
    mime = mimetypes.guess_type(f.name)[0] or "application/octet-stream"
    kind = f.name.rpartition(".")[2].lower() if "." in f.name else "text"
    base = f"{world.base_url}/files-pri/{st.TEAM_ID}-{f.id}"
    return {
        "id": f.id, "created": f.created, "timestamp": f.created, "name": f.name,
        "title": f.title or f.name, "mimetype": mime, "filetype": kind,
        "pretty_type": kind.upper(), "user": f.user, "user_team": st.TEAM_ID, "editable": False,
        "size": f.size, "mode": "hosted", "is_external": False, "external_type": "",
        "is_public": False, "public_url_shared": False, "display_as_bot": False, "username": "",
        "alt_txt": f.alt_text, "url_private": f"{base}/{f.name}",
        "url_private_download": f"{base}/download/{f.name}",
        "permalink": f"{world.base_url}/archives/files/{f.id}", "channels": f.channels,
        "groups": [], "ims": [], "comments_count": 0, "has_rich_preview": False,
        "file_access": "visible",
    }  # fmt: skip


def view(v: st.View) -> Json:
    """A view object, with the values filled in so far."""
    raw: Json = {k: v.raw[k] for k in ("type", "blocks") if k in v.raw}
    for name in ("title", "submit", "close"):
        raw[name] = v.raw.get(name)
    return raw | {
        "id": v.id, "team_id": st.TEAM_ID, "app_id": st.APP_ID, "bot_id": st.BOT_ID,
        "app_installed_team_id": st.TEAM_ID, "hash": v.hash, "root_view_id": v.root,
        "previous_view_id": v.previous, "private_metadata": v.raw.get("private_metadata", ""),
        "callback_id": v.raw.get("callback_id", ""), "external_id": v.raw.get("external_id", ""),
        "clear_on_close": bool(v.raw.get("clear_on_close")),
        "notify_on_close": bool(v.raw.get("notify_on_close")), "state": {"values": v.values},
    }  # fmt: skip


def permalink(world: World, m: st.Message) -> str:
    """The address of a message; the page scrolls to it."""
    link = f"{world.base_url}/archives/{m.channel}/p{m.ts.replace('.', '')}"
    return f"{link}?thread_ts={m.thread_ts}&cid={m.channel}" if m.is_reply else link
