"""Drift checks from the wish to a person's choice: what is said, what is stored, and what if it happens twice."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bot.drift.asked import DriftRequest
from bot.drift.report import DriftReport
from bot.policy.drift import Exit, ReportState
from bot.ports import Foreign
from bot.reports import BadLink, opened
from bot.store import Store
from tests.engine.conftest import NewOffice
from tests.engine.drift_lab import BASE, KEY, LOCK, QUIET, TOO_FEW, VALID, Lab, Retrain, answer, rules
from tests.engine.office import ALICE, BOB, CHANNEL, MIA, answering, at_once, posts


@pytest.fixture
def lab(file_store: Store, new_office: NewOffice, tmp_path: Path) -> Lab:
    return Lab(new_office(file_store, rules=rules(), lever=Retrain()), tmp_path)


def test_a_check_answers_at_once_and_then_in_one_message(lab: Lab) -> None:
    """The message is posted before there is anything to tell, and tells in the end all that must be said."""
    reply = lab.say("drift intent --days 3 --feature age")
    assert reply.text == (
        "DRF-1: comparing the last 3 days of intent, column age with its reference. The answer comes into this channel."
    )
    lab.office.deliver()
    assert "waiting for the worker" in lab.shown()
    lab.settle()
    shown = lab.shown()
    for words in (
        "High drift: 1 of 2 columns is past a line at 1,240 rows.", "Triage – data bug", "12 % of age are -999",
        "n = 1,240 rows now, 5,000 in the reference, noise up to 0.02", "last 3 days", "note",
        "an identifier or free text", "Retraining is locked", "↑ higher", "1.92", "0.30", "asked for by @alice",
    ):  # fmt: skip
        assert words in shown, words
    assert "waiting" not in shown
    assert lab.asked[0].feature == "age"
    assert lab.asked[0].window.end_at - lab.asked[0].window.start_at == timedelta(days=3)
    assert len([call for call in posts(lab.office.ws) if "drift check" in str(call.args.get("text"))]) == 1


def test_a_column_name_can_do_nothing(lab: Lab) -> None:
    lab.say("drift intent")
    lab.settle()
    calls = [*posts(lab.office.ws), *lab.office.ws.calls("chat.update")]
    raw = str([call.args for call in calls])
    assert "<!channel>" not in raw
    assert "&lt;!channel&gt;" in raw


def test_the_page_is_a_file_in_the_thread_and_behind_a_signed_link(lab: Lab) -> None:
    lab.say("drift intent")
    lab.settle()
    files = lab.office.ws.as_("alice").screen()["files"].values()
    names = {file["name"] for file in files}
    assert names == {"drift-intent-DRF-1.html", "drift-intent-DRF-1.png"}
    page = lab.office.store.drift.file("DRF-1-html")
    assert page is not None
    assert b"the report" in page.body
    link = lab.links.to("DRF-1-html", lab.report().ended_at or lab.office.clock())
    assert link.startswith(f"{BASE}/reports/")
    assert "full report" in lab.shown()
    token = link.rpartition("/")[2]
    assert opened(KEY, token, lab.office.clock()) == "DRF-1-html"
    with pytest.raises(BadLink) as late:
        opened(KEY, token, lab.office.clock() + timedelta(days=8))
    assert late.value.is_over


def test_the_same_check_is_made_once_however_often_it_is_asked_for(lab: Lab) -> None:
    replies = at_once(
        lambda: lab.say("drift intent"), lambda: lab.say("drift intent", BOB), lambda: lab.say("drift intent")
    )
    assert sum("comparing" in getattr(reply, "text", "") for reply in replies) == 1
    assert sum("is this very check" in getattr(reply, "text", "") for reply in replies) == 2
    lab.settle()
    assert len(lab.asked) == 1
    lab.say("drift intent")
    lab.settle()
    assert len(lab.asked) == 2


def test_a_request_delivered_twice_is_one(lab: Lab) -> None:
    assert lab.say("drift intent", request="T1").text
    assert lab.say("drift intent", request="T1").text == ""
    lab.settle()
    assert len(lab.asked) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("drift nosuch", "I don't know a model"),
        ("drift intent --days 0", "How many days"),
        ("drift intent --days many", "How many days"),
        ("drift intent --days", "How many days"),
        ("drift intent --feature", "Which column"),
        ("drift intent --sql drop", "I don't know the option"),
        ("drift intent other", "One model at a time"),
    ],
)
def test_what_cannot_be_checked_is_refused_with_the_way_to_say_it(lab: Lab, words: str, said: str) -> None:
    reply = lab.say(words)
    assert reply.refused
    assert said in reply.text
    assert not lab.work()


def test_a_model_without_data_says_what_to_add(file_store: Store, new_office: NewOffice, tmp_path: Path) -> None:
    lab = Lab(new_office(file_store, rules=rules(drifts=False)), tmp_path)
    reply = lab.say("drift intent")
    assert reply.refused
    assert "does not say where its data are" in reply.text
    assert "system.yaml" in reply.text


def test_a_worker_that_dies_in_the_middle_leaves_a_clear_message_and_nothing_else(lab: Lab) -> None:
    def dies(_: DriftRequest) -> DriftReport:
        raise Foreign("broken", "The drift worker ended in the middle, by signal 9. Ask again.")

    lab.run = dies
    lab.say("drift intent")
    lab.settle()
    assert lab.report().state is ReportState.FAILED
    assert "no result. The drift worker ended in the middle, by signal 9" in lab.shown()
    assert "Nothing is concluded from it" in lab.shown()
    assert lab.office.store.drift.latest("shop", "intent", done=True) == []
    lab.run = lambda _: answer()
    assert "comparing" in lab.click("again").text
    lab.settle()
    assert lab.report("DRF-2").state is ReportState.DONE


def test_a_bot_that_dies_in_the_middle_makes_the_check_again(lab: Lab) -> None:
    """The claim ends with the process. What a lost attempt still says afterwards is worth nothing."""
    office = lab.office
    lab.say("drift intent")
    [job] = office.store.claim("drift", office.owner, office.clock(), timedelta(seconds=60), limit=1)

    class Killed(BaseException):
        pass

    def killed(_: DriftRequest) -> DriftReport:
        raise Killed

    lab.run = killed
    with pytest.raises(Killed):
        lab.drifts.do(job)
    assert lab.report().state is ReportState.RUNNING
    office.clock.advance(seconds=61)
    lab.run = lambda _: answer(QUIET)
    lab.drifts = lab.new_worker()
    lab.settle()
    assert lab.report().state is ReportState.DONE
    assert lab.report().run == job.fence + 1
    lab.run = lambda _: answer()
    lab.drifts.do(job)  # the first one wakes up after all
    assert lab.report().result is not None
    assert lab.report().result.cause == "quiet"


def test_a_check_that_kills_the_bot_is_given_up_in_the_end(lab: Lab) -> None:
    office = lab.office
    lab.say("drift intent")
    for _ in range(3):
        assert office.store.claim("drift", office.owner, office.clock(), timedelta(seconds=60), limit=1)
        office.clock.advance(seconds=61)
    lab.settle()
    assert lab.asked == []
    assert "ended in the middle of it 3 times" in lab.shown()


def test_a_check_that_a_shutdown_cuts_short_is_left_for_the_next(lab: Lab) -> None:
    def closed(_: DriftRequest) -> DriftReport:
        lab.drifts.close()
        raise Foreign("broken", "The worker was ended.")

    lab.run = closed
    lab.say("drift intent")
    lab.work()
    assert lab.report().state is ReportState.RUNNING
    lab.run = lambda _: answer(QUIET)
    lab.drifts = lab.new_worker()
    lab.settle()
    assert lab.report().state is ReportState.DONE


# what a person says it is


def test_the_exit_is_recorded_once_over_double_clicks(lab: Lab) -> None:
    lab.say("drift intent")
    lab.settle()
    replies = at_once(lambda: lab.click("bug"), lambda: lab.click("bug"), lambda: lab.click("bug", request="T9"))
    assert all("data bug" in getattr(reply, "text", "") for reply in replies)
    assert lab.click("bug", request="T9").text == ""
    assert [choice.exit for choice in lab.office.store.drift.choices("DRF-1")] == [Exit.DATA_BUG]
    assert lab.kinds().count("drift.exit") == 1
    lab.settle(3)
    assert "@bob said: data bug" in lab.shown()
    assert "Fix the source, then check again" in lab.shown()


def test_another_exit_is_appended_and_both_stay(lab: Lab) -> None:
    lab.say("drift intent")
    lab.settle()
    lab.click("bug")
    lab.click("valid", ALICE)
    chosen = lab.office.store.drift.choices("DRF-1")
    assert [(choice.exit, choice.by.name) for choice in chosen] == [(Exit.DATA_BUG, "bob"), (Exit.VALID, "alice")]
    lab.settle(3)
    assert "@alice said: valid drift" in lab.shown()


def test_only_those_who_may_ask_for_changes_may_say_what_it_is(lab: Lab) -> None:
    lab.say("drift intent")
    lab.settle()
    stranger = replace(ALICE, user_id="U0STRANGER", name="")
    for who in (MIA, stranger):
        reply = lab.click("valid", who)
        assert reply.refused
    assert lab.report().choice is None
    assert lab.report().lock == LOCK
    assert {"refused.not_allowed", "refused.unknown_person"} <= set(lab.kinds())


def test_nothing_can_be_said_of_a_check_without_a_result(lab: Lab) -> None:
    lab.say("drift intent")
    reply = lab.click("valid")
    assert reply.refused
    assert "no result" in reply.text
    assert lab.click("valid", report="DRF-99").refused
    assert lab.click("dance").refused


def test_the_lock_holds_at_the_button_and_at_the_verb_until_a_person_opens_it(lab: Lab) -> None:
    lab.say("drift intent")
    lab.settle()
    button = lab.click("retrain")
    assert button.refused
    assert "Retraining intent is locked" in button.text
    assert "-999" in button.text
    lab.say("retrain intent")
    lab.settle()
    plan = lab.office.plan
    assert plan.state == "refused"
    assert "Locked by DRF-1" in plan.ended_why
    lab.click("valid")
    asked = lab.click("retrain")
    assert "The card comes into the thread" in asked.text
    lab.settle()
    plan = lab.office.plan
    assert plan.state == "pending"
    assert plan.draft is not None
    assert plan.draft.tier == "change"
    assert any("@bob said that the drift is valid" in one for one in plan.draft.warnings)


def test_a_check_that_cannot_tell_takes_back_no_lock(lab: Lab) -> None:
    """Neither what was proposed nor what a person said: an hour's few rows must not open what a week's closed."""
    lab.say("drift intent")
    lab.settle()
    lab.run = lambda _: answer(TOO_FEW)
    lab.say("drift intent --days 1")
    lab.settle()
    assert lab.report("DRF-2").result is not None
    button = lab.click("retrain", report="DRF-2")
    assert button.refused
    assert "DRF-1, which counts, says: Retraining would teach" in button.text
    lab.say("retrain intent")
    lab.settle()
    assert "Locked by DRF-1" in lab.office.plan.ended_why

    lab.run = lambda _: answer(QUIET)
    lab.say("drift intent")
    lab.settle()
    lab.say("retrain intent")
    lab.settle()
    assert lab.office.plan.state == "pending", "one that can tell does"


def test_the_lock_outlives_a_restart(lab: Lab, file_store: Store, new_office: NewOffice, tmp_path: Path) -> None:
    lab.say("drift intent")
    lab.settle()
    again = Lab(new_office(file_store, rules=rules(), lever=Retrain(), owner="two"), tmp_path)
    again.say("retrain intent")
    again.settle()
    assert again.office.plan.state == "refused"
    assert "Locked by DRF-1" in again.office.plan.ended_why
    assert again.click("retrain").refused


def test_a_newer_data_bug_makes_an_approved_retrain_void(lab: Lab) -> None:
    lab.run = lambda _: answer(VALID)
    lab.say("drift intent")
    lab.settle()
    lab.click("retrain", ALICE)
    lab.settle()
    plan = lab.office.plan
    assert plan.state == "pending"
    lab.run = lambda _: answer()
    lab.say("drift intent")
    lab.settle()
    lab.office.approve(plan, BOB)
    lab.settle()
    first, second = lab.office.incident.plans[-2:]
    assert first.state == "void"
    assert "last drift check" in first.ended_why
    assert second.state == "refused"
    assert lab.office.lever.pulled == 0
    assert "locked" in lab.click("retrain").text


def test_not_sure_pages_the_ladder_in_the_same_breath(lab: Lab) -> None:
    lab.say("drift intent")
    lab.settle()
    reply = lab.click("unsure")
    assert "INC-1" in reply.text
    lab.settle()
    incident = lab.office.incident
    assert incident.severity == "P2"
    assert incident.subject.model == "intent"
    assert "DRF-1" in incident.title
    assert incident.escalation.paged[0].number == 1
    lab.click("valid")
    lab.click("unsure")
    assert len(lab.office.store.incidents()) == 1


def test_an_expected_change_is_accepted_in_later_checks(lab: Lab) -> None:
    lab.run = lambda _: answer(VALID)
    lab.say("drift intent")
    lab.settle()
    assert lab.asked[0].known.accepted == ()
    lab.click("expected")
    lab.say("drift intent")
    lab.settle()
    assert lab.asked[1].known.accepted == ("age",)
    lab.click("bug", report="DRF-2")
    lab.say("drift intent")
    lab.settle()
    assert lab.asked[2].known.accepted == ()


def test_in_an_incident_the_answer_comes_into_its_thread(lab: Lab) -> None:
    lab.office.alert("ModelDriftHigh")
    lab.settle(3)
    reply = lab.say("drift intent")
    assert "into the thread of INC-1" in reply.text
    lab.settle()
    place = lab.office.store.place("INC-1")
    assert place is not None
    screen = lab.office.ws.as_("alice").looks_at(CHANNEL.removeprefix("#"))
    told = [one for one in screen.messages(thread=place[1]) if "High drift" in one.text]
    assert [one.raw.get("thread_ts") for one in told] == [place[1]]
    assert any(kind.startswith("drift.") for kind in lab.office.kinds())


def test_a_channel_that_takes_nothing_costs_no_answer(lab: Lab) -> None:
    """Asked in a direct message of two others, say: Slack refuses the place, so the system's channel gets it."""
    lab.say("drift intent", channel="C0NOWHERE")
    lab.settle()
    assert "High drift" in lab.shown()


