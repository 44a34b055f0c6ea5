"""A template that fails must still page; and what is too long is cut, never dropped without a word."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bot.render import Renderer
from bot.render.limits import CUT, MAX_BLOCKS, MAX_CHARS, clamp, cut, size
from bot.render.samples import NOW, Cast
from tests.render.test_messages import assert_sound

TEMPLATES = Path(__file__).resolve().parents[2] / "templates"
CAST = Cast("")
BROKEN = {
    "syntax": ("{% if %}", "page.j2:1: TemplateSyntaxError"),
    "unknown field": ("\n{{ severty }}", "page.j2:2: UndefinedError: 'severty' is undefined"),
    "not a block": ("hello", "page.j2:1: printed text outside of a block"),
    "no text": ('{% from "_blocks.j2" import divider %}{{ divider() }}', "page.j2:1: has no text for notifications"),
    "nothing": ("", "page.j2:1: has no text for notifications"),
    "escape": ("{{ lead.__class__.__mro__ }}", "page.j2:1: SecurityError"),
    "loop": ("{% macro x() %}{{ x() }}{% endmacro %}{{ x() }}", "RecursionError"),
    "too much": ("{% for x in range(99999999) %}{% endfor %}", "OverflowError"),
    "arithmetic": ("{{ 1 / 0 }}", "page.j2:1: ZeroDivisionError"),
    "json": ('{"type": "section"', "page.j2:1: printed text outside of a block"),
    "list": ("[1]", "page.j2:1: printed JSON that is no block"),
}


@pytest.mark.parametrize("body, reason", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_template_still_pages(tmp_path: Path, body: str, reason: str) -> None:
    shutil.copytree(TEMPLATES, tmp_path / "t")
    (tmp_path / "t" / "page.j2").write_text(body, encoding="utf-8")
    data = {"number": 2, "reason": "level 2", "late_by_s": 2820, "repeated": True}
    message = Renderer(tmp_path / "t").page(CAST.incident(), data, CAST.policy, NOW)
    assert reason in message.failed
    assert message.text.startswith("P1 intent_classifier: Accuracy of intent_classifier is 0.41")
    told = "\n".join(block["text"]["text"] for block in message.blocks if block["type"] == "section")
    for fact in ("late by: 47 min", "reason: level 2", "why: accuracy 0.41", "since: 2026-03-14 02:43:12 UTC", "INC-7"):
        assert fact in told, told
    assert [item["action_id"] for item in message.blocks[-1]["elements"]] == ["ack", "takeover"]
    assert_sound(message)


def test_a_folder_that_is_gone_still_pages(tmp_path: Path) -> None:
    message = Renderer(tmp_path / "gone").headline(CAST.incident(), CAST.policy, NOW)
    assert message.failed.startswith("headline.j2:1: TemplateNotFound")
    assert "P1 intent_classifier" in message.text


def test_a_repaired_template_is_used_without_a_restart(tmp_path: Path) -> None:
    shutil.copytree(TEMPLATES, tmp_path / "t")
    note = tmp_path / "t" / "note.j2"
    good = note.read_text(encoding="utf-8")
    note.write_text("{{ nope }}", encoding="utf-8")
    renderer = Renderer(tmp_path / "t")
    assert renderer.note({"text": "hi"}).failed
    note.write_text(good, encoding="utf-8")
    assert renderer.note({"text": "hi"}).failed == ""


def test_too_many_blocks_are_folded_and_buttons_stay() -> None:
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": f"part {n}"}} for n in range(80)]
    blocks.append(
        {
            "type": "actions",
            "elements": [{"type": "button", "action_id": "ack", "text": {"type": "plain_text", "text": "x"}}],
        }
    )
    _, kept = clamp("t", blocks)  # type: ignore[arg-type]
    assert len(kept) == MAX_BLOCKS
    assert kept[-1]["type"] == "actions"
    assert "part 79" in kept[-2]["text"]["text"]


def test_a_message_that_is_too_long_as_a_whole_is_shortened_everywhere() -> None:
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": f"{n} " + "x" * 2_900}} for n in range(30)]
    _, kept = clamp("t" * 9_000, blocks)  # type: ignore[arg-type]
    assert size(list(kept)) <= MAX_CHARS
    assert all(block["text"]["text"].endswith(CUT) for block in kept)
    assert [block["text"]["text"].split()[0] for block in kept] == [str(n) for n in range(30)]


def test_parts_beyond_a_blocks_cap_are_counted() -> None:
    fields = [{"type": "mrkdwn", "text": str(n)} for n in range(14)]
    _, kept = clamp("t", [{"type": "section", "fields": fields}])
    assert len(kept[0]["fields"]) == 10
    assert kept[0]["fields"][-1]["text"] == f"{CUT} 5 more"


def test_an_empty_text_does_not_cost_the_message() -> None:
    _, kept = clamp(
        "t", [{"type": "header", "text": {"type": "plain_text", "text": ""}}, {"type": "section", "fields": []}]
    )
    assert [block["text"]["text"] for block in kept] == ["-", "-"]


@pytest.mark.parametrize(
    "text", ["<!date^1^{time}|2026-01-01>" * 30, "a &lt;b&gt; " * 40, "```\n" + "x " * 200, "<https://e.com/a|b> " * 30]
)
@pytest.mark.parametrize("cap", range(60, 90))
def test_a_cut_leaves_no_half_token_and_no_open_code(text: str, cap: int) -> None:
    kept = cut(text, cap)
    assert len(kept) <= cap
    assert kept.endswith(CUT)
    assert kept.count("<") == kept.count(">")
    assert kept.count("```") % 2 == 0
    assert kept.count("&") == kept.count(";")
