"""Who is on call, now and at other times."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from bot.desk.reply import Asker, Reply, head, when
from bot.desk.room import Room
from bot.model import Who
from bot.policy import Policy
from bot.policy.calendar import DAY, zone_named
from bot.policy.moments import HINT, moment
from bot.policy.roster import CalendarCopy, StandIn, calendar_name, strangers, users_of
from bot.policy.rota import Rota, gaps, next_handover, on_call, preview, shifts
from bot.policy.rota_words import moment_words, span_words
from bot.ports import Foreign
from bot.words import harmless, spoken
from handlers import commands as cmd
from handlers.commands import LOOK, Verb

VERBS = (
    Verb(
        name="oncall", usage="oncall [system|rotation] [at <time>]", summary="who is on call, and who is next",
        group=LOOK,
    ),
    Verb(name="preview", usage="preview [rotation]", summary="a rotation's next 14 days as a picture", group=LOOK),
)  # fmt: skip
_UTC = ZoneInfo("UTC")
_DAYS = 14
_AHEAD = 28 * DAY  # how far a person's own next turn is looked for
_LISTED = 12  # rotations in one answer
_TOLD = 40  # shifts in words below a picture


def say_oncall(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """Who is on call for what, who comes next and when; at another time when one is named."""
    policy = room.policy
    words, at_words = _split(command.words)
    name = words[0] if words else ""
    if name == "preview":
        return _preview(room, words[1] if len(words) > 1 else "")
    rotas = _rotas_of(policy, name)
    if name and name not in policy.systems and not rotas:
        return Reply(text=_unknown(policy, name), refused=True)
    zone = room.zone_of(asker, rotas)
    now = room.engine.now()
    at, used = moment(at_words, now, zone) if at_words else (now, 0)
    if at is None or used < len(at_words):
        said = harmless(" ".join(at_words), 60)
        return Reply(text=f"I don't understand the time “{said}”. {HINT}.", refused=True)
    systems = [name] if name in policy.systems else [] if name else list(policy.systems)
    lines = [f"At {when(at)}, that is {moment_words(at, zone.key)}:"] if at_words else []
    lines += [_of_system(policy, one, at) for one in systems]
    stand_ins, copies = room.store.stand_ins(at), room.store.calendars() if rotas else {}
    for rota in rotas[:_LISTED]:
        lines += _of_rota(policy, rota, at, now, stand_ins, copies)
    return Reply(text=head(lines) or "No system is configured.")


def say_preview(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """The next 14 days of a rotation: a picture, and the same in words."""
    del asker
    return _preview(room, command.words[0] if command.words else "")


def _preview(room: Room, name: str) -> Reply:
    policy, name = room.policy, name.removeprefix("rota:")
    found = _rotas_of(policy, name)
    if len(found) != 1:
        if found and not name:
            text = f"Which rotation? `/mlops preview {found[0].name}`. There are: {_names(found)}."
        elif found:
            text = f"{name} has several rotations: {_names(found)}. Name one."
        else:
            text = _unknown(policy, name)
        return Reply(text=text, refused=True)
    rota = found[0]
    zone = zone_named(rota.told_in) or _UTC
    start = room.engine.now()

    def later() -> Reply:
        lines = _in_words(rota, start, zone)
        alt = f"Who is on call for {rota.name} in the next {_DAYS} days; the same is in the text."
        try:
            picture = room.worker.picture(_drawing(rota, start, zone))
        except Foreign as problem:
            return Reply(text=head([*lines, spoken(problem.sentence)]))
        return Reply(text=head(lines), picture=picture, picture_alt=alt)

    return Reply(text=f"Drawing the next {_DAYS} days of {harmless(rota.name, 60)}…", later=later)


def on_duty(policy: Policy, who: Who, now: datetime) -> list[str]:
    """What this person is on call for and until when, and when they will be; empty when never in the coming weeks."""
    person = policy.person(who)
    lines: list[str] = []
    for rota in policy.rotas.values() if person is not None else ():
        mine = [one for one in shifts(rota, now, now + _AHEAD) if person is not None and one.person == person.key]
        if mine and mine[0].start_at <= now:
            lines.append(f"You have {harmless(rota.name, 60)} until {when(mine[0].end_at)}.")
        elif mine:
            lines.append(f"You have {harmless(rota.name, 60)} from {when(mine[0].start_at)} on.")
    return lines


def _split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words before "at", and those after it."""
    for index, word in enumerate(words):
        if word.lower() == "at":
            return list(words[:index]), list(words[index + 1 :])
    return list(words), []


def _rotas_of(policy: Policy, name: str) -> list[Rota]:
    """The rotation of that name, those of the system of that name, or all where nothing is named."""
    plain = name.removeprefix("rota:")
    if plain in policy.rotas:
        return [policy.rotas[plain]]
    return [rota for key, rota in policy.rotas.items() if not name or name in users_of(policy, key)]


def _unknown(policy: Policy, name: str) -> str:
    known = [*policy.systems, *policy.rotas]
    if not policy.rotas and not name:
        return "There is no rotation. Add one under `rotations` in mlops.yaml."
    near = cmd.nearest(name, known)
    rotas = ", ".join(policy.rotas) or "none"
    systems = ", ".join(policy.systems) or "none"
    return f"There is no system or rotation “{harmless(name, 40)}”.{near} Systems: {systems}. Rotations: {rotas}."


