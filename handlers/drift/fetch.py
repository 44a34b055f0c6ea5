"""Brings a source onto this machine: a file from its address, or the rows of a query, within bounds.

- **Files** come through fsspec, so an object store is a matter of its scheme and one more package (`s3fs`, `gcsfs`,
  `adlfs`). The scheme must be allowed, what comes is cut off at the size allowed, and nothing is unpacked.
- **Queries** are one SELECT, sent to a session that the database itself holds to reading, with every value bound; the
  account should have no right but SELECT all the same. The rows are streamed into a file, so memory does not grow.
- **Files on this machine** must be below one of the folders allowed, links followed.

Every failure is a `Missing` with a bounded reason and a sentence that repeats neither address nor password.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bot.drift.asked import DataSource, Limits, SourceKind, Span
from handlers.drift.facts import Form
from handlers.drift.source import Kind, Source

if TYPE_CHECKING:
    from sqlalchemy import Connection

NOTHING = r"\N"  # how rows of a database carry NULL through the file between
CHUNK_BYTES = 1 << 20
CHUNK_ROWS = 5_000
CONNECT_S = 10
NOT_FETCHED = frozenset({"file", "local", "memory", "data", "arrow_hdfs", "cached", "simplecache", "filecache"})


class Missing(Exception):
    """A source did not come. `reason` is one of bot.ports.Foreign's; the sentence is for people."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.sentence = sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """Where data may come from."""

    folders: Sequence[Path] = ()
    schemes: frozenset[str] = frozenset()
    limits: Limits = field(default_factory=Limits)


def fetched(source: DataSource, span: Span | None, time: str, side: str, folder: Path, allowed: Allowed) -> Source:
    """The source as a file on this machine, in the existing folder given unless it is here already. Raises Missing.

    `side` is the word for it in messages; `time` names the column by which the span's rows are chosen, "" for none.
    """
    if source.kind is SourceKind.SQL:
        return _rows(source, span, time, side, folder, allowed)
    chosen = (time, span) if time and span is not None else ("", None)
    path = _local(source.path, side, allowed) if source.path else _download(source, side, folder, allowed)
    return Source(kind=Kind(source.kind.value), path=str(path), time=chosen[0], span=chosen[1])


def _local(path: str, side: str, allowed: Allowed) -> Path:
    """The file, when it is there and may be read. A pattern is judged by the folder before its first `*`."""
    given = Path(path)
    found = sorted(given.parent.glob(given.name))[:10_000] if "*" in given.name else [given]
    if "*" in str(given.parent) or not found or not all(one.is_file() for one in found):
        raise Missing("not_found", f"The {side} file {given.name[:60]} does not exist. Correct `path` in the profile.")
    folders = [folder.resolve() for folder in allowed.folders]
    for one in found:
        if not any(one.resolve().is_relative_to(folder) for folder in folders):
            raise Missing(
                "refused",
                f"The {side} file {one.name[:60]} is not below one of `drift.folders`. Move it, or allow its folder.",
            )
    return given.parent.resolve() / given.name


def _scheme(source: DataSource, side: str, allowed: Allowed) -> str:
    scheme = source.url.partition(":")[0].partition("+")[0].lower()
    if scheme not in allowed.schemes or scheme in NOT_FETCHED or "::" in source.url:
        raise Missing(
            "refused", f"The {side} address has a scheme that is not in `drift.schemes`. Add it there, or use another."
        )
    return scheme


