"""Log lines: one sentence, a stable `action`, and fields. No secret leaves this way."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from datetime import UTC, datetime

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
# One event is one line, and a terminal that shows it obeys nothing in it.
_CONTROLS = (*range(32), *range(127, 160), 0x2028, 0x2029)
_INVISIBLE = {code: f"\\x{code:02x}" for code in _CONTROLS} | {10: "\\n", 13: "\\r"}
_SHORTEST = 6  # a secret shorter than this would blank out ordinary words


class _Line(logging.Formatter):
    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__()
        self._secrets = sorted({text for text in secrets if len(text) >= _SHORTEST}, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds")
        extra = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        fields = " ".join(f"{name}={value}" for name, value in sorted(extra.items()))
        text = record.getMessage()
        line = f"{at} {record.levelname.lower()} {record.name}: {text}" + (f" [{fields}]" if fields else "")
        line = line.translate(_INVISIBLE)
        if record.exc_info:
            # Indented, so that a stranger's words in an error never look like a line of ours.
            told = self.formatException(record.exc_info).splitlines()
            line = "\n".join([line, *(f"    {one.translate(_INVISIBLE)}" for one in told)])
        for secret in self._secrets:
            line = line.replace(secret, "(secret)")
        return line


def set_up(level: str, secrets: Iterable[str]) -> None:
    """Send everything to standard error, with these texts blanked out."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line(secrets))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for noisy in ("apscheduler", "slack_sdk", "urllib3", "mlops.bolt", "asyncio", "alembic", "uvicorn"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLogger().level))
    # A round that takes longer than 0.2 s is skipped once, which is as it should be and no news.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    logging.getLogger("mlops.bolt").setLevel(logging.ERROR)  # Bolt warns of the environment variables it does not need
    logging.captureWarnings(capture=True)
