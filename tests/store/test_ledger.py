"""Lines of the ledger are added and never changed, whoever asks the database to."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa

from bot.ports import BY_US, Move
from bot.store import Conflict, Store
from bot.store.records import Watch
from tests.store.builders import at

MOVE = Move(
    system="shop", model="intent", what="alias champion", from_="2", to="3", earliest_at=at(0), latest_at=at(1),
    by="alice, approved by bob", why="v2 is slow", plan_id="PLN-1", told_by=BY_US,
)  # fmt: skip


def test_a_line_says_who_why_and_by_which_plan(store: Store) -> None:
    with store.begin() as tx:
        tx.lock_ledger("shop", "intent")
        assert tx.add_move(MOVE)
        assert tx.add_move(replace(MOVE, what="served", plan_id=""))
    assert store.moves("shop", "intent", what="alias champion") == (MOVE,)


@pytest.mark.parametrize("statement", ["UPDATE move SET to_version = '9'", "DELETE FROM move"])
def test_the_database_refuses_to_change_or_remove_a_line(store: Store, statement: str) -> None:
    with store.begin() as tx:
        tx.add_move(MOVE)
    with pytest.raises(Conflict, match="never changed or removed"), store._database.write() as connection:
        connection.execute(sa.text(statement))
    assert store.moves("shop", "intent") == (MOVE,)


def test_a_watch_remembers_its_begin_and_its_latest_look(store: Store) -> None:
    for minute in (3, 9, 5):  # a replica may be behind
        with store.begin() as tx:
            tx.saw("shop", "intent", "served", at(minute))
    assert store.watches("shop", "intent") == {"served": Watch(since_at=at(3), seen_at=at(9))}
    assert store.watches("bank", "intent") == {}
