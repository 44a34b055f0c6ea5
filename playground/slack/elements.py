"""Rules for what sits inside blocks: buttons, menus, inputs, dialogs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playground.slack.checking import Check, text_object

__all__ = ["ACCESSORIES", "IN_ACTIONS", "IN_INPUT", "element", "image", "text_object"]

SELECTS = tuple(
    f"{many}{kind}_select"
    for many in ("", "multi_")
    for kind in ("static", "users", "conversations", "channels", "external")
)
_PICKERS = ("datepicker", "timepicker", "datetimepicker")
_CHOICES = ("radio_buttons", "checkboxes")
_TYPED = ("plain_text_input", "email_text_input", "url_text_input", "number_input")
ACCESSORIES = ("button", "image", "overflow", "workflow_button", *SELECTS, *_PICKERS, *_CHOICES)
IN_ACTIONS = (
    "button", "overflow", "workflow_button", "rich_text_input", *SELECTS, *_PICKERS, *_CHOICES, *_TYPED
)  # fmt: skip
IN_INPUT = ("rich_text_input", "file_input", *SELECTS, *_PICKERS, *_CHOICES, *_TYPED)


def element(c: Check, allowed: tuple[str, ...]) -> None:
    """Check one interactive element where only `allowed` types may stand."""
    if not isinstance(c.value, dict):
        c.flaw("invalid_type", "an element is an object")
        return
    if c.kind not in allowed:
        c.flaw("invalid_type", f"unsupported type: {c.kind or '(none)'}", field="type",
               type="enum", expected=list(allowed), got=c.kind)  # fmt: skip
        return
    c.string("action_id", 255, required=False)
    c.string("accessibility_label", 75, required=False)
    if c.get("confirm") is not None:
        _confirm(c.child("confirm"))
    _RULES.get(c.kind, _nothing)(c)


def _nothing(c: Check) -> None:
    del c


def _confirm(c: Check) -> None:
    if not isinstance(c.value, dict):
        c.flaw("invalid_type", "confirm is an object")
        return
    c.text("title", 100, plain=True)
    c.text("text", 300)
    c.text("confirm", 30, plain=True)
    c.text("deny", 30, plain=True)
    c.one_of("style", ("primary", "danger"), required=False)


def _button(c: Check) -> None:
    c.text("text", 75, plain=True)
    c.string("value", 2000, required=False, minimum=0)
    c.string("url", 3000, required=False)
    c.one_of("style", ("primary", "danger"), required=False)


def _options(c: Check, limit: int, *, option_url: bool = False) -> None:
    options = c.items("options", limit)
    for item in options:
        # Only radio buttons and checkboxes render mrkdwn in an option.
        _option(item, option_url=option_url, plain=c.kind not in _CHOICES)
    _repeats(c, options)
    initial = c.get("initial_option")
    if isinstance(initial, dict) and isinstance(c.get("options"), list):
        values = [o.get("value") for o in options]
        if initial.get("value") not in values:
            c.flaw("failed_constraint", "initial_option is not one of the options",
                   field="initial_option")  # fmt: skip


def _repeats(c: Check, options: list[Check]) -> None:
    values = [v for o in options if isinstance(v := o.get("value"), str)]
    if len(set(values)) != len(values) and c.kind in ("radio_buttons", "checkboxes", "overflow"):
        c.flaw("failed_constraint", "two options have the same value", field="options")


def _option(c: Check, *, option_url: bool, plain: bool) -> None:
    if not isinstance(c.value, dict):
        c.flaw("invalid_type", "an option is an object")
        return
    c.text("text", 75, plain=plain)
    c.string("value", 150)
    if c.get("description") is not None:
        c.text("description", 75, plain=plain)
    if c.get("url") is not None:
        if option_url:
            c.string("url", 3000)
        else:
            c.flaw("invalid_type", "url is for overflow options only", field="url")


def _overflow(c: Check) -> None:
    _options(c, 5, option_url=True)


def _choices(c: Check) -> None:
    _options(c, 10)


def _placeholder(c: Check) -> None:
    c.text("placeholder", 150, plain=True, required=False)


def _static_select(c: Check) -> None:
    _placeholder(c)
    has_options, has_groups = c.get("options") is not None, c.get("option_groups") is not None
    if has_options == has_groups:
        c.flaw("failed_constraint", "give either options or option_groups", field="options")
        return
    if has_options:
        _options(c, 100)
        return
    for group in c.items("option_groups", 100):
        group.text("label", 75, plain=True)
        _options(group, 100)


def _multi(inner: Callable[[Check], None]) -> Callable[[Check], None]:
    def rule(c: Check) -> None:
        inner(c)
        c.whole("max_selected_items", 1, 100)

    return rule


def _external_select(c: Check) -> None:
    _placeholder(c)
    c.whole("min_query_length", 0, 75)


def _typed(c: Check) -> None:
    _placeholder(c)
    c.boolean("multiline")
    c.whole("min_length", 0, 3000)
    c.whole("max_length", 1, 3000)
    c.string("initial_value", 3000, required=False, minimum=0)
    low, high = c.get("min_length"), c.get("max_length")
    if isinstance(low, int) and isinstance(high, int) and low > high:
        c.flaw("failed_constraint", "min_length is above max_length", field="min_length")


def _number(c: Check) -> None:
    _placeholder(c)
    value: Any = c.get("is_decimal_allowed")
    if not isinstance(value, bool):
        c.flaw("missing_field", "number_input needs is_decimal_allowed", field="is_decimal_allowed")


def _file_input(c: Check) -> None:
    c.whole("max_files", 1, 10)


def _feedback(c: Check) -> None:
    for name in ("positive_button", "negative_button"):
        part = c.child(name)
        if not isinstance(part.value, dict):
            c.flaw("missing_field", f"missing required field: {name}", field=name)
            continue
        part.text("text", 75, plain=True)
        part.string("value", 2000)


def image(c: Check) -> None:
    """Check an image: alt text, and exactly one of `image_url` and `slack_file`."""
    c.string("alt_text", 2000)
    has_url, has_file = c.get("image_url") is not None, c.get("slack_file") is not None
    if has_url == has_file:
        c.flaw("failed_constraint", "give either image_url or slack_file", field="image_url")
        return
    if has_url:
        c.string("image_url", 3000)
        return
    file = c.child("slack_file")
    if not isinstance(file.value, dict) or bool(file.get("id")) == bool(file.get("url")):
        file.flaw("failed_constraint", "slack_file needs either id or url")


_RULES: dict[str, Callable[[Check], None]] = {
    "button": _button,
    "workflow_button": _button,
    "overflow": _overflow,
    "radio_buttons": _choices,
    "checkboxes": _choices,
    "static_select": _static_select,
    "multi_static_select": _multi(_static_select),
    "external_select": _external_select,
    "multi_external_select": _multi(_external_select),
    "plain_text_input": _typed,
    "email_text_input": _placeholder,
    "url_text_input": _placeholder,
    "number_input": _number,
    "file_input": _file_input,
    "feedback_buttons": _feedback,
    "image": image,
    **{k: _placeholder for k in SELECTS if "static" not in k and "external" not in k},
    **dict.fromkeys(_PICKERS, _placeholder),
}
