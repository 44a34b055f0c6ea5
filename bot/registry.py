"""What this installation can do, found by looking into the folders of `handlers`.

Every module of `handlers.actions` offers one value `ACTION`, of `handlers.diagnostics` one `DIAGNOSTIC`, and so on.
Adding a file is all it takes. Nothing registers itself on import, and no backend imports its vendor's SDK here. A
module whose name begins with `_` is shared code and offers nothing.

Rejected: decorators (importing would have effects), entry points (there is no stranger who ships plugins).
"""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from bot.ports import Action, Backend, Diagnostic, Source

T = TypeVar("T")


class RegistryError(ValueError):
    """A handler file is wrong, or a configuration file names something unknown. The message names file and key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """Everything that was found, by name."""

    actions: Mapping[str, Action]
    diagnostics: Mapping[str, Diagnostic]
    backends: Mapping[str, Backend]
    sources: Mapping[str, Source]

    def action(self, name: str, *, file: str, key: str) -> Action:
        """The action of that name. RegistryError names `file`, `key` and the nearest known action."""
        return _get(self.actions, name, "action", file, key)

    def diagnostic(self, name: str, *, file: str, key: str) -> Diagnostic:
        """The diagnostic of that name. RegistryError names `file`, `key` and the nearest known diagnostic."""
        return _get(self.diagnostics, name, "diagnostic", file, key)

    def backend(self, kind: str, *, file: str, key: str) -> Backend:
        """The kind of backend of that name. RegistryError names `file`, `key` and the nearest known kind."""
        return _get(self.backends, kind, "kind of backend", file, key)

    def source(self, name: str, *, file: str, key: str) -> Source:
        """The alert source of that name. RegistryError names `file`, `key` and the nearest known source."""
        return _get(self.sources, name, "alert source", file, key)


def load(package: str = "handlers") -> Registry:
    """Import every handler module below `package` and take its one value. RegistryError for a file that is wrong."""
    return Registry(
        actions=_found(f"{package}.actions", "ACTION", Action, lambda one: one.name),
        diagnostics=_found(f"{package}.diagnostics", "DIAGNOSTIC", Diagnostic, lambda one: one.name),
        backends=_found(f"{package}.backends", "BACKEND", Backend, lambda one: one.kind),
        sources=_found(f"{package}.sources", "SOURCE", Source, lambda one: one.name),
    )


def _found(package: str, key: str, kind: Any, name_of: Callable[[Any], object]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    files: dict[str, str] = {}
    for module in _modules(package):
        file = f"{module.replace('.', '/')}.py"
        value = _value(module, file, key, kind)
        name = name_of(value)
        if not isinstance(name, str) or not name:
            raise RegistryError(f"{file}: {key} has no name. Give it one that nothing else has.")
        if name in found:
            raise RegistryError(
                f"{file}: {key} is named “{name}”, and so is the one in {files[name]}. Rename one of the two."
            )
        found[name] = value
        files[name] = file
    return found


def _modules(package: str) -> Iterable[str]:
    try:
        folder = importlib.import_module(package)
    except ModuleNotFoundError as error:
        raise RegistryError(
            f"{package.replace('.', '/')}: the folder is missing. Add it with an __init__.py."
        ) from error
    names = sorted(found.name for found in pkgutil.iter_modules(folder.__path__))
    return [f"{package}.{name}" for name in names if not name.startswith("_")]


def _value(module: str, file: str, key: str, kind: Any) -> object:
    try:
        imported = importlib.import_module(module)
    except Exception as error:
        raise RegistryError(
            f"{file}: cannot be imported ({type(error).__name__}: {error}). Correct the file."
        ) from error
    if not hasattr(imported, key):
        raise RegistryError(
            f"{file}: offers no {key}. Set {key} to its one {kind.__name__.lower()}, "
            "or begin the file's name with _ when it is shared code."
        )
    value = getattr(imported, key)
    if isinstance(value, type) or not isinstance(value, kind):
        lacking = [name for name in _members(kind) if not hasattr(value, name)]
        what = f"it lacks {', '.join(lacking)}" if lacking else "it is a class, not a value"
        raise RegistryError(f"{file}: {key} is not fit to be an {kind.__name__.lower()}: {what}. See bot/ports.py.")
    return value


def _members(kind: type) -> list[str]:
    """What a value of this Protocol must have."""
    return sorted(name for name in {*vars(kind), *getattr(kind, "__annotations__", {})} if not name.startswith("_"))


def _get(known: Mapping[str, T], name: str, what: str, file: str, key: str) -> T:
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    hint = f"did you mean “{near[0]}”?" if near else f"known: {', '.join(sorted(known)) or 'none'}."
    raise RegistryError(f"{file}: {key}: there is no {what} “{name[:80]}”; {hint}")
