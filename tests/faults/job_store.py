"""What we avoid, to compare with: an escalation whose timers are jobs in APScheduler's own job store.

The smallest program that takes the same alerts and owes the same pages. It does what its documentation advises: a
database as job store, and the grace time that its settings name: one second, as it comes, or none, so that late jobs
run however late. One argument: the JSON file with its settings.
"""

from __future__ import annotations

import json
import sys
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from slack_sdk import WebClient

SETTINGS: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text()) if len(sys.argv) > 1 else {}
_direct: dict[str, str] = {}


def page(name: str, level: int, user: str) -> None:
    """One page, as a job: APScheduler finds this function by its name after a restart."""
    client = WebClient(SETTINGS["token"], base_url=SETTINGS["api_url"])
    if user not in _direct:
        _direct[user] = str(client.conversations_open(users=user)["channel"]["id"])
    client.chat_postMessage(channel=_direct[user], text=f"{name}: you are paged, level {level}")


class Handler(BaseHTTPRequestHandler):
    """Takes Alertmanager's webhook and answers once the jobs are stored."""

    scheduler: BackgroundScheduler

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        now = datetime.now(UTC)
        for alert in body["alerts"]:
            name, system = alert["labels"]["alertname"], alert["labels"]["system"]
            for level, (after_s, users) in enumerate(SETTINGS["ladders"][system], 1):
                for user in users:
                    self.scheduler.add_job(
                        page, "date", run_date=now + timedelta(seconds=after_s), args=[name, level, user],
                        id=f"{name}/{level}/{user}", replace_existing=True,
                    )  # fmt: skip
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Not a word for each request."""


def main() -> None:
    """Serve until killed."""
    Handler.scheduler = BackgroundScheduler(
        jobstores={"default": SQLAlchemyJobStore(url=SETTINGS["url"])},
        job_defaults={"misfire_grace_time": SETTINGS["grace_s"], "coalesce": False, "max_instances": 1_000},
        timezone=UTC,
    )  # fmt: skip
    Handler.scheduler.start()
    server = ThreadingHTTPServer(("127.0.0.1", int(SETTINGS["port"])), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    threading.Event().wait()


if __name__ == "__main__":
    # As a module, so that the stored jobs name a function that the next process finds.
    from tests.faults import job_store

    job_store.SETTINGS = SETTINGS
    job_store.main()
