"""The results table as a widget: two lines a cell, suites over their presets, the best of a column in bold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, QSize, Qt, Signal
from PySide6.QtGui import QFont, QFontMetrics, QGuiApplication, QKeyEvent, QKeySequence, QPainter, QPaintEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionHeader,
    QStyleOptionViewItem,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from studio.exchange.result_names import Column
from studio.store.evaluation_rows import Key
from studio.store.evaluations import Cell
from studio.ui.evaluate.models_grid import Grid, as_lines, detail_words, figure_words, grid, told
from studio.ui.theme import Theme

FIGURE_ROLE, DETAIL_ROLE = Qt.ItemDataRole.UserRole, Qt.ItemDataRole.UserRole + 1
Index = QModelIndex | QPersistentModelIndex
PAD = 10
WIDEST = 270  # of the names of rows


class ResultsTable(QTableWidget):
    """A click or Enter opens the problems behind a cell.

    Signals:
        chosen(Cell | None): another cell is the current one.
        opened(Cell): somebody wants to see what is behind it.
    """

    chosen = Signal(object)
    opened = Signal(object)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.grid: Grid = grid(())
        self.setAccessibleName("Results of models by suite")
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setTabKeyNavigation(False)
        self.setItemDelegate(_CellDelegate(theme, self))
        self.heads = SuiteHeader(theme, self)
        self.setHorizontalHeader(self.heads)
        rows = self.verticalHeader()
        rows.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        rows.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.currentCellChanged.connect(lambda *_: self.chosen.emit(self.cell))
        self.cellClicked.connect(lambda *_: self._open())
        theme.switched.connect(self._fit)

    @property
    def cell(self) -> Cell | None:
        """The current one."""
        row, column = self.currentRow(), self.currentColumn()
        inside = 0 <= row < len(self.grid.rows) and 0 <= column < len(self.grid.columns)
        return self.grid.cells[row][column] if inside else None

    def show_cells(self, cells: Sequence[Cell]) -> None:
        """Show these; the current place stays where its cell is still there."""
        before = None if self.cell is None else self.cell.key
        made = self.grid = grid(cells)
        self.blockSignals(True)
        self.setRowCount(len(made.rows))
        self.setColumnCount(len(made.columns))
        self.setVerticalHeaderLabels([self._cut(name) for name in made.rows])
        for row, name in enumerate(made.rows):
            self.model().setHeaderData(row, Qt.Orientation.Vertical, name, Qt.ItemDataRole.ToolTipRole)
        self.heads.show_columns(made.columns)
        for row, line in enumerate(made.cells):
            for column, cell in enumerate(line):
                self.setItem(row, column, _item(cell, made, row, column))
        self._fit()
        self.blockSignals(False)
        if not self.choose(before):
            self._choose_first()

    def choose(self, key: Key | None) -> bool:
        """Go to the place of this key; False where it has none."""
        for row, line in enumerate(self.grid.cells):
            for column, cell in enumerate(line):
                if cell is not None and cell.key == key:
                    self.setCurrentCell(row, column)
                    return True
        return False

    def whole(self) -> ResultsTable:
        """Another one with the same cells, as large as they need: for a picture of all that this one scrolls."""
        made = ResultsTable(self._theme)
        made.setAccessibleName(self.accessibleName())
        made.ensurePolished()
        made.show_cells([cell for line in self.grid.cells for cell in line if cell is not None])
        made.setCurrentCell(-1, -1)
        frame = 2 * made.frameWidth()
        width = made.verticalHeader().sizeHint().width() + made.horizontalHeader().length() + frame
        height = made.heads.height() + made.verticalHeader().length() + frame
        made.resize(width, height)
        return made

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter opens; Copy takes the whole table along, as a spreadsheet reads it."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._open()
        elif event.matches(QKeySequence.StandardKey.Copy):
            QGuiApplication.clipboard().setText(as_lines(self.grid))
        else:
            super().keyPressEvent(event)

    def _choose_first(self) -> None:
        for row, line in enumerate(self.grid.cells):
            for column, cell in enumerate(line):
                if cell is not None:
                    self.setCurrentCell(row, column)
                    return
        self.chosen.emit(None)

    def _cut(self, name: str) -> str:
        """A row's name as far as there is room: its end tells versions and strategies apart."""
        metrics = QFontMetrics(self._theme.font(9.6, QFont.Weight.Bold))
        return metrics.elidedText(name, Qt.TextElideMode.ElideMiddle, self._theme.px(WIDEST))

    def _open(self) -> None:
        if self.cell is not None:
            self.opened.emit(self.cell)

    def _fit(self) -> None:
        self.heads.setFixedHeight(self.heads.sizeHint().height())
        self.resizeColumnsToContents()
        for column in range(self.columnCount()):
            self.setColumnWidth(column, max(self.columnWidth(column), self.heads.needs(column)))
        self.resizeRowsToContents()


def _item(cell: Cell | None, made: Grid, row: int, column: int) -> QTableWidgetItem:
    item = QTableWidgetItem()
    name = f"{made.rows[row]}, {made.columns[column].name}"
    if cell is None:
        item.setFlags(Qt.ItemFlag.NoItemFlags)
        item.setData(Qt.ItemDataRole.AccessibleTextRole, f"{name}: not evaluated")
        return item
    best = (row, column) in made.best
    item.setData(FIGURE_ROLE, figure_words(cell))
    item.setData(DETAIL_ROLE, detail_words(cell))
    font = QFont()
    font.setBold(best)
    item.setData(Qt.ItemDataRole.FontRole, font)
    item.setToolTip(told(cell, best=best))
    spoken = f"{name}: {figure_words(cell)} per cent, {detail_words(cell)}{', best' if best else ''}"
    item.setData(Qt.ItemDataRole.AccessibleTextRole, spoken)
    return item


