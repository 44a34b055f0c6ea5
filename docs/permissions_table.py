"""The table of docs/reference/kubernetes-permissions.md, made from the rules that the guards ask for."""
# ruff: noqa: INP001  # a script that people run by path

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from handlers._kube_rules import ACT, LOOK, Rule

PAGE = Path(__file__).parent / "reference" / "kubernetes-permissions.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def table() -> str:
    """Two Markdown tables: by verb of the bot, then rule by rule."""
    verbs = sorted({verb for rule in (*LOOK, *ACT) for verb in rule.for_})
    lines = ["| what you say, or a diagnostic | rules it needs | rules it can do without |", "|---|---|---|"]
    for verb in verbs:
        needed = _words(rule for rule in (*LOOK, *ACT) if verb in rule.for_ and not rule.is_optional)
        spared = _words(rule for rule in (*LOOK, *ACT) if verb in rule.for_ and rule.is_optional)
        lines.append(f"| `{verb}` | {needed or '–'} | {spared or '–'} |")
    lines += ["", "| role | group | resource | verb | for |", "|---|---|---|---|---|"]
    for role, rules in (("look", LOOK), ("act", ACT)):
        lines += [
            f"| {role} | {rule.kind.group or 'core'} | {rule.resource} | {rule.verb} | {', '.join(rule.for_)} |"
            for rule in rules
        ]
    return "\n".join(lines)


def page(text: str) -> str:
    """The page with the table of now."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return f"{head}{BEGIN}\n{table()}\n{END}{tail}"


def _words(rules: Iterable[Rule]) -> str:
    return "<br>".join(dict.fromkeys(rule.words for rule in rules))


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
