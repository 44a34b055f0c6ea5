"""A command that makes a server load its model anew, where it has no route for that: a service manager, a script.

The command is the profile's, word for word; nothing that anybody types becomes part of it. It is started without a
shell, without our environment – which holds secrets – and is ended with all its children when it takes too long.

Settings: `run`, the command; a `{name}` in it is what stands behind the slash in the model's `reload`; `folder`, where
it is started (default /).
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from typing import IO

from bot.ports import Foreign
from handlers.backends._http import plain

RUN_S = 9.0  # a step's lease leaves room for twelve
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,100}")
_TAIL_BYTES = 2_000
_TOLD = 160  # characters of what it says: enough for an error's last line


class ReloadCommand:
    """A Reloads. Safe to use from several threads."""

    def __init__(self, words: list[str], folder: str) -> None:
        self._words = words
        self._folder = folder

    def how(self, name: str) -> str:
        """The command as it will be run."""
        return f"Run `{plain(shlex.join(self._filled(name)), 200)}`, which makes the server load anew."

    def make_load(self, name: str) -> str:
        """Run it to its end. Foreign when it cannot be started, fails, or takes too long."""
        words = self._filled(name)
        what = f"The command `{plain(shlex.join(words), 120)}`"
        with tempfile.TemporaryFile() as said:
            try:
                process = subprocess.Popen(
                    words, cwd=self._folder, env=_ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=said, stderr=said,
                    start_new_session=True,
                )  # fmt: skip
            except OSError as problem:
                why = problem.strerror or type(problem).__name__
                raise Foreign("not_found", f"{what} cannot be started: {why}.", happened=False) from None
            try:
                status = process.wait(RUN_S)
            except subprocess.TimeoutExpired:
                raise Foreign("timeout", f"{what} took more than {RUN_S:g} s and was ended.") from None
            finally:
                _end(process)
            if status != 0:
                raise Foreign("broken", f"{what} failed with status {status}{_last_line(said)}.")
        return f"{what} ended well."

    def _filled(self, name: str) -> list[str]:
        if any("{name}" in word for word in self._words) and not _NAME.fullmatch(name):
            text = "The command needs a name behind the slash of `reload`, like `reload: restart/api`."
            raise Foreign("invalid", text, happened=False)
        return [word.replace("{name}", name) for word in self._words]

    def look(self) -> str:
        """Words for `doctor`."""
        program = self._words[0]
        folders = [""] if "/" in program else _ENVIRONMENT["PATH"].split(":")
        for folder in folders:
            if os.access(os.path.join(folder, program) if folder else program, os.X_OK):  # noqa: PTH118
                return f"{program} is there"
        text = f"The program “{plain(program, 80)}” is not there, or may not be run by the bot's user."
        raise Foreign("not_found", text, happened=False)


class ReloadCommandKind:
    """The kind of backend as the registry of handlers knows it."""

    kind = "reload-command"
    offers = ("reload",)
    settings = ("run", "folder")

    def build(self, settings: Mapping[str, str]) -> ReloadCommand:
        """A client; runs nothing. ValueError names the setting that is missing or wrong."""
        try:
            words = shlex.split(settings.get("run", ""))
        except ValueError as problem:
            raise ValueError(f"{self.kind}: `run` cannot be read: {problem}") from None
        if not words:
            raise ValueError(f"{self.kind} needs `run`, the command that makes the server load anew.")
        return ReloadCommand(words, settings.get("folder") or "/")

    def check(self, client: object) -> str:
        """Look for the program without running it; returns words for `doctor`, raises Foreign."""
        if not isinstance(client, ReloadCommand):
            raise TypeError(f"{self.kind}: not a client of this kind")
        return client.look()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it with everything it started that is still in its group, and wait for it."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _last_line(said: IO[bytes]) -> str:
    size = said.seek(0, os.SEEK_END)
    said.seek(max(0, size - _TAIL_BYTES))
    lines = [line for line in said.read().decode(errors="replace").splitlines() if line.strip()]
    return f": {plain(lines[-1], _TOLD).rstrip('.')}" if lines else ""


BACKEND = ReloadCommandKind()
