"""Waiting with a deadline, the only kind of waiting in these tests."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(look: Callable[[], T], within: float = 5.0) -> T:
    """Poll until `look` returns something true; fail loudly after `within` seconds."""
    deadline = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < deadline, f"still {found!r} after {within} s"
        time.sleep(0.01)
    return found
