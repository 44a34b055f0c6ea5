"""A real Bolt app against the local workspace, over the socket or over signed HTTP."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from slack_bolt import App, BoltRequest
from slack_bolt.adapter.socket_mode import SocketModeHandler
from slack_sdk import WebClient

from playground.slack import Workspace


@dataclass
class Running:
    """A workspace with an app in it."""

    ws: Workspace
    app: App
    client: WebClient


def make_app(ws: Workspace) -> App:
    """An app as production code builds it: only the address is special."""
    client = WebClient(ws.bot_token, base_url=ws.api_url)
    return App(client=client, signing_secret=ws.signing_secret)


@contextmanager
def on_socket(ws: Workspace, app: App) -> Iterator[SocketModeHandler]:
    """Connect the app by Socket Mode."""
    handler = SocketModeHandler(app, ws.app_token, web_client=WebClient(ws.app_token, base_url=ws.api_url))
    handler.connect()
    try:
        yield handler
    finally:
        # The SDK's close waits for its blocked read (up to 3 s) and its empty queue (1 s): wake both.
        handler.client.auto_reconnect_enabled = False
        ws.drop_sockets()
        closing = threading.Thread(target=handler.close)
        closing.start()
        while closing.is_alive():
            handler.client.message_queue.put("{}")
            closing.join(0.02)


@contextmanager
def on_http(ws: Workspace, app: App) -> Iterator[str]:
    """Serve the app over HTTP and tell the workspace its request URL, with the challenge."""

    class Door(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            headers = dict(self.headers.items())
            answer = app.dispatch(BoltRequest(body=body, headers=headers))
            with suppress(ConnectionError):  # the workspace hangs up when its three seconds are over
                self.send_response(answer.status)
                for name, value in answer.first_headers().items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body.encode())

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}/slack/events"
    try:
        ws.set_request_url(url, verify=True)
        yield url
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


MODES = {"socket": on_socket, "http": on_http}


@pytest.fixture(params=["socket", "http"])
def running(request: pytest.FixtureRequest) -> Iterator[Running]:
    """A workspace, an app without listeners yet, connected in both modes in turn."""
    with Workspace(limits="soft") as ws:
        app = make_app(ws)
        with MODES[request.param](ws, app):
            yield Running(ws=ws, app=app, client=app.client)
