"""The short form of `make faults`: real processes, a few kills, and what the recipients got.

It shows that the harness works and that the worst moments are survived; how often is said by the long form.
"""

from __future__ import annotations

import time

import pytest

from tests.faults.ground import Load
from tests.faults.record import Count, count, judge, longest_after, seen, wait_for_all
from tests.faults.trials import OVERDUE_S, Asked, on_sqlite

SHORT = Load(incidents=6, levels=2, targets=2, systems=6, over_s=0.5, first_after_s=2, gap_s=2)
SLACK_S = 0.3  # so slow that a kill between two calls hits one


def killed_once(mark: str, plant: str = "") -> Count:
    """A process that dies at a place of its own, down over a due time, then one that goes on."""
    with on_sqlite(SHORT, Asked(plant=plant)) as ground:
        [replica] = ground.replicas
        ground.workspace.world.latency_s = SLACK_S
        replica.start(mark=mark, plant=plant)
        ground.post_alerts()
        deadline = time.monotonic() + 20
        while replica.is_alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not replica.is_alive(), f"it did not come by at {mark}"
        ground.crashes = 1
        replica.ended("killed")
        replica.start(plant=plant)
        ground.wait_until_posted(20)
        wait_for_all(ground, SHORT.ladder_s + 15, quiet_s=1.5)
        counted = count(mark, ground)
        counted.after_start_s = longest_after(ground, replica.lives[-1].began_at)
        assert len(seen(ground)) <= SHORT.pages
        return judge(counted, doubled_at_most=0, after_start_s=4 * OVERDUE_S)


@pytest.mark.timeout(90)
def test_killed_between_a_page_and_its_mark() -> None:
    """Slack has it, nobody knows: the next process looks before it sends."""
    counted = killed_once("page-sent:3")
    assert (counted.pages, counted.lost, counted.doubled, counted.missed) == (SHORT.pages, 0, 0, []), counted.notes


@pytest.mark.timeout(90)
def test_the_suite_finds_a_planted_bug() -> None:
    """The same kill, with the looking taken out: somebody is paged twice, and it is seen."""
    counted = killed_once("page-sent:3", plant="no-reconciliation")
    assert counted.lost == 0
    assert counted.doubled >= 1, counted.notes
