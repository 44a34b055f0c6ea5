"""Calendars that say who is on call: what they mean, what a broken or hostile one costs, and the last good copy."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bot.calendars import CalendarReader, Calendars
from bot.config.settings import CalendarSource, Secret
from bot.gaps import GapNotices
from bot.policy import Policy
from bot.policy.rota import Layer, Rota
from bot.store import Store
from tests.engine.conftest import NewOffice
from tests.engine.office import BOB, MIA, Office, at_once, posts, text_of
from tests.engine.test_on_call import MONDAY, WEEK, here, rules

HEAD = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\n"
TAIL = "END:VCALENDAR\r\n"


def event(title: str, start: str, end: str, *more: str, uid: str = "") -> str:
    lines = (f"UID:{uid or title}", "DTSTAMP:20261101T000000Z", f"DTSTART{start}", f"DTEND{end}", f"SUMMARY:{title}")
    return "\r\n".join(("BEGIN:VEVENT", *lines, *more, "END:VEVENT", ""))


BOBS = event("Bob", ":20261123T080000Z", ":20261123T180000Z")
GOOD = HEAD + BOBS + TAIL
DAILY = event("@mia", ";TZID=Europe/Berlin:20261101T090000", ";TZID=Europe/Berlin:20261101T170000", "RRULE:FREQ=DAILY")

OFTEN = event("x", ":20261123T080000Z", ":20261123T080001Z", "RRULE:FREQ=MINUTELY;INTERVAL=30")


@pytest.fixture(scope="module")
def reader() -> CalendarReader:
    return CalendarReader(os.environ)


def source(tmp_path: Path, text: str | bytes) -> CalendarSource:
    file = tmp_path / "rota.ics"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return CalendarSource(name="main/ics", zone="Europe/Berlin", file=file)


def test_repeats_moved_dates_and_whole_days_are_laid_out(tmp_path: Path, reader: CalendarReader) -> None:
    text = HEAD + DAILY.replace("RRULE", "EXDATE;TZID=Europe/Berlin:20261124T090000\r\nRRULE") + (
        event("@mia", ";TZID=Europe/Berlin:20261125T120000", ";TZID=Europe/Berlin:20261125T130000",
              "RECURRENCE-ID;TZID=Europe/Berlin:20261125T090000", uid="@mia")
        + event("alice", ";VALUE=DATE:20261126", ";VALUE=DATE:20261127")
        + event("gone", ":20261126T080000Z", ":20261126T090000Z", "STATUS:CANCELLED")
        + event("nothing", ":20261126T080000Z", ":20261126T080000Z")
    ) + TAIL  # fmt: skip

    found = reader.read(source(tmp_path, text), MONDAY).entries

    shown = [
        (one.title, f"{one.start_at:%d %H:%M}", f"{one.end_at:%d %H:%M}") for one in found if one.start_at.day < 28
    ]
    assert shown[1:6] == [
        ("@mia", "22 08:00", "22 16:00"), ("@mia", "23 08:00", "23 16:00"), ("@mia", "25 11:00", "25 12:00"),
        ("alice", "25 23:00", "26 23:00"), ("@mia", "26 08:00", "26 16:00"),
    ]  # fmt: skip
    assert not {"gone", "nothing"} & {one.title for one in found}


def test_repeats_keep_their_wall_clock_over_a_change_of_the_clock(tmp_path: Path, reader: CalendarReader) -> None:
    autumn = datetime(2026, 10, 24, 12, tzinfo=UTC)
    daily = DAILY.replace("20261101", "20261001")

    found = reader.read(source(tmp_path, HEAD + daily + TAIL), autumn).entries

    begins = {f"{one.start_at:%m-%d %H:%M}" for one in found}
    assert {"10-24 07:00", "10-25 08:00"} <= begins  # 09:00 in Berlin on both days


@pytest.mark.parametrize(("text", "why"), [
    (b"", "it is not a calendar"),
    (b"<html>Sign in</html>", "it is not a calendar"),
    (b"/etc/passwd", "it is not a calendar"),
    (HEAD.encode() + TAIL.encode(), "it has no event at all"),
    (b"BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART:yesterday\r\n", "it cannot be understood"),
    (b"x" * 2_000_001, "it is larger than 2 MB"),
    (b"BEGIN:VCALENDAR\r\n" + b"\xff\x00" * 1_000, "it "),
    ((HEAD + OFTEN + TAIL).encode(), "it has more than 2000 events"),
])  # fmt: skip
def test_what_is_no_calendar_is_told_in_words(tmp_path: Path, reader: CalendarReader, text: bytes, why: str) -> None:
    found = reader.read(source(tmp_path, text), MONDAY)

    assert found.why.startswith(why)
    assert found.entries == ()


def test_a_calendar_that_would_never_end_costs_its_child(tmp_path: Path) -> None:
    hostile = HEAD + event("x", ":19700101T000000Z", ":19700101T000001Z", "RRULE:FREQ=SECONDLY") + TAIL

    found = CalendarReader(os.environ, limit_s=1.5).read(source(tmp_path, hostile), MONDAY)

    assert found.why
    assert found.entries == ()


def test_a_file_that_is_not_there_is_told(tmp_path: Path, reader: CalendarReader) -> None:
    gone = replace(source(tmp_path, ""), file=tmp_path / "none.ics")

    assert reader.read(gone, MONDAY).why == "the file cannot be read (No such file or directory)"


# over HTTP


@dataclass
class Site:
    """A web server that gives the next answer: status, body."""

    url: str = ""
    body: bytes = b""
    status: int = 200
    location: str = ""
    asked: int = 0


@contextmanager
def website() -> Iterator[Site]:
    made = Site()

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked += 1
            self.send_response(made.status)
            if made.location:
                self.send_header("Location", made.location)
            self.send_header("Content-Length", str(len(made.body)))
            self.end_headers()
            self.wfile.write(made.body)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    made.url = f"http://127.0.0.1:{server.server_address[1]}/canary-path.ics"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield made
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    with website() as one:
        yield one


def web(site: Site) -> CalendarSource:
    return CalendarSource(name="main/ics", zone="Europe/Berlin", url=Secret(site.url))


def test_an_address_is_read_and_every_failure_is_told_without_it(site: Site, reader: CalendarReader) -> None:
    site.body = GOOD.encode()
    assert [one.title for one in reader.read(web(site), MONDAY).entries] == ["Bob"]
    site.status = 404
    assert reader.read(web(site), MONDAY).why == "the server answers 404"
    site.status, site.location = 302, "ftp://elsewhere/"
    assert reader.read(web(site), MONDAY).why == "only https addresses are fetched"
    site.location = site.url
    assert reader.read(web(site), MONDAY).why == "the server sends us on more than three times"
    plain = CalendarSource(name="main/ics", zone="UTC", url=Secret("http://calendar.example/x.ics"))
    assert reader.read(plain, MONDAY).why == "only https addresses are fetched"


# in the bot

ICS = Layer(name="ics", zone="Europe/Berlin", calendar=True)
ROTA = Rota(name="main", layers=(ICS, WEEK))


def with_calendar() -> Policy:
    return replace(rules(), rotas={"main": ROTA})


def calendars(office: Office, found: CalendarSource, reader: CalendarReader) -> Calendars:
    return Calendars(office.store, (found,), reader, office.clock)


def test_the_page_goes_to_whom_the_calendar_names_on_either_replica(
    store: Store, new_office: NewOffice, tmp_path: Path, reader: CalendarReader
) -> None:
    one = new_office(store, rules=with_calendar())
    two = here(new_office(store, owner="two", rules=with_calendar()))
    given = source(tmp_path, GOOD)
    rounds = at_once(*(calendars(office, given, reader).round for office in (one, two)))

    assert sorted(map(str, rounds)) == ["0", "1"]  # one of them read it
    one.alert()
    one.clock.advance(minutes=16)
    two.engine.tick()
    assert two.incident.escalation.paged[0].whom == (f"user:{BOB.user_id}",)


def test_a_broken_calendar_keeps_the_last_good_copy_and_tells_its_age(
    file_store: Store, new_office: NewOffice, tmp_path: Path, reader: CalendarReader
) -> None:
    office = here(new_office(file_store, rules=with_calendar()))
    given = source(tmp_path, HEAD + DAILY + TAIL)
    kept = calendars(office, given, reader)
    assert "not read yet, so the layers below have it" in office.say("oncall main").text
    kept.round()
    office.clock.advance(seconds=2)
    assert "@mia" in office.say("oncall main").text
    office.clock.advance(days=100)  # far beyond what was laid out at first
    source(tmp_path, "<html>the login page</html>")
    kept.round()

    said = office.say("oncall main").text
    assert said.startswith("• rotation main: @mia")
    assert "calendar of layer ics: read 100 days ago, and it fails since, so that copy is used: it is not a" in said
    assert office.engine.policy.resolve("oncall", "shop", office.clock()) == (f"user:{MIA.user_id}",)
    assert GapNotices(office.engine).round() == 1
    office.settle(2)
    assert "could not be read for 100 days: it is not a calendar" in text_of(posts(office.ws)[-1])
    office.clock.advance(seconds=-2)
    assert kept.round() == 0  # not due again before a quarter of an hour
    office.clock.advance(minutes=16)
    assert kept.round() == 1


def test_whoever_is_not_listed_is_left_to_the_layers_below_and_told(
    file_store: Store, new_office: NewOffice, tmp_path: Path, reader: CalendarReader
) -> None:
    office = here(new_office(file_store, rules=with_calendar()))
    odd = event("Bob and Mia <!channel>", ":20261123T080000Z", ":20261123T180000Z", uid="a")
    calendars(office, source(tmp_path, HEAD + odd + TAIL), reader).round()

    said = office.say("oncall main").text
    assert said.startswith("• rotation main: @alice")
    assert "1 of its titles name nobody who is listed, such as “Bob and Mia &lt;!channel&gt;”" in said


def test_names_in_calendars(file_store: Store) -> None:
    from bot.policy.roster import Entry, laid_out, named_in

    policy = replace(rules(), people=tuple(replace(one, email=f"{one.key}@x.org") for one in rules().people))

    def who(title: str, *emails: str) -> str:
        return named_in(policy, Entry(title=title, emails=emails, start_at=MONDAY, end_at=MONDAY))

    assert [who("@bob"), who(" BOB "), who("On call: bob"), who("bob@x.org")] == ["bob"] * 4
    assert [who(BOB.user_id), who("Schicht", "x@x.org", "mia@x.org")] == ["bob", "mia"]
    assert [who("bob, mia"), who("bobby"), who(""), who("Schicht", "bob@x.org", "mia@x.org")] == ["", "", "", ""]
    hour = timedelta(hours=1)
    long = Entry(title="a", emails=(), start_at=MONDAY, end_at=MONDAY + 8 * hour)
    special = Entry(title="b", emails=(), start_at=MONDAY + 2 * hour, end_at=MONDAY + 3 * hour)
    found = laid_out([("bob", special), ("alice", long)])
    assert [(one.person, (one.end_at - one.start_at) / hour) for one in found] == [
        ("alice", 2),
        ("bob", 1),
        ("alice", 5),
    ]
