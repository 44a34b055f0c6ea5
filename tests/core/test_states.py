"""The four tables decide every pair, and the page that shows them is drawn from them."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from bot.states import MACHINES, AnyMachine, Machine

DRAWER = Path(__file__).parents[2] / "docs" / "draw_states.py"


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_each_pair_is_a_move_or_late_and_never_both(machine: AnyMachine) -> None:
    every = {(state, event) for state in machine.states for event in machine.events}

    assert machine.moves.keys() | machine.late == every
    assert not machine.moves.keys() & machine.late
    assert set(machine.moves.values()) <= set(machine.states)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_each_state_can_be_reached_and_each_event_moves_something(machine: AnyMachine) -> None:
    reached: set[str] = {next(iter(machine.states))}
    for _ in machine.states:
        reached |= {to for (state, _), to in machine.moves.items() if state in reached}

    assert reached >= set(machine.states) - {"stopped"}  # a change's ladder begins stopped
    assert {event for _, event in machine.moves} == set(machine.events)


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_a_late_event_has_no_next_state(machine: Machine[Any]) -> None:
    assert all(machine.next(state, event) is None for state, event in machine.late)
    assert all(machine.next(state, event) == to for (state, event), to in machine.moves.items())


def test_the_page_shows_the_tables_as_they_are() -> None:
    drawer = runpy.run_path(str(DRAWER))

    assert drawer["PAGE"].read_text() == drawer["page"](), "stale: run python docs/draw_states.py"


def test_the_page_names_every_state_and_every_move() -> None:
    text = runpy.run_path(str(DRAWER))["page"]()

    for machine in MACHINES:
        for (state, event), to in machine.moves.items():
            arrows = [line for line in text.splitlines() if line.startswith(f"    {state} --> {to}: ")]
            assert any(event in arrow.partition(": ")[2].split(", ") for arrow in arrows), (machine.name, state, event)
