"""What people ask about versions, on a real MLflow server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from bot.app import Bot
from bot.config import BackendConfig, HttpSettings, Secret, Settings, SlackSettings
from bot.desk import Asker
from bot.drift.asked import DataSource, Limits, SourceKind
from bot.drift.labelled import LabelColumns, LabelProfile
from bot.drift.runner import WorkerSettings
from bot.model import Draft, Outcome, Who
from bot.policy import ModelProfile, Person, Policy, System
from bot.policy.gate import Criterion, Gate
from bot.policy.quality import QualityProfile
from bot.ports import BY_WEBHOOK, Foreign, Scene, Served
from bot.registry import load
from bot.store import Store
from handlers import versions
from handlers.actions import cleanup
from handlers.actions.cleanup import PROOF
from handlers.backends import mlflow
from playground.system.processes import wait_until
from tests.engine.test_hooks import event, signed
from tests.handlers.fakes import plan_of
from tests.handlers.real_mlflow import RealMlflow

MODEL = "credit"


@dataclass
class Server:
    """A model server that says what a test wants."""

    version: str = "2"

    def served(self, model: str) -> Served:
        if not self.version:
            raise Foreign("unreachable", "The server does not answer.", happened=False)
        return Served(model=model, version=self.version, alias="champion", loaded_at=None)


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealMlflow]:
    with RealMlflow(tmp_path_factory.mktemp("mlflow")) as server:
        server.model(MODEL)
        server.version(MODEL, metrics={"accuracy": 0.91, "brier": 0.12}, params={"c": 1, "depth": 3})
        server.version(MODEL, metrics={"accuracy": 0.94, "brier": 0.10, "rows": 5}, params={"c": 2, "depth": 3})
        server.version(MODEL, metrics={"accuracy": 0.90, "brier": 0.15}, inputs="[]", size=4000, data="b")
        server.client.set_registered_model_alias(MODEL, "champion", "2")
        yield server


def scene(real: RealMlflow, **more: Any) -> Scene:
    gate = Gate(criteria=(Criterion(metric="brier", at_most=0.2, lower_is_better=True),))
    profile = ModelProfile(name=MODEL, service="api", registry="registry", server="server", gate=gate)
    backends = {"registry": mlflow.BACKEND.build({"url": real.url}), "server": more.pop("server", Server())}
    return Scene(
        now=datetime.now(UTC), system=System(name="loans", models=(profile,)), model=profile, service="api",
        backends=backends, **more,
    )  # fmt: skip


def test_versions_show_pointers_numbers_bad_marks_and_what_is_served(real: RealMlflow) -> None:
    finding = versions.table(scene(real, bad_versions={"3": "accuracy fell"}))
    assert finding.sentence == "credit of loans has 3 versions; v2 is served."
    assert [row[0] for row in finding.rows] == ["v3", "v2", "v1"]
    third, second, _ = finding.rows
    assert "MARKED BAD: accuracy fell" in third[1]
    assert second[1].startswith("champion · SERVED · made ")
    assert second[2] == "· brier 0.1, accuracy 0.94, rows 5", "the metric of the gate comes first"


def test_a_silent_server_is_said_to_be_silent(real: RealMlflow) -> None:
    finding = versions.table(scene(real, server=Server("")))
    assert "what is served is not known (The server does not answer)" in finding.sentence
    assert not any("SERVED" in row[1] for row in finding.rows)


def test_a_comparison_tells_better_from_worse_and_data_signature_and_size(real: RealMlflow) -> None:
    drawn: list[Any] = []
    finding = versions.compare(scene(real, draw=lambda given: drawn.append(given) or "p.png"), "2", "3")
    rows = {row[0]: row[1:] for row in finding.rows}
    assert rows["accuracy"] == ("0.94 → 0.9", "WORSE (-0.04, -4.3%)")
    assert rows["brier"] == ("0.1 → 0.15", "WORSE (+0.05, +50.0%)")
    assert rows["rows"] == ("5 → not recorded", "recorded for one of them only")
    assert rows["evaluated on"] == ("DIFFERENT", "holdout a → holdout b")
    assert rows["signature, inputs"][0] == "DIFFERENT"
    assert rows["signature, outputs"][0] == "the same"
    assert rows["size"][0].endswith("kB in 2 files")
    assert rows["parameter c"] == ("2 → not set", "")
    assert "of 2 metrics 2 worse. They were measured on different data" in finding.sentence
    assert finding.picture == "p.png"
    assert [bar["label"] for bar in drawn[0]["bars"]] == ["brier", "accuracy"]
    assert "accuracy 0.94 and 0.9" in finding.picture_alt


def test_a_comparison_on_the_same_data_says_nothing_against_it(real: RealMlflow) -> None:
    finding = versions.compare(scene(real), "1", "2")
    assert finding.sentence.startswith("v2 against v1 of credit: of 2 metrics 2 better.")
    assert "comparable" not in finding.sentence
    assert ("parameters", "1 of 2 are the same", "") in finding.rows


@pytest.mark.parametrize(("old", "new", "words"), [("2", "9", "has no v9"), ("7", "9", "has no v7 and v9"),
                                                   ("2", "2", "the same version")])  # fmt: skip
def test_nonsense_is_refused_plainly(real: RealMlflow, old: str, new: str, words: str) -> None:
    with pytest.raises(Foreign) as raised:
        versions.compare(scene(real), old, new)
    assert words in raised.value.sentence


def test_what_is_gone_is_not_known_and_the_rest_is_told(real: RealMlflow) -> None:
    real.model("gone")
    first = real.version("gone", metrics={"accuracy": 0.5})
    real.version("gone", metrics={"accuracy": 0.6})
    run_id = real.client.get_model_version("gone", first).run_id
    real.client.delete_run(run_id)
    profile = ModelProfile(name="gone", service="api", registry="registry", server="server")
    look = scene(real)
    look = Scene(now=look.now, system=System(name="loans", models=(profile,)), model=profile, service="api",
                 backends=look.backends)  # fmt: skip
    rows = {row[0]: row[1:] for row in versions.compare(look, "1", "2").rows}
    assert rows["metrics of v1"][0] == "not known"
    assert "was deleted in MLflow" in rows["metrics of v1"][1]
    assert rows["accuracy"][0] == "not recorded → 0.6"


# what MLflow tells by itself

SECRET = "a-secret-of-thirty-two-characters"


@pytest.fixture
def bot(real: RealMlflow, tmp_path: Path) -> Iterator[Bot]:
    """The production process' HTTP door, its ledger, and nothing that runs by itself."""
    Store(f"sqlite:///{tmp_path / 'bot.db'}", audit_key=b"k").migrate()
    rules = QualityProfile(has_rows=True, min_labels=100, min_coverage=0.1, worse_by={"*": 0.01})
    profile = ModelProfile(name=MODEL, service="api", registry="registry", alias="champion", quality=rules)
    rows = "said,truth,at\n" + "".join(
        f"1,{int(n % 5 > 0) if n < 500 else ''},{(datetime.now(UTC) - timedelta(minutes=n + 1)).isoformat()}\n"
        for n in range(1000)
    )
    (tmp_path / "rows.csv").write_text(rows)
    labels = LabelProfile(
        system="loans", model=MODEL, predictions=DataSource(kind=SourceKind.CSV, path=str(tmp_path / "rows.csv")),
        labels=None, columns=LabelColumns(prediction="said", target="truth", time="at"), positive="1",
        window=timedelta(days=7), limits=Limits(wall=timedelta(seconds=60)),
    )  # fmt: skip
    pile = ModelProfile(name="pile", service="api", registry="registry")
    people = tuple(
        Person(key=name, who=Who(team_id="T1", user_id=f"U{name}", name=name), roles=frozenset({role}))
        for name, role in (("alice", "engineer"), ("bob", "senior"), ("mia", "manager"))
    )
    system = System(name="loans", channel="#x", catch_all=("channel:#x",), models=(profile, pile))
    policy = Policy(people=people, systems={"loans": system})
    registry = BackendConfig("mlflow", {"url": real.url, "webhook_secret": SECRET})
    settings = Settings(
        policy=policy, database_url=Secret(f"sqlite:///{tmp_path / 'bot.db'}"),
        http=HttpSettings(port=0, webhook_token=Secret("t" * 20), max_body_bytes=200_000),
        slack=SlackSettings(mode="http", signing_secret=Secret("s" * 20), bot_token=Secret("x")),
        secret_key=Secret("canary-secret-key"), backends={"loans": {"registry": registry}},
        labels={"loans": {MODEL: labels}}, drift_worker=WorkerSettings(folders=(tmp_path,)),
    )  # fmt: skip
    one = Bot(settings, load())
    one._ticker.start(paused=True)
    one._serve_http()
    yield one
    one.stop()


