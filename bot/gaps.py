"""Every day: times in the coming week when nobody is on call, told before they come where the incidents are.

The notice of a day is a row, stored with the key that says it was given: it neither doubles, with several replicas or a
restart, nor gets lost. A gap that turns up later in the day is told then.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from bot.engine import Engine
from bot.policy import Policy
from bot.policy.calendar import DAY, Span, wall_clock, zone_named
from bot.policy.roster import CalendarCopy, calendar_name, users_of
from bot.policy.rota import Rota, gaps
from bot.policy.rota_words import length_words, span_words

HOUR = 9  # of the rotation's zone; nobody reads a notice at night
AHEAD = 7 * DAY


class GapNotices:
    """Looks at every rotation and tells what it leaves open."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def round(self) -> int:
        """Tell what was not told today. Returns how many rotations were told of. Raises StoreDown."""
        policy = self._engine.policy
        has_calendar = any(layer.calendar for rota in policy.rotas.values() for layer in rota.layers)
        copies = self._engine.store.calendars() if has_calendar else {}
        return sum(self._tell(policy, name, rota, copies) for name, rota in policy.rotas.items())

    def _tell(self, policy: Policy, name: str, rota: Rota, copies: Mapping[str, CalendarCopy]) -> bool:
        now = self._engine.now()
        zone_name = rota.told_in
        zone = zone_named(zone_name)
        if zone is None or wall_clock(now, zone).hour < HOUR:
            return False
        holes = gaps(rota, now, now + AHEAD) if not rota.may_have_gaps else ()
        lines = [notice(name, holes, zone_name)] if holes else []
        lines += stale(rota, copies, now)
        if not lines:
            return False
        text = "\n".join(lines)
        day = f"{wall_clock(now, zone):%Y-%m-%d}"
        with self._engine.store.begin() as tx:
            if not tx.once(f"gaps:{name}:{day}", now):
                return False
            for channel in _channels(policy, name):
                tx.announce(f"gaps:{name}:{day}:{channel}", f"channel:{channel}", text, now)
        self._engine.work_to_do.set()
        return True


def notice(name: str, holes: tuple[Span, ...], zone: str) -> str:
    """What is said of a rotation's gaps."""
    first = holes[0]
    more = {1: "", 2: ", and once more"}.get(len(holes), f", and {len(holes) - 1} more times")
    total = length_words(sum((one.length for one in holes), timedelta(0)))
    whole = f" ({total} in all in the next {AHEAD.days} days)" if len(holes) > 1 else ""
    hours = max(-(-first.length // timedelta(hours=1)), 1)
    return (
        f"Nobody is on call for {name} from {span_words(first, zone)}{more}{whole}. Pages go to the catch-all then.\n"
        f"Cover it: `/mlops override @person {hours}h {name} from {first.start_at:%Y-%m-%dT%H:%M}Z`; "
        "or add a layer below in mlops.yaml."
    )


def stale(rota: Rota, copies: Mapping[str, CalendarCopy], now: datetime) -> list[str]:
    """What is said of calendars that could not be read for a day: their copy ages silently otherwise."""
    found = [copies.get(calendar_name(rota.name, layer)) for layer in rota.layers if layer.calendar]
    return [
        f"The calendar {copy.name} could not be read for {_days((now - copy.fetched_at) // DAY)}: {copy.error}. "
        "Its last good copy is used; correct its address, or add people below it."
        for copy in found
        if copy is not None and copy.error and copy.fetched_at is not None and now - copy.fetched_at >= DAY
    ]


def _days(number: int) -> str:
    return f"{number} day{'s' if number > 1 else ''}"


def _channels(policy: Policy, rotation: str) -> tuple[str, ...]:
    """Where the incidents are of the systems that the rotation is for."""
    found = [policy.system(name).channel for name in users_of(policy, rotation)]
    return tuple(dict.fromkeys(one for one in found or [policy.default.channel] if one))
