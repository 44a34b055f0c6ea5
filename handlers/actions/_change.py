"""One guarded change of one object in a cluster: what must hold before, what shall hold after.

The same record serves the preview (a dry run of it), the call, and the look afterwards. Every pointer in `was` becomes
a `test` of the JSON patch, so the server itself refuses when the object is not as it was previewed. Sending it twice is
harmless: the second time the tests fail, and the look says that it is done.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bot.model import Outcome, Plan, canonical
from bot.ports import Foreign, Json, Kind, Seen, Thing, Workloads
from handlers._kube import CAUSE, at_pointer, changed_by, parts_of, pointer, uid_of

NOTES = pointer("metadata", "annotations")
REHEARSALS = 4  # a status that is written meanwhile spoils one, and a busy object has several of those in a second
PASSING = frozenset({"unreachable", "timeout", "overloaded"})  # may be over in a moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is written where. Values are JSON; None means absent."""

    thing: Thing
    uid: str
    was: Mapping[str, Any]  # JSON pointer → value before
    want: Mapping[str, Any]  # JSON pointer → value after
    sub: str = ""  # subresource that is written
    notes: Mapping[str, str] = field(default_factory=dict)  # annotations of the object that go with it
    cause: str = ""  # for the annotation change-cause: "rollback to web-7d9f"

    def write(self) -> str:
        """As text, for a plan's arguments."""
        kind = self.thing.kind
        return canonical({
            "kind": [kind.group, kind.version, kind.plural, kind.name], "namespace": self.thing.namespace,
            "name": self.thing.name, "uid": self.uid, "was": self.was, "want": self.want, "sub": self.sub,
            "notes": self.notes, "cause": self.cause,
        })  # fmt: skip


def read_change(plan: Plan, key: str = "change") -> Change:
    """The change of a plan. Foreign("invalid") when it has none."""
    text = plan.draft.args.get(key, "") if plan.draft is not None else ""
    if not text:
        raise Foreign("invalid", f"Plan {plan.id} says nothing to change. Ask for a new plan.", happened=False)
    found = json.loads(text)
    group, version, plural, name = found["kind"]
    thing = Thing(
        kind=Kind(group=group, version=version, plural=plural, name=name),
        namespace=found["namespace"],
        name=found["name"],
    )
    return Change(
        thing=thing, uid=found["uid"], was=found["was"], want=found["want"], sub=found["sub"], notes=found["notes"],
        cause=found["cause"],
    )  # fmt: skip


def rehearse(port: Workloads, change: Change, live: Json) -> tuple[Json, Change]:
    """Let the server show what would be stored, and take its own values as what is wanted. Nothing is written.

    Raises Foreign when the server would refuse it.
    """
    after = _dry_run(port, change, live, REHEARSALS)
    stored = {at: at_pointer(after, at) for at in change.want}
    want = {at: value if stored[at] is None else stored[at] for at, value in change.want.items()}
    return after, replace(change, want=want)


def _dry_run(port: Workloads, change: Change, live: Json, tries: int) -> Json:
    try:
        return port.patch(change.thing, _operations(change, live, ""), sub=change.sub, dry_run=True)
    except Foreign as problem:
        if problem.reason != "conflict" or tries <= 1:
            raise
        # An absent value is held by the object's version, which moves with every status a controller writes.
        live = _read(port, change)
        if judge(live, change).outcome is not Outcome.NOT_YET:
            raise
    return _dry_run(port, change, live, tries - 1)


def apply(port: Workloads, change: Change, plan: Plan) -> Seen:
    """Make the change. NOT_YET when it surely was not made and may be tried again."""
    live = _read(port, change)
    before = judge(live, change)
    if before.outcome is not Outcome.NOT_YET:
        return before
    cause = f"mlops {change.cause} by {plan.requested_by.name or plan.requested_by.user_id} plan {plan.id}"
    try:
        after = port.patch(change.thing, _operations(change, live, cause if change.cause else ""), sub=change.sub)
    except Foreign as problem:
        return _after_trouble(port, change, problem)
    return judge(after, change)


