"""Somebody finds their way among logs, marks words, filters by any field, asks in SQL, and looks at a stretch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QTextCharFormat
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget
from sqlalchemy import Connection, select, update

from studio.settings import Theme
from studio.store import bookmarks, failures, projects, saved_filters, schema, traces
from studio.store.trace_filter import Condition, Field, Op
from studio.ui.inspect.bookmarks_panel import EVERYWHERE, BookmarksPanel
from studio.ui.inspect.brush import figures
from studio.ui.inspect.filter_dialog import FilterDialog
from studio.ui.inspect.find_panel import FindPanel
from studio.ui.inspect.heat import words_of
from studio.ui.inspect.log_tree import LogTree
from studio.ui.inspect.log_tree_model import FACTS_ROLE, NODE_ROLE, Node, NodeKind
from studio.ui.inspect.opened import Opened
from studio.ui.inspect.page import InspectPage
from studio.ui.inspect.sql_dialog import SqlDialog
from studio.workspace import Workspace
from tests.e2e.conversing import fill_talk
from tests.e2e.inspecting import fill as fill_competition
from tests.e2e.inspecting import go_to_inspect
from tests.e2e.seat import PICTURES, Seat
from tests.e2e.test_inspect_list import RIGHT, fill
from trainer.reasoning.failures import Basis, Cause, Failure

UNDERLINE = QTextCharFormat.UnderlineStyle.SingleUnderline


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two logs of six traces; some of the wrong ones are explained."""
    path = tmp_path / "workspace"
    with Workspace.open(path, create=True) as workspace:
        workspace.database.run(fill)
        workspace.database.run(explain)
    return path


def explain(c: Connection) -> None:
    rows = c.exec_driver_sql(
        "SELECT t.id, g.id FROM trace t JOIN segmentation g ON g.trace_id = t.id WHERE outcome = 0"
    ).all()
    causes = (Cause.LOOP, Cause.SLIP, Cause.LOOP, Cause.UNKNOWN)
    found = [
        (trace, steps, Failure(cause, 0, Basis.CHECK, 0, 3, "You", "because"))
        for (trace, steps), cause in zip(rows, causes, strict=False)
    ]
    failures.store(c, found)


T = TypeVar("T", bound=QWidget)


def dialog_of(kind: type[T]) -> T:
    """The open dialog of this kind."""
    return next(each for each in QApplication.topLevelWidgets() if isinstance(each, kind) and each.isVisible())


def lines(tree: LogTree) -> list[tuple[NodeKind, str, str]]:
    """Every line that is unfolded, from top to bottom."""
    found, index = [], tree.tree.index(0, 0)
    while index.isValid():
        node: Node = index.data(NODE_ROLE)
        found.append((node.kind, str(index.data()), str(index.data(FACTS_ROLE))))
        index = tree.indexBelow(index)
    return found


def both_themes(seat: Seat, name: str, widget: QWidget | None = None) -> None:
    """Pictures in light and dark."""
    for theme in (Theme.DARK, Theme.LIGHT):
        seat.studio.theme.use(theme)
        QApplication.processEvents()
        if widget is None:
            seat.picture(f"{name} {theme.value}")
        else:
            PICTURES.mkdir(exist_ok=True)
            widget.grab().save(str(PICTURES / f"{name} {theme.value}.png"))


