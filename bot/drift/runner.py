"""Starts the drift worker, bounds it, and reads its answer.

The worker is `python -m handlers.drift.worker`, one process for each report, in a process group of its own. The
question goes in by an anonymous file, so that no address or key is ever on a command line or has a name on disk; the
answer is a file in the run's folder. It inherits no environment but what is named. Time and memory are watched from
here and the whole group is killed when a bound is passed; the worker also bounds what it
reserves, lowers its own priority, and dies with us.

The worker writes its answer twice: first with the quick screen, then with the full report. So a worker that dies, hangs
or eats too much during the second part costs that part only, and the report says why it is missing.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from bot.drift import wire
from bot.drift.asked import DriftRequest
from bot.drift.report import DriftReport
from bot.ports import Foreign

MODULE = "handlers.drift.worker"
ANSWER, HTML, PICTURE, SCRATCH = "answer.json", "report.html", "picture.png", "scratch"  # in the run's folder
UNFINISHED = "it was not finished."  # in the first of the two answers
ANSWER_CAP_BYTES = 16_000_000
CHECK_S = 60.0
LOOK_S = 0.1  # between two looks at the worker
REASONS = frozenset({"unreachable", "timeout", "refused", "not_found", "conflict", "invalid", "overloaded", "broken"})
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """How the worker is run."""

    python: str = sys.executable  # of an environment that has the extras `drift` and `drift-screen`
    reports: Path = Path("drift-reports")  # each run gets a folder of its own in it
    kept: int = 200  # runs; older ones are removed
    folders: tuple[Path, ...] = ()  # that files may be read from
    schemes: frozenset[str] = frozenset({"https", "postgresql"})  # of addresses
    environment: tuple[tuple[str, str], ...] = ()  # variables handed on to the worker; they may be secret

    def __repr__(self) -> str:
        return f"WorkerSettings(python={self.python!r}, reports={self.reports!r})"


@dataclass(frozen=True, slots=True)
class _End:
    """How a run ended: "" for by itself, else why it was stopped."""

    stopped: str
    code: int


class DriftRunner:
    """Runs one worker at a time. Safe to use from several threads, which take turns."""

    def __init__(self, settings: WorkerSettings, *, module: str = MODULE) -> None:
        self._settings = settings
        self._module = module
        self._turn = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._is_closed = False

    @property
    def child_pid(self) -> int | None:
        """The worker's process id, None while there is none."""
        return self._child.pid if self._child is not None else None

    def run(self, request: DriftRequest) -> DriftReport:
        """The report, which may lack its full part and then says why. Raises Foreign when there is none at all.

        Reasons: those of Foreign; "overloaded" also when memory ran out or other reports are in the way.
        """
        if not self._turn.acquire(timeout=request.limits.wall.total_seconds()):
            raise Foreign("overloaded", "No drift report: others are being made. Ask again in a few minutes.")
        try:
            if self._is_closed:
                raise Foreign("overloaded", "No drift report: the bot is stopping. Ask again in a minute.")
            return self._run(request)
        finally:
            self._turn.release()

    def check(self) -> str:
        """What the worker's Python brings, in words for `doctor`. Raises Foreign("broken") when it lacks something."""
        with tempfile.TemporaryDirectory(prefix="mlops-drift-check-") as folder:
            scratch = Path(folder)
            command = [self._settings.python, "-m", self._module, "--check"]
            try:
                ended = subprocess.run(
                    command, cwd=scratch, env=self._environment(scratch), stdin=subprocess.DEVNULL,
                    capture_output=True, text=True, timeout=CHECK_S, check=False,
                )  # fmt: skip
            except (OSError, subprocess.TimeoutExpired) as error:
                text = "The drift worker's Python does not start. Set `drift.python` to one with the extra `drift`."
                raise Foreign("broken", text) from error
        said = [line for line in ended.stdout.splitlines() if line.strip()][:20]
        if ended.returncode:
            missing = next((line for line in said if "missing" in line), "It cannot load the worker's own code.")
            raise Foreign("broken", f"The drift worker cannot work: {missing[:200]}")
        return ", ".join(said)[:300]

    def close(self) -> None:
        """End a worker that runs, and start no other."""
        self._is_closed = True
        child = self._child
        if child is not None:
            _kill(child)

    def _run(self, request: DriftRequest) -> DriftReport:
        began = time.monotonic()
        folder = self._folder()
        try:
            with _question(request, self._settings, folder) as question:
                end = self._watched(question, folder, request)
            report = _answer(folder, request, end)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            shutil.rmtree(folder / SCRATCH, ignore_errors=True)
        return replace(report, took=replace(report.took, total_s=round(time.monotonic() - began, 3)))

    def _folder(self) -> Path:
        """A new folder for a run; the oldest ones go."""
        reports = self._settings.reports.resolve()
        try:
            reports.mkdir(parents=True, exist_ok=True, mode=0o700)
            runs = sorted(reports.glob("run-*"), key=lambda run: run.stat().st_mtime)
            for old in runs[: max(0, len(runs) + 1 - self._settings.kept)]:
                shutil.rmtree(old, ignore_errors=True)
            folder = Path(tempfile.mkdtemp(prefix="run-", dir=reports))
            (folder / SCRATCH).mkdir()
        except OSError as error:
            raise Foreign(
                "broken", f"No drift report: its folder cannot be written ({error.strerror}). Set `drift.reports`."
            ) from error
        return folder

    def _watched(self, question: IO[bytes], folder: Path, request: DriftRequest) -> _End:
        """Run the worker until it ends or passes a bound."""
        limits = request.limits
        deadline = time.monotonic() + limits.wall.total_seconds()
        memory_bytes = limits.memory_mb * 1_000_000
        self._child = child = self._started(question, folder)
        stopped = ""
        try:
            while child.poll() is None and not stopped:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(LOOK_S)
                if time.monotonic() > deadline:
                    stopped = "timeout"
                elif _resident_bytes(child.pid) > memory_bytes:
                    stopped = "memory"
        finally:
            _kill(child)
            self._child = None
        return _End(stopped, child.returncode)

    def _started(self, question: IO[bytes], folder: Path) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                [self._settings.python, "-m", self._module], stdin=question, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, env=self._environment(folder / SCRATCH), cwd=folder, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise Foreign(
                "broken", f"No drift report: the worker's Python does not start ({error.strerror}). Set `drift.python`."
            ) from error

    def _environment(self, scratch: Path) -> dict[str, str]:
        """All that the worker is given: our code, room of its own, and what the operator names."""
        code = scratch / "code"
        code.mkdir()
        for package in ("bot", "handlers"):  # and nothing else of ours: the worker's Python may be another one
            (code / package).symlink_to(Path(__file__).resolve().parents[2] / package)
        return dict(self._settings.environment) | {
            "PYTHONPATH": str(code), "MPLCONFIGDIR": str(scratch), "MPLBACKEND": "Agg", "TZ": "UTC",
            "HOME": str(scratch), "TMPDIR": str(scratch), "LANG": "C.UTF-8", "PATH": "/usr/bin:/bin",
            "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "DO_NOT_TRACK": "1",
        }  # fmt: skip


