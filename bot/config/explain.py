"""What pydantic found wrong, in words: file, line, what is wrong, what to do."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from bot.marked import At, Marked, Problem, nearest

_EXPECTED: Mapping[str, str] = {
    "string_type": "must be a text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list; begin each line with a dash",
    "dict_type": "must be keys and values, indented below",
    "model_type": "must be keys and values, indented below",
    "string_too_short": "must not be empty",
}
_PATTERNS: Mapping[str, str] = {
    "user_id": "must be a Slack user id, like U012AB3CD; copy it from the person's profile",
    "team_id": "must be a Slack workspace id, like T012AB3CD",
    "public_url": "must be an http(s) address",
}


def explain(problem: ValidationError, marked: Marked, model: type[BaseModel]) -> list[Problem]:
    """One line for each thing pydantic found; no value that might be secret is shown."""
    return [_one(dict(error), marked, model) for error in problem.errors(include_url=False, include_input=False)]


def _one(error: dict[str, Any], marked: Marked, model: type[BaseModel]) -> Problem:
    at: At = tuple(part for part in error["loc"] if part != "[key]")
    key = str(at[-1]) if at else ""
    kind = str(error["type"])
    if kind == "extra_forbidden":
        return marked.problem(at, f'unknown key "{key}"; {nearest(key, _keys(model, at[:-1]))}')
    if kind == "missing":
        return marked.problem(at, f'"{key}" is missing; add it')
    if kind == "value_error":
        said = str(error.get("ctx", {}).get("error", error["msg"]))
        return marked.problem(at, f'"{key}": {said}')
    if kind == "literal_error":
        return marked.problem(at, f'"{key}" must be {error["ctx"]["expected"]}; choose one')
    if kind == "string_pattern_mismatch":
        text = _PATTERNS.get(key, "must be a plain name: letters, digits, dot, dash, underscore, at most 63; rename it")
        return marked.problem(at, f'"{key}" {text}')
    if kind in _EXPECTED:
        return marked.problem(at, f'"{key or "the file"}" {_EXPECTED[kind]}; correct it')
    return marked.problem(at, f'"{key}": {error["msg"]}; correct it')


def _keys(model: type[BaseModel], at: At) -> list[str]:
    """Names of the fields of the model that stands at that place."""
    current: Any = model
    for part in at:
        inner = _inner(current, part)
        if inner is None:
            return []
        current = inner
    return list(current.model_fields) if _is_model(current) else []


def _inner(current: Any, part: str | int) -> Any:
    if _is_model(current):
        info = current.model_fields.get(str(part))
        return bare(info.annotation) if info else None
    args = typing.get_args(current)
    return bare(args[-1]) if args else None


def bare(annotation: Any) -> Any:
    """Without Annotated and None."""
    while typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    choices = [choice for choice in typing.get_args(annotation) if choice is not type(None)]
    if type(None) in typing.get_args(annotation) and len(choices) == 1:
        return bare(choices[0])
    return annotation


def _is_model(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, BaseModel)
