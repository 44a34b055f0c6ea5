"""The reference page of every setting, made from the shapes; a test holds docs/reference/configuration.md to it."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from bot.config.explain import bare
from bot.config.references import OVERRIDES
from bot.config.settings import Secret
from bot.config.shape import BackendShape, ConfigShape, DefaultsShape, SystemShape

_HEAD = """# Configuration

This page is made from the code; edit the descriptions there.

- `mlops.yaml` is found by `MLOPS_CONFIG`, else in the current folder. Paths in it are relative to it.
- `runbooks/<system>/system.yaml` describes one system each. Adding a system is adding a folder.
- **Secrets are never written.** `${env:NAME}` takes an environment variable, `${file:path}` a file's content. Both may
  stand in any value. Where a secret belongs, anything else is refused.
- **Durations** are numbers with units: `2s`, `15m`, `1h30m`, `2d`.
- A key that is not known is refused, with the nearest known one; a key that is written twice is refused.
- `mlops-bot check` names every problem as `file:line: what is wrong; what to do`.

## Environment

These override the file:

"""
_TYPES = {
    "Secret": "secret",
    "timedelta": "duration",
    "str": "text",
    "int": "number",
    "float": "number",
    "bool": "true/false",
}


def configuration_page() -> str:
    """The page as Markdown."""
    told: dict[type[BaseModel], str] = {}
    parts = [_HEAD, *(f"- `{name}` → `{'.'.join(map(str, at))}`\n" for name, at in OVERRIDES.items())]
    parts.append("\n## mlops.yaml\n")
    parts += _section(ConfigShape, "", told)
    parts.append("\n## system.yaml\n\nThe keys of `defaults` (above), which win over it here, and:\n")
    parts += _section(SystemShape, "", told, but=DefaultsShape)
    return "".join(parts)


def _section(
    model: type[BaseModel], prefix: str, told: dict[type[BaseModel], str], but: type[BaseModel] | None = None
) -> Iterator[str]:
    names = [name for name in model.model_fields if but is None or name not in but.model_fields]
    yield "\n| key | type | default | what it means |\n|---|---|---|---|\n"
    for name in names:
        info = model.model_fields[name]
        yield f"| `{prefix}{name}` | {_type(bare(info.annotation))} | {_default(info)} | {_cell(info.description)} |\n"
    for name in names:
        inner, path = _inner(bare(model.model_fields[name].annotation), f"{prefix}{name}")
        if inner is None:
            continue
        if inner in told:
            yield f"\n`{path}` has the keys of `{told[inner]}`.\n"
            continue
        told[inner] = path
        yield f"\n### `{path}`\n\n{_cell(inner.__doc__)}\n"
        if inner is BackendShape:
            yield "Every other key is a setting of that kind; what ends in token, password or key is a secret.\n"
        yield from _section(inner, f"{path}.", told)


def _inner(annotation: Any, path: str) -> tuple[type[BaseModel] | None, str]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, path
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is dict and args:
        return _inner(bare(args[1]), f"{path}.NAME")
    if origin is list and args:
        return _inner(bare(args[0]), f"{path}[]")
    return None, path


def _type(annotation: Any) -> str:
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return " or ".join(f"`{choice}`" if choice else "empty" for choice in args)
    if origin is list:
        return f"list of {_type(bare(args[0]))}"
    if origin is dict:
        return f"NAME: {_type(bare(args[1]))}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "keys below"
    return _TYPES.get(getattr(annotation, "__name__", ""), "text")


def _default(info: FieldInfo) -> str:
    value = info.default
    if value is PydanticUndefined:
        return "–" if info.default_factory else "**required**"
    if isinstance(value, Secret):
        return f"`{value.reveal()}`" if value else "–"
    if isinstance(value, timedelta):
        return f"`{_span(value)}`"
    return "–" if value in (None, "") else f"`{value}`"


def _span(value: timedelta) -> str:
    seconds = int(value.total_seconds())
    return f"{seconds // 60}m" if seconds >= 60 and seconds % 60 == 0 else f"{seconds}s"


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")
