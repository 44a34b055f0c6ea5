"""Requests and reports as JSON, and back. What comes back is a stranger's word and is checked field by field."""

from __future__ import annotations

import json
import math
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")
_TIME = "$at"  # marks a time inside values that may also be text


def dumps(record: Any) -> str:
    """A record of this package as JSON. Raises ValueError for a number that is not finite."""
    return json.dumps(_plain(record), allow_nan=False)


def loads(text: str | bytes, kind: type[T]) -> T:
    """The record. Raises ValueError, naming the field, for anything that does not fit exactly."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{kind.__name__} is not JSON") from error
    return of_plain(given, kind)


def of_plain(given: Any, kind: type[T]) -> T:
    """The same from JSON that was read already."""
    try:
        found: T = _record(given, kind, kind.__name__)
    except OverflowError as error:
        raise ValueError(f"{kind.__name__} holds a number beyond all bounds") from error
    return found


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        return {_TIME: value.isoformat()}
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value


def _record(given: Any, kind: Any, at: str) -> Any:
    if not isinstance(given, dict):
        raise ValueError(f"{at} is not an object")
    hints = _hints(kind)
    if unknown := sorted(set(given) - set(hints)):
        raise ValueError(f"{at} has an unknown field {unknown[0][:60]!r}")
    try:
        return kind(**{name: _value(item, hints[name], f"{at}.{name}") for name, item in given.items()})
    except TypeError as error:
        raise ValueError(f"{at} lacks a field") from error


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _value(given: Any, hint: Any, at: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in {typing.Union, types.UnionType}:
        return _one_of(given, arguments, at)
    if origin is tuple:
        if not isinstance(given, list):
            raise ValueError(f"{at} is not a list")
        return tuple(_value(item, arguments[0], f"{at}[{place}]") for place, item in enumerate(given))
    if origin is not None:  # a mapping, the only other one in use
        if not isinstance(given, dict):
            raise ValueError(f"{at} is not an object")
        return {key: _value(item, arguments[1], f"{at}.{key[:60]}") for key, item in given.items()}
    if is_dataclass(hint):
        return _record(given, hint, at)
    return _scalar(given, hint, at)


def _one_of(given: Any, choices: tuple[Any, ...], at: str) -> Any:
    for choice in choices:
        try:
            return _value(given, choice, at)
        except ValueError:
            continue
    raise ValueError(f"{at} has the wrong form")


def _scalar(given: Any, hint: Any, at: str) -> Any:
    if hint is type(None) and given is None:
        return None
    if hint is datetime and isinstance(given, dict) and isinstance(given.get(_TIME), str):
        found = datetime.fromisoformat(given[_TIME])
        if found.tzinfo is None:
            raise ValueError(f"{at} is a time without a zone")
        return found
    is_number = isinstance(given, (int, float)) and not isinstance(given, bool)
    if hint is timedelta and is_number:
        return timedelta(seconds=given)
    if hint is float and is_number and math.isfinite(given):
        return float(given)
    if isinstance(hint, type) and issubclass(hint, StrEnum) and isinstance(given, str):
        return hint(given)
    if hint in {str, int, bool} and type(given) is hint:
        return given
    raise ValueError(f"{at} has the wrong form")
