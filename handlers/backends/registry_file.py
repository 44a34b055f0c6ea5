"""A home-made registry: one JSON file that lists versions and says which of them is in production.

Writing is a compare-and-set under a lock: take the lock, read, compare, write a new file beside it, bring it to the
disk, put it in place of the old one, bring the folder to the disk. What was there before is kept as a backup. A reader
sees the old file or the new one, never half of either. Programs that do not take the same lock can still write in
between; the content is compared once more just before the exchange, which leaves them a moment, not a second.

Where the server reads a plain file (`serves`), the version's own file is put in its place first and the registry says
so afterwards: whoever finds the registry unmoved does the whole step again.

What the file says is not trusted: a version's path must stay inside `folder`, and a symbolic link anywhere on the way
is refused, because it could lead the bot, which may run as somebody powerful, to any file of the machine.

Settings: `folder`, absolute; `file` (default registry.json); `pointer`, the JSON pointer to the version in production
(default /models/{model}/{alias}); `versions`, the one to the versions, an object by version or a list of objects with
`version` (default /models/{model}/versions); `serves`, the file that the server reads, or empty. A version may have
`path`, `sha256`, `status`, `created_at`, `metrics`, `params`, `tags` and `data` (name → digest).
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot.policy.gate import DataSet, Evaluation
from bot.ports import Foreign, ModelVersion
from handlers.backends import _safe_files
from handlers.backends._http import plain
from handlers.backends._safe_files import Damaged, Stray

COPY_S = 7.0  # a step's lease leaves room for twelve
CAP_BYTES = 5_000_000  # a registry of some hundred versions is a few hundred kB
_BACKUPS = 10
_WHO = "The registry file"
_DEFAULTS = {"pointer": "/models/{model}/{alias}", "versions": "/models/{model}/versions", "file": "registry.json"}
_LONG_AGO = datetime.fromtimestamp(0, UTC)


class FileRegistry:
    """A ModelRegistry, and what was recorded of its versions. Safe to use from several threads and processes."""

    def __init__(self, folder: Path, file: str, pointer: str, versions: str, serves: str) -> None:
        self.folder = folder
        self._file = file
        self._pointer = pointer
        self._versions = versions
        self._serves = serves

    def versions(self, model: str) -> Sequence[ModelVersion]:
        """Every version, newest first: by number where all are numbers, else by date and name."""
        found = self._entries(self._read()[0], model)
        here = [_version(name, entry) for name, entry in found.items()]
        if all(one.version.isdecimal() for one in here):
            return sorted(here, key=lambda one: int(one.version), reverse=True)
        return sorted(here, key=lambda one: (one.created_at, one.version), reverse=True)

    def alias(self, model: str, alias: str) -> str | None:
        """The version in production, None when the file names none. Foreign("not_found") without such a model."""
        content, _ = self._read()
        self._entries(content, model)
        return self._current(content, model, alias)

    def move_alias(self, model: str, alias: str, *, expected: str, to: str) -> None:
        """Say that `to` is in production, if the file still says `expected`; the served file goes first."""
        with self._foreign(happened=self._unclear), _safe_files.lock(self.folder, f"{self._file}.lock"):
            content, raw = self._read()
            entries = self._entries(content, model)
            found = self._current(content, model, alias)
            if found == to:
                return
            if found != expected:
                is_now = f"says {found}" if found else "says nothing"
                text = f"{_WHO} {is_now} for {alias} of {plain(model, 80)}, not {expected}: somebody else changed it."
                raise Foreign("conflict", text, happened=False)
            if to not in entries:
                text = f"{_WHO} has no version {plain(to, 80)} of {plain(model, 80)}."
                raise Foreign("not_found", text, happened=False)
            self._put_served(entries[to], to)
            self._write(content, raw, model, alias, to)

    def evaluation(self, model: str, version: ModelVersion) -> Evaluation:
        """What the file records about the version. Foreign("not_found") when it is not listed any more."""
        entries = self._entries(self._read()[0], model)
        entry = entries.get(version.version)
        if entry is None:
            text = f"{_WHO} does not list version {plain(version.version, 80)} any more."
            raise Foreign("not_found", text, happened=False)
        metrics = {name: float(value) for name, value in _part(entry, "metrics").items() if _is_number(value)}
        data = [
            DataSet(name=name, digest=str(value), context="evaluation") for name, value in _part(entry, "data").items()
        ]
        return Evaluation(
            metrics=metrics, params=_words(_part(entry, "params")), tags=_words(_part(entry, "tags")), data=tuple(data)
        )

    def look(self) -> str:
        """Words for `doctor`."""
        content, raw = self._read()
        del content
        may = os.access(self.folder, os.W_OK)
        return f"{self._file} is there, {len(raw)} bytes, its folder {'can' if may else 'CANNOT'} be written to"

    # the file

    @property
    def _unclear(self) -> bool | None:
        """What a failed write leaves: nothing, unless the served file was put in place before."""
        return None if self._serves else False

    def _read(self) -> tuple[Any, bytes]:
        with self._foreign(happened=False):
            raw = _safe_files.read(self.folder, self._file, CAP_BYTES)
        try:
            return json.loads(raw), raw
        except (ValueError, RecursionError):
            text = f"{_WHO} {self._file} is no JSON; perhaps somebody is writing it. Look at it, then ask again."
            raise Foreign("invalid", text, happened=False) from None

    def _write(self, content: Any, raw: bytes, model: str, alias: str, to: str) -> None:
        *parents, last = _parts(self._pointer, model, alias)
        place = _down(content, parents)
        if not isinstance(place, dict):
            text = f"{_WHO} has no object for {plain(model, 80)} at {'/'.join(['', *parents])}. Check `pointer`."
            raise Foreign("invalid", text, happened=False)
        place[last] = int(to) if isinstance(place.get(last), int) and to.isdecimal() else to
        new = f"{json.dumps(content, indent=2, ensure_ascii=False)}\n".encode()
        _safe_files.keep(self.folder, self._file, raw, most=_BACKUPS)
        if _safe_files.read(self.folder, self._file, CAP_BYTES) != raw:
            text = f"{_WHO} was changed by somebody without the lock, just now."
            raise Foreign("conflict", text, happened=self._unclear)
        _safe_files.replace(self.folder, self._file, new)

    def _put_served(self, entry: Mapping[str, Any], to: str) -> None:
        """Put the version's file where the server reads it. Refuses a file whose hash is not the recorded one."""
        if not self._serves:
            return
        path = entry.get("path")
        if not isinstance(path, str) or not path:
            text = f"{_WHO} has no path for version {plain(to, 80)}, so its file cannot be put in place."
            raise Foreign("invalid", text, happened=False)
        wanted = entry.get("sha256")
        wanted = wanted if isinstance(wanted, str) else ""
        try:
            _safe_files.copy(self.folder, path, self._serves, sha256=wanted, within_s=COPY_S)
        except Damaged as found:
            text = f"The file of version {plain(to, 80)} has the SHA-256 {str(found)[:12]}…, the registry recorded "
            text = f"{text}{plain(wanted, 12)}: it is damaged. Choose another version."
            raise Foreign("invalid", text, happened=False) from None

    def _current(self, content: Any, model: str, alias: str) -> str | None:
        found = _down(content, _parts(self._pointer, model, alias))
        return str(found) if isinstance(found, (str, int)) and not isinstance(found, bool) and found != "" else None

    def _entries(self, content: Any, model: str) -> dict[str, Mapping[str, Any]]:
        found = _down(content, _parts(self._versions, model, ""))
        if isinstance(found, list):
            listed = [one for one in found if isinstance(one, dict) and isinstance(one.get("version"), (str, int))]
            return {str(one["version"]): one for one in listed}
        if isinstance(found, dict):
            return {name: one for name, one in found.items() if isinstance(one, dict)}
        text = f"{_WHO} {self._file} has no model {plain(model, 80)}. Check the name and `versions` of this backend."
        raise Foreign("not_found", text, happened=False)

    def _foreign(self, *, happened: bool | None) -> _safe_files.Told:
        return _safe_files.Told(f"{_WHO} {self._file}", happened=happened)


