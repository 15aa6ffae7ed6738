"""Somebody reads along while a trace is being written: it comes at once, and the place that is read never moves."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication

from studio.ui.inspect.page import InspectPage
from tests.e2e.inspecting import fill, go_to_inspect
from tests.e2e.seat import Seat

WRITER = """
import json, sys, time
path = sys.argv[1]
with open(path, "a", buffering=1) as out:
    for line in sys.stdin:
        count = int(line)
        for number in range(count):
            steps = "\\n\\n".join(f"Step {number} line {k}: nothing is lost by this." for k in range(20))
            out.write(json.dumps({"role": "assistant", "content": "", "reasoning_content": steps}) + "\\n")
        out.write('{"role": "assistant", "content": "torn')
        out.flush()
        print("written", flush=True)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "workspace"
    fill(path)
    return path


@pytest.fixture
def growing(tmp_path: Path) -> Path:
    path = tmp_path / "talk.jsonl"
    path.write_text(json.dumps({"role": "user", "content": "Count on, step by step."}) + "\n")
    return path


@pytest.fixture
def writer(growing: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that appends messages when it is told how many, and ends with a torn line."""
    command = [sys.executable, "-c", WRITER, str(growing)]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield child
    child.kill()
    child.communicate()


def write(child: subprocess.Popen[str], count: int) -> None:
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(f"{count}\n")
    child.stdin.flush()
    assert child.stdout.readline() == "written\n"


def append(path: Path, number: int) -> None:
    steps = "\n\n".join(f"More {number} line {k}." for k in range(20))
    with path.open("a") as file:
        file.write(json.dumps({"role": "assistant", "content": steps}) + "\n")


def follow(seat: Seat, page: InspectPage, path: Path) -> None:
    """Follow a file and open its trace."""
    page.left.setCurrentWidget(page.live)
    page.live.follow(path)
    seat.wait(lambda: page.live.model.rowCount() == 1)
    page.live.list.setCurrentIndex(page.live.model.index(0))
    seat.wait(lambda: page.shown is not None and page.shown.trace.id < 0 and page.gate.is_open)


def top(page: InspectPage) -> tuple[str, float]:
    """The text at the top of the view, and where."""
    row = page.steps.rows_in_sight().start
    return page.steps.lines[row].split(": ", 1)[-1], page.steps.rect_of(row).top()


def test_what_is_written_comes_and_the_place_stays(sit_down: Callable[[], Seat], growing: Path) -> None:
    append(growing, 0)
    append(growing, 1)
    with sit_down() as seat:
        page = go_to_inspect(seat)
        follow(seat, page, growing)
        assert page.shown is not None
        assert page.shown.count == 40
        page.go(14)
        QApplication.processEvents()
        before, place = top(page), page.place.position
        append(growing, 2)
        seat.wait(lambda: page.shown is not None and page.shown.count == 60)
        assert top(page) == before
        assert page.place.position == place
        assert page.below.text() == "20 new steps below"
        assert page.below.isVisible()
        seat.wait(lambda: page.gate.is_open)
        seat.picture("inspect live")
        append(growing, 3)
        seat.wait(lambda: page.shown is not None and page.shown.count == 80)
        assert top(page) == before
        page.below.click()
        assert not page.below.isVisible()
        assert page.steps.at_end


def test_a_killed_writer_leaves_what_was_whole(
    sit_down: Callable[[], Seat], growing: Path, writer: subprocess.Popen[str]
) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        write(writer, 2)
        follow(seat, page, growing)
        seat.wait(lambda: page.shown is not None and page.shown.count == 40)
        page.go(25)
        before = top(page)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        for _ in range(3):
            page.live.look()
            seat.wait(lambda: not page.live._busy)
        assert page.shown is not None
        assert page.shown.count == 40
        assert top(page) == before
        assert "is not whole yet" in page.live.words.text()
        growing.write_text(json.dumps({"role": "user", "content": "Anew."}) + "\n")
        seat.wait(lambda: page.shown is not None and page.shown.trace.text == "Anew.")
        assert page.place.position.point <= len("Anew.")
        menu = page.live.stop.menu()
        menu.aboutToShow.emit()
        (stop,) = menu.actions()
        assert stop.text() == growing.name
        stop.trigger()
        assert not page.live.stop.isEnabled()
        assert page.live.words.text().startswith("1 trace of 0 sources")


def test_a_trace_that_is_not_stored_cannot_be_scored_or_rated_yet(sit_down: Callable[[], Seat], growing: Path) -> None:
    append(growing, 0)
    with sit_down() as seat:
        page = go_to_inspect(seat)
        assert seat.context.actions.is_enabled("label_this")
        follow(seat, page, growing)
        assert not seat.context.actions.is_enabled("label_this")
        assert not seat.context.actions.is_enabled("score_this")
        assert seat.context.actions.is_enabled("replay_play")
        page.traces.choose_first()
        page.left.setCurrentWidget(page.traces)