def test_logs_unfold_into_samples_and_epochs(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        panel, tree = page.traces, page.traces.tree
        assert panel.stack.currentWidget() is tree  # there are logs, so it is a tree
        assert page.shown is not None
        first = page.shown.trace.id
        seat.wait(lambda: tree.tree.node(tree.currentIndex()) is not None)
        seat.wait(lambda: getattr(tree.tree.node(tree.currentIndex()), "trace", 0) == first)
        seat.wait(lambda: (NodeKind.EPOCH, "e1", "1,212") in lines(tree))
        shown = lines(tree)
        assert [line[1:] for line in shown if line[0] is NodeKind.LOG] == [
            ("run 1", "2/6 right"),
            ("run 0", "3/6 right"),
        ]
        assert [line[1] for line in shown if line[0] is NodeKind.WHY] == ["why: loop 1 · slip 1"]
        samples = [line[1:] for line in shown if line[0] is NodeKind.SAMPLE]
        right = {s: [RIGHT[k] for k in range(6) if ("10", "2")[k % 2] == s] for s in ("2", "10")}
        assert samples == [(s, f"{right[s].count(1)}/3 right") for s in ("2", "10")]
        both_themes(seat, "inspect tree")
        seat.press("BracketRight", page.steps)
        seat.wait(lambda: page.shown is not None and page.shown.trace.id not in (0, first))
        assert page.shown is not None
        assert getattr(tree.tree.node(tree.currentIndex()), "trace", 0) == page.shown.trace.id
        panel.as_tree.click()
        assert panel.stack.currentWidget() is panel.list
        assert panel.list.currentIndex().isValid()
        assert seat.context.settings.traces_as == "list"
    with sit_down() as seat:
        page = go_to_inspect(seat)
        seat.wait(lambda: page.traces.log.count() > 1)
        assert page.traces.stack.currentWidget() is page.traces.list  # as it was left


def test_why_of_a_log_shows_its_wrong_traces(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        tree, panel = page.traces.tree, page.failures
        seat.wait(lambda: NodeKind.WHY in [line[0] for line in lines(tree)])
        index = tree.model().index(0, 0)
        while tree.tree.node(index).kind is not NodeKind.WHY:
            index = tree.indexBelow(index)
        log = tree.tree.node(index).log
        QTest.mouseClick(tree.viewport(), Qt.MouseButton.LeftButton, pos=tree.visualRect(index).center())
        assert page.left.currentWidget() is panel
        assert panel.log == log.id
        seat.wait(lambda: panel.standing.wrong == log.tally.wrong)
        with seat.context.workspace.database.read() as c:
            of_log = set(c.exec_driver_sql(f"SELECT id FROM trace WHERE log_id = {log.id} AND outcome = 0").scalars())
            every = failures.standing(c)
        assert {one.trace_id for one in panel.rows()} == {one.trace_id for one in every.explained} & of_log
        assert 0 < len(panel.rows()) < len(every.explained)
        assert panel.of_log.text() == f"Log {log.name}"
        both_themes(seat, "inspect why of a log")
        panel.all_logs.click()
        seat.wait(lambda: len(panel.rows()) == len(every.explained))
        assert panel.of_log.isHidden()


def test_a_filter_is_composed_counted_kept_and_lifted(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        seat.press("W", page.steps)
        dialog = dialog_of(FilterDialog)
        seat.wait(lambda: dialog.count.text() == "5 traces")  # wrong ones, to begin with
        row = dialog.add_row()
        row.field.setCurrentIndex(row.field.findData(Field.CAUSE))
        row.choice.setCurrentIndex(row.choice.findData("loop"))
        seat.wait(lambda: dialog.count.text() == "2 traces")
        bad = dialog.add_row(Condition(Field.TOKENS, Op.MORE, "many"))
        seat.wait(lambda: "no number" in dialog.count.text())
        assert not dialog.yes.isEnabled()
        bad.value.setText("1000")
        seat.wait(lambda: dialog.yes.isEnabled() and dialog.count.text() == "2 traces")
        both_themes(seat, "inspect filter", dialog)
        wanted = dialog.filter
        assert str(wanted) == "outcome is wrong and why it failed is loop and tokens used from 1000"
        seat.context.workspace.database.run(lambda c: saved_filters.save_filter(c, "loops", wanted))
        dialog.yes.click()
        seat.wait(lambda: page.traces.model.rowCount() == 2)
        assert page.traces.narrow.text() == "Filter (3)"
        assert page.traces.is_narrowed
        seat.wait(lambda: [line[2] for line in lines(page.traces.tree) if line[0] is NodeKind.LOG] == ["0/1 right"] * 2)
        page.traces.ask_filter()
        again = page.traces.dialog
        assert again is not None
        seat.wait(lambda: len(again.rows) == 3 and again.saved.count() == 2)
        assert again.filter == wanted
        again.lift.click()
        seat.wait(lambda: page.traces.model.rowCount() == 12)
        assert page.traces.narrow.text() == "Filter…"


def test_sql_reads_opens_traces_and_writes_csv(sit_down: Callable[[], Seat], tmp_path: Path) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        seat.press("Q", page.steps)
        dialog = dialog_of(SqlDialog)
        seat.wait(lambda: dialog.tables.topLevelItemCount() > 20)
        seat.press("Ctrl+Return", dialog.text)
        seat.wait(lambda: dialog.model.rowCount() == 12)
        assert dialog.model.answer.columns[0] == "trace_id"
        both_themes(seat, "inspect sql", dialog)
        last = dialog.model.answer.rows[-1][0]
        dialog.table.setCurrentIndex(dialog.model.index(11, 0))
        dialog.to_trace.click()
        seat.wait(lambda: page.shown is not None and page.shown.trace.id == last)
        dialog.export(tmp_path / "rows.csv")
        seat.wait(lambda: "12 rows written" in dialog.state.text())
        assert len((tmp_path / "rows.csv").read_text().splitlines()) == 13
        dialog.limit.setText("none")
        dialog.go.click()
        assert "not a whole number" in dialog.state.text()
        dialog.limit.setText("10")
        dialog.text.setPlainText("DELETE FROM trace")
        dialog.go.click()
        seat.wait(lambda: "only SELECT" in dialog.state.text())
        dialog.text.setPlainText("WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r")
        dialog.go.click()
        seat.wait(dialog.cancel.isVisible)
        dialog.cancel.click()
        seat.wait(lambda: "stopped" in dialog.state.text())
        assert not dialog.cancel.isVisible()


def marks_of(page: InspectPage) -> BookmarksPanel:
    panel = page.panels["Bookmarks"]
    assert isinstance(panel, BookmarksPanel)
    return panel


def test_words_are_bookmarked_edited_jumped_to_removed_and_brought_back(
    sit_down: Callable[[], Seat], tmp_path: Path
) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        panel = marks_of(page)
        page.show_panel("Bookmarks")
        page.go(2)
        assert page.shown is not None
        trace, text = page.shown.trace.id, page.shown.trace.text
        span = page.shown.structure.step_starts[2], page.shown.structure.step_ends[2]
        seat.press("M", page.steps)
        assert panel.dialog is not None
        seat.wait(panel.dialog.isActiveWindow)
        panel.dialog.comment.setPlainText("odd turn")
        panel.dialog.tags.setText("algebra, look")
        QTest.keyClick(panel.dialog.comment, Qt.Key.Key_Return, Qt.KeyboardModifier.ControlModifier)
        seat.wait(lambda: len(panel.marks) == 1)
        (mark,) = panel.marks
        assert (mark.start, mark.end, mark.quote) == (*span, text[span[0] : span[1]])
        assert (mark.comment, mark.tags, mark.author) == ("odd turn", ("algebra", "look"), "Ada")
        seat.wait(lambda: page.shown is not None and page.shown.marks.bookmarked.tolist() == [k == 2 for k in range(8)])
        page.go(6)
        panel.list.setCurrentRow(0)
        panel.list.itemClicked.emit(panel.list.item(0))
        assert page.place.position.point == mark.start
        panel.edit.click()
        panel.dialog.comment.setPlainText("fine after all")
        panel.dialog.yes.click()
        seat.wait(lambda: panel.marks[0].comment == "fine after all")
        both_themes(seat, "inspect bookmarks")
        panel.list.setCurrentRow(0)
        panel.remove.click()
        seat.wait(lambda: panel.marks == ())
        seat.wait(lambda: page.shown is not None and not page.shown.marks.bookmarked.any())
        seat.window.activateWindow()  # offscreen nobody gives the focus back when a dialog goes
        seat.wait(seat.window.isActiveWindow)
        seat.press("Ctrl+Z", page.steps)
        seat.wait(lambda: len(panel.marks) == 1)
        seat.press("Ctrl+Z", page.steps)
        seat.wait(lambda: panel.marks[0].comment == "odd turn")
        seat.press("Ctrl+Shift+Z", page.steps)
        seat.wait(lambda: panel.marks[0].comment == "fine after all")
        path = tmp_path / "marks.json"
        panel.export(path)
        seat.wait(path.exists)
        page.traces.step_by(1)
        seat.wait(lambda: page.shown is not None and page.shown.trace.id != trace)
        seat.wait(lambda: panel.marks == ())
        panel.scope.setCurrentText(EVERYWHERE)
        seat.wait(lambda: len(panel.marks) == 1)
        panel.list.setCurrentRow(0)
        panel.list.itemClicked.emit(panel.list.item(0))
        seat.wait(lambda: page.shown is not None and page.shown.trace.id == trace)
        assert page.place.position.point == mark.start
        panel.take_in(path)
        seat.wait(lambda: "1 known already" in seat.said())


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


def test_words_have_room_however_large_the_text_is(sit_down: Callable[[], Seat]) -> None:
    """At 150 % on a small screen lists and panels take turns, and turns and map go before the words do."""
    with sit_down() as seat:
        seat.window.resize(1280, 800)
        page = go_to_inspect(seat)
        columns, lists, panels = page.frame.columns, page.traces, page.side
        seat.wait(lambda: lists.isVisible() and panels.isVisible())
        seat.press("Z", page.steps)
        seat.wait(lambda: lists.isVisible() and not panels.isVisible())
        seat.press("Z", page.steps)
        seat.studio.theme.zoom(150)
        seat.window.resize(1280, 800)
        seat.wait(lambda: lists.isVisible() and not panels.isVisible())
        assert seat.window.minimumSizeHint().width() <= 1280
        seat.wait(lambda: page.steps._painter.widest() >= 300)
        assert columns.to_side.isVisible()
        seat.press("Z", page.steps)
        seat.wait(lambda: panels.isVisible() and not lists.isVisible())
        seat.wait(lambda: panels.isAncestorOf(QApplication.focusWidget() or seat.window) or panels.hasFocus())
        columns.to_left.click()
        assert lists.isVisible()
        page.show_panel("Find")
        assert page.panels["Find"].isVisible()
        seat.context.actions.run("search_traces")
        seat.wait(page.traces.search.hasFocus)
        page.frame.columns.setSizes([900, 100, 0])
        QApplication.processEvents()
        assert not page.map.isVisible() or page.steps._painter.widest() >= 200
        seat.picture("inspect large text")
        seat.studio.theme.zoom(100)
        seat.wait(lambda: lists.isVisible() and panels.isVisible())


@pytest.mark.parametrize(("width", "scale"), [(1240, 100), (1240, 200)])
def test_no_tab_is_clipped(sit_down: Callable[[], Seat], width: int, scale: int) -> None:
    with sit_down() as seat:
        seat.window.resize(width, 800)
        page = go_to_inspect(seat)
        seat.studio.theme.zoom(scale)
        QApplication.processEvents()
        columns = page.frame.columns
        for tabs, count, show in ((page.side, 4, columns.show_side), (page.left, 4, columns.show_left)):
            show()
            QApplication.processEvents()
            fit = tabs.parentWidget()
            assert fit is not None
            bar = tabs.tabBar()
            if bar.isVisible():
                assert bar.tabRect(count - 1).right() <= bar.width()
            else:
                assert fit.choice.isVisible()  # type: ignore[attr-defined]
                assert fit.choice.count() == count  # type: ignore[attr-defined]
        seat.picture(f"inspect tabs {scale}")
        walked: list[QWidget | None] = []
        for _ in range(60):
            walked.append(QApplication.focusWidget())
            QTest.keyClick(walked[-1] or seat.window, Qt.Key.Key_Tab)
        assert page.traces.project in walked, "Tab goes on over a box of tabs"
        seat.studio.theme.zoom(100)
