"""Events and interactions: what the app is told, in Slack's shapes.

Only events named in the manifest are sent. Interactions need `interactivity` switched on there.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from playground.slack import state as st
from playground.slack import wire
from playground.slack.delivery import Envelope
from playground.slack.errors import CannotDo

if TYPE_CHECKING:
    from playground.slack.world import World

Json = dict[str, Any]
OnAnswer = Callable[[Json], None]

_MESSAGE_EVENT = {"public": "message.channels", "private": "message.groups", "im": "message.im"}
_CHANNEL_TYPE = {"public": "channel", "private": "group", "im": "im"}
# Slack writes these instead of a name where the app may not know it.
_HIDDEN_NAME = {"private": "privategroup", "im": "directmessage"}


def emit(world: World, event: Json, *, subscription: str | None = None) -> Envelope | None:
    """Send one event when the manifest subscribes to it; None when it does not."""
    if (subscription or event["type"]) not in world.manifest.bot_events:
        return None
    payload = {
        "token": "local-verification", "team_id": st.TEAM_ID, "context_team_id": st.TEAM_ID,
        "context_enterprise_id": None, "api_app_id": st.APP_ID, "event": event,
        "type": "event_callback", "event_id": "Ev" + secrets.token_hex(5).upper(),
        "event_time": int(world.clock.now()), "is_ext_shared_channel": False,
        "event_context": "4-" + secrets.token_urlsafe(24),
        "authorizations": [
            {"enterprise_id": None, "team_id": st.TEAM_ID, "user_id": st.BOT_USER_ID,
             "is_bot": True, "is_enterprise_install": False}
        ],
    }  # fmt: skip
    return world.delivery.send("events_api", payload)


def message_posted(world: World, m: st.Message) -> Envelope | None:
    """Tell the app about a new lasting message, if it is in that channel."""
    channel = world.state.channels[m.channel]
    if st.BOT_USER_ID not in channel.members:
        return None
    event = wire.message(world, m) | {
        "channel": m.channel, "channel_type": _CHANNEL_TYPE[channel.kind], "event_ts": m.ts,
    }  # fmt: skip
    sent = emit(world, event, subscription=_MESSAGE_EVENT[channel.kind])
    if not m.by_app and channel.kind != "im" and f"<@{st.BOT_USER_ID}>" in m.text:
        # A mention is an event of its own, sent besides the message event.
        mention = {k: v for k, v in event.items() if k not in ("channel_type", "subtype")}
        return emit(world, mention | {"type": "app_mention"})
    return sent


def message_changed(world: World, m: st.Message, before: Json) -> None:
    """Tell the app that a message was edited."""
    channel = world.state.channels[m.channel]
    if st.BOT_USER_ID in channel.members:
        ts = world.new_ts()
        event = {
            "type": "message", "subtype": "message_changed", "channel": m.channel, "ts": ts,
            "event_ts": ts, "hidden": True, "message": wire.message(world, m),
            "previous_message": before, "channel_type": _CHANNEL_TYPE[channel.kind],
        }  # fmt: skip
        emit(world, event, subscription=_MESSAGE_EVENT[channel.kind])


def message_deleted(world: World, m: st.Message) -> None:
    """Tell the app that a message is gone."""
    channel = world.state.channels[m.channel]
    if st.BOT_USER_ID in channel.members:
        ts = world.new_ts()
        event = {
            "type": "message", "subtype": "message_deleted", "channel": m.channel, "ts": ts,
            "event_ts": ts, "hidden": True, "deleted_ts": m.ts,
            "previous_message": wire.message(world, m),
            "channel_type": _CHANNEL_TYPE[channel.kind],
        }  # fmt: skip
        emit(world, event, subscription=_MESSAGE_EVENT[channel.kind])


def reaction(world: World, kind: str, user: str, name: str, m: st.Message) -> None:
    """reaction_added or reaction_removed."""
    if st.BOT_USER_ID in world.state.channels[m.channel].members:
        emit(world, {
            "type": kind, "user": user, "reaction": name, "item_user": m.user,
            "item": {"type": "message", "channel": m.channel, "ts": m.ts},
            "event_ts": world.new_ts(),
        })  # fmt: skip


def member_joined(world: World, channel: st.Channel, user: str, inviter: str | None) -> None:
    """Somebody, perhaps the app itself, joined a channel."""
    event: Json = {
        "type": "member_joined_channel", "user": user, "channel": channel.id,
        "channel_type": "G" if channel.kind == "private" else "C", "team": st.TEAM_ID,
        "event_ts": world.new_ts(),
    }  # fmt: skip
    emit(world, event | ({"inviter": inviter} if inviter else {}))


def home_opened(world: World, user: str, tab: str) -> Envelope | None:
    """A person opened the app's Home or Messages tab."""
    event: Json = {
        "type": "app_home_opened", "user": user, "channel": world.dm(user).id, "tab": tab,
        "event_ts": world.new_ts(),
    }  # fmt: skip
    if tab == "home" and user in world.state.homes:
        event["view"] = wire.view(world.state.homes[user])
    return emit(world, event)


# -- interactions --------------------------------------------------------------


