"""Keeps one command: starts it once, writes down what it prints, ends it when its time is over, notes how it ended.

Run by file name with nothing but the standard library, in a session of its own, so that it outlives the bot. It ends
as soon as the command is claimed; a child of it stays.

    python -I _command_keeper.py FOLDER        (the order comes as JSON on standard input)

In FOLDER:

- `begun`: made with O_EXCL before the command is started. Whoever finds it does not start the command, ever again.
- `lock`: held (flock) as long as the keeper lives. The kernel lets go of it however the keeper ends.
- `command.json`: process group, start time of its leader, when it began.
- `log`, `log.1`: what it printed, two files that take turns, so that the end is there and the disk is not filled.
- `ended.json`: exit code, whether its time was over, when it ended.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any

GRACE_S = 10.0  # between asking a command to end and ending it
_PIECE_BYTES = 65_536


def main(folder: Path, order: dict[str, Any]) -> int:
    """Claim the command, then keep it in a process of its own. 0: claimed by us, 3: it was begun before."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        begun = os.open(folder / "begun", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError:
        return 3
    os.fsync(begun)
    os.close(begun)
    _sync(folder)
    # The bot waits for this process and need not wait for the next one, which keeps the lock: it is shared by a fork.
    if os.fork() == 0:
        _keep(folder, order)
    return 0


def start_time(pid: int) -> str:
    """When the process was started, in the kernel's ticks; "" when there is none. Tells a pid that was used again."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[19]


def _keep(folder: Path, order: dict[str, Any]) -> None:
    try:
        command = subprocess.Popen(
            order["words"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            cwd=order["cwd"], env=order["env"], start_new_session=True,
        )  # fmt: skip
    except OSError as problem:
        text = f"{order['words'][0]} cannot be started: {problem.strerror or problem}\n"
        (folder / "log").write_text(text)
        _write(folder / "ended.json", {"exit_code": 127, "is_over_time": False, "at": time.time()})
        return
    known = {"pid": command.pid, "start_time": start_time(command.pid), "at": time.time()}
    _write(folder / "command.json", known)
    deadline = time.monotonic() + float(order["limit_s"])
    signal.signal(signal.SIGTERM, lambda *_: _end(command, signal.SIGTERM))  # a host that shuts down asks us first
    is_over_time = False
    if command.stdout is not None:
        is_over_time = _pump(command, command.stdout, folder, int(order["log_bytes"]), deadline)
    code = command.wait()
    _end(command, signal.SIGKILL)  # whatever it left behind in its group
    _write(folder / "ended.json", {"exit_code": code, "is_over_time": is_over_time, "at": time.time()})


def _pump(command: subprocess.Popen[bytes], pipe: IO[bytes], folder: Path, cap: int, deadline: float) -> bool:
    """Write down what comes until the command has ended; True when its time was over."""
    is_over_time, ask_until = False, 0.0
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        is_open = True
        while is_open or command.poll() is None:
            if is_open and selector.select(0.2):
                piece = os.read(pipe.fileno(), _PIECE_BYTES)
                is_open = bool(piece)
                _log(folder, piece, cap)
            elif not is_open:
                time.sleep(0.05)
            if is_open and command.poll() is not None and not selector.select(0):
                break  # the command has ended; something it left behind still holds its output
            now = time.monotonic()
            if not is_over_time and now > deadline:
                is_over_time, ask_until = True, now + GRACE_S
                _log(folder, b"\nmlops-bot: its time is over\n", cap)
                _end(command, signal.SIGTERM)
            elif is_over_time and now > ask_until:
                _end(command, signal.SIGKILL)
    return is_over_time


def _end(command: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(command.pid, number)


def _log(folder: Path, piece: bytes, cap: int) -> None:
    path = folder / "log"
    if path.exists() and path.stat().st_size + len(piece) > cap // 2:
        path.replace(folder / "log.1")
    with path.open("ab") as log:
        log.write(piece)


def _write(path: Path, value: dict[str, Any]) -> None:
    """Whole or not at all, and on the disk."""
    draft = path.with_suffix(".new")
    with draft.open("w") as out:
        json.dump(value, out)
        out.flush()
        os.fsync(out.fileno())
    draft.replace(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), json.loads(sys.stdin.read())))
