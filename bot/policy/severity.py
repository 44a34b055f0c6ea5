"""Which severity, and why in words. A label may raise what the rules say, never lower it."""

from __future__ import annotations

from bot.model import Alert, Severity
from bot.policy import SeverityRule, System
from bot.words import visible

# Words found in severity labels of public rule sets. What is not listed is treated as P2 and said to be unknown.
LABEL_WORDS = {
    "p0": Severity.P0, "sev0": Severity.P0, "disaster": Severity.P0, "emergency": Severity.P0,
    "p1": Severity.P1, "sev1": Severity.P1, "critical": Severity.P1, "page": Severity.P1, "high": Severity.P1,
    "p2": Severity.P2, "sev2": Severity.P2, "warning": Severity.P2, "warn": Severity.P2, "medium": Severity.P2,
    "error": Severity.P2, "ticket": Severity.P2,
    "p3": Severity.P3, "sev3": Severity.P3, "info": Severity.P3, "low": Severity.P3, "none": Severity.P3,
}  # fmt: skip


def classify(alerts: tuple[Alert, ...], system: System) -> tuple[Severity, str]:
    """The worst severity that any alert reaches, and the reason in words."""
    judged = [judge(alert, system) for alert in alerts]
    return min(judged, key=lambda verdict: verdict[0].rank, default=(Severity.P2, "no alert says how bad it is"))


def judge(alert: Alert, system: System) -> tuple[Severity, str]:
    """Severity of one alert by the profile's rules and its own label."""
    by_rule = [(rule.severity, reason(rule, alert, system)) for rule in system.severity_rules if matches(rule, alert)]
    by_label = from_label(alert)
    if not by_rule:
        return by_label
    worst = min(by_rule, key=lambda verdict: verdict[0].rank)
    if by_label[0].is_worse_than(worst[0]) and _word(alert) in LABEL_WORDS:
        return by_label
    return worst


def matches(rule: SeverityRule, alert: Alert) -> bool:
    """True when every condition of the rule holds for the alert."""
    if any(alert.labels.get(label, "") not in values for label, values in rule.match.items()):
        return False
    if rule.signal and alert.labels.get("signal", "") != rule.signal:
        return False
    if rule.below is None and rule.above is None:
        return True
    value = alert.value
    if value is None:
        return False
    return _is_under(rule, value) or _is_over(rule, value)


def reason(rule: SeverityRule, alert: Alert, system: System) -> str:
    """The rule's reason with the measured value and the bound in it."""
    value = alert.value
    if value is None or (rule.below is None and rule.above is None):
        return rule.because
    limit, side = (rule.below, "under") if _is_under(rule, value) else (rule.above, "over")
    signal = rule.signal or visible(alert.name[:80])
    where = f" on a {system.environment} model" if alert.labels.get("model") else f" in {system.environment}"
    shown, bound = figures(value, limit if limit is not None else value)
    text = f"{signal} {shown} {side} the {rule.word} bound {bound}{where}"
    return f"{text}; {rule.because}" if rule.because else text


def figures(value: float, limit: float) -> tuple[str, str]:
    """Both numbers with two decimals, or with as many digits as it takes to tell them apart and from zero."""
    for digits in (2, 3, 4, 6):
        shown, bound = f"{value:.{digits}f}", f"{limit:.{digits}f}"
        is_told_apart = shown != bound and (float(shown) or not value) and (float(bound) or not limit)
        if is_told_apart and max(len(shown), len(bound)) < 16:
            return shown, bound
    return f"{value:.9g}", f"{limit:.9g}"


def from_label(alert: Alert) -> tuple[Severity, str]:
    """Severity by the label `severity` alone; an unknown word is P2 and said to be unknown."""
    word = _word(alert)
    if not word:
        return Severity.P2, "the alert carries no severity; P2 is the safe middle"
    if word in LABEL_WORDS:
        return LABEL_WORDS[word], f"the alert says severity {word}"
    return Severity.P2, f"severity word “{word}” is not known; P2 is the safe middle"


def _word(alert: Alert) -> str:
    return visible(alert.labels.get("severity", "").strip().lower()[:40])


def _is_under(rule: SeverityRule, value: float) -> bool:
    return rule.below is not None and value < rule.below


def _is_over(rule: SeverityRule, value: float) -> bool:
    return rule.above is not None and value > rule.above
