"""Answers: where do the model's metrics stand against their bounds right now."""

from __future__ import annotations

from bot.model import Finding
from bot.ports import Foreign, Scene
from handlers._look import limit, listed, metrics_of, number, profile_of, title, word, worst


class MetricNow:
    """The diagnostic as the registry of handlers knows it."""

    name = "current"
    question = "Where do the metrics stand against their bounds?"
    needs = ("metrics",)

    def ask(self, scene: Scene) -> Finding:
        """One row per bound. A metric without a value is said to have none; it is neither zero nor fine."""
        model = profile_of(scene)
        if not model.bounds:
            text = f"The profile has no bounds for {model.name}. Add them to its system.yaml under `bounds`."
            raise Foreign("not_found", text)
        metrics = metrics_of(scene, model)
        rows: list[tuple[str, str, str]] = []
        outside: list[str] = []
        inside: list[str] = []
        silent: list[str] = []
        for bound in model.bounds:
            value = worst(bound, (sample.value for sample in metrics.instant(bound.query)))
            if value is None:
                silent.append(word(bound))
                rows.append((title(bound, model.name), "no value", limit(bound)))
                continue
            is_met = bound.is_met_by(value)
            told = f"{word(bound)} is {number(value, bound)} (should be {limit(bound)})"
            (inside if is_met else outside).append(told)
            rows.append(
                (title(bound, model.name), number(value, bound), f"{limit(bound)}: {'kept' if is_met else 'broken'}")
            )
        return Finding(diagnostic=self.name, sentence=_sentence(model.name, outside, inside, silent), rows=tuple(rows))


def _sentence(model: str, outside: list[str], inside: list[str], silent: list[str]) -> str:
    missing = f" No value for {listed(silent)}." if silent else ""
    if outside:
        return f"{model}: {listed(outside)}.{missing}"
    if not inside:
        return f"{model}: none of its {len(silent)} metrics has a value now, which is not the same as being fine."
    count = f"all {len(inside)} metrics are" if len(inside) > 1 else "its metric is"
    return f"{model}: {count} within bounds now.{missing}"


DIAGNOSTIC = MetricNow()
