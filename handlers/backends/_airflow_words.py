"""What Airflow's answers say, in our words. Pure; the calls are in `airflow.py`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from bot.policy.training import TrainingProfile
from handlers.backends._http import Answer, plain

TAIL_LINES = 200
_ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


def why_not(training: TrainingProfile, dag: Mapping[str, Any], active: Sequence[str]) -> str:
    """Why the DAG would not run now and what to do, "" when it would."""
    if dag.get("has_import_errors"):
        return f"DAG {training.dag} has import errors, so Airflow cannot run it. Correct its file, then ask again."
    if dag.get("is_stale") is True or dag.get("is_active") is False:
        return f"DAG {training.dag} is gone from Airflow's files; only its history is left. Put its file back."
    if dag.get("is_paused"):
        return f"DAG {training.dag} is paused: a run would wait for ever. Unpause it in Airflow, then ask again."
    if active:
        return f"DAG {training.dag} runs already ({plain(active[0], 80)}). Wait until it has ended."
    return ""


def conf_of(training: TrainingProfile, values: Mapping[str, str]) -> dict[str, str | int | float | bool]:
    """The profile's fixed values and the arguments, numbers as numbers."""
    found: dict[str, str | int | float | bool] = dict(training.conf)
    for name, value in values.items():
        argument = training.argument(name)
        is_number = argument is not None and argument.is_number
        found[name] = (float(value) if "." in value else int(value)) if is_number else value
    return found


def progress(tasks: Sequence[Mapping[str, Any]]) -> str:
    """Which task runs and how many are done, "" while there are none."""
    done = [one for one in tasks if one.get("state") in _ENDED]
    now = [str(one.get("task_id")) for one in tasks if one.get("state") in ("running", "deferred", "up_for_retry")]
    late = [one for one in tasks if one.get("state") == "up_for_retry"]
    names = ", ".join(dict.fromkeys(plain(name, 60) for name in now[:3]))
    retry = "; it failed once and is tried again" if late else ""
    return f"task {names or 'none'} ({len(done)} of {len(tasks)} tasks done{retry})" if tasks else ""


_V1_WRAP = re.compile(r"""^\[\('[^']*', ['"]|['"]\)\]$""")  # as Python writes a list with one pair


def log_of(answer: Answer) -> str:
    """The end of a task's log. Airflow 3 sends a list of events, Airflow 2 a text with an escaped list in it."""
    content = answer.data.get("content") if isinstance(answer.data, dict) else None
    if isinstance(content, str):
        text = _V1_WRAP.sub("", content).replace("\\n", "\n").replace("\\'", "'")
        return "\n".join(text.splitlines()[-TAIL_LINES:])
    lines: list[str] = []
    for event in content if isinstance(content, list) else []:
        if not isinstance(event, dict):
            continue
        text = str(event.get("event", ""))
        if text.startswith("::"):
            continue
        lines.append(text)
        raised = event.get("error_detail")
        errors = [one for one in raised if isinstance(one, dict)] if isinstance(raised, list) else []
        lines += [f"{one.get('exc_type')}: {one.get('exc_value')}" for one in errors]
    return "\n".join(lines[-TAIL_LINES:])


def detail_of(answer: Answer) -> str:
    """Airflow's own words for a failure."""
    detail = answer.data.get("detail") if isinstance(answer.data, dict) else None
    if isinstance(detail, dict):
        return plain(str(detail.get("reason") or detail.get("message") or ""))
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):
        return plain(str(detail[0].get("msg") or ""))
    return answer.word("detail", "title") or f"status {answer.status}"


def object_of(answer: Answer) -> Mapping[str, Any]:
    """The answer as an object, an empty one for anything else."""
    return answer.data if isinstance(answer.data, dict) else {}


def objects_of(answer: Answer, name: str) -> list[Mapping[str, Any]]:
    """The objects under that name."""
    found = object_of(answer).get(name)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def runs_path(training: TrainingProfile) -> str:
    """Where the DAG's runs are."""
    return f"/dags/{part(training.dag)}/dagRuns"


def part(name: str) -> str:
    """A name as one part of a path."""
    return quote(name, safe="")


def yes_or_no(value: object) -> str:
    """A truth value, for people."""
    return "yes" if value else "no"


def time_of(value: object) -> datetime | None:
    """An aware time, None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
