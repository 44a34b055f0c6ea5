"""Sample contexts for every template: for `mlops-bot preview`, for `check`, and for the tests.

samples() -> {template: ((what it shows, context), …)}
story(word) -> the same, with `word` in place of every text that a stranger could choose
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from bot.model import (
    Draft,
    EscalationState,
    Incident,
    IncidentKind,
    IncidentState,
    Paged,
    Plan,
    PlanState,
    Severity,
    Step,
    StepState,
    Subject,
    Vote,
    Who,
    digest_of,
)
from bot.policy import Person, Policy, System
from bot.policy.escalation import armed, silent
from bot.render import drift_samples
from bot.render.card import card
from bot.render.contexts import Context
from bot.render.headline import bundle, headline, page, update
from bot.render.thread import checklist, diagnosis, note, summary
from bot.runbook import Runbook

NOW = datetime(2026, 3, 14, 2, 47, 12, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)
Samples = Mapping[str, tuple[tuple[str, Context], ...]]
_ENDS = {
    PlanState.VERIFIED: "The server reports version 2, and accuracy 0.93 is at least 0.8.",
    PlanState.FAILED: "The server did not reload: it answered 503.",
    PlanState.UNKNOWN: "Not proven in time: accuracy is not known yet. Look yourself before calling it done.",
    PlanState.REFUSED: "Not started, nothing was changed: changes are frozen.",
    PlanState.REJECTED: "@Bob said no: let us look at the labels first",
    PlanState.EXPIRED: "Nobody approved in time. Nothing was changed; ask again if it is still needed.",
    PlanState.VOID: "Void, nothing was changed: alias champion moved from 3 to 4. A new preview follows.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A line of a sample timeline."""

    at: datetime
    kind: str
    by: Who
    text: str


def samples() -> Samples:
    """What each template looks like at its main moments."""
    return story("")


def story(word: str) -> Samples:
    """The samples; with a `word`, it stands in every text that comes from outside."""
    cast = Cast(word)
    return {
        "headline": tuple(_headlines(cast)),
        "card": tuple(_cards(cast)),
        "page": tuple(_pages(cast)),
        "bundle": tuple(_bundles(cast)),
        "update": tuple(_updates(cast)),
        "diagnosis": tuple(_diagnoses(cast)),
        "note": (
            (
                "raised",
                note(
                    {"text": cast.says("raised from P1 to P0: 0 of 2 replicas answer"), "by": "mlops-bot"},
                    cast.incident(),
                ),
            ),
            (
                "by a person",
                note({"text": cast.says("I see it too\nlooking at the labels"), "by": "U0ALICE"}, cast.incident()),
            ),
        ),
        "summary": tuple(_summaries(cast)),
        "runbook": (("accuracy", checklist(cast.incident(), cast.book())),),
        "drift": tuple(drift_samples.cards(cast.says, cast.alice, NOW)),
        "drift_review": tuple(drift_samples.reviews(cast.says, cast.alice, NOW)),
    }


