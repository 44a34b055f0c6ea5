"""What pages, headlines and updates say when a ladder is held, asks its owner, informs, or has listeners."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

from bot.model import IncidentState, Paged, PlanState
from bot.render import Message
from bot.render.samples import NOW, samples
from tests.render.test_stories import CAST, RENDERER, buttons, shown

_FOUR = ("*What is broken:* ", "*For whom:* ", "*Since:* ", "*What was tried:* ")


def moment(template: str, title: str) -> Message:
    context = next(context for name, context in samples()[template] if name == title)
    return RENDERER.render(template, context)


def test_a_page_tells_a_manager_in_four_lines_what_they_need() -> None:
    incident = CAST.incident(plans=(CAST.plan(PlanState.FAILED),))
    message = RENDERER.page(incident, {"number": 3, "reason": "level 3"}, CAST.policy, NOW)
    section = next(block for block in message.blocks if block["type"] == "section")
    lines = section["text"]["text"].splitlines()

    assert [line[: line.index(":*") + 3] for line in lines] == list(_FOUR)
    assert "*Who has it:* nobody yet" in lines[2]
    assert list(buttons(message)) == ["ack", "takeover"]


def test_what_was_tried_is_told_once_and_is_not_the_page_itself() -> None:
    """However often the last level was repeated, whoever reads it sees what else was done, and by whom."""
    line = CAST.incident().escalation
    alice, mia = (f"user:{one.who.user_id}" for one in CAST.policy.people[:2])
    log = [(1, alice), (2, mia), (2, mia), (2, mia)]
    paged = tuple(Paged(number=n, at=NOW, whom=(who,), late_by=timedelta(0), why="") for n, who in log)
    incident = CAST.incident(escalation=replace(line, paged=paged))

    def tried(number: int) -> str:
        text = shown(RENDERER.page(incident, {"number": number, "reason": f"level {number}"}, CAST.policy, NOW))
        return text.partition("*What was tried:*")[2].splitlines()[0]

    names = [one.who.name for one in CAST.policy.people[:2]]
    assert tried(2) == f" level 2 was paged: @{names[1]} (2 times) · level 1 was paged: @{names[0]}"
    assert tried(3) == f" level 2 was paged: @{names[1]} (3 times) · level 1 was paged: @{names[0]}"


def test_the_question_has_its_two_answers_and_says_what_happens_without_one() -> None:
    message = moment("page", "still on it?")

    assert list(buttons(message)) == ["still_on_it", "unack"]
    assert message.text.endswith("are you still on INC-7?, INC-7")
    assert "Still on it?" in shown(message)


def test_what_is_for_information_asks_for_nothing() -> None:
    message = moment("page", "for information")

    assert list(buttons(message)) == ["takeover"]
    assert "For information" in shown(message)
    assert "you are paged" not in message.text


def test_a_user_group_is_called_by_mention() -> None:
    assert "<!subteam^S0ONCALL>" in shown(moment("page", "a user group"))


def test_the_headline_says_until_when_and_why_nobody_is_paged_and_calls_nobody_meanwhile() -> None:
    message = moment("headline", "planned work")

    assert re.search(r"\*Nobody is paged before <!date.*patching", shown(message))
    assert "<@" not in shown(message)
    assert "<@U0ALICE>" in shown(moment("headline", "just opened"))


def test_the_headline_says_that_the_owner_was_asked() -> None:
    assert "without an answer by" in shown(moment("headline", "asked"))


def test_an_update_tells_who_has_it_and_when_the_next_one_comes() -> None:
    waiting, owned, over = (moment("update", title) for title in ("nobody has it", "somebody has it", "it is over"))

    assert "*Nobody has it yet.* Next to be called:" in shown(waiting)
    assert "*@Alice is on it*" in shown(owned)
    assert "the next update comes at" in shown(owned)
    assert list(buttons(owned)) == ["unsubscribe"]
    assert "this was the last update" in shown(over)
    assert buttons(over) == {}


def test_an_update_of_an_incident_that_is_over_is_the_last_one_whatever_was_planned() -> None:
    ended = CAST.incident(state=IncidentState.RESOLVED, resolved_at=NOW, resolved_by=CAST.bob)
    message = RENDERER.update(ended, {"next_at": NOW + timedelta(hours=1)}, CAST.policy, NOW)

    assert "the next update" not in shown(message)