def test_an_incident_about_drift_asks_for_a_check_by_itself(
    file_store: Store, new_office: NewOffice, tmp_path: Path
) -> None:
    """One about something else does not: a check costs minutes, and nobody wants it in every incident."""
    questions = (answering("drift"),)
    lab = Lab(new_office(file_store, rules=rules(), lever=Retrain(), questions=questions), tmp_path)
    lab.office.alert("LowAccuracy")
    lab.settle(3)
    assert lab.office.store.drift.latest("shop", "intent") == []
    lab.office.alert("ModelDriftHigh")
    lab.office.say("diagnose INC-1")
    lab.settle()
    report = lab.report()
    assert (report.why, report.incident_id, report.target) == ("incident", "INC-1", "thread")
    assert "for an incident" in lab.shown()
    assert len(lab.office.store.drift.latest("shop", "intent")) == 1


def test_a_file_that_slack_will_not_take_holds_up_nothing(
    file_store: Store, new_office: NewOffice, tmp_path: Path
) -> None:
    """What its token lacks is mended by a person; until then the thread goes on without the file and the picture."""
    questions = (answering("health"),)
    lab = Lab(new_office(file_store, rules=rules(), lever=Retrain(), questions=questions), tmp_path)
    lab.office.alert("LowAccuracy")
    lab.settle(3)
    lab.office.ws.fault("revoked_token", "files.getUploadURLExternal", times=-1)
    lab.say("drift intent")
    lab.settle()
    before = lab.shown().count("health is fine")
    lab.office.say("diagnose INC-1")
    lab.settle()
    assert "High drift" in lab.shown()
    assert lab.shown().count("health is fine") > before
    assert lab.office.ws.as_("alice").screen()["files"] == {}


def test_nobody_can_keep_the_worker_busy_for_ever(lab: Lab) -> None:
    replies = [lab.say(f"drift intent --days {days}", MIA) for days in range(1, 9)]
    assert [reply.refused for reply in replies] == [False] * 6 + [True] * 2
    assert "6 checks of intent wait already" in replies[-1].text
    lab.settle(3)
    assert not lab.say("drift intent --days 8").refused
