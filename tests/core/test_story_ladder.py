"""Stories of the ladder: nobody answers, an outage, ack, snooze, raised and lowered severity, asking for help."""

from __future__ import annotations

from dataclasses import replace

from bot import events as ev
from bot.model import (
    Finding,
    IncidentState,
    Severity,
    TimerKind,
)
from tests.core.script import (
    alerts,
    due,
    level,
    opened,
    repeat,
)
from tests.core.stage import ALICE, BOB, CAROL, MALLORY
from tests.core.transcript import at, play


def test_nobody_answers() -> None:
    last = play([
        (5, level(1), "level_paged",
         ["page user:UALICE: level 1", "record paged", "timer escalate 2 at 30", "headline"]),
        (5, level(1), "stale_timer", []),
        (30, level(2), "level_paged", [
            "page channel:CALL: level 2 (role:manager reaches nobody now)", "record paged",
            "page user:UBOB: level 3", "page user:UCAROL: level 3", "record paged", "timer repeat 1 at 60", "headline",
        ]),
        (60, repeat(1), "level_repeated", [
            "page user:UBOB: level 3, repeat 1", "page user:UCAROL: level 3, repeat 1",
            "page channel:CALL: level 3, repeat 1", "record paged", "timer repeat 2 at 90", "headline",
        ]),
        (60, repeat(1), "stale_timer", []),
    ], opened())  # fmt: skip

    assert [(page.number, page.why) for page in last.escalation.paged] == [
        (1, ""), (2, "role:manager reaches nobody now"), (3, ""), (3, ""),
    ]  # fmt: skip


def test_after_an_outage_every_overdue_level_goes_at_once_and_says_how_late() -> None:
    play([
        (90, level(1), "level_paged", [
            "page user:UALICE: level 1, late by 85", "record paged",
            "page channel:CALL: level 2 (role:manager reaches nobody now), late by 60", "record paged",
            "page user:UBOB: level 3, late by 30", "page user:UCAROL: level 3, late by 30", "record paged",
            "timer repeat 1 at 120", "headline",
        ]),
        (300, repeat(1), "level_repeated", [
            "page user:UBOB: level 3, repeat 1, late by 180", "page user:UCAROL: level 3, repeat 1, late by 180",
            "page channel:CALL: level 3, repeat 1, late by 180", "record paged", "timer repeat 2 at 330", "headline",
        ]),
    ], opened())  # fmt: skip


def test_a_clock_that_stepped_back_pages_nobody_early() -> None:
    play([
        (4, level(1), "too_early", ["timer escalate 1 at 5"]),
        (5, level(1), "level_paged",
         ["page user:UALICE: level 1", "record paged", "timer escalate 2 at 30", "headline"]),
    ], opened())  # fmt: skip


def test_an_ack_ends_the_climb_and_giving_it_back_begins_it_anew() -> None:
    play([
        (15, level(1), "level_paged",
         ["page user:UALICE: level 1", "record paged", "timer escalate 2 at 30", "headline"]),
        (16, ev.Acknowledged(by=MALLORY, epoch=1), "unknown_person", ["record refused.unknown_person"]),
        (16, ev.Acknowledged(by=ALICE, epoch=1), "acknowledged", ["record acknowledged", "stop paging", "headline"]),
        (16, ev.Acknowledged(by=ALICE, epoch=1), "already", []),
        (16, ev.Acknowledged(by=BOB), "already", []),
        (30, level(2), "stale_timer", []),
        (40, ev.Unacknowledged(by=ALICE), "unacknowledged",
         ["record unacknowledged", "stop paging", "timer escalate 1 at 55", "headline"]),
        (40, ev.Unacknowledged(by=ALICE), "already", []),
        (41, ev.Acknowledged(by=BOB, epoch=1), "stale_click", ["record refused.stale_click"]),
        (55, level(1, epoch=3), "level_paged",
         ["page user:UALICE: level 1", "record paged", "timer escalate 2 at 70", "headline"]),
    ], opened("A"))  # fmt: skip


