"""What a person in the workspace can do, and nothing they could not.

Each act takes the world, the person's id and a JSON body, checks it against what that person's
screen shows, and returns the envelope that told the app about it (None when the app is not told).
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from playground.slack import events, inputs, posting, wire
from playground.slack import state as st
from playground.slack.delivery import Envelope
from playground.slack.errors import ApiError, CannotDo
from playground.slack.web_api import marks, views
from playground.slack.web_api.conversations import join_channel

if TYPE_CHECKING:
    from playground.slack.world import World

Json = dict[str, Any]
Act = Callable[["World", str, Json], Envelope | None]


def _channel(world: World, user: str, key: Any) -> st.Channel:
    channel = world.state.channels.get(str(key)) or world.state.channel_named(str(key))
    if channel is None or user not in channel.members:
        raise CannotDo(f"{world.user(user).name} is not in a channel {key!r}")
    return channel


def visible(world: World, user: str, channel_key: Any, ts: Any) -> st.Message:
    """A message on this person's screen."""
    channel = _channel(world, user, channel_key)
    for m in channel.messages:
        if m.ts == ts and m.visible_to in (None, user):
            return m
    raise CannotDo(f"{world.user(user).name} sees no message {ts} in {channel.name}")


def typed(world: World, text: str) -> str:
    """What Slack makes of typed text: entities escaped, @name and #channel turned into ids."""
    safe = html.escape(text, quote=False)

    def person(found: re.Match[str]) -> str:
        user = world.state.user_named(found[1])
        return f"<@{user.id}>" if user else found[0]

    def channel(found: re.Match[str]) -> str:
        known = world.state.channel_named(found[1])
        return f"<#{known.id}|{known.name}>" if known else found[0]

    safe = re.sub(r"(?<![\w<])@([a-z0-9][a-z0-9._-]*[a-z0-9])", person, safe)
    return re.sub(r"(?<![\w<&])#([a-z0-9_-]+)", channel, safe)


def send(world: World, user: str, body: Json) -> Envelope | None:
    """Type a message or a slash command: {channel, text, thread_ts?}."""
    channel = _channel(world, user, body.get("channel"))
    text = str(body.get("text") or "").strip()
    if not text:
        raise CannotDo("an empty message cannot be sent")
    if channel.archived:
        raise CannotDo(f"#{channel.name} is archived")
    thread_ts = body.get("thread_ts")
    if text.startswith("/") and re.match(r"/[^\s/]+(\s|$)", text):
        return _command(world, user, channel, text, thread_ts)
    if thread_ts is not None:
        root = visible(world, user, channel.id, thread_ts)
        thread_ts = root.thread_ts or root.ts
    message = st.Message(
        ts=world.new_ts(), channel=channel.id, user=user, text=typed(world, text),
        thread_ts=thread_ts,
    )  # fmt: skip
    channel.last_read[user] = message.ts
    channel.messages.append(message)
    world.changed("message", channel=channel.id, ts=message.ts)
    return events.message_posted(world, message)


def _command(world: World, user: str, channel: st.Channel, line: str, thread_ts: Any) -> Envelope:
    name, _, text = line.partition(" ")
    if thread_ts is not None:
        raise CannotDo(f"{name} is not supported in threads. Sorry!")
    declared = world.manifest.commands.get(name)
    if declared is None:
        posting.by_slackbot(world, channel, user, f"{name} is not a valid command. "
                            "The app's manifest does not declare it.")  # fmt: skip
        known = ", ".join(world.manifest.commands) or "none"
        raise CannotDo(f"{name} is not a valid command; the manifest declares {known}")
    text = text.strip()
    if declared.escapes:
        text = typed(world, text)
    holder: list[str] = []

    def answered(answer: Json) -> None:
        try:
            message = posting.respond(world, user, channel, answer)
        except ApiError as error:
            world.fail(f"{name}: the acknowledgement is not a valid message: {error.body()}")
            return
        entry = world.state.responses.get(holder[0])
        if message is not None and entry is not None:
            entry.message_ts = message.ts

    envelope = events.slash_command(world, user, channel, name, text, answered)
    holder.append(envelope.payload["response_url"].partition("/response/")[2])
    world.delivery.background(_tell_failure(world, channel, user, name, envelope))
    return envelope


