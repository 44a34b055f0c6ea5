"""`/mlops drift` as people see it: the production bot, the real worker on real rows, and a worker that is killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from playground.demo.town import CHANNEL, Town
from playground.system.data import INTENTS, join_labels, load_split
from playground.system.faults import BLANK, BLANKED
from playground.system.reference import flickering, write_reference
from playground.system.served import SERVED, ServedRows
from tests.e2e.test_crash import assert_audit_is_whole, wait_for

pytestmark = pytest.mark.slow


def serve(folder: Path, *, rounds: int = 3, blank: float = 0.0) -> None:
    """Rows as the model server keeps them: the held-back ones with their answers, a share of them broken."""
    folder.mkdir(exist_ok=True)
    write_reference(folder)
    (folder / SERVED).unlink(missing_ok=True)
    split, kept = load_split(), ServedRows(folder / SERVED)
    labels = join_labels(split.held_back_codes, INTENTS).tolist()
    for number in range(rounds):
        rows = flickering(split.held_back_rows, seed=100 + number)
        broken = np.random.default_rng(number).random(len(rows)) < blank
        rows[broken, BLANKED] = BLANK
        kept.add(rows.tolist(), labels, "2")


def worker_of(town: Town) -> int | None:
    """The process id of the drift worker that the bot runs now."""
    assert town.bot is not None
    for task in Path(f"/proc/{town.bot.pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            try:
                if b"handlers.drift.worker" in Path(f"/proc/{child}/cmdline").read_bytes():
                    return int(child)
            except OSError:
                continue
    return None


@pytest.mark.timeout(240)
def test_a_broken_feed_is_found_told_and_locks_the_retrain(town: Callable[..., Town]) -> None:
    here = town(minute="2s", limits="off", with_system=False)
    serve(here.data, blank=0.3)
    alice, bob = here.as_("alice").looks_at(CHANNEL), here.as_("bob").looks_at(CHANNEL)

    assert alice.types("/mlops drift intent_classifier", channel=CHANNEL).is_acked
    alice.sees("DRF-1: comparing the last 7 days", within=20)
    card = alice.sees("Triage – data bug", within=120)
    for words in ("pixel_3_4", "n = 1,491 rows now, 1,000 in the reference", "Retraining is locked", "noise up to"):
        assert words in card.text, words
    wait_for(lambda: "drift-intent_classifier-DRF-1.html" in files(here), 60, "the report as a file")
    assert alice.opens_file("drift-intent_classifier-DRF-1.png").startswith(b"\x89PNG")

    bob.clicks("Retrain (locked)", within=card)
    bob.sees("Retraining intent_classifier is locked", within=20)
    bob.clicks("Data bug", within=card)
    alice.sees("said: data bug", within=20)

    url = str(card.raw).partition("/reports/")[2].partition("|")[0]
    with urllib.request.urlopen(f"{here.url}/reports/{url}", timeout=20) as page:
        assert "sandbox allow-scripts" in page.headers["Content-Security-Policy"]
        assert b"pixel_3_4" in page.read()
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{here.url}/reports/{url[:-3]}aaa", timeout=20)
    assert_audit_is_whole(here)


@pytest.mark.timeout(240)
def test_a_worker_that_is_killed_is_told_and_leaves_nothing_half(town: Callable[..., Town]) -> None:
    """Then the bot itself dies in the middle of the next check: it is made again, and answered once."""
    here = town(minute="2s", limits="off", with_system=False)
    serve(here.data)
    alice = here.as_("alice").looks_at(CHANNEL)
    alice.types("/mlops drift intent_classifier", channel=CHANNEL)
    os.kill(wait_for(lambda: worker_of(here), 30, "the worker"), signal.SIGKILL)
    failed = alice.sees("no result.", within=60)
    assert "Nothing is concluded from it" in failed.text
    assert states(here) == {"DRF-1": "failed"}

    alice.clicks("Check again", within=failed)
    wait_for(lambda: worker_of(here), 30, "the second worker")
    here.kill_bot()
    here.start_bot()
    alice.sees("Triage – quiet", within=120)
    assert states(here) == {"DRF-1": "failed", "DRF-2": "done"}
    assert sum("Triage – quiet" in one.text for one in alice.messages(CHANNEL)) == 1
    assert_audit_is_whole(here)


def files(here: Town) -> set[str]:
    """Names of the files that were uploaded."""
    return {file["name"] for file in here.as_("alice").screen()["files"].values()}


def states(here: Town) -> dict[str, str]:
    path = here.database_url.removeprefix("sqlite:///")
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        return dict(connection.execute("SELECT id, state FROM drift_report"))
