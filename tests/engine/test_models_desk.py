"""Two systems may call their models alike: whoever asks is asked back, and never shown the other one's numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bot.desk import Reply
from bot.desk.room import Room
from bot.ports import Foreign, Move
from bot.store import Store
from tests.engine.office import DOWN, MODEL, Clock, Office, failing, policy, system


@pytest.fixture
def twins(file_store: Store, new_office: Callable[..., Office]) -> Office:
    return new_office(file_store, rules=policy(system("alice", ("channel:#x",)), system("alice", (), name="bakery")))


def whole(reply: Reply) -> str:
    return reply.text if reply.later is None else f"{reply.text}\n{reply.later().text}"


@pytest.mark.parametrize("said", [f"versions {MODEL}", f"history {MODEL}", "versions", f"compare {MODEL} 1 2"])
def test_a_name_that_two_systems_use_is_asked_back(twins: Office, said: str) -> None:
    reply = twins.say(said)
    assert reply.refused
    assert f"`shop/{MODEL}`, `bakery/{MODEL}`" in reply.text


@pytest.mark.parametrize("system_name", ["shop", "bakery"])
def test_the_system_before_a_slash_is_meant(twins: Office, system_name: str) -> None:
    assert f"profile of {system_name} names no registry" in whole(twins.say(f"versions {system_name}/{MODEL}"))


def test_an_open_incident_tells_which_one_is_meant(twins: Office) -> None:
    twins.alert(systems="bakery")
    assert "profile of bakery names no registry" in whole(twins.say(f"versions {MODEL}"))


def test_the_thread_tells_which_one_is_meant(twins: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    twins.alert(systems="bakery")
    twins.alert(systems="shop")
    bakery = next(one for one in twins.store.incidents() if one.subject.system == "bakery")
    monkeypatch.setattr(Room, "incident_here", lambda *_: bakery)
    for said in (f"versions {MODEL}", "versions", "compare v6 v7"):  # in a thread the model needs no name
        assert "profile of bakery names no registry" in whole(twins.say(said))


def test_each_system_has_a_past_of_its_own(twins: Office, clock: Clock) -> None:
    about: dict[str, Any] = {
        "model": MODEL,
        "what": "served",
        "from_": "",
        "earliest_at": clock(),
        "latest_at": clock(),
    }
    with twins.store.begin() as tx:
        tx.add_move(Move(system="shop", to="7", **about))
    assert "7" in twins.say(f"history shop/{MODEL}").text
    assert "7" not in twins.say(f"history bakery/{MODEL}").text


@pytest.mark.parametrize("said", ["compare", "compare 1", f"compare {MODEL} $(one) two", f"compare {MODEL} v1 v1",
                                  f"compare {MODEL} 1 2 3 4"])  # fmt: skip
def test_a_comparison_that_makes_no_sense_is_refused(twins: Office, said: str) -> None:
    assert twins.say(said).refused


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        (DOWN, "No answer: Prometheus does not answer. Ask again when it answers."),
        (Foreign("invalid", "A query gave 2 series; aggregate it."), "No answer: A query gave 2 series; aggregate it."),
    ],
)
def test_no_answer_says_what_to_do(
    file_store: Store, new_office: Callable[..., Office], problem: Foreign, told: str
) -> None:
    office = new_office(file_store, questions=[failing("quality", problem)])
    assert whole(office.say(f"quality {MODEL}")).endswith(told)
