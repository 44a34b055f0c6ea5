"""users.*, usergroups.*, team.info, bots.info, auth.test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from playground.slack import state as st
from playground.slack import wire
from playground.slack.errors import ApiError
from playground.slack.web_api.args import Args, page, person

if TYPE_CHECKING:
    from playground.slack.world import World

Json = dict[str, Any]


def auth_test(world: World, args: Args) -> Json:
    """auth.test; works for both tokens."""
    body: Json = {
        "url": world.base_url + "/", "team": "Local workspace", "team_id": st.TEAM_ID,
        "user": world.manifest.bot_name, "user_id": st.BOT_USER_ID, "bot_id": st.BOT_ID,
        "is_enterprise_install": False,
    }  # fmt: skip
    if args.token == world.credentials.app_token:
        return {"app_name": world.manifest.name, "app_id": st.APP_ID}
    return body


def _with_email(world: World) -> bool:
    return "users:read.email" in world.manifest.bot_scopes


def info(world: World, args: Args) -> Json:
    """users.info."""
    return {"user": person(world, args.text("user")).wire(with_email=_with_email(world))}


def list_(world: World, args: Args) -> Json:
    """users.list."""
    part, cursor = page(list(world.state.users.values()), args, 200)
    return {
        "members": [u.wire(with_email=_with_email(world)) for u in part],
        "cache_ts": int(world.clock.now()), "response_metadata": {"next_cursor": cursor},
    }  # fmt: skip


def lookup_by_email(world: World, args: Args) -> Json:
    """users.lookupByEmail."""
    wanted = args.text("email").lower()
    for user in world.state.users.values():
        if user.email.lower() == wanted and not user.is_bot:
            return {"user": user.wire(with_email=True)}
    raise ApiError("users_not_found")


def presence(world: World, args: Args) -> Json:
    """users.getPresence: everyone is there."""
    person(world, args.text("user"))
    return {"presence": "active", "online": True}


def _group(g: st.Usergroup) -> Json:
    return {
        "id": g.id, "team_id": st.TEAM_ID, "is_usergroup": True, "name": g.name,
        "description": "", "handle": g.handle, "is_external": False, "date_create": 1700000000,
        "date_update": 1700000000, "date_delete": 0, "auto_type": None, "created_by": "USLACKBOT",
        "updated_by": "USLACKBOT", "deleted_by": None, "prefs": {"channels": [], "groups": []},
        "user_count": len(g.users), "users": g.users,
    }  # fmt: skip


def groups(world: World, args: Args) -> Json:
    """usergroups.list."""
    listed = [_group(g) for g in world.state.usergroups.values()]
    if not args.flag("include_users"):
        listed = [{k: v for k, v in g.items() if k != "users"} for g in listed]
    return {"usergroups": listed}


def _find_group(world: World, args: Args) -> st.Usergroup:
    group = world.state.usergroups.get(args.text("usergroup"))
    if group is None:
        raise ApiError("no_such_subteam")
    return group


def group_users(world: World, args: Args) -> Json:
    """usergroups.users.list."""
    return {"users": _find_group(world, args).users}


def set_group_users(world: World, args: Args) -> Json:
    """usergroups.users.update: the whole membership at once."""
    group = _find_group(world, args)
    users = args.names("users")
    if not users:
        raise ApiError("no_users_provided")
    group.users = [person(world, u).id for u in users]
    world.changed("usergroups")
    return {"usergroup": _group(group)}


def team_info(world: World, args: Args) -> Json:
    """team.info."""
    del args
    return {
        "team": {
            "id": st.TEAM_ID, "name": "Local workspace", "domain": "local", "url": world.base_url,
            "email_domain": "", "icon": {"image_default": True},
        }
    }  # fmt: skip


def bot_info(world: World, args: Args) -> Json:
    """bots.info."""
    if args.text("bot", st.BOT_ID) != st.BOT_ID:
        raise ApiError("bot_not_found")
    return {"bot": wire.bot(world)}
