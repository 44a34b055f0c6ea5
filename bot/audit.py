"""The audit chain, as pure functions: who did what and when, in a form that shows every later change.

Each line carries a keyed hash (HMAC-SHA256) over its content and the hash before it. Whoever lacks the key cannot write
a line that fits; whoever edits, removes or swaps lines breaks the chain at that place. What a chain cannot show by
itself is that its end was cut off, so its head is written to a file outside the database from time to time (an anchor),
and `verify` compares. Rejected: a hash without a key, which anybody who can write to the database can compute anew.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from bot.model import Who, canonical

START = "0" * 64  # what the first line names as the hash before it


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLine:
    """One line of the chain, and of its incident's timeline."""

    seq: int  # 1, 2, 3 … without gaps
    at: datetime
    kind: str
    by: Who
    incident_id: str  # "" when it belongs to none
    text: str
    data: dict[str, str] = field(default_factory=dict)
    prev: str = ""  # `mac` of the line before
    mac: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """A head of the chain, kept where somebody who can write to the database cannot."""

    seq: int
    mac: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something about the chain that cannot be so if nobody touched it."""

    code: str  # edited, gap, order, broken_link, truncated, replaced
    seq: int  # the line at which it shows
    text: str


def mac_of(line: AuditLine, key: bytes) -> str:
    """The keyed hash (64 hex digits) over everything in the line but `mac` itself."""
    content = [
        line.seq, _stamp(line.at), line.kind, line.by.team_id, line.by.user_id, line.by.name, line.incident_id,
        line.text, line.data, line.prev,
    ]  # fmt: skip
    return hmac.new(key, canonical(content).encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def seal(head: tuple[int, str], line: AuditLine, key: bytes) -> AuditLine:
    """The line as the one after `head` (number and hash of the last line; (0, START) for an empty chain)."""
    seq, prev = head
    placed = replace(line, seq=seq + 1, prev=prev)
    return replace(placed, mac=mac_of(placed, key))


def verify(lines: Iterable[AuditLine], key: bytes, anchors: Sequence[Anchor] = ()) -> list[Problem]:
    """Every problem of a whole chain, read from its first line; empty when it is as it was written.

    `anchors` are heads noted earlier, outside the database; the database's own head, read before the lines, may be one
    of them. Without any, a cut-off end cannot be seen. Reads `lines` once, so it may be a stream, and lines may be
    added meanwhile.
    """
    problems: list[Problem] = []
    last = (0, START)
    for line in lines:
        problems += _check_link(line, last)
        if not hmac.compare_digest(mac_of(line, key), line.mac):
            text = f"Line {line.seq} is not as it was written, or the key is not the one it was written with."
            problems.append(Problem(code="edited", seq=line.seq, text=text))
        problems += [_replaced(anchor) for anchor in anchors if anchor.seq == line.seq and anchor.mac != line.mac]
        last = (line.seq, line.mac)
    return problems + [_truncated(anchor, last[0]) for anchor in anchors if anchor.seq > last[0]]


def _check_link(line: AuditLine, last: tuple[int, str]) -> list[Problem]:
    seq, mac = last
    if line.seq <= seq:
        return [Problem(code="order", seq=line.seq, text=f"Line {line.seq} comes after line {seq}.")]
    if line.seq != seq + 1:
        missing = f"line {seq + 1}" if line.seq == seq + 2 else f"lines {seq + 1} to {line.seq - 1}"
        return [Problem(code="gap", seq=line.seq, text=f"Missing before line {line.seq}: {missing}.")]
    if line.prev != mac:
        text = f"Line {line.seq} does not follow line {seq}: it names another hash before it."
        return [Problem(code="broken_link", seq=line.seq, text=text)]
    return []


def _replaced(anchor: Anchor) -> Problem:
    text = f"Line {anchor.seq} is not the one that was noted on {_stamp(anchor.at)}."
    return Problem(code="replaced", seq=anchor.seq, text=text)


def _truncated(anchor: Anchor, end: int) -> Problem:
    text = f"The chain ends at line {end}, but line {anchor.seq} was noted on {_stamp(anchor.at)}."
    return Problem(code="truncated", seq=anchor.seq, text=text)


def default_anchor(database_url: str) -> Path | None:
    """Beside an SQLite file, where nothing else is configured."""
    prefix = "sqlite:///"
    return Path(database_url.removeprefix(prefix) + ".anchor") if database_url.startswith(prefix) else None


def write_anchor(path: Path, head: tuple[int, str], at: datetime) -> None:
    """Add the head to the anchor file (`number hash time` a line), on the disk before this returns. Raises OSError."""
    seq, mac = head
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "a", encoding="ascii") as file:
        file.write(f"{seq} {mac} {_stamp(at)}\n")
        file.flush()
        os.fsync(file.fileno())


def read_anchors(path: Path) -> tuple[Anchor, ...]:
    """Every anchor of the file, oldest first; none when there is no file. ValueError names a line that is no anchor.

    A last line without its end is the trace of a crash while writing and is left out.
    """
    try:
        text = path.read_text(encoding="ascii")
    except FileNotFoundError:
        return ()
    whole = text[: text.rfind("\n") + 1].splitlines()
    return tuple(_anchor(path, number, line) for number, line in enumerate(whole, 1))


def _anchor(path: Path, number: int, line: str) -> Anchor:
    try:
        seq, mac, at = line.split(" ")
        return Anchor(seq=int(seq), mac=mac, at=datetime.fromisoformat(at))
    except ValueError:
        raise ValueError(f"{path}:{number}: this is not `number hash time`; restore the file from a backup") from None


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds")
