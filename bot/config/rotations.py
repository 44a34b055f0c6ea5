"""Checks of rotations, each complaint with file, line and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from bot.config.settings import CalendarSource
from bot.config.shape import LayerShape, RotationShape
from bot.marked import At, Marked, Problem
from bot.policy import Policy
from bot.policy.calendar import DAY
from bot.policy.roster import CalendarCopy, Reading, manned, strangers
from bot.policy.rota import Rota, gaps
from bot.policy.rota_check import Flaw, flaws, flaws_to_come
from bot.policy.rota_words import span_words

_DAYS = 14
Read = Callable[[CalendarSource, datetime], Reading]


def check_rotations(
    policy: Policy, shapes: Mapping[str, RotationShape], main: Marked, now: datetime | None
) -> list[Problem]:
    """What is wrong with the rotations. What depends on the date is looked for only when `now` is given.

    So a gap is refused by `mlops-bot check`, and never keeps a bot that restarts at night from starting. Calendars are
    not read here.
    """
    keys = [person.key for person in policy.people]
    found: list[Problem] = []
    for name, rota in policy.rotas.items():
        at: At = ("rotations", name)
        for number, layer in enumerate(shapes[name].layers):
            here = (*at, "layers", number)
            found += [
                main.problem(here, f'rotation "{name}", layer "{rota.layers[number].name}": {text}')
                for text in _form(layer)
            ]
        every: list[Flaw] = [*flaws(rota, keys), *(flaws_to_come(rota, now) if now is not None else ())]
        found += _told(name, rota, every, main)
        if now is not None:
            found += _behind_calendars(name, rota, main, now)
    return found


def check_calendars(
    policy: Policy, sources: Iterable[CalendarSource], read: Read, main: Marked, now: datetime
) -> list[Problem]:
    """What the calendars that are files say: whom they name, and the gaps they leave. Addresses are not called."""
    places = {
        f"{name}/{layer.name}": (name, number)
        for name, rota in policy.rotas.items()
        for number, layer in enumerate(rota.layers)
    }
    found: list[Problem] = []
    copies: dict[str, CalendarCopy] = {}
    for source in sources:
        if source.file is None:
            continue
        name, number = places[source.name]
        at: At = ("rotations", name, "layers", number, "calendar")
        before = f'rotation "{name}", layer "{policy.rotas[name].layers[number].name}":'
        reading = read(source, now)
        if reading.why:
            found.append(main.problem(at, f"{before} the calendar is of no use: {reading.why}; correct it"))
            continue
        copy = CalendarCopy(name=source.name, entries=reading.entries, fetched_at=now)
        copies[source.name] = copy
        found += [
            main.problem(
                at, f'{before} "{title[:60]}" names nobody; title events with a key of `people`, or take it out'
            )
            for title in strangers(policy, copy)[:10]
        ]
    filled = manned(policy, (), copies) if copies else policy
    for name in dict.fromkeys(places[copy][0] for copy in copies):
        found += _told(name, filled.rotas[name], flaws_to_come(filled.rotas[name], now), main)
    return found


def _told(name: str, rota: Rota, every: Iterable[Flaw], main: Marked) -> Iterator[Problem]:
    for flaw in every:
        here: At = ("rotations", name)
        here = here if flaw.layer is None else (*here, "layers", flaw.layer)
        layer = "" if flaw.layer is None else f', layer "{rota.layers[flaw.layer].name}"'
        yield main.problem(here, f'rotation "{name}"{layer}: {flaw.text}')


def _form(layer: LayerShape) -> Iterator[str]:
    """What is wrong with a layer as it is written."""
    if layer.calendar is None:
        if layer.starts_on is None and layer.people:
            yield "`starts_on` is missing; write the day of the first turn, like 2026-01-05"
        return
    if layer.people:
        yield "it has both `people` and `calendar`; keep one, or make them two layers"
    if bool(layer.calendar.url) == bool(layer.calendar.file):
        yield "its calendar needs one of `file` and `url`; write one"
    address = layer.calendar.url.reveal()
    if address and not address.startswith("https://"):
        yield "its calendar's `url` is no https address; correct it"


def _behind_calendars(name: str, rota: Rota, main: Marked, now: datetime) -> Iterator[Problem]:
    """A warning where nobody would be on call if a calendar could not be read from the start."""
    without = replace(rota, layers=tuple(layer for layer in rota.layers if not layer.calendar))
    if len(without.layers) == len(rota.layers) or rota.may_have_gaps:
        return
    holes = gaps(without, now, now + _DAYS * DAY)
    if holes:
        zone = rota.told_in
        text = (
            f'rotation "{name}": until its calendar is read, nobody is on call from {span_words(holes[0], zone)}; '
            "add a layer of people below it"
        )
        yield main.problem(("rotations", name), text, warning=True)
