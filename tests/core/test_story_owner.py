"""Stories of whoever has it: they fall asleep, they answer, they work; and managers hear of a P0 all the same."""

from __future__ import annotations

from dataclasses import replace

from bot import events as ev
from bot.model import IncidentState, TimerKind
from tests.core.script import alerts, asks, due, level, opened
from tests.core.stage import ALICE, BOB, MALLORY, POLICY_WITH_QUESTIONS
from tests.core.transcript import Line, at, play

# As in the script, and owners are asked after 20 minutes without progress, with 5 to answer; P0's third level, senior
# people at 60 minutes, hears of it until it is resolved.
OPENS = ["record opened", "headline", "timer escalate 1 at 5", "diagnose"]
ACKED: list[Line] = [
    (0, alerts("B"), "opened", OPENS),
    (2, ev.Acknowledged(by=ALICE), "acknowledged",
     ["record acknowledged", "stop paging", "timer nudge at 22", "timer inform 3 at 60", "headline"]),
]  # fmt: skip
NUDGE, LAPSE = due(TimerKind.NUDGE, epoch=2), due(TimerKind.LAPSE, epoch=2)
ASKED = "are you still on INC-1? Without an answer within 5 min somebody else is paged"
QUESTION = ["record asked", f"page user:UALICE: {ASKED}", "timer lapse at 27", "headline"]


def test_an_owner_who_does_not_answer_loses_it_and_the_ladder_climbs_at_once() -> None:
    lapsed = play([
        *ACKED,
        (21, NUDGE, "too_early", ["timer nudge at 22"]),
        (22, NUDGE, "asked", QUESTION),
        (22, NUDGE, "stale_timer", []),
        (26, LAPSE, "too_early", ["timer lapse at 27"]),
        # alice is on call herself, so the level after hers is paged too; nobody is a manager, so the one after that
        (27, LAPSE, "lapsed", [
            "record lapsed", "stop paging", "page user:UALICE: level 1", "record paged",
            "page channel:CALL: level 2 (role:manager reaches nobody now)", "record paged",
            "page user:UBOB: level 3", "page user:UCAROL: level 3", "record paged", "timer repeat 1 at 57", "headline",
        ]),
        (27, LAPSE, "stale_timer", []),
        (60, due(TimerKind.INFORM, 3, epoch=2), "stale_timer", []),
    ], policy=POLICY_WITH_QUESTIONS)  # fmt: skip

    assert (lapsed.state, lapsed.owner, lapsed.epoch) == (IncidentState.OPEN, None, 3)


def test_whoever_answers_is_asked_again_only_after_as_long_a_silence() -> None:
    owned = play([
        *ACKED,
        (22, NUDGE, "asked", QUESTION),
        (23, ev.StillOnIt(by=MALLORY, epoch=2), "unknown_person", ["record refused.unknown_person"]),
        (23, ev.StillOnIt(by=ALICE, epoch=1), "stale_click", ["record refused.stale_click"]),
        (24, ev.StillOnIt(by=ALICE, epoch=2), "still_on_it", ["record still_on_it", "headline", "timer nudge at 44"]),
        (27, LAPSE, "stale_timer", []),
        (44, NUDGE, "asked",
         ["record asked", f"page user:UALICE: {ASKED}", "timer lapse at 49", "headline"]),
    ], policy=POLICY_WITH_QUESTIONS)  # fmt: skip

    assert owned.owner == ALICE


def test_work_is_an_answer() -> None:
    """A note, a plan, a question to the metrics: whoever does something is not asked whether they do."""
    play([
        *ACKED,
        (20, ev.Noted(by=ALICE, text="found it"), "noted", ["record noted", "timer nudge at 40"]),
        (22, NUDGE, "too_early", ["timer nudge at 40"]),
        (39, asks(), "planning", ["record requested", "draw PLN-1", "timer nudge at 59"]),
        (41, ev.Noted(by=MALLORY, text="hm"), "unknown_person", ["record refused.unknown_person"]),
        (59, NUDGE, "asked",
         ["record asked", f"page user:UALICE: {ASKED}", "timer lapse at 64", "headline"]),
        (60, ev.DiagnosticsAsked(by=ALICE, names=()), "diagnosing",
         ["record diagnosed", "diagnose", "timer nudge at 80"]),
        (64, LAPSE, "stale_timer", []),
    ], policy=POLICY_WITH_QUESTIONS)  # fmt: skip


def test_a_new_owner_is_asked_in_their_turn() -> None:
    play([
        *ACKED,
        (22, NUDGE, "asked", QUESTION),
        (23, ev.Assigned(by=BOB, to=BOB), "assigned",
         ["record assigned", "stop paging", "timer nudge at 43", "timer inform 3 at 60", "headline"]),
        (27, LAPSE, "stale_timer", []),
        (43, NUDGE, "stale_timer", []),
    ], policy=POLICY_WITH_QUESTIONS)  # fmt: skip


def test_those_who_must_know_of_a_p0_hear_of_it_once_until_it_is_resolved() -> None:
    told = "level 3, for information: @alice has it"
    informed = play([
        *ACKED,
        (30, level(2), "stale_timer", []),
        (59, due(TimerKind.INFORM, 3, epoch=2), "too_early", ["timer inform 3 at 60"]),
        (60, due(TimerKind.INFORM, 3, epoch=2), "informed",
         [f"page user:UBOB: {told}", f"page user:UCAROL: {told}", "record informed", "headline"]),
        (60, due(TimerKind.INFORM, 3, epoch=2), "stale_timer", []),
    ], policy=POLICY_WITH_QUESTIONS)  # fmt: skip
    assert informed.state is IncidentState.ACKNOWLEDGED

    play([
        *ACKED,
        (40, ev.Resolved(by=ALICE), "resolved", ["record resolved", "stop paging", "post summary", "headline"]),
        (60, due(TimerKind.INFORM, 3, epoch=2), "stale_timer", []),
    ], policy=POLICY_WITH_QUESTIONS)  # fmt: skip


def test_nobody_is_asked_in_the_middle_of_a_change() -> None:
    """The question waits while a plan is being carried out: the bot itself works on it."""
    from tests.core.script import running

    before = running()
    owned = replace(
        before, state=IncidentState.ACKNOWLEDGED, owner=ALICE, acked_at=at(0),
        escalation=replace(before.escalation, ack_timeout=at(20) - at(0)),
    )  # fmt: skip

    play([(30, due(TimerKind.NUDGE), "too_early", ["timer nudge at 50"])], owned)


def test_without_a_time_out_nobody_is_ever_asked() -> None:
    play([
        (2, ev.Acknowledged(by=ALICE), "acknowledged", ["record acknowledged", "stop paging", "headline"]),
        (3, ev.StillOnIt(by=ALICE), "still_on_it", ["record still_on_it", "headline"]),
        (500, NUDGE, "stale_timer", []),
    ], opened())  # fmt: skip
