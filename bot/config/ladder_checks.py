"""What would keep a page back for good: ladders without levels, and planned work that never ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from bot.config.ladders import EscalationShape, LaddersShape
from bot.marked import At
from bot.model import Severity
from bot.policy import Maintenance, System
from bot.policy.calendar import DAY, Span, open_spans, zone_named

_LONGEST = DAY  # as long as `silence` may hold pages back
_MONDAY = datetime(2026, 1, 5, tzinfo=UTC)  # windows come every week, so any two weeks tell


def flaws(system: System, own: EscalationShape | None, default: EscalationShape | None) -> Iterator[tuple[At, str]]:
    """Where, and "what; what to do", for one system. `own` is what its profile says, `default` what mlops.yaml says."""
    shapes = [shape for shape in (own, default) if shape is not None]
    yield from _without_levels(shapes, ("escalation",))
    for name, issue in next((shape.kinds for shape in shapes if shape.kinds), {}).items():
        yield from _without_levels([issue], ("escalation", "kinds", name))
        if issue.every == [] and "every" in issue.model_fields_set:
            yield ("escalation", "kinds", name, "every"), "`every` has no levels; add one, or leave it out"
    parts = sorted({one.part for one in system.maintenance})
    for part in parts:
        about = [one for one in system.maintenance if one.part in {"", part}]
        held = _longest_hold(about)
        if held > _LONGEST:
            where = f" about {part}" if part else ""
            hours = held // timedelta(hours=1)
            text = f"its windows together hold pages{where} back for {hours} h or more without a break; leave some time"
            yield ("maintenance",), f"{text} between them"
            return


def _without_levels(shapes: Sequence[LaddersShape], at: At) -> Iterator[tuple[At, str]]:
    """Severities whose ladder is written down and empty. The first file that says anything counts."""
    for word in Severity:
        said = next((shape for shape in shapes if word.value in shape.model_fields_set), None)
        if said is not None and getattr(said, word.value) == []:
            yield (*at, word.value), f"{word} has no levels; add one, or leave {word} out for the usual ladder"


def _longest_hold(windows: Sequence[Maintenance]) -> timedelta:
    """How long some window is open without a break, looked for in two weeks."""
    found: list[Span] = []
    for one in windows:
        zone = zone_named(one.zone)
        found += open_spans((one.window,), zone, _MONDAY, _MONDAY + 14 * DAY) if zone is not None else ()
    longest, since, until = timedelta(0), _MONDAY, _MONDAY
    for span in sorted(found, key=lambda one: one.start_at):
        since = span.start_at if span.start_at > until else since
        until = max(until, span.end_at)
        longest = max(longest, until - since)
    return longest
