"""The picture of a rotation: a row for each layer and one for the outcome, a bar for each turn.

Drawn in the chart worker. A specification: `title`, `zone`, `start` and `end` (seconds since 1970), `rota`
[{name, shifts [[start, end, person], …]}, …] from the highest layer down, the outcome last, and `gaps` [[start, end],
…]. Nothing is told by colour alone: each bar carries its name or, where it is too short, the number that the legend
gives it; people differ in hatching as well, and a gap is said in words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_PX, DPI = 1200, 100
ROWS_CAP, SHIFTS_CAP, PEOPLE_CAP = 12, 1_000, 40
_CHAR_PX = 7.4  # of the font in the bars, roughly
# Light fills, told apart by people who see few colours too, each with black words on it; hatching tells the rest.
_FILLS = ("#a9cdea", "#f6cf8e", "#b5dcb0", "#e8b8cf", "#d5cdec", "#e2d9a6", "#b3dedd", "#e9bda6")
_HATCHES = ("", "///", "...", "\\\\\\", "xx", "--", "||", "oo")


def draw_rota(given: Mapping[str, Any], text: Callable[[object], str]) -> None:
    """Draw the picture into the file `path`. ValueError says what is wrong with the specification."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [(text(row["name"]), _bars(row["shifts"], text)) for row in given["rota"][:ROWS_CAP]]
    start, end = float(given["start"]), float(given["end"])
    if not rows or not 0 < end - start < 400 * 86_400:
        raise ValueError("there are no rows, or no days, to draw")
    people = list(dict.fromkeys(bar[2] for _, bars in rows for bar in bars))[:PEOPLE_CAP]
    legend_rows = -(-max(len(people), 1) // 6)
    height = 120 + 52 * len(rows) + 24 * legend_rows
    figure = Figure(figsize=(WIDTH_PX / DPI, height / DPI), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_xlim(start, end)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    for index, (_, bars) in enumerate(rows):
        is_outcome = index == len(rows) - 1
        for bar in bars:
            _draw_bar(axes, index, bar, people, (end - start) / (WIDTH_PX * 0.86), is_outcome=is_outcome)
    for gap in given.get("gaps") or ():
        _draw_gap(axes, len(rows) - 1, float(gap[0]), float(gap[1]), (end - start) / (WIDTH_PX * 0.86))
    axes.set_yticks(range(len(rows)), [name for name, _ in rows], fontsize=11)
    axes.get_yticklabels()[-1].set_fontweight("bold")
    _days(axes, start, end, ZoneInfo(str(given["zone"])))
    axes.set_title(text(given.get("title")), parse_math=False, fontsize=13, loc="left")
    _legend(figure, people)
    figure.savefig(str(given["path"]), format="png")


Bar = tuple[float, float, str]


def _bars(shifts: Sequence[Sequence[Any]], text: Callable[[object], str]) -> list[Bar]:
    return [(float(begin), float(finish), text(person)) for begin, finish, person in shifts[:SHIFTS_CAP]]


def _draw_bar(axes: Axes, row: int, bar: Bar, people: list[str], per_px: float, *, is_outcome: bool) -> None:
    begin, finish, person = bar
    number = people.index(person) if person in people else 0
    axes.barh(
        row, finish - begin, left=begin, height=0.78 if is_outcome else 0.6, color=_FILLS[number % len(_FILLS)],
        hatch=_HATCHES[number % len(_HATCHES)], edgecolor="#5a6570", linewidth=1.4 if is_outcome else 0.7,
    )  # fmt: skip
    room = (finish - begin) / per_px
    short = str(number + 1)
    words = person if len(person) * _CHAR_PX + 6 < room else short if len(short) * _CHAR_PX + 4 < room else ""
    if words:
        axes.text(
            (begin + finish) / 2, row, words, ha="center", va="center", fontsize=10, color="#101418", parse_math=False,
            fontweight="bold" if is_outcome else "normal", clip_on=True,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.2, "alpha": 0.75},
        )  # fmt: skip


def _draw_gap(axes: Axes, row: int, begin: float, finish: float, per_px: float) -> None:
    axes.barh(
        row, finish - begin, left=begin, height=0.78, color="white", edgecolor="#c1121f", linewidth=1.6, linestyle="--"
    )
    is_wide = (finish - begin) / per_px > 56
    axes.annotate(
        "nobody" if is_wide else "!", xy=((begin + finish) / 2, row), ha="center", va="center", color="#9b0d18",
        fontsize=10, fontweight="bold",
    )  # fmt: skip


def _days(axes: Axes, start: float, end: float, zone: ZoneInfo) -> None:
    """Midnights of the zone as lines, and each day's name in the middle of the day, however long it is."""
    day = datetime.fromtimestamp(start, UTC).astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    wall = day.replace(tzinfo=None)
    count = int((end - start) // 86_400) + 2
    midnights = [(wall + timedelta(days=n)).replace(tzinfo=zone) for n in range(count + 1)]
    ticks, names = [], []
    for one, following in pairwise(midnights):
        begin, finish = max(one.timestamp(), start), min(following.timestamp(), end)
        if one.timestamp() > start:
            axes.axvline(one.timestamp(), color="#c9ced3", linewidth=0.8, zorder=0)
        if finish - begin > 30_000:
            ticks.append((begin + finish) / 2)
            names.append(f"{one:%a}\n{one.day} {one:%b}")
    axes.set_xticks(ticks, names, fontsize=10)
    axes.tick_params(length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _legend(figure: Figure, people: list[str]) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(
            facecolor=_FILLS[number % len(_FILLS)], hatch=_HATCHES[number % len(_HATCHES)], edgecolor="#5a6570",
            label=f"{number + 1} {person}".replace("$", r"\$"),
        )
        for number, person in enumerate(people)
    ]  # fmt: skip
    if handles:
        figure.legend(
            handles=handles, loc="outside lower left", ncols=min(6, len(handles)), frameon=False, fontsize=10,
            handlelength=2.2,
        )  # fmt: skip