def test_a_snooze_rests_the_ladder_and_ends() -> None:
    play([
        (1, ev.Snoozed(by=ALICE, until=at(0)), "not_ahead", ["record refused.not_ahead"]),
        (1, ev.Snoozed(by=ALICE, until=at(60 * 24 * 8)), "too_long", ["record refused.too_long"]),
        (1, ev.Snoozed(by=ALICE, until=at(31)), "snoozed",
         ["record snoozed", "stop paging", "timer unsnooze at 31", "headline"]),
        (2, ev.Snoozed(by=ALICE, until=at(40)), "snoozed",
         ["record snoozed", "stop paging", "timer unsnooze at 40", "headline"]),
        (15, level(1), "stale_timer", []),
        (31, due(TimerKind.UNSNOOZE, epoch=2), "stale_timer", []),
        (39, due(TimerKind.UNSNOOZE, epoch=3), "too_early", ["timer unsnooze at 40"]),
        (40, due(TimerKind.UNSNOOZE, epoch=3), "unsnoozed",
         ["record unsnoozed", "stop paging", "timer escalate 1 at 55", "headline"]),
    ], opened("A"))  # fmt: skip


def test_a_raise_plans_the_ladder_anew_and_drops_no_page() -> None:
    raised = play([
        (15, level(1), "level_paged",
         ["page user:UALICE: level 1", "record paged", "timer escalate 2 at 30", "headline"]),
        (20, alerts("B", firing=2, total=2), "severity",
         ["record alerts_fired", "record severity", "timer escalate 2 at 30",
          "page user:UALICE: INC-1 was raised to P0",
          "post note", "headline"]),
        (20, ev.Acknowledged(by=MALLORY, epoch=1), "unknown_person", ["record refused.unknown_person"]),
        (30, level(2), "level_paged", [
            "page channel:CALL: level 2 (role:manager reaches nobody now)", "record paged",
            "page user:UBOB: level 3", "page user:UCAROL: level 3", "record paged", "timer repeat 1 at 60", "headline",
        ]),
    ], opened("A"))  # fmt: skip

    assert raised.severity_why == "nothing is served"
    assert raised.epoch == 1  # a button that was just shown still works


def test_evidence_raises_and_only_people_lower() -> None:
    worse = Finding(diagnostic="pods", sentence="0 of 2 replicas answer", severity=Severity.P0)
    better = replace(worse, severity=Severity.P3)
    play([
        (1, ev.FindingReported(finding=worse), "severity",
         ["post diagnosis", "record severity", "timer escalate 1 at 5", "page user:UALICE: INC-1 was raised to P0",
          "post note", "headline"]),
        (1, ev.FindingReported(finding=worse), "finding", ["post diagnosis"]),
        (2, ev.FindingReported(finding=better), "finding", ["post diagnosis"]),
        (3, ev.SeverityChanged(by=MALLORY, to=Severity.P1, reason=""), "unknown_person",
         ["record refused.unknown_person"]),
        (3, ev.SeverityChanged(by=BOB, to=Severity.P1, reason="one shop only"), "severity",
         ["record severity", "timer escalate 1 at 15", "post note", "headline"]),
        (3, ev.SeverityChanged(by=BOB, to=Severity.P1, reason=""), "already", []),
    ], opened("A"))  # fmt: skip


def test_a_raise_while_somebody_owns_it_tells_the_owner_and_nobody_else() -> None:
    owned = play([
        (1, ev.Acknowledged(by=ALICE), "acknowledged", ["record acknowledged", "stop paging", "headline"]),
        (2, alerts("B", firing=2, total=2), "severity",
         ["record alerts_fired", "record severity", "page user:UALICE: INC-1 was raised to P0", "post note",
          "headline"]),
        (3, ev.Unacknowledged(by=ALICE), "unacknowledged",
         ["record unacknowledged", "stop paging", "timer escalate 1 at 8", "headline"]),
    ], opened("A"))  # fmt: skip

    assert owned.severity is Severity.P0


def test_a_raise_ends_a_snooze_that_was_meant_for_less() -> None:
    awake = play([
        (1, ev.Snoozed(by=ALICE, until=at(60)), "snoozed",
         ["record snoozed", "stop paging", "timer unsnooze at 60", "headline"]),
        (2, alerts("B", firing=2, total=2), "severity",
         ["record alerts_fired", "record severity", "stop paging", "timer escalate 1 at 7",
          "page user:UALICE: INC-1 was raised to P0",
          "post note", "headline"]),
        (60, due(TimerKind.UNSNOOZE, epoch=2), "stale_timer", []),
    ], opened("A"))  # fmt: skip

    assert (awake.state, awake.snoozed_until) == (IncidentState.OPEN, None)
    assert awake.severity_why == "nothing is served"


