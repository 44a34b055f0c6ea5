"""The runner against workers that die, hang, eat, babble and lie: a sentence each, and what was done is not lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.drift.asked import DataSource, DriftRequest, Limits, SourceKind, Span
from bot.drift.runner import DriftRunner, WorkerSettings
from bot.ports import Foreign

NOW = datetime(2026, 3, 2, tzinfo=UTC)
PASSWORD = "hunter2-of-the-database"
SQL = DataSource(kind=SourceKind.SQL, url=f"postgresql://reader:{PASSWORD}@db/x", query="SELECT 1")
LONG = timedelta(seconds=60)  # never waited for: a worker that ends by itself is seen at once


def asked(model: str, wall: timedelta = LONG, memory_mb: int = 500) -> DriftRequest:
    limits = Limits(wall=wall, memory_mb=memory_mb)
    window = Span(start_at=NOW - timedelta(days=7), end_at=NOW)
    return DriftRequest(system="shop", model=model, reference=SQL, current=SQL, window=window, limits=limits)


@pytest.fixture
def runner(tmp_path: Path) -> DriftRunner:
    settings = WorkerSettings(reports=tmp_path / "reports", environment=(("AWS_REGION", "eu-1"),))
    return DriftRunner(settings, module="tests.drift.odd_worker")


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    """Whether the process has ended; one that nobody has waited for has ended too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.parametrize(
    ("how", "reason", "said"),
    [
        ("killed", "overloaded", "this machine ran out of memory"),
        ("crash", "broken", "died of signal 11"),
        ("code", "broken", "ended with code 3. Try `python -m handlers.drift.worker --check`"),
        ("nothing", "broken", "ended without an answer"),
        ("garbage", "broken", "makes no sense"),
        ("stranger", "broken", "makes no sense"),
        ("huge", "broken", "makes no sense"),
        ("link", "broken", "without an answer"),
        ("reason", "refused", "No drift report for reason: the file is not allowed."),
    ],
)
def test_each_way_to_fail_has_its_sentence(
    runner: DriftRunner, tmp_path: Path, how: str, reason: str, said: str
) -> None:
    with pytest.raises(Foreign) as failed:
        runner.run(asked(how))
    assert failed.value.reason == reason
    assert said in failed.value.sentence
    assert list((tmp_path / "reports").iterdir()) == []
    assert runner.child_pid is None


def test_a_worker_that_hangs_is_killed_with_all_it_started(runner: DriftRunner, tmp_path: Path) -> None:
    with pytest.raises(
        Foreign, match=r"took longer than 2 s. Choose fewer rows, or raise `drift.time_limit`"
    ) as failed:
        runner.run(asked("child", timedelta(seconds=2)))
    assert failed.value.reason == "timeout"
    grandchild = int((tmp_path / "reports" / "grandchild").read_text())
    until(lambda: is_gone(grandchild), "the worker's own child ends")


def test_a_worker_that_eats_memory_is_stopped(runner: DriftRunner) -> None:
    with pytest.raises(Foreign, match="needed more than 200 MB") as failed:
        runner.run(asked("eat", memory_mb=200))
    assert failed.value.reason == "overloaded"


@pytest.mark.parametrize(
    ("then", "said"),
    [
        ("hang", "it took longer than 2 s. Choose fewer rows, or raise `drift.time_limit`."),
        ("eat", "it needed more than 200 MB."),
        ("killed", "it was killed, most likely because this machine ran out of memory."),
        ("crash", "the worker died of signal 11."),
    ],
)
def test_what_the_screen_found_outlives_the_full_report(runner: DriftRunner, then: str, said: str) -> None:
    wall = timedelta(seconds=2) if then == "hang" else LONG
    report = runner.run(asked(f"screened-{then}", wall, memory_mb=200))
    assert report.full_missing.startswith(said)
    assert report.html_path == ""
    assert Path(report.png_path).read_bytes() == b"png"


def test_a_crash_after_the_whole_report_costs_nothing(runner: DriftRunner) -> None:
    """Native libraries like to crash while a process ends."""
    report = runner.run(asked("whole-crash"))
    assert report.full_missing == ""
    assert Path(report.html_path).name == "report.html"


