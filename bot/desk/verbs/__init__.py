"""The verbs that people say, one function each, found by name.

A module here offers rows `VERBS` and, for each row, a function `say_<name>(room, command, asker) -> Reply`. Adding a
verb is adding a row and a function; adding a module is adding a file. A row without its function, a function without
its row, or a name that is taken stops the start.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

from bot.desk.reply import Asker, Reply
from bot.desk.room import Room
from bot.registry import RegistryError
from handlers.commands import Command, Verb

Answer = Callable[[Room, Command, Asker], Reply]
_PREFIX = "say_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """A verb and the function that answers it."""

    verb: Verb
    answer: Answer


def load() -> dict[str, Spoken]:
    """Every verb by name, in the order of the modules' names and of their rows. RegistryError for one that is wrong."""
    modules = [
        importlib.import_module(f"{__name__}.{found.name}")
        for found in sorted(pkgutil.iter_modules(__path__), key=lambda found: found.name)
    ]
    return table(modules)


def table(modules: list[ModuleType]) -> dict[str, Spoken]:
    """The dispatch table of these modules. RegistryError names the module and the verb that is wrong."""
    found: dict[str, Spoken] = {}
    for module in modules:
        rows: tuple[Verb, ...] = getattr(module, "VERBS", ())
        answers = {name.removeprefix(_PREFIX) for name in vars(module) if name.startswith(_PREFIX)}
        for odd in sorted(answers ^ {verb.name for verb in rows}):
            missing = "row in VERBS" if odd in answers else f"function {_PREFIX}{odd}"
            raise RegistryError(f"{module.__name__}: the verb “{odd}” has no {missing}; add it.")
        for verb in rows:
            if verb.name in found:
                raise RegistryError(f"{module.__name__}: the verb “{verb.name}” exists already; choose another name.")
            found[verb.name] = Spoken(verb=verb, answer=getattr(module, _PREFIX + verb.name))
    return found
