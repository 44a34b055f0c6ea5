"""Interactive elements: where they are, what they hold, what using one tells the app."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from playground.slack.errors import CannotDo

Json = dict[str, Any]

# Elements without a value of their own: they never appear in `state.values`.
STATELESS = ("button", "overflow", "workflow_button", "image", "feedback_buttons", "icon_button")
_CHOSEN = {
    "users_select": "selected_user", "conversations_select": "selected_conversation",
    "channels_select": "selected_channel", "datepicker": "selected_date",
    "timepicker": "selected_time", "datetimepicker": "selected_date_time",
}  # fmt: skip
_MANY = {
    "multi_users_select": "selected_users", "multi_channels_select": "selected_channels",
    "multi_conversations_select": "selected_conversations",
}  # fmt: skip
_ONE_OPTION = ("static_select", "external_select", "radio_buttons", "overflow")
_MANY_OPTIONS = ("multi_static_select", "multi_external_select", "checkboxes")


def walk(blocks: list[Json]) -> Iterator[tuple[Json, Json]]:
    """Every interactive element with the block it belongs to, top to bottom."""
    for block in blocks:
        found: list[Any] = []
        if block.get("type") in ("actions", "context_actions"):
            found = block.get("elements") or []
        elif block.get("type") == "card":
            found = block.get("actions") or []
        elif block.get("type") == "input":
            found = [block.get("element")]
        elif isinstance(block.get("accessory"), dict):
            found = [block["accessory"]]
        for element in found:
            if isinstance(element, dict) and element.get("action_id"):
                yield block, element
        for name in ("child_blocks", "elements"):
            children = block.get(name)
            if block.get("type") in ("container", "carousel") and isinstance(children, list):
                yield from walk(children)


def all_blocks(raw: Json) -> list[Json]:
    """Blocks of a message (its attachments included) or of a view."""
    found = list(raw.get("blocks") or [])
    for attachment in raw.get("attachments") or []:
        found += attachment.get("blocks") or []
    return found


def find(blocks: list[Json], block_id: str, action_id: str) -> Json:
    """The element with these ids; CannotDo when it is not rendered."""
    for block, element in walk(blocks):
        if element["action_id"] == action_id and block.get("block_id") == block_id:
            return element
    raise CannotDo(f"no element {action_id!r} in block {block_id!r} is on this message or view")


def options(element: Json) -> list[Json]:
    """All options, those inside groups included."""
    found = list(element.get("options") or [])
    for group in element.get("option_groups") or []:
        found += group.get("options") or []
    return found


def initial_values(blocks: list[Json]) -> dict[str, Json]:
    """`state.values` before anybody touched anything."""
    values: dict[str, Json] = {}
    for block, element in walk(blocks):
        if element["type"] in STATELESS:
            continue
        values.setdefault(block["block_id"], {})[element["action_id"]] = _initial(element)
    return values


def _initial(element: Json) -> Json:
    kind = element["type"]
    if kind in _ONE_OPTION:
        return {"type": kind, "selected_option": element.get("initial_option")}
    if kind in _MANY_OPTIONS:
        return {"type": kind, "selected_options": element.get("initial_options") or []}
    if kind in _CHOSEN:
        name = _CHOSEN[kind]
        start = element.get(name.replace("selected", "initial"))
        return {"type": kind, name: start}
    if kind in _MANY:
        name = _MANY[kind]
        return {"type": kind, name: element.get(name.replace("selected", "initial")) or []}
    if kind == "file_input":
        return {"type": kind, "files": []}
    if kind == "rich_text_input":
        return {"type": kind, "rich_text_value": element.get("initial_value")}
    return {"type": kind, "value": element.get("initial_value")}


def chosen(element: Json, value: Any, known: list[Json] | None = None) -> Json:
    """The state of an element after a person picked or typed `value`.

    `value` is an option value (or a list of them), an id, a date, or a text. `known` are the
    options of an external select. CannotDo when the element does not offer it.
    """
    kind = element["type"]
    if kind in _ONE_OPTION or kind in _MANY_OPTIONS:
        offered = known if known is not None else options(element)
        wanted = value if isinstance(value, list) else [] if value is None else [value]
        picked = [o for v in wanted for o in offered if o.get("value") == v]
        if len(picked) != len(wanted):
            raise CannotDo(f"{wanted} is not among the options {[o.get('value') for o in offered]}")
        if kind in _ONE_OPTION:
            return {"type": kind, "selected_option": picked[0] if picked else None}
        return {"type": kind, "selected_options": picked}
    if kind in _CHOSEN:
        return {"type": kind, _CHOSEN[kind]: value}
    if kind in _MANY:
        return {"type": kind, _MANY[kind]: value if isinstance(value, list) else [value]}
    if kind == "rich_text_input":
        return {"type": kind, "rich_text_value": _rich(str(value))}
    _check_text(element, value)
    return {"type": kind, "value": None if value in (None, "") else str(value)}


def _rich(text: str) -> Json:
    part = {"type": "rich_text_section", "elements": [{"type": "text", "text": text}]}
    return {"type": "rich_text", "elements": [part]}


def _check_text(element: Json, value: Any) -> None:
    longest = element.get("max_length") or 3000
    if value and len(str(value)) > longest:
        raise CannotDo(f"the field takes at most {longest} characters")


def action(block_id: str, element: Json, state: Json | None) -> Json:
    """The `actions[0]` entry for using an element."""
    body: Json = {"action_id": element["action_id"], "block_id": block_id, "type": element["type"]}
    if element["type"] in ("button", "workflow_button"):
        return body | {k: element[k] for k in ("text", "value", "style", "url") if k in element}
    if "placeholder" in element:
        body["placeholder"] = element["placeholder"]
    return body | (state or {})


def missing_inputs(blocks: list[Json], values: dict[str, Json]) -> dict[str, str]:
    """Block id → complaint for every required input that is empty or too short."""
    complaints: dict[str, str] = {}
    for block in blocks:
        if block.get("type") != "input":
            continue
        element = block["element"]
        state = values.get(block["block_id"], {}).get(element.get("action_id"), {})
        held = next((v for k, v in state.items() if k != "type"), None)
        if not held and not block.get("optional"):
            complaints[block["block_id"]] = "Please complete this required field."
        elif held and isinstance(held, str) and len(held) < (element.get("min_length") or 0):
            complaints[block["block_id"]] = f"Enter at least {element['min_length']} characters."
    return complaints
