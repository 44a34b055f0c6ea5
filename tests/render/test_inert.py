"""Our own sentences show their commands as code; whatever a stranger puts between backticks stays inert."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.render.templating import table
from bot.words import spoken

OURS = {
    "If you know one, name it: `rollback ranker to 2`.": "If you know one, name it: `rollback ranker to 2`.",
    "I read `rollback <model> [to <version>]`.": "I read `rollback &lt;model&gt; [to &lt;version&gt;]`.",
    "I read `set-image <service> <name>=<image> …`": "I read `set-image &lt;service&gt; &lt;name&gt;=&lt;image&gt; …`",
    "As in `set-image web srv=shop/web@sha256:…`": "As in `set-image web srv=shop/web@sha256:…`",
    "Say `/mlops ack INC-7` or `reload a_b.c`": "Say `/mlops ack INC-7` or `reload a_b.c`",
}
HOSTILE = {
    "`<!channel>`": "ˋ&lt;!channel&gt;ˋ",
    "`<@U0EVIL>` and `@here`": "ˋ&lt;@U0EVIL&gt;ˋ and ˋ@hereˋ",
    "`<https://evil.example|x>`": "ˋ&lt;https://evil.example|x&gt;ˋ",
    "`*bold*` `&lt;!here&gt;`": "ˋ∗bold∗ˋ ˋ&amp;lt;!here&amp;gt;ˋ",
    "a` <!channel> `b": "aˋ &lt;!channel&gt; ˋb",
    "`a`` <!channel> ``b`": "`a`ˋ &lt;!channel&gt; ˋ`b`",
    "```a```": "ˋˋ`a`ˋˋ",
    "`a```b`": "`a`ˋ`b`",
    "`rollback x\nto 2`": "`rollback x to 2`",  # one line, as everything
    "`\u202eroll`": "`roll`",
    "`réload`": "ˋréloadˋ",
    "``": "ˋˋ",
    "` `": "ˋ ˋ",
    "`" + "a" * 200 + "`": "ˋ" + "a" * 200 + "ˋ",
}


@pytest.mark.parametrize("text, shown", OURS.items(), ids=OURS.keys())
def test_a_command_in_our_sentence_is_code(text: str, shown: str) -> None:
    assert spoken(text) == shown


@pytest.mark.parametrize("text, shown", HOSTILE.items(), ids=range(len(HOSTILE)))
def test_what_a_stranger_puts_between_backticks_is_inert(text: str, shown: str) -> None:
    assert spoken(text) == shown


@settings(max_examples=300)
@given(st.text(alphabet="`<>!@#|*_~&ab /:.U1", max_size=60))
def test_nothing_that_slack_obeys_survives(text: str) -> None:
    said = spoken(f"No version {text}. Use `reload x`.")
    assert "<" not in said
    assert ">" not in said
    assert "```" not in said
    assert said.count("`") % 2 == 0
    assert re.sub(r"&(amp|lt|gt);", "", said).count("&") == 0
    assert not re.search(r"[*~]", said)


def lines_of(rows: list[tuple[str, ...]]) -> list[str]:
    return str(table(rows)).removeprefix("```\n").removesuffix("\n```").split("\n")


def test_columns_are_as_wide_as_they_need() -> None:
    rows = [
        ("the server changed from v2 to v3", "04:17 UTC, 60 min before", "not by this bot"),
        ("v3 was registered", "03:17 UTC, 2 h before", "registry"),
    ]
    assert lines_of(rows) == [
        "the server changed from v2 to v3  04:17 UTC, 60 min before  not by this bot",
        "v3 was registered                 03:17 UTC, 2 h before     registry",
    ]


def test_only_the_last_column_gives_way() -> None:
    (line,) = lines_of([("server", "no answer", "the connection was refused, and so it went on " * 5)])
    assert line.startswith("server  no answer  the connection was refused")
    assert line.endswith("…")
    assert len(line) <= 76


def test_a_column_that_nobody_fills_takes_no_room() -> None:
    assert lines_of([("not known", "", "no answer"), ("b", "", "c")]) == ["not known  no answer", "b          c"]


@pytest.mark.parametrize("rows", [[("x" * 300, "y" * 300, "z" * 300)], [("", "y" * 300, "")], [("x" * 300, "1", "2")]])
def test_a_flood_in_one_column_leaves_the_others_readable(rows: list[tuple[str, ...]]) -> None:
    (line,) = lines_of(rows)
    assert len(line) <= 76
    for cell in rows[0]:
        assert cell[:13] in line


def test_what_is_escaped_still_lines_up() -> None:
    shown = [
        line.replace("&lt;", "<").replace("&amp;", "&") for line in lines_of([("a<b&c", "1", "x"), ("abcde", "2", "y")])
    ]
    assert shown == ["a<b&c  1  x", "abcde  2  y"]


def test_rows_beyond_what_is_read_are_counted() -> None:
    assert lines_of([("a", str(n), "") for n in range(30)])[-1] == "… and 5 more rows"
