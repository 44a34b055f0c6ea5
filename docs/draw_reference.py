"""Write docs/reference/commands.md and metrics.md from the code, so that the pages cannot lie.

`python docs/draw_reference.py` writes them; with `--check` it only says whether they are current (exit 1 when not).
"""
# ruff: noqa: INP001  # a script that people run by path

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from bot import cli, exposition
from bot.desk.verbs import load as load_verbs
from bot.registry import load
from bot.store import Store
from handlers.commands import ACT, LOOK, STEER, Verb

FOLDER = Path(__file__).parent / "reference"
_COMMANDS = """\
# Commands

Made from the code by `python docs/draw_reference.py`; a test fails when this page is stale.

The same words everywhere: `/mlops <verb> …` in a channel, `@mlops-bot <verb> …` in a thread (Slack has no slash
commands there; the incident is then the thread's), `mlops-bot run "<verb> …"` in a shell. `[…]` may be left out,
`<…>` must not.

An incident is named `INC-7`, `7` or `#7`; without a name it is the thread's, or the only one it can be. Spans are
written `30m`, `2h`, `1d12h`. Whoever is not listed in the configuration may look, but not steer or act.
"""
_TITLES = {
    LOOK: ("Look", "Anybody may; nothing is changed."),
    STEER: ("Steer", "Who is listed may, or who has one of the system's `steer_roles`."),
    ACT: (
        "Act",
        (
            "Guarded: the verb only asks. A card shows what will be done and why, somebody else approves it, the "
            "target is read again, and the result is proven from the serving side."
        ),
    ),
}
_SHELL = """\
## In a shell

Exit codes: 0 fine, 1 found wrong, 2 wrong usage. `mlops-bot --config FILE …` names another configuration than
`MLOPS_CONFIG`; `mlops-bot demo --help` lists the demo's own options.
"""
_METRICS = """\
# Metrics

Made from the code by `python docs/draw_reference.py`; a test fails when this page is stale.

`GET /metrics` on the bot's own port, in Prometheus' text form. What is counted is read from the database, so every
replica tells the same, except for what is about the process itself: `mlops_ticker_age_seconds`,
`mlops_slack_sockets` and `mlops_auditor_pass_age_seconds`.

| metric | type | labels | what it tells |
|---|---|---|---|
"""
_ALERTS = """
## What to alert on

| expression | it means |
|---|---|
| `mlops_ticker_age_seconds > 30` | The bot is alive and does nothing: no timer runs. `/healthz` fails then too. |
| `mlops_store_up == 0` | The database does not answer. Webhooks are answered with 503, and Alertmanager keeps them. |
| `mlops_slack_sockets == 0` | Nobody's click arrives (Socket Mode). Pages still go out when Slack's Web API answers. |
| `mlops_outbox_oldest_seconds{lane="slack"} > 60` | Messages wait: Slack is down, slow, or refuses them. |
| `mlops_auditor_pass_age_seconds > 120` | The auditor finds something wrong again and again; the log says what. |
| `mlops_heartbeat_silent == 1` | Something that must be heard of is silent; its incident is open. |
| `mlops_outbox_rows{state="dead"} > 0` | A message or a piece of work was given up; the log says why. |
| `increase(mlops_alerts_total{verdict="quarantined"}[1h]) > 0` | An alert could not be understood and was set aside. |

Let something page you that is not this bot: a watchdog cannot watch itself.
"""


def commands_page() -> str:
    """Every verb and every command of the shell."""
    spoken = [one.verb for one in load_verbs().values()]
    acting = [Verb(name=one.name, usage=one.usage, summary=one.summary, group=ACT) for one in load().actions.values()]
    parts = [_COMMANDS]
    for group, (title, about) in _TITLES.items():
        parts.append(f"## {title}\n\n{about}\n\n| you type | what happens |\n|---|---|")
        parts += [_row(verb.usage, verb.summary) for verb in (*spoken, *acting) if verb.group == group]
        parts.append("")
    parts.append(f"{_SHELL}\n| command | what it does |\n|---|---|")
    parts += [_row(usage, text) for usage, text in _shell()]
    return "\n".join(parts) + "\n"


def _shell() -> Iterator[tuple[str, str]]:
    """Usage and meaning of every command of the console script."""
    parser = cli._parser()  # noqa: SLF001 - the page shows what the parser takes, and nobody else needs to know it
    for choices in (one for one in parser._actions if isinstance(one, argparse._SubParsersAction)):  # noqa: SLF001
        texts = {one.dest: one.help or "" for one in choices._choices_actions}  # noqa: SLF001
        for name, one in choices.choices.items():
            usage = " ".join(one.format_usage().removeprefix("usage: ").split()).replace(" [-h]", "")
            yield usage, texts[name]


def metrics_page() -> str:
    """Every metric of /metrics."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(f"sqlite:///{folder}/empty.db", audit_key=b"0" * 16)
        store.migrate()
        numbers = exposition._Numbers(store, datetime(2026, 1, 1, tzinfo=UTC), 0.0, 0)  # noqa: SLF001 - as above
        found = sorted(numbers.collect(), key=lambda family: family.name)
        store.close()
    rows = [
        f"| `{one.name}{'_total' if one.type == 'counter' else ''}` | {one.type} | "
        f"{_labels(getattr(one, '_labelnames', ()))} | {one.documentation} |"
        for one in found
    ]
    return _METRICS + "\n".join(rows) + "\n" + _ALERTS


def _labels(labels: Iterable[str]) -> str:
    return ", ".join(f"`{label}`" for label in labels) or "–"


def _row(usage: str, text: str) -> str:
    escaped = usage.replace("|", "\\|")
    return f"| `{escaped}` | {text} |"


PAGES = {FOLDER / "commands.md": commands_page, FOLDER / "metrics.md": metrics_page}


def main(words: list[str]) -> int:
    """Write the pages, or with `--check` say whether they are current."""
    stale = [path for path, page in PAGES.items() if not path.is_file() or path.read_text() != page()]
    if words == ["--check"]:
        for path in stale:
            sys.stdout.write(f"{path.name} is stale: run python docs/draw_reference.py\n")
        return 1 if stale else 0
    for path in stale:
        path.write_text(PAGES[path]())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
