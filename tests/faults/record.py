"""What the recipients saw, against what was promised: lost, doubled, too early, late.

A page is known by its alert, its level and its recipient, as the recipient reads them in the message. The bot's own
ids play no part, so two messages with different ids that tell the same person the same are a doubled page.
"""

from __future__ import annotations

import json
import re
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from playground.slack import user_id
from playground.slack.state import dm_id
from tests.faults.ground import Ground

EARLY_S = 0.05  # two clocks of one machine, read in two processes
Page = tuple[int, int, str]  # alert, level, recipient

_ALERT, _LEVEL = re.compile(r"Trial-(\d{5})"), re.compile(r"you are paged, level (\d+)")


@dataclass(slots=True, kw_only=True)
class Count:
    """The result of one trial."""

    name: str
    pages: int
    lost: int
    doubled: int
    crashes: int
    early: int
    late_p50_s: float
    late_p99_s: float
    after_start_s: float = 0.0  # the longest that a page overdue at a start took from there; 0 without outage
    notes: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)  # bounds that were missed

    def line(self) -> str:
        """The line that the contract asks for."""
        return (
            f"trial {self.name} pages={self.pages} lost={self.lost} doubled={self.doubled} crashes={self.crashes} "
            f"late_p99_s={self.late_p99_s:.2f}"
        )


def owed(ground: Ground) -> dict[Page, tuple[float, float]]:
    """Every page that was promised: key → (due at the earliest, due at the latest)."""
    load = ground.load
    found: dict[Page, tuple[float, float]] = {}
    for one in ground.posted:
        if not one.answered_at:
            continue
        for level in range(1, load.levels + 1):
            for target in range(load.targets):
                who = load.person(one.number % load.systems, level, target)
                after = load.after_s(level)
                found[one.number, level, who] = (one.first_sent_at + after, one.answered_at + after)
    return found


def seen(ground: Ground) -> dict[Page, list[float]]:
    """Every page in the recipients' conversations: key → when."""
    load = ground.load
    found: dict[Page, list[float]] = defaultdict(list)
    for system in range(load.systems):
        for level in range(1, load.levels + 1):
            for target in range(load.targets):
                who = load.person(system, level, target)
                channel = ground.workspace.world.state.channels.get(dm_id(user_id(who)))
                for message in list(channel.messages) if channel else []:
                    words = message.text + json.dumps(message.blocks)
                    alert, number = _ALERT.search(words), _LEVEL.search(words)
                    if message.by_app and alert and number:
                        found[int(alert[1]), int(number[1]), who].append(float(message.ts))
    return found


def _messages(ground: Ground) -> int:
    """How many messages stand in all conversations: never fewer than there are pages."""
    return sum(len(channel.messages) for channel in list(ground.workspace.world.state.channels.values()))


def wait_for_all(ground: Ground, within_s: float, *, quiet_s: float = 2.0) -> None:
    """Return when every owed page is there, or `within_s` have passed; then listen a little longer for doubled ones."""
    deadline = time.monotonic() + within_s
    wanted = owed(ground)
    while time.monotonic() < deadline:
        # Reading every message takes as much of this process as the local Slack has to answer with, so count first.
        if _messages(ground) >= len(wanted) and wanted.keys() <= seen(ground).keys():
            break
        time.sleep(0.1)
    time.sleep(quiet_s)


def count(name: str, ground: Ground) -> Count:
    """Judge a ground whose trial is over."""
    wanted, found = owed(ground), seen(ground)
    late = sorted(max(min(found[page]) - due[1], 0.0) for page, due in wanted.items() if page in found)
    early = [page for page, due in wanted.items() if page in found and min(found[page]) < due[0] - EARLY_S]
    lost = [page for page in wanted if page not in found]
    doubled = {page: times for page, times in found.items() if len(times) > 1}
    counted = Count(
        name=name, pages=len(wanted), lost=len(lost), doubled=sum(len(times) - 1 for times in doubled.values()),
        crashes=ground.crashes, early=len(early), late_p50_s=_at(late, 0.5), late_p99_s=_at(late, 0.99),
    )  # fmt: skip
    counted.notes += [f"lost {page}" for page in sorted(lost)[:5]]
    counted.notes += [
        f"doubled {page}: {[round(at, 2) for at in times]}" for page, times in sorted(doubled.items())[:5]
    ]
    counted.notes += [f"early {page}" for page in sorted(early)[:5]]
    worst = sorted(((min(found[page]) - due[1], page) for page, due in wanted.items() if page in found), reverse=True)
    counted.notes += [f"late {page}: {by_s:.1f} s" for by_s, page in worst[:3] if by_s > 2]
    return counted


def longest_after(ground: Ground, moment: float) -> float:
    """How long after a start, or the end of an outage, the last page came that was overdue then."""
    found = seen(ground)
    overdue = [page for page, due in owed(ground).items() if due[1] <= moment and page in found]
    after = [min(found[page]) - moment for page in overdue if min(found[page]) > moment]
    return max(after, default=0.0)


def overdue(ground: Ground, moment: float) -> int:
    """How many pages were due before a start, or the end of an outage, and came only after it."""
    found = seen(ground)
    return sum(due[1] <= moment and min(found.get(page, [moment])) > moment for page, due in owed(ground).items())


def judge(
    counted: Count, *, doubled_at_most: int, after_start_s: float | None = None, late_p99_s: float | None = None
) -> Count:
    """Write down which bounds were missed. An early page is a wrong page, whatever the trial."""
    bounds = [("lost", counted.lost, 0), ("doubled", counted.doubled, doubled_at_most), ("early", counted.early, 0)]
    counted.missed += [f"{what}: {value} > {bound}" for what, value, bound in bounds if value > bound]
    if after_start_s is not None and counted.after_start_s > after_start_s:
        counted.missed.append(f"overdue pages after the start: {counted.after_start_s:.1f} s > {after_start_s:.0f} s")
    if late_p99_s is not None and counted.late_p99_s > late_p99_s:
        counted.missed.append(f"late_p99_s: {counted.late_p99_s:.2f} > {late_p99_s:.0f}")
    return counted


def _at(values: Sequence[float], share: float) -> float:
    return values[min(int(len(values) * share), len(values) - 1)] if values else 0.0