async def _tell_failure(world: World, channel: st.Channel, user: str, name: str, envelope: Envelope) -> None:
    outcome = await envelope.first
    if outcome != "acked":
        error = "operation_timeout" if outcome == "timeout" else "dispatch_failed"
        posting.by_slackbot(world, channel, user, f'{name} failed with the error "{error}"')


def _place(world: World, user: str, body: Json) -> tuple[st.Message | st.View, list[Json], dict[str, Json]]:
    """The message or view an act is about, its blocks, and its inputs' values for this person."""
    if body.get("view_id"):
        view = world.state.view(str(body["view_id"]))
        if view is None or view.user != user:
            raise CannotDo("this view is not open on that screen")
        return view, inputs.all_blocks(view.raw), view.values
    message = visible(world, user, body.get("channel"), body.get("ts"))
    blocks = inputs.all_blocks(wire.message(world, message))
    key = (user, message.channel, message.ts)
    values = world.state.inputs.setdefault(key, {})
    fresh = inputs.initial_values(blocks)
    for block_id, actions in fresh.items():
        held = values.get(block_id, {})
        values[block_id] = {a: held.get(a, v) for a, v in actions.items()}
    for block_id in set(values) - set(fresh):
        del values[block_id]
    return message, blocks, values


def use(world: World, user: str, body: Json) -> Envelope | None:
    """Click a button, or choose in a menu or input.

    {channel, ts | view_id, block_id, action_id, value?, confirmed?}. An element with a confirm
    dialog needs `confirmed`: true goes on, false is the dialog's deny button, absent is refused.
    """
    where, blocks, values = _place(world, user, body)
    block_id, action_id = str(body.get("block_id")), str(body.get("action_id"))
    element = inputs.find(blocks, block_id, action_id)
    if isinstance(element.get("confirm"), dict):
        if body.get("confirmed") is None:
            raise CannotDo("a confirm dialog is open", confirm=element["confirm"])
        if body["confirmed"] is False:
            return None
    state = None
    if element["type"] not in ("button", "workflow_button"):
        state = inputs.chosen(element, body.get("value"), body.get("options"))
        if element["type"] not in inputs.STATELESS:
            values.setdefault(block_id, {})[action_id] = state
    world.changed("input", user=user)
    if not _dispatches(blocks, block_id, element, body):
        return None
    action = inputs.action(block_id, element, state)
    return events.block_actions(world, user, action, where, values)


def _dispatches(blocks: list[Json], block_id: str, element: Json, body: Json) -> bool:
    block = next(b for b, _ in inputs.walk(blocks) if b.get("block_id") == block_id)
    if block["type"] == "input":
        return bool(block.get("dispatch_action"))
    # Typing alone tells the app nothing; Enter does.
    return not element["type"].endswith("_input") or bool(body.get("enter"))


def suggest(world: World, user: str, body: Json) -> Envelope | None:
    """Ask the app for the options of an external select: {…, query}."""
    where, blocks, _ = _place(world, user, body)
    block_id = str(body.get("block_id"))
    element = inputs.find(blocks, block_id, str(body.get("action_id")))
    return events.block_suggestion(
        world, user, element | {"block_id": block_id}, str(body.get("query") or ""), where,
        lambda _answer: None,
    )  # fmt: skip


def submit(world: World, user: str, body: Json) -> Envelope | None:
    """Press submit in the top modal: {view_id}."""
    view = _top(world, user, body)
    view.errors = inputs.missing_inputs(view.raw["blocks"], view.values)
    world.changed("view", user=user)
    if view.errors:
        raise CannotDo("the form has empty or wrong fields", errors=view.errors)
    if not any(view.raw.get(k) for k in ("submit",)):
        raise CannotDo("this modal has no submit button")

    def answered(answer: Json) -> None:
        try:
            views.apply_answer(world, view, answer)
        except ApiError as error:
            world.fail(f"the answer to a submission is not valid: {error.body()}")

    return events.view_submission(world, user, view, answered)


def _top(world: World, user: str, body: Json) -> st.View:
    stack = world.state.modals.get(user, [])
    if not stack or body.get("view_id") not in (None, stack[-1].id):
        raise CannotDo("no such modal is on top of that screen")
    return stack[-1]


def close(world: World, user: str, body: Json) -> Envelope | None:
    """Close the top modal, or all of them with {all: true}."""
    view = _top(world, user, body)
    stack = world.state.modals[user]
    is_cleared = bool(body.get("all")) or bool(view.raw.get("clear_on_close"))
    gone = list(reversed(stack)) if is_cleared else [view]
    for each in gone:
        stack.remove(each)
        events.view_closed(world, user, each, is_cleared=is_cleared)
    world.changed("view", user=user)
    return None