def test_mlflow_itself_tells_of_a_move_and_it_is_stored_before_the_answer(bot: Bot, real: RealMlflow) -> None:
    """A real server signs and sends; the move has one exact time instead of two."""
    bot.ledger.look()
    hook = real.client.create_webhook(
        "bot", f"{bot.address}/webhooks/mlflow", ["model_version_alias.created", "model_version_alias.deleted"],
        secret=SECRET,
    )  # fmt: skip
    try:

        def told() -> bool:
            # MLflow keeps its list of webhooks for a second, and sends what is set again once more.
            real.client.set_registered_model_alias(MODEL, "champion", "3")
            return len(bot.store.moves("loans", MODEL)) == 2

        wait_until(told, what="the move is told", timeout_seconds=20)
        newest, first = bot.store.moves("loans", MODEL)
        assert (first.to, newest.from_, newest.to, newest.told_by) == ("2", "2", "3", BY_WEBHOOK)
        assert newest.earliest_at == newest.latest_at
        assert bot.ledger.look() == 0, "the look after it finds nothing new"
    finally:
        real.client.delete_webhook(hook.webhook_id)
        real.client.set_registered_model_alias(MODEL, "champion", "2")


@pytest.mark.parametrize("secret", ["", "a-secret-that-is-not-ours-at-all"])
def test_a_delivery_without_our_secret_is_refused(bot: Bot, real: RealMlflow, secret: str) -> None:
    hook = real.client.create_webhook(
        "stranger", f"{bot.address}/webhooks/mlflow", ["model_version_alias.created"], secret=secret or None
    )
    try:
        result = real.client.test_webhook(hook.webhook_id, "model_version_alias.created")
        assert not result.success
        assert result.response_status == 401
        assert bot.store.moves("loans", "example_model") == ()
    finally:
        real.client.delete_webhook(hook.webhook_id)


