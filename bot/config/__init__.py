"""The configuration: mlops.yaml, the system folders and the environment, read once, checked as a whole.

    load(path, env, names=None, *, is_lenient=False) -> Settings
        Raises ConfigError with *every* problem, each as `file:line: what is wrong; what to do`.
        path None: MLOPS_CONFIG, else ./mlops.yaml. `is_lenient`: absent secrets become empty.
    inspect(path, env, names=None, *, is_lenient=False, now=None) -> (Settings | None, problems)
        The same without raising; warnings are among the problems, settings are None when there is an error.
    data_folder("templates") -> Path
        The folder that travels with the package: bot/data/<name> when installed, <name> in the checkout.

Settings, Secret, BackendConfig, Names and BackendKind are in `bot.config.settings` and exported here.
`Settings.backends[system][name]` unpacks as `(kind, settings)`; `Settings.runbooks` are for `bot.runbook.choose`.
Environment variables of the contract override the files; the environment is an argument, never read here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from bot import runbook
from bot.config import build, drift, quality
from bot.config.checks import Profile, check_system
from bot.config.explain import explain
from bot.config.heartbeats import check_heartbeats, heartbeats, pulse
from bot.config.people import check_people
from bot.config.references import Resolver, overridden_secrets, override, places
from bot.config.rotations import check_rotations
from bot.config.settings import (
    BackendConfig,
    BackendKind,
    DeliverySettings,
    HttpSettings,
    Names,
    Secret,
    Settings,
    SlackSettings,
)
from bot.config.shape import ConfigShape, SystemShape
from bot.drift.asked import DriftProfile
from bot.drift.labelled import LabelProfile
from bot.marked import Marked, Problem, nearest, read
from bot.policy import Policy

__all__ = [
    "BackendConfig", "BackendKind", "ConfigError", "DeliverySettings", "HttpSettings", "Names", "Secret", "Settings",
    "SlackSettings", "data_folder", "inspect", "load",
]  # fmt: skip

PROFILE = "system.yaml"
_SHORTEST_KEY = 16  # characters; a shorter key could be guessed
M = TypeVar("M", bound=BaseModel)


class ConfigError(Exception):
    """The configuration cannot be used. `problems` holds every reason; the text has one line for each."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


def load(
    path: Path | None, env: Mapping[str, str], names: Names | None = None, *, is_lenient: bool = False
) -> Settings:
    """The settings in force. Raises ConfigError."""
    settings, problems = inspect(path, env, names, is_lenient=is_lenient)
    errors = [problem for problem in problems if not problem.warning]
    if settings is None or errors:
        raise ConfigError(errors)
    return settings


def inspect(
    path: Path | None,
    env: Mapping[str, str],
    names: Names | None = None,
    *,
    is_lenient: bool = False,
    now: datetime | None = None,
) -> tuple[Settings | None, list[Problem]]:
    """Settings and everything that is wrong. Settings are None when an error leaves nothing to build them from.

    With `now`, rotations are also judged by the days to come: gaps, and hand-overs that a change of the clock blurs.
    """
    reader = _Reader(env=env, is_lenient=is_lenient, problems=[], secrets=overridden_secrets(env))
    file = path or Path(env.get("MLOPS_CONFIG") or "mlops.yaml")
    main = reader.document(file, "copy deploy/example/mlops.yaml, or name another with MLOPS_CONFIG")
    shape = reader.shaped(main, ConfigShape) if main else None
    if main is None or shape is None:
        return None, _sorted(reader.problems)
    settings = _settings(shape, main, reader)
    profiles = _profiles(shape, main, settings, reader)
    systems = {profile.system.name: profile.system for profile in profiles}
    people = tuple(build.person(key, person, shape.slack.team_id) for key, person in shape.people.items())
    default = build.unmapped(shape.defaults, settings.time_scale)
    rotas = {key: build.rotation(key, one) for key, one in shape.rotations.items()}
    policy = Policy(people=people, systems=systems, default=default, rotas=rotas)
    reader.problems += [*check_people(shape, main), *check_rotations(policy, shape.rotations, main, now)]
    reader.problems += check_heartbeats(shape.heartbeats, policy, main)
    books, flaws = runbook.load(settings.runbooks_dir, systems, data_folder("runbooks") / f"{runbook.DEFAULT}.md")
    reader.problems += [*flaws, *_main_checks(shape, main, settings, policy, reader)]
    lost = Profile(
        system=default, shape=SystemShape(), marked=main, defaults=shape.defaults, main=main, backends={}
    )  # fmt: skip
    for profile in (lost, *profiles):
        reader.problems += check_system(profile, policy, names)
        reader.problems += _drift_checks(profile, shape, file.parent)
        reader.problems += _label_checks(profile, shape, file.parent)
    settings = replace(
        settings, policy=policy, runbooks=books, secrets=tuple(dict.fromkeys(reader.secrets)),
        backends={profile.system.name: profile.backends for profile in profiles},
        calendars=build.calendar_sources(shape.rotations, Path(main.file).parent),
        media={key: dict(person.media) for key, person in shape.people.items() if person.media},
        links={profile.system.name: tuple(profile.shape.links.items()) for profile in profiles},
        drift={profile.system.name: _drift(profile, shape) for profile in profiles},
        labels={profile.system.name: _labels(profile, shape) for profile in profiles},
    )  # fmt: skip
    return settings, _sorted(reader.problems)


