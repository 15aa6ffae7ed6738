"""The lists of this page: Enter goes on, a head or S sorts, Ctrl+C takes the lines along."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent, QKeySequence, QResizeEvent
from PySide6.QtWidgets import QTableView, QTableWidget

from studio.ui.evaluate.rows_model import RowsModel
from studio.ui.widgets.tables import copy_lines

NAMES = 1  # the column
LEAST_CHARACTERS = 18
UP, DOWN = Qt.SortOrder.AscendingOrder, Qt.SortOrder.DescendingOrder


class Rows(QTableView):
    """A list of a RowsModel, in its own order until somebody sorts it.

    Signals:
        enterPressed: Enter was pressed on a row.
    """

    enterPressed = Signal()

    def show_model(self, model: RowsModel) -> None:
        """Show its rows."""
        self.setModel(model)
        head = self.horizontalHeader()
        head.setSortIndicator(-1, UP)
        head.setSortIndicatorClearable(True)
        self.setSortingEnabled(True)

    def fit(self) -> None:
        """The second column, which names the row, takes what the others leave, and never less than a few words."""
        columns = [column for column in range(self.model().columnCount()) if column != NAMES]
        others = sum(self.columnWidth(column) for column in columns if not self.isColumnHidden(column))
        least = LEAST_CHARACTERS * self.fontMetrics().averageCharWidth()
        self.setColumnWidth(NAMES, max(least, self.viewport().width() - others))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """There is other room."""
        super().resizeEvent(event)
        self.fit()

    def sort_next(self) -> str:
        """Sort by the next column, behind the last in the list's own order again; says by what."""
        head, model = self.horizontalHeader(), self.model()
        shown = [column for column in range(model.columnCount()) if not self.isColumnHidden(column)]
        now = head.sortIndicatorSection()
        after = shown[shown.index(now) + 1 :] if now in shown else shown
        column = after[0] if after else -1
        head.setSortIndicator(column, UP)
        return self._sorted_words()

    def turn_round(self) -> str:
        """Sort the other way round; says by what."""
        head = self.horizontalHeader()
        if head.sortIndicatorSection() >= 0:
            head.setSortIndicator(head.sortIndicatorSection(), DOWN if head.sortIndicatorOrder() == UP else UP)
        return self._sorted_words()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter, and Copy."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.enterPressed.emit()
        elif event.matches(QKeySequence.StandardKey.Copy) and self.currentIndex().isValid():
            self._copy()
        else:
            super().keyPressEvent(event)

    def _copy(self) -> None:
        """The chosen row under its heads, as a spreadsheet reads it."""
        model, row = self.model(), self.currentIndex().row()
        columns = [column for column in range(model.columnCount()) if not self.isColumnHidden(column)]
        heads = [str(model.headerData(column, Qt.Orientation.Horizontal) or "") for column in columns]
        cells = [str(model.index(row, column).data() or "") for column in columns]
        copy_lines((heads, cells))

    def _sorted_words(self) -> str:
        head = self.horizontalHeader()
        column = head.sortIndicatorSection()
        if column < 0:
            return "in the list's own order"
        name = self.model().headerData(column, Qt.Orientation.Horizontal) or "right or wrong"
        return f"sorted by {str(name).lower()}, {'smallest' if head.sortIndicatorOrder() == UP else 'largest'} first"


class SampleRows(QTableWidget):
    """Enter opens the sample.

    Signals:
        enterPressed: Enter was pressed on a row.
    """

    enterPressed = Signal()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.enterPressed.emit()
        else:
            super().keyPressEvent(event)