def test_what_cannot_be_stored_is_not_answered_with_yes(bot: Bot) -> None:
    data = {"name": MODEL, "alias": "champion", "version": "1"}
    body = json.dumps(event(data=data, timestamp=datetime.now(UTC).isoformat())).encode()
    headers = signed(body, secret=SECRET, at=datetime.now(UTC))
    bot._outdated = "the tables are not its own"
    assert requests.post(f"{bot.address}/webhooks/mlflow", data=body, headers=headers, timeout=10).status_code == 503
    assert bot.store.moves("loans", MODEL) == ()
    bot._outdated = ""
    for said in ("model_version_alias.created", "model_version_alias.created, taken before"):
        answer = requests.post(f"{bot.address}/webhooks/mlflow", data=body, headers=headers, timeout=10)
        assert (answer.status_code, answer.json()["said"]) == (200, said)
    assert len(bot.store.moves("loans", MODEL)) == 1


def test_quality_is_computed_outside_and_held_against_what_mlflow_recorded(bot: Bot) -> None:
    """From what a person types to a process of its own, and the baseline of the version that is champion."""
    reply = bot.desk.say(f"quality {MODEL}", Asker(who=Who(team_id="T1", user_id="U1")))
    assert reply.later is not None
    text = reply.later().text
    assert text.startswith("WORSE than when v2 was registered: accuracy 0.800 against 0.940 in the last 7 days.")
    assert "label coverage: 500 labels share of the predictions: 50%" in text


