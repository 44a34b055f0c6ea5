"""Commands of the profile, run on the bot's own machine: a program and its arguments, never a shell.

Settings: `folder` (where runs are kept: one folder each, with the log and how it ended); `env` (the command's whole
environment, as `NAME=value` words); `path` (where programs are looked for). Nothing of the bot's own environment
reaches a command.

A run belongs to a keeper, a small process outside the bot (`_command_keeper.py`), so a restart of the bot ends nothing
and forgets nothing. A run is started at most once: the keeper makes a file with O_EXCL before it starts the command.
Only this machine can tell of its runs, so `place` names it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bot.policy.training import TrainingProfile
from bot.ports import Foreign, Ready, Run
from handlers.backends._command_keeper import start_time

KEEPER = Path(__file__).with_name("_command_keeper.py")
START_S = 9.0  # the keeper is up in a tenth of a second; a step's lease leaves room for twelve
LOG_BYTES = 2_000_000
TAIL_BYTES = 64_000
TAIL_LINES = 200
KEPT_RUNS = 100
PATH = "/usr/local/bin:/usr/bin:/bin"
_KEY = re.compile(r"[A-Za-z0-9][\w.-]{0,120}")
_SHORTEST_SECRET = 6  # a shorter value would blacken innocent words of the log


class Commands:
    """Trainings on this machine. Safe to use from several threads and processes."""

    def __init__(self, folder: Path, env: Mapping[str, str], path: str) -> None:
        self.folder = folder
        self.place = socket.gethostname()
        self._env = {"PATH": path, "LANG": "C.UTF-8", **env}
        self._hidden = sorted((v for v in env.values() if len(v) >= _SHORTEST_SECRET), key=len, reverse=True)

    def ready(self, training: TrainingProfile, values: Mapping[str, str]) -> Ready:
        """Whether the program is there and nothing of it runs. Raises Foreign when the folder cannot be read."""
        words = training.words(values)
        program = shutil.which(words[0], path=self._env["PATH"])
        running = self._running(training)
        facts = {
            "machine": self.place, "running": ", ".join(running) or "none", "program": _identity(program),
            "words": hashlib.sha256("\0".join(words).encode()).hexdigest()[:12],
        }  # fmt: skip
        shown = shlex.join(words)
        what = f"command {training.name} on {self.place}"
        start = f"On {self.place}: run `{shown}`, no shell, for at most {_minutes(training)}; at most once."
        return Ready(refusal=self._refusal(training, words, program, running), what=what, start=start, facts=facts)

    def start(self, training: TrainingProfile, key: str, values: Mapping[str, str], note: str) -> None:
        """Hand the command to a keeper. Harmless when it was begun before. Raises Foreign."""
        folder = self._of(key)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "note").write_text(f"{note}\n", encoding="utf-8")
            self._prune()
        except OSError as problem:
            raise Foreign("refused", f"{folder} cannot be made: {problem.strerror}.", happened=False) from None
        order = {
            "words": list(training.words(values)), "cwd": training.folder or str(folder), "env": self._env,
            "limit_s": training.limit.total_seconds(), "log_bytes": LOG_BYTES,
        }  # fmt: skip
        self._hand_over(folder, order)

    def run(self, training: TrainingProfile, key: str) -> Run | None:
        """What the keeper wrote down, and whether it is alive."""
        folder = self._of(key)
        if not (folder / "begun").exists():
            return None
        is_kept = _is_locked(folder / "lock")  # before `ended.json`: it is written while the lock is held
        ended, command = _read(folder / "ended.json"), _read(folder / "command.json")
        began_at, where = _time(command), f"The whole log: {folder / 'log'} on {self.place}."
        if ended is not None:
            code = int(ended["exit_code"])
            return Run(
                state="failed" if code or ended["is_over_time"] else "succeeded", began_at=began_at,
                ended_at=_time(ended), exit_code=code, is_over_time=bool(ended["is_over_time"]), log=self._tail(folder),
                where=where,
            )  # fmt: skip
        if is_kept:
            return Run(state="running", began_at=began_at, task=self._last_line(folder), where=where)
        if command is not None and start_time(int(command["pid"])) == command["start_time"] != "":
            trouble = "What kept it is gone, so nobody will see how it ends."
            return Run(state="running", began_at=began_at, task=self._last_line(folder), trouble=trouble, where=where)
        text = f"{self.place} or the keeper went down while it ran, so nobody saw how it ended."
        return Run(state="lost", began_at=began_at, trouble=f"{text} It is not started again by itself.", where=where)

    def _hand_over(self, folder: Path, order: Mapping[str, Any]) -> None:
        try:
            with (folder / "keeper.log").open("ab") as log:
                done = subprocess.run(
                    [sys.executable, "-I", str(KEEPER), str(folder)], input=json.dumps(order).encode(), stdout=log,
                    stderr=log, start_new_session=True, timeout=START_S, check=False, env={"PATH": PATH}, cwd=folder,
                )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Foreign("timeout", f"The keeper of the command did not answer within {START_S:g} s.") from None
        except OSError as problem:
            text = f"No keeper could be started on {self.place}: {problem.strerror}."
            raise Foreign("overloaded", text, happened=False) from None
        if done.returncode not in (0, 3):
            text = f"The keeper of the command ended with status {done.returncode}; see {folder / 'keeper.log'}."
            raise Foreign("broken", text)

    def _refusal(
        self, training: TrainingProfile, words: tuple[str, ...], program: str | None, running: list[str]
    ) -> str:
        if program is None:
            return f"There is no program “{words[0]}” on {self.place}. Correct `command` of {training.name}."
        if training.folder and not Path(training.folder).is_dir():
            return f"There is no folder {training.folder} on {self.place}. Correct `folder` of {training.name}."
        if running:
            return f"{training.name} runs already ({running[0]}). Wait until it has ended."
        near = next(one for one in (self.folder, *self.folder.parents) if one.exists())
        if not os.access(near, os.W_OK | os.X_OK):
            return f"The bot may not write to {near} on {self.place}, where runs are kept. Change that, then ask again."
        return ""

    def _running(self, training: TrainingProfile) -> list[str]:
        prefix = f"mlops-{training.name[:40].rstrip('-._')}-"
        found = [one for one in self._folders() if one.name.startswith(prefix)]
        return sorted(one.name for one in found if not (one / "ended.json").exists() and _is_locked(one / "lock"))

    def _folders(self) -> list[Path]:
        try:
            return [one for one in self.folder.iterdir() if one.is_dir()] if self.folder.exists() else []
        except OSError as problem:
            text = f"{self.folder} cannot be read: {problem.strerror}."
            raise Foreign("refused", text, happened=False) from None

    def _prune(self) -> None:
        """Remove the oldest runs that have ended, so that the disk is not filled."""
        ended = [one for one in self._folders() if (one / "ended.json").exists()]
        for old in sorted(ended, key=lambda one: (one / "ended.json").stat().st_mtime)[:-KEPT_RUNS]:
            shutil.rmtree(old, ignore_errors=True)

    def _of(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise Foreign("invalid", "That is no name of a run.", happened=False)
        return self.folder / key

    def _tail(self, folder: Path) -> str:
        pieces = [_end(folder / name) for name in ("log.1", "log")]
        text = b"".join(pieces)[-TAIL_BYTES:].decode(errors="replace")
        for value in self._hidden:
            text = text.replace(value, "…")
        return "\n".join(text.splitlines()[-TAIL_LINES:])

    def _last_line(self, folder: Path) -> str:
        lines = [line for line in self._tail(folder).splitlines() if line.strip()]
        return lines[-1].rpartition("\r")[2] if lines else ""


class CommandBackend:
    """The kind of backend as the registry of handlers knows it."""

    kind = "command"
    offers = ("commands",)
    settings = ("folder", "env", "path")

    def build(self, settings: Mapping[str, str]) -> Commands:
        """A client; starts nothing. ValueError names the setting that is missing or wrong."""
        folder = Path(settings.get("folder", ""))
        if not folder.is_absolute():
            raise ValueError(f"{self.kind} needs `folder`, an absolute path where runs are kept.")
        try:
            words = shlex.split(settings.get("env", ""))
        except ValueError as problem:
            raise ValueError(f"{self.kind}: `env` cannot be read ({problem}). Write NAME=value words.") from None
        env = dict(word.partition("=")[::2] for word in words)
        wrong = [name for word, name in zip(words, env, strict=False) if "=" not in word or not name.isidentifier()]
        if wrong:
            raise ValueError(f"{self.kind}: `env` holds something else than NAME=value. Correct it.")
        return Commands(folder, env, settings.get("path") or PATH)

    def check(self, client: object) -> str:
        """Whether runs can be kept; returns words for `doctor`, raises Foreign."""
        if not isinstance(client, Commands):
            raise TypeError(f"{self.kind}: not a client of this kind")
        kept = len(client._folders())  # noqa: SLF001 - the same module
        return f"{client.folder} on {client.place} can be read: {kept} runs kept"


def _is_locked(path: Path) -> bool:
    """Whether a living process holds the file."""
    try:
        with path.open("rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _time(known: Mapping[str, Any] | None) -> datetime | None:
    return datetime.fromtimestamp(float(known["at"]), UTC) if known else None


def _end(path: Path) -> bytes:
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - TAIL_BYTES))
            return log.read(TAIL_BYTES)
    except OSError:
        return b""


def _identity(program: str | None) -> str:
    """Changes when the program's file does."""
    try:
        found = Path(program).stat() if program else None
    except OSError:
        found = None
    return f"{program} of {found.st_mtime_ns // 1_000_000_000}" if found else "absent"


def _minutes(training: TrainingProfile) -> str:
    seconds = training.limit.total_seconds()
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


BACKEND = CommandBackend()
