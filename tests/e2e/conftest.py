"""Towns for whole stories: real parts, the production program in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from playground import parts
from playground.demo.town import Town


@pytest.fixture
def town() -> Iterator[Callable[..., Town]]:
    """Make towns that are closed at the end of the test; the bot's log is shown when the test fails."""
    made: list[Town] = []

    def make(**options: Any) -> Town:
        one = Town(cache_dir=parts.cache_dir().parent / "trained", **options)
        made.append(one)
        return one.__enter__()

    yield make
    for one in made:
        print(f"the end of the bot's log:\n{one.tail(60)}")
        one.close()
