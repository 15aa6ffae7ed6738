"""A grid of runs as a small table: one figure, coloured from its lowest to its highest mean."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from studio.jobs.compare import NOTHING, Comparison
from studio.jobs.grid_table import Cell, GridTable, shade
from studio.ui.widgets.parts import GAP, Quiet, blend, plural
from studio.ui.widgets.spec_form import label_of

FIRST = ("test_accuracy", "validation/accuracy", "test_auc", "validation/auc", "test/accuracy", "validation/loss")
_STRONGEST = 0.55  # share of the accent in the highest cell, so that text stays readable on it
_WEAKEST = 0.04


class GridTab(QWidget):
    """Rows and columns are the settings that vary; each cell is the mean over the seeds of one grid point."""

    def __init__(self, made: Comparison, table: GridTable, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._made, self._table = made, table
        self.figure = QComboBox(self)
        self.figure.setAccessibleName("Figure in the cells")
        self.table = QTableWidget(len(table.rows.values), len(table.columns.values) if table.columns else 1, self)
        self.table.setAccessibleName("Grid of runs")
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setTabKeyNavigation(False)
        self.table.setCornerButtonEnabled(False)
        self.table.setStyleSheet("QTableCornerButton::section { background: transparent; border: none; }")
        self.hint = Quiet("", self)
        self.hint.setWordWrap(True)
        top = QHBoxLayout()
        top.addWidget(QLabel("Figure", self))
        top.addWidget(self.figure)
        top.addStretch(1)
        column = QVBoxLayout(self)
        column.setSpacing(GAP)
        column.addLayout(top)
        column.addWidget(self.table, 1)
        column.addWidget(self.hint)
        self._name_sides()
        for place, figure in enumerate(made.figures):
            name = figure.name if "/" in figure.name else label_of(figure.name)
            self.figure.addItem(f"{figure.group}: {name}", place)
        names = [figure.name for figure in made.figures]
        first = next((names.index(name) for name in FIRST if name in names), 0)
        self.figure.setCurrentIndex(first)
        self.figure.currentIndexChanged.connect(lambda _index: self._draw())
        self._draw()

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "hint"):
            self._draw()

    def _name_sides(self) -> None:
        rows, columns = self._table.rows, self._table.columns
        self.table.setVerticalHeaderLabels([f"{label_of(rows.name)} {value}" for value in rows.values])
        heads = [f"{label_of(columns.name)} {value}" for value in columns.values] if columns else ["Mean over seeds"]
        self.table.setHorizontalHeaderLabels(heads)

    def _draw(self) -> None:
        place = self.figure.currentData()
        if place is None:
            self.hint.setText("These runs have told of no figures yet.")
            return
        figure = self._made.figures[int(place)]
        cells = self._table.cells(figure)
        for i, row in enumerate(cells):
            for j, cell in enumerate(row):
                self.table.setItem(i, j, self._item(cell, 0.0 if cell is None else shade(cells, cell)))
        self.table.resizeColumnsToContents()
        for j in range(self.table.columnCount()):
            self.table.setColumnWidth(j, self.table.columnWidth(j) + 24)
        counts = {cell.runs for row in cells for cell in row if cell is not None}
        most = max(counts, default=0)
        self.hint.setText(
            f"Each cell: mean of {plural(most, 'run')}"
            + (", ± standard deviation (n - 1)" if most > 1 else "")
            + ". The deeper the colour, the higher the mean; high is not always good."
        )

    def _item(self, cell: Cell | None, share: float) -> QTableWidgetItem:
        item = QTableWidgetItem(NOTHING if cell is None else cell_text(cell))
        item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
        if cell is not None:
            palette = self.palette()
            accent, base = palette.color(QPalette.ColorRole.Accent), palette.color(QPalette.ColorRole.Base)
            item.setBackground(blend(accent, base, _WEAKEST + (_STRONGEST - _WEAKEST) * share))
            item.setToolTip(plural(cell.runs, "run"))
        return item


def cell_text(cell: Cell) -> str:
    """Mean, and deviation where there is one."""
    return f"{cell.mean:.4g}" + ("" if cell.deviation is None else f" ± {cell.deviation:.2g}")
