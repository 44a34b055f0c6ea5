"""A verb is a row and a function, found by name; a wrong one stops the start instead of answering strangely."""

from __future__ import annotations

from types import ModuleType

import pytest

from bot.desk.reply import Reply
from bot.desk.verbs import load, table
from bot.registry import RegistryError
from handlers.commands import LOOK, Verb


def module(name: str, rows: tuple[str, ...], answers: tuple[str, ...]) -> ModuleType:
    made = ModuleType(name)
    made.VERBS = tuple(Verb(name=row, usage=row, summary=row, group=LOOK) for row in rows)  # type: ignore[attr-defined]
    for answer in answers:
        setattr(made, f"say_{answer}", lambda room, command, asker: Reply(text="fine"))
    return made


def test_each_verb_leads_to_its_own_function() -> None:
    for name, spoken in load().items():
        assert spoken.verb.name == name
        assert spoken.answer.__name__ == f"say_{name}"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "modules, says",
    [
        ([module("one", ("dance",), ())], "one: the verb “dance” has no function say_dance"),
        ([module("one", (), ("dance",))], "one: the verb “dance” has no row in VERBS"),
        ([module("one", ("sing",), ("sing",)), module("two", ("sing",), ("sing",))], "two: the verb “sing” exists"),
    ],
)
def test_a_wrong_verb_stops_the_start(modules: list[ModuleType], says: str) -> None:
    with pytest.raises(RegistryError, match=says):
        table(modules)
