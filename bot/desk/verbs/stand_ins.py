"""Standing in for somebody in a rotation."""

from __future__ import annotations

from datetime import datetime, timedelta

from bot.desk.reply import Asker, Reply, head
from bot.desk.room import Room
from bot.effects import Why
from bot.policy import Policy
from bot.policy.approval import OK, may_steer, refuse
from bot.policy.calendar import DAY, Span
from bot.policy.moments import HINT, moment
from bot.policy.roster import users_of
from bot.policy.rota import Rota, gaps, on_call, shifts
from bot.policy.rota_words import moment_words, span_words
from bot.roster import MOST, Change, TooMany
from bot.words import harmless
from handlers import commands as cmd
from handlers.commands import STEER, Verb

VERBS = (
    Verb(
        name="override", usage="override @person 4h [rotation] [from <time>]",
        summary="put somebody on call for a while; alone: list, `override cancel OVR-3`: end", group=STEER,
    ),
)  # fmt: skip
_LONGEST = timedelta(days=31)
_FARTHEST = timedelta(days=400)
_USAGE = "`/mlops override @person 4h [rotation] [from tomorrow 09:00]`"


def say_override(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """Put somebody on call for a span; list who stands in; or end a stand-in."""
    words = command.words
    if not words or words[0].lower() == "list":
        return _listed(room)
    if words[0].lower() in {"cancel", "end"}:
        return _cancel(room, words[1] if len(words) > 1 else "", asker)
    key, rest = cmd.take_user(words)
    person = room.person(key)
    if person is None:
        return Reply(text=f"Who? {room.stranger(key)} {_USAGE}.", refused=True)
    span = next((found for word in rest if (found := cmd.span(word))), None)
    if span is None or span > _LONGEST:
        return Reply(text=f"For how long, up to {_LONGEST.days} days? {_USAGE}.", refused=True)
    left = [word for word in rest if not cmd.span(word)]
    begins = next((index for index, word in enumerate(left) if word.lower() == "from"), len(left))
    now = room.engine.now()
    rota = _chosen(room.policy, left[:begins], now)
    if isinstance(rota, Reply):
        return rota
    allowed = _may(room.policy, rota.name, asker)
    if allowed.refused:
        room.engine.note_refusal(allowed, asker.who, "", "override")
        return Reply(text=allowed.text, refused=True)
    start, used = moment(left[begins + 1 :], now, room.zone_of(asker, [rota])) if left[begins:] else (now, 0)
    if start is None or begins + 1 + used < len(left):
        return Reply(text=f"From when? {HINT}: {_USAGE}.", refused=True)
    if start + span <= now or start - now > _FARTHEST:
        return Reply(text="That is over already, or more than a year ahead; name another time.", refused=True)
    try:
        wanted = Span(start_at=start, end_at=start + span)
        change = room.engine.roster.stand_in(rota.name, person.key, wanted, asker.who, key=asker.key("override"))
    except TooMany:
        text = f"{rota.name} has {MOST} stand-ins that are not over; end some first: `/mlops override cancel OVR-3`."
        return Reply(text=text, refused=True)
    return _told(change)


def _told(change: Change) -> Reply:
    """What was made, whom it replaces, what it overlaps, and who has it afterwards."""
    one = change.stand_in
    if one is None:
        return Reply(text="")  # the same request, delivered again
    before, after = change.before.rotas[one.rotation], change.after.rotas[one.rotation]
    zone = _zone(after)
    lines = [f"*{one.id}*: @{one.person} has {one.rotation} from {_words(one.start_at, one.end_at, zone)}."]
    held = shifts(before, one.start_at, one.end_at)
    others = list(dict.fromkeys(f"@{shift.person}" for shift in held if shift.person != one.person))
    if others:
        lines.append(f"Instead of {', '.join(others)}.")
    elif held and held[0].start_at == one.start_at and held[0].end_at == one.end_at:
        lines.append(f"@{one.person} has it then anyway, so this changes nothing.")
    under = [other for other in before.overrides if max(other.start_at, one.start_at) < min(other.end_at, one.end_at)]
    lines += [
        f"Overlaps with an earlier one: @{other.person} from {_words(other.start_at, other.end_at, zone)}; "
        "this one was made later and wins."
        for other in under[:3]
    ]
    following = next(iter(on_call(after, one.end_at)), "")
    lines.append(f"Afterwards {f'@{following}' if following else 'nobody'} has it.")
    since = max(one.start_at - DAY, one.made_at)
    lines += _gap_lines(before, after, Span(start_at=since, end_at=one.end_at + DAY), zone)
    lines.append(f"To end it: `/mlops override cancel {one.id}`.")
    return Reply(text=head(lines))


def _gap_lines(before: Rota, after: Rota, span: Span, zone: str) -> list[str]:
    """Gaps around it that stay, and gaps that it closes."""
    was, stays = (gaps(rota, span.start_at, span.end_at) for rota in (before, after))
    if not stays:
        return ["It closes a gap."] if was else []
    more = f", and {len(stays) - 1} more times" if len(stays) > 1 else ""
    return [f"Nobody is on call from {span_words(stays[0], zone)}{more} about then; pages go to the catch-all."]


def _cancel(room: Room, which: str, asker: Asker) -> Reply:
    which = which.upper()[:40]
    policy = room.policy
    known = {one.id: one for one in room.store.stand_ins(room.engine.now())}
    one = known.get(which)
    if one is None:
        listed = ", ".join(known) or "none"
        return Reply(text=f"There is no stand-in “{harmless(which, 40)}”. Not over yet: {listed}.", refused=True)
    allowed = _may(policy, one.rotation, asker)
    if allowed.refused:
        room.engine.note_refusal(allowed, asker.who, "", "override")
        return Reply(text=allowed.text, refused=True)
    change = room.engine.roster.cancel(which, asker.who, key=asker.key("override"))
    if change.stand_in is None:
        return Reply(text=f"{which} is over already." if change.is_new else "", refused=change.is_new)
    rota = change.after.rotas.get(one.rotation)
    if rota is None:
        return Reply(text=f"{which} is cancelled. There is no rotation {harmless(one.rotation, 60)} any more.")
    at = max(one.start_at, room.engine.now())
    has_it = next(iter(on_call(rota, at)), "")
    whom = f"@{has_it}" if has_it else "nobody"
    lines = [f"{which} is cancelled: {whom} has {rota.name} from {moment_words(at, _zone(rota))}."]
    lines += _gap_lines(change.before.rotas[one.rotation], rota, Span(start_at=at, end_at=one.end_at), _zone(rota))
    return Reply(text=head(lines))


def _listed(room: Room) -> Reply:
    found = room.store.stand_ins(room.engine.now())
    rotas = room.policy.rotas
    lines = [
        f"• {one.id}: @{one.person} for {one.rotation} from "
        f"{_words(one.start_at, one.end_at, _zone(rotas.get(one.rotation)))}, made by @{harmless(one.by.name, 40)}"
        for one in found
    ]
    return Reply(text=head([*lines, f"New: {_USAGE}."]) if lines else f"Nobody stands in. New: {_USAGE}.")


def _chosen(policy: Policy, words: list[str], now: datetime) -> Rota | Reply:
    """The rotation that is named, the only one of the named system, or the only one there is."""
    name = words[0].removeprefix("rota:") if words else ""
    if not policy.rotas or (name in policy.systems and not any(name in users_of(policy, key) for key in policy.rotas)):
        return Reply(text=_plain_list(policy, name, now), refused=True)
    if name in policy.rotas:
        return policy.rotas[name]
    able = [rota for key, rota in policy.rotas.items() if not name or name in users_of(policy, key)]
    if len(able) == 1 and len(words) < 2:
        return able[0]
    listed = ", ".join(policy.rotas)
    said = f"There is no rotation “{harmless(name, 40)}”.{cmd.nearest(name, list(policy.rotas))}" if name else ""
    return Reply(text=f"{said or 'Which rotation?'} There are: {listed}. {_USAGE}.".strip(), refused=True)


def _plain_list(policy: Policy, name: str, now: datetime) -> str:
    """How a list of people, in which nobody takes turns, becomes a rotation that somebody can stand in for."""
    system = policy.system(name or next(iter(policy.systems), ""))
    listed = [key for key in system.oncall if policy.by_key(key) is not None]
    people = ", ".join(listed) or "alice, bob"
    title = "default" if system is policy.default else system.name
    begins = f"{now - DAY:%Y-%m-%d}"  # today's hand-over may be yet to come, and nobody would have it until then
    return (
        f"{harmless(title, 60)} has a plain list of people on call ({', '.join(listed) or 'nobody'}), and only in a "
        "rotation can somebody stand in. Make it one in mlops.yaml:\n"
        f"`rotations: {{main: {{layers: [{{people: [{people}], starts_on: {begins}}}]}}}}`\n"
        f"and put `oncall: [rota:main]` where the list is. For one incident: `/mlops assign @person INC-7`."
    )


def _may(policy: Policy, rotation: str, asker: Asker) -> Why:
    """Whoever may steer one of the systems that the rotation is for."""
    if policy.person(asker.who) is None:
        text = "I don't know you, so this is not yours to do. Ask an admin to add you to `people`."
        return refuse("unknown_person", text)
    verdicts = [may_steer(policy, policy.system(name), asker.who) for name in users_of(policy, rotation)]
    return OK if not verdicts or not all(one.refused for one in verdicts) else verdicts[0]


def _zone(rota: Rota | None) -> str:
    return rota.told_in if rota is not None else "UTC"


def _words(start: datetime, end: datetime, zone: str) -> str:
    return f"{moment_words(start, zone).rsplit(' (', 1)[0]} to {moment_words(end, zone)}"
