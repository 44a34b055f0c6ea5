"""What a source's word means: the whole table, and that the order of words does not matter."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.policy.alerts import Verdict, judge_episode
from bot.store import Store
from tests.store.builders import T0, alert, at, decision, incident, save

N, C, D, S = Verdict.NEW, Verdict.CHANGED, Verdict.DUPLICATE, Verdict.STALE
LATER, SAME, EARLIER = at(10), at(0), at(-10)


@pytest.mark.parametrize(
    ("firing", "known_firing", "latest", "verdict", "fires"),
    [
        (True, None, None, N, True),
        (True, None, EARLIER, N, True),
        (True, None, LATER, S, False),
        (False, None, None, S, False),
        (False, None, EARLIER, S, False),
        (False, None, LATER, S, False),
        (True, True, SAME, D, True),
        (True, True, LATER, D, True),
        (True, False, SAME, S, False),
        (True, False, LATER, S, False),
        (False, True, SAME, C, False),
        (False, True, LATER, C, False),
        (False, False, SAME, D, False),
        (False, False, LATER, D, False),
    ],
)
def test_the_table(
    firing: bool, known_firing: bool | None, latest: datetime | None, verdict: Verdict, fires: bool
) -> None:
    judged = judge_episode(firing=firing, starts_at=T0, known_firing=known_firing, latest_starts_at=latest)

    assert (judged.verdict, judged.firing) == (verdict, fires)


def test_an_end_that_closes_an_older_episode_is_news() -> None:
    judged = judge_episode(firing=False, starts_at=LATER, known_firing=None, latest_starts_at=SAME, older_firing=True)
    assert (judged.verdict, judged.firing) == (C, False)


class Memory:
    """The rules of the store in a few lines, to try them on many orders."""

    def __init__(self) -> None:
        self.firing: dict[datetime, bool] = {}
        self.verdicts: list[Verdict] = []

    def hear(self, firing: bool, starts_at: datetime) -> None:
        older = [start for start, fires in self.firing.items() if fires and start < starts_at]
        judged = judge_episode(
            firing=firing, starts_at=starts_at, known_firing=self.firing.get(starts_at),
            latest_starts_at=max(self.firing, default=None), older_firing=bool(older),
        )  # fmt: skip
        if judged.verdict in {Verdict.NEW, Verdict.CHANGED}:
            self.firing |= dict.fromkeys(older, False)
        if judged.verdict is not Verdict.DUPLICATE:
            self.firing[starts_at] = judged.firing
        self.verdicts.append(judged.verdict)


words = st.lists(st.tuples(st.booleans(), st.integers(0, 3).map(at)), max_size=12)


@given(said=words, order=st.randoms(use_true_random=False))
def test_the_order_of_words_does_not_matter(said: list[tuple[bool, datetime]], order: object) -> None:
    """Which episode fires in the end depends on what was said. (An episode that nobody ever said to be over, but that a
    later one overtook, is over too.)"""
    straight, shuffled = Memory(), Memory()
    for firing, starts_at in said:
        straight.hear(firing, starts_at)
    mixed = list(said)
    order.shuffle(mixed)  # type: ignore[attr-defined]
    for firing, starts_at in mixed:
        shuffled.hear(firing, starts_at)

    assert straight.firing == shuffled.firing
    assert sum(straight.firing.values()) <= 1


@given(said=words)
def test_saying_everything_twice_changes_nothing(said: list[tuple[bool, datetime]]) -> None:
    memory = Memory()
    for firing, starts_at in said:
        memory.hear(firing, starts_at)
    before = dict(memory.firing)
    count = len(memory.verdicts)

    for firing, starts_at in said:
        memory.hear(firing, starts_at)

    assert memory.firing == before
    assert set(memory.verdicts[count:]) <= {Verdict.DUPLICATE, Verdict.STALE}


def test_every_order_ends_alike_in_the_database(store: Store) -> None:
    words = [
        alert(), alert(firing=False, ends_at=at(2)), alert(starts_at=at(5)),
        alert(starts_at=at(5), firing=False, ends_at=at(7)), alert(starts_at=at(9)),
    ]  # fmt: skip
    for number, order in enumerate(list(permutations(words))[::5]):
        name = f"INC-{number}"
        save(store, incident(name))
        with store.begin() as tx:
            for word in order:
                one = replace(word, fingerprint=name)
                tx.merge_alert(one, at(20))
                tx.attach_alert(one, name)
            assert tx.count_alerts(name) == (1, 3), order
            assert tx.merge_alert(replace(words[4], fingerprint=name), at(21)).verdict is Verdict.DUPLICATE


def test_the_end_of_an_episode_nobody_saw_begin_ends_the_one_before(store: Store) -> None:
    """We were down when the old one ended and the new one began: the incident must not wait for ever."""
    with store.begin() as tx:
        tx.merge_alert(alert(), at(0))
        tx.attach_alert(alert(), "INC-1")
        tx.save(decision(incident()), at(0))
    with store.begin() as tx:
        told = tx.merge_alert(alert(starts_at=at(5), firing=False, ends_at=at(7)), at(8))
        assert (told.verdict, told.incident_id) == (Verdict.CHANGED, "INC-1")
        assert tx.count_alerts("INC-1") == (0, 2)


def test_seconds_apart_are_two_episodes(store: Store) -> None:
    with store.begin() as tx:
        assert tx.merge_alert(alert(), T0).verdict is Verdict.NEW
        again = alert(starts_at=T0 + timedelta(microseconds=1))
        assert tx.merge_alert(again, T0).verdict is Verdict.NEW
