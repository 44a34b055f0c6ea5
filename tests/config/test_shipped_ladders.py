"""The ladders that come with the bot, played to the minute: who is called when, and nobody a minute early."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from bot import events as ev
from bot.config import Settings, inspect
from bot.decide import decide
from bot.effects import Page, SetTimer
from bot.model import Alert, Incident, IncidentState, Severity, Subject, TimerKind
from bot.policy import Policy
from bot.policy.calendar import Calendar

REPO = Path(__file__).resolve().parents[2]
SYSTEMS = ("khet-guard", "nivesh", "self-healing")
TUESDAY, FRIDAY = datetime(2026, 3, 3, 16, 30, tzinfo=UTC), datetime(2026, 3, 6, 16, 30, tzinfo=UTC)
SATURDAY_NIGHT = datetime(2026, 3, 7, 23, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
_LADDER = {TimerKind.ESCALATE, TimerKind.REPEAT, TimerKind.INFORM}


@pytest.fixture(scope="module")
def policy() -> Policy:
    """The shipped profiles with the example's people."""
    env = dict.fromkeys(
        ("SLACK_BOT_TOKEN", "SLACK_APP_TOKEN", "MLOPS_WEBHOOK_TOKEN", "MLOPS_SECRET_KEY"), "0123456789abcdef"
    )
    settings, problems = inspect(REPO / "deploy/example/mlops.yaml", env, is_lenient=True)
    assert [str(problem) for problem in problems if not problem.warning] == []
    assert isinstance(settings, Settings)
    assert set(SYSTEMS) <= set(settings.policy.systems)
    return settings.policy


def opened(policy: Policy, system: str, at: datetime, **labels: str) -> tuple[Incident, list[SetTimer]]:
    value = {"value": labels.pop("value")} if "value" in labels else {}
    alert = Alert(
        source="alertmanager", fingerprint="f", firing=True, starts_at=at, ends_at=None,
        labels={"alertname": "Trouble", **labels}, annotations={"summary": "it is bad", **value},
    )  # fmt: skip
    event = ev.AlertsChanged(
        incident_id="INC-1", key="k", subject=Subject(system=system), changed=(alert,), firing=1, total=1
    )
    decision = decide(None, event, at, policy)
    assert decision.incident is not None
    return decision.incident, [one for one in decision.effects if isinstance(one, SetTimer)]


def played(
    policy: Policy, incident: Incident, timers: list[SetTimer], until: timedelta
) -> list[tuple[float, int, set[str]]]:
    """What is paged from the opening on: (minutes after it, level, whom), by nothing but its own timers."""
    begun = incident.opened_at
    found: list[tuple[float, int, set[str]]] = []
    waiting = [one for one in timers if one.kind in _LADDER]
    while waiting and min(one.due_at for one in waiting) <= begun + until:
        timer = min(waiting, key=lambda one: one.due_at)
        waiting.remove(timer)
        event = ev.TimerDue(kind=timer.kind, epoch=timer.epoch, number=timer.number)
        early = decide(incident, event, timer.due_at - MINUTE, policy)
        assert not [one for one in early.effects if isinstance(one, Page)], "a minute early"
        decision = decide(incident, event, timer.due_at, policy)
        assert decision.incident is not None
        incident = decision.incident
        waiting += [one for one in decision.effects if isinstance(one, SetTimer) and one.kind in _LADDER]
        pages = [one for one in decision.effects if isinstance(one, Page)]
        for number in sorted({page.number for page in pages}):
            whom = {_who(page.target, policy) for page in pages if page.number == number}
            found.append(((timer.due_at - begun) / MINUTE, number, whom))
    return found


def _who(address: str, policy: Policy) -> str:
    """A person's most telling role, or the channel."""
    kind, _, name = address.partition(":")
    person = next((one for one in policy.people if one.who.user_id == name), None)
    return name if kind == "channel" or person is None else person.key


def holders(policy: Policy, role: str) -> set[str]:
    return {person.key for person in policy.people if role in person.roles}


def test_four_levels_of_people_climb_at_15_30_60_and_120_minutes(policy: Policy) -> None:
    incident, timers = opened(policy, "khet-guard", SATURDAY_NIGHT, signal="up")

    assert incident.severity is Severity.P0
    assert played(policy, incident, timers, 150 * MINUTE) == [
        (15, 1, {"alice"}), (30, 2, holders(policy, "senior")), (60, 3, holders(policy, "manager")),
        (120, 4, holders(policy, "cto")),
        (150, 4, holders(policy, "cto") | holders(policy, "manager") | {"#khet-guard-alerts"}),
    ]  # fmt: skip


