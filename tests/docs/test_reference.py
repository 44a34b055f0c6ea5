"""The reference pages say what the code says, and every link in the documentation leads somewhere."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from bot.desk.verbs import load as load_verbs
from bot.registry import load
from tests.docs.samples import ROOT

DRAWER = runpy.run_path(str(ROOT / "docs/draw_reference.py"))
PAGES = sorted(
    path
    for path in (
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("playground/**/*.md"),
        ROOT / "runbooks/README.md",
    )
)
_LINK = re.compile(r"!?\[[^\]\n]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_TICKED = re.compile(r"`((?:docs|bot|handlers|templates|runbooks|playground|deploy|tests)/[\w./-]+)`")


@pytest.mark.parametrize("path", DRAWER["PAGES"], ids=lambda path: path.stem)
def test_the_page_is_current(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == DRAWER["PAGES"][path](), "stale: run python docs/draw_reference.py"


def test_every_verb_and_action_is_listed() -> None:
    text = (ROOT / "docs/reference/commands.md").read_text(encoding="utf-8")
    names = set(load_verbs()) | set(load().actions)
    assert [name for name in names if not re.search(rf"^\| `{name}\b", text, re.MULTILINE)] == []


def words_of(page: Path) -> str:
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors_of(page: Path) -> set[str]:
    """The anchors that a Markdown viewer gives to headings."""
    titles = re.findall(r"^#+ (.+)$", words_of(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    lost = []
    for target in _LINK.findall(words_of(page)):
        if target.startswith(("https://", "http://", "mailto:")):
            continue
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        if not there.exists() or (anchor and anchor not in anchors_of(there)):
            lost.append(target)
    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_is_named_exists(page: Path) -> None:
    named = [
        name for name in _TICKED.findall(words_of(page)) if not any(word in name for word in ("shop", "NNNN", "name"))
    ]
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_page_of_docs_can_be_reached_from_the_front() -> None:
    """Nobody reads a page that nothing leads to."""
    seen: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or page.suffix != ".md" or not page.exists():
            continue
        seen.add(page)
        found = (target.partition("#")[0] for target in _LINK.findall(words_of(page)))
        waiting += [(page.parent / target).resolve() for target in found if target and "://" not in target]
    assert [str(page.relative_to(ROOT)) for page in sorted((ROOT / "docs").glob("**/*.md")) if page not in seen] == []