def test_a_lower_severity_leaves_a_snooze_alone() -> None:
    asleep = play([
        (1, ev.Snoozed(by=ALICE, until=at(60)), "snoozed",
         ["record snoozed", "stop paging", "timer unsnooze at 60", "headline"]),
        (2, ev.SeverityChanged(by=BOB, to=Severity.P1, reason=""), "severity",
         ["record severity", "post note", "headline"]),
        (60, due(TimerKind.UNSNOOZE, epoch=2), "unsnoozed",
         ["record unsnoozed", "stop paging", "timer escalate 1 at 75", "headline"]),
    ], opened())  # fmt: skip

    assert asleep.state is IncidentState.OPEN


def test_asking_for_the_next_level() -> None:
    play([
        # alice is on call herself: the level that reaches only her pulls the next one forward
        (1, ev.EscalateClicked(by=ALICE, epoch=1), "escalated", [
            "record escalated", "page user:UALICE: level 1", "record paged", "page user:UBOB: level 2",
            "page user:UCAROL: level 2", "record paged", "timer repeat 1 at 31", "headline",
        ]),
        (1, ev.EscalateClicked(by=ALICE, epoch=1), "just_paged", []),
        (2, ev.EscalateClicked(by=MALLORY, epoch=1), "unknown_person", ["record refused.unknown_person"]),
        (2, ev.EscalateClicked(by=BOB, epoch=0), "stale_click", ["record refused.stale_click"]),
        (3, ev.EscalateClicked(by=BOB), "escalated", [
            "record escalated", "page user:UBOB: level 2, repeat 1", "page user:UCAROL: level 2, repeat 1",
            "page channel:CALL: level 2, repeat 1", "record paged", "timer repeat 2 at 33", "headline",
        ]),
        (31, repeat(1), "stale_timer", []),
    ], opened("A"))  # fmt: skip


def test_asking_for_help_while_one_owns_it() -> None:
    owned = play([
        (1, ev.Acknowledged(by=ALICE), "acknowledged", ["record acknowledged", "stop paging", "headline"]),
        (2, ev.EscalateClicked(by=ALICE), "escalated", [
            "record escalated", "page user:UALICE: level 1", "record paged", "page user:UBOB: level 2",
            "page user:UCAROL: level 2", "record paged", "headline",
        ]),
        (9, ev.EscalateClicked(by=ALICE), "escalated", [
            "record escalated", "page user:UBOB: level 2, repeat 1", "page user:UCAROL: level 2, repeat 1",
            "page channel:CALL: level 2, repeat 1", "record paged", "headline",
        ]),
    ], opened("A"))  # fmt: skip

    assert (owned.state, owned.escalation.next_due_at) == (IncidentState.ACKNOWLEDGED, None)


def test_handing_it_over_pages_the_one_who_gets_it() -> None:
    play([
        (1, ev.Assigned(by=ALICE, to=MALLORY), "not_theirs", ["record refused.not_theirs"]),
        (1, ev.Assigned(by=MALLORY, to=ALICE), "unknown_person", ["record refused.unknown_person"]),
        (1, ev.Assigned(by=ALICE, to=BOB), "assigned", [
            "record assigned", "stop paging", "page user:UBOB: INC-1 was handed to you by @alice", "headline",
        ]),
        (2, ev.Assigned(by=CAROL, to=CAROL), "assigned", ["record assigned", "stop paging", "headline"]),
        (15, level(1), "stale_timer", []),
    ], opened("A"))  # fmt: skip


def test_the_auditor_sets_the_timer_that_is_missing() -> None:
    play([
        (1, ev.Unattended(), "repaired", ["record repaired", "timer escalate 1 at 15", "headline"]),
        (2, ev.Snoozed(by=ALICE, until=at(60)), "snoozed",
         ["record snoozed", "stop paging", "timer unsnooze at 60", "headline"]),
        (3, ev.Unattended(), "repaired", ["record repaired", "timer unsnooze at 60", "headline"]),
        (4, ev.Acknowledged(by=ALICE), "acknowledged", ["record acknowledged", "stop paging", "headline"]),
        (5, ev.Unattended(), "attended", []),
    ], opened("A"))  # fmt: skip
