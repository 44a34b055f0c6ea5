"""Hostile text through the whole core: nothing raises, nothing hides, nothing grows without bound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime

import pytest

from bot import events as ev
from bot.decide import decide
from bot.effects import Decision
from bot.events import Event
from bot.model import (
    Alert,
    Finding,
    Incident,
    IncidentKind,
    Outcome,
    Severity,
    Step,
    TimerKind,
    Who,
    digest_of,
)
from tests.core.stage import ALICE, BOB, FACTS, MALLORY, POLICY, SUBJECT, T0, draft
from tests.core.transcript import at

HOSTILE = {
    "mentions": "<!channel> <@UALICE> <#C1> @here <https://evil.example|click me>",
    "jinja": "{{ ''.__class__.__mro__[1].__subclasses__() }}{% for x in range(9**9) %}x{% endfor %}",
    "format": "{0.__init__.__globals__} %s %n %(x)s ${HOME} `id` $(id)",
    "huge": "A" * 100_000,
    "huge lines": "\n" * 100_000,
    "nul": "before\x00after\x01\x1b[31mred\x7f",
    "bidi": "safe \u202egnp.exe\u2066 \u200fmixed\u200e \u061c",
    "zero width": "pro\u200bduc\u2060tion\ufeff",
    "surrogate": "half \ud800 of a pair \udfff",
    "tags": "look\U000e0041\U000e0042",
    "empty": "",
    "spaces": " \t \n ",
    "emoji": "😀" * 30_000,
}
UNSEEN = set(
    map(chr, [*range(0x20), 0x7F, 0x200B, 0x200E, 0x200F, 0x202E, 0x2060, 0x2066, 0x061C, 0xFEFF, 0xD800, 0xDFFF])
)
UNSEEN -= {"\n"}
LONGEST = 2_200  # characters of one text; a note may have two thousand
MOST = 30_000  # characters of an incident with every field filled
YEAR_ONE = datetime(1, 1, 1, tzinfo=UTC)


@pytest.fixture(params=list(HOSTILE.values()), ids=list(HOSTILE))
def text(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def alert(text: str, *, firing: bool = True, name: str | None = None) -> Alert:
    return Alert(
        source="alertmanager", fingerprint=text[:20] or "f", firing=firing, starts_at=YEAR_ONE, ends_at=None,
        labels={"alertname": text if name is None else name, "severity": text, "model": text, text: text},
        annotations={"summary": text, "description": text, "value": text},
    )  # fmt: skip


def alerts(text: str, **changes: object) -> ev.AlertsChanged:
    event = ev.AlertsChanged(
        incident_id="INC-1", key="shop/intent", subject=SUBJECT, changed=(alert(text),), firing=1, total=1,
        links=((text, text), ("board", f"https://grafana.example/{text}"), ("js", f"javascript:{text}")),
    )  # fmt: skip
    return replace(event, **changes)  # type: ignore[arg-type]


def texts(value: object) -> Iterator[str]:
    """Every text inside a value."""
    if isinstance(value, str):
        yield value
    elif is_dataclass(value):
        for one in fields(value):
            yield from texts(getattr(value, one.name))
    elif isinstance(value, dict):
        yield from texts(tuple(value.items()))
    elif isinstance(value, (tuple, list, frozenset)):
        for inner in value:
            yield from texts(inner)


def assert_tame(decision: Decision) -> None:
    """What people will read is visible and bounded."""
    for shown in texts((decision.effects, decision.why)):
        assert len(shown) <= LONGEST
        assert not UNSEEN & set(shown)
    if decision.incident is not None:
        assert sum(len(kept) for kept in texts(decision.incident)) <= MOST


def run(events: list[Event], incident: Incident | None = None) -> Incident:
    for minute, event in enumerate(events, 1):
        decision = decide(incident, event, at(minute), POLICY)
        assert_tame(decision)
        incident = decision.incident
    assert incident is not None
    return incident


def test_alerts_made_of_hostile_text(text: str) -> None:
    opened = run([alerts(text), alerts(text, changed=(alert(text, name="A"), alert(text, name=text[::-1])))])

    assert len(opened.title) <= 150
    assert "\n" not in opened.title
    assert opened.title.strip()
    assert len(opened.symptom) <= 500
    assert opened.severity is Severity.P1  # by the rule for A; the word of the label is not known
    assert opened.started_at == at(1)  # the year 1 is no start
    assert all(address.startswith("https://") and len(address) <= 2000 for _, address in opened.links)


def test_a_thousand_alerts_with_different_names_are_counted_not_kept() -> None:
    many = tuple(alert("x", name=f"{number}{'N' * 200}") for number in range(1000))

    opened = run(
        [alerts("x", changed=many, firing=1000, total=1000), alerts("x", changed=many[::-1], firing=1000, total=2000)]
    )

    assert len(opened.alert_names) == 20
    assert (opened.firing, opened.total) == (1000, 2000)


def test_links_do_not_pile_up() -> None:
    more: list[Event] = [alerts("x", links=((f"board {n}", f"https://grafana.example/{n}"),)) for n in range(50)]

    assert len(run(more).links) == 10


def test_people_who_type_hostile_text(text: str) -> None:
    who = replace(BOB, name=text)
    kept = run([
        alerts("A"),
        ev.Noted(by=who, text=text),
        ev.SeverityChanged(by=who, to=Severity.P2, reason=text),
        ev.Assigned(by=who, to=replace(ALICE, name=text)),
        ev.Acknowledged(by=replace(MALLORY, name=text)),
        ev.DiagnosticsAsked(by=who, names=(text,) * 1000),
        ev.RunbookAsked(by=who, name=text),
        ev.PersonPaged(by=who, to=replace(ALICE, name=text), reason=text),
        ev.Resolved(by=who, note=text),
        ev.Reopened(by=who),
    ])  # fmt: skip

    assert len(kept.severity_why) <= 300


def test_a_declared_incident_of_hostile_text(text: str) -> None:
    declared = ev.Declared(
        incident_id="INC-1", key="k", subject=SUBJECT, by=replace(ALICE, name=text), title=text, severity=Severity.P1,
        kind=IncidentKind.DECLARED,
    )  # fmt: skip

    assert len(run([declared]).title) <= 150


def test_findings_of_hostile_text(text: str) -> None:
    finding = Finding(
        diagnostic=text, sentence=text, rows=((text, text, text),) * 500, severity=Severity.P0, severity_why=text,
        picture_alt=text,
    )  # fmt: skip

    run([alerts("A"), ev.FindingReported(finding=finding), ev.FindingReported(finding=replace(finding, severity=None))])


def test_a_plan_of_hostile_text(text: str) -> None:
    who = replace(ALICE, name=text)
    proposal = replace(
        draft(), title=text, because=text, inverse_text=text, blast=text, warnings=(text,) * 100,
        steps=tuple(Step(name=step.name, sentence=text, proves=step.proves) for step in draft().steps),
    )  # fmt: skip
    request = ev.ActionRequested(
        plan_id="PLN-1", action="rollback", subject=SUBJECT, request={"model": "intent"}, by=who, reason=text
    )
    shown = run([
        alerts("B"),
        request,
        replace(request, plan_id="PLN-2", by=replace(MALLORY, name=text)),
        replace(request, plan_id="PLN-2", frozen=text[:100]),
        ev.PlanDrawn(plan_id="PLN-1", draft=proposal),
        ev.ApproveClicked(plan_id="PLN-1", digest=text, by=who, break_glass=text),
        ev.RejectClicked(plan_id="PLN-1", by=replace(MALLORY, name=text), reason=text),
    ])  # fmt: skip
    digest = shown.plans[0].digest

    started = run([
        ev.ApproveClicked(plan_id="PLN-1", digest=digest, by=who, break_glass=f"nobody is there {text}"),
        ev.TargetReread(plan_id="PLN-1", fingerprint=FACTS, next_plan_id="PLN-2"),
        ev.StepBegun(plan_id="PLN-1", index=0),
        ev.StepObserved(plan_id="PLN-1", index=0, outcome=Outcome.NOT_YET, detail=text),
        ev.StepObserved(plan_id="PLN-1", index=0, outcome=Outcome.FAILED, detail=text),
    ], shown)  # fmt: skip

    assert started.plans[0].state == "failed"
    assert digest == digest_of("rollback", SUBJECT, started.plans[0].draft or draft())


def test_facts_of_hostile_text_void_the_plan_in_few_words(text: str) -> None:
    before = run([
        alerts("B"),
        ev.ActionRequested(plan_id="PLN-1", action="rollback", subject=SUBJECT, request={}, by=ALICE),
        ev.PlanDrawn(plan_id="PLN-1", draft=draft()),
    ])  # fmt: skip
    voided = run([
        ev.ApproveClicked(plan_id="PLN-1", digest=before.plans[0].digest, by=BOB),
        ev.TargetReread(plan_id="PLN-1", fingerprint={"alias": text, text: text}, next_plan_id="PLN-2"),
        ev.PlanRefused(plan_id="PLN-2", why=text),
    ], before)  # fmt: skip

    assert [plan.state for plan in voided.plans] == ["void", "refused"]


def test_a_digest_tells_hostile_texts_apart() -> None:
    digests = {
        digest_of("rollback", SUBJECT, replace(draft(), to=to)) for to in (*HOSTILE.values(), "\\ud800", "\ud801")
    }

    assert len(digests) == len(HOSTILE) + 2


def test_every_event_is_answered_in_every_state() -> None:
    """Nothing raises for any pair of incident and event, in or out of season."""
    worlds: list[Incident | None] = [None]
    opened = run([alerts("B")])
    asked = run([ev.ActionRequested(plan_id="PLN-1", action="rollback", subject=SUBJECT, request={}, by=ALICE)], opened)
    shown = run([ev.PlanDrawn(plan_id="PLN-1", draft=draft())], asked)
    approved = run([ev.ApproveClicked(plan_id="PLN-1", digest=shown.plans[0].digest, by=BOB)], shown)
    running = run([ev.TargetReread(plan_id="PLN-1", fingerprint=FACTS, next_plan_id="PLN-2")], approved)
    ended = run([ev.StepBegun(plan_id="PLN-1", index=0), _seen(Outcome.UNKNOWN)], running)
    resolved = run([ev.Resolved(by=ALICE)], ended)
    worlds += [opened, asked, shown, approved, running, ended, resolved]

    answered = [decide(world, event, T0, POLICY).why.code for world in worlds for event in _every_event()]

    assert all(answered)
    assert len(answered) == 8 * len(list(_every_event()))


def _seen(outcome: Outcome, index: int = 0) -> ev.StepObserved:
    return ev.StepObserved(plan_id="PLN-1", index=index, outcome=outcome, detail="")


def _every_event() -> Iterator[Event]:
    for who in (ALICE, MALLORY, Who(team_id="", user_id="")):
        yield from (
            ev.Acknowledged(by=who, epoch=-1), ev.Unacknowledged(by=who), ev.Assigned(by=who, to=who),
            ev.SeverityChanged(by=who, to=Severity.P3, reason=""), ev.Snoozed(by=who, until=at(9)), ev.Resolved(by=who),
            ev.Reopened(by=who), ev.Noted(by=who, text=""), ev.EscalateClicked(by=who, epoch=1),
            ev.DiagnosticsAsked(by=who, names=()), ev.RunbookAsked(by=who, name=""),
            ev.PersonPaged(by=who, to=who),
        )  # fmt: skip
        for plan_id in ("PLN-1", "PLN-9", ""):
            yield from (
                ev.ActionRequested(plan_id=plan_id, action="", subject=SUBJECT, request={}, by=who),
                ev.ApproveClicked(plan_id=plan_id, digest="", by=who),
                ev.RejectClicked(plan_id=plan_id, by=who, reason=""),
            )
    yield from (alerts("A"), alerts("A", changed=(alert("A", firing=False),), firing=0), alerts("A", changed=()))
    yield from (ev.Unattended(), ev.FindingReported(finding=Finding(diagnostic="", sentence="")))
    for kind in ("escalate", "repeat", "unsnooze", "quiet", "expire"):
        for number in (-1, 0, 1, 99):
            yield ev.TimerDue(kind=TimerKind(kind), epoch=1, number=number, plan_id="PLN-1")
    for plan_id in ("PLN-1", "PLN-9"):
        yield ev.PlanDrawn(plan_id=plan_id, draft=draft("what?"))
        yield ev.PlanRefused(plan_id=plan_id, why="")
        yield ev.TargetReread(plan_id=plan_id, fingerprint={}, next_plan_id="")
        for index in (-1, 0, 1, 99):
            yield ev.StepBegun(plan_id=plan_id, index=index, after_attempt=-1)
            yield from (replace(_seen(outcome, index), plan_id=plan_id) for outcome in Outcome)
