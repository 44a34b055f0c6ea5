"""People's own media, at real receivers: sent once, tried again, given up with a word, and never in Slack's way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.config.settings import Secret
from bot.media import LEASE, Courier, MediaSender
from bot.model import Severity
from bot.policy import Policy
from bot.policy.reach import Reach, Reachable
from bot.store import Store
from tests.engine.conftest import NewOffice
from tests.engine.office import ALICE, BOB, Office, at_once, policy, posts, text_of
from tests.engine.receivers import Gateway, gateway, mailbox

CANARY = "canary-sms-password"


def rules(*ways: str) -> Policy:
    made = policy()
    reach = Reachable(key="alice", user_id=ALICE.user_id, rules=dict.fromkeys(Severity, Reach(by=("dm", *ways))))
    return replace(made, people=tuple(replace(one, reach=reach if one.who == ALICE else None) for one in made.people))


@pytest.fixture(scope="module")
def courier() -> Courier:
    return Courier(os.environ)


@pytest.fixture
def sms() -> Iterator[Gateway]:
    with gateway() as one:
        yield one


class Phone:
    """An office in which Alice has a phone, and what calls it."""

    def __init__(self, office: Office, courier: Courier, port: int) -> None:
        self.office = office
        media = {"alice": {"sms": Secret(f"json://user:{CANARY}@127.0.0.1:{port}/send?rto=2&cto=2")}}
        self.sender = MediaSender(
            office.engine, media, courier, office.deliverer.page_by_medium, owner=office.owner
        )  # fmt: skip

    def page(self) -> None:
        self.office.alert()
        self.office.settle(2)
        self.office.say("page @alice INC-1 come quickly", BOB)

    def round(self, limit: int = 10) -> list[bool]:
        return [self.sender.send(job) for job in self.sender.claim(limit)]

    def until_settled(self) -> int:
        """Rounds until nothing waits any more."""
        for number in range(1, 10):
            self.round()
            if self.office.store.due_in(self.office.clock(), "media") is None:
                return number
            self.office.clock.advance(seconds=40)
        raise AssertionError("it never ends")


@pytest.fixture
def phone(file_store: Store, new_office: NewOffice, courier: Courier, sms: Gateway) -> Phone:
    return Phone(new_office(file_store, rules=rules("sms")), courier, sms.port)


def thread(phone: Phone) -> str:
    phone.office.settle(2)
    return "\n".join(text_of(call) for call in posts(phone.office.ws))


def test_a_page_goes_by_both_ways_with_the_same_words(phone: Phone, sms: Gateway) -> None:
    phone.page()

    assert phone.round() == [True]
    (got,) = sms.got
    assert got["title"].startswith("P2 intent") or "intent" in got["title"]
    assert "@bob asks for you: come quickly" in got["title"] + got["message"]
    assert "INC-1" in got["message"]
    assert "<!date" not in got["message"]
    assert "*" not in got["message"]
    assert phone.round() == []
    phone.office.deliver()
    assert any("come quickly" in text_of(call) for call in posts(phone.office.ws) if call.args["channel"][0] == "D")


def test_an_acknowledgement_withdraws_what_the_ladder_wanted(phone: Phone, sms: Gateway) -> None:
    phone.office.alert()
    phone.office.clock.advance(minutes=16)
    phone.office.engine.tick()
    phone.office.say("ack INC-1", BOB)

    assert phone.round() == []
    assert sms.got == []


def test_a_medium_that_refuses_is_tried_three_times_and_told_in_the_thread(phone: Phone, sms: Gateway) -> None:
    sms.answers[:] = [500, 503, 500]
    phone.page()

    assert phone.until_settled() == 3
    assert len(sms.got) == 3
    told = thread(phone)
    assert "@alice could not be reached by sms: it answered 500. The page in Slack went its own way." in told
    assert CANARY not in told
    assert CANARY not in " ".join(line.text for line in phone.office.store.audit_lines())
    assert phone.office.kinds()[-1] == "medium_failed"


def test_nobody_there_is_told_and_slack_has_the_page_long_before(
    file_store: Store, new_office: NewOffice, courier: Courier
) -> None:
    with gateway() as gone:
        pass
    phone = Phone(new_office(file_store, rules=rules("sms")), courier, gone.port)
    phone.page()
    phone.office.deliver()

    assert any("come quickly" in text_of(call) for call in posts(phone.office.ws))  # nothing was called yet
    phone.until_settled()
    assert "could not be reached by sms: it could not be reached" in thread(phone)


def test_an_answer_that_is_lost_repeats_it_once_and_says_so(phone: Phone, sms: Gateway) -> None:
    """It arrived, and the medium cannot be asked: once more, marked, and then no more."""
    sms.answers[:] = [0, 0, 200]
    phone.page()

    phone.until_settled()
    assert len(sms.got) == 2
    assert "may be repeated" not in sms.got[0]["title"] + sms.got[0]["message"]
    assert "may be repeated" in sms.got[1]["title"] + sms.got[1]["message"]
    assert "it cannot be told whether it arrived" in thread(phone)


def test_a_crash_after_the_call_doubles_it_once(
    phone: Phone, sms: Gateway, new_office: NewOffice, courier: Courier, file_store: Store
) -> None:
    phone.page()
    (job,) = phone.sender.claim(1)
    assert phone.office.store.still_mine(job, phone.office.clock(), timedelta(seconds=5))
    phone.sender._courier.send(Secret(f"json://127.0.0.1:{sms.port}/"), "first", "call, and the process dies here")
    phone.office.clock.advance(seconds=LEASE.total_seconds() + 1)

    again = Phone(new_office(file_store, owner="two", rules=rules("sms")), courier, sms.port)
    assert again.round() == [True]
    assert len(sms.got) == 2
    assert "may be repeated" in sms.got[1]["title"] + sms.got[1]["message"]
    assert again.round() == []


def test_a_worker_whose_lease_is_nearly_over_calls_nobody(phone: Phone, sms: Gateway) -> None:
    phone.page()
    (job,) = phone.sender.claim(1)
    phone.office.clock.advance(seconds=LEASE.total_seconds() - 10)  # it was frozen

    assert phone.sender.send(job) is False
    assert sms.got == []


def test_a_medium_that_was_taken_out_of_the_configuration_is_told(
    file_store: Store, new_office: NewOffice, courier: Courier, sms: Gateway
) -> None:
    phone = Phone(new_office(file_store, rules=rules("mail")), courier, sms.port)
    phone.page()

    assert phone.round() == [True]
    assert "@alice could not be reached by mail: it is not configured any more" in thread(phone)


def test_mail_by_a_real_server(courier: Courier) -> None:
    with mailbox() as box:
        address = Secret(
            f"mailto://127.0.0.1:{box.port}?mode=insecure&from=bot@example.org&to=alice@example.org&format=text"
        )
        called = courier.send(address, "P0 all is down", "Nothing is served.\nINC-7")

    assert called.ok, called
    (mail,) = box.got
    assert "Subject: P0 all is down" in mail["mail"]
    assert "INC-7" in mail["mail"]


@pytest.mark.parametrize("address", ["", "nonsense", "json://", "http//x", "mailto://"])
def test_an_address_that_means_nothing_is_seen_without_calling(courier: Courier, address: str) -> None:
    called = courier.look(Secret(address))

    assert (called.ok, called.never) == (False, True)
    assert "Apprise" in called.why


def test_a_child_that_takes_too_long_is_ended_and_counts_as_unsure(sms: Gateway) -> None:
    called = Courier(os.environ, limit_s=0.01).send(Secret(f"json://127.0.0.1:{sms.port}/"), "t", "b")

    assert (called.ok, called.unsure) == (False, True)
    assert "longer than 0.01 s" in called.why


def test_a_mention_goes_into_the_thread(file_store: Store, new_office: NewOffice) -> None:
    office = new_office(file_store, rules=rules())
    made = office.engine.policy
    reach = Reachable(key="alice", user_id=ALICE.user_id, rules=dict.fromkeys(Severity, Reach(by=("mention",))))
    office.engine.policy = replace(
        made, people=tuple(replace(one, reach=reach if one.who == ALICE else None) for one in made.people)
    )
    office.alert()
    office.settle(2)
    office.say("page @alice INC-1 come quickly", BOB)
    office.settle(2)

    (call,) = [one for one in posts(office.ws) if "come quickly" in text_of(one)]
    assert call.args["thread_ts"]
    assert f"<@{ALICE.user_id}>, this is for you." in str(call.args["blocks"])


def test_two_replicas_that_claim_at_once_call_once(
    store: Store, new_office: NewOffice, courier: Courier, sms: Gateway
) -> None:
    one, two = (Phone(new_office(store, owner=name, rules=rules("sms")), courier, sms.port) for name in ("one", "two"))
    one.page()

    done = at_once(one.round, two.round)

    assert sorted(map(str, done)) == ["[True]", "[]"]
    assert len(sms.got) == 1
