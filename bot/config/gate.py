"""The form of a model's gate and smoke predictions in system.yaml, and the records they become."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from bot.config.fields import Duration, Shape, Text
from bot.policy import EnvProfile, RecordProfile
from bot.policy.gate import Criterion, Expectation, Gate, Smoke

_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*(%?)")

_LONGEST = timedelta(seconds=5)  # predictions are part of one step, and a step's lease leaves room for twelve


def _amount(given: object) -> object:
    """0.005 stays, 2% becomes the text that says so; anything else is refused."""
    text = str(given).strip()
    if isinstance(given, bool) or _AMOUNT.fullmatch(text) is None:
        raise ValueError(f'"{text[:40]}" is no amount; write a number like 0.005, or a share like 2%')
    return text


def _scalar(given: object) -> object:
    """What YAML takes for a number or a truth value is the text that was written."""
    if isinstance(given, bool):
        return str(given).lower()
    return str(given) if isinstance(given, (int, float)) else given


Scalar = Annotated[str, BeforeValidator(_scalar)]
Amount = Annotated[str, BeforeValidator(_amount)]


class CriterionShape(Shape):
    """What one recorded metric must keep to. Several demands on one metric must all hold."""

    metric: Text = Field(min_length=1, description="Its name in the registry's run, or a pattern with `*`: every one.")
    at_least: float | None = Field(None, description="It must be this much or more.")
    above: float | None = Field(None, description="It must be more than this.")
    at_most: float | None = Field(None, description="It must be this much or less.")
    below: float | None = Field(None, description="It must be less than this.")
    improves_by: Amount | None = Field(None, description="Better than the champion's by so much, or by `2%` of it.")
    worsens_by: Amount | None = Field(None, description="Worse than the champion's by at most so much, or `2%` of it.")
    better: Literal["higher", "lower"] = Field("higher", description="Which way is better; `lower` for Brier.")

    @model_validator(mode="after")
    def _demands(self) -> CriterionShape:
        given = [name for name in type(self).model_fields if name not in ("metric", "better")]
        if all(getattr(self, name) is None for name in given):
            raise ValueError(f'"{self.metric[:40]}" demands nothing; add one of {", ".join(given)}')
        amounts = [value for value in (self.improves_by, self.worsens_by) if value is not None]
        if len({value.endswith("%") for value in amounts}) > 1:
            raise ValueError("write `improves_by` and `worsens_by` both with % or both without")
        return self


class GateShape(Shape):
    """What a version must show before `promote` asks anybody. What was not recorded never passes."""

    criteria: list[CriterionShape] = Field(default_factory=list, description="Demands on recorded metrics.")
    tags: dict[str, Scalar] = Field(
        default_factory=dict, description="Tags of the version or its run, with their value."
    )
    same_data: Literal["required", "warned"] = Field(
        "required", description="Whether comparing with a champion that was judged on other data is refused or warned."
    )
    same_data_by: Text = Field(
        "", description="Parameter or tag of the run that names the evaluation data. Default: its logged data sets."
    )
    overrule: Literal["never", "two_approvers"] = Field(
        "never", description="Whether `promote … anyway` may set a failed gate aside."
    )


class ExpectShape(Shape):
    """What must stand in the answer."""

    at: Text = Field(pattern=r"^/\S*$", description="JSON pointer into the answer: `/predictions/0/label`.")
    equals: Scalar = Field("", description="The value as text.")
    at_least: float | None = Field(None, description="A number, this much or more.")
    at_most: float | None = Field(None, description="A number, this much or less.")

    @model_validator(mode="after")
    def _demands(self) -> ExpectShape:
        if not self.equals and self.at_least is None and self.at_most is None:
            raise ValueError(f'"{self.at[:40]}" expects nothing; add `equals`, `at_least` or `at_most`')
        return self


def _body(given: object) -> object:
    """JSON text; what was written as YAML becomes JSON."""
    if not isinstance(given, str):
        return json.dumps(given)
    try:
        json.loads(given)
    except ValueError:
        raise ValueError("the body is no JSON; write it as JSON text, or as YAML keys and values") from None
    return given


class SmokeShape(Shape):
    """A prediction that must come out as expected after `promote` and `rollback`."""

    path: Text = Field("/predict", pattern=r"^/[!-~]*$", description="Path at the model server, asked with POST.")
    body: Annotated[Any, BeforeValidator(_body)] = Field(description="The request, as YAML or as JSON text.")
    expect: list[ExpectShape] = Field(default_factory=list, description="What the answer must hold. Default: a 2xx.")
    within: Duration = Field(timedelta(seconds=2), description="How long the answer may take; at most 5s.")

    @model_validator(mode="after")
    def _fits(self) -> SmokeShape:
        if self.within > _LONGEST:
            raise ValueError("one prediction may take at most 5s; shorten `within`")
        return self


class RecordShape(Shape):
    """A second place, a table of deployments for example, that is changed together with the registry."""

    backend: Text = Field(min_length=1, description="Backend that is a registry too.")
    pointer: Text = Field("production", description="What is moved there.")
    tag: Text = Field("", description="Tag of a version that holds its name there; empty where the names are the same.")


class EnvShape(Shape):
    """An environment variable of the service's workload that says which version is served."""

    name: Text = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,100}$", description="`MODEL_URI`, `MODEL_VERSION`.")
    value: Text = Field("{version}", description="Its value, with `{version}` where the version stands.")
    tag: Text = Field("", description="Tag of a version that holds its name there; empty for its number.")

    @model_validator(mode="after")
    def _names_the_version(self) -> EnvShape:
        if self.value.count("{version}") != 1:
            raise ValueError("`value` must hold {version} exactly once, like models:/classifier/{version}")
        return self


def gate(shape: GateShape | None) -> Gate | None:
    """The gate as the core judges by it."""
    if shape is None:
        return None
    return Gate(
        criteria=tuple(_criterion(one) for one in shape.criteria), tags=dict(shape.tags),
        same_data_by=shape.same_data_by, same_data_is_must=shape.same_data == "required",
        may_be_overruled=shape.overrule == "two_approvers",
    )  # fmt: skip


def smoke(shapes: list[SmokeShape]) -> tuple[Smoke, ...]:
    """The smoke predictions."""
    return tuple(
        Smoke(
            path=shape.path, body=str(shape.body), within=shape.within,
            expects=tuple(Expectation(**one.model_dump()) for one in shape.expect),
        )
        for shape in shapes
    )  # fmt: skip


def record(shape: RecordShape | None) -> RecordProfile | None:
    """The second place."""
    return RecordProfile(**shape.model_dump()) if shape is not None else None


def env(shape: EnvShape | None) -> EnvProfile | None:
    """The variable that says what is served."""
    return EnvProfile(**shape.model_dump()) if shape is not None else None


def _criterion(shape: CriterionShape) -> Criterion:
    amounts = {name: getattr(shape, name) for name in ("improves_by", "worsens_by")}
    is_share = any(value is not None and value.endswith("%") for value in amounts.values())
    scale = 100 if is_share else 1
    return Criterion(
        metric=shape.metric, at_least=shape.at_least, above=shape.above, at_most=shape.at_most, below=shape.below,
        improves_by=_number(amounts["improves_by"], scale), worsens_by=_number(amounts["worsens_by"], scale),
        is_share=is_share, lower_is_better=shape.better == "lower",
    )  # fmt: skip


def _number(text: str | None, scale: int) -> float | None:
    return float(text.rstrip("% ")) / scale if text is not None else None