def data_folder(name: str) -> Path:
    """The folder of that name that travels with the package."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "data" / name
    return installed if installed.is_dir() else package.parent / name


@dataclass(slots=True)
class _Reader:
    """Reads documents and collects what is wrong with them."""

    env: Mapping[str, str]
    is_lenient: bool
    problems: list[Problem]
    secrets: list[Secret]

    def document(self, file: Path, hint: str) -> Marked | None:
        """The file as marked YAML, None when it cannot be read."""
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as problem:
            reason = problem.strerror if isinstance(problem, OSError) else "not UTF-8"
            self.problems.append(Problem(str(file), 1, f"cannot be read ({reason}); {hint}"))
            return None
        marked = read(text, str(file))
        self.problems += marked.problems
        if marked.value is None and not marked.problems:
            marked = replace(marked, value={})
        if not isinstance(marked.value, dict):
            if not marked.problems:
                self.problems.append(marked.problem((), "the file must be keys and values; see the example"))
            return None
        return marked

    def shaped(self, marked: Marked, model: type[M]) -> M | None:
        """The document as the model, references filled in; None when it does not fit."""
        overridden = places(self.env) if model is ConfigShape else frozenset()
        resolver = Resolver(marked=marked, env=self.env, is_lenient=self.is_lenient, overridden=overridden)
        value: Any = resolver.resolve()
        if model is ConfigShape:
            override(value, self.env)
        self.problems += resolver.problems
        self.secrets += resolver.secrets
        try:
            return model.model_validate(value)
        except ValidationError as problem:
            bad = {flaw.line for flaw in resolver.problems}
            self.problems += [flaw for flaw in explain(problem, marked, model) if flaw.line not in bad]
            return None


def _settings(shape: ConfigShape, main: Marked, reader: _Reader) -> Settings:
    base = Path(main.file).parent
    host, port = _listen(shape.http.listen, main, reader)
    api_url = shape.slack.api_url if shape.slack.api_url.endswith("/") else f"{shape.slack.api_url}/"
    return Settings(
        policy=Policy(),
        slack=SlackSettings(
            api_url=api_url, mode=shape.slack.mode, team_id=shape.slack.team_id, bot_token=shape.slack.bot_token,
            app_token=shape.slack.app_token, signing_secret=shape.slack.signing_secret,
        ),
        http=HttpSettings(
            host=host, port=port, webhook_token=shape.http.webhook_token, max_body_bytes=shape.http.max_body_bytes
        ),
        delivery=DeliverySettings(
            lease=shape.delivery.lease, timeout=shape.delivery.timeout, bundle=shape.delivery.bundle
        ),
        heartbeats=heartbeats(shape.heartbeats),
        pulse=pulse(shape.pulse),
        database_url=shape.database.url,
        secret_key=shape.secret_key,
        public_url=shape.http.public_url.rstrip("/"),
        audit_anchor=base / shape.audit.anchor_file if shape.audit.anchor_file else None,
        runbooks_dir=base / shape.runbooks if shape.runbooks else data_folder("runbooks"),
        templates_dir=base / shape.templates if shape.templates else data_folder("templates"),
        drift_worker=drift.worker(shape.drift, base, reader.env),
        time_scale=shape.demo.minute / timedelta(minutes=1),
    )  # fmt: skip


def _listen(text: str, main: Marked, reader: _Reader) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if host and port.isdecimal() and int(port) <= 65_535:
        return host, int(port)
    reader.problems.append(
        main.problem(("http", "listen"), '"listen" must be address:port, like 127.0.0.1:8080; correct it')
    )
    return "127.0.0.1", 8080


def _profiles(shape: ConfigShape, main: Marked, settings: Settings, reader: _Reader) -> list[Profile]:
    folder = settings.runbooks_dir
    if not folder.is_dir():
        text = f"the folder of runbooks, {folder}, does not exist; set `runbooks`"
        reader.problems.append(main.problem(("runbooks",), text))
        return []
    found: list[Profile] = []
    homes = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "_")))
    # The profiles that come with the package are for whoever asks for them: their ladders name people one may not have.
    wanted = shape.systems if shape.systems is not None or shape.runbooks else []
    known = [home.name for home in homes]
    for name in dict.fromkeys(one for one in wanted or () if one not in known):
        reader.problems.append(main.problem(("systems",), f'unknown system "{name}"; {nearest(name, known)}'))
    for home in homes:
        if wanted is not None and home.name not in wanted:
            continue
        if not (home / PROFILE).is_file():
            if any(home.glob("*.md")):
                text = f"the folder has runbooks but no {PROFILE}; write one, see runbooks/README.md"
                reader.problems.append(Problem(str(home / PROFILE), 1, text))
            continue
        marked = reader.document(home / PROFILE, "make it a readable UTF-8 file")
        own = reader.shaped(marked, SystemShape) if marked else None
        if marked is None or own is None:
            continue
        if own.name not in {"", home.name}:
            text = f'name "{own.name}" differs from its folder "{home.name}"; make them the same'
            reader.problems.append(marked.problem(("name",), text))
        backends = {
            name: BackendConfig(kind=backend.kind, settings=_strings(marked, name, backend.settings(), reader))
            for name, backend in own.backends.items()
        }
        system = build.system(home.name, own, shape.defaults, settings.time_scale)
        found.append(
            Profile(system=system, shape=own, marked=marked, defaults=shape.defaults, main=main, backends=backends)
        )
    return found


def _drift(profile: Profile, main: ConfigShape) -> dict[str, DriftProfile]:
    home = Path(profile.marked.file).parent
    return {
        name: drift.profile(profile.system.name, name, model.drift, home, main.drift)
        for name, model in profile.shape.models.items()
        if model.drift is not None
    }


def _drift_checks(profile: Profile, main: ConfigShape, base: Path) -> list[Problem]:
    home = Path(profile.marked.file).parent
    return [
        profile.marked.problem(("models", name, "drift", *at), text)
        for name, model in profile.shape.models.items()
        if model.drift is not None
        for at, text in drift.flaws(model.drift, home, main.drift, base)
    ]


def _labels(profile: Profile, main: ConfigShape) -> dict[str, LabelProfile]:
    home = Path(profile.marked.file).parent
    return {
        name: quality.labels(profile.system.name, name, model.quality, home, main.drift)
        for name, model in profile.shape.models.items()
        if model.quality is not None and model.quality.rows is not None
    }


def _label_checks(profile: Profile, main: ConfigShape, base: Path) -> list[Problem]:
    home = Path(profile.marked.file).parent
    return [
        profile.marked.problem(("models", name, "quality", *at), text)
        for name, model in profile.shape.models.items()
        if model.quality is not None
        for at, text in quality.flaws(model.quality, home, main.drift, base)
    ]


def _strings(marked: Marked, backend: str, given: Mapping[str, Any], reader: _Reader) -> dict[str, str]:
    """A backend's settings are texts; a list or a table is refused."""
    found: dict[str, str] = {}
    for key, value in given.items():
        if isinstance(value, (dict, list)) or value is None:
            text = f'setting "{key}" must be one value; correct it'
            reader.problems.append(marked.problem(("backends", backend, key), text))
            continue
        found[key] = str(value).lower() if isinstance(value, bool) else str(value)
    return found


