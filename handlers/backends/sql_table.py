"""A table of deployments in a database: which version of a model gets what share of the traffic.

One serialisable transaction locks the model's rows, compares what they say with what was previewed, gives all of the
traffic to one row and none to the others, and checks before it commits that the shares add up to 100. Each UPDATE names
the old values, and must hit exactly one row. A version without a row gets one, with what `carry` names taken over from
the row that was live. Statements are built here from the profile's names of table and columns, values are bound; no SQL
is written by anybody.

What the pointer says is the version that has everything. Where the traffic is split, it says so ("split: v1 90, v2
10"), which is compared like any other value.

Settings: `url` without a password, `password` (a reference); `table`; `id` (default id), `share` (traffic_percentage),
`status` with its values `live` (active) and `left` (rolled_back), or empty; `environment`, the column that the
pointer's name is looked for in, or empty; `model` (model_name) and `version` (version), in the table itself, or in the
table `names`, whose `names_id` (id) the column `key` (model_id) refers to; `created`, a column to sort by; `carry`,
columns with a comma between them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from bot.ports import Foreign, ModelVersion
from handlers.backends._http import plain

if TYPE_CHECKING:
    import sqlalchemy as sa

T = TypeVar("T")
WAIT_S = 3  # for a connection, and for somebody else's lock
WHOLE = 100
_ROWS_CAP = 500
_DEFAULTS = {
    "id": "id", "share": "traffic_percentage", "live": "active", "left": "rolled_back", "model": "model_name",
    "version": "version", "names_id": "id", "key": "model_id",
}  # fmt: skip
_OPTIONAL = ("password", "status", "environment", "names", "created", "carry")
_LONG_AGO = datetime.fromtimestamp(0, UTC)
_REASONS = {"55P03": "overloaded", "57014": "timeout", "42501": "refused", "40P01": "conflict", "40001": "conflict"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One deployment."""

    id: Any
    version: str
    share: Any  # as the table has it: None, or a number of some type
    status: Any = None  # None also where the table keeps none


