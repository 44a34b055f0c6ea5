"""Rate limits: per method a window of one minute, and one message per second and channel.

Mode "real" refuses with HTTP 429, "soft" only counts what would have been refused, "off" looks away.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from dataclasses import dataclass, field

TIERS = {1: 1, 2: 20, 3: 50, 4: 100}  # accepted calls per minute
# Slack says "about one a second". A tenth is allowed for jitter between two machines' timers.
POST_GAP_S = 0.9
MODES = ("off", "soft", "real")


@dataclass(slots=True)
class Limits:
    """Counts accepted calls; time comes in as an argument (steady seconds)."""

    mode: str = "real"
    would_have_limited: int = 0
    _calls: dict[str, deque[float]] = field(default_factory=lambda: defaultdict(deque))
    _posts: dict[str, float] = field(default_factory=dict)

    def set_mode(self, mode: str) -> None:
        """Switch between off, soft and real."""
        if mode not in MODES:
            raise ValueError(f"limit mode {mode!r}; use one of {', '.join(MODES)}")
        self.mode = mode

    def ask(self, method: str, tier: int | None, channel: str | None, now: float) -> int | None:
        """None to go ahead, else the whole seconds for `Retry-After`.

        `channel` is given for posts only; those have the channel rule instead of a tier.
        """
        if self.mode == "off":
            return None
        wait = self._post_wait(channel, now) if channel else self._tier_wait(method, tier, now)
        if wait <= 0:
            return None
        self.would_have_limited += 1
        return max(1, math.ceil(wait)) if self.mode == "real" else None

    def _post_wait(self, channel: str, now: float) -> float:
        wait = self._posts.get(channel, -POST_GAP_S) + POST_GAP_S - now
        if wait <= 0 or self.mode == "soft":
            self._posts[channel] = now
        return wait

    def _tier_wait(self, method: str, tier: int | None, now: float) -> float:
        if tier is None:
            return 0.0
        window = self._calls[method]
        while window and window[0] <= now - 60:
            window.popleft()
        if len(window) < TIERS[tier]:
            window.append(now)
            return 0.0
        return window[0] + 60 - now
