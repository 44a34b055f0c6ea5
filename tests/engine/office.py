"""The bot's own parts put together by hand, with a clock that a test moves and a local Slack at the other end.

An office is one replica: several may share a database. Nothing runs by itself; a test says what is done when.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bot.deliver import Deliverer
from bot.desk import Asker, Desk, Reply
from bot.engine import Engine, Incoming, Intake
from bot.model import Alert, Draft, Finding, Incident, Level, Outcome, Plan, Severity, Step, Subject, Who
from bot.policy import Ladder, ModelProfile, Person, Policy, System
from bot.ports import Action, Foreign, Refusal, Scene, Seen
from bot.render import Renderer
from bot.slack.client import SlackChat, web_client
from bot.store import Job, Store
from bot.work import Worker
from handlers.sources.alertmanager import key_of
from playground.slack import Workspace, user_id
from playground.slack.state import TEAM_ID
from playground.slack.world import Call

TEMPLATES = Path(__file__).resolve().parents[2] / "templates"
CHANNEL = "#ml-oncall"
MODEL = "intent"
ALICE, BOB, MIA, GHOST = (Who(team_id=TEAM_ID, user_id=user_id(n), name=n) for n in ("alice", "bob", "mia", "ghost"))
LEVELS = (15, 30, 60, 120)  # minutes


class Clock:
    """The time that everybody in the office reads; it moves when a test says so."""

    def __init__(self) -> None:
        # Near the workspace's own time, which stamps messages: who looks for one looks around its time.
        self.at = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.at

    def advance(self, **span: float) -> None:
        self.at += timedelta(**span)


@dataclass
class Lever:
    """A guarded change of something in memory: the smallest real action."""

    name: str = "flip"
    usage: str = "flip <model>"
    summary: str = "turn it over"
    at: str = "old"
    pulled: int = 0
    trouble: list[Exception] = field(default_factory=list)  # raised by `draw`, one after the other
    on_perform: Callable[[], object] = lambda: None

    def parse(self, words: Sequence[str], system: System) -> tuple[str, dict[str, str]] | Refusal:
        if words and system.model(words[0]):
            return words[0], {"to": "new"}
        return Refusal(why="`/mlops flip <model>`.")

    def draw(self, scene: Scene, request: Mapping[str, str]) -> Draft | Refusal:
        if self.trouble:
            raise self.trouble.pop(0)
        steps = (Step(name="pull", sentence="Pull the lever"), Step(name="prove", sentence="Look at it", proves=True))
        return Draft(
            title="Flip it", from_="old", to="new", because="new is known to be good", steps=steps,
            inverse={"to": "old"}, inverse_text="flip it back", fingerprint={"at": self.at}, args={"to": "new"},
            tier="change",
        )  # fmt: skip

    def fingerprint(self, scene: Scene, plan: Plan) -> dict[str, str]:
        return {"at": self.at}

    def perform(self, scene: Scene, plan: Plan, step: str) -> Seen:
        if step == "pull":
            self.pulled += 1
            self.at = "new"
            self.on_perform()
            return Seen(outcome=Outcome.DONE, detail="pulled")
        return self.observe(scene, plan, step)

    def observe(self, scene: Scene, plan: Plan, step: str) -> Seen:
        return Seen(outcome=Outcome.DONE if self.at == "new" else Outcome.NOT_YET, detail=f"it is {self.at}")


@dataclass
class Question:
    """A diagnostic that does what a test wants."""

    name: str
    ask_it: Callable[[Scene], Finding]
    question: str = "how is it?"
    needs: tuple[str, ...] = ()

    def ask(self, scene: Scene) -> Finding:
        return self.ask_it(scene)


def answering(name: str, **more: Any) -> Question:
    return Question(name, lambda _: Finding(diagnostic=name, sentence=f"{name} is fine", **more))


def failing(name: str, problem: Exception) -> Question:
    def ask(_: Scene) -> Finding:
        raise problem

    return Question(name, ask)


DOWN = Foreign("unreachable", "Prometheus does not answer.", happened=False)


def policy(*systems: System, oncall: str = "alice", catch_all: tuple[str, ...] = (f"channel:{CHANNEL}",)) -> Policy:
    people = (
        Person(key="alice", who=ALICE, roles=frozenset({"oncall", "engineer"})),
        Person(key="bob", who=BOB, roles=frozenset({"engineer", "senior"})),
        Person(key="mia", who=MIA, roles=frozenset({"manager"})),
        Person(key="ghost", who=GHOST, roles=frozenset({"oncall"})),  # configured, but not in the workspace
    )
    return Policy(people=people, systems={one.name: one for one in systems or (system(oncall, catch_all),)})


def system(oncall: str = "alice", catch_all: tuple[str, ...] = (), name: str = "shop") -> System:
    steps = tuple(Level(number=n, after=timedelta(minutes=m), targets=("oncall",)) for n, m in enumerate(LEVELS, 1))
    return System(
        name=name, channel=CHANNEL, catch_all=catch_all, oncall=(oncall,), services=("api",),
        models=(ModelProfile(name=MODEL, service="api"),), ladders=dict.fromkeys(Severity, Ladder(levels=steps)),
    )  # fmt: skip


class Office:
    """One replica of the bot, moved by hand."""

    def __init__(
        self, store: Store, ws: Workspace, clock: Clock, *, owner: str = "one", rules: Policy | None = None,
        lever: Lever | None = None, questions: Sequence[Question] = (), templates: Path = TEMPLATES,
        actions: Mapping[str, Action] | None = None, backends: Mapping[str, object] | None = None,
    ) -> None:  # fmt: skip
        self.store, self.ws, self.clock, self.owner = store, ws, clock, owner
        self.lever = lever or Lever()
        self.engine = Engine(store, rules or policy(), clock)
        asked = {one.name: one for one in questions}
        able = actions or {self.lever.name: self.lever}
        self.worker = Worker(self.engine, actions=able, diagnostics=asked, backends=lambda _: backends or {}, draw=None)
        self.desk = Desk(self.engine, self.worker, able, asked)
        self.chat = SlackChat(web_client(ws.bot_token, ws.api_url), clock)
        self.deliverer = Deliverer(self.engine, self.chat, Renderer(templates), owner=owner)

    # what comes in

    def alert(self, name: str = "LowAccuracy", *, model: str = MODEL, systems: str = "shop") -> Intake:
        labels = {"alertname": name, "system": systems, "model": model, "severity": "critical"}
        one = Alert(
            source="alertmanager", fingerprint=f"{name}/{model}", firing=True, starts_at=self.clock(), ends_at=None,
            labels=labels, annotations={"summary": "accuracy is low"}, url="",
        )  # fmt: skip
        subject = Subject(system=systems, service="api", model=model)
        incoming = Incoming(alert=one, key=key_of(subject, "group", one), subject=subject)
        return self.engine.take_in([incoming], [], 0)

    def say(self, text: str, who: Who = ALICE, **more: str) -> Reply:
        return self.desk.say(text, Asker(who=who, **more))

    def approve(self, plan: Plan, who: Who = BOB, **more: str) -> Reply:
        return self.desk.click_approve(plan.id, plan.digest[:16], Asker(who=who, **more))

    # what is done

    def claim_work(self) -> list[Job]:
        return self.store.claim("work", self.owner, self.clock(), timedelta(seconds=60), limit=10)

    def work(self) -> int:
        """Do the work that is due, and what follows from it."""
        done = 0
        while jobs := self.claim_work():
            for job in jobs:
                self.worker.do(job)
                done += 1
        return done

    def deliver(self) -> int:
        """Send what may go at this instant; how many were sent."""
        sent = 0
        while jobs := self.deliverer.claim(10):
            sent += sum(self.deliverer.send(job) for job in jobs)
        return sent

    def settle(self, seconds: int = 30) -> None:
        """Work and deliver, second by second, until that time has passed."""
        for _ in range(seconds):
            self.work()
            self.deliver()
            self.clock.advance(seconds=1)

    # what is seen

    @property
    def incident(self) -> Incident:
        return self.store.incidents(limit=1)[0]

    @property
    def plan(self) -> Plan:
        return self.incident.plans[-1]

    def kinds(self, incident_id: str = "INC-1") -> list[str]:
        """Kinds of the incident's audit lines."""
        return [line.kind for line in self.store.timeline(incident_id)]

    def close(self) -> None:
        self.worker.close()


def posts(ws: Workspace, *, ok: bool = True) -> list[Call]:
    return ws.calls("chat.postMessage", ok=ok)


def text_of(call: Call) -> str:
    return str(call.args.get("text"))


def at_once(*work: Callable[[], object]) -> list[object]:
    """Do all of it in the same instant, each in a thread of its own; the results, or what was raised, in order."""
    gate = threading.Barrier(len(work))
    results: list[object] = [None] * len(work)

    def run(index: int) -> None:
        gate.wait(10)
        try:
            results[index] = work[index]()
        except Exception as problem:  # noqa: BLE001
            results[index] = problem

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(work))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return results
