"""Every connection asked whether it works, in words."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bot.app import audit_key, build_backends
from bot.calendars import CalendarReader
from bot.chat import SlackProblem
from bot.clock import Clock
from bot.config import Settings
from bot.drift.runner import DriftRunner
from bot.media import Courier
from bot.policy import WorkloadProfile
from bot.ports import Foreign, Permissions
from bot.registry import Registry
from bot.slack.client import SlackChat, web_client
from bot.store import Store, StoreDown


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One answer."""

    what: str
    ok: bool
    words: str


def examine(settings: Settings, registry: Registry) -> list[Line]:
    """Ask the database, Slack and every backend. Nothing is changed."""
    return [
        _database(settings), _slack(settings), *_backends(settings, registry), *_calendars(settings), *_media(settings),
        *_drift(settings),
    ]  # fmt: skip


def _database(settings: Settings) -> Line:
    store = Store(settings.database_url.reveal(), audit_key=audit_key(settings))
    try:
        store.ping()
        problem = store.schema_problem()
        return Line(what="database", ok=not problem, words=problem or "answers, tables are up to date")
    except StoreDown as problem:
        return Line(what="database", ok=False, words=str(problem))
    finally:
        store.close()


def _slack(settings: Settings) -> Line:
    chat = SlackChat(web_client(settings.slack.bot_token.reveal(), settings.slack.api_url), Clock().now)
    try:
        return Line(what="Slack", ok=True, words=chat.check())
    except SlackProblem as problem:
        return Line(what="Slack", ok=False, words=_slack_words(problem))


def _slack_words(problem: SlackProblem) -> str:
    if problem.kind in {"no_answer", "temporary"}:
        return f"does not answer ({problem.code}). Is the network there, and is `slack.api_url` right?"
    return f"says {problem.code}. The token or a scope is wrong: see docs/how-to/connect-slack.md"


def _permissions(what: str, client: object, services: Sequence[WorkloadProfile], backend: str) -> list[Line]:
    """One line for each thing a backend may or may not do, where it can tell."""
    if not isinstance(client, Permissions):
        return []
    rows = client.permissions([one for one in services if one.backend == backend])
    lines = []
    for rule, given, needs in rows:
        words = f"{'yes' if given else 'no'}, {needs}"
        lines.append(Line(what=f"{what}: {rule}", ok=given or needs.startswith("optional"), words=words))
    return lines


def _calendars(settings: Settings) -> list[Line]:
    """Every calendar, read once."""
    now, lines = datetime.now(UTC), []
    for source in settings.calendars:
        found = CalendarReader(os.environ).read(source, now)
        words = found.why or f"{len(found.entries)} events in the coming weeks"
        lines.append(Line(what=f"calendar {source.name}", ok=not found.why, words=words))
    return lines


def _media(settings: Settings) -> list[Line]:
    """Whether each medium's address means something. Nobody is called: that would wake them."""
    lines = []
    for key, media in settings.media.items():
        for name, address in media.items():
            called = Courier(os.environ).look(address)
            words = "its address is understood; nobody was called" if called.ok else called.why
            lines.append(Line(what=f"{key}: {name}", ok=called.ok, words=words))
    return lines


def _drift(settings: Settings) -> list[Line]:
    """Whether the worker has what it needs, when a model has data to look at."""
    if not any(profile.has_data for models in settings.drift.values() for profile in models.values()):
        return []
    try:
        return [Line(what="drift worker", ok=True, words=DriftRunner(settings.drift_worker).check())]
    except Foreign as problem:
        return [Line(what="drift worker", ok=False, words=problem.sentence)]


def _backends(settings: Settings, registry: Registry) -> list[Line]:
    lines: list[Line] = []
    built = build_backends(settings, registry)
    for system, configs in settings.backends.items():
        for name, config in configs.items():
            what = f"{system}: {name} ({config.kind})"
            client = built[system][name]
            try:
                words = registry.backends[config.kind].check(client)
                lines.append(Line(what=what, ok=True, words=words))
                lines += _permissions(what, client, settings.policy.system(system).workloads, name)
            except Foreign as problem:
                lines.append(Line(what=what, ok=False, words=problem.sentence))
    return lines
