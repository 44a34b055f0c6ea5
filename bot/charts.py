"""Charts, drawn in another process, so that the serving process neither imports matplotlib nor dies of it.

The parent is `ChartPool`; the child is `python -m bot.charts BYTES`, which reads one specification per line of its
standard input and answers one line of JSON. The child inherits no environment, so it knows no secret; it bounds its own
memory, and the parent bounds its time. A child that fails is replaced at the next chart. One child is enough: a chart
takes a third of a second.

A specification: `title`, `axis` (label with unit), `points` [[seconds since 1970, value], …], `bounds` [{value,
label}], `marks` [{at, label, style: "start" or "change"}]; or, for two things side by side, `title`, `names` [of the
two] and `bars` [{label, values: [of the two]}], each with a scale of its own. Nothing is told by colour alone: lines
differ in dashes, bars in hatching, and both carry words. One with `rota` is a picture of who is on call: see
`bot.rota_chart`.
"""

from __future__ import annotations

import contextlib
import json
import math
import resource
import selectors
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot.ports import Foreign
from bot.rota_chart import draw_rota

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LIMIT_S = 10.0  # for one chart, the start of the child included
MEMORY_BYTES = 2_000_000_000  # of address space, most of which matplotlib's libraries reserve and never use
KEPT = 300  # pictures; older ones are removed. An upload that waits for Slack is not that far behind
ANSWER_CAP = 10_000
POINTS_CAP = 20_000
TEXT_CAP = 120
PANELS_CAP = 6  # more would be too narrow for their numbers
WIDTH_PX, HEIGHT_PX, DPI = 1000, 420, 100


