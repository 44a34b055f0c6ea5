"""`drift`: asks for a drift check, whose message is kept up to date until there is a verdict."""

from __future__ import annotations

import re

from bot import drift_checks
from bot.desk.reply import Asker, Reply
from bot.desk.room import Room
from bot.drift_checks import MOST_DAYS, Wish
from bot.model import Incident
from bot.policy import ModelProfile, System
from bot.words import harmless
from handlers import commands as cmd
from handlers.commands import LOOK, Verb

USAGE = "drift <model> [--days 7] [--feature x]"
VERBS = (Verb(name="drift", usage=USAGE, summary="how far the data moved, and what it may mean", group=LOOK),)
_DAYS = re.compile(r"^(\d{1,4})d?$")
_FEATURE_CAP = 200  # characters; longer is no name of a column


def say_drift(room: Room, command: cmd.Command, asker: Asker) -> Reply:
    """Store the wish; the check is made by a worker, and its message replaces itself as it goes on."""
    read = _read(command.words)
    if isinstance(read, Reply):
        return read
    names, days, feature = read
    found = room.model(names)
    if isinstance(found, Reply):
        return found
    system, name = found
    model = system.model(name)
    if model is None or not model.drift:
        return Reply(text=_nothing(system, name), refused=True)
    if feature and "data" not in model.drift:
        text = f"The profile of {name} has no data sources, only what Prometheus knows, so no column can be looked at."
        return Reply(text=text, refused=True)
    return asked(room, asker, system, model, days=days, feature=feature)


def asked(
    room: Room, asker: Asker, system: System, model: ModelProfile, *, days: int | None = None, feature: str = ""
) -> Reply:
    """Ask for a check, in the thread of the model's open incident, else where the person is."""
    here = room.incident_here(asker)
    incident = here or room.open_about(system, model.name)
    target, where = _target(asker, incident, system, is_here=here is not None)
    days = days or (model.drift_days if "data" in model.drift else 7)
    wish = Wish(
        system=system.name, model=model.name, by=asker.who, target=target, days=days, feature=feature,
        incident_id=incident.id if incident else "",
    )  # fmt: skip
    result = drift_checks.ask(room.engine, wish, key=asker.key("drift"))
    report = result.report
    if result.refused:
        return Reply(text=result.refused, refused=True)
    if report is None:
        return Reply(text="")
    if not result.is_new:
        return Reply(text=f"{report.id} is this very check, and it is under way; its message has the answer in time.")
    compared = "its reference" if "data" in model.drift else "an earlier window, in Prometheus only"
    column = f", column {harmless(feature, 60)}" if feature else ""
    span = f"the last {days} days" if days != 1 else "the last day"
    what = f"{report.id}: comparing {span} of {model.name}{column} with {compared}."
    return Reply(text=f"{what} The answer comes {where}.")


def _target(asker: Asker, incident: Incident | None, system: System, *, is_here: bool) -> tuple[str, str]:
    """Where the message goes, and how that is said."""
    if incident is not None:
        return "thread", "here" if is_here else f"into the thread of {incident.id}"
    if asker.channel and asker.thread_ts:
        return f"at:{asker.channel}:{asker.thread_ts}", "here"
    if asker.channel:
        return f"channel:{asker.channel}", "into this channel"
    return f"channel:{system.channel}", f"into {system.channel}"


def _read(words: tuple[str, ...]) -> tuple[tuple[str, ...], int | None, str] | Reply:
    """Names, days and feature; options stand anywhere, as `--days 7` or `--days=7`."""
    names: list[str] = []
    days: int | None = None
    feature = ""
    left = [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]
    while left:
        word = left.pop(0)
        if word in {"--days", "-d"}:
            match = _DAYS.match(left.pop(0)) if left else None
            days = int(match[1]) if match else 0
            if not 1 <= days <= MOST_DAYS:
                return Reply(text=f"How many days, 1 to {MOST_DAYS}? `{_example()}`.", refused=True)
        elif word in {"--feature", "--column", "-f"}:
            feature = left.pop(0) if left else ""
            if not feature or len(feature) > _FEATURE_CAP or feature.startswith("--"):
                return Reply(text=f"Which column? `{_example()}`.", refused=True)
        elif word.startswith("-"):
            text = f"I don't know the option “{harmless(word, 40)}”. `{_example()}`."
            return Reply(text=text, refused=True)
        else:
            names.append(word)
    if len(names) > 1:
        return Reply(text=f"One model at a time: `{_example()}`.", refused=True)
    return tuple(names), days, feature


def _nothing(system: System, name: str) -> str:
    able = [model.name for model in system.models if model.drift]
    others = f" Those that can: {', '.join(able[:10])}." if able else ""
    return (
        f"The profile of {name} does not say where its data are, so nothing can be compared.{others} "
        "Add `drift` to the model in its system.yaml."
    )


def _example() -> str:
    return "drift intent_classifier --days 7 --feature age"
