"""Ends the playground's programs when the process that started them dies without doing so (kill -9, a crash).

Reads one pid per line from its standard input. The other end of that pipe closes when the starter ends, however it
ends; then every named process that is still the same one (same start time) is ended with its session. Standard
library only.
"""

import os
import signal
import sys
import time
from pathlib import Path

GRACE_SECONDS = 3.0


def started_at(pid: int) -> str | None:
    """The kernel's start time of `pid`, which tells it from a later process with the same number.

    None: no such process.
    """
    try:
        # The name in parentheses may hold spaces; the fields after it do not.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def main() -> None:
    known: dict[int, str] = {}
    for line in sys.stdin:
        pid = int(line)
        start = started_at(pid)
        if start is not None:
            known[pid] = start
    for number in (signal.SIGTERM, signal.SIGKILL):
        alive = [pid for pid, start in known.items() if started_at(pid) == start]
        for pid in alive:
            try:
                os.killpg(pid, number)
            except ProcessLookupError:
                continue
        if alive and number is signal.SIGTERM:
            time.sleep(GRACE_SECONDS)


if __name__ == "__main__":
    main()
