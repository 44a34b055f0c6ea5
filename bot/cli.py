"""The command line. Each command is a function that returns the exit code: 0 fine, 1 found wrong, 2 wrong usage."""

from __future__ import annotations

import argparse
import getpass
import json
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

from bot import __version__
from bot.check import check_everything
from bot.config import BackendKind, ConfigError, Names, Settings, data_folder, load
from bot.logs import set_up
from bot.model import Incident
from bot.registry import Registry, RegistryError
from bot.registry import load as load_registry
from bot.store import Store, StoreDown
from bot.words import for_terminal

FINE, WRONG, USAGE = 0, 1, 2
_ENVIRONMENT = """environment:
  MLOPS_CONFIG         the configuration file (default: mlops.yaml)
  MLOPS_DATABASE_URL   the database (default: an SQLite file)
  MLOPS_WEBHOOK_TOKEN  what Alertmanager must send as its bearer token
  MLOPS_SECRET_KEY     key of the audit chain and of signed links
  SLACK_BOT_TOKEN      the app's bot token
  SLACK_APP_TOKEN      the app's token for Socket Mode
  SLACK_SIGNING_SECRET checks requests in HTTP mode
  SLACK_API_URL        another address of Slack's Web API, for a local workspace
"""


def run(arguments: Sequence[str]) -> int:
    """Parse and carry out one command line."""
    parser = _parser()
    if list(arguments[:1]) == ["demo"]:  # the demo reads its own options
        return _demo(argparse.Namespace(rest=list(arguments[1:])))
    try:
        given = parser.parse_args(arguments)
    except SystemExit as left:  # argparse has said what was wrong, or printed the help
        return USAGE if left.code else FINE
    command: Callable[[argparse.Namespace], int] = given.command
    try:
        return command(given)
    except ConfigError as problems:
        for problem in problems.problems:
            print(problem, file=sys.stderr)
        return WRONG
    except (RegistryError, StoreDown) as problem:
        print(problem, file=sys.stderr)
        return WRONG
    except KeyboardInterrupt:
        return WRONG


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mlops-bot", description="Incident response for machine-learning systems, in Slack.", epilog=_ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"mlops-bot {__version__}")
    parser.add_argument("--config", type=Path, help="configuration file (MLOPS_CONFIG)")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        found = commands.add_parser(name, help=text, description=text)
        found.set_defaults(command=command)
        return found

    add("serve", _serve, "run the bot").add_argument("--log-level", default="info")
    add("demo", _demo, "run everything on this machine: a small ML system, Prometheus, a local Slack, the bot")
    add("check", _check, "check configuration, profiles, runbooks and templates")
    add("doctor", _doctor, "ask every connection whether it works")
    manifest = add("manifest", _manifest, "print the Slack app's manifest")
    manifest.add_argument("--http", metavar="URL", default="", help="for HTTP mode, with the bot's public address")
    preview = add("preview", _preview, "show a message template with sample data")
    preview.add_argument("template", nargs="?", default="")
    add("migrate", _migrate, "bring the database's tables up to date (MLOPS_DATABASE_URL)")
    incidents = add("incidents", _incidents, "list incidents")
    incidents.add_argument("--json", action="store_true", help="for programs")
    incidents.add_argument("--all", action="store_true", help="resolved ones too")
    audit = add("audit", _audit, "check or print the audit chain")
    audit.add_argument("what", choices=("verify", "export"))
    audit.add_argument("--anchor", type=Path, help="file with heads kept outside the database")
    replay = add("replay", _replay, "feed a stored Alertmanager webhook")
    replay.add_argument("file", type=Path)
    say = add("run", _run, "say something as in Slack, from a shell")
    say.add_argument("words", nargs="+", help='for example: mlops-bot run "rollback intent_classifier"')
    return parser


def _settings(given: argparse.Namespace, registry: Registry) -> Settings:
    return load(given.config, os.environ, names_of(registry))