def shown_name(channel: st.Channel) -> str:
    """The channel name an interaction carries."""
    return _HIDDEN_NAME.get(channel.kind, channel.name)


def _who(world: World, user: str) -> Json:
    u = world.user(user)
    return {"id": u.id, "username": u.name, "name": u.name, "team_id": st.TEAM_ID}


def _base(world: World, kind: str, user: str, in_view: str | None = None) -> Json:
    if not world.manifest.is_interactive:
        raise CannotDo("the manifest does not switch interactivity on; set settings.interactivity")
    return {
        "type": kind, "user": _who(world, user), "api_app_id": st.APP_ID,
        "token": "local-verification", "team": {"id": st.TEAM_ID, "domain": "local"},
        "enterprise": None, "is_enterprise_install": False,
        "trigger_id": world.new_trigger(user, in_view=in_view),
    }  # fmt: skip


def slash_command(
    world: World, user: str, channel: st.Channel, command: str, text: str, on_answer: OnAnswer
) -> Envelope:
    """A person typed a slash command."""
    payload = {
        "token": "local-verification", "team_id": st.TEAM_ID, "team_domain": "local",
        "channel_id": channel.id, "channel_name": shown_name(channel), "user_id": user,
        "user_name": world.user(user).name, "command": command, "text": text,
        "api_app_id": st.APP_ID, "is_enterprise_install": "false",
        "response_url": world.new_response_url(user, channel.id),
        "trigger_id": world.new_trigger(user),
    }  # fmt: skip
    return world.delivery.send("slash_commands", payload, accepts_response=True, on_answer=on_answer)


def block_actions(world: World, user: str, action: Json, where: st.Message | st.View, values: Json) -> Envelope:
    """A person used an element of a message or view; `values` is the state of all inputs."""
    action = action | {"action_ts": world.new_ts()}
    if isinstance(where, st.View):
        payload = _base(world, "block_actions", user, in_view=where.id)
        payload |= {
            "container": {"type": "view", "view_id": where.id}, "view": wire.view(where),
            "actions": [action],
        }  # fmt: skip
        return world.delivery.send("interactive", payload, accepts_response=True)
    channel = world.state.channels[where.channel]
    container: Json = {
        "type": "message", "message_ts": where.ts, "channel_id": channel.id,
        "is_ephemeral": where.visible_to is not None,
    }  # fmt: skip
    if where.thread_ts:
        container["thread_ts"] = where.thread_ts
    payload = _base(world, "block_actions", user) | {
        "container": container,
        "channel": {"id": channel.id, "name": shown_name(channel)},
        "state": {"values": values},
        "response_url": world.new_response_url(user, channel.id, where),
        "actions": [action],
    }
    if where.visible_to is None:
        payload["message"] = wire.message(world, where)
    return world.delivery.send("interactive", payload, accepts_response=True)


def view_submission(world: World, user: str, view: st.View, on_answer: OnAnswer) -> Envelope:
    """A person pressed a modal's submit button."""
    payload = _base(world, "view_submission", user, in_view=view.id)
    payload |= {"view": wire.view(view), "response_urls": []}
    return world.delivery.send("interactive", payload, accepts_response=True, on_answer=on_answer)


def view_closed(world: World, user: str, view: st.View, *, is_cleared: bool) -> None:
    """A person closed a modal that asked to be told."""
    if not view.raw.get("notify_on_close"):
        return
    payload = _base(world, "view_closed", user)
    del payload["trigger_id"]
    payload |= {"view": wire.view(view), "is_cleared": is_cleared}
    world.delivery.send("interactive", payload, accepts_response=True)


def shortcut(world: World, user: str, callback_id: str, m: st.Message | None) -> Envelope:
    """A global shortcut, or a message shortcut when `m` is given."""
    kind = "message_action" if m else "shortcut"
    payload = _base(world, kind, user)
    payload |= {"callback_id": callback_id, "action_ts": world.new_ts()}
    if m is not None:
        channel = world.state.channels[m.channel]
        payload |= {
            "channel": {"id": channel.id, "name": shown_name(channel)}, "message_ts": m.ts,
            "message": wire.message(world, m),
            "response_url": world.new_response_url(user, channel.id, m),
        }  # fmt: skip
    return world.delivery.send("interactive", payload, accepts_response=True)


def block_suggestion(
    world: World, user: str, element: Json, query: str, where: st.Message | st.View,
    on_answer: OnAnswer,
) -> Envelope:  # fmt: skip
    """A person types into an external select."""
    payload = _base(world, "block_suggestion", user)
    del payload["trigger_id"]
    payload |= {"action_id": element["action_id"], "block_id": element["block_id"], "value": query}
    if isinstance(where, st.View):
        payload |= {"container": {"type": "view", "view_id": where.id}, "view": wire.view(where)}
    else:
        channel = world.state.channels[where.channel]
        payload |= {
            "container": {"type": "message", "message_ts": where.ts, "channel_id": channel.id},
            "channel": {"id": channel.id, "name": shown_name(channel)},
            "message": wire.message(world, where),
        }
    return world.delivery.send("interactive", payload, accepts_response=True, on_answer=on_answer)
