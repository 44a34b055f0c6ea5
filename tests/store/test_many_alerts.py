"""Many alerts in few statements mean the same as one by one."""

from __future__ import annotations

import functools
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.model import Alert
from bot.store import Store

NOW = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)
WORDS = st.tuples(st.integers(0, 3), st.integers(0, 2), st.booleans())  # which alert, which episode, firing


def alert(number: int, episode: int, *, firing: bool) -> Alert:
    starts_at = NOW - timedelta(hours=3 - episode)
    ends_at = None if firing else starts_at + timedelta(minutes=5)
    return Alert(
        source="alertmanager", fingerprint=f"f{number}", firing=firing, starts_at=starts_at, ends_at=ends_at,
        labels={"alertname": f"a{number}"}, annotations={},
    )  # fmt: skip


def verdicts(
    store: Store, notifications: list[list[Alert]], *, at_once: bool
) -> tuple[list[str], list[tuple[str, bool]]]:
    said: list[str] = []
    for alerts in notifications:
        with store.begin() as tx:
            merged = tx.merge_alerts(alerts, NOW) if at_once else [tx.merge_alert(one, NOW) for one in alerts]
            said += [one.verdict for one in merged]
    with store.begin() as tx:
        # What is known afterwards shows in what each episode means when it is said once more.
        again = [tx.merge_alert(alert(n, e, firing=f), NOW) for n in range(4) for e in range(3) for f in (False, True)]
    return said, [(one.verdict, one.incident_id is None) for one in again]


@functools.cache
def made_once(folder: Path) -> Path:
    """An empty database with its tables; making one takes longer than all that an example does."""
    file = folder / "empty.db"
    store = Store(f"sqlite:///{file}", audit_key=b"k" * 32)
    store.migrate()
    store.close()
    return file


@settings(max_examples=40)
@given(notifications=st.lists(st.lists(WORDS, max_size=8), max_size=4))
def test_at_once_is_as_one_by_one(notifications: list[list[tuple[int, int, bool]]], tmp_path_factory: object) -> None:
    """Any notifications, with repeats, reordering and two episodes of one alert in the same body."""
    folder: Path = tmp_path_factory.mktemp("many")  # type: ignore[attr-defined]
    empty = made_once(tmp_path_factory.getbasetemp())  # type: ignore[attr-defined]
    made = [[alert(n, e, firing=f) for n, e, f in one] for one in notifications]
    outcomes = []
    for at_once in (True, False):
        file = shutil.copy(empty, folder / f"{at_once}.db")
        store = Store(f"sqlite:///{file}", audit_key=b"k" * 32)
        outcomes.append(verdicts(store, made, at_once=at_once))
        store.close()
    assert outcomes[0] == outcomes[1]
