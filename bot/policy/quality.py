"""What a model's quality is judged by, once the true labels have come in. Pure.

Labels come late, and often not for every row. So a number is worth only as much as the share of rows that have a label,
and as long as none has come, the quality is not known – which is never the same as fine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

LOWER_IS_BETTER = frozenset({"brier", "log_loss"})
KNOWN = ("accuracy", "f1", "auc", "brier")  # what is computed from rows, in the order of the answer


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityProfile:
    """How one model's quality is measured and judged."""

    window: timedelta = timedelta(days=7)
    queries: Mapping[str, str] = field(default_factory=dict)  # metric → PromQL that gives one number
    labels_query: str = ""  # PromQL: how many labels the numbers rest on
    coverage_query: str = ""  # PromQL: share of the predictions that have a label, 0 to 1
    delay_query: str = ""  # PromQL: seconds until a label comes
    has_rows: bool = False  # the numbers are computed from predictions and labels instead
    baseline: Mapping[str, str] = field(default_factory=dict)  # metric → its name in the run, or tag of the version
    worse_by: Mapping[str, float] = field(default_factory=dict)  # metric → how much worse than the baseline is allowed
    min_labels: int = 200
    min_coverage: float = 0.3

    @property
    def allowed(self) -> float:
        """For metrics that `worse_by` does not name."""
        return self.worse_by.get("*", 0.05)
