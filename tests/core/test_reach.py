"""By which ways a page goes to a person, and that one of them is always Slack's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import events as ev
from bot.decide import decide
from bot.effects import Page
from bot.model import Severity
from bot.policy.calendar import Calendar
from bot.policy.reach import Reach, Reachable, targets

MONDAY_NOON = datetime(2026, 11, 23, 11, tzinfo=UTC)
NIGHT = datetime(2026, 11, 23, 23, tzinfo=UTC)
ALICE = Reachable(
    key="alice", user_id="U1", hours=Calendar(zone="Europe/Berlin"),
    rules={
        Severity.P0: Reach(by=("dm", "mention", "sms", "mail")),
        Severity.P1: Reach(by=("sms",)),
        Severity.P2: Reach(by=("mention", "sms"), at_work=True),
    },
)  # fmt: skip


@pytest.mark.parametrize(("severity", "at", "found"), [
    (Severity.P0, NIGHT, ("user:U1", "mention:U1", "medium:alice/sms", "medium:alice/mail")),
    (Severity.P1, NIGHT, ("user:U1", "medium:alice/sms")),  # none in Slack was named: the direct message is added
    (Severity.P2, MONDAY_NOON, ("mention:U1", "medium:alice/sms")),
    (Severity.P2, NIGHT, ("user:U1",)),
    (Severity.P3, MONDAY_NOON, ("user:U1",)),
])  # fmt: skip
def test_ways_by_severity_and_hour(severity: Severity, at: datetime, found: tuple[str, ...]) -> None:
    assert targets(ALICE, severity, at) == found


@given(
    by=st.lists(st.sampled_from(["dm", "mention", "sms", "mail", "x"]), max_size=8), at_work=st.booleans(),
    hour=st.integers(0, 24 * 14), severity=st.sampled_from(list(Severity)),
)  # fmt: skip
def test_a_page_always_goes_by_slack_too(by: list[str], at_work: bool, hour: int, severity: Severity) -> None:
    person = Reachable(
        key="a", user_id="U1", rules={Severity.P0: Reach(by=tuple(by), at_work=at_work)}, hours=Calendar(zone="UTC")
    )
    found = targets(person, severity, MONDAY_NOON + timedelta(hours=hour))

    assert any(one.startswith(("user:", "mention:")) for one in found)
    assert len(set(found)) == len(found)


def test_the_ladder_pages_by_every_way_and_acknowledging_withdraws_all() -> None:
    from dataclasses import replace

    from tests.core.stage import ALICE as WHO
    from tests.core.stage import POLICY, SUBJECT

    person = next(one for one in POLICY.people if one.who == WHO)
    reach = replace(ALICE, key=person.key, user_id=WHO.user_id, rules={Severity.P0: Reach(by=("dm", "sms"))})
    policy = replace(POLICY, people=tuple(replace(one, reach=reach) if one is person else one for one in POLICY.people))
    declared = ev.Declared(
        incident_id="INC-1", key="k", subject=SUBJECT, by=WHO, title="all is down", severity=Severity.P0
    )
    opened = decide(None, declared, MONDAY_NOON, policy).incident
    assert opened is not None
    paged = decide(opened, ev.PersonPaged(by=POLICY.people[1].who, to=WHO), MONDAY_NOON, policy)

    found = [effect for effect in paged.effects if isinstance(effect, Page)]
    assert [one.target for one in found] == [f"user:{WHO.user_id}", f"medium:{person.key}/sms"]
    assert len({(one.unique, one.number) for one in found}) == 1
