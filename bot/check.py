"""`mlops-bot check`: configuration, systems, runbooks and templates in one go, for people, CI and pre-commit.

    check_everything(path, env, names, today) -> list[Problem]

Errors stop the start; warnings (an old runbook, a secret that is not set on this machine) do not. Makes no call to any
foreign system: that is what `doctor` is for.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from pathlib import Path

from bot import runbook
from bot.calendars import CalendarReader
from bot.config import Names, Settings, data_folder, inspect
from bot.config.rotations import check_calendars
from bot.marked import Problem, nearest, read
from bot.media import Courier
from bot.render import TEMPLATES
from bot.render.samples import samples
from bot.render.templating import BadTemplate, environment, run


def check_everything(path: Path | None, env: Mapping[str, str], names: Names | None, today: date) -> list[Problem]:
    """Everything that is wrong, sorted by file and line. An absent secret is a warning: CI has none."""
    now = datetime.combine(today, time(0), UTC)
    settings, problems = inspect(path, env, names, is_lenient=True, now=now)
    templates = settings.templates_dir if settings else data_folder("templates")
    if settings is not None:
        known = (names.diagnostics, names.actions) if names else (None, None)
        problems += _outside(settings, path, env, now)
        problems += runbook.check(settings.runbooks, today, *known)
    return sorted({*problems, *check_templates(templates)})


def _outside(settings: Settings, path: Path | None, env: Mapping[str, str], now: datetime) -> list[Problem]:
    """Addresses of media that mean nothing, and calendars that are files: children look, and call nobody."""
    file = path or Path(env.get("MLOPS_CONFIG") or "mlops.yaml")
    given = [(key, name, address) for key, media in settings.media.items() for name, address in media.items()]
    if not any(address for _, _, address in given) and not settings.calendars:
        return []
    main, courier = read(file.read_text(encoding="utf-8"), str(file)), Courier(env)
    return [
        *check_calendars(settings.policy, settings.calendars, CalendarReader(env).read, main, now),
        *(
            main.problem(("people", key, "media", name), f"{key}: {name} {called.why}; see Apprise's list of services")
            for key, name, address in given
            if address and not (called := courier.look(address)).ok
        ),
    ]


def check_templates(folder: Path) -> list[Problem]:
    """Templates that are missing, unknown, or cannot render the samples."""
    if not folder.is_dir():
        return [Problem(str(folder), 1, "the folder of templates does not exist; set `templates`")]
    found = {path.stem for path in folder.glob("*.j2") if not path.name.startswith("_")}
    problems = [
        Problem(str(folder / f"{name}.j2"), 1, f'no message is called "{name}"; {nearest(name, TEMPLATES)}')
        for name in sorted(found - TEMPLATES.keys())
    ]
    env = environment(folder)
    for name, moments in samples().items():
        for title, context in moments:
            try:
                run(env, name, context)
            except BadTemplate as problem:
                problems.append(_problem(folder, title, problem))
                break
    return problems


def _problem(folder: Path, title: str, bad: BadTemplate) -> Problem:
    return Problem(str(folder / bad.file), bad.line, f"does not render the sample “{title}” ({bad.reason}); correct it")