@pytest.mark.parametrize(("labels", "severity", "first_minutes"), [
    ({"signal": "error_rate", "value": "0.06"}, Severity.P1, 60),
    ({"signal": "drift"}, Severity.P2, 240),
    ({"severity": "info"}, Severity.P3, 1440),
])  # fmt: skip
def test_the_first_level_is_due_after_the_response_time(
    policy: Policy, labels: dict[str, str], severity: Severity, first_minutes: float
) -> None:
    incident, timers = opened(policy, "khet-guard", TUESDAY, **labels)

    assert incident.severity is severity
    assert played(policy, incident, timers, first_minutes * MINUTE) == [(first_minutes, 1, {"alice"})]


def test_managers_hear_of_a_p0_until_it_is_over_whoever_has_it(policy: Policy) -> None:
    incident, _ = opened(policy, "khet-guard", TUESDAY, signal="up")
    alice = next(person.who for person in policy.people if person.key == "alice")
    acked = decide(incident, ev.Acknowledged(by=alice), TUESDAY + 5 * MINUTE, policy)
    assert acked.incident is not None

    timers = [one for one in acked.effects if isinstance(one, SetTimer)]
    assert played(policy, acked.incident, timers, 300 * MINUTE) == [
        (60, 3, holders(policy, "manager")), (120, 4, holders(policy, "cto")),
    ]  # fmt: skip


@pytest.mark.parametrize(("labels", "kind", "minutes", "team"), [
    ({"signal": "up"}, "model-server", (0, 15, 30), "ml-platform"),
    ({"signal": "accuracy", "value": "0.9"}, "quality", (0, 60, 240), "ml-engineering"),
    ({"component": "node"}, "infrastructure", (0, 5, 15), "sre"),
    ({"signal": "something else"}, "", (0, 15, 30), "ml-platform"),
])  # fmt: skip
def test_three_levels_are_three_kinds_of_issue(
    policy: Policy, labels: dict[str, str], kind: str, minutes: tuple[float, ...], team: str
) -> None:
    for at in (TUESDAY, SATURDAY_NIGHT):
        incident, timers = opened(policy, "nivesh", at, **labels)

        assert incident.issue == kind
        found = played(policy, incident, timers, minutes[-1] * MINUTE)
        assert [minute for minute, _, _ in found] == list(minutes)
        assert [whom for _, _, whom in found] == [holders(policy, team)] * 2 + [holders(policy, "manager")]


@pytest.mark.parametrize(("labels", "kind", "contact", "tuesday", "friday", "saturday"), [
    ({"signal": "up"}, "api-down", "oncall", ("Tue 16:30", "Tue 17:00"), ("Fri 16:30", "Fri 17:00"),
     ("Sat 23:00", "Sat 23:30")),
    ({"signal": "drift", "value": "0.6"}, "drift", "data-science-lead", ("Tue 16:30", "Tue 20:30"),
     ("Fri 16:30", "Fri 20:30"), ("Sat 23:00", "Sun 03:00")),
    ({"signal": "model_performance"}, "performance", "ml-engineer", ("Wed 09:00", "Wed 17:00"),
     ("Mon 09:00", "Mon 17:00"), ("Mon 09:00", "Mon 17:00")),
    ({"component": "mlflow"}, "infrastructure", "devops", ("Tue 16:30", "Tue 18:30"), ("Fri 16:30", "Fri 18:30"),
     ("Sat 23:00", "Sun 01:00")),
])  # fmt: skip
def test_contacts_by_kind_of_issue_keep_their_bounds(
    policy: Policy, labels: dict[str, str], kind: str, contact: str, tuesday: tuple[str, str],
    friday: tuple[str, str], saturday: tuple[str, str],
) -> None:  # fmt: skip
    """The next business day is Wednesday after a Tuesday, and Monday after a Friday or a Saturday night."""
    whom = {"alice"} if contact == "oncall" else holders(policy, contact)
    for at, (told, bound) in ((TUESDAY, tuesday), (FRIDAY, friday), (SATURDAY_NIGHT, saturday)):
        incident, timers = opened(policy, "self-healing", at, **labels)
        assert incident.issue == kind

        found = played(policy, incident, timers, timedelta(days=3, hours=1))
        first, second = [(f"{at + minute * MINUTE:%a %H:%M}", to) for minute, _, to in found[:2]]
        assert first == (told, whom)
        assert second == (bound, whom | {"#self-healing-ml"})


