"""How a model is trained anew: what a profile says about it, and the judgement of a training that failed.

Pure. What a failed training says at its end is a stranger's text: it is matched, line by line from the end, and never
carried out. The last line that fits a pattern decides, because what ended a program is what it says last.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum


class Cause(StrEnum):
    """Why a training failed. Each asks for another next step."""

    TOO_FEW_LABELS = "too_few_labels"  # not enough labelled rows
    VALIDATION = "validation"  # the data did not pass their checks
    GATE = "gate"  # a model was made, and is not good enough
    OUT_OF_MEMORY = "out_of_memory"  # the system or its log says so
    KILLED = "killed"  # ended by force, and nobody says why
    TIME = "time"  # it was ended because its time was over
    STOPPED = "stopped"  # somebody ended it
    CODE = "code"  # everything else: the program is broken


TITLES: Mapping[Cause, str] = {
    Cause.TOO_FEW_LABELS: "too few labels",
    Cause.VALIDATION: "the data did not pass their checks",
    Cause.GATE: "the new model did not pass the gate",
    Cause.OUT_OF_MEMORY: "out of memory",
    Cause.KILLED: "it was killed, most often for want of memory",
    Cause.TIME: "its time was over",
    Cause.STOPPED: "it was stopped from outside",
    Cause.CODE: "the training program broke",
}
NEXT_STEPS: Mapping[Cause, str] = {
    Cause.TOO_FEW_LABELS: "Wait until more labels have come in, then retrain again; the same again now will fail too.",
    Cause.VALIDATION: "Find out what changed in the data and correct it at its source; do not retrain on it.",
    Cause.GATE: "Production is as it was. Look at the gate's numbers with data science before lowering any of them.",
    Cause.OUT_OF_MEMORY: "Give the training more memory or fewer rows; the same again will fail in the same way.",
    Cause.KILLED: "See whether memory ran out, or somebody or a restart ended it, before you retrain again.",
    Cause.TIME: "See where it stood still, or raise its time limit in the profile, then retrain again.",
    Cause.STOPPED: "Ask who stopped it and why before you retrain again.",
    Cause.CODE: "Read the log and hand it to whoever owns the training; retrying rarely helps.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """What a person may add to `retrain`: a name, and the values that are let through."""

    name: str
    choices: tuple[str, ...] = ()  # the only values; empty: `pattern` decides
    pattern: str = ""  # the whole value must match
    default: str = ""
    is_number: bool = False  # sent to Airflow as a number

    def fault(self, value: str) -> str:
        """Why the value is not let through, "" when it is."""
        if not _PLAIN.fullmatch(value):
            return "use letters, digits and . _ : / @ + - only, at most 80, and no - in front"
        if self.choices:
            return "" if value in self.choices else f"choose one of {', '.join(self.choices)}"
        if self.is_number:
            return (
                ""
                if _NUMBER.fullmatch(value) and (not self.pattern or re.fullmatch(self.pattern, value))
                else ("give a number" + (f" that fits {self.pattern}" if self.pattern else ""))
            )
        return "" if re.fullmatch(self.pattern, value) else f"it must fit {self.pattern}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingProfile:
    """One way to train a model. Exactly one of `dag`, `service` and (alone) `command` says which."""

    name: str
    backend: str  # name of a backend of the system that offers trainings
    dag: str = ""  # Airflow: id of the DAG
    service: str = ""  # docker compose: name of the service
    command: tuple[str, ...] = ()  # a program and its arguments; for a service, what it runs instead of its own
    conf: Mapping[str, str | int | float | bool] = field(default_factory=dict)  # fixed values for the DAG's run
    arguments: tuple[Argument, ...] = ()
    folder: str = ""  # a command's working directory
    limit: timedelta = timedelta(hours=1)  # a command is ended after this
    watch_for: timedelta = timedelta(hours=1)  # after this its result is called unknown
    queue_for: timedelta = timedelta(minutes=15)  # a run that has not begun after this is called unknown
    registers: bool = True  # a good end shows in the registry as a new version
    exits: Mapping[int, Cause] = field(default_factory=dict)  # exit code → why
    patterns: tuple[tuple[Cause, str], ...] = ()  # tried before ours

    def argument(self, name: str) -> Argument | None:
        """The argument of that name, None when the profile does not list it."""
        return next((one for one in self.arguments if one.name == name), None)

    def words(self, values: Mapping[str, str]) -> tuple[str, ...]:
        """The command with its arguments filled in. Each word stays one word, whatever the value is."""
        return tuple(_PLACE.sub(lambda place: values.get(place[1], place[0]), word) for word in self.command)


_PLAIN = re.compile(r"[A-Za-z0-9_.:/@+][A-Za-z0-9_.:/@+-]{0,79}|")
_NUMBER = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?")
_PLACE = re.compile(r"\{([A-Za-z0-9_.-]{1,63})\}")
LINE_CAP = 400  # a line of a log is looked at this far
# What the common libraries write. A profile's own patterns are tried first.
_KNOWN: tuple[tuple[Cause, str], ...] = (
    (Cause.OUT_OF_MEMORY, r"\bMemoryError\b|out of memory|\bOOM(?:Killed)?\b|cannot allocate memory|std::bad_alloc"),
    (Cause.KILLED, r"\bSIGKILL\b|return code -9\b|exit(?:ed with)?(?: code| status)? 137\b"),
    (Cause.TOO_FEW_LABELS, r"(?:too few|not enough|insufficient) (?:new |training )?(?:label\w*|samples|rows|data)\b"),
    (Cause.TOO_FEW_LABELS, r"least populated class|at least \d+ labels? (?:is|are) needed"),
    (Cause.GATE, r"\bgate\b.{0,60}\b(?:reject|refus|fail|clos|not pass)"),
    (Cause.GATE, r"\b(?:reject|refus|fail)\w* (?:by|at) the .{0,40}gate"),
    (Cause.GATE, r"not better than|did not (?:beat|improve)|worse than the (?:champion|baseline|current)"),
    (Cause.VALIDATION, r"\bSchemaErrors?\b|\bpandera\b|\bgreat_expectations\b|\bExpectation\w*\b.{0,40}\bfail"),
    (Cause.VALIDATION, r"\b(?:data|schema)[ _-]?validation\b.{0,40}\bfail"),
    (Cause.VALIDATION, r"\bvalidation (?:failed|error)|failed validation"),
)  # fmt: skip


def judge(
    profile: TrainingProfile, *, exit_code: int | None, is_out_of_memory: bool, is_over_time: bool, log: str
) -> tuple[Cause, str]:
    """Why a training failed, and the line of its log that says so ("" when none does).

    `exit_code` is negative for a signal, as Python tells it. What is certain comes first: the system's own word, then
    the profile's exit codes, then what the log says, and the signal last, because a program that was killed for want of
    memory could not say anything.
    """
    if is_out_of_memory:
        return Cause.OUT_OF_MEMORY, ""
    if is_over_time:
        return Cause.TIME, ""
    line_cause, line = _told(profile, log)
    if exit_code is not None and exit_code in profile.exits:
        cause = profile.exits[exit_code]
        return cause, line if line_cause is cause else _last(log)
    if line_cause is not None:
        return line_cause, line
    if exit_code in (-9, 137):
        return Cause.KILLED, ""
    if exit_code in (-15, -2, -1, 143, 130, 129):
        return Cause.STOPPED, ""
    return Cause.CODE, _error(log)


def pattern_fault(pattern: str) -> str:
    """Why a pattern cannot be used, "" when it can."""
    try:
        re.compile(pattern)
    except re.error as problem:
        return f"it is no regular expression ({problem})"
    return "" if pattern.strip() else "it is empty and would fit everything"


def _told(profile: TrainingProfile, log: str) -> tuple[Cause | None, str]:
    known = [(cause, re.compile(text, re.IGNORECASE)) for cause, text in (*profile.patterns, *_KNOWN)]
    for line in reversed(log.splitlines()):
        for cause, pattern in known:
            if pattern.search(line[:LINE_CAP]):
                return cause, line.strip()
    return None, ""


_ERROR = re.compile(r"^\s*[\w.]*(?:Error|Exception)\b|\b(?:error|fatal|exception|critical)\b", re.IGNORECASE)


def _error(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return next((line for line in reversed(lines) if _ERROR.search(line[:LINE_CAP])), lines[-1] if lines else "")


def _last(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return lines[-1] if lines else ""
