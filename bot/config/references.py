"""`${env:NAME}` and `${file:/path}` in values, and the rule that a secret is never written down.

Whatever stands at a secret place must be a reference. What a reference gave there is collected, so that outputs can be
held against it. No message here shows a value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.config.settings import Secret
from bot.marked import At, Marked, Problem

_REFERENCE = re.compile(r"\$\{([^}]*)\}")
_SECRET_KEYS = re.compile(r"(^|_)(token|password|passwd|secret|key|credentials?)$")
_PASSWORD_IN_URL = re.compile(r"://[^/@:\s]*:([^/@\s]+)@")
_BIGGEST_BYTES = 64 * 1024

OVERRIDES: Mapping[str, At] = {
    "SLACK_BOT_TOKEN": ("slack", "bot_token"),
    "SLACK_APP_TOKEN": ("slack", "app_token"),
    "SLACK_SIGNING_SECRET": ("slack", "signing_secret"),
    "SLACK_API_URL": ("slack", "api_url"),
    "MLOPS_DATABASE_URL": ("database", "url"),
    "MLOPS_WEBHOOK_TOKEN": ("http", "webhook_token"),
    "MLOPS_SECRET_KEY": ("secret_key",),
}
_SECRET_PLACES = frozenset(at for at in OVERRIDES.values() if at not in {("slack", "api_url"), ("database", "url")})


@dataclass(slots=True)
class Resolver:
    """Replaces references in one document. `is_lenient`: an absent secret is a warning and becomes empty."""

    marked: Marked
    env: Mapping[str, str]
    is_lenient: bool = False
    problems: list[Problem] = field(default_factory=list)
    secrets: list[Secret] = field(default_factory=list)
    overridden: frozenset[At] = frozenset()

    def resolve(self) -> Any:
        """The document's value without references; problems and secrets are kept on the side."""
        return self._walk(self.marked.value, ())

    def _walk(self, value: Any, at: At) -> Any:
        if isinstance(value, dict):
            return {key: self._walk(item, (*at, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self._walk(item, (*at, number)) for number, item in enumerate(value)]
        is_secret = _is_secret(at)
        text = str(value)
        if is_secret and value is not None and not _REFERENCE.fullmatch(text):
            self._flaw(at, f'"{at[-1]}" is a secret and must not be written here; use ${{env:NAME}} or ${{file:/path}}')
            return ""
        if not isinstance(value, str) or at in self.overridden:
            return value
        if (found := _PASSWORD_IN_URL.search(text)) and "${" not in found[1]:
            self._flaw(at, "the password must not be written in the address; use ${env:NAME} in its place")
            return ""
        filled = _REFERENCE.sub(lambda reference: self._one(reference[1], at, is_secret=is_secret), text)
        if filled and (is_secret or (filled != text and _is_address(at))):
            self.secrets.append(Secret(filled))
        if found := _PASSWORD_IN_URL.search(filled):
            self.secrets.append(Secret(found[1]))
        return filled

    def _one(self, reference: str, at: At, *, is_secret: bool) -> str:
        kind, _, name = reference.partition(":")
        if kind == "env" and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            found = self.env.get(name, "")
            if not found:
                self._absent(at, f"environment variable {name} is not set or empty; set it", is_secret=is_secret)
            return found
        if kind == "file" and name:
            return self._file(name, at, is_secret=is_secret)
        self._flaw(at, f'"${{{reference[:40]}}}" is not a reference; use ${{env:NAME}} or ${{file:/path}}')
        return ""

    def _file(self, name: str, at: At, *, is_secret: bool) -> str:
        path = Path(self.marked.file).parent / name
        try:
            if path.stat().st_size > _BIGGEST_BYTES:
                self._flaw(at, f"{name} is larger than 64 KiB; a reference is for one value")
                return ""
            found = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as problem:
            reason = problem.strerror if isinstance(problem, OSError) else "not UTF-8"
            self._absent(at, f"{name} cannot be read ({reason}); make it a readable file", is_secret=is_secret)
            return ""
        if not found:
            self._absent(at, f"{name} is empty; write the value into it", is_secret=is_secret)
        return found

    def _absent(self, at: At, text: str, *, is_secret: bool) -> None:
        self.problems.append(self.marked.problem(at, text, warning=is_secret and self.is_lenient))

    def _flaw(self, at: At, text: str) -> None:
        self.problems.append(self.marked.problem(at, text))


def places(env: Mapping[str, str]) -> frozenset[At]:
    """The places that the environment sets."""
    return frozenset(at for name, at in OVERRIDES.items() if env.get(name))


def override(value: dict[str, Any], env: Mapping[str, str]) -> None:
    """Put what the environment sets into the document, in place."""
    for name, at in OVERRIDES.items():
        if not env.get(name):
            continue
        group: Any = value
        for key in at[:-1]:
            if isinstance(group, dict) and group.get(str(key)) is None:
                group[str(key)] = {}
            group = group.get(str(key)) if isinstance(group, dict) else None
        if isinstance(group, dict):
            group[str(at[-1])] = env[name]


def overridden_secrets(env: Mapping[str, str]) -> list[Secret]:
    """The secrets that came by the environment alone."""
    found = [Secret(env[name]) for name, at in OVERRIDES.items() if at in _SECRET_PLACES and env.get(name)]
    password = _PASSWORD_IN_URL.search(env.get("MLOPS_DATABASE_URL", ""))
    return [*found, *([Secret(password[1])] if password else [])]


def _is_address(at: At) -> bool:
    """Whether the value is the address of data; one that was referred to may hold a signature or a password."""
    if len(at) == 6 and at[0] == "rotations" and at[4] == "calendar":
        return at[5] == "url"
    return len(at) == 5 and at[0] == "models" and at[2] == "drift" and at[4] in {"url", "database"}


def _is_secret(at: At) -> bool:
    if at in _SECRET_PLACES or at == ("pulse", "token"):
        return True
    if len(at) == 4 and at[0] == "people" and at[2] == "media":
        return True
    in_backend = len(at) == 3 and at[0] == "backends"
    in_options = len(at) == 6 and at[0] == "models" and at[2] == "drift" and at[4] == "options"
    return (in_backend or in_options) and bool(_SECRET_KEYS.search(str(at[-1]).lower()))
