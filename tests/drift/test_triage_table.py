"""The table of cases: real data sets, known faults, and what is proposed for each.

The danger: a model is retrained on broken data, because the break looked like a change of the world.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from bot.drift.report import Cause
from handlers.drift.screen import screened
from handlers.drift.source import Kind, Source
from handlers.drift.triage import Proposal, proposal
from tests.drift.real import FAULTS, HARDER, SCORE, SETS, Frame, halves, real, resampled, write

SEED = 11
# Windows of wine hold 89 rows, so hardly anything can be said of them; the rest is named where it differs.
WORLD = ("nothing", "population", "population by score")  # no fault: real rows, in another mix
LARGE = ("digits", "fair", "randhie")
EXPECTED: dict[str, set[Cause]] = {
    "nothing": {Cause.QUIET, Cause.TOO_FEW},
    "population": {Cause.VALID, Cause.UNSURE, Cause.TOO_FEW},
    "population by score": {Cause.VALID, Cause.UNSURE, Cause.TOO_FEW},
    "new group": {Cause.UNSURE, Cause.TOO_FEW},
}
# 89 rows may be too few to tell these from chance.
UNSEEN = {("wine", fault) for fault in ("sentinel", "time zone", "shuffled scores", "doubled rows")}
FALSE_ALARMS_RATIO = 0.05


def propose(before: Frame, now: Frame, folder: Path) -> Proposal:
    pair = [write(before, folder / "before.parquet"), write(now, folder / "now.parquet")]
    sources = [Source(kind=Kind.PARQUET, path=str(path)) for path in pair]
    return proposal(screened(*sources, target=SCORE, scratch=folder))


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Proposal]:
    folder = tmp_path_factory.mktemp("triage")

    @cache
    def found(name: str, fault: str) -> Proposal:
        one = real(name)
        before, now = halves(one, SEED)
        broken = (FAULTS | HARDER)[fault](now, one.main)
        # A served model follows its inputs, broken or not; only a fault of the scores themselves comes after it.
        return propose(before, broken if fault == "shuffled scores" else one.scored(broken), folder)

    return found


@pytest.mark.parametrize("name", SETS)
def test_each_fault_is_proposed_for_what_it_is(name: str, outcome: Callable[[str, str], Proposal]) -> None:
    found = {fault: outcome(name, fault).cause for fault in FAULTS}
    wanted = {
        fault: EXPECTED.get(fault, {Cause.DATA_BUG}) | ({Cause.TOO_FEW} if (name, fault) in UNSEEN else set())
        for fault in FAULTS
    }
    assert {fault: cause for fault, cause in found.items() if cause not in wanted[fault]} == {}


def test_no_retrain_is_offered_on_any_fault(
    outcome: Callable[[str, str], Proposal], record_property: Callable[[str, object], None]
) -> None:
    cases = [(name, fault) for name in SETS for fault in FAULTS]
    matrix = Counter((_truth(fault), outcome(name, fault).cause) for name, fault in cases)
    record_property("figure", f"drift triage, {len(cases)} cases on {len(SETS)} real data sets:\n{_drawn(matrix)}")
    faults = [(name, fault) for name, fault in cases if fault not in WORLD]
    assert len(cases) >= 40
    assert [case for case in faults if outcome(*case).retrain_locked is None] == []


def test_a_change_of_the_world_can_reach_a_retrain(outcome: Callable[[str, str], Proposal]) -> None:
    """Else the lock would be right by never opening."""
    opened = [name for name in SETS for fault in WORLD if outcome(name, fault).retrain_locked is None]
    assert len(set(opened)) >= 3
    assert [outcome(name, "nothing").cause for name in LARGE] == [Cause.QUIET] * len(LARGE)


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_milder_faults_are_no_reason_to_retrain_either(name: str, outcome: Callable[[str, str], Proposal]) -> None:
    found = {fault: outcome(name, fault) for fault in HARDER}
    assert [fault for fault, one in found.items() if one.retrain_locked is None] == []


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_unchanged_data_raise_no_alarm(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """At 500 rows, the fewest of which a verdict on the lower line is given."""
    windows = [(name, seed) for name in ("digits", "fair", "randhie", "anes96", "breast_cancer") for seed in range(30)]
    causes = {case: propose(*resampled(real(case[0]), 100 + case[1], 500), tmp_path).cause for case in windows}
    alarms = [case for case, cause in causes.items() if cause not in {Cause.QUIET, Cause.TOO_FEW}]
    counts = Counter(causes.values())
    record_property(
        "figure",
        f"drift false alarms: {len(alarms)} of {len(windows)} unchanged windows of 500 rows "
        f"({counts[Cause.QUIET]} quiet, {counts[Cause.TOO_FEW]} without a verdict)",
    )
    assert len(alarms) <= FALSE_ALARMS_RATIO * len(windows), alarms
    assert counts[Cause.QUIET] >= 0.9 * len(windows)


def _truth(fault: str) -> str:
    if fault == "nothing":
        return "unchanged"
    return "other population" if fault in WORLD else "new category" if fault == "new group" else "data bug"


def _drawn(matrix: Counter[tuple[str, Cause]]) -> str:
    causes = (Cause.DATA_BUG, Cause.VALID, Cause.UNSURE, Cause.QUIET, Cause.TOO_FEW)
    head = f"  {'truth / proposed':18}" + "".join(f"{cause:>17}" for cause in causes)
    truths = ("data bug", "new category", "other population", "unchanged")
    rows = [f"  {truth:18}" + "".join(f"{matrix[truth, cause]:>17}" for cause in causes) for truth in truths]
    return "\n".join([head, *rows])