def _names(rotas: Sequence[Rota]) -> str:
    return ", ".join(rota.name for rota in rotas)


def _of_system(policy: Policy, name: str, at: datetime) -> str:
    people = ", ".join(f"@{person.key}" for person in policy.on_call(name, at))
    coming = policy.next_handover(name, at)
    then = ""
    if coming:
        taker = f"@{coming.takes} takes over" if coming.takes else "nobody is on call"
        then = f"; {when(coming.at)} {taker}"
    return f"• {name}: {people or 'nobody; its pages go to the catch-all'}{then}"


def _of_rota(
    policy: Policy, rota: Rota, at: datetime, now: datetime,
    stand_ins: Sequence[StandIn], copies: dict[str, CalendarCopy],
) -> list[str]:  # fmt: skip
    """One rotation in full: who, why, until when, and what is wrong with it."""
    zone = rota.told_in
    holder = next(iter(on_call(rota, at)), None)
    mine = [one for one in stand_ins if one.rotation == rota.name]
    stands = next((one for one in reversed(mine) if one.start_at <= at < one.end_at), None)
    why = f" (stands in, {stands.id} until {moment_words(stands.end_at, zone)})" if stands else ""
    line = f"• rotation {rota.name}: {f'@{holder}' if holder else 'nobody'}{why}"
    coming = next_handover(rota, at)
    if coming:
        taker = f"@{coming.takes}" if coming.takes else "nobody"
        line += f"; next {taker}, {moment_words(coming.at, zone)}"
    later = [one for one in mine if one is not stands and one.end_at > at]
    lines = [line]
    lines += [f"   {one.id}: @{one.person} from {_span(one, zone)}" for one in later[:5]]
    holes = gaps(rota, at, at + _DAYS * DAY) if not rota.may_have_gaps else ()
    if holes:
        more = f", and {len(holes) - 1} more times" if len(holes) > 1 else ""
        lines.append(f"   nobody from {span_words(holes[0], zone)}{more} in the next {_DAYS} days")
    for layer in rota.layers:
        if layer.calendar:
            lines.append(f"   {_calendar(policy, copies.get(calendar_name(rota.name, layer)), now, layer.name)}")
    return lines


def _span(one: StandIn, zone: str) -> str:
    return f"{moment_words(one.start_at, zone).rsplit(' (', 1)[0]} to {moment_words(one.end_at, zone)}"


def _calendar(policy: Policy, copy: CalendarCopy | None, now: datetime, layer: str) -> str:
    """How old what we know of a calendar is, and what is wrong with it."""
    if copy is None or copy.fetched_at is None:
        why = f": {spoken(copy.error, 200)}" if copy and copy.error else ""
        return f"calendar of layer {harmless(layer, 60)}: not read yet, so the layers below have it{why}"
    said = f"calendar of layer {harmless(layer, 60)}: read {_ago(now - copy.fetched_at)}"
    if copy.error:
        said += f", and it fails since, so that copy is used: {spoken(copy.error, 200)}"
    odd = strangers(policy, copy)
    if odd:
        said += f"; {len(odd)} of its titles name nobody who is listed, such as “{harmless(odd[0], 60)}”"
    return said


def _ago(span: timedelta) -> str:
    minutes = max(int(span.total_seconds() // 60), 0)
    if minutes < 2:
        return "just now"
    return f"{minutes} min ago" if minutes < 120 else f"{minutes // 60} h ago" if minutes < 2880 else (
        f"{minutes // 1440} days ago"
    )  # fmt: skip


def _in_words(rota: Rota, start: datetime, zone: ZoneInfo) -> list[str]:
    end = start + _DAYS * DAY
    found = [(one.start_at, one.end_at, f"@{one.person}") for one in shifts(rota, start, end)]
    found += [(one.start_at, one.end_at, "nobody") for one in gaps(rota, start, end)]
    lines = [f"*{harmless(rota.name, 60)}*, the next {_DAYS} days ({zone.key}):"]
    lines += [f"• {moment_words(one[0], zone.key).rsplit(' (', 1)[0]}: {one[2]}" for one in sorted(found)[:_TOLD]]
    return lines


def _drawing(rota: Rota, start: datetime, zone: ZoneInfo) -> dict[str, object]:
    """What the chart worker needs to know."""
    end = start + _DAYS * DAY
    rows: list[dict[str, object]] = [
        {
            "name": row.name,
            "shifts": [[one.start_at.timestamp(), one.end_at.timestamp(), one.person] for one in row.shifts],
        }
        for row in preview(rota, start, _DAYS)
    ]
    return {
        "rota": rows, "start": start.timestamp(), "end": end.timestamp(), "zone": zone.key,
        "gaps": [[one.start_at.timestamp(), one.end_at.timestamp()] for one in gaps(rota, start, end)],
        "title": f"{rota.name}: who is on call in the next {_DAYS} days ({zone.key})",
    }  # fmt: skip
