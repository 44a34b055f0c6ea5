"""views.*: modals and the Home tab."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from playground.slack import blocks as bk
from playground.slack import state as st
from playground.slack import wire
from playground.slack.checking import Flaw
from playground.slack.errors import ApiError, bad_arguments
from playground.slack.inputs import initial_values
from playground.slack.posting import refuse_flaws
from playground.slack.web_api.args import Args, person

if TYPE_CHECKING:
    from playground.slack.world import World

Json = dict[str, Any]
STACK = 3
TRIGGER_LIFE_S = 3.0


def spend_trigger(world: World, key: str) -> st.Trigger:
    """Use a trigger up; three seconds, once."""
    if key in world.state.used_triggers:
        raise ApiError("exchanged_trigger_id")
    trigger = world.state.triggers.pop(key, None)
    if trigger is None:
        raise ApiError("invalid_trigger_id")
    if world.clock.steady() - trigger.born_steady > TRIGGER_LIFE_S:
        world.state.triggers[key] = trigger
        raise ApiError("expired_trigger_id")
    world.state.used_triggers.add(key)
    return trigger


def _read(world: World, raw: Any, kind: str) -> Json:
    if not isinstance(raw, dict):
        raise bad_arguments("view must be an object")
    if raw.get("type") != kind:
        raise bad_arguments(f"a view of type {kind} is expected here [json-pointer:/view/type]")
    flaws = bk.check_view(raw)
    refuse_flaws(flaws, "invalid_blocks" if _only_blocks(flaws) else "invalid_arguments")
    filled = copy.deepcopy(raw)
    filled["blocks"] = world.fill_blocks(raw["blocks"])
    return filled


def _only_blocks(flaws: list[Flaw]) -> bool:
    return all(f.pointer.startswith("/blocks") for f in flaws)


def _new_hash(world: World) -> str:
    return f"{int(world.clock.now())}.{world.new_id('h')[-8:]}"


def _unique_external(world: World, raw: Json, own: st.View | None = None) -> None:
    key = raw.get("external_id")
    if key and world.state.view(None, key) not in (None, own):
        raise ApiError("duplicate_external_id")


def make(world: World, user: str, raw: Json, below: st.View | None = None) -> st.View:
    """A new modal on top of `below`."""
    key = world.new_id("V")
    view = st.View(
        id=key, user=user, raw=raw, hash=_new_hash(world), root=below.root if below else key,
        previous=below.id if below else None,
    )  # fmt: skip
    view.values = initial_values(raw["blocks"])
    return view


def open_(world: World, args: Args) -> Json:
    """views.open."""
    raw = _read(world, args.json("view"), "modal")
    _unique_external(world, raw)
    trigger = spend_trigger(world, args.text("trigger_id"))
    view = make(world, trigger.user, raw)
    world.state.modals[trigger.user] = [view]
    world.changed("view", user=trigger.user)
    return {"view": wire.view(view)}


def push(world: World, args: Args) -> Json:
    """views.push: only from inside a modal, at most three deep."""
    raw = _read(world, args.json("view"), "modal")
    _unique_external(world, raw)
    trigger = spend_trigger(world, args.text("trigger_id"))
    stack = world.state.modals.get(trigger.user, [])
    if not stack or trigger.in_view is None:
        raise ApiError("invalid_trigger_id")
    if len(stack) >= STACK:
        raise ApiError("push_limit_reached")
    view = make(world, trigger.user, raw, stack[-1])
    stack.append(view)
    world.changed("view", user=trigger.user)
    return {"view": wire.view(view)}


def update(world: World, args: Args) -> Json:
    """views.update."""
    view = world.state.view(args.maybe("view_id"), args.maybe("external_id"))
    if view is None:
        raise ApiError("not_found")
    raw = _read(world, args.json("view"), view.raw["type"])
    _same_hash(view, args)
    _unique_external(world, raw, view)
    replace(world, view, raw)
    return {"view": wire.view(view)}


def _same_hash(view: st.View, args: Args) -> None:
    if args.has("hash") and args.text("hash") != view.hash:
        raise ApiError("hash_conflict")


def replace(world: World, view: st.View, raw: Json) -> None:
    """New content; inputs that keep block and action id keep what was typed."""
    kept = initial_values(raw["blocks"])
    for block, actions in view.values.items():
        for action, value in actions.items():
            if action in kept.get(block, {}):
                kept[block][action] = value
    view.raw, view.hash, view.values, view.errors = raw, _new_hash(world), kept, {}
    world.changed("view", user=view.user)


def apply_answer(world: World, view: st.View, answer: Json) -> None:
    """What the acknowledgement of a submission asks for; without a word the modal closes."""
    stack = world.state.modals.get(view.user, [])
    action = answer.get("response_action")
    if action == "errors":
        view.errors = {str(k): str(v) for k, v in (answer.get("errors") or {}).items()}
        unknown = set(view.errors) - {b.get("block_id") for b in view.raw["blocks"]}
        if unknown or not view.errors:
            world.fail(f"view errors name no input block: {sorted(unknown)}")
    elif action == "update":
        replace(world, view, _read(world, answer.get("view"), "modal"))
    elif action == "push":
        if len(stack) >= STACK:
            world.fail("response_action push beyond three views")
            return
        stack.append(make(world, view.user, _read(world, answer.get("view"), "modal"), view))
    elif action == "clear":
        world.state.modals.pop(view.user, None)
    elif action is None:
        if view in stack:
            stack.remove(view)
    else:
        world.fail(f"unknown response_action {action!r}")
    world.changed("view", user=view.user)


def publish(world: World, args: Args) -> Json:
    """views.publish: the Home tab of one person."""
    if not world.manifest.has_home:
        raise ApiError("not_enabled")
    user = person(world, args.text("user_id"))
    raw = _read(world, args.json("view"), "home")
    view = world.state.homes.get(user.id)
    if view is None:
        view = make(world, user.id, raw)
        world.state.homes[user.id] = view
    else:
        _same_hash(view, args)
        replace(world, view, raw)
    world.changed("home", user=user.id)
    return {"view": wire.view(view)}
