"""What the idle process costs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from playground.demo.town import Town


def test_idle_memory_and_start_time(town: Callable[..., Town], capsys: object) -> None:
    """Below 150 MB resident and ready in under 2.5 s, measured from outside on the production program."""
    here = town(with_system=False)
    here.stop_bot()
    starts = []
    for _ in range(2):  # the second start has its byte code compiled, as an installed package has
        starts.append(here.start_bot())
        here.stop_bot()
    here.start_bot()
    assert here.bot is not None
    deadline = time.monotonic() + 8
    peak_mb = 0.0
    while time.monotonic() < deadline:  # idle, but the ledger and the auditor have come by
        status = Path(f"/proc/{here.bot.pid}/status").read_text()
        resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        peak_mb = max(peak_mb, int(resident.split()[1]) / 1024)
        time.sleep(0.5)
    print(f"idle: {peak_mb:.0f} MB resident; ready after {min(starts):.2f} s")
    assert peak_mb < 150
    assert min(starts) < 2.5
