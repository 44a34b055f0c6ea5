"""Layer 1: whether the predictions are spread differently than before, by Prometheus alone. Milliseconds, no rows."""

from __future__ import annotations

from datetime import timedelta

from bot.drift.report import Verdict
from bot.model import Finding
from bot.ports import Foreign, Metrics, Scene
from handlers._look import profile_of
from handlers.drift.predictions import moved

WINDOW = timedelta(hours=1)  # an incident is about now; the weekly look takes longer windows
_HONEST = "Which input moved, why, and whether the model is worse cannot be told from this."


class PredictionDrift:
    """The diagnostic as the registry of handlers knows it."""

    name = "prediction_drift"
    question = "Are the predictions spread differently than before?"
    needs = ("histogram",)

    def ask(self, scene: Scene) -> Finding:
        """The index of the last hour against the hour that the profile names. Raises Foreign without both."""
        model = profile_of(scene)
        profile = scene.drift
        if profile is None or profile.histogram is None:
            text = f"The profile names no histogram of {model.name}'s predictions. Add `drift.histogram` to it."
            raise Foreign("not_found", text)
        histogram = profile.histogram
        metrics = scene.backends.get(histogram.backend or model.metrics)
        if not isinstance(metrics, Metrics):
            raise Foreign("invalid", f"No backend answers metric queries for {model.name}. Set `metrics`.")
        window = min(WINDOW, histogram.reference_before)
        found = moved(metrics, profile, window)
        rows = tuple(
            (what, "–" if value is None else f"{value:.2f}", remark)
            for what, value, remark in (
                ("index of the predictions", found.value, f"over {_span(window)}"),
                ("bound that decides", found.bound, "the profile's line, or the noise when that is higher"),
                ("noise", found.noise, "unchanged predictions stay below it"),
            )
        )
        counted = ("predictions", f"{found.n:,}", "in the smaller of the two windows")
        sentence = _sentence(model.name, found.verdict, found.n, window, histogram.reference_before)
        return Finding(diagnostic=self.name, sentence=sentence, rows=(*rows, counted))


def _sentence(model: str, verdict: Verdict, n: int, window: timedelta, ago: timedelta) -> str:
    if verdict is Verdict.NONE_YET:
        return f"{model}: too few predictions for a verdict ({n:,} in the smaller window of {_span(window)})."
    what = f"the predictions of the last {_span(window)}"
    if verdict is Verdict.STABLE:
        return f"{model}: {what} are spread as {_span(ago)} before. {_HONEST}"
    return f"{model}: {verdict} drift of {what} against {_span(ago)} before. {_HONEST}"


def _span(span: timedelta) -> str:
    days = span / timedelta(days=1)
    return f"{days:g} days" if days >= 2 else f"{round(span.total_seconds() / 60)} min"


DIAGNOSTIC = PredictionDrift()