class ChartPool:
    """Draws charts. Safe to use from several threads, which take turns. Close it, or its child stays until we end."""

    def __init__(self, *, limit_s: float = LIMIT_S, memory_bytes: int = MEMORY_BYTES) -> None:
        self._limit_s = limit_s
        self._memory_bytes = memory_bytes
        self._folder = Path(tempfile.mkdtemp(prefix="mlops-charts-"))
        self._turn = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._pictures: list[Path] = []
        self._count = 0

    @property
    def child_pid(self) -> int | None:
        """The child's process id, None while there is none."""
        return self._child.pid if self._child is not None else None

    def draw(self, specification: Mapping[str, object]) -> str:
        """Path of a PNG. Raises Foreign("timeout", "overloaded", "invalid" or "broken") when there is none."""
        deadline = time.monotonic() + self._limit_s
        if not self._turn.acquire(timeout=self._limit_s):
            raise Foreign("overloaded", "No picture: too many charts are being drawn. Ask again in a minute.")
        try:
            return self._draw(specification, deadline)
        finally:
            self._turn.release()

    def warm_up(self) -> None:
        """Start the child now, so that the first chart of an incident is quick."""
        with self._turn:
            self._start()

    def close(self) -> None:
        """End the child and remove every picture."""
        with self._turn:
            self._stop()
            shutil.rmtree(self._folder, ignore_errors=True)

    def _draw(self, specification: Mapping[str, object], deadline: float) -> str:
        self._count += 1
        picture = self._folder / f"chart-{self._count}.png"
        line = json.dumps({**specification, "path": str(picture)}, allow_nan=False).encode() + b"\n"
        try:
            answer = self._exchange(line, deadline)
        except (OSError, ValueError) as error:
            self._stop()
            raise Foreign("broken", "No picture: the chart worker ended unexpectedly. Ask again.") from error
        if answer is None:
            self._stop()
            raise Foreign("timeout", f"No picture: the chart took longer than {self._limit_s:g} s.")
        if answer.get("error"):
            raise Foreign("invalid", f"No picture: {str(answer['error'])[:200]}.")
        self._pictures.append(picture)
        while len(self._pictures) > KEPT:
            self._pictures.pop(0).unlink(missing_ok=True)
        return str(picture)

    def _exchange(self, line: bytes, deadline: float) -> dict[str, Any] | None:
        """The child's answer; None when there is none in time. OSError or ValueError when the child broke."""
        child = self._start()
        if child.stdin is None or child.stdout is None:
            raise OSError("the chart worker has no pipes")
        child.stdin.write(line)
        child.stdin.flush()
        got = b""
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            while not got.endswith(b"\n"):
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    return None
                piece = child.stdout.read1(ANSWER_CAP)  # type: ignore[attr-defined]
                got += piece
                if not piece or len(got) > ANSWER_CAP:
                    raise OSError("the chart worker ended or babbled")
        answer = json.loads(got)
        if not isinstance(answer, dict):
            raise ValueError("the chart worker answered something else than an object")
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        if self._child is not None and self._child.poll() is None:
            return self._child
        self._stop()
        environment = {
            "PYTHONPATH": str(Path(__file__).resolve().parents[1]), "MPLCONFIGDIR": str(self._folder / "matplotlib"),
            "MPLBACKEND": "Agg", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "LANG": "C.UTF-8",
            "PATH": "/usr/bin:/bin",
        }  # fmt: skip
        self._child = subprocess.Popen(
            [sys.executable, "-m", "bot.charts", str(self._memory_bytes)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, cwd=self._folder,
        )  # fmt: skip
        return self._child

    def _stop(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what was not flushed has no reader any more
                    pipe.close()
        child.wait()


def draw(specification: Mapping[str, Any]) -> None:
    """Draw one chart into the file `path`. ValueError says what is wrong with the specification."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if "rota" in specification:
        draw_rota(specification, _text)
        return
    bars = specification.get("bars")
    points = [] if bars else _points(specification.get("points"))
    figure = Figure(figsize=(WIDTH_PX / DPI, HEIGHT_PX / DPI), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    if bars:
        _bars(figure, specification)
        figure.savefig(str(specification["path"]), format="png")
        return
    axes = figure.add_subplot()
    times = [at for at, _ in points]
    axes.plot(
        times, [value for _, value in points], color="#1d3557", linewidth=1.8, marker="." if len(points) < 30 else ""
    )
    _bounds(axes, specification.get("bounds") or ())
    _marks(axes, specification.get("marks") or (), times)
    axes.set_title(_text(specification.get("title")), parse_math=False, fontsize=13, loc="left")
    axes.set_ylabel(_text(specification.get("axis")), parse_math=False, fontsize=11)
    _time_axis(axes)
    figure.savefig(str(specification["path"]), format="png")


def _bars(figure: Figure, specification: Mapping[str, Any]) -> None:
    """A small panel for each thing that is compared: numbers of different size need scales of their own."""
    names, panels = [_text(name) for name in specification["names"]], list(specification["bars"])[:PANELS_CAP]
    every = [[float(value) for value in panel["values"]] for panel in panels]
    if any(len(values) != len(names) or not all(map(math.isfinite, values)) for values in every):
        raise ValueError("each bar needs a finite value for every name")
    figure.suptitle(_text(specification.get("title")), fontsize=13, parse_math=False)
    for number, (panel, values) in enumerate(zip(panels, every, strict=True), 1):
        axes = figure.add_subplot(1, len(panels), number)
        bars = axes.bar(
            names, values, color=["#a8b8cc", "#1d3557"][: len(names)], hatch=["//", ""][: len(names)], edgecolor="white"
        )
        axes.bar_label(bars, labels=[f"{value:.4g}" for value in values], padding=2, fontsize=10)
        axes.set_title(_text(panel.get("label")), fontsize=11, parse_math=False)
        axes.margins(y=0.15)
        axes.axhline(0, color="#333333", linewidth=0.8)
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)


def _points(given: object) -> list[tuple[float, float]]:
    """(matplotlib's number for the time, value), oldest first."""
    if not isinstance(given, list) or not given:
        raise ValueError("there are no points to draw")
    pairs = [(float(at), float(value)) for at, value in given[-POINTS_CAP:]]
    points = [(_number(at), value) for at, value in pairs if math.isfinite(value)]
    if not points:
        raise ValueError("none of the points has a finite value")
    return sorted(points)


def _number(seconds: Any) -> float:
    from matplotlib.dates import date2num

    return float(date2num(datetime.fromtimestamp(float(seconds), UTC)))  # type: ignore[no-untyped-call]


def _bounds(axes: Axes, bounds: Any) -> None:
    for bound in bounds:
        value = float(bound["value"])
        axes.axhline(value, color="#c1121f", linewidth=1.5, linestyle="--")
        axes.annotate(
            _text(bound["label"]), xy=(0.005, value), xycoords=("axes fraction", "data"), xytext=(0, 3),
            textcoords="offset points", color="#9b0d18", fontsize=10, parse_math=False,
        )  # fmt: skip
    low, high = axes.get_ylim()
    room = (high - low or 1.0) * 0.08  # so that neither a label nor a line sticks to the edge
    axes.set_ylim(low - room, high + room * 2)


def _marks(axes: Axes, marks: Any, times: list[float]) -> None:
    """Vertical lines with their words at the top; words of neighbours go one line lower each."""
    begin, end = times[0], times[-1]
    shown = sorted((_number(mark["at"]), _text(mark["label"]), mark.get("style") == "start") for mark in marks)
    for index, (at, label, is_start) in enumerate(shown):
        begin, end = min(begin, at), max(end, at)
        axes.axvline(at, color="#333333", linewidth=1.6 if is_start else 1.1, linestyle="-" if is_start else ":")
        axes.annotate(
            label, xy=(at, 1.0), xycoords=("data", "axes fraction"), xytext=(4, -13 - 13 * (index % 3)),
            textcoords="offset points", fontsize=10, color="#222222", weight="bold" if is_start else "normal",
            parse_math=False,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.85},
        )  # fmt: skip
    room = (end - begin) * 0.08
    axes.set_xlim(begin - (end - begin) * 0.01, end + room)


def _time_axis(axes: Axes) -> None:
    from matplotlib.dates import AutoDateLocator, DateFormatter

    begin, end = axes.get_xlim()
    pattern = "%H:%M:%S" if end - begin < 1 / 96 else "%H:%M" if end - begin < 1.5 else "%m-%d %H:%M"  # in days
    axes.xaxis.set_major_locator(AutoDateLocator(tz=UTC, maxticks=8))  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(DateFormatter(pattern, tz=UTC))  # type: ignore[no-untyped-call]
    axes.set_xlabel("time (UTC)", fontsize=11)
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _text(value: object) -> str:
    """A label on one line; a stranger's text may stand in it."""
    text = "".join(sign for sign in str(value or "") if sign.isprintable())
    return text if len(text) <= TEXT_CAP else text[: TEXT_CAP - 1] + "…"


def main() -> int:
    """Be the child: one chart per line, until the parent closes the pipe."""
    limit = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    warnings.simplefilter("ignore")  # a glyph that the font lacks is drawn as a box, and that is all
    for line in sys.stdin:
        try:
            draw(json.loads(line))
            answer: dict[str, object] = {"ok": True}
        except MemoryError:
            return 1
        except Exception as error:  # noqa: BLE001 - the parent decides what a failed chart means
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
