"""Draw docs/reference/states.md from the state tables in bot/states.py, so that the picture cannot lie.

`python docs/draw_states.py` writes the page; with `--check` it only says whether the page is current (exit 1 when not).
"""
# ruff: noqa: INP001  # a script that people run by path

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

from bot.states import MACHINES, AnyMachine

PAGE = Path(__file__).parent / "reference" / "states.md"
_HEAD = """\
# States

Drawn from the tables in `bot/states.py` by `python docs/draw_states.py`; a test fails when this page is stale.

Every event is decided in every state. An arrow is a move. A pair that is no arrow is *late*: a duplicate, a stale
click, a timer that lost a race. Late events change nothing, and they are no error.
"""
_ABOUT = {
    "incident": "Where an incident stands. `acknowledged` and `snoozed` rest the ladder; `resolved` ends it.",
    "escalation": "What the ladder of people is doing. Due times are absolute, so an outage delays no later level.",
    "plan": "The life of one guarded action, from the request to the proof.",
    "delivery": "Where one outgoing message or piece of work stands. `unknown` is looked for before it is sent again.",
}


def drawing(machine: AnyMachine) -> str:
    """One machine as a Mermaid diagram. Events between the same two states share an arrow."""
    arrows: dict[tuple[str, str], list[str]] = defaultdict(list)
    for (state, event), following in machine.moves.items():
        arrows[state, following].append(event)
    order = [str(state) for state in machine.states]
    leaving = {start for start, following in arrows if start != following}
    lines = ["stateDiagram-v2", f"    [*] --> {order[0]}"]
    for (start, following), events in sorted(arrows.items(), key=lambda arrow: tuple(map(order.index, arrow[0]))):
        lines.append(f"    {start} --> {following}: {', '.join(events)}")
    lines += [f"    {state} --> [*]" for state in order if state not in leaving]
    return "\n".join(["```mermaid", *lines, "```"])


def late_pairs(machine: AnyMachine) -> str:
    """What is late in which state, as a list."""
    lines = []
    for state in machine.states:
        late = [event for event in machine.events if (state, event) in machine.late]
        said = "nothing" if not late else "everything" if len(late) == len(machine.events) else ", ".join(late)
        lines.append(f"- `{state}`: {said}")
    return "\n".join(lines)


def page() -> str:
    """The whole page."""
    parts = [_HEAD]
    for machine in MACHINES:
        title = machine.name.capitalize()
        parts.append(f"## {title}\n\n{_ABOUT[machine.name]}\n\n{drawing(machine)}\n\nLate:\n\n{late_pairs(machine)}\n")
    return "\n".join(parts)


def main(words: list[str]) -> int:
    """Write the page, or with `--check` say whether it is current."""
    if words == ["--check"]:
        is_current = PAGE.is_file() and PAGE.read_text() == page()
        sys.stdout.write(f"{PAGE.name} is {'current' if is_current else 'stale: run python docs/draw_states.py'}\n")
        return 0 if is_current else 1
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