def open_home(world: World, user: str, body: Json) -> Envelope | None:
    """Open the app's Home tab, or its messages with {tab: "messages"}."""
    tab = str(body.get("tab") or "home")
    if tab == "home" and not world.manifest.has_home:
        raise CannotDo("the manifest does not switch the Home tab on")
    if tab == "home":
        world.state.home_open.add(user)
    else:
        world.state.home_open.discard(user)
    return events.home_opened(world, user, tab)


def read(world: World, user: str, body: Json) -> Envelope | None:
    """Mark a channel as read."""
    channel = _channel(world, user, body.get("channel"))
    lasting = [m for m in channel.messages if m.visible_to in (None, user)]
    if lasting and channel.last_read.get(user) != lasting[-1].ts:
        channel.last_read[user] = lasting[-1].ts
        world.changed("read", user=user)
    return None


def react(world: World, user: str, body: Json) -> Envelope | None:
    """Add or take away a reaction: {channel, ts, name}."""
    message = visible(world, user, body.get("channel"), body.get("ts"))
    name = str(body.get("name") or "").strip(":")
    if message.visible_to or not name:
        raise CannotDo("only lasting messages take reactions, and a reaction needs a name")
    has = user in message.reactions.get(name, [])
    (marks.unreact if has else marks.react)(world, user, name, message)
    return None


def shortcut(world: World, user: str, body: Json) -> Envelope | None:
    """Use a shortcut: {callback_id, channel?, ts?}; with a message it is a message shortcut."""
    message = None
    if body.get("ts"):
        message = visible(world, user, body.get("channel"), body["ts"])
        if message.visible_to:
            raise CannotDo("shortcuts are not offered on messages only you can see")
    kind = "message" if message else "global"
    declared = [s for s in world.manifest.shortcuts if s.kind == kind]
    if body.get("callback_id") not in [s.callback_id for s in declared]:
        names = ", ".join(s.callback_id for s in declared) or "none"
        raise CannotDo(f"no {kind} shortcut {body.get('callback_id')!r}; declared are {names}")
    return events.shortcut(world, user, str(body["callback_id"]), message)


def join(world: World, user: str, body: Json) -> Envelope | None:
    """Join a public channel."""
    key = str(body.get("channel"))
    channel = world.state.channels.get(key) or world.state.channel_named(key)
    if channel is None or channel.kind != "public":
        raise CannotDo(f"there is no public channel {key!r} to join")
    if user not in channel.members:
        join_channel(world, channel, user)
    return None


def leave(world: World, user: str, body: Json) -> Envelope | None:
    """Leave a channel."""
    _channel(world, user, body.get("channel")).members.remove(user)
    world.changed("channels")
    return None


def invite(world: World, user: str, body: Json) -> Envelope | None:
    """Bring somebody (or the app) into a channel: {channel, who}."""
    channel = _channel(world, user, body.get("channel"))
    guest = world.state.user_named(str(body.get("who")))
    if guest is None:
        raise CannotDo(f"there is nobody called {body.get('who')!r}")
    if guest.id not in channel.members:
        join_channel(world, channel, guest.id, inviter=user)
    return None


def edit(world: World, user: str, body: Json) -> Envelope | None:
    """Edit one's own message: {channel, ts, text}."""
    message = visible(world, user, body.get("channel"), body.get("ts"))
    if message.user != user:
        raise CannotDo("only the author can edit a message")
    posting.change(world, message, {"text": typed(world, str(body.get("text") or ""))}, user)
    return None


def delete(world: World, user: str, body: Json) -> Envelope | None:
    """Delete one's own message, or dismiss an ephemeral one: {channel, ts}."""
    message = visible(world, user, body.get("channel"), body.get("ts"))
    if message.visible_to != user and message.user != user:
        raise CannotDo("only the author can delete a message")
    posting.remove(world, message)
    return None


ACTS: dict[str, Act] = {
    "send": send, "use": use, "suggest": suggest, "submit": submit, "close": close,
    "open_home": open_home, "read": read, "react": react, "shortcut": shortcut, "join": join,
    "leave": leave, "invite": invite, "edit": edit, "delete": delete,
}  # fmt: skip
