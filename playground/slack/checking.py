"""The small tool the block rules are written with: a value, where it sits, and what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """One reason for refusal."""

    pointer: str  # JSON pointer, for example /blocks/0/text/text
    code: str  # failed_constraint, invalid_type or missing_field
    message: str
    field: str | None = None
    constraint: dict[str, Any] | None = None

    def wire(self) -> dict[str, Any]:
        """The form `blocks.validate` answers with."""
        body: dict[str, Any] = {"pointer": self.pointer, "code": self.code, "message": self.message}
        if self.field:
            body["field"] = self.field
        if self.constraint:
            body["constraint"] = self.constraint
        return body

    def line(self) -> str:
        """The form other methods answer with."""
        return f"{self.message} [json-pointer:{self.pointer}]"


@dataclass(slots=True)
class Check:
    """A cursor over raw JSON that collects flaws and never raises."""

    value: Any
    at: str
    flaws: list[Flaw]

    @property
    def kind(self) -> str:
        """The value's `type`, or an empty text."""
        kind = self.get("type")
        return kind if isinstance(kind, str) else ""

    def get(self, name: str, default: Any = None) -> Any:
        """A member, when the value is an object."""
        return self.value.get(name, default) if isinstance(self.value, dict) else default

    def child(self, name: str) -> Check:
        """A cursor on one member."""
        return Check(self.get(name), f"{self.at}/{name}", self.flaws)

    def children(self) -> list[Check]:
        """A cursor on each item of a list."""
        items = self.value if isinstance(self.value, list) else []
        return [Check(v, f"{self.at}/{n}", self.flaws) for n, v in enumerate(items)]

    def flaw(self, code: str, message: str, *, field: str | None = None, **constraint: Any) -> None:
        """Record what is wrong here; `field` names a member, the pointer then goes there."""
        self.flaws.append(
            Flaw(
                pointer=f"{self.at}/{field}" if field else self.at,
                code=code,
                message=message,
                field=field,
                constraint=constraint or None,
            )
        )

    def string(self, name: str, limit: int | None, *, required: bool = True, minimum: int = 1) -> str | None:
        """Check a text member; returns it when it is a text."""
        value = self.get(name)
        if value is None:
            if required:
                self.flaw("missing_field", f"missing required field: {name}", field=name)
            return None
        if not isinstance(value, str):
            self.flaw("invalid_type", f"{name} must be a string", field=name)
            return None
        if len(value) < minimum:
            self.flaw("failed_constraint", f"must be more than {minimum - 1} characters",
                      field=name, minimum=minimum)  # fmt: skip
        if limit is not None and len(value) > limit:
            self.flaw("failed_constraint", f"must be less than {limit + 1} characters",
                      field=name, limit=limit, got=len(value))  # fmt: skip
        return value

    def boolean(self, name: str) -> None:
        """Check an optional true/false member."""
        if name in (self.value or {}) and not isinstance(self.get(name), bool):
            self.flaw("invalid_type", f"{name} must be true or false", field=name)

    def number(self, name: str, *, above: float | None = None) -> None:
        """Check a required number."""
        value = self.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.flaw("invalid_type", f"{name} must be a number", field=name)
        elif above is not None and value <= above:
            self.flaw("failed_constraint", f"{name} must be above {above}", field=name)

    def whole(self, name: str, low: int, high: int) -> None:
        """Check an optional whole number between two bounds."""
        value = self.get(name)
        if value is None:
            return
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            self.flaw("failed_constraint", f"{name} must be {low} to {high}", field=name)

    def one_of(self, name: str, allowed: tuple[str, ...], *, required: bool = True) -> str | None:
        """Check a member against a closed set; returns it when it is in the set."""
        value = self.get(name)
        if value is None and not required:
            return None
        if not isinstance(value, str) or value not in allowed:
            self.flaw("failed_constraint", f"{name} must be one of {', '.join(allowed)}",
                      field=name, type="enum", expected=list(allowed))  # fmt: skip
            return None
        return value

    def items(self, name: str, limit: int | None, *, required: bool = True, minimum: int = 1) -> list[Check]:
        """Check the length of a list member; returns a cursor for each item."""
        value = self.get(name)
        if value is None:
            if required:
                self.flaw("missing_field", f"missing required field: {name}", field=name)
            return []
        if not isinstance(value, list):
            self.flaw("invalid_type", f"{name} must be a list", field=name)
            return []
        if len(value) < minimum:
            self.flaw("failed_constraint", f"no fewer than {minimum} items allowed [{len(value)} "
                      "given]", field=name, minimum=minimum)  # fmt: skip
        if limit is not None and len(value) > limit:
            self.flaw("failed_constraint", f"no more than {limit} items allowed [{len(value)} "
                      "given]", field=name, limit=limit)  # fmt: skip
        return self.child(name).children()

    def text(self, name: str, limit: int, *, plain: bool = False, required: bool = True) -> None:
        """Check a text object member."""
        if self.get(name) is None:
            if required:
                self.flaw("missing_field", f"missing required field: {name}", field=name)
            return
        text_object(self.child(name), limit, plain=plain)


def text_object(c: Check, limit: int, *, plain: bool = False) -> None:
    """Check {"type": "plain_text" or "mrkdwn", "text": …}."""
    if not isinstance(c.value, dict):
        c.flaw("invalid_type", "a text object is expected here")
        return
    allowed = ("plain_text",) if plain else ("plain_text", "mrkdwn")
    kind = c.one_of("type", allowed)
    c.string("text", limit)
    if kind == "mrkdwn" and "emoji" in c.value:
        c.flaw("invalid_type", "emoji belongs to plain_text only", field="emoji")
    if kind == "plain_text" and "verbatim" in c.value:
        c.flaw("invalid_type", "verbatim belongs to mrkdwn only", field="verbatim")
