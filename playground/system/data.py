"""The data behind `intent_classifier`, and what it stands for.

No collection of user questions ships with scikit-learn, so the hand-written digits do (1,797 rows of 8x8 pixels, ten
classes). Read them as follows: the 64 pixel values of a row play the part of a sentence embedding, and digit *d*
plays the part of the intent `INTENTS[d]`. Everything measured on them (accuracy, confidence, class mix) is measured
for real; only the names are borrowed.

The rows are split once, always the same way: 1,000 to learn from, 300 to validate with, 497 held back. Training never
sees the held-back rows; the traffic generator sends them with their true labels.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits  # type: ignore[import-untyped]
from sklearn.model_selection import train_test_split  # type: ignore[import-untyped]

FEATURE_COUNT = 64

# The four intents of the first release, then six more in the order in which they were introduced.
INTENTS = (
    "greeting",
    "account_balance",
    "portfolio_summary",
    "goal_progress",
    "tax_question",
    "set_alert",
    "buy_fund",
    "cancel_order",
    "market_news",
    "human_agent",
)
# The same list as a later export wrote it: the six newer intents sorted by name. Joining labels to rows by position
# in this list gives every row of those six intents a wrong label, and always the same wrong one. That is the fault
# version 3 is trained with.
INTENTS_AS_REEXPORTED = INTENTS[:4] + tuple(sorted(INTENTS[4:]))

Rows = NDArray[np.float64]
Labels = NDArray[Any]  # of str


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Rows with the codes of their intents (0-9); a code becomes a label through one of the lists above."""

    train_rows: Rows
    train_codes: NDArray[np.int64]
    validation_rows: Rows
    validation_codes: NDArray[np.int64]
    held_back_rows: Rows
    held_back_codes: NDArray[np.int64]


def load_split() -> Split:
    """The one split everybody uses. Needs no network; the rows come with scikit-learn."""
    pixels, codes = load_digits(return_X_y=True)
    rows = np.asarray(pixels, dtype=np.float64) / 16.0
    learn, held_back, learn_codes, held_back_codes = train_test_split(
        rows, codes, test_size=497, random_state=0, stratify=codes
    )
    train, validation, train_codes, validation_codes = train_test_split(
        learn, learn_codes, test_size=300, random_state=100, stratify=learn_codes
    )
    return Split(
        train_rows=train,
        train_codes=train_codes,
        validation_rows=validation,
        validation_codes=validation_codes,
        held_back_rows=held_back,
        held_back_codes=held_back_codes,
    )


def join_labels(codes: NDArray[np.int64], intents: tuple[str, ...]) -> Labels:
    """Turn codes into labels by their position in `intents`; the caller answers for handing in the right list."""
    return np.asarray(intents)[codes]


def digest(rows: Rows, labels: Labels) -> str:
    """Twelve hex digits that change when any row or label does."""
    content = hashlib.sha256(np.ascontiguousarray(rows).tobytes())
    content.update("\n".join(labels.tolist()).encode())
    return content.hexdigest()[:12]