def _main_checks(
    shape: ConfigShape, main: Marked, settings: Settings, policy: Policy, reader: _Reader
) -> list[Problem]:
    problems: list[Problem] = []
    if not shape.people:
        text = "nobody is listed under `people`, so nobody could acknowledge or approve anything; list people"
        problems.append(main.problem(("people",), text))
    if shape.people and not all(person.who.team_id for person in policy.people):
        text = "slack.team_id is missing, and people are known by it; copy it from the workspace's address"
        problems.append(main.problem(("slack", "team_id"), text))
    seen: dict[tuple[str, str], str] = {}
    for person in policy.people:
        other = seen.setdefault((person.who.team_id, person.who.user_id), person.key)
        if other != person.key:
            text = f'"{person.key}" and "{other}" have the same user_id, so one person could approve twice; correct one'
            problems.append(main.problem(("people", person.key, "user_id"), text))
    if settings.delivery.timeout >= settings.delivery.lease:
        text = "timeout must be shorter than lease, or two replicas would send the same message; shorten it"
        problems.append(main.problem(("delivery",), text))
    return [*problems, *_missing_secrets(main, settings, reader)]


def _missing_secrets(main: Marked, settings: Settings, reader: _Reader) -> list[Problem]:
    needed = [
        (("slack", "bot_token"), settings.slack.bot_token, "SLACK_BOT_TOKEN"),
        (("http", "webhook_token"), settings.http.webhook_token, "MLOPS_WEBHOOK_TOKEN"),
        (("secret_key",), settings.secret_key, "MLOPS_SECRET_KEY"),
        (("slack", "app_token"), settings.slack.app_token, "SLACK_APP_TOKEN")
        if settings.slack.mode == "socket"
        else (("slack", "signing_secret"), settings.slack.signing_secret, "SLACK_SIGNING_SECRET"),
    ]
    told = {problem.line for problem in reader.problems if problem.file == main.file}
    problems = [
        main.problem(at, f"{'.'.join(at)} is missing; set {name}", warning=reader.is_lenient)
        for at, secret, name in needed
        if not secret and not (at in main.lines and main.line(at) in told)
    ]
    key = settings.secret_key.reveal()
    if key and len(key) < _SHORTEST_KEY:
        text = f"secret_key is shorter than {_SHORTEST_KEY} characters and could be guessed; use a longer one"
        problems.append(main.problem(("secret_key",), text))
    return problems


def _sorted(problems: list[Problem]) -> list[Problem]:
    return sorted(set(problems))