@contextlib.contextmanager
def _question(request: DriftRequest, settings: WorkerSettings, folder: Path) -> Iterator[IO[bytes]]:
    """The question as a file without a name."""
    asked = {
        "request": json.loads(wire.dumps(request)), "folder": str(folder), "parent": os.getpid(),
        "folders": [str(one) for one in settings.folders], "schemes": sorted(settings.schemes),
    }  # fmt: skip
    has_memory_files = hasattr(os, "memfd_create")
    with os.fdopen(os.memfd_create("question"), "w+b") if has_memory_files else tempfile.TemporaryFile() as file:
        file.write(json.dumps(asked).encode())
        file.flush()
        file.seek(0)
        yield file


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End the worker and whatever it started."""
    if child.returncode is None:  # else its number may be another's by now
        with contextlib.suppress(ProcessLookupError, PermissionError):  # it ended this very moment
            os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _resident_bytes(pid: int) -> int:
    """Memory of the process; 0 where that cannot be told, and the worker's own bound must do."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES
    except (OSError, ValueError, IndexError):
        return 0


def _answer(folder: Path, request: DriftRequest, end: _End) -> DriftReport:
    """What the worker wrote; with why the rest is missing when it did not end by itself. Raises Foreign."""
    why = _why(end, request)
    found = _read(folder, request, why)
    if isinstance(found, DriftReport):
        html, picture = folder / HTML, folder / PICTURE
        # Libraries may crash while the process ends; a report that was whole by then stays whole.
        missing = why[1] if why and found.full_missing == UNFINISHED else found.full_missing
        return replace(
            found, full_missing=missing,
            html_path=str(html) if not missing and _is_file(html) else "",
            png_path=str(picture) if _is_file(picture) else "",
        )  # fmt: skip
    raise found


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _why(end: _End, request: DriftRequest) -> tuple[str, str] | None:
    """(reason, sentence) when the worker did not end by itself; None when it did."""
    limits = request.limits
    if end.stopped == "timeout":
        took = f"{limits.wall.total_seconds():g} s"
        return "timeout", f"it took longer than {took}. Choose fewer rows, or raise `drift.time_limit`."
    if end.stopped == "memory":
        return (
            "overloaded",
            f"it needed more than {limits.memory_mb} MB. Choose fewer rows, or raise `drift.memory_mb`.",
        )
    if end.code == -signal.SIGKILL:
        return "overloaded", "it was killed, most likely because this machine ran out of memory. Choose fewer rows."
    if end.code < 0:
        return "broken", f"the worker died of signal {-end.code}. Ask again; if it stays, try its Python by hand."
    if end.code:
        return "broken", f"the worker ended with code {end.code}. Try `python -m {MODULE} --check` with its Python."
    return None


def _read(folder: Path, request: DriftRequest, why: tuple[str, str] | None) -> DriftReport | Foreign:
    """The answer in the run's folder, or what is wrong instead."""
    path = folder / ANSWER
    lead = f"No drift report for {request.model}:"
    if not _is_file(path):
        reason, sentence = why or ("broken", "the worker ended without an answer. Ask again.")
        return Foreign(reason, f"{lead} {sentence}")
    try:
        if path.stat().st_size > ANSWER_CAP_BYTES:
            raise ValueError("too large")
        given: Any = json.loads(path.read_bytes())
        if isinstance(given, dict) and set(given) == {"reason", "sentence"}:
            reason = given["reason"] if given["reason"] in REASONS else "broken"
            return Foreign(reason, f"{lead} {str(given['sentence'])[:500]}")
        report = wire.of_plain(given, DriftReport)
        if (report.system, report.model) != (request.system, request.model):
            raise ValueError("another model's")
    except (OSError, ValueError, RecursionError):
        return Foreign("broken", f"{lead} the worker's answer makes no sense. Check that its Python has this release.")
    return report
