"""People in mlops.yaml: how they are reached, and how each mistake is told. No address is ever shown."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from bot.check import check_everything
from bot.config import load
from bot.model import Severity
from bot.policy.reach import Reach
from tests.config.folder import MAIN, NAMES, Folder

PERSON = """\
  alice:
    user_id: U0ALICE
    roles: [oncall, engineer]
    zone: Europe/Berlin
    email: Alice@Example.org
    media:
      sms: ${env:ALICE_SMS}
    reach:
      P0: [dm, mention, sms]
      P2: {by: sms, hours: working}
"""
WITH = MAIN.replace("  alice: {user_id: U0ALICE, roles: [oncall, engineer]}\n", PERSON)
CANARY = "canary-gateway-password"
ENV = {"ALICE_SMS": f"json://u:{CANARY}@gateway.example/send"}


def told(folder: Folder) -> list[str]:
    file = folder.write()
    found = check_everything(file, folder.env | ENV, NAMES, date(2026, 11, 21))
    return [folder.told(problem) for problem in found if not problem.warning]


def test_a_person_is_reached_as_written(tmp_path: Path) -> None:
    folder = Folder(tmp_path, main=WITH)
    settings = load(folder.write(), folder.env | ENV, NAMES)
    alice, bob = settings.policy.people[:2]

    assert (alice.zone, alice.email) == ("Europe/Berlin", "alice@example.org")
    assert alice.reach is not None
    assert alice.reach.rules == {
        Severity.P0: Reach(by=("dm", "mention", "sms")), Severity.P2: Reach(by=("sms",), at_work=True),
    }  # fmt: skip
    assert alice.reach.hours is not None
    assert alice.reach.hours.zone == "Europe/Berlin"
    assert (bob.zone, bob.reach) == ("", None)
    assert settings.media["alice"]["sms"].reveal() == ENV["ALICE_SMS"]
    assert any(secret.reveal() == ENV["ALICE_SMS"] for secret in settings.secrets)
    assert CANARY not in repr(settings)
    assert settings.delivery.lease == timedelta(seconds=30)


@pytest.mark.parametrize(("old", "new", "said"), [
    ("${env:ALICE_SMS}", f"json://u:{CANARY}@x/", 'mlops.yaml:15: "sms" is a secret and must not be written here'),
    ("Europe/Berlin", "Berlin/Europe", 'mlops.yaml:12: alice: the zone "Berlin/Europe" is not known; use an IANA name'),
    ("[dm, mention, sms]", "[dm, smss]", 'mlops.yaml:17: alice: unknown way "smss"; did you mean "sms"?'),
    ("[dm, mention, sms]", "[]", "mlops.yaml:17: alice: no way for P0; name one, or leave it out"),
    ("sms: ${env", "dm: ${env", 'mlops.yaml:15: alice: "dm" is a way in Slack already; choose another name'),
    ("hours: working", "hours: nights", "mlops.yaml:18:"),
    ("    reach:\n", "    reech:\n", 'unknown key "reech"; did you mean "reach"?'),
])  # fmt: skip
def test_each_mistake_is_told_with_its_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    problems = told(Folder(tmp_path, main=WITH.replace(old, new, 1)))

    assert any(said in problem for problem in problems), problems
    assert not any(CANARY in problem for problem in problems)


def test_the_check_asks_apprise_about_each_address_and_calls_nobody(tmp_path: Path) -> None:
    folder = Folder(tmp_path, main=WITH)
    assert told(folder) == []

    found = check_everything(folder.write(), folder.env | {"ALICE_SMS": f"smss:{CANARY}"}, NAMES, date(2026, 11, 21))
    (problem,) = [one for one in found if not one.warning]
    assert problem.line == 15
    assert "alice: sms its address is not one that Apprise understands" in problem.text
    assert CANARY not in problem.text
