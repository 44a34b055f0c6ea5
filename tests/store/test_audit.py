"""The audit chain: every kind of tampering is found, by the pure functions and through both databases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from bot.audit import START, Anchor, AuditLine, Problem, mac_of, read_anchors, seal, verify, write_anchor
from bot.effects import Record
from bot.model import Who
from bot.store import Conflict, Store
from tests.store.builders import ALICE, AUDIT_KEY, BOB, T0, at, decision, incident

Chain = list[AuditLine]


def chain(length: int = 6, key: bytes = AUDIT_KEY) -> Chain:
    lines: Chain = []
    head = (0, START)
    for number in range(length):
        line = AuditLine(
            seq=0,
            at=at(number),
            kind="noted",
            by=ALICE,
            incident_id="INC-1",
            text=f"line {number}",
            data={"n": str(number)},
        )
        sealed = seal(head, line, key)
        lines.append(sealed)
        head = (sealed.seq, sealed.mac)
    return lines


def anchor_of(line: AuditLine) -> Anchor:
    return Anchor(seq=line.seq, mac=line.mac, at=line.at)


def edited(**changes: object) -> Callable[[Chain], Chain]:
    return lambda lines: [*lines[:2], replace(lines[2], **changes), *lines[3:]]  # type: ignore[arg-type]


def resealed(key: bytes) -> Callable[[Chain], Chain]:
    """Edit a line and compute every hash after it anew: what somebody with the wrong, or the right, key can do."""

    def tamper(lines: Chain) -> Chain:
        new = lines[:2]
        head = (new[-1].seq, new[-1].mac)
        for number, line in enumerate(lines[2:]):
            sealed = seal(head, replace(line, text="nothing happened") if number == 0 else line, key)
            new.append(sealed)
            head = (sealed.seq, sealed.mac)
        return new

    return tamper


TAMPERINGS: dict[str, tuple[Callable[[Chain], Chain], set[tuple[str, int]]]] = {
    "text": (edited(text="nothing happened"), {("edited", 3)}),
    "kind": (edited(kind="approved"), {("edited", 3)}),
    "time": (edited(at=at(99)), {("edited", 3)}),
    "who": (edited(by=BOB), {("edited", 3)}),
    "whose name": (edited(by=Who(team_id="T1", user_id="UALICE", name="bob")), {("edited", 3)}),
    "incident": (edited(incident_id="INC-2"), {("edited", 3)}),
    "data": (edited(data={"n": "3"}), {("edited", 3)}),
    "hash": (edited(mac="0" * 64), {("edited", 3), ("broken_link", 4)}),
    "hash before": (edited(prev="0" * 64), {("edited", 3), ("broken_link", 3)}),
    "number": (edited(seq=9), {("edited", 9), ("gap", 9), ("order", 4)}),
    "first line removed": (lambda lines: lines[1:], {("gap", 2)}),
    "line removed": (lambda lines: [*lines[:2], *lines[3:]], {("gap", 4)}),
    "lines removed": (lambda lines: [*lines[:1], *lines[4:]], {("gap", 5)}),
    "swapped": (lambda lines: [lines[1], lines[0], *lines[2:]], {("gap", 2), ("order", 1), ("gap", 3)}),
    "doubled": (lambda lines: [*lines[:3], lines[2], *lines[3:]], {("order", 3)}),
    "removed and renumbered": (
        lambda lines: [*lines[:2], *(replace(line, seq=line.seq - 1) for line in lines[3:])],
        {("broken_link", 3), ("edited", 3), ("edited", 4), ("edited", 5), ("replaced", 4), ("truncated", 6)},
    ),
    "end cut off": (lambda lines: lines[:-2], {("truncated", 6)}),
    "everything removed": (lambda _: [], {("truncated", 4), ("truncated", 6)}),
    "written anew without the key": (
        resealed(b"another key"),
        {("edited", 3), ("edited", 4), ("edited", 5), ("edited", 6), ("replaced", 4), ("replaced", 6)},
    ),
    "written anew with the key": (resealed(AUDIT_KEY), {("replaced", 4), ("replaced", 6)}),
    "another chain": (
        lambda _: chain(6, b"another key"),
        {("edited", n) for n in range(1, 7)} | {("replaced", 4), ("replaced", 6)},
    ),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_tampering_is_found(name: str) -> None:
    lines = chain()
    tamper, expected = TAMPERINGS[name]

    found = verify(tamper(lines), AUDIT_KEY, [anchor_of(lines[3]), anchor_of(lines[5])])

    assert {(problem.code, problem.seq) for problem in found} == expected
    assert all(problem.text.endswith(".") for problem in found)


def test_an_untouched_chain_has_no_problem() -> None:
    lines = chain()

    assert verify(lines, AUDIT_KEY) == []
    assert verify(lines, AUDIT_KEY, [anchor_of(line) for line in lines]) == []
    assert verify([*lines, seal((6, lines[-1].mac), lines[0], AUDIT_KEY)], AUDIT_KEY, [anchor_of(lines[-1])]) == []
    assert verify([], AUDIT_KEY) == []


def test_without_the_key_nothing_can_be_verified() -> None:
    assert {problem.code for problem in verify(chain(3), b"wrong")} == {"edited"}


def test_a_hash_covers_where_one_field_ends() -> None:
    line = chain(1)[0]

    assert mac_of(replace(line, kind="a", incident_id="b"), AUDIT_KEY) != mac_of(
        replace(line, kind="ab", incident_id=""), AUDIT_KEY
    )


def test_anchors_are_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "outside" / "anchors"
    lines = chain(3)

    assert read_anchors(path) == ()
    for line in lines:
        write_anchor(path, (line.seq, line.mac), line.at)
    assert read_anchors(path) == tuple(anchor_of(line) for line in lines)
    assert path.stat().st_mode & 0o777 == 0o600


def test_half_an_anchor_is_the_trace_of_a_crash_and_a_wrong_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "anchors"
    write_anchor(path, (1, "a" * 64), T0)
    with path.open("a") as file:
        file.write("2 bbbb")
    assert [anchor.seq for anchor in read_anchors(path)] == [1]

    with path.open("a") as file:
        file.write("\n")
    with pytest.raises(ValueError, match=r"anchors:2: .*restore"):
        read_anchors(path)


# in the database


def problems(store: Store, anchors: list[Anchor] | None = None) -> list[Problem]:
    seq, mac = store.audit_head()
    own = [Anchor(seq=seq, mac=mac, at=T0)] if seq else []
    return verify(store.audit_lines(), AUDIT_KEY, [*own, *(anchors or [])])


def fill(store: Store, length: int = 5) -> None:
    for number in range(length):
        with store.begin() as tx:
            tx.incident("INC-1")
            record = Record(kind="noted", by=BOB, text=f"line {number}", data={"n": str(number)})
            tx.save(decision(incident(firing=number), record), at(number))


def test_lines_come_back_as_they_were_sealed(store: Store) -> None:
    assert store.audit_head() == (0, START)
    fill(store)
    with store.begin() as tx:
        tx.record(kind="frozen", by=ALICE, text="froze shop", data={"system": "shop"}, now=at(9))
        tx.record(kind="refused.x", by=ALICE, text="no", incident_id="INC-1", now=at(9))

    assert problems(store) == []
    lines = list(store.audit_lines())
    assert [line.seq for line in lines] == [1, 2, 3, 4, 5, 6, 7]
    assert lines[5] == replace(
        lines[5], kind="frozen", by=ALICE, text="froze shop", data={"system": "shop"}, at=at(9), incident_id=""
    )
    assert [line.seq for line in store.timeline("INC-1")] == [1, 2, 3, 4, 5, 7]
    assert [line.seq for line in store.audit_lines(6)] == [6, 7]


def test_hostile_lines_can_be_verified(store: Store) -> None:
    with store.begin() as tx:
        tx.record(
            kind="noted", by=replace(ALICE, name="\ud800"), text="\x00\u2028\ud83d", data={"\x00": "é\ud800"}, now=at(1)
        )

    assert problems(store) == []


def test_a_long_chain_is_read_in_portions(store: Store) -> None:
    with store.begin() as tx:
        for number in range(2_050):
            tx.record(kind="noted", by=ALICE, text=str(number), now=T0)

    assert [line.text for line in store.audit_lines()] == [str(number) for number in range(2_050)]
    assert problems(store) == []


def run(store: Store, *statements: str) -> None:
    with store._database.write() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


@pytest.mark.parametrize(
    "statement", ["UPDATE audit SET text = 'x' WHERE seq = 2", "DELETE FROM audit WHERE seq = 5", "DELETE FROM audit"]
)
def test_the_database_refuses_to_change_or_remove_a_line(store: Store, statement: str) -> None:
    fill(store)

    with pytest.raises(Conflict, match="never changed or removed"):
        run(store, statement)
    assert problems(store) == []


def _unprotected(store: Store) -> list[str]:
    """What somebody who owns the database does first."""
    if store.is_sqlite:
        return ["DROP TRIGGER audit_no_update", "DROP TRIGGER audit_no_delete"]
    return ["DROP TRIGGER audit_append_only ON audit"]


CUT_OFF = [
    "DELETE FROM audit WHERE seq > 3",
    "UPDATE audit_head SET seq = 3, mac = (SELECT mac FROM audit WHERE seq = 3)",
]
SWAP = [f"UPDATE audit SET seq = {to} WHERE seq = {now}" for now, to in ((2, -1), (3, 2), (-1, 3))]


@pytest.mark.parametrize(
    ("statements", "codes"),
    [
        (["UPDATE audit SET text = 'x' WHERE seq = 2"], {"edited"}),
        (["DELETE FROM audit WHERE seq = 2"], {"gap"}),
        (["DELETE FROM audit WHERE seq = 5"], {"truncated"}),
        (CUT_OFF, {"truncated"}),
        (SWAP, {"broken_link", "edited"}),
        (["DELETE FROM audit", "DELETE FROM audit_head"], {"truncated"}),
    ],
    ids=["edit", "remove", "cut off", "cut off with the head", "swap", "remove everything"],
)  # fmt: skip
def test_who_owns_the_database_is_found_out(own_store: Store, statements: list[str], codes: set[str]) -> None:
    """The anchor was written outside before; the owner has no key."""
    fill(own_store)
    seq, mac = own_store.audit_head()
    anchor = Anchor(seq=seq, mac=mac, at=T0)

    run(own_store, *_unprotected(own_store), *statements)

    assert {problem.code for problem in problems(own_store, [anchor])} == codes
