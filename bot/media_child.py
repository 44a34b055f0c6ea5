"""The child that calls one medium, so that a library of a hundred services is neither loaded nor trusted by the bot.

`python -m bot.media_child` reads one JSON object from its standard input, {url, title, body} or {url, check: true}, and
answers one line of JSON: {ok}, or {ok: false, why, unsure}. `unsure` tells that the other side may have taken it. What
it answers never holds the address, a header or a stranger's text: only a status number and words of ours.
"""

from __future__ import annotations

import json
import logging
import re
import resource
import sys
import warnings

MEMORY_BYTES = 1_000_000_000
_STATUS = re.compile(r"\berror=(\d{3})\b|\((?:HTTP )?(\d{3})\)")
# In what a library logs when the answer got lost on its way back: the message itself may have arrived.
_LOST = ("read timed out", "remote end closed", "connection aborted", "reset by peer", "timed out waiting")


class _Heard(logging.Handler):
    """Keeps what the library logs, to be judged here and then forgotten."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a bounded amount."""
        if len(self.text) < 20_000:
            self.text += record.getMessage()[:2_000].lower() + "\n"


def call(given: dict[str, object]) -> dict[str, object]:
    """Call the medium once, or only look whether its address means something."""
    import apprise

    heard = _Heard()
    logger = logging.getLogger("apprise")
    logger.handlers, logger.propagate = [heard], False
    logger.setLevel(logging.DEBUG)
    # In memory only: nothing is kept on disk. One address is one service; nothing runs beside it.
    asset = apprise.AppriseAsset(
        async_mode=False, secure_logging=True, storage_mode=apprise.PersistentStoreMode.MEMORY, app_id="mlops-bot"
    )
    service = apprise.Apprise.instantiate(str(given["url"]), asset=asset, suppress_exceptions=True)
    if service is None:
        return {"ok": False, "why": "its address is not one that Apprise understands", "unsure": False, "never": True}
    if given.get("check"):
        return {"ok": True}
    sender = apprise.Apprise(asset=asset)
    sender.add(service)
    is_sent = sender.notify(
        title=str(given["title"]), body=str(given["body"]), body_format=apprise.NotifyFormat.TEXT,
        notify_type=apprise.NotifyType.FAILURE,
    )  # fmt: skip
    if is_sent:
        return {"ok": True}
    found = _STATUS.search(heard.text)
    status = (found[1] or found[2]) if found else ""
    unsure = not status and any(word in heard.text for word in _LOST)
    why = f"it answered {status}" if status else "it gave no answer" if unsure else "it could not be reached"
    return {"ok": False, "why": why, "unsure": unsure}


def main() -> int:
    """Be the child."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    warnings.simplefilter("ignore")
    try:
        answer = call(json.loads(sys.stdin.read()))
    except Exception as problem:  # noqa: BLE001 - whatever a service's plugin does wrong is an answer too
        answer = {"ok": False, "why": f"its plugin failed ({type(problem).__name__})", "unsure": True}
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
