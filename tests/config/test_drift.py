"""A model's `drift` block: what it becomes, each mistake with its line, and no secret written or shown."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.config import Settings
from bot.drift.asked import Histogram, Number, Roles, SourceKind
from tests.config.folder import ENV, PROFILE, Folder

FILES = """\
    drift:
      reference: {path: ../../data/train.parquet}
      current: {url: "https://data.example/now.csv.gz?sig=${env:SIGNATURE}", options: {secret: "${env:STORE_KEY}"}}
      reference_window: {start: 2026-01-01T00:00:00Z, end: 2026-02-01T00:00:00+01:00}
      columns: {prediction: score, time: at, ignore: [id], categorical: code}
      window: 14d
      thresholds: {share_warning: 0.2, psi_high: 0.25}
      number: max
      upstream: {age: crm.customers}
      expected_rows: 5000
      full: false
"""
QUERIES = """\
    drift:
      reference: &rows
        database: postgresql://reader:${env:STORE_KEY}@db/features
        query: SELECT * FROM f WHERE at >= :start AND at < :end AND region = :region
        params: {region: north, since: 2026-01-01T00:00:00Z, least: 3}
      current: *rows
      reference_window: {before: 28d}
"""
NOTHING = """\
    drift:
      number: prediction
      histogram: {metric: p_bucket, match: {model: rank, version: 3}, reference_before: 7d}
