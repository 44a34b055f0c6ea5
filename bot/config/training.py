"""The keys of a system's `trainings`, what they become, and what shows only when they are seen with the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, model_validator

from bot.config.fields import Duration, Name, Shape, Text, Words
from bot.policy.training import Argument, Cause, TrainingProfile, pattern_fault

CauseName = Literal["too_few_labels", "validation", "gate", "out_of_memory", "killed", "time", "stopped", "code"]
ExitCode = Annotated[int, Field(ge=1, le=255)]


class ArgumentShape(Shape):
    """Something that a person may add to `retrain`, as `name=value`: `choices`, or what the value must fit."""

    choices: Words = Field(default_factory=list, description="The only values that are let through.")
    pattern: Text = Field("", description="Or: regular expression that the whole value must match.")
    default: Text = Field("", description="Value when nobody gives one.")
    number: bool = Field(False, description="Sent to Airflow as a number. Without `pattern`, any plain number fits.")

    @model_validator(mode="after")
    def _fits(self) -> ArgumentShape:
        if not (self.choices or self.pattern or self.number):
            raise ValueError("needs `choices`, `pattern` or `number: true`, or nothing could be let through; add one")
        if self.choices and self.pattern:
            raise ValueError("has `choices` and `pattern`; keep one")
        if self.pattern and (fault := pattern_fault(self.pattern)):
            raise ValueError(f"`pattern`: {fault}; correct it")
        if self.default and (fault := _argument("", self).fault(self.default)):
            raise ValueError(f"`default` would be refused: {fault}")
        return self


class TrainingShape(Shape):
    """One way to train a model anew: an Airflow DAG, a docker compose service, or a command."""

    backend: Text = Field(min_length=1, description="Backend that runs it; one that offers trainings.")
    dag: Text = Field("", pattern=r"^([A-Za-z0-9_.~:+-]{1,250})?$", description="For Airflow: id of the DAG.")
    service: Text = Field(
        "", pattern=r"^([A-Za-z0-9_.-]{1,63})?$", description="For docker compose: name of the service."
    )
    command: Words = Field(
        default_factory=list,
        description="A program and its arguments, as a list; no shell reads it. `{name}` stands for an argument. With"
        " `service`: what it runs instead of its own command.",
    )
    conf: dict[Name, str | int | float | bool] = Field(
        default_factory=dict, description="For Airflow: fixed values that every run gets; arguments come besides."
    )
    args: dict[Name, ArgumentShape] = Field(default_factory=dict, description="What people may add, by name.")
    folder: Text = Field("", description="For a command: its working directory, an absolute path.")
    limit: Duration = Field(timedelta(hours=1), description="For a command: it is ended after this long.")
    watch_for: Duration = Field(timedelta(hours=1), description="After this long its result is called unknown.")
    queue_for: Duration = Field(
        timedelta(minutes=15), description="A run that has not begun after this long is called unknown."
    )
    registers: bool = Field(
        True, description="A good end must show as a new version in the model's registry, when it has one."
    )
    exits: dict[ExitCode, CauseName] = Field(
        default_factory=dict, description="Why it failed, by exit code: `3: too_few_labels`."
    )
    patterns: dict[CauseName, Words] = Field(
        default_factory=dict, description="Why it failed, by regular expressions for its log; tried before ours."
    )

    @model_validator(mode="after")
    def _fits(self) -> TrainingShape:
        if bool(self.dag) + bool(self.service) + bool(self.command and not self.service) != 1:
            raise ValueError("needs exactly one of `dag`, `service` and `command`; keep one")
        if self.conf and not self.dag:
            raise ValueError("only a DAG has `conf`; leave it out")
        if self.folder and not self.folder.startswith("/"):
            raise ValueError("`folder` must be an absolute path; write it whole")
        for texts in self.patterns.values():
            for text in texts:
                if fault := pattern_fault(text):
                    raise ValueError(f"`patterns`: {fault}; correct it")
        both = sorted(set(self.args) & set(self.conf))
        if both:
            raise ValueError(f'"{both[0]}" is in `args` and in `conf`; keep one')
        return self


def training(name: str, shape: TrainingShape) -> TrainingProfile:
    """The profile of one training."""
    patterns = tuple((Cause(cause), text) for cause, texts in shape.patterns.items() for text in texts)
    return TrainingProfile(
        name=name, backend=shape.backend, dag=shape.dag, service=shape.service, command=tuple(shape.command),
        conf=dict(shape.conf), arguments=tuple(_argument(key, one) for key, one in shape.args.items()),
        folder=shape.folder, limit=shape.limit, watch_for=shape.watch_for, queue_for=shape.queue_for,
        registers=shape.registers, exits={code: Cause(cause) for code, cause in shape.exits.items()}, patterns=patterns,
    )  # fmt: skip


def flaws(trainings: Mapping[str, TrainingShape], jobs: Iterable[str]) -> Iterable[tuple[tuple[str, str], str]]:
    """(where, what is wrong) for names that stand for two things, and for times that contradict each other."""
    for name in sorted(set(trainings) & set(jobs)):
        yield (name, "backend"), f'"{name}" is a job too, so `retrain: {name}` could mean either; rename one'
    for name, one in trainings.items():
        if one.command and not one.service and one.limit > one.watch_for:
            yield (name, "watch_for"), "`watch_for` is shorter than `limit`, so its end would not be seen; raise it"


def _argument(name: str, shape: ArgumentShape) -> Argument:
    return Argument(
        name=name, choices=tuple(shape.choices), pattern=shape.pattern, default=shape.default, is_number=shape.number
    )