class Cast:
    """The people, the system and the incident of the story."""

    def __init__(self, word: str) -> None:
        self.word = word
        self.alice = Who(team_id="T1", user_id="U0ALICE", name=self.says("Alice"))
        self.bob = Who(team_id="T1", user_id="U0BOB", name="Bob")
        self.system = System(
            name="playground", title=self.says("Playground"), owner=self.says("ML platform"), channel="#ml-incidents",
            catch_all=("channel:#ml-incidents",), oncall=("alice",), environment=self.says("production"),
        )  # fmt: skip
        people = (
            Person(key="alice", who=self.alice, roles=frozenset({"oncall", "engineer"})),
            Person(key="bob", who=self.bob, roles=frozenset({"engineer", "senior"})),
        )
        self.policy = Policy(people=people, systems={"playground": self.system})

    def says(self, text: str) -> str:
        """The text, or the hostile word in its place."""
        return self.word or text

    def incident(self, **changes: object) -> Incident:
        """The incident as it was opened, with changes."""
        subject = Subject(
            system="playground", service=self.says("intent-server"), model=self.says("intent_classifier")
        )  # fmt: skip
        opened = Incident(
            id="INC-7", key="k", kind=IncidentKind.ALERT, state=IncidentState.OPEN, epoch=1, severity=Severity.P1,
            subject=subject,
            severity_why=self.says("accuracy 0.41 under the critical bound 0.80 on a production model"),
            title=self.says("ModelAccuracyLow"), channel="#ml-incidents", opened_at=NOW - 3 * _MINUTE,
            started_at=NOW - 4 * _MINUTE,
            symptom=self.says("Accuracy of intent_classifier is 0.41, under the bound 0.80"),
            escalation=armed(self.system, Severity.P1, NOW - 3 * _MINUTE), firing=3, total=5, truncated=12,
            alert_names=(self.says("ModelAccuracyLow"), self.says("ModelErrorRateHigh")),
            links=((self.says("Source"), "https://prometheus.example.com/graph?g0.expr=x"), ("Bad", self.says("no"))),
            runbook="playground/ModelAccuracyLow",
        )  # fmt: skip
        return replace(opened, **changes)  # type: ignore[arg-type]

    def plan(self, state: PlanState, **changes: object) -> Plan:
        """The rollback in the given state."""
        draft = self.draft()
        plan = Plan(
            id="PLN-4", action="rollback", subject=self.incident().subject, request={"model": "intent_classifier"},
            requested_by=self.alice, requested_at=NOW - 2 * _MINUTE, reason=self.says("accuracy fell with v3"),
        )  # fmt: skip
        if state is PlanState.DRAWING:
            return plan
        digest = digest_of("rollback", plan.subject, draft)
        steps = _steps(draft.steps, state)
        plan = replace(plan, state=state, draft=draft, digest=digest, steps=steps, expires_at=NOW + 28 * _MINUTE)
        if any(step.state is not StepState.PENDING for step in steps) or state is PlanState.APPROVED:
            plan = replace(plan, votes=(Vote(by=self.bob, at=NOW - _MINUTE),), approved_at=NOW - _MINUTE)
        if any(step.state is not StepState.PENDING for step in steps):
            plan = replace(plan, started_at=NOW - _MINUTE, watch_until=NOW + 9 * _MINUTE)
        if state in _ENDS:
            plan = replace(plan, ended_at=NOW, ended_why=self.says(_ENDS[state]))
        return replace(plan, **changes)  # type: ignore[arg-type]

    def draft(self) -> Draft:
        """What the rollback proposes."""
        sentences = (
            ("move-alias", "Point alias champion of intent_classifier from version 3 to version 2", False),
            ("reload", "Tell intent-server to load what champion points at", False),
            ("prove-version", "See that intent-server itself reports version 2", True),
            ("prove-signal", "See that accuracy is at least 0.8 again", True),
        )
        return Draft(
            title=self.says("Roll back intent_classifier from v3 to v2"), from_=self.says("v3"), to=self.says("v2"),
            because=self.says("v2 is the last known-good: it served 2 h 10 min within bounds until 02:31"),
            steps=tuple(Step(name=name, sentence=self.says(text), proves=proves) for name, text, proves in sentences),
            inverse={"model": "intent_classifier", "to": "3"},
            inverse_text=self.says("rollback intent_classifier to 3"),
            fingerprint={"alias": "3"}, args={"to": "2"}, tier="change",
            blast=self.says("every caller of intent-server, for about a second"),
            warnings=(self.says("the alert began 12 min after v3 went live, so v3 is marked bad"),), marks_bad="3",
            changes=(self.says("srv.image: registry.local/intent:v3 → registry.local/intent:v2"),),
            checks=(
                ("pass", self.says("accuracy"), "0.9667", "at least 0.95"),
                ("not recorded", self.says("brier"), "", "at most 0.2"),
            ),
        )  # fmt: skip

    def book(self) -> Runbook:
        """A runbook."""
        return Runbook(
            name="playground/ModelAccuracyLow", system="playground", title=self.says("Accuracy of a model is low"),
            match={"alertname": ("ModelAccuracyLow",)}, diagnostics=("current",), actions=("rollback", "reload"),
            owner=self.says("ML platform"), reviewed=date(2026, 2, 1),
            meaning=self.says("The model gives **wrong answers** more often than it may."),
            impact=self.says("Callers are routed wrongly; nothing errors, so nobody else notices."),
            diagnosis=self.says("Compare the served version with the registry. See [the graph](https://example.com/g)."),
            mitigation="", checklist=(self.says("Acknowledge."), self.says("Roll back if a new version went live.")),
        )  # fmt: skip


