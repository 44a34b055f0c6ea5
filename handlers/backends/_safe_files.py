"""Files below one folder, read and replaced so that neither a crash nor a stranger's path does harm.

Every path is walked part by part from the folder's own handle, and no part may be a symbolic link: a check of the name
beforehand could be overtaken by somebody who puts a link there in between.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from bot.ports import Foreign

LOCK_S = 3.0  # whoever holds it writes one small file
_DIR = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE_BYTES = 1 << 20


class Stray(Exception):
    """A path leads out of the folder, over a link, or to something that is no file."""


class Busy(Exception):
    """Somebody else holds the lock."""


class Damaged(Exception):
    """A file is not what was recorded of it; the text is the hash it has."""


class Told:
    """What goes wrong inside becomes Foreign in our words; `happened` says whether a change took place."""

    def __init__(self, what: str, *, happened: bool | None) -> None:
        self._what = what
        self._happened = happened

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Stray):
            raise Foreign("refused", f"{self._what}: a path {error}", happened=False) from None
        if isinstance(error, Busy):
            text = f"{self._what} is locked by somebody else for more than {LOCK_S:g} s."
            raise Foreign("overloaded", text, happened=False) from None
        if isinstance(error, FileNotFoundError):
            raise Foreign("not_found", f"{self._what} or a file it names is not there.", happened=False) from None
        if isinstance(error, TimeoutError):
            raise Foreign("timeout", f"{self._what}: copying took too long.", happened=self._happened) from None
        if isinstance(error, PermissionError):
            text = f"{self._what} may not be read or written by the bot's user. Give it the right."
            raise Foreign("refused", text, happened=self._happened) from None
        if isinstance(error, OSError):
            text = f"{self._what} cannot be read or written: {error.strerror or type(error).__name__}."
            raise Foreign("broken", text, happened=None) from None


def steps(path: str) -> list[str]:
    """The parts of a relative path. Raises Stray for one that leads elsewhere."""
    parts = path.split("/")
    if not path or path.startswith("/") or "\x00" in path or any(part in ("", ".", "..") for part in parts):
        raise Stray("must be a plain path inside the folder, without “..”.")
    return parts


def read(folder: Path, path: str, cap_bytes: int) -> bytes:
    """The file's content. Raises Stray, OSError; also for one that is larger than the cap."""
    with _parent(folder, path) as (place, name), _reading(place, name) as file:
        if os.fstat(file.fileno()).st_size > cap_bytes:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        return file.read(cap_bytes + 1)


def replace(folder: Path, path: str, content: bytes) -> None:
    """Put the content in the file's place, whole or not at all, on the disk when this returns.

    Mode and owner stay as they were. Raises Stray, OSError; a temporary file never stays behind.
    """
    _exchange(folder, path, lambda draft: draft.write(content))


def copy(folder: Path, path: str, to: str, *, sha256: str, within_s: float) -> None:
    """Put a copy of one file in another's place, as `replace` does. An empty `sha256` is not compared.

    Raises Damaged when the content has another hash, TimeoutError when it takes longer, and what `replace` raises.
    """
    deadline = time.monotonic() + within_s
    with _parent(folder, path) as (place, name), _reading(place, name) as source:

        def fill(draft: BinaryIO) -> None:
            found = hashlib.sha256()
            while piece := source.read(_PIECE_BYTES):
                if time.monotonic() > deadline:
                    raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
                found.update(piece)
                draft.write(piece)
            if sha256 and found.hexdigest() != sha256.lower():
                raise Damaged(found.hexdigest())

        _exchange(folder, to, fill)


@contextmanager
def _reading(place: int, name: str) -> Iterator[BinaryIO]:
    handle = _open(place, name, os.O_RDONLY)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise Stray("leads to something that is no plain file.")
        yield file


def _exchange(folder: Path, path: str, fill: Callable[[BinaryIO], object]) -> None:
    with _parent(folder, path) as (place, name):
        old = _state(place, name)
        # A fixed name: what a crash left is taken away by the next writer, who holds the lock.
        draft = f".{name}.new"
        with suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=place)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        handle = os.open(draft, flags, 0o600, dir_fd=place)
        try:
            with os.fdopen(handle, "wb") as file:
                fill(file)
                file.flush()
                os.fchmod(handle, stat.S_IMODE(old.st_mode) if old else 0o644)
                if old is not None and os.geteuid() == 0:
                    os.fchown(handle, old.st_uid, old.st_gid)
                os.fsync(handle)
            os.rename(draft, name, src_dir_fd=place, dst_dir_fd=place)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(draft, dir_fd=place)
            raise
        os.fsync(place)


def keep(folder: Path, path: str, content: bytes, *, most: int) -> None:
    """Keep this content beside the file, named after itself, and drop the oldest of more than `most`."""
    backup = f"{path}.{hashlib.sha256(content).hexdigest()[:12]}.bak"
    replace(folder, backup, content)
    with _parent(folder, path) as (place, name):
        names = os.listdir(place)  # noqa: PTH208 - of the open folder, whatever its name means by now
        kept = [one for one in names if one.startswith(f"{name}.") and one.endswith(".bak")]
        kept.sort(key=lambda one: (os.stat(one, dir_fd=place, follow_symlinks=False).st_mtime_ns, one), reverse=True)
        for old in kept[most:]:
            with suppress(FileNotFoundError):
                os.unlink(old, dir_fd=place)


@contextmanager
def lock(folder: Path, path: str) -> Iterator[None]:
    """Hold the lock file for the block. Raises Busy after three seconds. A killed holder leaves it free."""
    deadline = time.monotonic() + LOCK_S
    with _parent(folder, path) as (place, name):
        handle = _open(place, name, os.O_RDWR | os.O_CREAT)
        try:
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise Busy from None
                    time.sleep(0.02)
            yield
        finally:
            os.close(handle)  # frees it


@contextmanager
def _parent(folder: Path, path: str) -> Iterator[tuple[int, str]]:
    """A handle of the folder that the path's last part is in, and that part."""
    *middle, last = steps(path)
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)  # the profile's own word: may be a link
    try:
        for part in middle:
            try:
                inner = os.open(part, _DIR, dir_fd=handle)
            except OSError as problem:
                raise _stray(problem) from None
            os.close(handle)
            handle = inner
        yield handle, last
    finally:
        os.close(handle)


def _open(place: int, name: str, flags: int) -> int:
    try:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600, dir_fd=place)
    except OSError as problem:
        raise _stray(problem) from None


def _stray(problem: OSError) -> Exception:
    """ELOOP, and ENOTDIR where a folder was meant: a link stands in the way."""
    return Stray("leads over a symbolic link.") if problem.errno in (errno.ELOOP, errno.ENOTDIR) else problem


def _state(place: int, name: str) -> os.stat_result | None:
    try:
        found = os.stat(name, dir_fd=place, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise Stray("leads over a symbolic link." if stat.S_ISLNK(found.st_mode) else "is no plain file.")
    return found
