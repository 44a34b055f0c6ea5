"""What the last drift check of the model found, and what a person said about it.

A check takes longer than a diagnostic may. So this tells what is known at once; in an incident about drift the bot asks
for a fresh check besides, whose message comes into the same thread.
"""

from __future__ import annotations

from datetime import timedelta

from bot.model import Finding
from bot.ports import Scene
from handlers._look import profile_of

_OLD = timedelta(days=15)


class LastDrift:
    """The diagnostic as the registry of handlers knows it."""

    name = "drift"
    question = "What did the last drift check say?"
    needs = ("drift",)

    def ask(self, scene: Scene) -> Finding:
        """The newest result with its age; never a word of health where there is none."""
        model = profile_of(scene)
        found = scene.standing
        fresh = f" {scene.checking} is under way." if scene.checking else f" Ask `/mlops drift {model.name}`."
        if found is None:
            return Finding(
                diagnostic=self.name, sentence=f"{model.name}: no drift check has come to an end yet.{fresh}"
            )
        age = max(scene.now - found.at, timedelta(0))
        is_old = age > _OLD
        old = " That is too old to say anything about now." if is_old else ""
        rows = [("report", found.report_id, f"{_age(age)} ago"), ("what it is", found.cause, _by(found.overruled))]
        rows.append(("retraining", "locked" if found.lock else "not locked", found.lock[:200]))
        sentence = f"{model.name}, {_age(age)} ago: {found.sentence}{old}{fresh if is_old or scene.checking else ''}"
        return Finding(diagnostic=self.name, sentence=sentence, rows=tuple(rows))


def _by(overruled: str) -> str:
    return f"said {overruled}, against the proposal of a data bug" if overruled else ""


def _age(age: timedelta) -> str:
    if age >= timedelta(days=2):
        return f"{age.days} days"
    hours = age / timedelta(hours=1)
    return f"{hours:.0f} h" if hours >= 2 else f"{age / timedelta(minutes=1):.0f} min"


DIAGNOSTIC = LastDrift()