"""
SECRETS = {"SIGNATURE": "signed-very-secret", "STORE_KEY": "store-very-secret"}


def folder(tmp_path: Path, block: str, main: str = "") -> Folder:
    found = Folder(tmp_path, profile=PROFILE + block, env=ENV | SECRETS)
    found.main += main
    return found


def settings_of(found: Folder) -> Settings:
    settings, problems = found.inspect()
    assert [str(problem) for problem in problems if not problem.warning] == []
    assert settings is not None
    return settings


def test_files_and_addresses(tmp_path: Path) -> None:
    settings = settings_of(folder(tmp_path, FILES))
    found = settings.drift["shop"]["rank"]
    assert found.reference is not None
    assert found.current is not None
    assert (found.reference.kind, Path(found.reference.path).resolve()) == (
        SourceKind.PARQUET, (tmp_path / "data" / "train.parquet").resolve(),
    )  # fmt: skip
    assert (found.current.kind, found.current.options) == (SourceKind.CSV, {"secret": SECRETS["STORE_KEY"]})
    assert (found.reference_from, found.reference_until) == (
        datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 31, 23, tzinfo=UTC),
    )  # fmt: skip
    assert found.roles == Roles(prediction="score", time="at", ignore=("id",), categorical=("code",))
    assert (found.window, found.number, found.expected_rows) == (timedelta(days=14), Number.HIGHEST, 5000)
    assert (found.thresholds.share_warning, found.thresholds.share_critical, found.thresholds.psi_high) == (
        0.2,
        0.5,
        0.25,
    )
    assert (found.limits.full, found.upstream) == (False, {"age": "crm.customers"})


def test_queries_and_the_worker(tmp_path: Path) -> None:
    main = (
        "drift: {python: /opt/drift/bin/python, reports: out, kept: 9, time_limit: 30s, memory_mb: 900, max_rows: 5000,"
        " folders: [data, /srv], schemes: [S3, postgresql], environment: [STORE_KEY, ABSENT]}\n"
    )
    settings = settings_of(folder(tmp_path, QUERIES, main))
    found = settings.drift["shop"]["rank"]
    assert found.current is not None
    assert (found.current.kind, found.reference_before) == (SourceKind.SQL, timedelta(days=28))
    assert found.current.url == f"postgresql://reader:{SECRETS['STORE_KEY']}@db/features"
    assert found.current.params == {"region": "north", "since": "2026-01-01T00:00:00Z", "least": 3}
    assert (found.limits.wall, found.limits.memory_mb, found.limits.rows) == (timedelta(seconds=30), 900, 5000)
    worker = settings.drift_worker
    assert (worker.python, worker.reports, worker.kept) == ("/opt/drift/bin/python", tmp_path / "out", 9)
    assert worker.folders == ((tmp_path / "data").resolve(), Path("/srv"))
    assert worker.schemes == {"s3", "postgresql"}
    assert worker.environment == (("STORE_KEY", SECRETS["STORE_KEY"]),)


def test_a_histogram_alone_is_enough(tmp_path: Path) -> None:
    found = settings_of(folder(tmp_path, NOTHING)).drift["shop"]["rank"]
    assert found.histogram == Histogram(
        metric="p_bucket", match={"model": "rank", "version": "3"}, reference_before=timedelta(days=7)
    )
    assert not found.has_data
    assert settings_of(Folder(tmp_path)).drift == {"shop": {}}


@pytest.mark.parametrize("block", [FILES, QUERIES])
def test_no_secret_of_a_source_is_shown_and_each_is_known(tmp_path: Path, block: str) -> None:
    settings = settings_of(folder(tmp_path, block, "drift: {environment: [STORE_KEY]}\n"))
    assert [value for value in SECRETS.values() if value in repr(settings)] == []
    known = [secret.reveal() for secret in settings.secrets]
    used = [value for name, value in SECRETS.items() if f"{{env:{name}}}" in block]
    assert [value for value in used if not any(value in secret for secret in known)] == []


def current(source: str) -> str:
    return f"drift: {{reference: {{path: ../../a.csv}}, current: {source}}}"


def both(more: str) -> str:
    return f"drift: {{reference: {{path: ../../a.csv}}, current: {{path: ../../b.csv}}, {more}}}"


MISTAKES = [
    ("drift: {}", "nothing to look at; set `reference` and `current`, `histogram`, or `score_query`"),
    ("drift: {reference: {path: ../../a.csv}}", "`reference` and `current` belong together; write both or neither"),
    ("drift: {refrence: {path: a.csv}}", 'unknown key "refrence"; did you mean "reference"?'),
    ("drift: {score_query: x}", "`number: share` needs data; choose `prediction` or `score`"),
    (both("number: score"), "`number: score` needs `score_query`"),
    (both("number: prediction"), "needs `columns.prediction` or `histogram`"),
    (both("thresholds: {psi_high: 0.05}"), "`psi_moderate` must be below `psi_high`; correct them"),
    (both("reference_window: {start: 2026-01-01T00:00:00Z}"), "needs either `start` and `end`, or `before`"),
    (both("reference_window: {start: 2026-01-02T00:00:00Z, end: 2026-01-01T00:00:00Z}"), "not earlier than `end`"),
    (both("reference_window: {start: 2026-01-02}"), '"start"'),
    (both("histogram: {metric: p}"), '"metric"'),
    (current("{path: x.csv, url: 'https://x/y.csv'}"), "exactly one of `path`, `url` and `database`"),
    (current("{path: 'https://x/y.csv'}"), "write an address as `url`"),
    (current("{path: ../../data}"), "set `kind`"),
    (current("{database: 'postgresql://x/y'}"), "`database` and `query` belong together; write both"),
    (current("{path: ../../b.csv, params: {a: 1}}"), "only a query has `params`"),
    (current("{path: /etc/b.csv}"), "current: the file is not under `drift.folders` of mlops.yaml"),
    (current("{url: 's3://x/b.csv'}"), 'scheme "s3" is not in `drift.schemes` of mlops.yaml'),
    (current("{database: 'sqlite:///x', query: SELECT 1}"), 'scheme "sqlite" is not in'),
    (
        current("{database: 'postgresql://u:pw@h/d', query: SELECT 1}"),
        "the password must not be written in the address",
    ),
    (current("{url: 'https://x/b.csv', options: {secret: abc}}"), '"secret" is a secret and must not be written here'),
]


@pytest.mark.parametrize(("block", "said"), MISTAKES)
def test_each_mistake_is_told_with_its_line(tmp_path: Path, block: str, said: str) -> None:
    line = PROFILE.count("\n") + 1
    told = folder(tmp_path, f"    {block}\n").errors()
    assert len(told) == 1, told
    assert told[0].startswith(f"system.yaml:{line}: ")
    assert said in told[0]
