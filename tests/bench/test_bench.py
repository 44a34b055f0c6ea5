"""`make bench` must be readable by a program, and must fail when a bound is missed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

from bench.__main__ import modules, run
from bench.figure import Figure


def module(monkeypatch: pytest.MonkeyPatch, name: str, *figures: Figure, error: Exception | None = None) -> str:
    """A module of the bench that yields these, and then fails if it is to."""

    def measure() -> Iterator[Figure]:
        yield from figures
        if error:
            raise error

    fake = ModuleType(f"bench.{name}")
    fake.measure = measure  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, f"bench.{name}", fake)
    return name


@pytest.mark.parametrize(
    ("figure", "line"),
    [
        (Figure(name="a", value=4.8123, unit="s", ratio=0.214, of="b"), "figure a 4.81 s ratio 0.21 of b"),
        (Figure(name="rss", value=299.6, unit="MB"), "figure rss 300 MB"),
        (Figure(name="lost", value=0.0, unit="pages"), "figure lost 0 pages"),
        (Figure(name="late", value=0.0421, unit="s"), "figure late 0.0421 s"),
    ],
)
def test_a_figure_is_one_line_of_a_fixed_form(figure: Figure, line: str) -> None:
    assert figure.line == line


def test_kept_bounds_leave_nothing_to_say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    name = module(
        monkeypatch, "fine",
        Figure(name="a", value=10.0, unit="s", at_most=10.0), Figure(name="b", value=5.0, unit="1/s", at_least=5.0),
    )  # fmt: skip
    assert run([name]) == []
    assert capsys.readouterr().out == "figure a 10 s\nfigure b 5 1/s\n"


def test_every_missed_bound_is_told_and_a_broken_module_costs_only_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = module(monkeypatch, "slow", Figure(name="a", value=12.5, unit="s", at_most=10.0), error=OSError("no disk"))
    few = module(monkeypatch, "few", Figure(name="b", value=4.0, unit="1/s", at_least=5.0))
    assert run([slow, few]) == [
        "a is 12.5 s; at most 10 s is allowed",
        "slow could not be measured: OSError",
        "b is 4 1/s; at least 5 1/s is needed",
    ]


def test_a_number_that_is_none_misses_its_bound() -> None:
    assert Figure(name="a", value=float("nan"), unit="s", at_most=1.0).missed


def test_modules_are_found_by_their_files() -> None:
    assert "drift" in modules()
    assert not {"figure", "__main__", "_drift_parts"} & set(modules())
