"""Which revision a rollback goes to: every trap as a table, without a cluster."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from bot.ports import RELEASED, Move, Refusal
from handlers._kube import HASH_LABEL, NUMBER, RESTARTED, template_id
from handlers._revisions import Choice, Past, Revision, choose, named, of_controller, of_deployment
from tests.handlers.fakes import NOW, minutes

OWNER = {"metadata": {"uid": "u1"}}


def template(tag: str, *, restarted: str = "", hash_: str = "", env: str = "") -> dict[str, Any]:
    notes = {RESTARTED: restarted} if restarted else {}
    labels = {"app": "web", **({HASH_LABEL: hash_} if hash_ else {})}
    container: dict[str, Any] = {"name": "srv", "image": f"registry.local/web:{tag}"}
    if env:
        container["env"] = [{"name": "MODE", "value": env}]
    return {"metadata": {"labels": labels, "annotations": notes}, "spec": {"containers": [container]}}


def replica_set(number: int, tag: str, *, age: float = 0, available: int = 0, owner: str = "u1", **more: str) -> Any:
    name = f"web-{number}"
    made = minutes(age or 100 - number)
    return {
        "metadata": {
            "name": name, "creationTimestamp": made.isoformat(), "labels": {HASH_LABEL: f"h{number}"},
            "annotations": {NUMBER: str(number)} if number else {},
            "ownerReferences": [{"uid": owner, "controller": True}],
        },
        "spec": {"template": template(tag, hash_=f"h{number}", **more)},
        "status": {"availableReplicas": available},
    }  # fmt: skip


def tid(tag: str) -> str:
    return template_id(template(tag))


def released(*steps: tuple[float, str]) -> tuple[Move, ...]:
    """(minutes ago, tag that was rolled out whole), oldest first; "" for none."""
    found = [
        Move(
            system="shop", model="web", what=RELEASED, from_="", to=tid(tag) if tag else "", earliest_at=minutes(ago),
            latest_at=minutes(ago),
        )
        for ago, tag in steps
    ]  # fmt: skip
    return tuple(reversed(found))


@dataclass
class Case:
    """A history (number, tag), what is known, and where to go."""

    sets: list[Any]
    to: str
    now: str
    bad: dict[str, str] = field(default_factory=dict)
    moves: tuple[Move, ...] = ()
    began: float | None = None
    told: str = ""


CASES = {
    "the version before": Case(sets=[replica_set(1, "v1"), replica_set(2, "v2")], now="v2", to="v1"),
    "a restart is no version": Case(
        sets=[replica_set(1, "v1"), replica_set(2, "v2"), replica_set(3, "v2", restarted="2026-01-01T00:00:00Z")],
        now="v2", to="v1",
    ),
    "two restarts are none either": Case(
        sets=[replica_set(1, "v1"), replica_set(2, "v2"), replica_set(3, "v2", restarted="a"),
              replica_set(4, "v2", restarted="b")],
        now="v2", to="v1",
    ),
    "after an undo the bad one has the second highest number": Case(
        sets=[replica_set(1, "v1"), replica_set(3, "v3"), replica_set(4, "v2")], now="v2", to="v1",
        bad={tid("v3"): "left by plan PLN-1"}, told="marked bad: left by plan PLN-1",
    ),
    "good, bad, bad hot-fix: what was live at the start is passed over": Case(
        sets=[replica_set(1, "v1", age=300), replica_set(2, "v2", age=60), replica_set(3, "v3", age=5)], now="v3",
        to="v1", began=30, told="it was live when the trouble began",
    ),
    "the ledger knows what was live at the start, whatever the ages": Case(
        sets=[replica_set(1, "v1", age=60), replica_set(2, "v2", age=300), replica_set(3, "v3", age=5)], now="v3",
        to="v1", began=30, moves=released((290, "v1"), (40, "v2")), told="it was live when the trouble began",
    ),
    "a roll-out that never became whole began before the trouble: what was live before it is the way back": Case(
        sets=[replica_set(1, "v1", age=300, available=2), replica_set(2, "v2", age=31)], now="v2",
        to="v1", began=30, moves=released((290, "v1")),
    ),
    "seen whole within the second in which the next one was made": Case(
        sets=[replica_set(1, "v1", age=32), replica_set(2, "v2", age=31)], now="v2",
        to="v1", began=30, moves=released((30.99, "v1")),
    ),
    "an old version put back before the trouble was over does not clear what was live": Case(
        sets=[replica_set(1, "v0", age=400), replica_set(3, "v1", age=300), replica_set(2, "v2", age=200)], now="v1",
        to="v0", began=30, moves=released((390, "v0"), (290, "v1"), (190, "v2")), told="it was live when the trouble",
    ),
    "what once was whole is better than what nobody saw": Case(
        sets=[replica_set(1, "v1"), replica_set(2, "v2"), replica_set(3, "v3")], now="v3", to="v1",
        moves=released((90, "v1"), (50, "")), told="nothing shows that it ever was available",
    ),
    "old pods that still serve are a proof": Case(
        sets=[replica_set(1, "v1", available=2), replica_set(2, "v2"), replica_set(3, "v3")], now="v3", to="v1",
        told="nothing shows",
    ),
    "ReplicaSets of others with the same labels do not count": Case(
        sets=[replica_set(1, "v1"), replica_set(2, "v9", owner="u2"), replica_set(3, "v3")], now="v3", to="v1",
    ),
    "a revision without a number is the oldest": Case(
        sets=[replica_set(0, "v0", age=50), replica_set(1, "v1"), replica_set(2, "v2")], now="v2", to="v1",
    ),
    "numbers are numbers, not text": Case(
        sets=[replica_set(9, "v9"), replica_set(10, "v10"), replica_set(11, "v11")], now="v11", to="v10",
    ),
}  # fmt: skip


def decide(case: Case) -> Choice | Refusal:
    past = Past(
        bad=case.bad, moves=case.moves, began_at=minutes(case.began) if case.began is not None else None, now=NOW
    )
    return choose(of_deployment(OWNER, case.sets), tid(case.now), "", past)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_where_to_go(case: Case) -> None:
    choice = decide(case)
    assert isinstance(choice, Choice), choice
    image = choice.revision.template["spec"]["containers"][0]["image"]
    assert image.endswith(f":{case.to}")
    assert case.told in " ".join(choice.warnings)
    assert HASH_LABEL not in choice.revision.template["metadata"]["labels"]


@pytest.mark.parametrize(
    "case, why",
    [
        (Case(sets=[], now="v1", to=""), "no roll-out history"),
        (Case(sets=[replica_set(1, "v1")], now="v1", to=""), "no earlier version"),
        (Case(sets=[replica_set(1, "v1"), replica_set(2, "v1", restarted="x")], now="v1", to=""), "no earlier version"),
        (Case(sets=[replica_set(1, "v1"), replica_set(2, "v2")], now="v2", to="", bad={tid("v1"): "x"}), "is fit"),
    ],
)
def test_where_there_is_nowhere_to_go(case: Case, why: str) -> None:
    refusal = decide(case)
    assert isinstance(refusal, Refusal)
    assert why in refusal.why


def test_how_it_is_known_is_told_with_times() -> None:
    case = CASES["what once was whole is better than what nobody saw"]
    choice = decide(case)
    assert isinstance(choice, Choice)
    assert choice.because == (
        "web:v1 (web-1, revision 1) is the last known-good: all its pods were available from 13:05 until 13:45 UTC "
        "(40 min)."
    )


def test_where_nothing_is_known_the_card_says_so() -> None:
    choice = decide(CASES["the version before"])
    assert isinstance(choice, Choice)
    assert "I did not see it myself" in choice.warnings[0]


HISTORY = of_deployment(OWNER, [replica_set(1, "v1"), replica_set(2, "v2"), replica_set(3, "v1", env="dark")])


@pytest.mark.parametrize(
    "to, name",
    [
        ("1", "web-1"), ("web-1", "web-1"), ("h1", "web-1"), (tid("v1"), "web-1"), ("registry.local/web:v1", "web-3"),
        ("web:v1", "web-3"), ("v1", "web-3"),
    ],
)  # fmt: skip
def test_how_a_revision_may_be_named(to: str, name: str) -> None:
    """By number, ReplicaSet, hash, template or image; where an image names several, the newest."""
    past = Past(bad={}, moves=(), began_at=None, now=NOW)
    choice = named(HISTORY, tid("v2"), "", past, to)
    assert isinstance(choice, Choice), choice
    assert choice.revision.name == name
    assert choice.is_forward == (name == "web-3")


@pytest.mark.parametrize("to", ["9", "v9", "nosuch", "registry.local/other:v1", "3x"])
def test_an_unknown_revision_is_refused_with_those_there_are(to: str) -> None:
    refusal = named(HISTORY, tid("v2"), "", Past(bad={}, moves=(), began_at=None, now=NOW), to)
    assert isinstance(refusal, Refusal)
    assert "3 (web:v1), 2 (web:v2) and 1 (web:v1)" in refusal.why


def test_the_running_version_and_a_bad_one_by_name() -> None:
    past = Past(bad={tid("v1"): "left by plan PLN-1"}, moves=(), began_at=None, now=NOW)
    same = named(HISTORY, tid("v2"), "", past, "2")
    assert isinstance(same, Refusal)
    assert "Nothing to do" in same.why
    bad = named(HISTORY, tid("v2"), "", past, "1")
    assert isinstance(bad, Choice)
    assert bad.is_bad
    assert "is marked bad: left by plan PLN-1" in bad.warnings[0]


def test_controller_revisions_hold_a_template_too() -> None:
    def revision(number: int, tag: str) -> dict[str, Any]:
        meta = {"name": f"db-{number}", "ownerReferences": [{"uid": "u1", "controller": True}]}
        return {
            "metadata": meta,
            "revision": number,
            "data": {"spec": {"template": {**template(tag), "$patch": "replace"}}},
        }

    found = of_controller(OWNER, [revision(2, "v2"), revision(10, "v3"), revision(1, "v1")])
    assert [one.number for one in found] == [10, 2, 1]
    assert found[0].id == tid("v3")
    assert "$patch" not in found[0].template


def test_what_names_a_template_is_what_it_runs() -> None:
    plain = tid("v1")
    assert template_id(template("v1", restarted="now", hash_="abc")) == plain
    assert (
        template_id({**template("v1"), "metadata": {**template("v1")["metadata"], "creationTimestamp": None}}) == plain
    )
    assert template_id(template("v1", env="dark")) != plain
    assert template_id(template("v2")) != plain


def test_a_revision_is_compared_by_value() -> None:
    one, two = HISTORY[0], of_deployment(OWNER, [replica_set(3, "v1", env="dark")])[0]
    assert one == two
    assert isinstance(one, Revision)
    assert one.made_at is not None
    assert NOW - one.made_at == timedelta(minutes=97)
