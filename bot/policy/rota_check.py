"""What is wrong with a rota, in sentences that say what to do.

Pure: whoever read the file puts file and line before them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from bot.policy.calendar import (
    DAY,
    comes_twice,
    first_instant,
    is_jumped_over,
    zone_named,
)
from bot.policy.rota import Layer, Rota, fault, gaps, hand_overs, layer_shifts
from bot.policy.rota_words import day_words, length_words, span_words

_YEAR = 366 * DAY  # how far ahead changes of the clock are looked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """What is wrong, as "what; what to do", and the layer it is in: counted from 0, None for the whole rota."""

    text: str
    layer: int | None = None


_EMPTY = Flaw(text="it has no layer, so nobody is ever on call; add one under `layers`")


def problems(rota: Rota, known_people: Iterable[str], start: datetime, days: int = 14) -> tuple[str, ...]:
    """Every flaw as a sentence that names rota and layer; gaps are looked for in the days from `start` on."""
    found = (*flaws(rota, known_people), *flaws_to_come(rota, start, days))
    return tuple(f'rotation "{rota.name}"{_place(rota, flaw)}: {flaw.text}' for flaw in found)


def flaws(rota: Rota, known_people: Iterable[str]) -> tuple[Flaw, ...]:
    """What is wrong on any day."""
    known = frozenset(known_people)
    found = [] if rota.layers or rota.overrides else [_EMPTY]
    named = [layer.name for layer in rota.layers]
    found += [
        Flaw(text=f'a layer above is called "{name}" too; give it another name', layer=number)
        for number, name in enumerate(named)
        if name in named[:number]
    ]
    for number, layer in enumerate(rota.layers):
        strangers = (person for person in dict.fromkeys(layer.people) if person not in known)
        texts = [
            f'unknown person "{one}"; list them under `people`, or take them out of the layer' for one in strangers
        ]
        found += [Flaw(text=text, layer=number) for text in (*texts, fault(layer)) if text]
    return (*found, *(Flaw(text=text) for text in _of_overrides(rota, known)))


def flaws_to_come(rota: Rota, start: datetime, days: int = 14) -> tuple[Flaw, ...]:
    """What will go wrong: gaps in the days from `start` on, and hand-overs of a year that a clock makes unclear."""
    start = start.astimezone(UTC)
    found = [
        Flaw(text=text, layer=number)
        for number, layer in enumerate(rota.layers)
        if not fault(layer)
        for text in (*_of_limits(layer, start), *_of_clock_changes(layer, start))
    ]
    is_known = all(layer.entries or not layer.calendar for layer in rota.layers)
    if rota.layers and is_known and not rota.may_have_gaps and not any(fault(layer) for layer in rota.layers):
        found += [Flaw(text=text) for text in _of_gaps(rota, start, days)]
    return tuple(found)


def _place(rota: Rota, flaw: Flaw) -> str:
    return "" if flaw.layer is None else f', layer "{rota.layers[flaw.layer].name}"'


def _of_limits(layer: Layer, start: datetime) -> Iterator[str]:
    """People whose turns never meet the hours: a daily turn of seven people, from Monday to Friday."""
    begin = max(start, _first(layer))
    length = min(max(_YEAR, 2 * len(layer.people) * layer.every), 5 * _YEAR)
    seen = {shift.person for shift in layer_shifts(layer, begin, begin + length)} if layer.windows else {*layer.people}
    idle = [person for person in dict.fromkeys(layer.people) if person not in seen]
    if idle:
        yield (
            f"the hours it is limited to never meet the turns of {', '.join(idle)}; "
            "change the length of a turn, the number of people, or the hours"
        )


def _first(layer: Layer) -> datetime:
    zone = zone_named(layer.zone)
    wall = datetime.combine(layer.starts_on, layer.hand_over)
    return wall.replace(tzinfo=UTC) if zone is None else first_instant(wall, zone)


def _of_clock_changes(layer: Layer, start: datetime) -> Iterator[str]:
    """Hand-overs of a year that a change of the clock makes unclear: one sentence with the first of each kind."""
    zone = zone_named(layer.zone)
    if zone is None:
        return
    walls = [wall for wall, _ in hand_overs(layer, start, start + _YEAR)]
    jumped = next((wall for wall in walls if is_jumped_over(wall, zone)), None)
    doubled = next((wall for wall in walls if comes_twice(wall, zone)), None)
    kinds = [
        f"does not exist on {day_words(jumped)}" if jumped else "",
        f"comes twice on {day_words(doubled)}" if doubled else "",
    ]
    said = " and ".join(kind for kind in kinds if kind)
    if said:
        wall = jumped or doubled or walls[0]
        yield (
            f"the hand-over at {wall:%H:%M} {said} in {layer.zone}, where the clock changes; "
            "choose an hour at which it does not, such as 09:00"
        )


def _of_overrides(rota: Rota, known: frozenset[str]) -> Iterator[str]:
    for one in rota.overrides:
        if one.person not in known:
            yield f'an override names the unknown person "{one.person}"; list them under `people`, or remove it'
        if one.end_at <= one.start_at:
            yield f"the override of {one.person} ends before it begins; swap its two times"


def _of_gaps(rota: Rota, start: datetime, days: int) -> Iterator[str]:
    found = gaps(rota, start, start + days * DAY)
    if not found:
        return
    more = {1: "", 2: ", and once more"}.get(len(found), f", and {len(found) - 1} more times")
    total = sum((one.length for one in found), timedelta(0))
    yield (
        f"nobody is on call from {span_words(found[0], rota.told_in)}{more} in the next {days} days "
        f"({length_words(total)} in all); add a layer below, widen the hours, or say `gaps: allowed`"
    )
