"""The workspace's clock: real time plus whatever a test or the time-lapse control adds.

Two readings exist on purpose. `now()` is what people see (message stamps, scheduled messages,
`response_url` lifetimes). `steady()` measures promises made to the app (3 s to acknowledge, 3 s for
a trigger, rate windows): it follows `advance()` but never the time-lapse speed, because a faster
display must not shorten the time an app has to answer. Request signatures use the machine's own
clock, since the app checks them against its own.
"""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any


class Clock:
    """Reads are cheap and allowed from any thread; waiting happens on the server's event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._advanced_s = 0.0
        self._speed = 1.0
        self._mark_real = time.monotonic()
        self._mark_sim = time.time()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiters: set[asyncio.Future[None]] = set()

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Remember the loop whose sleepers `advance` has to wake."""
        self._loop = loop

    def now(self) -> float:
        """Seconds since 1970 as people in the workspace see them."""
        with self._lock:
            return self._mark_sim + (time.monotonic() - self._mark_real) * self._speed

    def steady(self) -> float:
        """Seconds on a line that never runs backwards and ignores the time-lapse speed."""
        with self._lock:
            return time.monotonic() + self._advanced_s

    @property
    def speed(self) -> float:
        """Workspace seconds per real second."""
        return self._speed

    @property
    def advanced_s(self) -> float:
        """How far `advance` has moved the clock so far, in seconds."""
        return self._advanced_s

    def advance(self, *, hours: float = 0, minutes: float = 0, seconds: float = 0) -> None:
        """Jump forward; everything that falls due is woken at once. Never goes back."""
        step = hours * 3600 + minutes * 60 + seconds
        if step < 0:
            raise ValueError(f"the clock cannot go back ({step} s); give a positive span")
        with self._lock:
            self._advanced_s += step
            self._mark_sim += step
        self._poke()

    def set_speed(self, speed: float) -> None:
        """Let people's time run `speed` times as fast as real time (0.1 to 3600)."""
        if not 0.1 <= speed <= 3600:
            raise ValueError(f"speed {speed} is outside 0.1 to 3600")
        with self._lock:
            real = time.monotonic()
            self._mark_sim += (real - self._mark_real) * self._speed
            self._mark_real = real
            self._speed = speed
        self._poke()

    def _poke(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        for waiter in tuple(self._waiters):
            if not waiter.done():
                waiter.set_result(None)

    async def sleep(self, seconds: float) -> None:
        """Wait for a steady span; `advance` shortens it."""
        due = self.steady() + seconds
        while (left := due - self.steady()) > 0:
            await self._nap(left)

    async def sleep_until(self, at: float) -> None:
        """Wait until `now()` reaches `at` (seconds since 1970)."""
        while (left := at - self.now()) > 0:
            await self._nap(left / self._speed)

    async def _nap(self, real_seconds: float) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            await asyncio.wait([waiter], timeout=real_seconds)
        finally:
            self._waiters.discard(waiter)

    async def wait_for(self, future: asyncio.Future[Any], seconds: float) -> bool:
        """True when the future finished within a steady span, False when time ran out."""
        nap = asyncio.ensure_future(self.sleep(seconds))
        try:
            await asyncio.wait([future, nap], return_when=asyncio.FIRST_COMPLETED)
            return future.done()
        finally:
            nap.cancel()
