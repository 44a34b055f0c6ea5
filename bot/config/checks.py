"""What shows only when the files are seen together: unknown people, ladders that reach nobody, impossible rules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from bot.config import ladder_checks, training
from bot.config.settings import BackendConfig, BackendKind, Names
from bot.config.shape import DefaultsShape, SystemShape
from bot.marked import At, Marked, Problem, nearest
from bot.model import Severity
from bot.policy import TIERS, ApprovalRule, Ladder, Person, Policy, System, TrafficProfile
from bot.policy.approval import rule_for
from bot.policy.calendar import Wait, zone_named

_LINKS = ("http://", "https://")
_SMOKE_TOGETHER = timedelta(seconds=10)  # they are one step, and a step's lease leaves room for twelve
_TARGETS = "oncall, role:NAME, person:KEY, rota:NAME, group:ID, channel:#name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One system with the files it came from."""

    system: System
    shape: SystemShape
    marked: Marked
    defaults: DefaultsShape
    main: Marked
    backends: Mapping[str, BackendConfig]

    def problem(self, at: At, text: str, *, warning: bool = False) -> Problem:
        """A complaint about a key of the profile, in the file that set it."""
        for end in range(len(at), 0, -1):
            if _is_set(self.shape, at[:end]):
                return self.marked.problem(at, text, warning=warning)
            if _is_set(self.defaults, at[:end]):
                return self.main.problem(("defaults", *at), text, warning=warning)
        return self.marked.problem((), text, warning=warning)

    def is_written(self, at: At) -> bool:
        """True when a file sets the key, false when it is our default."""
        return _is_set(self.shape, at) or _is_set(self.defaults, at)


def check_system(profile: Profile, policy: Policy, names: Names | None) -> list[Problem]:
    """Every cross check of one system."""
    return [
        *_people(profile, policy),
        *_catch_all(profile, policy),
        *(found for word in Severity for found in _ladder(profile, policy, word)),
        *_kinds(profile, policy),
        *_hours(profile),
        *_held_for_good(profile),
        *(found for tier in TIERS for found in _approval(profile, policy, tier)),
        *_roles(profile, policy),
        *_models(profile, names),
        *_workloads(profile, names),
        *_trainings(profile, names),
        *_backends(profile, names),
        *_severity(profile),
        *_links(profile),
    ]


def _people(profile: Profile, policy: Policy) -> list[Problem]:
    keys = [person.key for person in policy.people] + [f"rota:{name}" for name in policy.rotas]
    return [
        profile.problem(("oncall",), f'on call: unknown person "{key}"; {nearest(key, keys)}')
        for key in profile.system.oncall
        if key not in keys
    ]


def _catch_all(profile: Profile, policy: Policy) -> list[Problem]:
    system = profile.system
    if not system.channel:
        text = "no channel, so its incidents have nowhere to go; set `channel` here or under `defaults`"
        return [profile.problem(("channel",), text)]
    if not system.catch_all:
        text = "catch_all is empty, so a page that reaches nobody would vanish; name a channel or a person"
        return [profile.problem(("catch_all",), text)]
    return [
        profile.problem(("catch_all",), f"catch_all: {why}")
        for target in system.catch_all
        if (why := _target(target, system, policy))
    ]


def _ladder(profile: Profile, policy: Policy, word: Severity) -> Iterable[Problem]:
    ladder: Ladder = profile.system.ladders[word]
    at: At = ("escalation", word.value)
    is_written = profile.is_written(at)
    if is_written:
        yield from _rungs(profile, policy, ladder, at, f"of {word}")
    for level in () if is_written else ladder.levels:
        whys = [why for target in level.targets if (why := _target(target, profile.system, policy))]
        if len(whys) == len(level.targets):
            catch = ", ".join(profile.system.catch_all) or "nobody"
            text = f"level {level.number} of {word} (default ladder): {whys[0]}; until then its pages go to {catch}"
            yield profile.problem(at, text, warning=True)
    yield from _reaches_somebody(profile, policy, ladder, at, f"of {word}")


def _kinds(profile: Profile, policy: Policy) -> Iterable[Problem]:
    """Ladders of the kinds of issue. One that stands under several severities is judged once."""
    for issue in profile.system.issues:
        at: At = ("escalation", "kinds", issue.name)
        if not issue.ladders:
            yield profile.problem(at, f'kind "{issue.name}" has no levels; add them under `every`, or by severity')
        if not issue.match:
            text = f'kind "{issue.name}" has no `match`, so no alert is of it; list labels and values'
            yield profile.problem(at, text, warning=True)
        is_common = profile.is_written((*at, "every"))
        for word in issue.ladders:
            here: At = (*at, word.value)
            if not profile.is_written(here):
                if not is_common:
                    continue
                here, is_common = (*at, "every"), False
            of = f'of kind "{issue.name}"'
            yield from _rungs(profile, policy, issue.ladders[word], here, of)
            yield from _reaches_somebody(profile, policy, issue.ladders[word], here, of)


