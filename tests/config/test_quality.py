"""How quality is measured, as an SRE writes it, and what is said of mistakes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from bot.drift.asked import SourceKind
from tests.config.folder import Folder
from tests.config.test_gate import folder

ROWS = """\
    quality:
      window: 14d
      baseline: {f1: val_f1}
      worse_by: {accuracy: 0.02, "*": 0.1}
      rows:
        predictions: {database: "postgresql://reader:${env:HOOK}@db/said", query: "SELECT * FROM p WHERE at >= :start"}
        labels: {path: labels.parquet}
        columns: {prediction: said, target: truth, probability: p, time: at, labelled_at: came, key: id}
        positive: "1"
"""
QUERIES = """\
    quality:
      queries: {accuracy: "acc"}
      coverage_query: share
"""


def errors(tmp_path: Path, text: str) -> list[str]:
    return folder(tmp_path, text).errors()


def test_rows_become_a_question_and_the_rules_hold_no_address(tmp_path: Path) -> None:
    settings, problems = folder(tmp_path, ROWS).inspect()
    assert [str(one) for one in problems if not one.warning] == []
    assert settings is not None
    rules = settings.policy.systems["shop"].models[0].quality
    assert rules is not None
    assert (rules.has_rows, rules.window, rules.baseline) == (True, timedelta(days=14), {"f1": "val_f1"})
    assert "hook-very-secret" not in repr(settings.policy)
    asked = settings.labels["shop"]["rank"]
    assert asked.predictions.kind is SourceKind.SQL
    assert "hook-very-secret" in asked.predictions.url
    assert "hook-very-secret" not in repr(asked)
    assert asked.labels is not None
    assert asked.labels.path == str(tmp_path / "books" / "shop" / "labels.parquet")
    assert (asked.columns.key, asked.positive, asked.limits.wall) == ("id", "1", timedelta(seconds=8))


def test_queries_need_no_worker_and_make_the_diagnostic_able(tmp_path: Path) -> None:
    settings, _ = folder(tmp_path, QUERIES).inspect()
    assert settings is not None
    assert settings.labels["shop"] == {}
    assert "quality" in settings.policy.systems["shop"].abilities("ranker", "rank")
    plain, _ = Folder(tmp_path / "other").inspect()
    assert plain is not None
    assert "quality" not in plain.policy.systems["shop"].abilities("ranker", "rank")


@pytest.mark.parametrize("old, new, told", [
    ("      rows:\n", "      queries: {accuracy: acc}\n      rows:\n", "needs either `queries` or `rows`"),
    ("time: at, labelled_at: came, key: id", "time: at", "joined by `columns.key`"),
    ('        positive: "1"\n', "", "needs `positive`"),
    ("{path: labels.parquet}", "{path: /etc/passwd, kind: csv}", "not under `drift.folders`"),
    ("postgresql://", "mysql://", 'scheme "mysql" is not in `drift.schemes`'),
    ("window: 14d", "windov: 14d", "windov"),
    ('        positive: "1"\n', '        positive: "1"\n        time_limit: 1h\n', "at most 5m"),
])  # fmt: skip
def test_a_mistake_is_said_with_its_place(tmp_path: Path, old: str, new: str, told: str) -> None:
    found = errors(tmp_path, ROWS.replace(old, new))
    assert len(found) == 1, found
    assert told in found[0]
    assert found[0].startswith("system.yaml:")
