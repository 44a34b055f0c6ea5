"""Links to reports: the very link opens the very file, for its time, and what it shows can reach nothing of ours."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection

import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st

from bot import http
from bot.reports import LASTS, BadLink, Links, opened, signed
from tests.wire.waiting import until

KEY = b"a secret key of the tests, long enough"
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
TOKEN = signed(KEY, "DRF-3-html", NOW + LASTS)


def test_a_link_opens_its_file_until_its_end() -> None:
    assert opened(KEY, TOKEN, NOW) == "DRF-3-html"
    assert opened(KEY, TOKEN, NOW + LASTS - timedelta(seconds=1)) == "DRF-3-html"
    with pytest.raises(BadLink) as over:
        opened(KEY, TOKEN, NOW + LASTS)
    assert over.value.is_over


@pytest.mark.parametrize("at", range(len(TOKEN)))
def test_no_other_character_anywhere_opens_anything(at: int) -> None:
    """Neither the id, nor the end, nor the signature can be changed; and a wrong link is never told from a late one."""
    for other in "A0-_./":
        forged = TOKEN[:at] + other + TOKEN[at + 1 :]
        if forged == TOKEN:
            continue
        # The last character carries two bits that mean nothing; no other signature may be accepted for that.
        with pytest.raises(BadLink) as refused:
            opened(KEY, forged, NOW + timedelta(days=400))
        assert not refused.value.is_over


@given(st.text(max_size=300))
def test_no_text_is_a_link(text: str) -> None:
    with pytest.raises(BadLink):
        opened(KEY, text, NOW)


@pytest.mark.parametrize("key", [b"another key that is long enough", b""])
def test_another_key_opens_nothing(key: bytes) -> None:
    with pytest.raises(BadLink):
        opened(key, TOKEN, NOW)


@pytest.mark.parametrize("file_id", ["../../etc/passwd", "", "a/b", "a.b", "x" * 65, "é"])
def test_no_path_can_be_signed(file_id: str) -> None:
    with pytest.raises(ValueError, match="letters, digits and dashes"):
        signed(KEY, file_id, NOW)


def test_without_an_address_or_a_key_there_is_no_link() -> None:
    assert Links(key=KEY).to("DRF-3-html", NOW) == ""
    assert Links(key=b"", base="https://bot.example").to("DRF-3-html", NOW) == ""
    assert Links(key=KEY, base="https://bot.example").to("DRF-3-html", NOW) == f"https://bot.example/reports/{TOKEN}"


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    """The HTTP door on a real port, with one report behind it."""

    def report(token: str) -> http.Page:
        opened(KEY, token, NOW)
        return http.Page(media_type="text/html", body=b"<script>alert(1)</script>")

    fine = http.Health(ok=True, facts={})
    app = http.build(
        http.Door(
            webhook_token="t" * 16, max_body_bytes=1024, take_in=lambda _: {}, slack=None, alive=lambda: fine,
            ready=lambda: fine, metrics=lambda: "", report=report,
        )
    )  # fmt: skip
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started, 20)
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    yield host, port
    server.should_exit = True
    thread.join(10)


def ask(address: tuple[str, int], path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    line = HTTPConnection(*address, timeout=20)
    line.request(method, path)
    answer = line.getresponse()
    found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    line.close()
    return found


def test_a_report_is_shown_in_a_sandbox(address: tuple[str, int]) -> None:
    status, headers, body = ask(address, f"/reports/{TOKEN}")
    assert (status, body) == (200, b"<script>alert(1)</script>")
    assert headers["content-type"].startswith("text/html")
    policy = {part.split()[0]: part.split()[1:] for part in headers["content-security-policy"].split("; ")}
    assert policy["sandbox"] == ["allow-scripts"]  # with allow-same-origin a report could ask the bot as its reader
    for closed in ("default-src", "form-action", "base-uri", "frame-ancestors"):
        assert policy[closed] == ["'none'"]
    assert "connect-src" not in policy  # so that default-src holds
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "no-store" in headers["cache-control"]


@pytest.mark.parametrize(
    "path", ["/reports/", "/reports/x", "/reports/..%2f..%2fetc%2fpasswd", f"/reports/{TOKEN}/x", f"/reports/{TOKEN}a"]
)
def test_every_other_path_is_not_found(address: tuple[str, int], path: str) -> None:
    assert ask(address, path)[0] == 404


def test_a_link_whose_time_is_over_says_so(address: tuple[str, int]) -> None:
    status, _, body = ask(address, f"/reports/{signed(KEY, 'DRF-3-html', NOW - timedelta(seconds=1))}")
    assert status == 410
    assert b"Ask the bot for a new report" in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_a_report_can_only_be_read(address: tuple[str, int], method: str) -> None:
    assert ask(address, f"/reports/{TOKEN}", method)[0] == 405