class SqlTable:
    """A ModelRegistry. Safe to use from several threads and processes."""

    def __init__(self, url: str, password: str, names: Mapping[str, str]) -> None:
        self._url = url
        self._password = password
        self._names = names
        self._made: sa.Engine | None = None
        self._making = threading.Lock()

    def versions(self, model: str) -> Sequence[ModelVersion]:
        """Every version the tables name, newest first where a column tells. Foreign("not_found") for none."""
        found = self._ask(lambda connection: connection.execute(self._listing(model)).fetchall())
        if not found:
            text = f"{self._place} knows no model {plain(model, 80)}. Check the name in the profile."
            raise Foreign("not_found", text, happened=False)
        dated = {str(row[0]): _moment(row[1] if len(row) > 1 else None) for row in reversed(found)}
        return [ModelVersion(version=name, status="READY", created_at=at) for name, at in reversed(dated.items())]

    def alias(self, model: str, alias: str) -> str | None:
        """The version that has all of the traffic, the split in words, None when nothing is live."""

        def look(connection: sa.Connection) -> tuple[list[Row], bool]:
            rows = self._rows(connection, model, alias, locked=False)
            return rows, bool(rows) or connection.execute(self._listing(model)).first() is not None

        rows, is_known = self._ask(look)
        if not is_known:
            text = f"{self._place} knows no model {plain(model, 80)}. Check the name in the profile."
            raise Foreign("not_found", text, happened=False)
        return self._says(rows) or None

    def move_alias(self, model: str, alias: str, *, expected: str, to: str) -> None:
        """Give `to` all of the traffic in one transaction, if the rows still say `expected`."""
        self._ask(lambda connection: self._change(connection, model, alias, expected, to), writes=True)

    def count(self) -> int:
        """How many rows the table has."""
        import sqlalchemy as sa

        statement = sa.select(sa.func.count()).select_from(self._table)
        return int(self._ask(lambda connection: connection.execute(statement).scalar_one()))

    @property
    def _place(self) -> str:
        return f"The table {plain(self._names['table'], 60)}"

    # statements

    @cached_property
    def _table(self) -> Any:

        used = {self._names[name] for name in ("id", "share")} | set(self._carried)
        used |= {self._names[name] for name in ("status", "environment") if self._names.get(name)}
        if self._names.get("names"):
            used.add(self._names["key"])
        else:
            used |= {self._names["model"], self._names["version"]}
        return _exactly(self._names["table"], sorted(used))

    @cached_property
    def _named(self) -> Any:
        """The table that holds model and version: another one, or the same."""
        if not self._names.get("names"):
            return self._table
        columns = [self._names[name] for name in ("names_id", "model", "version", "created") if self._names.get(name)]
        return _exactly(self._names["names"], list(dict.fromkeys(columns)))

    @property
    def _carried(self) -> list[str]:
        return [name for word in self._names.get("carry", "").split(",") if (name := word.strip())]

    def _listing(self, model: str) -> Any:
        import sqlalchemy as sa

        named, created = self._named, self._names.get("created")
        columns = [named.c[self._names["version"]]]
        if created and created in named.c:
            columns.append(named.c[created])
        order = columns[-1].desc()
        chosen = sa.select(*columns).where(named.c[self._names["model"]] == model).order_by(order)
        return chosen.limit(_ROWS_CAP)

    def _rows(self, connection: sa.Connection, model: str, alias: str, *, locked: bool) -> list[Row]:
        import sqlalchemy as sa

        table, named, names = self._table, self._named, self._names
        columns = [table.c[names["id"]], named.c[names["version"]], table.c[names["share"]]]
        columns += [table.c[names["status"]]] if names.get("status") else []
        statement = sa.select(*columns).where(named.c[names["model"]] == model).order_by(table.c[names["id"]])
        if named.name != table.name:
            statement = statement.select_from(
                table.join(named, table.c[names["key"]] == named.c[names["names_id"]])
            )  # fmt: skip
        if names.get("environment"):
            statement = statement.where(table.c[names["environment"]] == alias)
        if locked:
            statement = statement.with_for_update(of=table)
        found = connection.execute(statement.limit(_ROWS_CAP + 1)).fetchall()
        if len(found) > _ROWS_CAP:
            raise Foreign("invalid", f"{self._place} has more than {_ROWS_CAP} rows of this model.", happened=False)
        return [
            Row(id=row[0], version=str(row[1]), share=row[2], status=row[3] if len(row) > 3 else None) for row in found
        ]

    def _live(self, row: Row) -> float:
        """The share a row really gets: what is not live gets nothing, whatever number was left in it."""
        is_live = not self._names.get("status") or row.status == self._names["live"]
        return float(row.share or 0) if is_live else 0.0

    def _says(self, rows: Sequence[Row]) -> str:
        shares: dict[str, float] = {}
        for row in rows:
            if self._live(row) > 0:
                shares[row.version] = shares.get(row.version, 0.0) + self._live(row)
        if len(shares) == 1 and sum(shares.values()) == WHOLE:
            return next(iter(shares))
        told = ", ".join(f"{plain(name, 60)} {share:g}" for name, share in sorted(shares.items()))
        return f"split: {told}" if told else ""

    def _change(self, connection: sa.Connection, model: str, alias: str, expected: str, to: str) -> None:
        rows = self._rows(connection, model, alias, locked=True)
        found = self._says(rows)
        if found == to:
            return
        if found != expected:
            text = f"{self._place} says {found or 'nothing'} for {alias} of {plain(model, 80)}, not "
            raise Foreign("conflict", f"{text}{expected or 'nothing'}: somebody else changed it.", happened=False)
        mine = [row for row in rows if row.version == to]
        for row in rows:
            self._set(connection, row, WHOLE if mine and row is mine[-1] else 0)
        if not mine:
            self._add(connection, model, alias, to, next((row for row in reversed(rows) if self._live(row) > 0), None))
        after = self._says(self._rows(connection, model, alias, locked=False))
        if after != to:
            text = f"{self._place} would say {after or 'nothing'} afterwards, not {to}; the change was taken back."
            raise Foreign("broken", text, happened=False)

    def _set(self, connection: sa.Connection, row: Row, share: int) -> None:
        import sqlalchemy as sa

        table, names = self._table, self._names
        was: dict[str, Any] = {names["share"]: row.share}
        now: dict[str, Any] = {names["share"]: share}
        if names.get("status"):
            left = names["left"] if row.status == names["live"] else row.status
            was[names["status"]], now[names["status"]] = row.status, names["live"] if share else left
        if was == now:
            return
        unchanged = (table.c[column].is_not_distinct_from(value) for column, value in was.items())
        statement = sa.update(table).where(table.c[names["id"]] == row.id, *unchanged).values(now)
        if connection.execute(statement).rowcount != 1:
            text = f"{self._place}: the row of {plain(row.version, 60)} changed meanwhile."
            raise Foreign("conflict", text, happened=False)

    def _add(self, connection: sa.Connection, model: str, alias: str, to: str, like: Row | None) -> None:
        """A row for a version that has none, with what `carry` names taken over from the row that was live."""
        import sqlalchemy as sa

        table, names = self._table, self._names
        values: dict[str, Any] = {names["share"]: WHOLE}
        values |= {names["status"]: names["live"]} if names.get("status") else {}
        values |= {names["environment"]: alias} if names.get("environment") else {}
        if names.get("names"):
            values[names["key"]] = self._id_of(connection, model, to)
        else:
            values |= {names["model"]: model, names["version"]: to}
        if like is not None and self._carried:
            old = sa.select(*(table.c[name] for name in self._carried)).where(table.c[names["id"]] == like.id)
            values |= dict(zip(self._carried, connection.execute(old).one(), strict=True))
        connection.execute(sa.insert(table).values(values))

    def _id_of(self, connection: sa.Connection, model: str, version: str) -> Any:
        import sqlalchemy as sa

        named, names = self._named, self._names
        statement = sa.select(named.c[names["names_id"]]).where(
            named.c[names["model"]] == model, named.c[names["version"]] == version
        )
        found = connection.execute(statement.limit(2)).fetchall()
        if len(found) != 1:
            count = "no" if not found else "more than one"
            text = f"{plain(names['names'], 60)} has {count} row for {plain(version, 60)} of {plain(model, 80)}."
            raise Foreign("not_found", f"The table {text} Register the version there, then ask again.", happened=False)
        return found[0][0]

    # the database

    def _ask(self, work: Callable[[sa.Connection], T], *, writes: bool = False) -> T:
        """Do the work in one transaction of its own. Foreign; a commit that fails leaves it unclear."""
        import sqlalchemy as sa

        has_begun_to_commit = False
        try:
            with self._engine().connect() as connection:
                result = work(connection)
                has_begun_to_commit = writes
                connection.commit() if writes else connection.rollback()
                return result
        except sa.exc.SQLAlchemyError as problem:
            raise self._foreign(problem, happened=None if has_begun_to_commit else False) from None

    def _engine(self) -> sa.Engine:
        import sqlalchemy as sa

        with self._making:
            if self._made is None:
                url = sa.make_url(self._url)
                limits: dict[str, Any] = {"timeout": WAIT_S}
                if url.get_backend_name() == "postgresql":
                    # The wait for a lock ends first, because "somebody holds it" says more than "too long".
                    waits = f"-c statement_timeout={WAIT_S}s -c lock_timeout={WAIT_S * 750}ms"
                    limits = {"connect_timeout": WAIT_S, "options": waits}
                    url = url.set(drivername="postgresql+psycopg")
                if self._password:
                    url = url.set(password=self._password)
                # No pool: it is asked a few times an hour, and a kept connection is one that may be dead.
                self._made = sa.create_engine(
                    url,
                    poolclass=sa.NullPool,
                    connect_args=limits,
                    hide_parameters=True,
                    isolation_level="SERIALIZABLE",
                )
            return self._made

    def _foreign(self, problem: Exception, *, happened: bool | None) -> Foreign:
        cause = getattr(problem, "orig", None) or problem
        code = str(getattr(cause, "sqlstate", "") or "")
        said = plain(str(cause).partition("\n")[0]).rstrip(".")
        said = said.replace(self._password, "…") if self._password else said
        reason = _REASONS.get(code, "")
        if reason == "conflict":  # the database itself took the transaction back
            happened = False
        if not reason and "locked" in said:
            reason = "overloaded"
        if not reason and type(problem).__name__ == "OperationalError" and not code.startswith(("42", "22")):
            reason = "invalid" if "no such" in said or "syntax" in said else "unreachable"
        return Foreign(reason or "invalid", f"{self._place}: {said}.", happened=happened)


