"""Outgoing messages over the wire: when they go, how often, in which order, and what a bad day does to them."""

from __future__ import annotations

import shutil
import threading
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from bot.chat import SlackProblem
from bot.clock import steady_s
from bot.effects import Decision, Page, PostToThread, Why
from bot.model import Finding
from bot.render import Message
from bot.store import Store
from playground.slack import Workspace
from tests.engine.conftest import NewOffice
from tests.engine.office import CHANNEL, GHOST, TEMPLATES, Clock, Office, Question, policy, posts, text_of


def save(office: Office, *effects: object) -> None:
    """Store effects of the incident as a decision would."""
    with office.store.begin() as tx:
        found = tx.incident("INC-1")
        decision = Decision(incident=found, effects=effects, why=Why(code="test", text="-"))  # type: ignore[arg-type]
        tx.save(decision, office.clock())


def page(office: Office, target: str, unique: str = "1") -> None:
    save(office, Page(number=1, target=target, late_by=timedelta(0), reason="level 1", unique=unique))


def test_the_headline_is_out_while_a_diagnostic_hangs(file_store: Store, new_office: NewOffice, ws: Workspace) -> None:
    """A4: within a second of the commit, whatever the evidence does."""
    release, asked = threading.Event(), threading.Event()

    def hang(_: object) -> Finding:
        asked.set()
        release.wait(20)
        return Finding(diagnostic="slow", sentence="late")

    office = new_office(file_store, questions=[Question("slow", hang)])
    office.alert()
    [job] = office.claim_work()
    working = threading.Thread(target=office.worker.do, args=(job,))
    working.start()
    try:
        assert asked.wait(5)
        began = time.monotonic()
        assert office.deliver() == 1
        assert time.monotonic() - began < 1.0
        assert "intent" in text_of(posts(ws)[0])
    finally:
        release.set()
        working.join(10)
    assert not working.is_alive()
    office.settle(3)
    assert any("late" in text_of(call) for call in posts(ws))


def test_a_rate_limit_holds_its_own_channel_only(office: Office, ws: Workspace, clock: Clock) -> None:
    """S3: nothing goes there before Retry-After is over; a page to a person goes at once."""
    office.alert()
    ws.fault("429", "chat.postMessage", seconds=7)
    assert office.deliver() == 0
    page(office, f"user:{policy().people[0].who.user_id}")
    assert office.deliver() == 1
    assert [call.args["channel"][0] for call in posts(ws)] == ["D"]
    clock.advance(seconds=6.9)
    assert office.deliver() == 0
    clock.advance(seconds=0.2)
    assert office.deliver() == 1
    assert len(ws.calls("chat.postMessage")) == 3  # the refused one, the page, the headline


def test_the_most_urgent_goes_first(office: Office, ws: Workspace, clock: Clock) -> None:
    """S3: page, approval, headline, result, diagnostic; one a second and channel."""
    office.alert()
    office.deliver()
    office.work()
    save(office, PostToThread(template="note", data={"text": "a-finding"}, kind="diagnostic"))
    save(office, PostToThread(template="note", data={"text": "a-result"}, kind="result"))
    office.say("flip intent")
    office.work()  # the card
    page(office, f"channel:{CHANNEL}")
    before = len(ws.log)
    clock.advance(seconds=5)
    moments = []
    for _ in range(8):
        moments.append(office.deliver())
        clock.advance(seconds=1)
    assert max(moments) == 1
    sent = [(one.method, text_of(one)) for one in ws.log[before:] if one.method.startswith("chat.")]
    order = [next(i for i, (_, text) in enumerate(sent) if word in text) for word in ("evel 1", "Flip it", "a-finding")]
    assert order == sorted(order)
    assert sent[2][0] == "chat.update"  # the headline, after page and card
    told = [text for _, text in sent]  # posts of one thread keep their order, so this finding precedes the result
    assert next(i for i, text in enumerate(told) if "a-result" in text) > order[-1]


def test_superseded_edits_collapse(office: Office, ws: Workspace, clock: Clock) -> None:
    """Ten changes in a second are one edit, and it shows the last of them."""
    office.alert()
    office.deliver()
    for _ in range(5):
        assert not office.say("ack").refused
        assert not office.say("unack").refused
    office.say("ack")
    clock.advance(seconds=2)
    office.settle(5)
    [edit] = ws.calls("chat.update")
    assert "alice" in str(edit.args)