def _rungs(profile: Profile, policy: Policy, ladder: Ladder, at: At, of: str) -> Iterable[Problem]:
    waits = ladder.waits or tuple(Wait(plain=level.after) for level in ladder.levels)
    for index, level in enumerate(ladder.levels):
        here: At = (*at, index)
        both_plain = index and waits[index].is_plain and waits[index - 1].is_plain
        if both_plain and waits[index].plain <= waits[index - 1].plain:
            text = f"level {level.number} is not later than the one before; raise `after`"
            yield profile.problem((*here, "after"), text)
        if not waits[index].is_plain and profile.system.calendar is None:
            text = f"level {level.number} {of} counts working time, and nobody said when that is; set `hours`"
            yield profile.problem((*here, "after"), text)
        for target in level.targets:
            why = _target(target, profile.system, policy)
            if why:
                yield profile.problem((*here, "to"), f"level {level.number} {of}: {why}")
        if not level.targets:
            yield profile.problem((*here, "to"), f"level {level.number} {of} names nobody; use {_TARGETS}")


def _reaches_somebody(profile: Profile, policy: Policy, ladder: Ladder, at: At, of: str) -> Iterable[Problem]:
    targets = [target for level in ladder.levels for target in level.targets]
    if all(_target(target, profile.system, policy) for target in targets):
        text = f"the ladder {of} reaches nobody; name somebody on call, or a person, role or channel"
        yield profile.problem(at, text)


def _hours(profile: Profile) -> Iterable[Problem]:
    system = profile.system
    if system.calendar is not None:
        if zone_named(system.calendar.zone) is None:
            text = f'unknown time zone "{system.calendar.zone}"; use an IANA name like Europe/Berlin'
            yield profile.problem(("hours", "zone"), text)
        elif not any(window.days for window in system.calendar.windows):
            yield profile.problem(("hours", "windows"), "nobody is ever at work; add windows with days")
    elif any(ladder.at_work for ladder in _all_ladders(system)):
        text = "at_work: nobody said when the team is at work; set `hours`"
        yield profile.problem(("escalation", "at_work"), text)
    for index, one in enumerate(system.maintenance):
        at: At = ("maintenance", index)
        if zone_named(one.zone) is None:
            text = f'unknown time zone "{one.zone}"; use an IANA name like Europe/Berlin'
            yield profile.problem((*at, "zone"), text)
        if one.window.opens == one.window.closes:
            text = "a window of 24 hours would hold every page of its days back; set `opens` and `closes`"
            yield profile.problem(at, text)
        known = {*system.services, *(model.name for model in system.models)}
        if one.part and one.part not in known:
            text = f'part "{one.part}" is no service or model; {nearest(one.part, known)}'
            yield profile.problem((*at, "part"), text)


def _held_for_good(profile: Profile) -> list[Problem]:
    found = ladder_checks.flaws(profile.system, profile.shape.escalation, profile.defaults.escalation)
    return [profile.problem(at, text) for at, text in found]


def _all_ladders(system: System) -> Iterable[Ladder]:
    return (*system.ladders.values(), *(ladder for issue in system.issues for ladder in issue.ladders.values()))


def _target(target: str, system: System, policy: Policy) -> str:
    """Why the target reaches nobody, "" when it reaches somebody."""
    kind, _, name = target.partition(":")
    keys = [person.key for person in policy.people]
    if target == "oncall":
        known = [key for key in policy.ever_on_call(system) if key in keys] or policy.calendars_of(system)
        return "" if known else "nobody is on call; list people under `oncall`"
    if kind == "role" and name:
        roles = _held(policy.people)
        return "" if name in roles else f'role "{name}" is held by nobody; {nearest(name, roles)}'
    if kind == "person" and name:
        return "" if name in keys else f'unknown person "{name}"; {nearest(name, keys)}'
    if kind == "rota" and name:
        return "" if name in policy.rotas else f'unknown rotation "{name}"; {nearest(name, policy.rotas)}'
    if kind == "channel" and name:
        return ""
    if kind == "group" and name:
        is_id = re.fullmatch(r"S[A-Z0-9]{2,30}", name)
        return "" if is_id else f'"{name[:40]}" is no id of a user group; copy it from Slack, like S012AB3CD'
    return f'"{target[:60]}" is not a target; use {_TARGETS}'


