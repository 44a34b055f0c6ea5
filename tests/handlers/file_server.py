"""A model server as bare processes are: it reads one file when it starts, and serves that until it is started again.

    python file_server.py PORT FILE

The file holds what it answers: {"name": …, "version": …, "label": …}.
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any


def main(port: int, file: Path) -> None:
    """Serve until killed."""
    loaded: dict[str, Any] = json.loads(file.read_bytes())
    since = datetime.now(UTC).isoformat()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({"name": loaded["name"], "version": loaded["version"], "loaded_at": since, "status": "ok"})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._answer({"label": loaded["label"]})

        def _answer(self, body: dict[str, Any]) -> None:
            payload = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    HTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
