"""Where data come from: real PostgreSQL, a real HTTP server, files, and everything that is not allowed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from bot.drift.asked import DataSource, DriftProfile, Limits, Roles, SourceKind, Span, request
from bot.drift.report import Verdict
from bot.drift.runner import DriftRunner, WorkerSettings
from handlers.drift.facts import Form
from handlers.drift.fetch import Allowed, Missing, fetched
from handlers.drift.screen import Wanted, compared, paired
from handlers.drift.source import Kind, Source
from playground import parts
from tests.store.postgres_server import Server, running

NOW = datetime(2026, 3, 2, tzinfo=UTC)
WEEK = Span(start_at=NOW - timedelta(days=7), end_at=NOW)
EVERYWHERE = frozenset({"http", "https", "postgresql", "s3", "file"})
CSV = b"x,y\n" + b"".join(f"{value},{value % 3}\n".encode() for value in range(300))


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    program = parts.find("postgres")
    if program is None:
        pytest.skip("PostgreSQL is not on this machine: drift from a database was not proven (make test gets it)")
    with running(program) as server:
        server.run(
            "CREATE TABLE scores AS SELECT n AS id, CASE WHEN n % 10 > 0 THEN n::numeric / 7 END AS score, "
            "CASE n % 2 WHEN 0 THEN 'plain' ELSE E'x,\"y''\\n' END AS place, lpad((n % 3)::text, 3, '0') AS code, "
            "n % 2 = 0 AS live, timestamptz '2026-03-01 00:30+02' - n * interval '1 hour' AS at, "
            "current_date - n % 5 AS day, NULL::int AS nothing FROM generate_series(1, 1200) AS n"
        )
        server.run("CREATE ROLE reader LOGIN; GRANT SELECT ON scores TO reader")
        yield server


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    class Files(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found: Mapping[str, Any] = {"/x.csv": CSV, "/large.csv": b"x\n" + b"1\n" * 1_000_000, "/empty.csv": b""}
            path = self.path.partition("?")[0]
            status = 403 if path == "/secret.csv" else 200 if path in found else 404
            self.send_response(status)
            self.end_headers()
            self.wfile.write(found.get(path, b"no"))

        def do_HEAD(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Files)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


Get = Callable[..., Source]


@pytest.fixture
def get(tmp_path: Path) -> Get:
    """Fetch a source into a folder of its own."""

    def fetch(source: DataSource, span: Span | None = None, time: str = "", **more: Any) -> Source:
        allowed = Allowed(**{"folders": [tmp_path], "schemes": EVERYWHERE} | more)
        folder = tmp_path / "fetched"
        folder.mkdir(exist_ok=True)
        return fetched(source, span, time, "current", folder, allowed)

    return fetch


def failure(get: Get, source: DataSource, **more: Any) -> Missing:
    with pytest.raises(Missing) as failed:
        get(source, **more)
    return failed.value


def sql(server: Server, query: str, **params: Any) -> DataSource:
    return DataSource(
        kind=SourceKind.SQL, url=server.url("postgres").replace("bot@", "reader@"), query=query, params=params
    )


def test_rows_of_a_query_keep_what_they_are(postgres: Server, get: Get, tmp_path: Path) -> None:
    """A code with leading zeros is no number, a number without a fraction is no code, a time is in UTC."""
    query = "SELECT score, place, code, live, at, nothing FROM scores WHERE id > :least AND at < :end;"
    source = get(sql(postgres, query, least=0), WEEK, "at")
    assert source.forms == {
        "score": Form.NUMBER, "place": Form.CATEGORY, "code": Form.CATEGORY, "live": Form.CATEGORY, "at": Form.TIME,
    }  # fmt: skip
    assert source.span is None  # the query has chosen its rows by :end
    wanted = Wanted()
    with paired(source, source, wanted, scratch=tmp_path) as pair:
        found = {column.name: column for column in compared(pair, wanted).columns}
        first = pair.connection.execute(f'SELECT max("at") FROM {pair.current.sql}').fetchone()
    assert first == (datetime(2026, 2, 28, 21, 30),)  # noqa: DTZ001 - as DuckDB keeps it
    assert found["score"].current.missing_share == pytest.approx(0.1)
    assert found["code"].names == ("000", "001", "002")
    assert {name.partition("\n")[0] for name in found["place"].names} == {"plain", "x,\"y'"}


def test_window_is_bound_or_applied_to_the_rows(postgres: Server, get: Get, tmp_path: Path) -> None:
    rows, spans = [], []
    for query in ("SELECT score, at FROM scores WHERE at >= :start AND at < :end", "SELECT score, at FROM scores"):
        source = get(sql(postgres, query), WEEK, "at")
        spans.append(source.span)
        with paired(source, source, Wanted(), scratch=tmp_path) as pair:
            rows.append(compared(pair, Wanted()).current_rows)
    assert spans == [None, WEEK]  # a query that names the window has chosen its rows itself
    assert (
        rows[0]
        == rows[1]
        == postgres.run(f"SELECT count(*) FROM scores WHERE at >= '{WEEK.start_at}' AND at < '{WEEK.end_at}'")[0][0]
    )


def test_a_value_is_bound_and_never_part_of_the_query(postgres: Server, get: Get) -> None:
    hostile = "x'; DROP TABLE scores; --"
    source = get(sql(postgres, "SELECT :note AS note, count(*) AS n FROM scores", note=hostile))
    assert Path(source.path).read_text(encoding="utf-8").splitlines() == ["note,n", f"{hostile},1200"]


@pytest.mark.parametrize(
    ("query", "reason", "said"),
    [
        ("DELETE FROM scores", "invalid", "must be one SELECT"),
        ("SELECT 1; DELETE FROM scores", "invalid", "must be one SELECT"),
        ("WITH gone AS (DELETE FROM scores RETURNING id) SELECT * FROM gone", "refused", "only reads"),
        ("SELECT set_config('transaction_read_only', 'off', false), nextval('s')", "invalid", "was not understood"),
        ("SELECT * FROM nowhere", "invalid", "was not understood by 127.0.0.1"),
        ("SELECT pg_read_file('/etc/passwd')", "refused", "was refused"),
        ("SELECT pg_sleep(60)", "timeout", "took too long"),
        ("SELECT score FROM scores WHERE at > :since", "invalid", "has :since, which has no value"),
        ("SELECT generate_series(1, 5000)", "refused", "more than 2000 rows or 1 MB"),
        ("SELECT repeat('x', 10000) FROM generate_series(1, 1500)", "refused", "more than 2000 rows or 1 MB"),
    ],
)
def test_a_query_that_does_more_than_read_a_little_is_stopped(
    postgres: Server, get: Get, query: str, reason: str, said: str
) -> None:
    limits = Limits(wall=timedelta(seconds=2), rows=2000, download_mb=1)
    found = failure(get, sql(postgres, query), limits=limits)
    assert (found.reason, said in found.sentence) == (reason, True), found.sentence
    assert postgres.run("SELECT count(*) FROM scores") == [(1200,)]


def test_a_database_that_is_not_there_costs_a_sentence_without_the_password(get: Get) -> None:
    source = DataSource(kind=SourceKind.SQL, url="postgresql://me:hunter2@127.0.0.1:1/x", query="SELECT 1")
    found = failure(get, source)
    assert found.reason == "unreachable"
    assert "127.0.0.1" in found.sentence
    assert "hunter2" not in found.sentence


def test_a_file_behind_an_address(web: str, get: Get, tmp_path: Path) -> None:
    source = get(DataSource(kind=SourceKind.CSV, url=f"{web}/x.csv?token=hunter2"))
    assert source.kind is Kind.CSV
    assert Path(source.path).read_bytes() == CSV
    with paired(source, source, Wanted(), scratch=tmp_path) as pair:
        assert compared(pair, Wanted()).current_rows == 300


@pytest.mark.parametrize(
    ("path", "reason", "said"),
    [
        ("/none.csv", "not_found", "does not exist at 127.0.0.1"),
        ("/secret.csv", "refused", "127.0.0.1 refuses"),
        ("/large.csv", "refused", "larger than 1 MB"),
    ],
)
def test_an_address_that_gives_no_file(web: str, get: Get, path: str, reason: str, said: str) -> None:
    source = DataSource(kind=SourceKind.CSV, url=f"{web}{path}?sig=hunter2")
    found = failure(get, source, limits=Limits(download_mb=1))
    assert (found.reason, said in found.sentence, "hunter2" in found.sentence) == (reason, True, False), found.sentence


@pytest.mark.parametrize(
    "url",
    [
        "ftp://data.example/x.csv",
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "simplecache::https://data.example/x.csv",
        "https://data.example/x.zip::file:///etc/passwd",
        "/etc/passwd",
        "",
        "https+unix://x",
    ],
)
def test_only_schemes_that_are_allowed(get: Get, url: str) -> None:
    found = failure(get, DataSource(kind=SourceKind.CSV, url=url), schemes=frozenset({"https", "file"}))
    if url.startswith("https+unix"):
        assert found.reason in {"unreachable", "invalid"}
    else:
        assert (found.reason, "`drift.schemes`" in found.sentence) == ("refused", True)


def test_a_scheme_whose_package_is_missing_names_it(get: Get) -> None:
    found = failure(get, DataSource(kind=SourceKind.CSV, url="s3://bucket/x.csv", options={"key": "hunter2"}))
    assert found.reason == "invalid"
    assert "package that the worker's Python lacks" in found.sentence
    assert "hunter2" not in found.sentence


def test_files_are_read_below_the_folders_allowed_only(get: Get, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    for folder in ("in", "out"):
        (tmp_path / folder / "x.csv").write_bytes(CSV)
    (tmp_path / "in" / "link.csv").symlink_to(tmp_path / "out" / "x.csv")

    def source(path: str) -> DataSource:
        return DataSource(kind=SourceKind.CSV, path=str(tmp_path / path))

    folders = [tmp_path / "in"]
    assert get(source("in/x.csv"), folders=folders).path == str(tmp_path / "in" / "x.csv")
    for path in ("out/x.csv", "in/../out/x.csv", "in/link.csv", "in/*.csv"):
        found = failure(get, source(path), folders=folders)
        assert (found.reason, "`drift.folders`" in found.sentence) == ("refused", True), path
    for path in ("in/none.csv", "in/none*.csv", "*/x.csv", "in"):
        assert failure(get, source(path), folders=folders).reason == "not_found", path
    assert failure(get, source("in/x.csv"), folders=[]).reason == "refused"


def test_a_query_goes_all_the_way_to_a_report(postgres: Server, tmp_path: Path) -> None:
    source = sql(postgres, "SELECT score, place, code, at FROM scores WHERE at >= :start AND at < :end")
    profile = DriftProfile(
        system="shop", model="churn", reference=source, current=source, roles=Roles(time="at"),
        window=timedelta(days=7), reference_before=timedelta(days=7),
        limits=Limits(full=False, wall=timedelta(seconds=60)),
    )  # fmt: skip
    report = DriftRunner(WorkerSettings(reports=tmp_path)).run(request(profile, NOW))
    assert (report.reference_rows, report.current_rows) == (168, 142)
    assert [column.name for column in report.columns] == ["score", "code", "place"]
    assert report.verdict is Verdict.NONE_YET
    assert postgres.url("postgres") not in "".join(path.read_text() for path in tmp_path.rglob("*.json"))
