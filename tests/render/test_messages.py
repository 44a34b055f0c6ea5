"""Every template, sample and kind of hostile word: the message stays whole, inert and within Slack's limits."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.render import TEMPLATES, Message, Renderer
from bot.render.fallback import fallback
from bot.render.limits import MAX_CHARS, clamp, size
from bot.render.samples import samples, story
from playground.slack.blocks import check_message

TEMPLATES_DIR = Path(__file__).resolve().parents[2] / "templates"
RENDERER = Renderer(TEMPLATES_DIR)
OURS = re.compile(
    r"<!date\^\d+\^[^|<>]+\|[0-9: -]+ UTC>|<@U0(ALICE|BOB)>|<!subteam\^S0ONCALL>|<https://(prometheus\.)?example\.com/[^|<>]*\|[^<>]*>"
)
HOSTILE = {
    "nothing": "",
    "mentions": "<!channel> <!here> <!everyone> <@U0EVIL> <#C1|x> <!subteam^S1> @channel @here",
    "links": "<https://evil.example|click> [x](https://evil.example) https://evil.example/",
    "formatting": "*bold* _it_ ~gone~ `code` ```\nblock\n``` > quote\n# h",
    "jinja": "{{7*7}} {% for x in y %} {{ ''.__class__ }} {# note #}",
    "json": '"}]} { } \\ \\" \' \\u0000 [{"type":"actions"}]',
    "entities": "&amp; &lt;!channel&gt; &#34; &#39; &",
    "nul and controls": "a\x00b\x1b[31mred\x07\r\n\x85c\u2028d",
    "bidi": "safe\u202egnihtemos\u2066x\u2069 \u200b\u200e\u061c\ufeff\u00ad",
    "surrogate": "half \ud83d of a pair",
    "emoji": ":white_check_mark: ✅ 👩‍🔬 𝔘𝔫𝔦",
    "100 kB": "<!channel>`*&" * 8_000,
    "one long word": "x" * 100_000,
    "many lines": "line\n" * 5_000,
    "zalgo": "z" + "\u0301" * 500,
    "date": "<!date^1^{date}|x>",
    "spaces": "   \t \n  ",
}  # fmt: skip
MOMENTS = [(name, title) for name, moments in samples().items() for title, _ in moments]


def texts(message: Message) -> Iterator[tuple[str, str]]:
    """Kind and text of every text object, the fallback included."""
    yield "mrkdwn", message.text

    def walk(node: Any) -> Iterator[tuple[str, str]]:
        if isinstance(node, dict):
            if node.get("type") in {"mrkdwn", "plain_text"}:
                yield node["type"], node["text"]
            for value in node.values():
                yield from walk(value)
        elif isinstance(node, list):
            for value in node:
                yield from walk(value)

    yield from walk(list(message.blocks))


def assert_sound(message: Message, *, has_own_links: bool = False) -> None:
    blocks = json.loads(json.dumps(list(message.blocks)))
    assert [str(flaw) for flaw in check_message({"text": message.text, "blocks": blocks})] == []
    assert message.text.strip()
    assert len(message.text) <= 4_000
    assert 1 <= len(blocks) <= 50
    assert size(blocks) <= MAX_CHARS < 13_000
    for kind, text in texts(message):
        text.encode()
        assert [char for char in text if unicodedata.category(char) in {"Cc", "Cf", "Cs"} and char != "\n"] == []
        if kind == "mrkdwn":
            rest = OURS.sub("", re.sub(r"<https://evil\.example\|x>", "", text) if has_own_links else text)
            assert "<" not in rest, rest
            assert ">" not in rest, rest
            assert text.count("```") % 2 == 0


def find(word: str, name: str, title: str) -> Message:
    context = next(context for found, context in story(word)[name] if found == title)
    return RENDERER.render(name, context)


def test_every_template_has_samples_and_a_file() -> None:
    assert set(samples()) == set(TEMPLATES) == {path.stem for path in TEMPLATES_DIR.glob("[!_]*.j2")}


@pytest.mark.parametrize("word", HOSTILE.values(), ids=HOSTILE.keys())
def test_every_message_is_sound_whatever_the_words_are(word: str) -> None:
    for name, moments in story(word).items():
        for title, context in moments:
            message = RENDERER.render(name, context)
            assert message.failed == "", (name, title)
            assert_sound(message, has_own_links=name == "runbook")  # who writes a runbook may link


@pytest.mark.parametrize("word", HOSTILE.values(), ids=HOSTILE.keys())
def test_the_plain_text_of_a_failed_template_is_as_sound(word: str) -> None:
    for moments in story(word).values():
        for _, context in moments:
            text, blocks = clamp(*fallback(context))
            assert_sound(Message(text=text, blocks=blocks))


@settings(max_examples=25)
@given(st.text(min_size=1, max_size=120))
def test_no_word_breaks_a_message(word: str) -> None:
    for name, moments in story(word).items():
        message = RENDERER.render(name, moments[0][1])
        assert message.failed == ""
        assert_sound(message, has_own_links=name == "runbook")


def test_hostile_words_format_nothing() -> None:
    message = find("*bold* `co*de` ~gone~", "note", "raised")
    assert message.blocks[0]["text"]["text"] == "∗bold∗ ˋco∗deˋ ∼gone∼"


def test_quotes_stay_quotes() -> None:
    message = find('it\'s "3" & <4>', "note", "raised")
    assert message.blocks[0]["text"]["text"] == 'it\'s "3" &amp; &lt;4&gt;'
    assert find("it's <b>", "headline", "just opened").blocks[0]["text"]["text"] == "P1 high · it's ‹b›: it's ‹b›"


def test_mrkdwn_is_never_linked_by_slack_itself() -> None:
    for name, title in MOMENTS:
        kinds = json.dumps(find("", name, title).blocks)
        assert kinds.count('"mrkdwn"') == kinds.count('"verbatim": true'), name


@pytest.mark.parametrize(
    "name, title", [moment for moment in MOMENTS if moment[0] != "runbook"] + [("runbook", "accuracy")]
)
def test_severity_subject_and_symptom_come_first(name: str, title: str) -> None:
    text = find("", name, title).text
    of_incident = r"(P[0-3]|Change) intent_classifier: \S"  # a drift check is about a model, and about no incident yet
    assert re.match({"drift": r"intent_classifier: \S", "drift_review": r"playground: \S"}.get(name, of_incident), text)
    assert "\n" not in text


def test_100_kb_of_text_still_leaves_room_for_who_and_when() -> None:
    """A flood in one label must not push the facts a tired person needs out of the message."""
    message = find("x" * 100_000, "page", "late")
    told = "\n".join(text for _, text in texts(message))
    for fact in ("…(cut)", "late by 47 min", "nobody yet", "level 2", "<!date^"):
        assert fact.replace("…(cut)", "(cut)") in told
    assert [item["action_id"] for item in message.blocks[-1]["elements"]] == ["ack", "takeover"]
