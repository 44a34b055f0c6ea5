"""Start, watch and stop the programs the playground consists of.

Each has its own log file; each is stopped by its own pid.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TypeVar

T = TypeVar("T")
STOP_GRACE_SECONDS = 5.0
TAIL_LINES = 15
POLL_SECONDS = 0.1
# MLflow's thousand modules take three times as long to import when Python may not keep them compiled.
_KEEP_COMPILED = {"PYTHONDONTWRITEBYTECODE": ""}
_handed_out: set[int] = set()
_handing_out = Lock()


class StartFailed(Exception):
    """A part of the playground did not come up. The message carries the end of its log."""


class TimedOut(Exception):
    """Something that was waited for did not happen in time. The message says what, how long, and what was seen last."""


def free_port() -> int:
    """A loopback port nobody listens on now, never the same one twice in this process.

    Another program may still take it first.
    """
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        with _handing_out:
            if port not in _handed_out:
                _handed_out.add(port)
                return port


def wait_until(look: Callable[[], T], *, what: str, timeout_seconds: float, is_met: Callable[[T], bool] = bool) -> T:
    """Call `look` until `is_met` likes what it returns, and return that.

    Raises TimedOut at the deadline. Errors of `look` come through.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        seen = look()
        if is_met(seen):
            return seen
        if time.monotonic() > deadline:
            raise TimedOut(f"{what}: not within {timeout_seconds:g} s (last seen: {seen!r})")
        time.sleep(POLL_SECONDS)


@dataclass(slots=True, kw_only=True)
class Part:
    """One running program."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def is_running(self) -> bool:
        return self.process.poll() is None

    def tail(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        return "\n".join(f"  {line}" for line in lines) or "  (its log is empty)"

    def signal(self, number: signal.Signals) -> None:
        """To the whole session it leads, because MLflow has a child.

        Not once it is reaped: the number may be somebody else's then.
        """
        if self.is_running():
            os.killpg(self.pid, number)

    def kill(self) -> None:
        """End it without a word, with all it started, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self.process.wait()

    def ensure_running(self) -> None:
        """StartFailed when it has ended, with the end of its log."""
        status = self.process.poll()
        if status is not None:
            raise StartFailed(f"{self.name} ended with status {status}; the end of {self.log}:\n{self.tail()}")


@dataclass(slots=True)
class Parts:
    """All programs of one playground. A guard process ends them if this process dies without saying so."""

    folder: Path
    _running: list[Part] = field(default_factory=list)
    _guard: subprocess.Popen[bytes] | None = None

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> Part:
        """Start `command` in a session of its own, its output in `<folder>/<name>.log`.

        OSError when it cannot be started at all.
        """
        log = self.folder / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env={**os.environ, **_KEEP_COMPILED, **(environment or {})},
                start_new_session=True,
            )
        part = Part(name=name, process=process, log=log)
        self._running.append(part)
        self._tell_guard(process.pid)
        return part

    def stop(self, *parts: Part) -> None:
        """Ask each to end, wait, then end by force those that did not listen. Harmless for parts that have ended."""
        for part in parts:
            part.signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_GRACE_SECONDS
        for part in parts:
            try:
                part.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                part.kill()
        self._running = [part for part in self._running if part not in parts]

    def close(self) -> None:
        self.stop(*self._running)
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.close()
            self._guard.wait()
            self._guard = None

    def _tell_guard(self, pid: int) -> None:
        if self._guard is None:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", str(Path(__file__).with_name("guard.py"))],
                stdin=subprocess.PIPE,
                start_new_session=True,
            )
        if self._guard.stdin is not None:
            self._guard.stdin.write(f"{pid}\n".encode())
            self._guard.stdin.flush()