def names_of(registry: Registry) -> Names:
    """What configuration may name."""
    kinds = {
        kind: BackendKind(offers=frozenset(one.offers), settings=frozenset(one.settings))
        for kind, one in registry.backends.items()
    }
    return Names(backends=kinds, diagnostics=frozenset(registry.diagnostics), actions=frozenset(registry.actions))


def _serve(given: argparse.Namespace) -> int:
    from bot.app import Bot, SchemaProblem
    from bot.store import AlreadyRunning

    registry = load_registry()
    settings = _settings(given, registry)
    set_up(given.log_level, [secret.reveal() for secret in settings.secrets])
    missing = _missing_for_serving(settings)
    if missing:
        print("\n".join(missing), file=sys.stderr)
        return WRONG
    bot = Bot(settings, registry)
    if settings.database_url.reveal().startswith("sqlite"):
        bot.store.migrate()  # one process, one file: nobody else can be surprised by it
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        bot.start()
    except (SchemaProblem, AlreadyRunning, OSError) as problem:
        print(problem, file=sys.stderr)
        return WRONG
    print(f"mlops-bot {__version__} is serving on {bot.address}", flush=True)
    stop.wait()
    bot.stop()
    return FINE


def _missing_for_serving(settings: Settings) -> list[str]:
    wanted = [
        (
            settings.http.webhook_token,
            "MLOPS_WEBHOOK_TOKEN is not set: choose one and give it to Alertmanager as bearer token.",
        ),
        (
            settings.secret_key,
            "MLOPS_SECRET_KEY is not set: the audit chain needs a key. `openssl rand -hex 32` makes one.",
        ),
        (settings.slack.bot_token, "SLACK_BOT_TOKEN is not set: see docs/how-to/connect-slack.md."),
    ]
    if settings.slack.mode == "socket":
        wanted.append((settings.slack.app_token, "SLACK_APP_TOKEN is not set, and Socket Mode needs it."))
    else:
        wanted.append((settings.slack.signing_secret, "SLACK_SIGNING_SECRET is not set, and HTTP mode needs it."))
    return [text for secret, text in wanted if not secret]


def _demo(given: argparse.Namespace) -> int:
    missing = [name for name in ("aiohttp", "prometheus_client", "sklearn") if find_spec(name) is None]
    if missing:
        print(f"The demo needs more packages ({', '.join(missing)}): pip install 'mlops-bot[demo]'.", file=sys.stderr)
        return WRONG
    from playground.demo import run as run_demo

    return run_demo(given.rest)


def _check(given: argparse.Namespace) -> int:
    registry = load_registry()
    problems = check_everything(given.config, os.environ, names_of(registry), datetime.now(UTC).date())
    for problem in problems:
        print(problem)
    wrong = [problem for problem in problems if not problem.warning]
    if not problems:
        print("Configuration, profiles, runbooks and templates are fine.")
    return WRONG if wrong else FINE


def _doctor(given: argparse.Namespace) -> int:
    from bot.doctor import examine

    registry = load_registry()
    settings = _settings(given, registry)
    set_up("warning", [secret.reveal() for secret in settings.secrets])
    found = examine(settings, registry)
    for line in found:
        print(f"{'yes' if line.ok else 'NO '}  {line.what}: {line.words}")
    return FINE if all(line.ok for line in found) else WRONG


def _manifest(given: argparse.Namespace) -> int:
    from bot.slack.manifest import manifest

    print(json.dumps(manifest(socket_mode=not given.http, public_url=given.http), indent=2))
    return FINE


def _preview(given: argparse.Namespace) -> int:
    from bot.render import Renderer
    from bot.render.samples import samples

    known = samples()
    if given.template not in known:
        wrong = f"There is no template “{given.template}”. " if given.template else "Which template? "
        print(f"{wrong}Templates: {', '.join(sorted(known))}", file=sys.stderr)
        return USAGE
    renderer = Renderer(data_folder("templates"))
    for title, context in known[given.template]:
        message = renderer.render(given.template, context)
        print(f"## {title}\n{message.text}\n{json.dumps(list(message.blocks), indent=2, ensure_ascii=False)}")
        if message.failed:
            print(f"{given.template}: {message.failed}", file=sys.stderr)
            return WRONG
    return FINE


