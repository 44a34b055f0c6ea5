"""From checked shapes to the core's records. A system's own key wins, then mlops.yaml's default, then ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import TypeVar, get_args

from bot.config import gate as gates
from bot.config import quality
from bot.config.drift import DriftShape
from bot.config.ladders import (
    CalendarShape,
    EscalationShape,
    HoursShape,
    IssueShape,
    LaddersShape,
    LevelShape,
    MaintenanceShape,
    Weekday,
)
from bot.config.settings import CalendarSource
from bot.config.shape import (
    ApprovalShape,
    DefaultsShape,
    ModelShape,
    PersonShape,
    RotationShape,
    ServiceShape,
    SeverityShape,
    SystemShape,
)
from bot.config.training import training
from bot.model import Level, Severity, Who
from bot.policy import (
    TIERS,
    ApprovalRule,
    Bound,
    Issue,
    JobProfile,
    Ladder,
    Maintenance,
    ModelProfile,
    Person,
    SeverityRule,
    SwitchProfile,
    System,
    TrafficProfile,
    WorkloadProfile,
)
from bot.policy.approval import expiry, rule_for
from bot.policy.calendar import Calendar, Wait, Window
from bot.policy.escalation import default_ladder
from bot.policy.reach import Reach, Reachable
from bot.policy.roster import calendar_name
from bot.policy.rota import Layer, Rota

UNMAPPED = "unmapped"  # the system of alerts that no profile knows
T = TypeVar("T")


def person(key: str, shape: PersonShape, team_id: str) -> Person:
    """Somebody who is listed."""
    who = Who(team_id=shape.team_id or team_id, user_id=shape.user_id, name=shape.name or key)
    return Person(
        key=key, who=who, roles=frozenset(shape.roles), shell_user=shape.shell_user, zone=shape.zone,
        email=shape.email.lower(), reach=_reachable(key, shape),
    )  # fmt: skip


def _reachable(key: str, shape: PersonShape) -> Reachable | None:
    written = {word: getattr(shape.reach, word.value) for word in Severity}
    rules = {word: Reach(by=tuple(ways.by), at_work=ways.hours == "working") for word, ways in written.items() if ways}
    hours = shape.hours or CalendarShape(zone=shape.zone or "UTC")
    return Reachable(key=key, user_id=shape.user_id, rules=rules, hours=calendar(hours)) if rules else None


def rotation(name: str, shape: RotationShape) -> Rota:
    """A schedule of people."""
    layers = tuple(
        Layer(
            name=layer.name or f"layer {number}", people=tuple(layer.people),
            starts_on=layer.starts_on or date(1971, 1, 1), zone=layer.zone or shape.zone,
            hand_over=layer.hand_over, every=layer.every, calendar=layer.calendar is not None,
            windows=tuple(window(one) for one in layer.hours),
        )
        for number, layer in enumerate(shape.layers, 1)
    )  # fmt: skip
    return Rota(name=name, layers=layers, may_have_gaps=shape.gaps == "allowed", zone=shape.zone)


def calendar_sources(rotations: Mapping[str, RotationShape], base: Path) -> tuple[CalendarSource, ...]:
    """The calendars that say who is on call. `base`: the folder that paths are meant from."""
    return tuple(
        CalendarSource(
            name=calendar_name(name, built), zone=built.zone, url=layer.calendar.url,
            file=base / layer.calendar.file if layer.calendar.file else None, refresh=layer.calendar.refresh,
        )
        for name, shape in rotations.items()
        for layer, built in zip(shape.layers, rotation(name, shape).layers, strict=True)
        if layer.calendar is not None
    )  # fmt: skip


def window(shape: HoursShape) -> Window:
    """Hours on some days of the week."""
    weekdays = {word: number for number, word in enumerate(get_args(Weekday))}
    return Window(days=frozenset(weekdays[day] for day in shape.days), opens=shape.opens, closes=shape.closes)


def calendar(shape: CalendarShape) -> Calendar:
    """When a team is at work."""
    return Calendar(
        zone=shape.zone, windows=tuple(window(one) for one in shape.windows), holidays=frozenset(shape.holidays)
    )


def _maintenance(shape: MaintenanceShape) -> Maintenance:
    return Maintenance(zone=shape.zone, window=window(shape), why=shape.why, part=shape.part)


def system(name: str, shape: SystemShape, defaults: DefaultsShape, scale: float) -> System:
    """The profile of one system; `scale` shortens its delays for drills."""
    plain = System(name=name)
    channel = _first(shape.channel, defaults.channel, "")
    return System(
        name=name,
        title=shape.title,
        environment=shape.environment,
        owner=_first(shape.owner, defaults.owner, ""),
        channel=channel,
        catch_all=tuple(_first(shape.catch_all, defaults.catch_all, [f"channel:{channel}"] if channel else [])),
        oncall=tuple(_first(shape.oncall, defaults.oncall, [])),
        services=tuple(shape.services),
        models=tuple(_model(key, model) for key, model in shape.models.items()),
        workloads=tuple(_workload(key, one) for key, one in shape.services.items() if one.backend),
        jobs=tuple(
            JobProfile(
                name=key,
                backend=job.backend,
                namespace=job.namespace,
                cronjob=job.cronjob or key,
                watch_for=job.watch_for,
            )
            for key, job in shape.jobs.items()
        ),
        trainings=tuple(training(key, one) for key, one in shape.trainings.items()),
        severity_rules=tuple(_rule(rule) for rule in _first(shape.severity, defaults.severity, [])),
        ladders={word: _ladder(word, shape.escalation, defaults.escalation, scale) for word in Severity},
        issues=tuple(
            _issue(key, one, shape.escalation, defaults.escalation, scale)
            for key, one in _kinds(shape.escalation, defaults.escalation).items()
        ),
        calendar=calendar(hours) if (hours := _first(shape.hours, defaults.hours, None)) else None,
        maintenance=tuple(_maintenance(one) for one in _first(shape.maintenance, defaults.maintenance, [])),
        approvals={tier: _approval(tier, shape, defaults) for tier in TIERS},
        request_roles=frozenset(_first(shape.request_roles, defaults.request_roles, list(plain.request_roles))),
        steer_roles=frozenset(_first(shape.steer_roles, defaults.steer_roles, [])),
        quiet=_first(shape.quiet, defaults.quiet, plain.quiet) * scale,
        reopen_within=_first(shape.reopen_within, defaults.reopen_within, plain.reopen_within) * scale,
        expiry={word: _expiry(word, shape, defaults) * scale for word in Severity},
    )


def unmapped(defaults: DefaultsShape, scale: float) -> System:
    """The profile for alerts that no profile knows."""
    return system(UNMAPPED, SystemShape(name=UNMAPPED), defaults, scale)


def _first(one: T | None, two: T | None, otherwise: T) -> T:
    if one is not None:
        return one
    return otherwise if two is None else two


def _model(name: str, shape: ModelShape) -> ModelProfile:
    bounds = tuple(
        Bound(
            signal=signal, query=bound.query.strip(), below=bound.below, above=bound.above, unit=bound.unit,
            title=bound.title or signal,
        )
        for signal, bound in shape.bounds.items()
    )  # fmt: skip
    return ModelProfile(
        name=name, service=shape.service, registry=shape.registry, server=shape.server, metrics=shape.metrics,
        alias=shape.alias, retrain=shape.retrain, bounds=bounds, reload=shape.reload,
        record=gates.record(shape.record), env=gates.env(shape.env), gate=gates.gate(shape.gate),
        smoke=gates.smoke(shape.smoke),
        quality=quality.rules(shape.quality),
        served_query=shape.served_query.strip(), watch_for=shape.watch_for, proven_after=shape.proven_after,
        drift=_drift(shape.drift),
        drift_days=max(1, round(shape.drift.window / timedelta(days=1))) if shape.drift else 7,
    )  # fmt: skip


def _drift(shape: DriftShape | None) -> frozenset[str]:
    if shape is None:
        return frozenset()
    ways = (("data", shape.reference), ("histogram", shape.histogram), ("score", shape.score_query))
    return frozenset(way for way, given in ways if given)


def _workload(name: str, shape: ServiceShape) -> WorkloadProfile:
    switch, traffic = shape.switch, shape.traffic
    return WorkloadProfile(
        service=name, backend=shape.backend, namespace=shape.namespace, name=shape.name or name, kind=shape.kind,
        container=shape.container, min_replicas=shape.replicas.min, max_replicas=shape.replicas.max,
        max_step=shape.replicas.step, images=tuple(shape.images), watch_for=shape.watch_for,
        switch=SwitchProfile(selects=switch.selects, label=switch.label, sides=tuple(switch.sides)) if switch else None,
        traffic=TrafficProfile(**traffic.model_dump()) if traffic else None,
    )  # fmt: skip


def _rule(shape: SeverityShape) -> SeverityRule:
    return SeverityRule(
        name=shape.name, severity=Severity(shape.severity), because=shape.because, signal=shape.signal,
        match={label: tuple(values) for label, values in shape.match.items()}, below=shape.below, above=shape.above,
        word=shape.word,
    )  # fmt: skip


def _kinds(own: EscalationShape | None, defaults: EscalationShape | None) -> dict[str, IssueShape]:
    return next((shape.kinds for shape in (own, defaults) if shape and shape.kinds), {})


def _issue(
    name: str, shape: IssueShape, own: EscalationShape | None, defaults: EscalationShape | None, scale: float
) -> Issue:
    ladders = {}
    for word in Severity:
        written = getattr(shape, word.value) or shape.every
        if written:
            plain = _ladder(word, own, defaults, scale)
            is_set = "repeat_every" in shape.model_fields_set
            at_work = plain.at_work if shape.at_work is None else word.value in shape.at_work
            ladders[word] = replace(
                plain, levels=_levels(written, scale), waits=_waits(written, scale), at_work=at_work,
                repeat_every=shape.repeat_every * scale if is_set else plain.repeat_every,
            )  # fmt: skip
    return Issue(name=name, match={label: tuple(values) for label, values in shape.match.items()}, ladders=ladders)


def _ladder(word: Severity, own: EscalationShape | None, defaults: EscalationShape | None, scale: float) -> Ladder:
    shapes = [shape for shape in (own, defaults) if shape]
    written = next((levels for shape in shapes if (levels := getattr(shape, word.value))), None)
    plain = default_ladder(word)
    timeouts = [getattr(shape.ack_timeout, word.value) for shape in shapes if shape.ack_timeout]
    at_work = next((shape.at_work for shape in shapes if shape.at_work is not None), [])
    levels = tuple(replace(level, after=level.after * scale) for level in plain.levels)
    return Ladder(
        levels=_levels(written, scale) if written else levels,
        waits=_waits(written, scale) if written else (),
        repeat_every=(_said(shapes, "repeat_every") or plain.repeat_every) * scale,
        at_work=word.value in at_work,
        ack_timeout=next((one * scale for one in timeouts if one is not None), None),
        answer_within=(_said(shapes, "answer_within") or plain.answer_within) * scale,
    )


def _said(shapes: Sequence[LaddersShape], key: str) -> timedelta | None:
    """The first value that a file gives."""
    return next((getattr(shape, key) for shape in shapes if key in shape.model_fields_set), None)


def _levels(written: Sequence[LevelShape], scale: float) -> tuple[Level, ...]:
    return tuple(
        Level(
            number=number, after=level.after.plain * scale, targets=tuple(level.to),
            until_resolved=level.until == "resolved",
        )
        for number, level in enumerate(written, 1)
    )  # fmt: skip


def _waits(written: Sequence[LevelShape], scale: float) -> tuple[Wait, ...]:
    """How long each level waits, where that is not plain time; empty where all of it is."""
    if all(level.after.is_plain for level in written):
        return ()
    return tuple(
        replace(
            level.after, plain=level.after.plain * scale,
            at_work=None if level.after.at_work is None else level.after.at_work * scale,
        )
        for level in written
    )  # fmt: skip


def _approval(tier: str, own: SystemShape, defaults: DefaultsShape) -> ApprovalRule:
    plain = rule_for(System(name=own.name), tier)
    empty = ApprovalShape()
    one: ApprovalShape = (getattr(own.approvals, tier) if own.approvals else None) or empty
    two: ApprovalShape = (getattr(defaults.approvals, tier) if defaults.approvals else None) or empty
    return ApprovalRule(
        tier=tier,
        needed=_first(one.needed, two.needed, plain.needed),
        roles=frozenset(_first(one.roles, two.roles, list(plain.roles))),
        self_by_oncall=_first(one.self_by_oncall, two.self_by_oncall, plain.self_by_oncall),
        break_glass=_first(one.break_glass, two.break_glass, plain.break_glass),
    )


def _expiry(word: Severity, own: SystemShape, defaults: DefaultsShape) -> timedelta:
    one = getattr(own.expiry, word.value) if own.expiry else None
    two = getattr(defaults.expiry, word.value) if defaults.expiry else None
    found: timedelta = _first(one, two, expiry(System(name=own.name), word))
    return found