def _steps(steps: tuple[Step, ...], state: PlanState) -> tuple[Step, ...]:
    """How far the steps are when the plan is in that state."""
    done = {
        PlanState.RUNNING: 1,
        PlanState.WATCHING: 3,
        PlanState.VERIFIED: 4,
        PlanState.FAILED: 1,
        PlanState.UNKNOWN: 3,
    }
    last = {
        PlanState.RUNNING: StepState.STARTED, PlanState.WATCHING: StepState.STARTED, PlanState.FAILED: StepState.FAILED,
        PlanState.UNKNOWN: StepState.UNKNOWN,
    }  # fmt: skip
    count = done.get(state, 0)
    told = [replace(step, state=StepState.DONE, started_at=NOW - _MINUTE, ended_at=NOW) for step in steps[:count]]
    if state in last:
        begun = replace(steps[count], state=last[state], started_at=NOW - _MINUTE, detail="accuracy is not known yet")
        told.append(begun)
    return (*told, *steps[len(told) :])


def _headlines(cast: Cast) -> Iterator[tuple[str, Context]]:
    ladder = cast.incident().escalation
    paged = Paged(number=1, at=NOW - _MINUTE, whom=("user:U0ALICE",), late_by=timedelta(0))
    late = Paged(
        number=2, at=NOW, whom=("channel:#ml-incidents",), late_by=47 * _MINUTE, why=cast.says("reaches nobody")
    )
    climbed = replace(ladder, paged=(paged, late), next_number=3, next_due_at=NOW + 60 * _MINUTE)
    resting = replace(climbed, state=EscalationState.RESTING, next_due_at=None)
    repeating = replace(climbed, state=EscalationState.REPEATING, next_number=5)
    acked = {"state": IncidentState.ACKNOWLEDGED, "owner": cast.alice, "acked_at": NOW, "acked_by": cast.alice}
    ended = {"state": IncidentState.RESOLVED, "resolved_at": NOW, "resolved_by": cast.bob, "firing": 0}
    held = replace(
        ladder, next_due_at=NOW + 60 * _MINUTE, held_until=NOW + 60 * _MINUTE, held_why=cast.says("patching")
    )
    asked = replace(resting, ack_timeout=30 * _MINUTE)
    moments: tuple[tuple[str, dict[str, object]], ...] = (
        ("just opened", {}),
        ("planned work", {"escalation": held}),
        ("asked", {**acked, "escalation": asked, "asked_at": NOW}),
        ("nobody answers", {"escalation": climbed, "reopened": 1}),
        ("last level repeats", {"escalation": repeating, "severity": Severity.P0}),
        ("acknowledged", {**acked, "escalation": resting, "plans": (cast.plan(PlanState.PENDING),)}),
        ("snoozed", {"state": IncidentState.SNOOZED, "snoozed_until": NOW + 60 * _MINUTE, "escalation": resting}),
        ("all clear", {**acked, "escalation": resting, "quiet_until": NOW + 2 * _MINUTE, "firing": 0}),
        ("resolved", {**ended, "escalation": resting, "plans": (cast.plan(PlanState.VERIFIED),)}),
        (
            "a change",
            {"kind": IncidentKind.CHANGE, "escalation": silent(NOW), "plans": (cast.plan(PlanState.DRAWING),)},
        ),
    )
    for title, changes in moments:
        yield title, headline(cast.incident(**changes), cast.policy, NOW, ("rollback", "reload"), cast.book().title)


def _cards(cast: Cast) -> Iterator[tuple[str, Context]]:
    incident = cast.incident()
    for state in PlanState:
        yield state.value, card(incident, cast.plan(state), cast.policy, NOW)
    glass = Vote(by=cast.alice, at=NOW, break_glass=cast.says("nobody else answers and users see errors"))
    yield "alone", card(incident, cast.plan(PlanState.RUNNING, votes=(glass,), replaces="PLN-3"), cast.policy, NOW)


