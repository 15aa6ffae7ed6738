"""Events folded into curves: resumes, live or read again from the start, give the same and show nothing twice."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np

from studio.jobs.track import Series, Track
from trainer.contract import events
from trainer.contract.run_folder import RunFolder


class Book:
    """Writes events as a worker would."""

    def __init__(self, folder: Path) -> None:
        self.folder = RunFolder(folder)
        self.attempt, self.sequence = 1, 0

    def say(self, kind: type, step: int, **values: object) -> None:
        self.sequence += 1
        event = kind(attempt=self.attempt, sequence=self.sequence, step=step, at=float(step), **values)
        with self.folder.events.open("ab") as out:
            out.write(events.encoder.encode(event) + b"\n")

    def loss(self, step: int, value: float) -> None:
        self.say(events.Metrics, step, split="train", values={"loss": value})

    def new_attempt(self, from_step: int) -> None:
        self.attempt, self.sequence = self.attempt + 1, 0
        self.say(events.Resumed, max(0, from_step), from_step=from_step)


def test_a_resume_drops_what_lay_beyond_it_live_and_when_read_again(tmp_path: Path) -> None:
    draw, book = random.Random(3), Book(tmp_path)
    live, expected, at = Track(book.folder), {}, 0
    for _ in range(6):
        for _ in range(draw.randint(1, 40)):
            at += 1
            expected[at] = draw.random()
            book.loss(at, expected[at])
            if draw.random() < 0.3:
                live.read()
        at = draw.randint(0, at)
        book.new_attempt(at)
        expected = {step: value for step, value in expected.items() if step <= at}
    live.read()
    again = Track(book.folder)
    again.read_all()
    for track in (live, again):
        curve = track.curves().get("train/loss")
        steps = [] if curve is None else curve.steps.tolist()
        assert steps == sorted(expected)
        assert [expected[step] for step in steps] == ([] if curve is None else curve.values.tolist())


def test_examples_and_notices_of_a_lost_stretch_go_too(tmp_path: Path) -> None:
    book = Book(tmp_path)
    for step in (5, 10):
        book.say(events.Example, step, row=f"r{step}", problem="p", steps=("a",), scores=(0.5,), targets=(1.0,))
        book.say(events.Notice, step, level=events.Level.WARNING, code="cut", message=f"at {step}")
    book.new_attempt(7)
    track = Track(book.folder)
    track.read_all()
    assert [each.row for each in track.examples()] == ["r5"]
    assert [each.message for each in track.notices()] == ["at 5"]


def test_a_torn_line_waits_and_a_broken_one_is_told(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.loss(1, 0.5)
    with book.folder.events.open("ab") as out:
        out.write(b'{"kind":"metr')
    track = Track(book.folder)
    track.read_all()
    assert track.notices() == ()
    with book.folder.events.open("ab") as out:
        out.write(b"\n")
    book.loss(2, 0.25)
    track.read_all()
    assert [each.code for each in track.notices()] == ["unreadable event"]
    assert track.curves()["train/loss"].steps.tolist() == [1, 2]


def test_a_reading_is_bounded(tmp_path: Path) -> None:
    book = Book(tmp_path)
    for step in range(1, 400):
        book.loss(step, 1.0)
    track, readings = Track(book.folder), 0
    while not track.at_end:
        before = track.offset
        track.read(4096)
        assert track.offset - before <= 4096
        readings += 1
    assert readings > 5
    assert len(track.curves()["train/loss"].steps) == 399


def test_a_series_grows_by_doubling_and_keeps_what_it_handed_out() -> None:
    series = Series()
    for step in range(1000):
        series.add(step, step / 2)
    handed = series.curve()
    series.cut(499)
    series.add(500, -1.0)
    np.testing.assert_array_equal(handed.values, np.arange(1000) / 2)
    assert series.curve().values.tolist() == [*(step / 2 for step in range(500)), -1.0]
    assert not handed.values.flags.writeable
