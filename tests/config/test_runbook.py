"""Runbooks: the most specific one is chosen, ties and stale pages are told."""

from __future__ import annotations

import re
from datetime import date, timedelta
from pathlib import Path

from bot import runbook
from bot.check import check_everything, check_templates
from bot.config.reference_page import configuration_page
from bot.runbook import Runbook, choose, parse
from tests.config.folder import BOOK, NAMES, Folder

PLAYGROUND = tuple(f"PLAYGROUND_{name}" for name in ("MLFLOW_URL", "SERVER_URL", "PROMETHEUS_URL", "RUNS", "PYTHON"))
REPO = Path(__file__).resolve().parents[2]
TODAY = date(2026, 2, 1)


def book(name: str, **match: str) -> Runbook:
    labels = {label: (value,) for label, value in match.items()}
    return Runbook(name=f"shop/{name}", system="shop", title=name, match=labels, reviewed=TODAY, file=f"{name}.md")


DEFAULT = Runbook(name="default", system="", title="Default", match={}, reviewed=TODAY)


def test_a_document_is_read_into_its_parts() -> None:
    found, problems = parse(BOOK, "books/shop/ThingDown.md", "shop")
    assert problems == []
    assert found is not None
    assert (found.name, found.title, found.match) == (
        "shop/ThingDown",
        "A thing is down",
        {"alertname": ("ThingDown",)},
    )
    assert found.checklist == ("do this", "do that with care")
    assert (found.owner, found.reviewed, found.impact) == ("shop", date(2026, 1, 1), "i")


def test_the_runbook_that_fits_most_labels_is_chosen() -> None:
    books = [DEFAULT, book("a", alertname="A"), book("b", alertname="A", model="m"), book("c", alertname="C")]
    assert choose(books, "shop", {"alertname": "A", "model": "m"}) == books[2]
    assert choose(books, "shop", {"alertname": "A", "model": "other"}) == books[1]
    assert choose(books, "shop", {"alertname": "Unknown"}) == DEFAULT
    assert choose(books, "other", {"alertname": "A"}) == DEFAULT
    assert choose(books[1:], "other", {"alertname": "A"}) is None


def test_two_that_could_fit_equally_well_are_an_error() -> None:
    books = [book("a", alertname="A"), book("b", model="m"), book("c", alertname="C", model="x")]
    assert [problem.file for problem in runbook.check(books, TODAY, None, None)] == ["b.md"]
    apart = [book("a", alertname="A"), book("b", alertname="B")]
    assert runbook.check(apart, TODAY, None, None) == []


def test_unknown_names_and_old_pages_are_told() -> None:
    old = Runbook(
        name="shop/x", system="shop", title="x", match={"a": ("b",)}, diagnostics=("latncy",), actions=("rolback",),
        reviewed=TODAY - timedelta(days=181), file="x.md", lines={"diagnostics": 3, "actions": 4, "reviewed": 5},
    )  # fmt: skip
    told = [str(problem) for problem in runbook.check([old], TODAY, {"latency"}, {"rollback"})]
    assert told == [
        'x.md:3: unknown diagnostic "latncy"; did you mean "latency"?',
        'x.md:4: unknown action "rolback"; did you mean "rollback"?',
        "x.md:5: warning: last reviewed 181 days ago; read it and set the date",
    ]
    assert runbook.check([book("fresh", a="b")], TODAY + timedelta(days=180), None, None) == []


def test_check_looks_at_everything_in_one_go(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.main += "templates: mine\n"
    folder.book = folder.book.replace("owner: shop", "owner: shop\ndiagnostics: [helth]")
    folder.profile = folder.profile.replace("service: ranker", "service: rankr")
    path = folder.write()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "headlin.j2").write_text("x", encoding="utf-8")
    problems = check_everything(path, folder.env, NAMES, TODAY)
    told = "\n".join(folder.told(problem) for problem in problems)
    assert 'ThingDown.md:3: unknown diagnostic "helth"; did you mean "health"?' in told
    assert 'system.yaml:8: unknown service "rankr"' in told
    assert 'headlin.j2:1: no message is called "headlin"; did you mean "headline"?' in told
    assert "headline.j2:1: does not render the sample “just opened” (TemplateNotFound" in told


def test_our_own_templates_and_playground_pass_the_check(tmp_path: Path) -> None:
    main = tmp_path / "mlops.yaml"
    text = (REPO / "deploy/example/mlops.yaml").read_text(encoding="utf-8")
    text = re.sub(r"(?m)^systems: \[.*\]", "systems: [playground]", text)
    main.write_text(text.replace("../../runbooks", str(REPO / "playground/runbooks")), encoding="utf-8")
    env = dict.fromkeys(PLAYGROUND, "http://127.0.0.1:1") | {"PLAYGROUND_DATA": str(tmp_path)}
    problems = check_everything(main, env, None, date(2026, 11, 30))
    assert [str(problem) for problem in problems if not problem.warning] == []
    assert [problem for problem in problems if problem.warning and "is not set" not in problem.text] == []


def test_a_template_mistake_is_told_by_file_and_line(tmp_path: Path) -> None:
    for path in (REPO / "templates").glob("*.j2"):
        (tmp_path / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    note = tmp_path / "note.j2"
    note.write_text(note.read_text(encoding="utf-8").replace("{{ said | lines }}", "{{ sad }}"), encoding="utf-8")
    page = tmp_path / "page.j2"
    whole = page.read_text(encoding="utf-8")
    page.write_text(whole + "{% if %}", encoding="utf-8")
    told = sorted(str(problem) for problem in check_templates(tmp_path))
    assert len(told) == 2
    assert "note.j2:7: does not render the sample “raised” (UndefinedError: 'sad' is undefined); correct it" in told[0]
    line = whole.count("\n") + 1
    assert f"page.j2:{line}: does not render the sample “level 1” (TemplateSyntaxError" in told[1]


def test_the_reference_page_is_what_the_code_says() -> None:
    """Make it anew: python -c "from bot.config.reference_page import configuration_page as p; print(p(), end='')"."""
    assert (REPO / "docs/reference/configuration.md").read_text(encoding="utf-8") == configuration_page()
