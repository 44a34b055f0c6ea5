"""The block checker refuses exactly what is over a limit, agrees with two libraries, and says where."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import slackblocks as sb
from hypothesis import given
from hypothesis import strategies as some
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackObjectFormationError
from slack_sdk.models import blocks as sdk
from slack_sdk.models.views import View

from playground.slack import Workspace, channel_id
from playground.slack.blocks import RULES, check_blocks, check_message, check_view

Json = dict[str, Any]


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def mrkdwn(text: str) -> Json:
    return {"type": "mrkdwn", "text": text}


def option(n: int, **more: Any) -> Json:
    return {"text": plain(f"o{n}"), "value": f"v{n}", **more}


def button(**more: Any) -> Json:
    return {"type": "button", "text": plain("Go"), "action_id": "go", **more}


def actions(*elements: Json) -> Json:
    return {"type": "actions", "elements": list(elements)}


def confirm(**more: Any) -> Json:
    whole = {"title": plain("t"), "text": plain("x"), "confirm": plain("y"), "deny": plain("n")}
    return actions(button(confirm={**whole, **more}))


def buttons(n: int) -> list[Json]:
    return [button(action_id=f"a{i}") for i in range(n)]


def sb_options(n: int) -> list[sb.Option]:
    return [sb.Option(sb.PlainText(f"o{i}"), f"v{i}") for i in range(n)]


def sdk_options(n: int) -> list[sdk.Option]:
    return [sdk.Option(text=f"o{i}", value=f"v{i}") for i in range(n)]


def sb_view(**more: Any) -> sb.ModalView:
    return sb.ModalView(**{"title": "t", "blocks": [sb.DividerBlock()], **more})


def modal(**more: Any) -> Json:
    return {"type": "modal", "title": plain("t"), "blocks": [{"type": "divider"}], **more}


@dataclass(frozen=True)
class Case:
    """One limit: how to build something of a size in raw JSON and in the two libraries."""

    limit: int
    raw: Callable[[int], Json]
    at: str  # where the flaw must point
    slackblocks: Callable[[int], Any] | None = None
    slack_sdk: Callable[[int], Any] | None = None


SDK_BUTTON: Json = {"text": "Go", "action_id": "go"}
CASES = {
    "section text": Case(
        3000, lambda n: {"type": "section", "text": mrkdwn("x" * n)}, "/blocks/0/text/text",
        lambda n: sb.SectionBlock("x" * n), lambda n: sdk.SectionBlock(text="x" * n),
    ),
    "section fields": Case(
        10, lambda n: {"type": "section", "fields": [mrkdwn("x")] * n}, "/blocks/0/fields",
        lambda n: sb.SectionBlock(fields=["x"] * n), lambda n: sdk.SectionBlock(fields=["x"] * n),
    ),
    "section field text": Case(
        2000, lambda n: {"type": "section", "fields": [mrkdwn("x" * n)]}, "/blocks/0/fields/0/text",
        lambda n: sb.SectionBlock(fields=["x" * n]),
    ),
    "header": Case(
        150, lambda n: {"type": "header", "text": plain("x" * n)}, "/blocks/0/text/text",
        lambda n: sb.HeaderBlock("x" * n), lambda n: sdk.HeaderBlock(text="x" * n),
    ),
    "context elements": Case(
        10, lambda n: {"type": "context", "elements": [plain("x")] * n}, "/blocks/0/elements",
        lambda n: sb.ContextBlock([sb.Text("x")] * n),
        lambda n: sdk.ContextBlock(elements=[sdk.PlainTextObject(text="x")] * n),
    ),
    "actions elements": Case(
        25, lambda n: actions(*buttons(n)), "/blocks/0/elements",
        lambda n: sb.ActionsBlock([sb.Button("Go", f"a{i}") for i in range(n)]),
        lambda n: sdk.ActionsBlock(elements=[sdk.ButtonElement(**SDK_BUTTON)] * n),
    ),
    "button text": Case(
        75, lambda n: actions(button(text=plain("x" * n))), "/blocks/0/elements/0/text/text",
        lambda n: sb.Button("x" * n, "go"), lambda n: sdk.ButtonElement(text="x" * n, action_id="go"),
    ),
    "button value": Case(
        2000, lambda n: actions(button(value="x" * n)), "/blocks/0/elements/0/value",
        lambda n: sb.Button("Go", "go", value="x" * n), lambda n: sdk.ButtonElement(**SDK_BUTTON, value="x" * n),
    ),
    "button url": Case(
        3000, lambda n: actions(button(url="x" * n)), "/blocks/0/elements/0/url",
        lambda n: sb.Button("Go", "go", url="x" * n), lambda n: sdk.LinkButtonElement(**SDK_BUTTON, url="x" * n),
    ),
    "accessibility label": Case(
        75, lambda n: actions(button(accessibility_label="x" * n)), "/blocks/0/elements/0/accessibility_label",
        lambda n: sb.Button("Go", "go", accessibility_label="x" * n),
        lambda n: sdk.ButtonElement(**SDK_BUTTON, accessibility_label="x" * n),
    ),
    "action_id": Case(
        255, lambda n: actions(button(action_id="x" * n)), "/blocks/0/elements/0/action_id",
        lambda n: sb.Button("Go", "x" * n), lambda n: sdk.ButtonElement(text="Go", action_id="x" * n),
    ),
    "block_id": Case(
        255, lambda n: {"type": "divider", "block_id": "x" * n}, "/blocks/0/block_id",
        lambda n: sb.DividerBlock("x" * n), lambda n: sdk.DividerBlock(block_id="x" * n),
    ),
    "confirm title": Case(
        100, lambda n: confirm(title=plain("x" * n)), "/blocks/0/elements/0/confirm/title/text",
        lambda n: sb.Confirm("x" * n, "x", "y", "n"), lambda n: sdk.ConfirmObject(title="x" * n, text="x"),
    ),
    "confirm text": Case(
        300, lambda n: confirm(text=plain("x" * n)), "/blocks/0/elements/0/confirm/text/text",
        lambda n: sb.Confirm("t", "x" * n, "y", "n"), lambda n: sdk.ConfirmObject(title="t", text="x" * n),
    ),
    "confirm button": Case(
        30, lambda n: confirm(confirm=plain("x" * n)), "/blocks/0/elements/0/confirm/confirm/text",
        lambda n: sb.Confirm("t", "x", "x" * n, "n"), lambda n: sdk.ConfirmObject(title="t", text="x", confirm="x" * n),
    ),
    "confirm deny": Case(
        30, lambda n: confirm(deny=plain("x" * n)), "/blocks/0/elements/0/confirm/deny/text",
        lambda n: sb.Confirm("t", "x", "y", "x" * n), lambda n: sdk.ConfirmObject(title="t", text="x", deny="x" * n),
    ),
    "select options": Case(
        100, lambda n: actions({"type": "static_select", "options": [option(i) for i in range(n)]}),
        "/blocks/0/elements/0/options",
        lambda n: sb.StaticSelectMenu("s", options=sb_options(n)),
        lambda n: sdk.StaticSelectElement(action_id="s", options=sdk_options(n)),
    ),
    "overflow options": Case(
        5, lambda n: actions({"type": "overflow", "options": [option(i) for i in range(n)]}),
        "/blocks/0/elements/0/options",
        lambda n: sb.OverflowMenu("s", sb_options(n)),
        lambda n: sdk.OverflowMenuElement(action_id="s", options=sdk_options(n)),
    ),
    "checkbox options": Case(
        10, lambda n: actions({"type": "checkboxes", "options": [option(i) for i in range(n)]}),
        "/blocks/0/elements/0/options", lambda n: sb.CheckboxGroup("s", sb_options(n)),
    ),
    "radio options": Case(
        10, lambda n: actions({"type": "radio_buttons", "options": [option(i) for i in range(n)]}),
        "/blocks/0/elements/0/options", lambda n: sb.RadioButtonGroup("s", sb_options(n)),
    ),
    "option text": Case(
        75, lambda n: actions({"type": "overflow", "options": [option(0, text=plain("x" * n))]}),
        "/blocks/0/elements/0/options/0/text/text",
        lambda n: sb.Option("x" * n, "v"), lambda n: sdk.Option(text="x" * n, value="v"),
    ),
    "option value": Case(
        150, lambda n: actions({"type": "overflow", "options": [option(0, value="x" * n)]}),
        "/blocks/0/elements/0/options/0/value",
        lambda n: sb.Option("o", "x" * n), lambda n: sdk.Option(text="o", value="x" * n),
    ),
    "placeholder": Case(
        150, lambda n: actions({"type": "users_select", "placeholder": plain("x" * n)}),
        "/blocks/0/elements/0/placeholder/text",
        lambda n: sb.UserSelectMenu("s", placeholder="x" * n),
        lambda n: sdk.UserSelectElement(action_id="s", placeholder="x" * n),
    ),
    "image alt text": Case(
        2000, lambda n: {"type": "image", "image_url": "https://x/y.png", "alt_text": "x" * n}, "/blocks/0/alt_text",
        lambda n: sb.ImageBlock("https://x/y.png", "x" * n),
        lambda n: sdk.ImageBlock(image_url="https://x/y.png", alt_text="x" * n),
    ),
    "input label": Case(
        2000,
        lambda n: {"type": "input", "label": plain("x" * n), "element": {"type": "plain_text_input"}},
        "/blocks/0/label/text",
        lambda n: sb.InputBlock("x" * n, sb.PlainTextInput("s")),
        lambda n: sdk.InputBlock(label="x" * n, element=sdk.PlainTextInputElement(action_id="s")),
    ),
    "markdown": Case(
        12_000, lambda n: {"type": "markdown", "text": "x" * n}, "/blocks/0/text",
        lambda n: sb.MarkdownBlock("x" * n), lambda n: sdk.MarkdownBlock(text="x" * n),
    ),
    "table rows": Case(
        100, lambda n: {"type": "table", "rows": [[{"type": "raw_text", "text": "x"}]] * n}, "/blocks/0/rows",
        lambda n: sb.TableBlock([[sb.RawText("x")]] * n),
    ),
    "data table rows": Case(
        201,
        lambda n: {"type": "data_table", "caption": "c", "rows": [[{"type": "raw_text", "text": "x"}]] * n},
        "/blocks/0/rows", lambda n: sb.DataTableBlock([[sb.RawText("x")]] * n, "c"),
    ),
    "chart title": Case(
        50,
        lambda n: {
            "type": "data_visualization", "title": "x" * n,
            "chart": {"type": "pie", "segments": [{"label": "a", "value": 1}]},
        },
        "/blocks/0/title", lambda n: sb.DataVisualizationBlock("x" * n, sb.PieChart([sb.ChartSegment("a", 1)])),
    ),
    "chart segments": Case(
        12,
        lambda n: {
            "type": "data_visualization", "title": "t",
            "chart": {"type": "pie", "segments": [{"label": f"a{i}", "value": 1} for i in range(n)]},
        },
        "/blocks/0/chart/segments", lambda n: sb.PieChart([sb.ChartSegment(f"a{i}", 1) for i in range(n)]),
    ),
    "plan tasks": Case(
        50,
        lambda n: {
            "type": "plan", "title": "p",
            "tasks": [{"task_id": f"t{i}", "title": "x", "status": "pending"} for i in range(n)],
        },
        "/blocks/0/tasks",
        lambda n: sb.PlanBlock("p", [sb.TaskCardBlock(f"t{i}", "x", status="pending") for i in range(n)]),
    ),
}  # fmt: skip
SDK_LINE = sdk.DividerBlock()
SDK_MODAL: Json = {"type": "modal", "title": plain("t"), "blocks": [SDK_LINE]}
VIEW_CASES = {
    "modal title": Case(24, lambda n: modal(title=plain("x" * n)), "/title/text", lambda n: sb_view(title="x" * n),
                        lambda n: View(type="modal", title=plain("x" * n), blocks=[SDK_LINE])),
    "modal submit": Case(24, lambda n: modal(submit=plain("x" * n)), "/submit/text", lambda n: sb_view(submit="x" * n),
                         lambda n: View(type="modal", title=plain("t"), submit=plain("x" * n), blocks=[SDK_LINE])),
    "modal close": Case(24, lambda n: modal(close=plain("x" * n)), "/close/text", lambda n: sb_view(close="x" * n),
                        lambda n: View(type="modal", title=plain("t"), close=plain("x" * n), blocks=[SDK_LINE])),
    "private metadata": Case(3000, lambda n: modal(private_metadata="x" * n), "/private_metadata",
                             lambda n: sb_view(private_metadata="x" * n),
                             lambda n: View(**SDK_MODAL, private_metadata="x" * n)),
    "callback_id": Case(255, lambda n: modal(callback_id="x" * n), "/callback_id",
                        lambda n: sb_view(callback_id="x" * n),
                        lambda n: View(type="modal", title=plain("t"), callback_id="x" * n, blocks=[SDK_LINE])),
    "modal blocks": Case(100, lambda n: modal(blocks=[{"type": "divider"}] * n), "/blocks",
                         lambda n: sb_view(blocks=[sb.DividerBlock() for _ in range(n)]),
                         lambda n: View(type="modal", title=plain("t"), blocks=[SDK_LINE] * n)),
}  # fmt: skip


def _is_built(build: Callable[[int], Any], size: int) -> bool:
    """Does a library take something of this size? slack_sdk judges when it writes the dict."""
    with contextlib.suppress(sb.InvalidUsageError, SlackObjectFormationError):
        made = build(size)
        if hasattr(made, "to_dict") and not isinstance(made, sb.View):
            made.to_dict()
        return True
    return False


@pytest.mark.parametrize("name", [*CASES, *VIEW_CASES])
def test_a_limit_is_taken_and_one_more_is_refused_with_its_place(name: str) -> None:
    """At the limit nothing is wrong; one above, exactly one flaw points at the place."""
    case = {**CASES, **VIEW_CASES}[name]
    check = check_view if name in VIEW_CASES else lambda value: check_blocks([value])
    assert check(case.raw(case.limit)) == []
    assert [(f.pointer, f.code) for f in check(case.raw(case.limit + 1))] == [(case.at, "failed_constraint")]


@pytest.mark.parametrize("name", [*CASES, *VIEW_CASES])
@pytest.mark.parametrize("library", ["slackblocks", "slack_sdk"])
def test_libraries_draw_the_line_at_the_same_place(name: str, library: str) -> None:
    """Both libraries take the limit and refuse one more, where they know the rule."""
    case = {**CASES, **VIEW_CASES}[name]
    build = getattr(case, library)
    if build is None:
        assert library != "slackblocks", "every limit is known to at least one library"
        return
    assert _is_built(build, case.limit)
    assert not _is_built(build, case.limit + 1)


def test_a_message_has_fifty_blocks_and_a_hundred_attachments() -> None:
    assert check_blocks([{"type": "divider"}] * 50) == []
    assert [f.pointer for f in check_blocks([{"type": "divider"}] * 51)] == ["/blocks"]
    assert check_message({"attachments": [{}] * 100}) == []
    assert [f.pointer for f in check_message({"attachments": [{}] * 101})] == ["/attachments"]


@pytest.mark.parametrize(
    ("block", "at"),
    [
        ({"type": "header", "text": mrkdwn("x")}, "/blocks/0/text/type"),  # slack_sdk lets this pass
        ({"type": "section"}, "/blocks/0/text"),
        ({"type": "section", "text": plain("")}, "/blocks/0/text/text"),
        ({"type": "section", "text": "bare"}, "/blocks/0/text"),
        ({"type": "section", "text": {**plain("x"), "verbatim": True}}, "/blocks/0/text/verbatim"),
        ({"type": "section", "text": {**mrkdwn("x"), "emoji": True}}, "/blocks/0/text/emoji"),
        ({"type": "section", "text": plain("x"), "accessory": {"type": "file_input"}}, "/blocks/0/accessory/type"),
        ({"type": "image", "alt_text": "x"}, "/blocks/0/image_url"),
        ({"type": "image", "image_url": "https://x"}, "/blocks/0/alt_text"),
        ({"type": "image", "alt_text": "x", "slack_file": {}}, "/blocks/0/slack_file"),
        (actions(button(style="warning")), "/blocks/0/elements/0/style"),
        (actions(button(confirm={"title": plain("t")})), "/blocks/0/elements/0/confirm/text"),
        (actions({"type": "checkboxes", "options": [option(1), option(1)]}), "/blocks/0/elements/0/options"),
        (actions({"type": "overflow", "options": []}), "/blocks/0/elements/0/options"),
        (actions({"type": "static_select"}), "/blocks/0/elements/0/options"),
        (actions({"type": "static_select", "options": [option(1)], "initial_option": option(2)}),
         "/blocks/0/elements/0/initial_option"),
        (actions({"type": "static_select", "options": [option(1, url="https://x")]}),
         "/blocks/0/elements/0/options/0/url"),
        (actions({"type": "overflow", "options": [option(1, text=mrkdwn("x"))]}),
         "/blocks/0/elements/0/options/0/text/type"),
        ({"type": "actions", "elements": []}, "/blocks/0/elements"),
        ({"type": "input", "label": plain("l")}, "/blocks/0/element"),
        ({"type": "alert", "text": plain("x")}, "/blocks/0/type"),  # modal only
        ({"type": "task_card", "task_id": "t", "title": "x", "status": "pending"}, "/blocks/0/status"),
        ({"type": "chart"}, "/blocks/0/type"),
        ({"text": plain("x")}, "/blocks/0/type"),
        ("divider", "/blocks/0"),
    ],
)  # fmt: skip
def test_wrong_shapes_are_refused_where_they_are_wrong(block: Any, at: str) -> None:
    assert at in [f.pointer for f in check_blocks([block])]


def test_rules_over_a_whole_message() -> None:
    """Block ids are unique, charts at most two, markdown 12,000 in all."""
    twice = [{"type": "divider", "block_id": "a"}] * 2
    assert [f.pointer for f in check_blocks(twice)] == ["/blocks/1/block_id"]
    chart = CASES["chart title"].raw(5)
    assert check_blocks([chart] * 2) == []
    assert [f.pointer for f in check_blocks([chart] * 3)] == ["/blocks"]
    assert [f.pointer for f in check_blocks([{"type": "markdown", "text": "x" * 7000}] * 2)] == ["/blocks"]


def test_inputs_need_submit_and_messages_only_blocks_stay_out_of_views() -> None:
    form = CASES["input label"].raw(5)
    assert [f.pointer for f in check_view(modal(blocks=[form]))] == ["/submit"]
    assert check_view(modal(blocks=[form], submit=plain("Go"))) == []
    assert [f.pointer for f in check_view(modal(blocks=[CASES["table rows"].raw(1)]))] == ["/blocks/0/type"]


ANYTHING = some.recursive(
    some.none() | some.booleans() | some.integers() | some.text(max_size=5),
    lambda inner: (
        some.lists(inner, max_size=3)
        | some.dictionaries(
            some.sampled_from(
                ["type", "text", "elements", "options", "rows", "accessory", "chart", "confirm", "blocks"]
            ),
            inner | some.sampled_from([*RULES, "button", "plain_text", "overflow", "modal"]),
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(value=ANYTHING)
def test_no_shape_makes_the_checker_fall_over(value: Any) -> None:
    """Whatever comes in, flaws come out, each with a pointer from the top."""
    for flaw in [*check_blocks(value), *check_blocks([value]), *check_message(value), *check_view(value)]:
        assert flaw.pointer == "" or flaw.pointer.startswith("/")
        assert flaw.code in ("failed_constraint", "invalid_type", "missing_field")


SDK_SAMPLES = [
    sdk.SectionBlock(text="x", accessory=sdk.ButtonElement(text="b", action_id="a", confirm=sdk.ConfirmObject(
        title="t", text="x", confirm="y", deny="n"))),
    sdk.ContextBlock(elements=[sdk.MarkdownTextObject(text="m"),
                               sdk.ImageElement(image_url="https://x", alt_text="a")]),
    sdk.ActionsBlock(elements=[
        sdk.DatePickerElement(action_id="d"), sdk.ChannelMultiSelectElement(action_id="c", placeholder="p"),
        sdk.RadioButtonsElement(action_id="r", options=sdk_options(2)),
        sdk.OverflowMenuElement(action_id="o", options=sdk_options(3)),
    ]),
    sdk.InputBlock(label="l", element=sdk.NumberInputElement(action_id="n", is_decimal_allowed=False)),
    sdk.HeaderBlock(text="h"), sdk.DividerBlock(), sdk.MarkdownBlock(text="# m"),
    sdk.ImageBlock(alt_text="a", slack_file={"id": "F1"}),
]  # fmt: skip


@pytest.mark.parametrize("block", SDK_SAMPLES, ids=lambda b: b.type)
def test_what_slack_sdk_builds_is_taken(block: sdk.Block) -> None:
    assert check_blocks([block.to_dict()]) == []


def test_the_server_refuses_with_pointers_and_validate_needs_no_token() -> None:
    """chat.postMessage and blocks.validate tell the same place; a missing text is not validate's business."""
    bad = [CASES["header"].raw(151)]
    with Workspace(people=["alice"], channels=["ops"]) as ws:
        client = WebClient(ws.bot_token, base_url=ws.api_url)
        with pytest.raises(SlackApiError) as caught:
            client.chat_postMessage(channel=channel_id("ops"), text="x", blocks=bad)
        assert caught.value.response["error"] == "invalid_blocks"
        (line,) = caught.value.response["errors"]
        assert line == "must be less than 151 characters [json-pointer:/blocks/0/text/text]"
        stranger = WebClient(base_url=ws.api_url)
        with pytest.raises(SlackApiError) as caught:
            stranger.api_call("blocks.validate", json={"blocks": bad})
        assert caught.value.response["error"] == "invalid_blocks"
        first = caught.value.response["errors"][0]
        assert (first["pointer"], first["code"]) == ("/0/text/text", "failed_constraint")
        assert first["constraint"]["limit"] == 150
        assert stranger.api_call("blocks.validate", json={"message": {"blocks": [{"type": "divider"}]}})["ok"]
        with pytest.raises(SlackApiError) as caught:
            stranger.api_call("blocks.validate", json={"view": modal(title=plain("x" * 25))})
        assert caught.value.response["error"] == "invalid_view"
