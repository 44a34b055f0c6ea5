"""Which version was served when."""

from __future__ import annotations

from datetime import timedelta

from bot.ports import Move
from handlers._history import ledger_spans, on_grid, served_spans, step_for
from tests.handlers.fakes import MODEL, NOW, SERVED, FakeMetrics, World, minutes

STEP = timedelta(seconds=30)


def test_spans_follow_one_another() -> None:
    spans = served_spans(World().metrics, SERVED, minutes(100), NOW, STEP)
    assert [(span.version, span.start, span.end) for span in spans] == [
        ("1", minutes(100), minutes(60.5)),
        ("2", minutes(60), minutes(5.5)),
        ("3", minutes(5), NOW),
    ]


def test_a_missed_scrape_is_no_change_but_an_outage_is_a_gap() -> None:
    def answer(at: object) -> object:
        ago = (NOW - at).total_seconds()  # type: ignore[operator]
        return [] if ago == 300 or 600 <= ago <= 900 else [({"version": "2"}, 1.0)]

    spans = served_spans(FakeMetrics(answers={SERVED: answer}), SERVED, minutes(20), NOW, STEP)  # type: ignore[dict-item]
    assert [(span.start, span.end) for span in spans] == [(minutes(20), minutes(15.5)), (minutes(9.5), NOW)]


def test_two_versions_side_by_side_say_nothing_about_either() -> None:
    def answer(at: object) -> object:
        ago = (NOW - at).total_seconds() / 60  # type: ignore[operator]
        versions = ["1"] if ago > 10 else ["1", "2"] if ago > 5 else ["2"]
        return [({"version": one, "instance": one}, 1.0) for one in versions]

    spans = served_spans(FakeMetrics(answers={SERVED: answer}), SERVED, minutes(20), NOW, STEP)  # type: ignore[dict-item]
    assert [(span.version, span.start, span.end) for span in spans] == [
        ("1", minutes(20), minutes(10.5)),
        ("2", minutes(5), NOW),
    ]


def test_no_data_is_no_span_and_a_zero_is_not_served() -> None:
    assert served_spans(FakeMetrics(), SERVED, minutes(20), NOW, STEP) == []
    zero = FakeMetrics(answers={SERVED: lambda _: [({"version": "2"}, 0.0), ({}, 1.0)]})
    assert served_spans(zero, SERVED, minutes(20), NOW, STEP) == []


def test_the_ledger_says_only_what_it_is_sure_of() -> None:
    def move(what: str, old: str, new: str, earliest: float, latest: float) -> Move:
        return Move(
            system="s",
            model=MODEL,
            what=what,
            from_=old,
            to=new,
            earliest_at=minutes(earliest),
            latest_at=minutes(latest),
        )

    moves = (
        move("served", "2", "3", 12, 10),
        move("alias champion", "2", "3", 12, 11),
        move("served", "1", "2", 62, 60),
        move("served", "", "1", 300, 300),
    )
    assert [(span.version, span.start, span.end, span.told_by) for span in ledger_spans(moves, NOW)] == [
        ("1", minutes(300), minutes(62), "ledger"),
        ("2", minutes(60), minutes(12), "ledger"),
        ("3", minutes(10), NOW, "ledger"),
    ]
    assert ledger_spans((), NOW) == []


def test_the_grid_is_of_whole_seconds_and_never_too_fine() -> None:
    assert step_for(timedelta(minutes=5), points=10) == timedelta(seconds=30)
    assert step_for(timedelta(seconds=5), points=10) == timedelta(seconds=1)
    assert step_for(timedelta(days=30), points=10_000) == timedelta(seconds=260)
    assert step_for(timedelta(minutes=1), points=500, at_least=timedelta(seconds=7)) == timedelta(seconds=7)
    assert on_grid(NOW + timedelta(milliseconds=900)) == NOW