BERLIN = ZoneInfo("Europe/Berlin")
EASTER = frozenset({date(2026, 4, 3), date(2026, 4, 6)})


@pytest.mark.parametrize(("at", "told", "bound", "again"), [
    # The clock goes forward in the night to Sunday, 29 March, and back in the night to Sunday, 25 October.
    ("2026-03-27 16:59", "2026-03-30 09:00+02:00", "2026-03-30 17:00+02:00", "2026-03-31 09:00+02:00"),
    ("2026-03-30 08:59", "2026-03-30 09:00+02:00", "2026-03-30 17:00+02:00", "2026-03-31 09:00+02:00"),
    ("2026-03-30 09:00", "2026-03-31 09:00+02:00", "2026-03-31 17:00+02:00", "2026-04-01 09:00+02:00"),
    ("2026-10-23 23:30", "2026-10-26 09:00+01:00", "2026-10-26 17:00+01:00", "2026-10-27 09:00+01:00"),
    ("2026-10-25 02:30", "2026-10-26 09:00+01:00", "2026-10-26 17:00+01:00", "2026-10-27 09:00+01:00"),
    # Good Friday and Easter Monday: from Thursday it is Tuesday, and so it is from Friday.
    ("2026-04-02 10:00", "2026-04-07 09:00+02:00", "2026-04-07 17:00+02:00", "2026-04-08 09:00+02:00"),
    ("2026-04-03 10:00", "2026-04-07 09:00+02:00", "2026-04-07 17:00+02:00", "2026-04-08 09:00+02:00"),
    ("2026-04-07 08:00", "2026-04-07 09:00+02:00", "2026-04-07 17:00+02:00", "2026-04-08 09:00+02:00"),
])  # fmt: skip
def test_business_days_keep_to_the_minute_over_holidays_and_changes_of_the_clock(
    policy: Policy, at: str, told: str, bound: str, again: str
) -> None:
    """The bound of a business day as a team in Berlin has it: in its wall clock, whatever that does in between."""
    system = policy.systems["self-healing"]
    hours = replace(system.calendar or Calendar(zone=""), zone="Europe/Berlin", holidays=EASTER)
    there = replace(policy, systems={**policy.systems, "self-healing": replace(system, calendar=hours)})
    began_at = datetime.fromisoformat(at).replace(tzinfo=BERLIN).astimezone(UTC)

    incident, timers = opened(there, "self-healing", began_at, signal="model_performance")
    found = played(there, incident, timers, timedelta(days=6))

    at_times = [(began_at + minute * MINUTE).astimezone(BERLIN) for minute, _, _ in found]
    assert [f"{one:%Y-%m-%d %H:%M}{one:%z}" for one in at_times[:3]] == [
        one[:-3] + one[-2:] for one in (told, bound, again)
    ]


@pytest.mark.parametrize("at", ["2026-03-29 01:50", "2026-10-25 01:50", "2026-12-25 12:00"])
def test_minutes_of_ladders_by_time_alone_are_real_minutes(policy: Policy, at: str) -> None:
    """An hour over a change of the clock is 60 minutes, and a holiday is a day like any other."""
    began_at = datetime.fromisoformat(at).replace(tzinfo=BERLIN).astimezone(UTC)

    for system, labels, minutes in (
        ("khet-guard", {"signal": "up"}, [15, 30, 60, 120]), ("nivesh", {"signal": "up"}, [0, 15, 30]),
        ("nivesh", {"signal": "drift"}, [0, 60, 240]), ("nivesh", {"component": "redis"}, [0, 5, 15]),
        ("self-healing", {"signal": "up"}, [0, 30]), ("self-healing", {"signal": "drift"}, [0, 240]),
        ("self-healing", {"component": "disk"}, [0, 120]),
    ):  # fmt: skip
        incident, timers = opened(policy, system, began_at, **labels)
        found = played(policy, incident, timers, minutes[-1] * MINUTE)
        assert [minute for minute, _, _ in found] == minutes, (system, labels)


def test_a_repeat_of_business_hours_waits_for_the_morning(policy: Policy) -> None:
    """The bound is Wednesday 17:00; half an hour later nobody is at work."""
    incident, timers = opened(policy, "self-healing", TUESDAY, signal="model_performance")

    found = played(policy, incident, timers, timedelta(days=2))
    times = [f"{TUESDAY + minute * MINUTE:%a %H:%M}" for minute, _, _ in found]

    assert times[:4] == ["Wed 09:00", "Wed 17:00", "Thu 09:00", "Thu 09:30"]
    assert incident.state is IncidentState.OPEN