def _pages(cast: Cast) -> Iterator[tuple[str, Context]]:
    late = {"number": 2, "reason": "level 2", "late_by_s": 47 * 60, "repeated": True}
    glass = {"number": 0, "reason": cast.says("break glass by @Alice: nobody else answers"), "late_by_s": 0}
    acked = {"state": IncidentState.ACKNOWLEDGED, "owner": cast.alice, "plans": (cast.plan(PlanState.FAILED),)}
    yield "level 1", page(cast.incident(), {"number": 1, "reason": "level 1", "late_by_s": 0}, cast.policy, NOW)
    yield "late", page(cast.incident(severity=Severity.P0), late, cast.policy, NOW)
    yield "break glass", page(cast.incident(**acked), glass, cast.policy, NOW)
    asked: dict[str, object] = {"number": 0, "reason": cast.says("are you still on INC-7?"), "asks": "still_on_it"}
    yield "still on it?", page(cast.incident(**acked), asked, cast.policy, NOW)
    told: dict[str, object] = {"number": 3, "reason": "level 3, for information: @Alice has it", "asks": "nothing"}
    yield "for information", page(cast.incident(**acked), told, cast.policy, NOW)
    group: dict[str, object] = {"number": 1, "reason": "level 1", "target": "group:S0ONCALL"}
    yield "a user group", page(cast.incident(), group, cast.policy, NOW)


def _bundles(cast: Cast) -> Iterator[tuple[str, Context]]:
    late: dict[str, object] = {"number": 2, "reason": "level 2", "late_by_s": 47 * 60}
    first: dict[str, object] = {"number": 1, "reason": "level 1"}
    others = [(cast.incident(id=f"INC-{number}"), first) for number in range(8, 22)]
    yield "two", bundle([(cast.incident(), first), (cast.incident(id="INC-8", severity=Severity.P0), late)])
    yield "many", bundle(others, repeated=True)


def _updates(cast: Cast) -> Iterator[tuple[str, Context]]:
    acked = {"state": IncidentState.ACKNOWLEDGED, "owner": cast.alice, "acked_at": NOW}
    plans = (cast.plan(PlanState.WATCHING),)
    soon: dict[str, object] = {"next_at": NOW + 30 * _MINUTE}
    yield "nobody has it", update(cast.incident(), soon, cast.policy, NOW)
    yield "somebody has it", update(cast.incident(**acked, plans=plans), soon, cast.policy, NOW)
    ended = {"state": IncidentState.RESOLVED, "resolved_at": NOW, "resolved_by": cast.bob}
    yield "it is over", update(cast.incident(**ended), {"is_last": True}, cast.policy, NOW)


def _diagnoses(cast: Cast) -> Iterator[tuple[str, Context]]:
    rows = [[cast.says("accuracy"), "0.41", "at least 0.8"], [cast.says("latency_p95"), "0.02 s", "at most 1"]]
    data: dict[str, object] = {
        "diagnostic": "current", "sentence": cast.says("accuracy is out of bounds: 0.41, at least 0.8"), "rows": rows,
        "available": True, "took_s": 0.31, "at": NOW.isoformat(), "picture_alt": cast.says("accuracy over 30 min"),
    }  # fmt: skip
    down = {"diagnostic": "health", "sentence": cast.says("Prometheus does not answer (time-out)."), "available": False}
    incident = cast.incident()
    yield "numbers", diagnosis(data, incident)
    yield "picture", diagnosis({**data, "file_id": "F0PICTURE"}, incident)
    yield "down", diagnosis(down, incident)


def _summaries(cast: Cast) -> Iterator[tuple[str, Context]]:
    plans = (cast.plan(PlanState.VOID), cast.plan(PlanState.VERIFIED))
    ended = cast.incident(
        state=IncidentState.RESOLVED, resolved_at=NOW, resolved_by=cast.bob, first_acked_at=NOW - 2 * _MINUTE,
        acked_by=cast.alice, plans=plans,
    )  # fmt: skip
    rule = cast.says("You asked for this change, so somebody else must approve it. Ask @bob.")
    refused = Told(at=NOW, kind="refused.own_request", by=cast.alice, text=rule)
    closed = Told(at=NOW, kind="resolved", by=cast.bob, text=cast.says("every alert has stopped"))
    yield "with a rollback", summary(ended, [refused, closed], cast.policy, NOW)
    yield "many refusals", summary(ended, [refused] * 30, cast.policy, NOW)
    quiet = cast.incident(state=IncidentState.RESOLVED, resolved_at=NOW, resolved_by=cast.bob)
    yield "nothing happened", summary(quiet, [], cast.policy, NOW)