def _approval(profile: Profile, policy: Policy, tier: str) -> Iterable[Problem]:
    rule = profile.system.approvals[tier]
    at: At = ("approvals", tier)
    plain = rule_for(System(name="-"), tier)
    for role in sorted(rule.roles - _held(policy.people)):
        if profile.is_written((*at, "roles")):
            hint = nearest(role, _held(policy.people))
            yield profile.problem((*at, "roles"), f'approval of {tier}: role "{role}" is held by nobody; {hint}')
    able = {person.key for person in policy.people if person.roles & rule.roles}
    askers = {person.key for person in policy.people if person.roles & profile.system.request_roles}
    on_call = policy.ever_on_call(profile.system)
    stuck = sorted(key for key in askers if not _can_be_approved(key, able, rule, on_call))
    if len(able) < rule.needed or (askers and len(stuck) == len(askers)):
        yield profile.problem(at, _impossible(tier, rule, able), warning=not policy.people)
    elif stuck:
        text = f"nobody but themselves could approve a {tier} action that {', '.join(stuck)} asks for; add an approver"
        yield profile.problem(at, text, warning=True)
    if rule.needed < plain.needed:
        text = (
            f"{tier} actions need {plain.needed} approvals by default and {rule.needed} here; raise `needed` if you can"
        )
        yield profile.problem((*at, "needed"), text, warning=True)


def _impossible(tier: str, rule: ApprovalRule, able: set[str]) -> str:
    listed = ", ".join(sorted(able)) or "nobody"
    roles = ", ".join(sorted(rule.roles)) or "no role at all"
    return (
        f"no {tier} action could ever be approved: it takes {rule.needed} with {roles} who did not ask for it,"
        f" and that is {listed}; give more people one of the roles"
    )


def _can_be_approved(asker: str, able: set[str], rule: ApprovalRule, on_call: tuple[str, ...]) -> bool:
    if len(able - {asker}) >= rule.needed:
        return True
    return rule.self_by_oncall and rule.needed == 1 and asker in able and asker in on_call


def _roles(profile: Profile, policy: Policy) -> Iterable[Problem]:
    held = _held(policy.people)
    for key, roles in (("request_roles", profile.system.request_roles), ("steer_roles", profile.system.steer_roles)):
        if not profile.is_written((key,)):
            continue
        unknown = sorted(roles - held)
        yield from (
            profile.problem((key,), f'{key}: role "{role}" is held by nobody; {nearest(role, held)}')
            for role in unknown
        )


def _models(profile: Profile, names: Names | None) -> Iterable[Problem]:
    for model in profile.system.models:
        at: At = ("models", model.name)
        if model.service not in profile.system.services and (model.service or profile.system.services):
            hint = nearest(model.service, profile.system.services)
            said = f'unknown service "{model.service}"' if model.service else "`service` is missing"
            yield profile.problem(
                (*at, "service"), f"{said}; {hint if profile.system.services else 'list it in services'}"
            )
        for part in ("registry", "server", "metrics"):
            name = getattr(model, part)
            yield from _offered(profile, (*at, part), name, part, names)
        yield from _offered(profile, (*at, "reload"), model.reload.partition("/")[0], "reload", names)
        if model.record is not None:
            yield from _offered(profile, (*at, "record", "backend"), model.record.backend, "registry", names)
        if model.env is not None and profile.system.workload(model.service) is None:
            text = "`env` needs a service that a cluster runs; give its service a `backend`"
            yield profile.problem((*at, "env"), text)
        if model.gate is not None and not (model.gate.criteria or model.gate.tags):
            yield profile.problem((*at, "gate"), "the gate demands nothing, so nothing could pass it; add criteria")
        if sum((one.within for one in model.smoke), timedelta()) > _SMOKE_TOGETHER:
            text = "the smoke predictions may take more than 10s together, too long for one step; shorten `within`"
            yield profile.problem((*at, "smoke"), text)
        for index, bound in enumerate(model.bounds):
            del index
            if bound.below is None and bound.above is None:
                text = f'bound "{bound.signal}" has neither `below` nor `above`, so nothing would ever be bad; add one'
                yield profile.problem((*at, "bounds", bound.signal), text)


