"""From checked shapes to the core's records. A system's own key wins, then mlops.yaml's default, then ours."""

from __future__ import annotations

from datetime import timedelta
from typing import TypeVar, get_args

from bot.config import gate as gates
from bot.config.shape import (
    ApprovalShape,
    DefaultsShape,
    EscalationShape,
    ModelShape,
    PersonShape,
    RotationShape,
    ServiceShape,
    SeverityShape,
    SystemShape,
    Weekday,
)
from bot.model import Level, Severity, Who
from bot.policy import (
    TIERS,
    ApprovalRule,
    Bound,
    JobProfile,
    Ladder,
    ModelProfile,
    Person,
    SeverityRule,
    SwitchProfile,
    System,
    TrafficProfile,
    WorkloadProfile,
)
from bot.policy.approval import expiry, rule_for
from bot.policy.calendar import Window
from bot.policy.escalation import default_ladder
from bot.policy.rota import Layer, Rota

UNMAPPED = "unmapped"  # the system of alerts that no profile knows
T = TypeVar("T")


def person(key: str, shape: PersonShape, team_id: str) -> Person:
    """Somebody who is listed."""
    who = Who(team_id=shape.team_id or team_id, user_id=shape.user_id, name=shape.name or key)
    return Person(key=key, who=who, roles=frozenset(shape.roles), shell_user=shape.shell_user)


def rotation(name: str, shape: RotationShape) -> Rota:
    """A schedule of people."""
    weekdays = {word: number for number, word in enumerate(get_args(Weekday))}
    layers = tuple(
        Layer(
            name=layer.name or f"layer {number}", people=tuple(layer.people), starts_on=layer.starts_on,
            zone=layer.zone or shape.zone, hand_over=layer.hand_over, every=layer.every,
            windows=tuple(
                Window(days=frozenset(weekdays[day] for day in one.days), opens=one.opens, closes=one.closes)
                for one in layer.hours
            ),
        )
        for number, layer in enumerate(shape.layers, 1)
    )  # fmt: skip
    return Rota(name=name, layers=layers, may_have_gaps=shape.gaps == "allowed")


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
        severity_rules=tuple(_rule(rule) for rule in _first(shape.severity, defaults.severity, [])),
        ladders={word: _ladder(word, shape.escalation, defaults.escalation, scale) for word in Severity},
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
        record=gates.record(shape.record), gate=gates.gate(shape.gate), smoke=gates.smoke(shape.smoke),
        served_query=shape.served_query.strip(), watch_for=shape.watch_for, proven_after=shape.proven_after,
    )  # fmt: skip


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


def _ladder(word: Severity, own: EscalationShape | None, defaults: EscalationShape | None, scale: float) -> Ladder:
    written = next((levels for shape in (own, defaults) if shape and (levels := getattr(shape, word.value))), None)
    repeat = next((s.repeat_every for s in (own, defaults) if s and "repeat_every" in s.model_fields_set), None)
    plain = default_ladder(word)
    levels = plain.levels
    if written:
        levels = tuple(
            Level(number=number, after=level.after, targets=tuple(level.to)) for number, level in enumerate(written, 1)
        )
    return Ladder(
        levels=tuple(
            Level(number=level.number, after=level.after * scale, targets=level.targets) for level in levels
        ),
        repeat_every=(repeat or plain.repeat_every) * scale,
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