class RegistryFile:
    """The kind of backend as the registry of handlers knows it."""

    kind = "registry-file"
    offers = ("registry",)
    settings = ("folder", "file", "pointer", "versions", "serves")

    def build(self, settings: Mapping[str, str]) -> FileRegistry:
        """A client; opens nothing yet. ValueError names the setting that is missing or wrong."""
        folder = settings.get("folder", "")
        if not folder.startswith("/"):
            raise ValueError(f"{self.kind} needs `folder`, an absolute path; got “{folder[:80]}”.")
        given = {name: settings.get(name) or default for name, default in _DEFAULTS.items()}
        for name in ("file", "serves"):
            path = given.get(name) or settings.get(name, "")
            try:
                _safe_files.steps(path) if path else None
            except Stray as problem:
                raise ValueError(f"{self.kind}: `{name}` {problem}") from None
        for name in ("pointer", "versions"):
            if not given[name].startswith("/"):
                raise ValueError(f"{self.kind}: `{name}` must be a JSON pointer like {_DEFAULTS[name]}.")
        return FileRegistry(
            Path(folder), given["file"], given["pointer"], given["versions"], settings.get("serves", "")
        )

    def check(self, client: object) -> str:
        """Read the file; returns words for `doctor`, raises Foreign."""
        if not isinstance(client, FileRegistry):
            raise TypeError(f"{self.kind}: not a client of this kind")
        return client.look()


def _parts(pointer: str, model: str, alias: str) -> list[str]:
    """The pointer's parts with the names filled in afterwards, so that no name can add a part."""
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    return [part.replace("{model}", model).replace("{alias}", alias) for part in parts]


def _down(content: Any, parts: Sequence[str]) -> Any:
    for part in parts:
        content = content.get(part) if isinstance(content, dict) else None
    return content


def _version(name: str, entry: Mapping[str, Any]) -> ModelVersion:
    status = entry.get("status")
    is_broken = isinstance(status, str) and status.lower() in {"failed", "broken", "pending"}
    return ModelVersion(
        version=name, status=plain(str(status), 40) if is_broken else "READY", tags=_words(_part(entry, "tags")),
        created_at=_moment(entry.get("created_at")), stage=plain(status, 40) if isinstance(status, str) else "",
    )  # fmt: skip


def _moment(found: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(found) if isinstance(found, str) else _LONG_AGO
    except ValueError:
        moment = _LONG_AGO
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _part(entry: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = entry.get(name)
    return found if isinstance(found, dict) else {}


def _words(found: Mapping[str, Any]) -> dict[str, str]:
    return {name: plain(str(value), 8_000) for name, value in found.items() if isinstance(value, (str, int, float))}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and not math.isinf(value)


BACKEND = RegistryFile()