def _workloads(profile: Profile, names: Names | None) -> Iterable[Problem]:
    system = profile.system
    for one in system.workloads:
        at: At = ("services", one.service)
        yield from _offered(profile, (*at, "backend"), one.backend, "workloads", names)
        if one.min_replicas > one.max_replicas:
            yield profile.problem((*at, "replicas"), "replicas: `min` is more than `max`; correct one")
        if one.switch is not None and len(set(one.switch.sides)) != 2:
            yield profile.problem((*at, "switch", "sides"), "switch needs two different sides; name both")
        if one.traffic is not None:
            yield from _traffic(profile, (*at, "traffic"), one.traffic)
    for name, service in profile.shape.services.items():
        if not service.backend and service.model_fields_set:
            text = "`backend` is missing, so nothing here has an effect; name a backend that offers workloads"
            yield profile.problem(("services", name), text)
    for job in system.jobs:
        yield from _offered(profile, ("jobs", job.name, "backend"), job.backend, "workloads", names)


def _trainings(profile: Profile, names: Names | None) -> Iterable[Problem]:
    system = profile.system
    for one in system.trainings:
        part = "dags" if one.dag else "services" if one.service else "commands"
        yield from _offered(profile, ("trainings", one.name, "backend"), one.backend, part, names)
    for at, text in training.flaws(profile.shape.trainings, profile.shape.jobs):
        yield profile.problem(("trainings", *at), text)
    known = [*(one.name for one in system.trainings), *(job.name for job in system.jobs)]
    for model in system.models:
        if model.retrain and model.retrain not in known:
            text = f'retrain: unknown training or job "{model.retrain}"; {nearest(model.retrain, known)}'
            yield profile.problem(("models", model.name, "retrain"), text)


def _traffic(profile: Profile, at: At, traffic: TrafficProfile) -> Iterable[Problem]:
    ways = [bool(traffic.canary), bool(traffic.rollout), bool(traffic.weight)]
    if sum(ways) != 1:
        yield profile.problem(at, "traffic needs exactly one of `canary`, `rollout` and `weight`; correct it")
    elif traffic.weight and not (traffic.resource and traffic.name):
        yield profile.problem(at, "traffic by `weight` needs `resource` and `name` of the object; add them")


def _offered(profile: Profile, at: At, name: str, part: str, names: Names | None) -> Iterable[Problem]:
    if not name:
        return
    if name not in profile.backends:
        yield profile.problem(at, f'{part}: unknown backend "{name}"; {nearest(name, profile.backends)}')
        return
    kind = names.backends.get(profile.backends[name].kind) if names else None
    if kind is not None and part not in kind.offers:
        offers = ", ".join(sorted(kind.offers)) or "nothing"
        yield profile.problem(at, f'backend "{name}" is no {part}; it offers {offers}')


def _backends(profile: Profile, names: Names | None) -> Iterable[Problem]:
    for name, backend in profile.backends.items():
        at: At = ("backends", name)
        if names is None:
            continue
        kind: BackendKind | None = names.backends.get(backend.kind)
        if kind is None:
            text = f'unknown kind of backend "{backend.kind}"; {nearest(backend.kind, names.backends)}'
            yield profile.problem((*at, "kind"), text)
            continue
        yield from (
            profile.problem((*at, key), f'{backend.kind} has no setting "{key}"; {nearest(key, kind.settings)}')
            for key in backend.settings
            if key not in kind.settings
        )


def _severity(profile: Profile) -> Iterable[Problem]:
    for index, rule in enumerate(profile.system.severity_rules):
        if not rule.match and not rule.signal and rule.below is None and rule.above is None:
            text = f'rule "{rule.name}" matches every alert; add match, signal, below or above'
            yield profile.problem(("severity", index), text)
        if rule.below is not None and rule.above is not None and rule.below >= rule.above:
            text = f'rule "{rule.name}": `below` {rule.below:g} and `above` {rule.above:g} leave no good value'
            yield profile.problem(("severity", index), text)


def _links(profile: Profile) -> Iterable[Problem]:
    for label, address in profile.shape.links.items():
        if not address.startswith(_LINKS) or any(sign in address for sign in "<>| \n"):
            yield profile.problem(("links", label), f'link "{label}" is not an http(s) address; correct it')


def _held(people: Iterable[Person]) -> frozenset[str]:
    return frozenset(role for person in people for role in person.roles)


def _is_set(shape: Any, at: At) -> bool:
    """True when a file gave a value at that place."""
    for part in at:
        if isinstance(shape, dict):
            shape = shape.get(part)
        elif isinstance(shape, list):
            shape = shape[part] if isinstance(part, int) and part < len(shape) else None
        elif isinstance(part, str) and hasattr(shape, "model_fields_set"):
            shape = getattr(shape, part, None) if part in shape.model_fields_set else None
        else:
            return shape is not None
        if shape is None:
            return False
    return shape is not None
