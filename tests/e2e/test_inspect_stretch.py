"""Somebody looks at a stretch of a trace: its figures, a loop, these steps alone; and at what is marked along it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QTextCharFormat
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QWidget
from sqlalchemy import Connection, select, update

from studio.store import bookmarks, projects, schema, traces
from studio.ui.inspect.brush import figures
from studio.ui.inspect.find_panel import FindPanel
from studio.ui.inspect.heat import words_of
from studio.ui.inspect.opened import Opened
from studio.workspace import Workspace
from tests.e2e.conversing import fill_talk
from tests.e2e.inspecting import both_themes, go_to_inspect
from tests.e2e.inspecting import fill as fill_competition
from tests.e2e.seat import Seat

UNDERLINE = QTextCharFormat.UnderlineStyle.SingleUnderline


def test_a_stretch_has_figures_and_is_played_over_and_over(qtbot: object, tmp_path: Path) -> None:
    fill_talk(tmp_path / "talk")
    with Seat(qtbot, tmp_path / "talk") as seat:  # type: ignore[arg-type]
        page = go_to_inspect(seat)
        page.go(1)
        seat.press("I", page.steps)
        page.go(3)
        seat.press("O", page.steps)
        stretch, opened = page.brush.stretch, page.shown
        assert stretch is not None
        assert opened is not None
        assert (stretch.first, stretch.last) == (1, 3)
        assert page.chosen.isVisible()
        steps = opened.trace.segmentation.steps
        start, end = steps[1].start, steps[3].end
        told = figures(opened, stretch)
        assert opened.tokens is not None
        assert told.tokens == sum(start <= at < end for at in opened.tokens.starts.tolist())
        assert told.characters == end - start
        assert told.seconds == pytest.approx(opened.clock.time_at(end) - opened.clock.time_at(start))
        assert (told.mean, told.flags) == (None, 0)
        both_themes(seat, "inspect stretch")
        page.chosen.loop.click()
        assert page.player.playing
        begin, stop = page.player.loop or (0.0, 0.0)
        for second in (stop - 1e-6, stop + 0.2, begin - 0.5):
            page.player.seek(second)
            page.player.tick()
            assert begin <= page.player.second < stop
        page.player.seek(begin)
        assert page.place.position.step == 1
        seat.press("Shift+I", page.steps)
        assert page.chosen.only.isChecked()
        shape = opened.structure
        shown = [int(line) for line in page.steps.shown.numbers]
        assert {int(shape.step[line]) for line in shown} - {-1} == {1, 2, 3}
        assert {opened.structure.turn[line] for line in shown} == {2}  # with the titles of its turn, and no other
        find = page.panels["Find"]
        assert isinstance(find, FindPanel)
        page.show_panel("Find")
        assert find.form.only.text() == "Only in steps 2–4"
        find.form.text.setText("x")
        seat.wait(lambda: len(find.model.rows) == 1)
        inside = [k for k in range(start, end) if text_of(opened)[k] == "x"]
        assert [span.start for span in find.model.rows[0].spans] == [k for k in inside if alone(text_of(opened), k)]
        both_themes(seat, "inspect only the stretch")
        find.form.only.click()
        seat.wait(lambda: any(s.start < start or s.start > end for row in find.model.rows for s in row.spans))
        page.show_span(int(shape.step_starts[5]), int(shape.step_ends[5]))  # from outside: all is shown again
        assert page.steps.only is None
        assert not page.chosen.only.isChecked()
        seat.press("Shift+O", page.steps)
        assert page.brush.stretch is None
        assert find.form.only.isHidden()
        assert not page.player.playing
        assert page.player.loop is None


def text_of(opened: Opened) -> str:
    return opened.trace.text


def alone(text: str, at: int) -> bool:
    """Whether the letter is a word of its own, as the index cuts words."""
    return not any(text[k].isalnum() for k in (at - 1, at + 1) if 0 <= k < len(text))


def test_what_a_budget_wrote_and_bookmarks_are_marked_along_the_trace(qtbot: object, tmp_path: Path) -> None:
    trace = fill_talk(tmp_path / "talk")
    with Workspace.open(tmp_path / "talk") as workspace:
        workspace.database.run(lambda c: dress_talk(c, trace))
    with Seat(qtbot, tmp_path / "talk") as seat:  # type: ignore[arg-type]
        page = go_to_inspect(seat)
        opened, steps = page.shown, page.steps
        assert opened is not None
        assert opened.conversation.forced == ((60, 66),)
        assert "bookmarked" in page.map.words(int(page.map._row_of[3]))
        assert "bookmarked" not in page.map.words(int(page.map._row_of[2]))
        scrubber = page.replay.scrubber
        begins = opened.clock.time_at(int(opened.structure.step_starts[3]))
        assert scrubber.bookmarks.tolist() == [begins]
        page.lanes.setCurrentWidget(page.lanes.timeline)
        assert "first token after 1.50 s" in page.lanes.timeline.words.text()
        seat.context.actions.run("heat_logprob")
        page.lanes.setCurrentWidget(page.lanes.tokens)
        assert "6 written by the budget" in page.lanes.tokens.words.text()
        heat = steps.text.heat_map
        assert heat is not None
        assert opened.tokens is not None
        start, end = (int(opened.tokens.starts[k]) for k in (60, 66))
        marked = [d for d in heat.dyed(start - 40, end + 40) if d.look.underlineStyle() is UNDERLINE]
        assert [(d.start + start - 40, d.end + start - 40) for d in marked] == [
            (start + 4 * k, start + 4 * k + 4) for k in range(6)
        ]
        told = words_of(opened.tokens, 61, opened.trace.text, None, forced=True)
        assert "written by the budget" in told
        page.go(2)
        seat.wait(lambda: steps.is_ready)
        both_themes(seat, "inspect forced tokens")


def dress_talk(c: Connection, trace: int) -> None:
    """The budget wrote tokens 60 to 65, the first token of the first reply came late, and a step is bookmarked."""
    c.execute(update(schema.trace).where(schema.trace.c.id == trace).values(extra={"forced": [[60, 66]]}))
    m = schema.message.c
    row = c.execute(select(m.ordinal, m.extra).where(m.trace_id == trace, m.ordinal == 2)).one()
    late = {**row.extra, "first": "2026-01-05T10:00:03.500Z"}
    c.execute(update(schema.message).where(m.trace_id == trace, m.ordinal == 2).values(extra=late))
    step = traces.load(c, trace).segmentation.steps[3]
    bookmarks.add(c, trace, step.start, step.end, projects.ensure_annotator(c, "Ada").id)


def test_shift_and_drag_chooses_steps_on_every_lane(qtbot: object, tmp_path: Path) -> None:
    fill_competition(tmp_path / "scored")
    with Seat(qtbot, tmp_path / "scored") as seat:  # type: ignore[arg-type]
        page = go_to_inspect(seat)
        opened, strip = page.shown, page.strip.strip
        assert opened is not None
        page.lanes.setCurrentWidget(page.strip)
        last = min(4, opened.count - 1)
        drag(strip, strip.point(1, 0.5).toPoint(), strip.point(last, 0.5).toPoint())
        stretch = page.brush.stretch
        assert stretch is not None
        assert (stretch.first, stretch.last) == (1, last)
        told, score = figures(opened, stretch), opened.marks.score[1 : last + 1].astype(float)
        assert told.mean == pytest.approx(float(np.mean(score)))
        assert told.lowest_step == 1 + int(np.argmin(score))
        assert told.low == sum(value < 0.5 for value in score)
        both_themes(seat, "inspect brush")
        before = page.place.position
        drag(page.map, page.map.bar_rect(0).center().toPoint(), page.map.bar_rect(2).center().toPoint())
        assert (page.brush.stretch.first, page.brush.stretch.last) == (0, 2)  # type: ignore[union-attr]
        assert page.place.position == before  # a Shift-drag moves nothing
        scrubber = page.replay.scrubber
        seconds = [opened.clock.time_at(opened.trace.segmentation.steps[k].start + 1) for k in (1, 2)]
        drag(scrubber, *(QPoint(round(scrubber.x_of(second)) + 1, 15) for second in seconds))
        assert (page.brush.stretch.first, page.brush.stretch.last) == (1, 2)  # type: ignore[union-attr]
        page.traces.step_by(1)
        seat.wait(lambda: page.shown is not None and page.shown.trace.id != opened.trace.id)
        assert page.brush.stretch is None


def drag(widget: QWidget, start: QPoint, end: QPoint) -> None:
    """Shift and drag with the left button."""
    shift = Qt.KeyboardModifier.ShiftModifier
    QTest.mousePress(widget, Qt.MouseButton.LeftButton, shift, start)
    QTest.mouseMove(widget, end)
    QTest.mouseRelease(widget, Qt.MouseButton.LeftButton, shift, end)