def _migrate(given: argparse.Namespace) -> int:
    with _Opened(given) as store:
        applied = store.migrate()
    print(f"Applied: {', '.join(applied)}." if applied else "The tables are up to date.")
    return FINE


def _incidents(given: argparse.Namespace) -> int:
    with _Opened(given) as store:
        found = store.incidents(open_only=not given.all, limit=500)
    if given.json:
        print(json.dumps([_as_json(incident) for incident in found], indent=2, default=str))
        return FINE
    for incident in found:
        owner = incident.owner.name if incident.owner else "nobody"
        print(
            f"{incident.id:8} {incident.severity} {incident.state:12} {incident.subject.label:24} {owner:12} "
            f"{incident.title}"
        )
    if not found:
        print("No open incident." if not given.all else "No incident yet.")
    return FINE


def _as_json(incident: Incident) -> object:
    from bot.store.documents import write_incident

    return json.loads(write_incident(incident))


def _audit(given: argparse.Namespace) -> int:
    from bot.app import audit_key
    from bot.audit import default_anchor, read_anchors, verify

    settings = _settings(given, load_registry())
    path = given.anchor or settings.audit_anchor or default_anchor(settings.database_url.reveal())
    with _Opened(given) as store:
        if given.what == "export":
            for line in store.audit_lines():
                print(json.dumps(asdict(line), ensure_ascii=False, default=str))
            return FINE
        anchors = read_anchors(path) if path is not None and path.exists() else ()
        problems = verify(store.audit_lines(), audit_key(settings), anchors)
        number, head = store.audit_head()
    for problem in problems:
        print(problem)
    anchored = max((anchor.seq for anchor in anchors), default=0)
    if problems:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        print(f"The audit chain is broken: {count} in {number} lines. Keep the database and the anchors as they are.")
        return WRONG
    print(f"The audit chain is whole: {number} lines, head {head[:16]}, anchored up to line {anchored}.")
    return FINE


def _replay(given: argparse.Namespace) -> int:
    from bot.app import Bot
    from bot.http import BadBody

    registry = load_registry()
    settings = _settings(given, registry)
    set_up("warning", [secret.reveal() for secret in settings.secrets])
    try:
        body = given.file.read_bytes()
    except OSError as problem:
        print(f"{given.file}: cannot be read ({problem.strerror}); name a file with a stored webhook", file=sys.stderr)
        return WRONG
    bot = Bot(settings, registry)
    try:
        answer = bot.take_in(body)
    except BadBody as problem:
        print(f"{given.file}: {problem}", file=sys.stderr)
        return WRONG
    finally:
        bot.store.close()
    print(json.dumps(dict(answer), indent=2))
    return FINE


def _run(given: argparse.Namespace) -> int:
    from bot.app import Bot
    from bot.desk import Asker
    from bot.model import Who

    registry = load_registry()
    settings = _settings(given, registry)
    set_up("warning", [secret.reveal() for secret in settings.secrets])
    bot = Bot(settings, registry)
    user = getpass.getuser()
    person = next((one for one in settings.policy.people if one.shell_user == user), None)
    who = person.who if person else Who(team_id="-", user_id=f"shell:{user}", name=user)
    try:
        reply = bot.desk.say(" ".join(given.words), Asker(who=who))
        print(for_terminal(reply.text))
        if reply.later is not None:
            reply = reply.later()
            print(for_terminal(reply.text))
            if reply.picture:
                kept = shutil.copy(reply.picture, tempfile.mkdtemp(prefix="mlops-"))
                print(f"The picture is {kept}")
    finally:
        bot.worker.close()
        bot.store.close()
    return WRONG if reply.refused else FINE


class _Opened:
    """The configured store, closed at the end."""

    def __init__(self, given: argparse.Namespace) -> None:
        from bot.app import audit_key

        settings = _settings(given, load_registry())
        self._store = Store(settings.database_url.reveal(), audit_key=audit_key(settings))

    def __enter__(self) -> Store:
        return self._store

    def __exit__(self, *_: object) -> None:
        self._store.close()
