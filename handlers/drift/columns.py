"""Columns as SQL takes them: names quoted, types known by their family, values read as what they are looked at as."""

from __future__ import annotations

NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT",
           "UHUGEINT", "FLOAT", "DOUBLE", "DECIMAL", "BIGNUM")  # fmt: skip
TIMES = ("DATE", "TIMESTAMP")
TEXTS = ("VARCHAR", "ENUM", "UUID")
FAMILIES = {"number": NUMBERS, "time": TIMES, "text": TEXTS, "boolean": ("BOOLEAN",)}


def quoted(name: str) -> str:
    """A column name as SQL takes it, whatever is in it."""
    return '"' + name.replace('"', '""') + '"'


def family(type_name: str) -> str:
    """The family of a DuckDB type: number, time, text or boolean; "" for nested and binary ones."""
    if type_name.endswith("]"):
        return ""
    head = type_name.split("(", maxsplit=1)[0].split(" ", maxsplit=1)[0]
    return next((name for name, heads in FAMILIES.items() if head in heads or (head.startswith("TIMESTAMP_")
                 and name == "time")), "")  # fmt: skip


def as_number(column: str, type_name: str) -> str:
    """The column as a DOUBLE, NULL where it is none. Goes by way of text where the type has no cast of its own."""
    direct = family(type_name) in {"number", "boolean", "text"}
    return f"TRY_CAST({quoted(column) if direct else _text(column)} AS DOUBLE)"


def as_time(column: str, type_name: str) -> str:
    """The column as a TIMESTAMP, NULL where it is none; a time with a zone is taken in UTC."""
    direct = family(type_name) in {"time", "text"}
    return f"TRY_CAST({quoted(column) if direct else _text(column)} AS TIMESTAMP)"


def as_category(column: str, type_name: str) -> str:
    """The column as text. Numbers are written alike whatever their type: 1 and 1.0 are one category, NaN is none."""
    if family(type_name) != "number":
        return _text(column)
    number = f"TRY_CAST({quoted(column)} AS DOUBLE)"
    whole = f"CASE WHEN {number} = floor({number}) THEN CAST(TRY_CAST({quoted(column)} AS HUGEINT) AS VARCHAR) END"
    return f"CASE WHEN NOT isnan({number}) THEN coalesce({whole}, CAST({number} AS VARCHAR)) END"


def _text(column: str) -> str:
    return f"CAST({quoted(column)} AS VARCHAR)"