class SqlTableKind:
    """The kind of backend as the registry of handlers knows it."""

    kind = "sql-table"
    offers = ("registry",)
    settings = ("url", "table", *_DEFAULTS, *_OPTIONAL)

    def build(self, settings: Mapping[str, str]) -> SqlTable:
        """A client; connects to nothing yet. ValueError names the setting that is missing or wrong."""
        import sqlalchemy as sa

        if not settings.get("table"):
            raise ValueError(f"{self.kind} needs `table`, the name of the table of deployments.")
        try:
            url = sa.make_url(settings.get("url", ""))
        except sa.exc.ArgumentError:
            raise ValueError(f"{self.kind} needs `url`, like postgresql://user@host/database.") from None
        if url.password is not None:
            raise ValueError(f"{self.kind}: `url` holds a password. Give it by the setting `password`, as a reference.")
        names = {name: settings.get(name) or default for name, default in _DEFAULTS.items()}
        names |= {name: settings.get(name, "") for name in ("table", *_OPTIONAL) if name != "password"}
        return SqlTable(url.render_as_string(), settings.get("password", ""), names)

    def check(self, client: object) -> str:
        """Count the rows; returns words for `doctor`, raises Foreign."""
        if not isinstance(client, SqlTable):
            raise TypeError(f"{self.kind}: not a client of this kind")
        return f"answers, {client.count()} rows"


def _exactly(table: str, columns: Sequence[str]) -> Any:
    """A table and its columns, quoted: a name may be a word of SQL's own, and none is folded to another case."""
    import sqlalchemy as sa

    return sa.table(sa.quoted_name(table, quote=True), *(sa.column(sa.quoted_name(n, quote=True)) for n in columns))


def _moment(found: Any) -> datetime:
    if isinstance(found, date) and not isinstance(found, datetime):
        found = datetime(found.year, found.month, found.day, tzinfo=UTC)
    if isinstance(found, str):
        try:
            found = datetime.fromisoformat(found)
        except ValueError:
            return _LONG_AGO
    if not isinstance(found, datetime):
        return _LONG_AGO
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


BACKEND = SqlTableKind()