def test_a_body_without_end_is_cut_off(bot: Bot) -> None:
    headers = {"X-MLflow-Signature": "v1,AAAA"}
    assert requests.post(f"{bot.address}/webhooks/mlflow", data=b"x" * 300_000, headers=headers, timeout=10
                         ).status_code == 413  # fmt: skip
    assert requests.post(f"{bot.address}/webhooks/mlflow", data=b"x", timeout=10).status_code == 401


# removing


def test_cleaning_up_removes_what_nobody_needs_and_nothing_else(real: RealMlflow) -> None:
    real.model("many")
    for number in range(6):
        real.version("many", metrics={"accuracy": 0.9 + number / 100})
    real.client.set_registered_model_alias("many", "champion", "3")
    doomed = real.client.get_model_version("many", "3").run_id
    real.client.delete_run(doomed)
    profile = ModelProfile(name="many", service="api", registry="registry")
    look = scene(real)
    look = Scene(
        now=look.now, system=System(name="loans", models=(profile,)), model=profile, service="api",
        backends=look.backends, used=lambda: {"2": "the ledger has it"},
    )  # fmt: skip
    draft = cleanup.ACTION.draw(look, {"model": "many", "keep": "1"})
    assert isinstance(draft, Draft)
    assert draft.args["victims"] == "1,4,5"
    assert "run of v3" in draft.warnings[0]
    assert "kB in 2 files" in draft.changes[0]
    plan = plan_of("cleanup", draft, request={"model": "many", "keep": "1"})
    assert cleanup.ACTION.fingerprint(look, plan) == draft.fingerprint
    real.client.set_registered_model_alias("many", "challenger", "5")
    assert cleanup.ACTION.fingerprint(look, plan) != draft.fingerprint
    seen = {step.name: cleanup.ACTION.perform(look, plan, step.name).outcome for step in draft.steps}
    assert seen == {"remove_1": Outcome.DONE, "remove_4": Outcome.DONE, "remove_5": Outcome.FAILED, PROOF: Outcome.DONE}
    left = real.client.search_model_versions("name='many'")
    assert sorted(one.version for one in left) == ["2", "3", "5", "6"]


def work(bot: Bot) -> None:
    """Do what is due and what follows from it."""
    while jobs := bot._claim_work(10, ()):
        for job in jobs:
            bot.worker.do(job)


def test_cleaning_up_goes_by_plan_two_approvals_and_the_ledger(bot: Bot, real: RealMlflow) -> None:
    """v2 was champion and nothing points at it any more: the ledger alone keeps it."""
    real.model("pile")
    for number in range(5):
        real.version("pile", metrics={"accuracy": 0.9 + number / 100})
    for champion in ("2", "5"):
        real.client.set_registered_model_alias("pile", "champion", champion)
        bot.ledger.look()
    alice, bob, mia = (Asker(who=person.who) for person in bot.engine.policy.people)
    assert "card comes" in bot.desk.say("cleanup pile keep 1", alice).text
    work(bot)
    plan = bot.store.incidents(limit=1)[0].plans[-1]
    assert plan.draft is not None, plan.ended_why
    assert (plan.draft.args["victims"], plan.needed) == ("1,3,4", 2)
    assert "v2 (the ledger has it as alias champion" in plan.draft.because
    bot.desk.click_approve(plan.id, plan.digest[:16], bob)
    work(bot)
    assert len(real.client.search_model_versions("name='pile'")) == 5, "one approval is not enough"
    bot.desk.click_approve(plan.id, plan.digest[:16], mia)
    wait_until(lambda: work(bot) or bot.store.incidents(limit=1)[0].plans[-1].is_ended, what="the plan ends",
               timeout_seconds=30)  # fmt: skip
    plan = bot.store.incidents(limit=1)[0].plans[-1]
    assert str(plan.state) == "verified", plan.ended_why
    left = real.client.search_model_versions("name='pile'")
    assert sorted(one.version for one in left) == ["2", "5"]