class _CellDelegate(QStyledItemDelegate):
    """The figure, and under it what it rests on."""

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """The style's ground, then two lines."""
        colours = self._theme.colours
        super().paint(painter, option, index)
        rect: QRect = option.rect
        state: Any = option.state
        painter.save()
        if state & QStyle.StateFlag.State_HasFocus:
            painter.setPen(colours.q("focus"))
            painter.drawRect(rect.adjusted(0, 0, -1, -1))
        bold = bool(index.data(Qt.ItemDataRole.FontRole) and index.data(Qt.ItemDataRole.FontRole).bold())
        figure, detail = index.data(FIGURE_ROLE) or "–", index.data(DETAIL_ROLE) or ""
        inner, half = rect.adjusted(PAD, 4, -PAD, -4), rect.height() // 2
        painter.setFont(self._figure_font(bold))
        painter.setPen(colours.q("text" if detail else "hatch"))
        over = QRect(inner.left(), inner.top(), inner.width(), half - 2) if detail else inner
        painter.drawText(over, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, figure)
        painter.setFont(self._theme.font(8.6))
        painter.setPen(colours.q("secondary"))
        under = QRect(inner.left(), rect.top() + half, inner.width(), rect.height() - half - 4)
        painter.drawText(under, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, detail)
        painter.restore()

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """Room for both lines."""
        large, small = QFontMetrics(self._figure_font(True)), QFontMetrics(self._theme.font(8.6))
        width = max(
            large.horizontalAdvance(index.data(FIGURE_ROLE) or ""),
            small.horizontalAdvance(index.data(DETAIL_ROLE) or ""),
        )
        return QSize(width + 2 * PAD + 6, large.height() + small.height() + 12)

    def _figure_font(self, bold: bool) -> QFont:
        return self._theme.font(11, QFont.Weight.Bold if bold else QFont.Weight.Normal)


class SuiteHeader(QHeaderView):
    """Suites over the presets that they were evaluated with."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(Qt.Orientation.Horizontal, parent)
        self._theme = theme
        self._columns: tuple[Column, ...] = ()
        self.setSectionsClickable(False)
        self.setStretchLastSection(False)

    def show_columns(self, columns: tuple[Column, ...]) -> None:
        """Head these columns."""
        self._columns = columns
        model = self.model()
        for place, column in enumerate(columns):
            model.setHeaderData(place, Qt.Orientation.Horizontal, column.name)
            model.setHeaderData(place, Qt.Orientation.Horizontal, column.name, Qt.ItemDataRole.ToolTipRole)
        self.viewport().update()

    @property
    def has_presets(self) -> bool:
        """Whether there is a second line."""
        return any(column.conditions for column in self._columns)

    def sizeHint(self) -> QSize:
        """One line, or two."""
        line = self.fontMetrics().height() + 10
        return QSize(super().sizeHint().width(), line * (2 if self.has_presets else 1))

    def needs(self, section: int) -> int:
        """The width that a section's heading needs, shared by the sections under one suite."""
        first, last = self._group(section)
        whole = self._metric(self._columns[section].heading) // (last - first + 1)
        return max(whole, self._metric(self._columns[section].conditions))

    def paintEvent(self, event: QPaintEvent) -> None:
        """What lies beside the last section has their ground."""
        super().paintEvent(event)
        if self.length() < self.viewport().width():
            with QPainter(self.viewport()) as painter:
                rest = QRect(self.length(), 0, self.viewport().width() - self.length(), self.viewport().height())
                painter.fillRect(rest, self._theme.colours.q("raised"))

    def paintSection(self, painter: QPainter, rect: QRect, section: int) -> None:
        """The ground of the style, the suite across all its sections, the preset below."""
        if not 0 <= section < len(self._columns):
            return
        option = QStyleOptionHeader()
        self.initStyleOption(option)
        option.rect, option.section = rect, section
        self.style().drawControl(QStyle.ControlElement.CE_HeaderSection, option, painter, self)
        column, (first, last) = self._columns[section], self._group(section)
        left = self.sectionViewportPosition(first)
        right = self.sectionViewportPosition(last) + self.sectionSize(last)
        half = rect.height() // 2 if self.has_presets else rect.height()
        painter.save()
        painter.setClipRect(rect)
        painter.setFont(self._theme.font(9.6, QFont.Weight.DemiBold))
        painter.setPen(self._theme.colours.q("text"))
        painter.drawText(QRect(left, rect.top(), right - left, half), Qt.AlignmentFlag.AlignCenter, column.heading)
        painter.setFont(self._theme.font(8.8))
        painter.setPen(self._theme.colours.q("secondary"))
        below = QRect(rect.left(), rect.top() + half, rect.width(), rect.height() - half)
        if self.has_presets:
            words = column.conditions or ("by hand" if first != last else "")
            painter.drawText(below, Qt.AlignmentFlag.AlignCenter, words)
        painter.setPen(self._theme.colours.q("border"))
        if section == last:
            painter.drawLine(rect.topRight(), rect.bottomRight())
        painter.restore()

    def _group(self, section: int) -> tuple[int, int]:
        suite = self._columns[section].suite
        mine = [place for place, column in enumerate(self._columns) if column.suite == suite]
        return mine[0], mine[-1]

    def _metric(self, text: str) -> int:
        return self.fontMetrics().horizontalAdvance(text) + 2 * PAD
