"""Who is on call, by word of people: stand-ins reach the next page, whichever replica was told, and are seen."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest
import yaml

from bot.config.shape import RotationShape
from bot.desk import Reply
from bot.model import Incident
from bot.policy import Policy
from bot.policy.calendar import Window
from bot.policy.rota import Layer, Rota
from bot.store import Store
from tests.engine.conftest import NewOffice
from tests.engine.office import ALICE, BOB, GHOST, MIA, Office, at_once, policy, posts, system, text_of

MONDAY = datetime(2026, 11, 23, 12, tzinfo=UTC)  # 13:00 in Berlin
WEEK = Layer(name="week", people=("alice", "bob"), starts_on=date(2026, 11, 23), zone="Europe/Berlin")


def rules(*layers: Layer, people_zone: str = "") -> Policy:
    rota = Rota(name="main", layers=layers or (WEEK,))
    made = policy(system("rota:main", ("channel:#ml-oncall",)))
    people = tuple(replace(one, zone=people_zone) for one in made.people)
    return replace(made, people=people, rotas={"main": rota})


@pytest.fixture
def desk(file_store: Store, new_office: NewOffice) -> Office:
    return here(new_office(file_store, rules=rules()))


def here(office: Office) -> Office:
    office.clock.at = MONDAY
    return office


def paged(incident: Incident) -> list[tuple[str, ...]]:
    return [one.whom for one in incident.escalation.paged]


def test_oncall_says_who_and_who_is_next(desk: Office) -> None:
    text = desk.say("oncall").text

    assert text.startswith("• shop: @alice; <!date^1796025600^")  # Monday 30 Nov 09:00 in Berlin
    assert "@bob takes over" in text
    assert "• rotation main: @alice; next @bob, Mon 30 Nov 09:00 (Europe/Berlin)" in text
    later = desk.say("oncall main at tue 2026").text
    assert "I don't understand the time" in later
    assert "@bob" in desk.say("oncall shop at 2026-12-01 10:00").text.split("takes over")[0]
    assert "Did you mean main" in desk.say("oncall mian").text


def test_a_stand_in_gets_the_next_page_and_everybody_concerned_is_told(desk: Office) -> None:
    said = desk.say("override @bob 4h", BOB)

    assert said.text.splitlines() == [
        "*OVR-1*: @bob has main from Mon 23 Nov 13:00 to Mon 23 Nov 17:00 (Europe/Berlin).",
        "Instead of @alice.",
        "Afterwards @alice has it.",
        "To end it: `/mlops override cancel OVR-1`.",
    ]
    desk.alert()
    desk.clock.advance(minutes=16)
    desk.engine.tick()
    assert paged(desk.incident) == [(f"user:{BOB.user_id}",)]
    assert "stands in, OVR-1 until Mon 23 Nov 17:00" in desk.say("oncall main").text
    desk.deliver()
    told = [text_of(call) for call in posts(desk.ws)]
    assert any(text.startswith("You are not on call for main from Mon 23 Nov 2026 13:00 to 17:00") for text in told)
    lines = [line.text for line in desk.store.audit_lines() if line.kind == "override"]
    assert lines == ["OVR-1: @bob has main from 2026-11-23 12:00 to 2026-11-23 16:00 UTC"]
    desk.clock.advance(hours=4)
    assert desk.say("oncall main").text.startswith("• rotation main: @alice")


def test_the_later_one_wins_and_the_overlap_is_shown(desk: Office) -> None:
    desk.say("override @bob 8h from tomorrow 09:00")
    said = desk.say("override @mia 2h from tomorrow 10:00", MIA).text

    assert "Instead of @bob." in said
    assert "Overlaps with an earlier one: @bob from Tue 24 Nov 09:00 to Tue 24 Nov 17:00" in said
    assert "Afterwards @bob has it." in said
    assert "@mia" in desk.say("oncall main at tomorrow 10:30").text
    assert "OVR-1" in desk.say("override").text


def test_a_gap_is_closed_or_shown(file_store: Store, new_office: NewOffice) -> None:
    nights = replace(WEEK, windows=(Window(opens=time(18), closes=time(9)),))
    office = here(new_office(file_store, rules=rules(nights)))

    assert "Nobody is on call from" in office.say("override @bob 1h").text
    assert "nobody from Mon 23 Nov 2026 14:00" in office.say("oncall main").text
    office.say("override @bob 5h")
    assert "It closes a gap." not in office.say("override @bob 5h").text


def test_a_cancelled_one_is_over_and_what_was_stays(desk: Office) -> None:
    desk.say("override @bob 4h")
    desk.clock.advance(hours=1)

    said = desk.say("override cancel ovr-1", BOB).text

    assert said == "OVR-1 is cancelled: @alice has main from Mon 23 Nov 14:00 (Europe/Berlin)."
    assert desk.engine.policy.resolve("oncall", "shop", MONDAY + timedelta(minutes=30)) == (f"user:{BOB.user_id}",)
    assert desk.engine.policy.resolve("oncall", "shop", desk.clock()) == (f"user:{ALICE.user_id}",)
    assert "no stand-in “OVR-1”" in desk.say("override cancel OVR-1").text
    assert [line.kind for line in desk.store.audit_lines()][-1] == "override_cancelled"


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("override @bob", "For how long"),
        ("override @bob 40d", "For how long"),
        ("override 4h", "Who?"),
        ("override @bobb 4h", "Did you mean bob"),
        ("override @bob 4h minor", "There is no rotation “minor”. Did you mean main?"),
        ("override @bob 4h main from never", "From when?"),
        ("override @bob 1h from yesterday 09:00", "That is over already"),
        ("override cancel", "There is no stand-in “”"),
        ("preview other", "There is no system or rotation “other”"),
        ("oncall at <!channel>", "I don't understand the time “&lt;!channel&gt;”"),
    ],
)
def test_what_cannot_be_is_refused_with_the_next_step(desk: Office, typed: str, answer: str) -> None:
    said = desk.say(typed)

    assert said.refused
    assert answer in said.text
    assert desk.store.stand_ins(desk.clock()) == ()


@pytest.mark.parametrize("rotas", [{}, {"other": Rota(name="other", layers=(WEEK,))}])
def test_a_plain_list_of_people_is_told_how_it_becomes_a_rotation(
    file_store: Store, new_office: NewOffice, rotas: dict[str, Rota]
) -> None:
    """What is to be written is written out, and is what the files take."""
    office = here(new_office(file_store, rules=replace(policy(), rotas=rotas)))

    said = office.say("override @bob 4h shop")

    assert said.refused
    assert "shop has a plain list of people on call (alice)" in said.text
    assert "put `oncall: [rota:main]` where the list is" in said.text
    written = yaml.safe_load(said.text.splitlines()[1].strip("`"))["rotations"]["main"]
    (layer,) = RotationShape.model_validate(written).layers
    assert (layer.people, layer.starts_on) == (["alice"], date(2026, 11, 22))
    assert office.store.stand_ins(office.clock()) == ()


def test_whoever_may_not_steer_may_not_put_people_on_call(desk: Office) -> None:
    stranger = replace(BOB, user_id="U0STRANGER")

    assert "I don't know you" in desk.say("override @bob 4h", stranger).text
    assert desk.store.stand_ins(desk.clock()) == ()
    assert [line.kind for line in desk.store.audit_lines()] == ["refused.unknown_person"]


def test_a_request_delivered_twice_makes_one(desk: Office) -> None:
    desk.say("override @bob 4h", request="T1")

    assert desk.say("override @bob 4h", request="T1").text == ""
    assert len(desk.store.stand_ins(desk.clock())) == 1


def test_whoever_left_the_configuration_does_not_stand_in(file_store: Store, new_office: NewOffice) -> None:
    """Else their hours would reach nobody, although somebody has the layer below."""
    office = here(new_office(file_store, rules=rules()))
    office.say("override @bob 4h")
    without = rules()
    office.engine.policy = replace(without, people=tuple(one for one in without.people if one.key != "bob"))

    assert [one.key for one in office.engine.policy.on_call("shop", office.clock())] == ["alice"]


def test_two_replicas_page_whom_either_was_told_about(store: Store, new_office: NewOffice) -> None:
    one, two = new_office(store, rules=rules()), here(new_office(store, owner="two", rules=rules()))
    one.alert()
    assert two.engine.policy.resolve("oncall", "shop", MONDAY) == (f"user:{ALICE.user_id}",)
    replies = at_once(lambda: one.say("override @bob 4h"), lambda: two.say("override @mia 4h"))

    assert all(isinstance(reply, Reply) and not reply.refused for reply in replies)
    last = store.stand_ins(one.clock())[-1].person
    one.clock.advance(minutes=16)
    two.engine.tick()
    assert paged(two.incident) == [(f"user:{ {'bob': BOB, 'mia': MIA}[last].user_id }",)]
    assert sum("Overlaps with an earlier one" in reply.text for reply in replies if isinstance(reply, Reply)) == 1


def test_page_asks_one_person_and_leaves_the_ladder_alone(desk: Office) -> None:
    desk.alert()
    desk.deliver()
    before = desk.incident.escalation

    said = desk.say("page @mia INC-1 the database <!channel> is full", BOB)

    assert said.text == "@mia is paged about INC-1."
    desk.say("ack", ALICE)  # an acknowledgement withdraws the ladder's pages, and not this one
    desk.settle(3)
    assert desk.incident.escalation.paged == before.paged
    asked = [text_of(call) for call in posts(desk.ws) if call.args["channel"].startswith("D")]
    assert len(asked) == 1
    assert "@bob asks for you: the database &lt;!channel&gt; is full" in asked[0]
    assert "person_paged" in desk.kinds()


@pytest.mark.parametrize(
    ("typed", "who", "answer"),
    [
        ("page", BOB, "Whom?"),
        ("page @nobody INC-1", BOB, "I don't know “nobody”"),
        ("page @bob INC-1", BOB, "You know of it already"),
        ("page @bob INC-1", replace(GHOST, user_id="U0OTHER"), "I don't know you"),
    ],
)
def test_a_page_that_helps_nobody_is_not_sent(desk: Office, typed: str, who: object, answer: str) -> None:
    desk.alert()

    assert answer in desk.say(typed, who).text  # type: ignore[arg-type]
    assert desk.store.queue_stats(desk.clock()).counts.get(("slack", "page", "pending")) is None


def test_a_snooze_lasts_until_the_time_that_is_said_and_unack_ends_it(desk: Office) -> None:
    desk.alert()

    assert "How long" not in desk.say("snooze until tomorrow 09:00 INC-1", BOB).text
    assert desk.incident.snoozed_until == datetime(2026, 11, 24, 9, tzinfo=UTC)  # Bob has no zone of his own
    said = desk.say("unack", BOB).text
    assert "The snooze is over. The ladder starts again now." in said
    desk.clock.advance(minutes=16)
    desk.engine.tick()
    assert paged(desk.incident) == [(f"user:{ALICE.user_id}",)]
    for typed in ("snooze", "snooze until", "snooze until never", "snooze 8d", "snooze until yesterday 09:00"):
        assert desk.say(typed, BOB).text.startswith("For how long")


def test_everybody_hears_of_the_hours_that_changed_and_of_no_others(desk: Office) -> None:
    """Bob has two days, Mia four hours in them; when Bob's are cancelled, Mia's stay."""
    desk.say("override @bob 2d from sat 09:00", MIA)
    desk.say("override @mia 4h from sat 10:00", MIA)
    desk.settle(5)
    before = len(posts(desk.ws))

    desk.say("override cancel OVR-1", MIA)

    desk.settle(5)
    told = sorted((call.args["channel"][-3:], *text_of(call).split(" from ")) for call in posts(desk.ws)[before:])
    assert [(channel, what, span[:32]) for channel, what, span in told] == [
        ("BOB", "You are not on call for main", "Sat 28 Nov 2026 09:00 to 10:00 ("),
        ("BOB", "You are not on call for main", "Sat 28 Nov 2026 14:00 to Mon 30 "),
        ("ICE", "You are on call for main", "Sat 28 Nov 2026 09:00 to 10:00 ("),
        ("ICE", "You are on call for main", "Sat 28 Nov 2026 14:00 to Mon 30 "),
    ]


def test_the_home_page_tells_a_person_their_own_turns(desk: Office) -> None:
    titles = {who.name: dict(desk.desk.home(who)).get("On call") for who in (ALICE, BOB, MIA)}

    assert titles["alice"] is not None
    assert titles["alice"][0].startswith("You have main until <!date^1796025600^")
    assert titles["bob"] is not None
    assert titles["bob"][0].startswith("You have main from <!date^1796025600^")
    assert titles["mia"] is None