def _download(source: DataSource, side: str, folder: Path, allowed: Allowed) -> Path:
    """The file behind an address, streamed and cut off at the bound."""
    import fsspec

    scheme = _scheme(source, side, allowed)
    name = Path(urlsplit(source.url).path).name
    target = folder / f"{side}.{source.kind}{'.gz' if name.endswith('.gz') else ''}"
    host = _host(source.url)
    bound = allowed.limits.download_mb * 1_000_000
    options: dict[str, Any] = {"block_size": 0} if scheme in {"http", "https"} else {}
    got = 0
    try:
        files, path = fsspec.core.url_to_fs(source.url, **source.options)
        with files.open(path, "rb", **options) as remote, target.open("wb") as local:
            while piece := remote.read(CHUNK_BYTES):
                got += len(piece)
                if got > bound:
                    text = f"The {side} file is larger than {allowed.limits.download_mb} MB. "
                    raise Missing("refused", text + "Point to a smaller one, or raise `drift.download_mb`.")
                local.write(piece)
    except Missing:
        raise
    except Exception as error:
        raise _explained(error, f"The {side} file", host) from error
    return target


def _host(url: str) -> str:
    """The host or bucket of an address, for messages."""
    try:
        return re.sub(r"[^A-Za-z0-9.:_-]", "", urlsplit(url).hostname or "")[:100] or "its address"
    except ValueError:
        return "its address"


def _explained(error: Exception, what: str, host: str) -> Missing:
    """The failure in words. Texts of libraries may repeat the address, so only their kind is told."""
    kind, status = type(error).__name__, _status(error)
    if isinstance(error, ImportError):
        lacking = (error.name or "one for its scheme")[:40]
        return Missing(
            "invalid", f"{what} needs a package that the worker's Python lacks: {lacking}. Install it there."
        )
    if isinstance(error, PermissionError) or status in {401, 403}:
        return Missing("refused", f"{what} may not be read: {host} refuses. Check the credentials in the profile.")
    if status == 404 or (isinstance(error, FileNotFoundError) and status is None):
        return Missing("not_found", f"{what} does not exist at {host}. Correct its address in the profile.")
    return Missing(
        "unreachable", f"{what} could not be fetched from {host} ({kind}). Check that it can be reached from here."
    )


def _status(error: BaseException | None) -> int | None:
    """The HTTP status behind it; fsspec calls nearly everything "not found" and keeps the reason as the cause."""
    while error is not None:
        if isinstance(status := getattr(error, "status", None), int):
            return status
        error = error.__cause__ or error.__context__
    return None


def _rows(source: DataSource, span: Span | None, time: str, side: str, folder: Path, allowed: Allowed) -> Source:
    """The answer of a query as a CSV file, with what each column holds."""
    import sqlalchemy as sa

    scheme = _scheme(source, side, allowed)
    statement = sa.text(_one_select(source.query, side))
    bound = _bound(statement, source, span, side)
    target = folder / f"{side}.csv"
    try:
        with (
            _session(source.url, scheme, allowed.limits) as session,
            closing(session.execute(statement, bound)) as result,
        ):
            forms = _written(list(result.keys()), result.yield_per(CHUNK_ROWS), target, side, allowed.limits)
    except (sa.exc.SQLAlchemyError, OSError, ImportError) as error:
        raise _of_database(error, side, _host(source.url)) from error
    # A query that names the window has chosen its rows itself.
    is_chosen = span is None or not time or {"start", "end"} & bound.keys()
    return Source(
        kind=Kind.CSV, path=str(target), forms=forms, time="" if is_chosen else time, span=None if is_chosen else span
    )


def _one_select(query: str, side: str) -> str:
    """The query, when it is a single SELECT. The database holds it to reading; this catches mistakes sooner."""
    text = query.strip().removesuffix(";").strip()
    bare = re.sub(r"--[^\n]*|/\*.*?\*/", " ", text, flags=re.DOTALL).strip().lower()
    if not bare.startswith(("select", "with", "(")) or ";" in bare:
        raise Missing(
            "invalid", f"The {side} query must be one SELECT without `;` inside. Correct it, and bind texts as params."
        )
    return text


