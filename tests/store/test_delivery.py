"""Outgoing rows on both databases: what a decision makes of them, who may take one, and how a claim ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.effects import (
    DrawPlan,
    Effect,
    Page,
    PostToThread,
    RereadTarget,
    RunDiagnostics,
    RunStep,
    SetTimer,
    ShowCard,
    ShowHeadline,
    StopPaging,
)
from bot.model import TimerKind
from bot.states import DELIVERY, DeliveryState
from bot.store import Job, Store
from bot.store.tx import page_id
from tests.store.builders import LEASE, T0, at, claim, ids, incident, plan, save, with_headline

MARGIN = timedelta(seconds=11)
LEVEL = Page(number=1, target="user:U1", late_by=timedelta(minutes=2), reason="level 1", unique="1.1")
GLASS = Page(number=0, target="user:U2", late_by=timedelta(0), reason="break glass", unique="glass.PLN-1")
NOTE = PostToThread(template="note", data={"text": "hello"})


def states(store: Store) -> dict[str, str]:
    """kind → state, for tests with one row of each kind."""
    return {kind: state for (_, kind, state) in store.queue_stats(T0).counts}


def _one(store: Store, lane: str = "slack", seconds: float = 0) -> Job:
    [job] = claim(store, lane, T0 + timedelta(seconds=seconds))
    return job


# from effects to rows


def test_each_effect_becomes_its_row(store: Store) -> None:
    with_headline(store)
    effects: tuple[Effect, ...] = (
        ShowCard(plan_id="PLN-1"), NOTE, LEVEL, RunDiagnostics(names=("versions",)), DrawPlan(plan_id="PLN-1"),
        RereadTarget(plan_id="PLN-1"), RunStep(plan_id="PLN-1", index=2),
    )  # fmt: skip
    save(store, incident(), *effects)

    slack = {job.kind: job for job in claim(store)}
    assert list(slack) == ["page", "approval", "result"]
    page, card, post = slack.values()
    assert (page.id, page.target, page.living) == (page_id("INC-1", LEVEL), "user:U1", False)
    assert page.payload == {"number": 1, "reason": "level 1", "late_by_s": 120.0, "epoch": 1}
    assert len(page.id) == 32
    assert (card.id, card.target, card.living) == ("INC-1:card:PLN-1", "thread", True)
    assert card.payload == {"plan_id": "PLN-1"}
    assert (post.id, post.target, post.template, post.payload) == ("INC-1:post:1", "thread", "note", {"text": "hello"})
    assert (post.owner, post.lease_until, post.attempt, post.created_at) == ("one", T0 + LEASE, 1, T0)

    work = {job.id: job.payload for job in claim(store, "work")}
    assert work == {
        "reread:PLN-1": {"plan_id": "PLN-1"},
        "step:PLN-1:2": {"plan_id": "PLN-1", "index": 2},
        "draw:PLN-1": {"plan_id": "PLN-1"},
        "INC-1:diagnose:2": {"names": ["versions"]},
    }


def test_the_most_urgent_goes_first_and_a_page_waits_for_no_headline(store: Store) -> None:
    digest = PostToThread(template="note", data={}, kind="digest")
    save(store, incident(), digest, ShowCard(plan_id="PLN-1"), ShowHeadline(), LEVEL)

    jobs = claim(store)
    assert [job.kind for job in jobs] == ["page", "headline"]
    store.delivered(jobs[1], T0, "C1", "1.0")
    assert [job.kind for job in claim(store)] == ["approval", "digest"]


def test_the_same_page_is_one_row(store: Store) -> None:
    """Deciding a level twice (a crash between tick and commit, two replicas) pages once."""
    save(store, incident(), LEVEL, LEVEL)
    save(store, incident(), LEVEL)
    other = [replace(LEVEL, unique="1.1.2"), replace(LEVEL, target="user:U9"), replace(LEVEL, number=2)]
    save(store, incident(), *other)

    assert len(claim(store)) == 4


def test_posts_of_one_thread_keep_their_order(store: Store) -> None:
    with_headline(store)
    with_headline(store, incident("INC-2"))
    save(
        store,
        incident(),
        NOTE,
        replace(NOTE, kind="diagnostic"),
        replace(NOTE, kind="approval"),
        ShowCard(plan_id="P"),
        LEVEL,
    )
    save(store, incident("INC-2"), NOTE)

    first = claim(store)
    assert set(ids(first)) == {"INC-1:post:1", "INC-2:post:1", "INC-1:card:P", page_id("INC-1", LEVEL)}
    assert claim(store) == []
    [post] = [job for job in first if job.id == "INC-1:post:1"]
    soon = T0 + timedelta(seconds=5)
    store.try_later(post, soon, "temporary")
    assert claim(store) == [], "one that waits holds back the ones behind it"
    [post] = claim(store, now=soon)
    store.dead(post, soon, "gave up")
    [second] = claim(store, now=soon)
    assert second.id == "INC-1:post:2", "one that was given up does not"
    store.delivered(second, soon, "C1", "2.0")
    assert ids(claim(store, now=soon)) == ["INC-1:post:3"]


def test_a_row_is_claimed_when_its_time_has_come(store: Store) -> None:
    save(store, incident(), RunStep(plan_id="PLN-1", index=0, after=timedelta(seconds=3)))

    assert store.due_in(T0, "work") == 3.0
    assert claim(store, "work", T0 + timedelta(seconds=2.9)) == []
    assert len(claim(store, "work", T0 + timedelta(seconds=3))) == 1
    assert store.due_in(T0 + timedelta(seconds=3), "work") == LEASE.total_seconds()


def test_what_waits_for_a_headline_is_not_said_to_be_due(store: Store) -> None:
    """Else the deliverer would spin."""
    save(store, incident(), NOTE)
    assert store.due_in(T0, "slack") is None
    save(store, incident(), ShowHeadline())
    assert store.due_in(T0, "slack") == 0.0


def test_a_claim_is_limited(store: Store) -> None:
    for number in range(5):
        save(store, incident(f"INC-{number}", opened_at=at(number - 5)), ShowHeadline(), now=at(number - 5))

    assert ids(claim(store, limit=2)) == ["INC-0:headline", "INC-1:headline"]
    assert len(claim(store)) == 3


# how a claim ends


def test_a_delivered_message_knows_its_place(store: Store) -> None:
    save(store, incident(), ShowHeadline(), ShowCard(plan_id="PLN-1"))
    assert store.place("INC-1") is None
    assert store.delivered(_one(store), T0, "C1", "1.5")
    assert store.delivered(_one(store), T0, "C1", "1.6")

    assert store.place("INC-1") == ("C1", "1.5")
    assert store.place("INC-1", "card:PLN-1") == ("C1", "1.6")
    assert store.incident_of_thread("C1", "1.5") == "INC-1"
    for channel, ts in (("C1", "1.6"), ("C2", "1.5"), ("", ""), ("C1", "")):
        assert store.incident_of_thread(channel, ts) is None
    assert states(store) == {"headline": "sent", "approval": "sent"}


@pytest.mark.parametrize(
    "ending", ["delivered", "found", "try_later", "no_answer", "dead", "not_found", "redirect", "forget"]
)
def test_who_lost_the_claim_settles_nothing(store: Store, ending: str) -> None:
    """A process that was frozen past its lease wakes up: whatever it says about the row is not heard."""
    save(store, incident(), LEVEL)
    stale = _one(store)
    fresh = claim(store, now=at(1), owner="two")[0]
    endings = {
        "delivered": lambda: store.delivered(stale, at(1), "C1", "1.0"),
        "found": lambda: store.found(stale, at(1), "C1", "1.0"),
        "try_later": lambda: store.try_later(stale, at(1), "x"),
        "no_answer": lambda: store.no_answer(stale, at(1), "x"),
        "dead": lambda: store.dead(stale, at(1), "x"),
        "not_found": lambda: store.not_found(stale, at(1)),
        "redirect": lambda: store.redirect(stale, at(1), "channel:C9", "x"),
        "forget": lambda: store.forget_place(stale, at(1), "x"),
    }

    assert not endings[ending]()
    assert not store.still_mine(stale, at(1), MARGIN)
    assert not store.extend(stale, at(1), LEASE)
    assert states(store) == {"page": "sending"}
    assert store.still_mine(fresh, at(1), MARGIN)
    assert store.delivered(fresh, at(1), "D1", "2.0")
    assert not store.delivered(fresh, at(1), "D1", "3.0"), "a claim ends once"


def test_the_same_owner_does_not_settle_for_its_own_older_claim(store: Store) -> None:
    save(store, incident(), LEVEL)
    older = _one(store)
    newer = _one(store, seconds=31)

    assert not store.delivered(older, at(1), "D1", "1.0")
    assert store.delivered(newer, at(1), "D1", "1.0")


def test_the_last_question_before_a_call(store: Store) -> None:
    """Yes only while enough of the lease is left for the call to end in it."""
    save(store, incident(), LEVEL)
    job = _one(store)

    assert store.still_mine(job, T0 + timedelta(seconds=18.9), MARGIN)
    assert not store.still_mine(job, T0 + timedelta(seconds=19), MARGIN)
    assert store.extend(job, T0 + timedelta(seconds=19), LEASE)
    assert store.still_mine(job, T0 + timedelta(seconds=37), MARGIN)
    assert not store.extend(job, at(5), LEASE), "a lease that is over cannot be kept"


def test_a_lease_that_ran_out_without_a_call_makes_nobody_unsure(store: Store) -> None:
    save(store, incident(), LEVEL)
    _one(store)

    assert claim(store, now=T0 + timedelta(seconds=29.9)) == []
    again = _one(store, seconds=30)
    assert (again.unsure, again.unanswered, again.attempt) == (False, 0, 2)


def test_a_lease_that_ran_out_during_a_call_means_look_first(store: Store) -> None:
    """Killed between the call and the mark: the message may be there."""
    save(store, incident(), LEVEL)
    assert store.still_mine(_one(store), T0, MARGIN)
    again = _one(store, seconds=30)
    assert (again.unsure, again.unanswered) == (True, 1)

    third = _one(store, seconds=60)
    assert (third.unsure, third.unanswered) == (True, 1), "looking is no call"
    assert store.found(third, at(1), "D1", "1.0")
    assert states(store) == {"page": "sent"}


def test_a_claim_that_was_left_lying_is_given_back_before_its_lease_ends(store: Store) -> None:
    save(store, incident(), LEVEL)
    assert store.give_back(_one(store), T0)
    job = _one(store)
    assert (job.unsure, job.attempt) == (False, 2)
    assert store.still_mine(job, T0, MARGIN)
    assert store.give_back(job, T0)
    newer = _one(store)
    assert (newer.unsure, newer.unanswered) == (True, 1), "its call may have been made"
    assert not store.give_back(job, T0), "that claim is over"


def test_what_is_in_hand_is_not_claimed_again_when_the_clock_was_set_forward(store: Store) -> None:
    """An hour later by the wall clock, a moment later in truth: the call is still being made."""
    save(store, incident(), LEVEL)
    job = _one(store)
    later = T0 + timedelta(hours=1)

    assert store.claim("slack", "one", later, LEASE, 20, held=[job.id]) == []
    assert [one.id for one in store.claim("slack", "one", later, LEASE, 20)] == [job.id]


def test_what_a_killed_replica_held_waits_for_no_lease(
    store: Store, url: str, open_store: Callable[[str], Store]
) -> None:
    """What it had not begun goes at once, what it may have sent is looked for in a moment; the living keep theirs."""
    if store.is_sqlite:
        pytest.skip("one process serves a file")
    dead, alive, look = open_store(url), open_store(url), timedelta(seconds=2)
    other = replace(LEVEL, target="user:U2")
    third = replace(LEVEL, target="user:U3")
    save(store, incident(), LEVEL, other, third)
    dead.expire_leases_of_the_dead("dead", T0, look)
    alive.expire_leases_of_the_dead("alive", T0, look)
    begun, waiting = claim(dead, owner="dead", limit=2)
    [held] = claim(alive, owner="alive", limit=1)
    assert dead.still_mine(begun, T0, MARGIN)

    assert store.expire_leases_of_the_dead("one", at(0), look) == 0, "both are alive"
    dead.close()  # as the kernel does for a process that is killed
    assert eventually(lambda: store.expire_leases_of_the_dead("one", T0, look)) == 2

    [again] = claim(store, now=T0)
    assert (again.id, again.unsure) == (waiting.id, False)
    assert not dead.still_mine(waiting, T0, MARGIN), "had it been cut off only, it would send nothing"
    [unsure] = claim(store, now=T0 + look)
    assert (unsure.id, unsure.unsure) == (begun.id, True)
    assert alive.delivered(held, T0, "D3", "3.0")


def eventually(look: Callable[[], int]) -> int:
    """What it gives as soon as that is not 0; the server may need a moment to see that a line is cut."""
    deadline = time.monotonic() + 20
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def test_work_whose_worker_died_may_have_been_begun(store: Store) -> None:
    save(store, incident(), DrawPlan(plan_id="PLN-1"))
    _one(store, "work")

    assert _one(store, "work", seconds=30).unsure


def test_no_answer_means_look_first_later(store: Store) -> None:
    save(store, incident(), LEVEL)
    job = _one(store)
    assert store.still_mine(job, T0, MARGIN)
    assert store.no_answer(job, T0 + timedelta(seconds=2), "timeout")
    assert states(store) == {"page": "unknown"}

    assert claim(store, now=T0 + timedelta(seconds=1.9)) == []
    again = _one(store, seconds=2)
    assert (again.unsure, again.unanswered, again.error) == (True, 1, "timeout")
    assert store.try_later(again, T0 + timedelta(seconds=5), "ratelimited")
    still = _one(store, seconds=5)
    assert (still.unsure, still.unanswered) == (True, 1), "a look that could not be made settles nothing"
    assert store.not_found(still, T0 + timedelta(seconds=5))
    sure = _one(store, seconds=5)
    assert (sure.unsure, sure.unanswered) == (False, 1)


def test_a_back_off_is_kept_and_counted(store: Store) -> None:
    save(store, incident(), LEVEL)
    assert store.try_later(_one(store), T0 + timedelta(seconds=5), "x" * 600)

    assert claim(store, now=T0 + timedelta(seconds=4.9)) == []
    job = _one(store, seconds=5)
    assert (job.attempt, len(job.error), job.unsure) == (2, 500, False)
    assert store.try_later(job, T0 + timedelta(seconds=6), "not its turn", tried=False)
    assert _one(store, seconds=6).attempt == 2


def test_a_redirected_message_goes_elsewhere(store: Store) -> None:
    save(store, incident(), ShowHeadline())
    assert store.redirect(_one(store), T0, "channel:C9", "channel_not_found")

    job = _one(store)
    assert (job.target, job.attempt, job.error) == ("channel:C9", 1, "channel_not_found")
    before = job.payload
    assert store.redirect(job, T0, "channel:C8", "is_archived")
    job = _one(store)
    assert job.payload == before
    assert store.redirect(job, T0, "channel:C7", "is_archived", {"instead_of": "channel:C8"})
    assert _one(store).payload == {"instead_of": "channel:C8"}


def test_a_deleted_headline_is_posted_anew(store: Store) -> None:
    opened = with_headline(store)
    save(store, replace(opened, title="new"), ShowHeadline(), NOTE)
    headline, post = claim(store)
    assert (headline.place_channel, headline.place_ts, post.kind) == ("C1", "1.0", "result")
    assert store.forget_place(headline, T0, "message_not_found")

    assert store.place("INC-1") is None
    again = _one(store)
    assert (again.id, again.place_ts) == ("INC-1:headline", "")


# what lives is shown as often as it changes


def test_a_change_before_delivery_is_one_message(store: Store) -> None:
    save(store, incident(), ShowHeadline())
    save(store, incident(title="2"), ShowHeadline())
    save(store, incident(title="3"), ShowHeadline())

    job = _one(store)
    assert job.revision == 3
    assert store.delivered(job, T0, "C1", "1.0")
    assert claim(store) == []


def test_a_change_during_delivery_goes_out_next(store: Store) -> None:
    """Else the headline would stay stale for ever."""
    save(store, incident(), ShowHeadline())
    job = _one(store)
    save(store, incident(title="2"), ShowHeadline())
    assert states(store) == {"headline": "sending"}
    assert claim(store) == [], "never two at once"

    assert store.delivered(job, T0, "C1", "1.0")
    again = _one(store)
    assert (again.revision, again.place_channel, again.place_ts, again.attempt) == (2, "C1", "1.0", 1)
    assert store.delivered(again, T0, "C1", "1.0")
    assert claim(store) == []


def test_a_living_message_that_was_found_is_shown_anew(store: Store) -> None:
    """What was found was rendered before the crash; what is true now may be something else."""
    save(store, incident(), ShowHeadline())
    assert store.still_mine(_one(store), T0, MARGIN)
    save(store, incident(title="2"), ShowHeadline())
    job = _one(store, seconds=30)

    assert store.found(job, at(1), "C1", "1.0")
    again = _one(store, seconds=60)
    assert (again.place_ts, again.unsure) == ("1.0", False)
    assert store.delivered(again, at(1), "C1", "1.0")
    assert claim(store, now=at(9)) == []


def test_a_change_does_not_cut_a_back_off_short(store: Store) -> None:
    """Slack said: not before then."""
    save(store, incident(), ShowHeadline())
    store.try_later(_one(store), at(1), "ratelimited")
    save(store, incident(title="2"), ShowHeadline())

    assert claim(store, now=at(0.9)) == []
    assert _one(store, seconds=60).revision == 2


def test_a_sent_or_dead_message_goes_again_when_it_changes(store: Store) -> None:
    opened = with_headline(store)
    save(store, replace(opened, title="2"), ShowHeadline(), now=at(1))
    job = _one(store, seconds=60)
    assert (job.attempt, job.unanswered) == (1, 0)
    store.dead(job, at(1), "channel_not_found")
    assert claim(store, now=at(2)) == []

    save(store, replace(opened, title="3"), ShowHeadline(), now=at(3))
    assert _one(store, seconds=180).attempt == 1


def test_work_that_is_wanted_again_while_it_runs_comes_again_in_its_time(store: Store) -> None:
    """A step that found "not yet" asks for the next look while its own row is still claimed."""
    save(store, incident(), RunStep(plan_id="PLN-1", index=0))
    job = _one(store, "work")
    save(store, incident(), RunStep(plan_id="PLN-1", index=0, after=timedelta(seconds=3)))
    assert store.delivered(job, T0)

    assert claim(store, "work", T0 + timedelta(seconds=2.9)) == []
    again = _one(store, "work", seconds=3)
    assert (again.attempt, again.unsure) == (1, False)
    assert store.delivered(again, at(1))
    assert claim(store, "work", at(9)) == []


# an acknowledgement stops what is not out


def test_stopping_drops_pages_of_the_ladder_that_are_not_out(store: Store) -> None:
    pages = [replace(LEVEL, target=f"user:U{number}") for number in range(4)]
    save(store, incident(), *pages, GLASS, NOTE)
    sent, called, unknown = claim(store, limit=3)
    store.delivered(sent, T0, "D1", "1.0")
    store.no_answer(unknown, T0, "timeout")
    assert store.still_mine(called, T0, MARGIN)
    save(store, incident("INC-2"), replace(LEVEL, target="user:U7"))

    save(store, incident(epoch=2), StopPaging())

    assert not store.still_mine(called, T0, MARGIN), "dropped in the last moment before the call"
    assert not store.delivered(called, T0, "D1", "2.0"), "late, and no error"
    assert not store.try_later(called, T0, "x"), "nor does a failure bring it back"
    left = claim(store, now=at(5))
    assert sorted(job.target for job in left) == ["user:U2", "user:U7"]
    counts = store.queue_stats(T0).counts
    assert counts["slack", "page", "dropped"] == 3
    assert counts["slack", "page", "sent"] == 1


def test_pages_of_the_new_epoch_are_not_dropped_with_the_old_ones(store: Store) -> None:
    save(store, incident(), LEVEL)
    again = replace(LEVEL, unique="2.1")
    timer = SetTimer(kind=TimerKind.ESCALATE, due_at=at(15), epoch=2, number=2)

    save(store, incident(epoch=2), StopPaging(), again, timer)

    assert ids(claim(store)) == [page_id("INC-1", again)]
    assert len(store.due_timers(at(15))) == 1


# leaving and coming back


def test_a_clean_shutdown_gives_everything_back_at_once(store: Store) -> None:
    save(store, incident(), LEVEL, GLASS, ShowHeadline())
    first, second, third = claim(store)
    assert store.still_mine(first, T0, MARGIN)
    assert claim(store, "slack", T0, owner="two") == []

    assert store.release("one", T0) == 3
    assert store.release("one", T0) == 0
    again = {job.id: job.unsure for job in claim(store, owner="two")}
    assert again == {first.id: True, second.id: False, third.id: False}, (
        "only the one being called has to be looked for"
    )
    assert not store.delivered(second, T0, "D1", "1.0")


def test_at_the_start_the_dead_predecessors_claims_are_over(store: Store) -> None:
    save(store, incident(), LEVEL, GLASS)
    called, _ = claim(store, owner="before")
    assert store.still_mine(called, T0, MARGIN)
    save(store, incident(title="t"), ShowHeadline())
    mine = claim(store, owner="now")

    assert store.expire_leases(T0, of_others_than="now") == 2
    assert {job.id: job.unsure for job in claim(store, owner="now")}[called.id] is True
    assert store.still_mine(mine[0], T0, MARGIN)


def test_the_queue_can_be_looked_at(store: Store) -> None:
    save(store, incident(), LEVEL, ShowHeadline(), RunDiagnostics())
    [page, headline] = claim(store, now=at(1))
    store.delivered(page, at(1), "D1", "1.0")
    store.try_later(headline, at(9), "ratelimited")

    stats = store.queue_stats(at(2))
    assert stats.counts == {
        ("slack", "page", "sent"): 1, ("slack", "headline", "pending"): 1, ("work", "diagnose", "pending"): 1
    }  # fmt: skip
    assert stats.oldest_s == {"slack": 120.0, "work": 120.0}
    assert store.overdue(at(2), timedelta(minutes=1)).outbox == 2
    assert store.overdue(at(2), timedelta(minutes=2)).outbox == 0


# the table


def test_the_store_moves_a_row_only_as_the_table_says(store: Store) -> None:
    """Every state that a row can be in × everything that can be said about it, against bot.states.DELIVERY."""
    for number, (state, event) in enumerate((state, event) for state in DeliveryState for event in DELIVERY.events):
        name = f"INC-{number}"
        job = _bring_to(store, name, state)
        _say(store, name, event, job)

        expected = DELIVERY.next(state, event) or state
        seen = _state_of(store, name)
        if (state, event) == (DeliveryState.SENDING, "lease_over"):
            expected = DeliveryState.SENDING  # seen only by who claims it next, who then knows that it is unsure
        if event == "claimed" and state is DeliveryState.SENDING:
            continue  # its lease lasts
        assert seen == expected, (state, event)


def _bring_to(store: Store, name: str, state: DeliveryState) -> Job | None:
    save(store, incident(name), replace(LEVEL, unique=name))
    if state is DeliveryState.PENDING:
        return None
    [job] = claim(store)
    if state is DeliveryState.SENT:
        store.delivered(job, T0, "D1", "1.0")
    elif state is DeliveryState.UNKNOWN:
        store.no_answer(job, T0, "x")
    elif state is DeliveryState.DEAD:
        store.dead(job, T0, "x")
    elif state is DeliveryState.DROPPED:
        save(store, incident(name, epoch=2), StopPaging())
    return job


def _say(store: Store, name: str, event: str, job: Job | None) -> None:
    if event in {"dropped", "changed", "claimed"}:
        if event == "dropped":
            save(store, incident(name, epoch=3), StopPaging())
        elif event == "changed":
            _change(store, name)
        else:
            claim(store)
        return
    if job is None:
        return  # nobody has a claim that could end
    endings: dict[str, Callable[[], bool]] = {
        "delivered": lambda: store.delivered(job, T0, "D1", "1.0"),
        "refused_for_good": lambda: store.dead(job, T0, "x"),
        "still_unsure": lambda: store.dead(job, T0, "x"),
        "try_later": lambda: store.try_later(job, T0, "x"),
        "no_answer": lambda: store.no_answer(job, T0, "x"),
        "found": lambda: store.found(job, T0, "D1", "1.0"),
        "not_found": lambda: store.not_found(job, T0),
        "lease_over": lambda: True,
    }
    endings[event]()


def _change(store: Store, name: str) -> None:
    from bot.store import outbox

    wanted = outbox.Wanted(id=page_id(name, replace(LEVEL, unique=name)), incident_id=name, lane="slack", kind="page")
    with store._database.write() as connection:
        outbox.arm(connection, wanted, T0)


def _state_of(store: Store, name: str) -> str:
    from sqlalchemy import select

    from bot.store.tables import outbox

    with store._database.read() as connection:
        found = connection.execute(select(outbox.c.state).where(outbox.c.incident_id == name)).scalar_one()
    with store._database.write() as connection:
        connection.execute(outbox.delete().where(outbox.c.incident_id == name))
    return str(found)


def test_plans_keep_their_cards_apart(store: Store) -> None:
    with_headline(store)
    save(store, incident(plans=(plan("PLN-1"), plan("PLN-2"))), ShowCard(plan_id="PLN-1"), ShowCard(plan_id="PLN-2"))

    assert ids(claim(store)) == ["INC-1:card:PLN-1", "INC-1:card:PLN-2"]