def frozen_sender(first: Office, second: Office, clock: Clock) -> int:
    """One replica is frozen between its claim and its call, for longer than its lease; how many copies there are."""
    first.alert()
    [job] = first.deliverer.claim(1)
    clock.advance(seconds=31)
    assert second.deliver() == 1
    first.deliverer.send(job)
    clock.advance(seconds=60)
    second.deliver()
    return len(posts(first.ws))


def test_a_frozen_sender_sends_nothing_after_its_lease(file_store: Store, new_office: NewOffice, clock: Clock) -> None:
    assert frozen_sender(new_office(file_store), new_office(file_store, owner="two"), clock) == 1


def test_without_the_last_look_there_would_be_two(
    file_store: Store, new_office: NewOffice, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above can fail: with the fence taken out, it would see a second copy."""
    monkeypatch.setattr(Store, "still_mine", lambda *_: True)
    assert frozen_sender(new_office(file_store), new_office(file_store, owner="two"), clock) == 2


def test_a_sender_frozen_after_its_last_look_sends_nothing(office: Office, ws: Workspace) -> None:
    """It may stand still between the look and the call, too: then the call is not made, and surely so."""
    office.alert()
    [job] = office.deliverer.claim(1)
    channel = office.chat.resolve(CHANNEL)
    message = Message(text="late", blocks=())
    with pytest.raises(SlackProblem) as problem:
        office.chat.post(channel, message, thread_ts="", delivery_id=job.id, latest_s=steady_s() - 0.001)
    assert (problem.value.kind, problem.value.code) == ("temporary", "TooLate")
    assert ws.calls("chat.postMessage") == []
    assert office.chat.post(channel, message, thread_ts="", delivery_id=job.id, latest_s=steady_s() + 60)[0] == channel


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(hours=-1)])
def test_an_unknown_result_is_found_by_a_clock_that_is_wrong(office: Office, clock: Clock, ahead: timedelta) -> None:
    """Slack stamps messages by its own clock; looking from a time that is an hour ahead of it would find nothing."""
    clock.at += ahead
    assert lost_answer(office, "reset_after") == 1


def test_an_unknown_result_is_found_after_the_clock_was_set_right(
    file_store: Store, new_office: NewOffice, clock: Clock, ws: Workspace
) -> None:
    """Sent by a process whose clock was ahead; looked for by the next one, whose clock is right."""
    first = new_office(file_store)
    clock.at += timedelta(hours=1)
    first.alert()
    ws.fault("reset_after", "chat.postMessage")
    assert first.deliver() == 0
    clock.at -= timedelta(hours=1)
    file_store.expire_leases(clock(), of_others_than="two")
    with file_store.begin() as tx:
        tx._connection.execute(sa.text("UPDATE outbox SET not_before = 0"))
    new_office(file_store, owner="two").settle(3)
    assert len([one for one in posts(ws) if not one.args.get("thread_ts")]) == 1


def lost_answer(office: Office, fault: str) -> int:
    """A post whose answer is lost; how many copies of it there are in the end."""
    office.alert()
    office.ws.fault(fault, "chat.postMessage")
    assert office.deliver() == 0
    office.settle(10)
    alice = office.ws.as_("alice")
    return sum(message.thread_ts in (None, message.ts) for message in alice.messages("ml-oncall"))


@pytest.mark.parametrize("fault", ["reset_before", "reset_after", "500"])
def test_an_unknown_result_is_looked_for(office: Office, fault: str) -> None:
    """E2: it is sent again only when it is not there."""
    assert lost_answer(office, fault) == 1


def test_without_looking_there_would_be_two(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(office.chat, "find", lambda *_, **__: "")
    assert lost_answer(office, "reset_after") == 2


def test_a_message_of_another_app_with_our_number_is_not_ours(office: Office, ws: Workspace) -> None:
    """Ids are easily guessed, and a twin for testing counts as we do: kind and sender of the metadata must fit."""
    office.alert()
    office.chat._client.chat_postMessage(
        channel=CHANNEL, text="x", metadata={"event_type": "other", "event_payload": {"id": "INC-1:headline"}}
    )
    ws.fault("reset_before", "chat.postMessage")
    office.deliver()
    office.settle(8)
    assert any("intent" in text_of(call) for call in posts(ws))


def test_a_deleted_headline_is_posted_anew(office: Office, ws: Workspace) -> None:
    office.alert()
    office.deliver()
    channel, ts = office.store.place("INC-1") or ("", "")
    office.chat._client.chat_delete(channel=channel, ts=ts)
    office.say("ack")
    office.settle(6)
    found = office.store.place("INC-1")
    assert found is not None
    assert found[1] != ts


@pytest.mark.parametrize("catch_all", [(f"channel:{CHANNEL}",), ()])
def test_a_page_that_slack_refuses_goes_to_the_catch_all(
    file_store: Store, new_office: NewOffice, ws: Workspace, catch_all: tuple[str, ...]
) -> None:
    """E1: also when the catch-all is the incident's own channel, which is where most people have it."""
    office = new_office(file_store, rules=policy(oncall="ghost", catch_all=catch_all))
    office.alert()
    page(office, f"user:{GHOST.user_id}")
    office.settle(5)
    (told,) = [call for call in posts(ws) if "evel 1" in text_of(call)]
    assert "level 1; it was for @ghost, where Slack does not take it (user_not_found)" in str(told.args["blocks"])


def test_a_page_that_nothing_takes_is_given_up_visibly(file_store: Store, new_office: NewOffice, clock: Clock) -> None:
    """Each address is tried once; then the timeline says so."""
    rules = policy(oncall="ghost", catch_all=("channel:CNOWHERE", "person:ghost"))
    office = new_office(file_store, rules=rules)
    office.alert()
    with office.store.begin() as tx:
        found = tx.incident("INC-1")
        assert found is not None
        tx.save(Decision(incident=replace(found, channel="CGONE"), effects=(), why=Why(code="t", text="-")), clock())
    page(office, f"user:{GHOST.user_id}")
    office.settle(6)
    assert "undelivered" in office.kinds()


@pytest.mark.parametrize("fault", ["500", "reset_before", "429"])
def test_a_picture_that_cannot_be_uploaded_costs_the_picture_only(
    office: Office, ws: Workspace, tmp_path: Path, fault: str
) -> None:
    """The finding goes without it, and what is behind it in the thread is not held up."""
    office.alert()
    office.deliver()
    picture = tmp_path / "graph.png"
    picture.write_bytes(b"\x89PNG\r\n")
    data = {"diagnostic": "graph", "sentence": "accuracy fell", "picture": str(picture), "available": True}
    save(office, PostToThread(template="diagnosis", data=data, kind="diagnostic"))
    save(office, PostToThread(template="note", data={"text": "what came after"}))
    ws.fault(fault, "files.getUploadURLExternal", times=-1)
    office.settle(8)
    told = [text_of(call) for call in posts(ws)]
    assert sum("accuracy fell" in text for text in told) == 1
    assert any("what came after" in text for text in told)


def test_a_broken_template_still_pages(file_store: Store, new_office: NewOffice, ws: Workspace, tmp_path: Path) -> None:
    """S5: in plain text, and it is written down."""
    folder = tmp_path / "templates"
    shutil.copytree(TEMPLATES, folder)
    (folder / "page.j2").write_text("{{ no_such_thing.at_all( }}")
    office = new_office(file_store, templates=folder)
    office.alert()
    page(office, f"user:{policy().people[0].who.user_id}")
    office.settle(3)
    [sent] = [call for call in posts(ws) if str(call.args["channel"]).startswith("D")]
    assert "intent" in text_of(sent)
    assert "template_failed" in office.kinds()


def test_an_acknowledgement_stops_the_page_that_waits(office: Office, ws: Workspace, clock: Clock) -> None:
    """E4: even one that a sender holds already."""
    office.alert()
    office.deliver()
    clock.advance(minutes=16)
    office.engine.tick()
    jobs = [job for job in office.deliverer.claim(10) if job.kind == "page"]
    assert jobs
    assert not office.say("ack").refused
    for job in jobs:
        office.deliverer.send(job)
    office.settle(3)
    assert not any("evel 1" in text_of(call) for call in posts(ws) if str(call.args["channel"]).startswith("D"))