def _bound(statement: Any, source: DataSource, span: Span | None, side: str) -> dict[str, Any]:
    """The values of the query's parameters."""
    window = {"start": span.start_at, "end": span.end_at} if span is not None else {}
    known = {**window, **source.params}
    wanted = list(statement.compile().params)
    absent = sorted(set(wanted) - set(known))
    if absent:
        raise Missing(
            "invalid",
            f"The {side} query has :{absent[0][:40]}, which has no value. Add it to `params`; for :start and :end of "
            "the reference set `reference_window`.",
        )
    return {name: known[name] for name in wanted}


@contextmanager
def _session(url: str, scheme: str, limits: Limits) -> Iterator[Connection]:
    """A session that the database itself holds to reading, and to the time allowed."""
    import sqlalchemy as sa

    if scheme != "postgresql":
        raise Missing("invalid", "Queries go to postgresql only. Export other data as Parquet.")
    wall_ms = int(limits.wall.total_seconds() * 1000)
    held = f"-c default_transaction_read_only=on -c statement_timeout={wall_ms} -c timezone=UTC"
    engine = sa.create_engine(
        url.replace("postgresql://", "postgresql+psycopg://", 1), poolclass=sa.NullPool,
        connect_args={"connect_timeout": CONNECT_S, "options": held, "application_name": "mlops-bot drift"},
    )  # fmt: skip
    with engine.connect() as connection:
        yield connection.execution_options(stream_results=True, max_row_buffer=CHUNK_ROWS, postgresql_readonly=True)


def _of_database(error: Exception, side: str, host: str) -> Missing:
    """What a database said, in words; its own text may hold data, and is not repeated."""
    what = f"The {side} query"
    if isinstance(error, ImportError):
        return _explained(error, what, host)
    original = getattr(error, "orig", None) or error
    state = str(getattr(original, "sqlstate", None) or "")
    said = type(original).__name__
    if state in {"42501", "28000", "28P01", "25006", "0A000"}:
        return Missing("refused", f"{what} was refused by {host} ({said}). Check the account, and that it only reads.")
    if state == "57014":
        return Missing("timeout", f"{what} took too long and was stopped. Choose fewer rows, or add an index.")
    if state[:2] in {"42", "22"}:
        return Missing("invalid", f"{what} was not understood by {host} ({said}). Try it by hand and correct it.")
    return Missing(
        "unreachable", f"{what} was not answered by {host} ({said}). Check that it can be reached from here."
    )


def _written(
    names: Sequence[str], rows: Iterable[Sequence[Any]], path: Path, side: str, limits: Limits
) -> dict[str, Form]:
    """Write the rows within the bounds; what each column is looked at as, by the values that came."""
    families: list[set[Form]] = [set() for _ in names]
    bound, written = limits.download_mb * 1_000_000, 0
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for count, row in enumerate(rows, 1):
            texts = list(_texts(row, families))
            written += sum(map(len, texts))
            if count > limits.rows or written > bound:
                text = f"The {side} query gives more than {limits.rows} rows or {limits.download_mb} MB. Choose fewer "
                raise Missing("refused", text + "in the query, or raise `drift.max_rows` and `drift.download_mb`.")
            writer.writerow(texts)
    return {
        name: next(iter(seen)) if len(seen) == 1 else Form.CATEGORY
        for name, seen in zip(names, families, strict=True)
        if seen
    }


def _texts(row: Sequence[Any], families: list[set[Form]]) -> Iterator[str]:
    """The values as the file carries them, noting what they are."""
    for value, seen in zip(row, families, strict=True):
        if value is None:
            yield NOTHING
        elif isinstance(value, bool) or not isinstance(value, (int, float, Decimal, date)):
            seen.add(Form.CATEGORY)
            yield str(value)
        elif isinstance(value, date):
            seen.add(Form.TIME)
            is_aware = isinstance(value, datetime) and value.tzinfo is not None
            yield (value.astimezone(UTC).replace(tzinfo=None) if is_aware else value).isoformat()  # type: ignore[attr-defined]
        else:
            seen.add(Form.NUMBER)
            yield str(value)