def test_the_worker_is_told_by_no_command_line_and_inherits_nothing(
    runner: DriftRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLACK_BOT_TOKEN", "xoxb-secret")
    report = runner.run(asked("tell"))
    told = json.loads((tmp_path / "reports" / "told.json").read_text())
    assert PASSWORD in told["path"]
    assert PASSWORD not in json.dumps([told["argv"], told["env"]])
    assert told["env"]["AWS_REGION"] == "eu-1"
    assert "xoxb-secret" not in told["env"].values()
    assert report.html_path == ""  # what the worker claims is not believed
    left = [path.name for run in (tmp_path / "reports").glob("run-*") for path in run.iterdir()]
    assert left == ["answer.json"]


def test_closing_ends_the_worker_and_starts_no_other(runner: DriftRunner, tmp_path: Path) -> None:
    failures: list[Foreign] = []

    def ask() -> None:
        with pytest.raises(Foreign) as failed:
            runner.run(asked("hang"))
        failures.append(failed.value)

    thread = threading.Thread(target=ask)
    thread.start()
    until(lambda: list((tmp_path / "reports").glob("run-*/pid")), "the worker starts")
    pid = runner.child_pid
    assert pid is not None
    with pytest.raises(Foreign, match="others are being made") as busy:
        runner.run(asked("tell", timedelta(seconds=0.1)))
    assert busy.value.reason == "overloaded"
    runner.close()
    thread.join(30)
    assert not thread.is_alive()
    assert [failure.reason for failure in failures] == ["overloaded"]
    until(lambda: is_gone(pid), "the worker ends")
    with pytest.raises(Foreign, match="the bot is stopping"):
        runner.run(asked("tell"))


def test_only_so_many_reports_are_kept(tmp_path: Path) -> None:
    runner = DriftRunner(WorkerSettings(reports=tmp_path, kept=2), module="tests.drift.odd_worker")
    runs = []
    for age in (3, 2, 1):
        runner.run(asked("tell"))
        runs.append(next(run for run in tmp_path.glob("run-*") if run not in runs))
        os.utime(runs[-1], (1_000_000 - age, 1_000_000 - age))
    assert sorted(tmp_path.glob("run-*")) == sorted(runs[1:])


def test_a_python_that_is_not_there_and_a_folder_that_cannot_be(tmp_path: Path) -> None:
    absent = DriftRunner(WorkerSettings(reports=tmp_path, python=str(tmp_path / "none")))
    with pytest.raises(Foreign, match=r"does not start \(No such file or directory\). Set `drift.python`"):
        absent.run(asked("tell"))
    (tmp_path / "file").write_text("")
    blocked = DriftRunner(WorkerSettings(reports=tmp_path / "file" / "reports"))
    with pytest.raises(Foreign, match=r"Set `drift\.reports`"):
        blocked.run(asked("tell"))


def test_settings_show_no_secret() -> None:
    assert PASSWORD not in repr(WorkerSettings(environment=(("KEY", PASSWORD),)))


def test_check_says_what_the_workers_python_brings_or_lacks(tmp_path: Path) -> None:
    said = DriftRunner(WorkerSettings(reports=tmp_path)).check()
    assert "evidently 0.7.23" in said.split(", ")
    with pytest.raises(Foreign, match="cannot load the worker's own code"):
        DriftRunner(WorkerSettings(reports=tmp_path), module="handlers.drift.no_such_worker").check()
    with pytest.raises(Foreign, match=r"Set `drift\.python`"):
        DriftRunner(WorkerSettings(reports=tmp_path, python=str(tmp_path / "none"))).check()


def test_the_worker_does_not_outlive_the_bot(tmp_path: Path) -> None:
    """A bot that is killed tells nobody; its worker must not go on eating a gigabyte."""
    asked_for = (
        "import sys; from pathlib import Path; from tests.drift.test_runner import asked;"
        "from bot.drift.runner import DriftRunner, WorkerSettings;"
        "DriftRunner(WorkerSettings(reports=Path(sys.argv[1])), module='tests.drift.odd_worker').run(asked('orphan'))"
    )
    bot = subprocess.Popen([sys.executable, "-c", asked_for, str(tmp_path)], cwd=Path(__file__).parents[2])
    try:
        until(lambda: list(tmp_path.glob("run-*/pid")), "the worker starts")
        pid = int(next(iter(tmp_path.glob("run-*/pid"))).read_text())
        assert not is_gone(pid)
    finally:
        bot.kill()
        bot.wait()
    until(lambda: is_gone(pid), "the worker ends with the bot")
