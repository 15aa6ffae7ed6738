"""I sort what is behind a figure, carry it elsewhere, export it under the name I see, and read it at any size."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from studio.ui.evaluate import models_export
from studio.ui.evaluate.models_behind import thought
from studio.ui.evaluate.models_grid import figure_words
from tests.e2e import evaluating
from tests.e2e.evaluating import go_to_models
from tests.e2e.seat import Seat


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A workspace with the results of evaluating.fill."""
    evaluating.fill(tmp_path / "w")
    return tmp_path / "w"


def test_problems_are_sorted_and_taken_along(qtbot: QtBot, filled: Path) -> None:
    with Seat(qtbot, filled) as seat:
        tab = go_to_models(seat)
        rows, model = tab.problems.list, tab.problems.model
        seat.wait(lambda: len(model.lines) == evaluating.PROBLEMS)
        given = [line.solved.row for line in model.lines]
        rows.setFocus()
        rows.selectRow(3)
        chosen = tab.problems.line
        for key in ("s", "s", "s", "s", "s"):  # right, problem, answer, reference, thinking
            seat.press(key, on=rows)
        assert "sorted by thinking, smallest first" in seat.said()
        seat.press("Shift+S", on=rows)
        counts = [thought(line) for line in model.lines]
        assert counts == sorted(counts, reverse=True)
        assert counts != sorted(counts)
        assert tab.problems.line is chosen, "the chosen problem stays chosen"
        QTest.keyClick(rows, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
        heads, cells = (line.split("\t") for line in QGuiApplication.clipboard().text().splitlines())
        assert heads[1] == "Problem"
        assert cells[1] == chosen.solved.prompt
        seat.press("s", on=rows)  # whether graders differ
        seat.press("s", on=rows)
        assert [line.solved.row for line in model.lines] == given, "its own order again"
        rows.horizontalHeader().setSortIndicator(0, Qt.SortOrder.AscendingOrder)
        shares = [line.share for line in model.lines]
        assert shares == sorted(shares)
        tab.table.setFocus()
        QTest.keyClick(tab.table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
        lines = [line.split("\t") for line in QGuiApplication.clipboard().text().splitlines()]
        assert [line[0] for line in lines[1:]] == list(tab.table.grid.rows)
        first = tab.table.grid.cells[0][0]
        assert first is not None
        assert lines[1][1] == figure_words(first)


def test_what_a_model_or_a_file_wrote_is_never_markup(qtbot: QtBot, filled: Path) -> None:
    with Seat(qtbot, filled) as seat:
        tab = go_to_models(seat)
        tab.compare.told.setText("<b>bold</b>")
        tab.note.setText("<b>bold</b>")
        for label in (tab.compare.told, tab.note, tab.curves.told):
            assert label.textFormat() is Qt.TextFormat.PlainText
        model = tab.problems.model
        seat.wait(lambda: bool(model.lines))
        line = model.lines[0]
        model.show_rows((replace(line, solved=replace(line.solved, prompt="Is <b>2</b> < 3?")),))
        tip = model.data(model.index(0, 1), Qt.ItemDataRole.ToolTipRole)
        assert "&lt;b&gt;2&lt;/b&gt;" in tip


def test_the_name_follows_the_chosen_form_and_no_other_file_is_written(
    qtbot: QtBot, filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Seat(qtbot, filled) as seat:
        tab = go_to_models(seat)
        shown = tab.table.whole()
        dialog = models_export.ask(seat.context, tab, "results", models_export.texts_of(tab.cells), shown)
        dialog.setDirectory(str(tmp_path))
        assert Path(dialog.selectedFiles()[0]).name == "results.csv"
        dialog.selectNameFilter(models_export.FORMS[".png"])
        dialog.filterSelected.emit(models_export.FORMS[".png"])
        assert Path(dialog.selectedFiles()[0]).name == "results.png"
        dialog.accept()
        assert QImage(str(tmp_path / "results.png")).width() == 2 * shown.width()
        assert not (tmp_path / "results.csv").exists()
        assert "results.png is written" in "\n".join(seat._told)
        models_export.write(tmp_path / "LOUD.CSV", models_export.texts_of(tab.cells), shown)
        assert (tmp_path / "LOUD.CSV").read_text("utf-8").count("\n") == len(tab.cells) + 1


def test_nothing_lies_over_anything_else_at_150_per_cent_in_a_small_window(qtbot: QtBot, filled: Path) -> None:
    with Seat(qtbot, filled) as seat:
        seat.window.resize(1280, 800)
        tab = go_to_models(seat)
        for _ in range(3):
            seat.context.actions.run("larger")
        assert seat.context.theme.scale == 150
        arc = next(
            (row, column)
            for row, line in enumerate(tab.table.grid.cells)
            for column, cell in enumerate(line)
            if cell is not None and cell.key.suite == "arc"
        )
        seat.wait(lambda: tab.compare.pairs is not None)
        for side, place in ((tab.curves, (0, 0)), (tab.compare, (0, 0)), (tab.problems, arc)):
            tab.table.setCurrentCell(*place)
            seat.wait(lambda: tab.problems.behind is not None)
            tab.sides.setCurrentWidget(side)
            seat.wait(partial(apart, side))
            seat.picture(f"models-150-{type(side).__name__}")
        assert (seat.window.width(), seat.window.height()) == (1280, 800)
        rows = tab.problems.list
        assert rows.columnWidth(1) >= rows.fontMetrics().horizontalAdvance("What is gsm8k:0?"), "a problem is named"


def apart(panel: QWidget) -> None:
    """Widgets of one layout do not overlap, and words that wrap have the height they need."""
    for parent in (panel, *panel.findChildren(QWidget)):
        if not parent.isVisible() or parent.layout() is None:
            continue
        inside = [child for child in parent.children() if isinstance(child, QWidget) and child.isVisible()]
        for place, one in enumerate(inside):
            for other in inside[place + 1 :]:
                over = one.geometry().intersected(other.geometry())
                assert over.isEmpty(), f"{type(one).__name__} {one.accessibleName()} over {type(other).__name__}"
            if isinstance(one, QPushButton):
                assert one.height() >= one.minimumSizeHint().height(), one.text()
            if isinstance(one, QLabel) and one.wordWrap():
                assert one.height() >= one.heightForWidth(one.width()), one.text()
