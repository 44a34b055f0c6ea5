"""The bot's own heartbeat: it goes out while the auditor finds nothing wrong, and stops when it does.

Who watches it is not the bot: another bot (`POST /webhooks/heartbeat/<name>`), a monitor that waits for calls, or
people who look at a channel. A bot that is alive and does not work sends nothing.
"""

from __future__ import annotations

import logging
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import datetime, timedelta

from bot.config.settings import PulseSettings
from bot.store import Store

log = logging.getLogger("mlops.pulse")

HEALTHY_FOR = timedelta(seconds=90)  # a pass of the auditor counts for so long; there is one every 30 s
_TIMEOUT_S = 10.0
_ROW = "bot:alive"


class Pulse:
    """Remembers when the auditor last found nothing wrong, and tells the outside."""

    def __init__(self, settings: PulseSettings, store: Store, now: Callable[[], datetime]) -> None:
        self._settings = settings
        self._store = store
        self._now = now
        self._lock = threading.Lock()
        self._healthy_at: datetime | None = None
        self._sent_at: datetime | None = None

    @property
    def is_wanted(self) -> bool:
        """Whether it goes anywhere."""
        return bool(self._settings.url or self._settings.channel)

    def passed(self) -> None:
        """The auditor found nothing wrong."""
        with self._lock:
            self._healthy_at = self._now()

    def age_s(self) -> float | None:
        """Seconds since the auditor last found nothing wrong; None when it never did in this process."""
        with self._lock:
            healthy_at = self._healthy_at
        return None if healthy_at is None else max((self._now() - healthy_at).total_seconds(), 0.0)

    def beat(self) -> bool:
        """Send it if it is time and all is well; True when it went out."""
        now = self._now()
        with self._lock:
            is_well = self._healthy_at is not None and now - self._healthy_at <= HEALTHY_FOR
            is_time = self._sent_at is None or not timedelta(0) <= now - self._sent_at < self._settings.every
            if not (self.is_wanted and is_well and is_time):
                return False
            self._sent_at = now
        if self._settings.channel:
            with self._store.begin() as tx:
                text = f"mlops-bot is well, as of {now:%Y-%m-%d %H:%M:%S} UTC. An older time here means that it is not."
                tx.keep_announcing(_ROW, f"channel:{self._settings.channel}", text, now)
        return self._post() if self._settings.url else True

    def _post(self) -> bool:
        headers = {"User-Agent": "mlops-bot"}
        if self._settings.token:
            headers["Authorization"] = f"Bearer {self._settings.token.reveal()}"
        # The configuration allows http and https only.
        request = urllib.request.Request(self._settings.url, data=b"", headers=headers, method="POST")  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
                answer.read(1)
        except (OSError, ValueError) as problem:
            # The address may hold a secret, as that of many monitors does: only what went wrong is logged.
            code = problem.code if isinstance(problem, urllib.error.HTTPError) else type(problem).__name__
            log.warning("the heartbeat did not go out: %s", code, extra={"action": "pulse_failed"})
            return False
        return True
