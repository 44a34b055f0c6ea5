"""Where the bot keeps things during a trial: a file, a file on a small disk, or a PostgreSQL that can be restarted."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from playground import parts
from tests.store.postgres_server import Server, running


class NotHere(Exception):
    """A trial cannot run on this machine. The message says what is missing."""


@contextmanager
def postgres() -> Iterator[Server]:
    """A server of our own. Raises NotHere when the program is missing."""
    program = parts.find("postgres")
    if program is None:
        raise NotHere("PostgreSQL is not on this machine; `python -m playground.parts install postgres` gets it")
    with running(program) as server:
        yield server


@contextmanager
def small_disk(folder: Path, size: str = "6m") -> Iterator[Path]:
    """A disk of a few megabytes. Raises NotHere unless this process may mount one."""
    if os.geteuid() != 0:
        raise NotHere("only root may mount a small disk")
    place = folder / "small"
    place.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "faults", str(place)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        raise NotHere(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True, capture_output=True)


def fill(disk: Path) -> Path:
    """Take every free byte; returns the file to remove for relief."""
    stuffing = disk / "stuffing"
    file = os.open(stuffing, os.O_WRONLY | os.O_CREAT)
    for size in (65_536, 4_096, 1):
        with suppress(OSError):
            while True:
                os.write(file, b"\0" * size)
    os.close(file)
    return stuffing


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process' lock on an SQLite file: nobody else writes meanwhile."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=10, check_same_thread=False)
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")
    finally:
        connection.close()


class Pretender:
    """The wall clock of a process under libfaketime, moved by writing a file."""

    def __init__(self, folder: Path) -> None:
        library = parts.find("libfaketime")
        if library is None:
            raise NotHere(
                "libfaketime is not on this machine; `python -m playground.parts install libfaketime` gets it"
            )
        self._file = folder / "clock"
        self._lock = threading.Lock()
        self.environment = {
            "LD_PRELOAD": str(library), "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
        }  # fmt: skip
        self.step(0)

    def step(self, seconds: float) -> None:
        """Within a second from now the wall clock is that far from the true one."""
        with self._lock:
            fresh = self._file.with_suffix(".new")
            fresh.write_text(f"{seconds:+.3f}\n")
            fresh.replace(self._file)


def hard_stop(server: Server) -> None:
    """As a power cut would: no farewell to anybody."""
    server.stop(signal.SIGQUIT)
