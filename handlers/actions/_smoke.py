"""Smoke predictions: requests of the profile that the server must answer as expected after a change.

The right version may be served and still answer nonsense – another library, a broken feature, half a file. The answer
comes from a process that may be broken, so nothing of it is believed beyond the places the profile names.
"""

from __future__ import annotations

import math
from typing import Any

from bot.model import Outcome, Step
from bot.policy import ModelProfile
from bot.policy.gate import Expectation, Smoke
from bot.ports import Foreign, Predicts, Scene, Seen
from handlers._kube import at_pointer
from handlers._look import listed, profile_of, server_of

SMOKE = "prove_smoke"
_SHOWN = 60  # characters of an answer's value


def steps(scene: Scene, model: ModelProfile) -> tuple[Step, ...]:
    """The proof, none when the profile has no predictions. Foreign when the server cannot be asked for any."""
    if not model.smoke:
        return ()
    _server(scene, model)
    count = len(model.smoke)
    told = listed(dict.fromkeys(one.path for one in model.smoke))
    what = f"{count} smoke predictions at {told} come" if count > 1 else f"a smoke prediction at {told} comes"
    text = f"Proof: {what} out as the profile expects."
    return (Step(name=SMOKE, sentence=text, proves=True),)


def look(scene: Scene) -> Seen:
    """Ask for every prediction. FAILED for a wrong answer, NOT_YET for none; raises Foreign when nobody answers."""
    model = profile_of(scene)
    server = _server(scene, model)
    told = []
    for number, smoke in enumerate(model.smoke, 1):
        answer = server.predict(smoke.path, smoke.body, smoke.within)
        name = f"Smoke prediction {number} at {smoke.path}"
        if answer.status >= 500 or answer.status == 429:
            return Seen(outcome=Outcome.NOT_YET, detail=f"{name}: the server answered {answer.status}.")
        wrong = _wrong(smoke, answer.status, answer.data)
        if wrong:
            text = f"{name} came out wrong: {wrong}. The server loads the version, but it does not answer as it should."
            return Seen(outcome=Outcome.FAILED, detail=text)
        told.append(f"{answer.took.total_seconds() * 1000:.0f} ms")
    return Seen(outcome=Outcome.DONE, detail=f"{len(told)} of {len(told)} as expected, in {listed(told)}.")


def _server(scene: Scene, model: ModelProfile) -> Predicts:
    server = server_of(scene, model)
    if not isinstance(server, Predicts):
        text = f"“{model.server}” cannot be asked for predictions, but the profile of {model.name} wants some."
        raise Foreign("invalid", f"{text} Take `smoke` out of the profile or name another server.", happened=False)
    return server


def _wrong(smoke: Smoke, status: int, data: Any) -> str:
    """What is not as expected, "" when all is."""
    if not 200 <= status < 300:
        return f"the server answered {status}"
    for one in smoke.expects:
        value = at_pointer(data, one.at)
        if value is None:
            return f"the answer has nothing at {one.at}"
        if one.equals and _text(value) != one.equals:
            return f"{one.at} is {_short(value)}, not {one.equals}"
        told = _outside(one, value)
        if told:
            return told
    return ""


def _outside(one: Expectation, value: Any) -> str:
    if one.at_least is None and one.at_most is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return f"{one.at} is {_short(value)}, no number"
    if one.at_least is not None and value < one.at_least:
        return f"{one.at} is {_short(value)}, less than {one.at_least:g}"
    if one.at_most is not None and value > one.at_most:
        return f"{one.at} is {_short(value)}, more than {one.at_most:g}"
    return ""


def _text(value: Any) -> str:
    """A scalar as YAML would write it; what is no scalar equals nothing."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (str, int, float)) else ""


def _short(value: Any) -> str:
    # Never the whole of it: a hostile answer may be a megabyte long and nested as deep as it likes.
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    text = " ".join("".join(sign if sign.isprintable() else " " for sign in _text(value)[: _SHOWN * 4]).split())
    return f"“{text if len(text) <= _SHOWN else text[: _SHOWN - 1] + '…'}”"
