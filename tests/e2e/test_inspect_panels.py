"""Somebody finds their way among logs, filters by any field, asks in SQL, and marks words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QTextCharFormat
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget
from sqlalchemy import Connection

from studio.store import failures, saved_filters
from studio.store.trace_filter import Condition, Field, Op
from studio.ui.inspect.bookmarks_panel import EVERYWHERE, BookmarksPanel
from studio.ui.inspect.filter_dialog import FilterDialog
from studio.ui.inspect.log_tree import LogTree
from studio.ui.inspect.log_tree_model import FACTS_ROLE, NODE_ROLE, Node, NodeKind
from studio.ui.inspect.page import InspectPage
from studio.ui.inspect.sql_dialog import SqlDialog
from studio.workspace import Workspace
from tests.e2e.inspecting import both_themes, go_to_inspect
from tests.e2e.seat import Seat
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


def test_logs_unfold_into_samples_and_epochs(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        panel, tree = page.traces, page.traces.tree
        assert panel.stack.currentWidget() is tree  # there are logs, so it is a tree
        assert page.shown is not None
        first = page.shown.trace.id
        seat.wait(lambda: tree.tree.node(tree.currentIndex()) is not None)
        seat.wait(lambda: getattr(tree.tree.node(tree.currentIndex()), "trace", 0) == first)
        seat.wait(lambda: (NodeKind.EPOCH, "e1", "1,212 tok") in lines(tree))
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
