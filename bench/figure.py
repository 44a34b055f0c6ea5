"""One figure, and the bound it is held to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Something measured. Without a bound it is for information."""

    name: str  # one word
    value: float
    unit: str
    ratio: float | None = None  # to something else that was measured in the same run
    of: str = ""  # what that is, one word
    at_most: float | None = None
    at_least: float | None = None

    @property
    def line(self) -> str:
        """As in: figure drift_screen_1m 4.81 s ratio 0.21 of drift_evidently."""
        ratio = "" if self.ratio is None else f" ratio {self.ratio:.2f} of {self.of}"
        return f"figure {self.name} {_short(self.value)} {self.unit}{ratio}"

    @property
    def missed(self) -> str:
        """Which bound is missed, in words; "" when none is."""
        value = f"{_short(self.value)} {self.unit}"
        if self.at_most is not None and not self.value <= self.at_most:
            return f"{self.name} is {value}; at most {_short(self.at_most)} {self.unit} is allowed"
        if self.at_least is not None and not self.value >= self.at_least:
            return f"{self.name} is {value}; at least {_short(self.at_least)} {self.unit} is needed"
        return ""


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 or value.is_integer() else f"{value:.3g}"
