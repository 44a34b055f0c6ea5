"""What each message says at each moment, and which buttons it offers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.model import IncidentKind, IncidentState, PlanState, StepState
from bot.render import Message, Renderer, card, headline, page
from bot.render.samples import NOW, Cast
from bot.render.templating import span

RENDERER = Renderer(Path(__file__).resolve().parents[2] / "templates")
CAST = Cast("")


def shown(message: Message) -> str:
    """All words of a message, in order."""
    return "\n".join(words(block) for block in message.blocks)


def words(block: Mapping[str, Any]) -> str:
    holders = [block.get("text"), *block.get("fields", []), *block.get("elements", [])]
    return "\n".join(str(holder["text"]) for holder in holders if isinstance(holder, dict) and "text" in holder)


def buttons(message: Message) -> dict[str, dict[str, Any]]:
    return {
        item["action_id"]: item for block in message.blocks if block["type"] == "actions" for item in block["elements"]
    }


def choices(message: Message) -> list[str]:
    menu = buttons(message).get("more", {"options": []})
    return [option["value"].partition("|")[0] for option in menu["options"]]


def a_card(state: PlanState, **changes: object) -> Message:
    return RENDERER.render("card", card(CAST.incident(), CAST.plan(state, **changes), CAST.policy, NOW))


def a_headline(offered: tuple[str, ...] = ("rollback", "reload"), **changes: object) -> Message:
    return RENDERER.render("headline", headline(CAST.incident(**changes), CAST.policy, NOW, offered, "Accuracy"))


# headline


def test_a_new_p1_calls_who_is_on_call_and_says_who_is_next() -> None:
    message = a_headline()
    told = shown(message)
    assert "*Open, nobody has it yet.* <@U0ALICE>" in told
    assert "Next: @Alice at <!date^" in told
    assert "*why P1:* accuracy 0.41 under the critical bound 0.80" in told
    assert "3 of 5 alerts firing, 12 more were not sent to us: ModelAccuracyLow" in told
    assert list(buttons(message)) == ["ack", "act:rollback", "details", "more"]
    assert buttons(message)["ack"]["style"] == "primary"
    assert {item["value"] for name, item in buttons(message).items() if name != "more"} == {"INC-7|1"}
    assert choices(message) == ["diagnose", "runbook", "escalate", "snooze", "resolve"]


def test_an_acknowledged_incident_offers_to_give_it_back() -> None:
    message = a_headline(state=IncidentState.ACKNOWLEDGED, owner=CAST.alice, acked_at=NOW, acked_by=CAST.alice, epoch=2)
    assert "<@U0ALICE> is on it" in shown(message)
    assert list(buttons(message)) == ["act:rollback", "details", "more"]
    assert choices(message) == ["diagnose", "runbook", "unack", "snooze", "resolve"]
    assert buttons(message)["details"]["value"] == "INC-7|2"


def test_a_resolved_incident_has_no_buttons() -> None:
    message = a_headline(state=IncidentState.RESOLVED, resolved_at=NOW, resolved_by=CAST.bob)
    assert buttons(message) == {}
    assert "*Resolved* by @Bob" in shown(message)


def test_while_a_plan_is_under_way_its_card_comes_next_and_nothing_else_is_recommended() -> None:
    message = a_headline(plans=(CAST.plan(PlanState.PENDING),))
    assert list(buttons(message)) == ["ack", "details", "more"]


def test_the_symptom_is_said_once_unless_the_header_cut_it() -> None:
    short = shown(a_headline())
    assert short.count("Accuracy of intent_classifier is 0.41") == 1
    long = "Accuracy of intent_classifier is far too low " * 5
    told = shown(a_headline(symptom=long))
    assert "(cut)" in told.splitlines()[0]
    assert long.strip() in told
    page = RENDERER.page(CAST.incident(), {"number": 1, "reason": "level 1"}, CAST.policy, NOW)
    assert shown(page).count("Accuracy of intent_classifier is 0.41") == 1


@pytest.mark.parametrize(
    "state, line",
    [
        (PlanState.VOID, "*void* – alias champion moved from 3 to 4"),
        (PlanState.REFUSED, "*refused* – changes are frozen"),
        (PlanState.REJECTED, "*rejected* – @Bob said no: let us look at the labels first"),
        (PlanState.VERIFIED, "*verified*, took 60 s"),
        (PlanState.RUNNING, "*running*"),
    ],
)
def test_a_plan_in_the_headline_carries_its_short_reason(state: PlanState, line: str) -> None:
    assert shown(a_headline(plans=(CAST.plan(state),))).splitlines()[3].endswith(f"from v3 to v2: {line}")


def test_a_refusal_in_the_headline_shows_its_command_as_code() -> None:
    plan = CAST.plan(PlanState.REFUSED, ended_why="Name it: `rollback ranker to 2`, not `<!channel>`. And more.")
    assert "Name it: `rollback ranker to 2`, not ˋ&lt;!channel&gt;ˋ" in shown(a_headline(plans=(plan,)))


def acked(**changes: object) -> dict[str, object]:
    return {
        "state": IncidentState.ACKNOWLEDGED,
        "owner": CAST.alice,
        "acked_at": NOW,
        "acked_by": CAST.alice,
        **changes,
    }


def test_after_a_verified_plan_the_same_is_not_recommended_again() -> None:
    message = a_headline(**acked(plans=(CAST.plan(PlanState.VERIFIED),)))
    assert list(buttons(message)) == ["details", "more"]


def test_when_all_is_clear_the_main_button_is_to_resolve() -> None:
    clear = a_headline(**acked(plans=(CAST.plan(PlanState.VERIFIED),), firing=0, quiet_until=NOW))
    assert list(buttons(clear)) == ["resolve", "details", "more"]
    assert buttons(clear)["resolve"]["style"] == "primary"
    assert "resolve" not in choices(clear)
    proving = a_headline(**acked(plans=(CAST.plan(PlanState.WATCHING),), firing=0, quiet_until=NOW))
    assert "resolve" not in buttons(proving), "an action is under way, so it is not over"
    by_hand = a_headline(**acked(plans=(CAST.plan(PlanState.VERIFIED),), firing=0, total=0))
    assert "resolve" in buttons(by_hand)


def test_reopened_after_a_verified_plan_the_action_is_offered_again() -> None:
    again = replace(CAST.incident().escalation, base_at=NOW + timedelta(minutes=1))
    message = a_headline(plans=(CAST.plan(PlanState.VERIFIED),), escalation=again, reopened=1)
    assert list(buttons(message)) == ["ack", "act:rollback", "details", "more"]


def test_nothing_is_recommended_where_no_runbook_says_so() -> None:
    assert list(buttons(a_headline(()))) == ["ack", "details", "more"]


def test_a_change_pages_nobody_and_cannot_be_acknowledged() -> None:
    message = a_headline(kind=IncidentKind.CHANGE)
    assert list(buttons(message)) == ["details"]
    assert "Nobody is paged." in shown(message)


# card


def test_the_preview_says_everything_an_approver_binds_themselves_to() -> None:
    message = a_card(PlanState.PENDING)
    told = shown(message)
    for fact in (
        "`v3` → `v2`", "*Because* v2 is the last known-good", "1. Point alias champion", "*Affects* every caller of",
        "*Way back:* rollback intent_classifier to 3", "*Who may approve*\n@bob; not @Alice, who asked",
        "*Approve until*\n<!date^", "*Approvals*\n0 of 1", "*Warning:*", "asked for by @Alice",
    ):  # fmt: skip
        assert fact in told, fact
    approve = buttons(message)["approve"]
    plan = CAST.plan(PlanState.PENDING)
    assert approve["value"] == f"PLN-4|{plan.digest[:16]}"
    assert approve["confirm"]["text"]["text"] == (
        "Roll back intent_classifier from v3 to v2. This changes intent_classifier in production."
    )
    assert (approve["style"], buttons(message)["reject"]["style"]) == ("primary", "danger")


@pytest.mark.parametrize("state", [PlanState.PENDING, PlanState.REFUSED])
def test_what_a_gate_judged_is_a_table(state: PlanState) -> None:
    told = shown(a_card(state))
    assert "*What was judged*" in told
    assert re.search(r"^pass +accuracy +0\.9667 +at least 0\.95$", told, re.MULTILINE)
    assert re.search(r"^not recorded +brier +at most 0\.2$", told, re.MULTILINE)
    assert "What was judged" not in shown(a_card(PlanState.RUNNING)), "by then it is history"


def test_an_approver_sees_the_buttons_without_scrolling() -> None:
    """About 48 characters fit beside each other in a thread; the card must not be longer than one screen of them."""
    message = a_card(PlanState.PENDING, draft=replace(CAST.draft(), changes=(), checks=()))
    told = shown(message)
    assert "to do" not in told, "states are for steps that are under way"
    seen = re.sub(r"<!date[^|]*\|[^ ]* ([^ ]*) UTC>", r"\1", told)
    in_pairs = len(message.blocks[1]["fields"])  # two fields stand beside each other, each of two lines
    assert sum(1 + len(line) // 48 for line in seen.splitlines()) - in_pairs <= 26
    assert [block["type"] for block in message.blocks] == [
        "header", "section", "section", "section", "context", "actions",
    ]  # fmt: skip


def test_what_differs_is_shown_line_by_line_while_it_can_be_approved() -> None:
    draft = replace(CAST.draft(), changes=tuple(f"spec.replicas: {n} → {n + 1}" for n in range(20)))
    told = shown(a_card(PlanState.PENDING, draft=draft))
    assert "spec.replicas: 11 → 12\n… and 8 more\n```" in told
    assert "spec.replicas" not in shown(a_card(PlanState.VERIFIED, draft=draft))


def test_a_running_plan_says_where_each_step_stands() -> None:
    told = shown(a_card(PlanState.RUNNING))
    assert [word for word in ("*done*", "*running*", "*to do*") if word in told] == ["*done*", "*running*", "*to do*"]


def test_two_approvers_are_named_with_their_number() -> None:
    context = card(CAST.incident(), CAST.plan(PlanState.PENDING, needed=2), CAST.policy, NOW)
    assert context.may_approve == "2 of @bob; not @Alice, who asked"
    nobody = card(CAST.incident(), CAST.plan(PlanState.PENDING), replace(CAST.policy, people=()), NOW)
    assert nobody.may_approve.startswith("Nobody else is set up to approve; add people to the configuration")


def test_a_result_says_nothing_twice() -> None:
    why = "Back within bounds: accuracy is 0.97."
    plan = CAST.plan(PlanState.VERIFIED, ended_why=why)
    steps = (*plan.steps[:3], replace(plan.steps[3], detail=why))
    assert shown(a_card(PlanState.VERIFIED, ended_why=why, steps=steps)).count(why) == 1


@pytest.mark.parametrize("state", [state for state in PlanState if state is not PlanState.PENDING])
def test_only_a_waiting_plan_can_be_approved(state: PlanState) -> None:
    assert not {"approve", "reject"} & buttons(a_card(state)).keys()


@pytest.mark.parametrize("state", [state for state in PlanState if state is not PlanState.VERIFIED])
def test_no_other_state_sounds_like_success(state: PlanState) -> None:
    message = a_card(state)
    told = f"{message.text}\n{shown(message)}".lower()
    assert "verified" not in told
    assert "success" not in told.replace("this is no success yet", "")


def test_the_result_carries_durations_approver_and_time() -> None:
    message = a_card(PlanState.VERIFIED)
    told = shown(message)
    assert "*Verified* from the serving side after 60 s." in told
    assert "– *done*, 60 s" in told
    assert "Approved by @Bob at <!date^" in told
    assert list(buttons(message)) == ["undo"]


def test_a_failed_plan_says_what_was_changed_and_offers_the_way_back() -> None:
    assert "Part of it was changed" in shown(a_card(PlanState.FAILED))
    assert list(buttons(a_card(PlanState.FAILED))) == ["undo"]
    steps = tuple(replace(step, state=StepState.FAILED) for step in CAST.plan(PlanState.FAILED).steps)
    untouched = a_card(PlanState.FAILED, steps=steps)
    assert "Nothing was changed." in shown(untouched)
    assert buttons(untouched) == {}


def test_without_an_inverse_there_is_no_undo() -> None:
    draft = replace(CAST.draft(), inverse={}, inverse_text="")
    assert buttons(a_card(PlanState.VERIFIED, draft=draft)) == {}
    assert "*Way back:* none" in shown(a_card(PlanState.PENDING, draft=draft))


def test_breaking_the_glass_is_shown_with_its_reason() -> None:
    context = card(CAST.incident(), CAST.plan(PlanState.RUNNING), CAST.policy, NOW)
    vote = replace(context.votes[0], break_glass="nobody else answers")
    assert "breaking the glass: nobody else answers" in shown(RENDERER.render("card", replace(context, votes=(vote,))))


# page


def test_a_page_says_how_late_it_is_and_that_it_may_be_repeated() -> None:
    data = {"number": 2, "reason": "level 2", "late_by_s": 2820.0, "repeated": True}
    message = RENDERER.page(CAST.incident(), data, CAST.policy, NOW)
    assert "late by 47 min (may be repeated)" in message.text
    assert "This page may be repeated" in shown(message)
    assert list(buttons(message)) == ["ack", "takeover"]


@pytest.mark.parametrize("data", [{}, {"number": "x", "late_by_s": "nan"}, {"late_by_s": -5}, {"late_by_s": 1e300}])
def test_a_page_with_odd_data_still_goes_out(data: dict[str, object]) -> None:
    context = page(CAST.incident(), data, CAST.policy, NOW)
    assert context.late_by == timedelta(0)
    assert RENDERER.render("page", context).failed == ""


def test_a_page_takes_its_lateness_as_a_span_too() -> None:
    assert page(CAST.incident(), {"late_by": timedelta(minutes=3)}, CAST.policy, NOW).late_by == timedelta(minutes=3)


def test_a_page_for_somebody_elses_incident_says_who_has_it() -> None:
    incident = CAST.incident(state=IncidentState.ACKNOWLEDGED, owner=CAST.bob, plans=(CAST.plan(PlanState.FAILED),))
    message = RENDERER.page(incident, {"number": 0, "reason": "break glass"}, CAST.policy, NOW)
    assert "*Who has it:* @Bob" in shown(message)
    assert "Roll back intent_classifier from v3 to v2: failed" in shown(message)
    assert list(buttons(message)) == ["takeover"]


# the others


def test_a_silent_backend_is_said_to_be_silent() -> None:
    message = RENDERER.diagnosis({"diagnostic": "health", "sentence": "It does not answer.", "available": False})
    assert shown(message).startswith("*Not available:* It does not answer.")


def test_a_runbook_that_is_gone_is_said_to_be_gone() -> None:
    assert "This runbook is gone" in RENDERER.runbook(CAST.incident(), None).text


def test_a_runbook_offers_its_actions_while_the_incident_is_open() -> None:
    message = RENDERER.runbook(CAST.incident(), CAST.book())
    assert list(buttons(message)) == ["act:rollback", "act:reload"]
    assert "☐ 2. Roll back if a new version went live." in shown(message)
    ended = CAST.incident(state=IncidentState.RESOLVED, resolved_at=NOW)
    assert buttons(RENDERER.runbook(ended, CAST.book())) == {}


@pytest.mark.parametrize(
    "seconds, told",
    [
        (0, "0 s"),
        (1.54, "1.5 s"),
        (59, "59 s"),
        (300, "5 min"),
        (7_500, "2 h 5 min"),
        (273_600, "3 d 4 h"),
        (-5, "0 s"),
    ],
)
def test_spans_are_told_in_words(seconds: float, told: str) -> None:
    assert span(timedelta(seconds=seconds)) == told
