"""A lock that one process holds on an SQLite file while it serves it.

SQLite lets several processes write, but the bot's promises (no page twice without a crash) rest on one process there.
The lock is the kernel's and ends with the process, however it ends: there is nothing to clean up after `kill -9`.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bot.store.database import Database


class AlreadyRunning(Exception):
    """Another process serves this database file. The message says which file and what to do."""


@contextmanager
def single_instance(url: str) -> Iterator[None]:
    """Hold the lock while the block runs. Raises AlreadyRunning. Does nothing on PostgreSQL, where many may serve."""
    path = _file_of(url)
    if path is None:
        yield
        return
    lock = path.with_name(path.name + ".lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _take(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def _file_of(url: str) -> Path | None:
    database = Database(url)
    database.close()
    return database.path


def _take(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
        raise AlreadyRunning(
            f"Another mlops-bot (process {holder}) serves {path} already, and SQLite is for one. "
            "Stop that one first, or use PostgreSQL for several."
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