def look(port: Workloads, change: Change) -> Seen:
    """Whether the change is there. Raises Foreign when it cannot be told."""
    return judge(_read(port, change), change)


def judge(live: Json, change: Change) -> Seen:
    """DONE: it is there. NOT_YET: everything is as before. FAILED: somebody else changed it."""
    what = change.thing.label
    if uid_of(live) != change.uid:
        text = f"{what} was removed and made anew meanwhile. Nothing was changed by this plan; ask again."
        return Seen(outcome=Outcome.FAILED, detail=text)
    if all(is_there(live, at, value) for at, value in change.want.items()):
        return Seen(outcome=Outcome.DONE, detail=f"{what} is as planned.")
    other = [at for at, value in change.was.items() if not is_there(live, at, value)]
    if not other:
        return Seen(outcome=Outcome.NOT_YET, detail=f"{what} is as it was before.")
    value = at_pointer(live, other[0])
    told = value if isinstance(value, (str, int)) else "something else"
    text = f"{what} was changed by {changed_by(live)}: {_words(other[0])} is {told} now, which this plan did not do."
    return Seen(outcome=Outcome.FAILED, detail=f"{text} The plan stops here; look at it and ask again.")


def is_there(live: Json, at: str, value: Any) -> bool:
    """Whether the value stands there. The API leaves a zero out, so an absent number is a zero."""
    found = at_pointer(live, at)
    return bool(found == value) or (found is None and value == 0)


def _read(port: Workloads, change: Change) -> Json:
    # A subresource such as `scale` is an object of its own; all others are looked at through the whole.
    return port.get(change.thing, sub=change.sub if change.sub == "scale" else "")


def _after_trouble(port: Workloads, change: Change, problem: Foreign) -> Seen:
    if problem.happened is False and problem.reason in PASSING:
        return Seen(outcome=Outcome.NOT_YET, detail=f"{problem.sentence} Nothing was changed.")
    if problem.happened is False and problem.reason != "conflict":
        return Seen(outcome=Outcome.FAILED, detail=f"{problem.sentence} Nothing was changed.")
    try:
        seen = look(port, change)
    except Foreign as second:
        if problem.happened is False:
            return Seen(outcome=Outcome.NOT_YET, detail=f"{problem.sentence} {second.sentence} Nothing was changed.")
        text = f"It cannot be told whether it was changed: {problem.sentence} Looking failed too: {second.sentence}"
        return Seen(outcome=Outcome.UNKNOWN, detail=text)
    if seen.outcome is Outcome.DONE:
        return seen
    return Seen(outcome=seen.outcome, detail=f"{problem.sentence} {seen.detail}")


def _operations(change: Change, live: Json, cause: str) -> list[dict[str, Any]]:
    """The JSON patch: tests first, then what is written; parents that are absent are made."""
    found: list[dict[str, Any]] = [{"op": "test", "path": "/metadata/uid", "value": change.uid}]
    for at, value in change.was.items():
        if at_pointer(live, at) is not None:
            found.append({"op": "test", "path": at, "value": value})
        else:  # an absent value cannot be tested, so nothing at all may have changed since it was read
            version = at_pointer(live, "/metadata/resourceVersion")
            found.append({"op": "test", "path": "/metadata/resourceVersion", "value": version})
    made: set[str] = set()
    notes = {**change.notes, **({CAUSE: cause} if cause else {})}
    writes = {**change.want, **{f"{NOTES}{pointer(key)}": value for key, value in notes.items()}}
    for at, value in writes.items():
        if value is None:
            found += [{"op": "remove", "path": at}] if at_pointer(live, at) is not None else []
            continue
        for parent in _parents(at):
            if at_pointer(live, parent) is None and parent not in made:
                made.add(parent)
                found.append({"op": "add", "path": parent, "value": {}})
        found.append({"op": "add" if at_pointer(live, at) is None else "replace", "path": at, "value": value})
    return found


def _parents(at: str) -> list[str]:
    parts = parts_of(at)
    return [pointer(*parts[:end]) for end in range(1, len(parts))]


def _words(at: str) -> str:
    """The last parts of a pointer, for people."""
    return " ".join(parts_of(at)[-2:])
