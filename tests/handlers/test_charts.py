"""The chart worker: another process, bounded in time and memory, replaced when it fails."""

from __future__ import annotations

import os
import signal
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.charts import HEIGHT_PX, KEPT, WIDTH_PX, ChartPool
from bot.ports import Foreign

T0 = 1_772_634_000.0


def specification(**changes: Any) -> dict[str, Any]:
    points = [[T0 + n * 5, 0.97 if n < 150 else 0.41] for n in range(200)]
    whole = {
        "title": "accuracy of intent_classifier",
        "axis": "accuracy (ratio)",
        "points": points,
        "bounds": [{"value": 0.8, "label": "bound: at least 0.8"}],
        "marks": [
            {"at": T0 + 760, "label": "alert starts", "style": "start"},
            {"at": T0 + 750, "label": "v3 live", "style": "change"},
        ],
    }
    return whole | changes


@pytest.fixture(scope="module")
def pool() -> Iterator[ChartPool]:
    pool = ChartPool()
    yield pool
    pool.close()


def size_of(path: str) -> tuple[int, int]:
    data = Path(path).read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", data[16:24])
    return width, height


def test_a_chart_is_a_png_of_slack_size_drawn_by_one_reused_process(pool: ChartPool) -> None:
    first = pool.draw(specification())
    worker = pool.child_pid
    began = time.monotonic()
    second = pool.draw(specification(title="again"))
    print(f"second chart: {time.monotonic() - began:.2f} s")
    assert size_of(first) == size_of(second) == (WIDTH_PX, HEIGHT_PX)
    assert first != second
    assert pool.child_pid == worker not in (None, os.getpid())
    assert Path(first).read_bytes() != Path(second).read_bytes()


def test_the_worker_inherits_no_secret(pool: ChartPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-canary")
    pool.draw(specification())
    environment = Path(f"/proc/{pool.child_pid}/environ").read_bytes()
    assert b"canary" not in environment
    assert b"SLACK" not in environment


@pytest.mark.parametrize(
    "changes",
    [
        {"title": "$\\frac{1}{0}$ <!channel> \u202e \0 " + "x" * 5000},
        {"points": [[T0, 1.0]]},
        {"points": [[T0 + n, 5.0] for n in range(30)], "bounds": []},
        {"bounds": [{"value": 0.8, "label": "$$$"}, {"value": 0.9, "label": ""}]},
        {"marks": [{"at": T0 + 750 + n, "label": f"v{n} live", "style": "change"} for n in range(6)]},
        {"marks": [{"at": T0 - 9_000, "label": "long before", "style": "start"}]},
        {"points": [[T0 + n * 86_400, float(n)] for n in range(40)], "marks": []},
    ],
)
def test_odd_specifications_are_drawn_all_the_same(pool: ChartPool, changes: dict[str, Any]) -> None:
    assert size_of(pool.draw(specification(**changes))) == (WIDTH_PX, HEIGHT_PX)


@pytest.mark.parametrize(
    "changes", [{"points": []}, {"points": None}, {"points": [["x", 1]]}, {"bounds": [{"value": "x"}]}, {"marks": 7}]
)
def test_what_cannot_be_drawn_is_told_and_the_worker_goes_on(pool: ChartPool, changes: dict[str, Any]) -> None:
    with pytest.raises(Foreign, match="No picture") as raised:
        pool.draw(specification(**changes))
    assert raised.value.reason == "invalid"
    assert size_of(pool.draw(specification())) == (WIDTH_PX, HEIGHT_PX)


def test_a_killed_worker_is_replaced(pool: ChartPool) -> None:
    pool.draw(specification())
    old = pool.child_pid
    assert old is not None
    os.kill(old, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while Path(f"/proc/{old}/stat").exists() and " Z " not in Path(f"/proc/{old}/stat").read_text():
        assert time.monotonic() < deadline
    assert size_of(pool.draw(specification())) == (WIDTH_PX, HEIGHT_PX)
    assert pool.child_pid != old


def test_a_frozen_worker_costs_one_picture() -> None:
    pool = ChartPool(limit_s=6.0)
    try:
        pool.draw(specification())
        old = pool.child_pid
        assert old is not None
        os.kill(old, signal.SIGSTOP)
        pool._limit_s = 0.5
        began = time.monotonic()
        with pytest.raises(Foreign) as raised:
            pool.draw(specification())
        assert raised.value.reason == "timeout"
        assert time.monotonic() - began < 2
        assert not Path(f"/proc/{old}").exists(), "a worker that does not answer is ended"
        pool._limit_s = 6.0
        assert size_of(pool.draw(specification())) == (WIDTH_PX, HEIGHT_PX)
    finally:
        pool.close()


def test_a_worker_without_memory_is_a_failed_picture() -> None:
    pool = ChartPool(memory_bytes=60_000_000)
    try:
        with pytest.raises(Foreign, match="No picture") as raised:
            pool.draw(specification())
        assert raised.value.reason in {"broken", "invalid"}
    finally:
        pool.close()


def test_closing_leaves_neither_process_nor_files() -> None:
    pool = ChartPool()
    picture = Path(pool.draw(specification()))
    worker = pool.child_pid
    pool.close()
    assert not picture.exists()
    assert not Path(f"/proc/{worker}").exists()
    assert KEPT >= 100


def test_two_versions_stand_side_by_side_each_metric_on_its_own_scale(pool: ChartPool) -> None:
    bars = [{"label": "accuracy", "values": [0.94, 0.41]}, {"label": "rows", "values": [5e6, 1e6]}]
    assert size_of(pool.draw({"title": "v2 and v3", "names": ["v2", "v3"], "bars": bars})) == (WIDTH_PX, HEIGHT_PX)


def test_a_bar_without_a_number_is_refused(pool: ChartPool) -> None:
    with pytest.raises(Foreign, match="finite value for every name"):
        pool.draw({"title": "", "names": ["v2", "v3"], "bars": [{"label": "accuracy", "values": [0.94]}]})


def test_a_rotation_is_drawn_with_its_gaps_by_the_same_worker(pool: ChartPool) -> None:
    rows = [
        {"name": "week $x$", "shifts": [[T0, T0 + 3 * 86_400, "alice"], [T0 + 4 * 86_400, T0 + 4e5, "bob_" * 50]]},
        {"name": "on call", "shifts": [[T0, T0 + 3 * 86_400, "alice"]] + [[T0 + 5e5, T0 + 5e5 + 60, "carol"]] * 50},
    ]
    drawn = {
        "rota": rows, "title": "main", "zone": "Europe/Berlin", "start": T0, "end": T0 + 14 * 86_400,
        "gaps": [[T0 + 3 * 86_400, T0 + 4 * 86_400], [T0 + 9e5, T0 + 9e5 + 60]],
    }  # fmt: skip

    assert size_of(pool.draw(drawn))[0] == 1200
    with pytest.raises(Foreign, match="no rows, or no days"):
        pool.draw({**drawn, "end": T0})
