"""Numbers as Kubernetes writes them."""

from __future__ import annotations

_UNITS = {
    "n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40,
}  # fmt: skip


def quantity(text: object) -> float | None:
    """A number from the way Kubernetes writes it: 250m, 512Mi, 2."""
    raw = str(text)
    digits = raw.rstrip("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
    try:
        return float(digits) * _UNITS[raw[len(digits) :]]
    except (ValueError, KeyError):
        return None
