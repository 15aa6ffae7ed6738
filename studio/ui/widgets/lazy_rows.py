"""A scroll area of rows that are measured only when they come into sight: a million words cost what one page costs."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QRectF, Qt, QTimer, Signal
from PySide6.QtGui import QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QAbstractScrollArea, QFrame, QWidget

Ints = NDArray[np.int64]
SLICE_S = 0.006  # the longest the GUI thread works at a time on rows that are not in sight
NEAR = 3  # pages: a shorter scroll is walked exactly, a longer one is a jump by estimates


class LazyRows(QAbstractScrollArea):
    """Rows below each other. What is at the top of the view stays there whatever is measured elsewhere.

    A subclass says how high rows are about (`set_guesses`), how high one is exactly (`measured`), and draws it
    (`paint_row`). The truth is the anchor: the row at the top and how far it is scrolled out; the bar follows.

    Signals:
        scrolled(): other rows are in sight.
    """

    scrolled = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._heights: Ints = np.zeros(0, np.int64)
        self._exact: NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._tops: Ints = np.zeros(1, np.int64)
        self._row, self._offset = 0, 0
        self._dirty = False
        self._quiet = False
        self._spare = QTimer(self, interval=0)
        self._spare.timeout.connect(self._on_spare_time)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)  # no change of width, no second layout
        self.verticalScrollBar().valueChanged.connect(self._on_value)

    # -- what a subclass says -----------------------------------------------------------------------------------------

    def measured(self, row: int) -> int:
        """The exact height of a row in logical pixels."""
        raise NotImplementedError

    def paint_row(self, painter: QPainter, rect: QRectF, row: int) -> None:
        """Draw a row into its rectangle of the viewport."""
        raise NotImplementedError

    def set_guesses(self, heights: Ints, *, row: int = 0, offset: int = 0) -> None:
        """Other rows, about so high, with this row at the top, scrolled out by `offset`."""
        self._heights = heights.astype(np.int64)
        self._exact = np.zeros(len(heights), np.bool_)
        self._dirty = True
        self._row, self._offset = min(max(row, 0), max(0, len(heights) - 1)), offset
        self._settle()
        self._spare.start()

    def forget(self, row: int) -> None:
        """A row is another height now."""
        if row < len(self._exact):
            self._exact[row] = False

    # -- where things are ---------------------------------------------------------------------------------------------

    @property
    def rows_in_all(self) -> int:
        """Number of rows."""
        return len(self._heights)

    @property
    def anchor(self) -> tuple[int, int]:
        """The row at the top of the view, and how many pixels of it are scrolled out."""
        return self._row, self._offset

    @property
    def at_end(self) -> bool:
        """Whether the last row's end is in sight."""
        return not len(self._heights) or self.rect_of(len(self._heights) - 1).bottom() <= self._room() + 1

    def rows_in_sight(self) -> range:
        """The rows of which something can be seen."""
        y, row = -self._offset, self._row
        while row < len(self._heights) and y < self._room():
            y += int(self._heights[row])
            row += 1
        return range(self._row, row)

    def rect_of(self, row: int) -> QRectF:
        """Where a row is in the viewport; exact for rows in sight."""
        top = int(self._tops[row] - self._tops[self._row]) - self._offset
        return QRectF(0, top, self.viewport().width(), int(self._heights[row]))

    def row_at(self, y: float) -> int | None:
        """The row at a height of the viewport."""
        return next((row for row in self.rows_in_sight() if self.rect_of(row).bottom() > y), None)

    def bring(self, row: int, *, top: bool = False) -> None:
        """Scroll so that a row is in sight; with `top` at the top of the view. No more than is needed."""
        if not 0 <= row < len(self._heights):
            return
        seen = self.rows_in_sight()
        rect = self.rect_of(row) if row in seen else None
        if not top and rect is not None and rect.top() >= 0 and rect.bottom() <= self._room():
            return
        height = self._measure(row)
        if top or height >= self._room() or (rect is not None and rect.top() < 0) or row < self._row:
            self._row, self._offset = row, 0
            if not top and row and height < self._room():
                self._back(min(self._room() // 4, self._room() - height))  # something of what stands before it
        else:
            self._row, self._offset = row, 0
            below = self._room() // 4 if row + 1 < len(self._heights) else 0
            self._back(max(0, self._room() - height - below))
        self._settle()

    def scroll_by(self, pixels: int) -> None:
        """Scroll down (or up) by so much."""
        self._walk(pixels)
        self._settle()

    @property
    def is_at_end(self) -> bool:
        """Whether something of the last row can be seen, or there is none."""
        return self.rows_in_sight().stop >= len(self._heights)

    def to_end(self) -> None:
        """Show the end of the last row."""
        if len(self._heights):
            self._row, self._offset = len(self._heights) - 1, self._measure(len(self._heights) - 1)
            self._settle()

    # -- Qt -----------------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Measure what is in sight, then draw it."""
        self._settle()
        painter = QPainter(self.viewport())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        try:
            for row in self.rows_in_sight():
                rect = self.rect_of(row)
                if rect.intersects(QRectF(event.rect())):
                    self.paint_row(painter, rect, row)
        finally:
            painter.end()  # or an error would leave the viewport to a painter that is gone

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Another room; a subclass gives new guesses when the width is another one."""
        super().resizeEvent(event)
        self._dirty = True
        self._settle()

    def scrollContentsBy(self, dx: int, dy: int) -> None:
        """The anchor scrolls, not the pixels."""

    # -- parts --------------------------------------------------------------------------------------------------------

    def _room(self) -> int:
        return self.viewport().height()

    def _measure(self, row: int) -> int:
        if not self._exact[row]:
            height = self.measured(row)
            self._dirty |= height != self._heights[row]
            self._heights[row], self._exact[row] = height, True
        return int(self._heights[row])

    def _walk(self, pixels: int) -> None:
        """Move the anchor by exact heights."""
        offset, last = self._offset + pixels, len(self._heights) - 1
        while offset < 0 and self._row > 0:
            self._row -= 1
            offset += self._measure(self._row)
        while self._row < last and offset >= (height := self._measure(self._row)):
            offset -= height
            self._row += 1
        self._offset = max(0, offset)

    def _back(self, pixels: int) -> None:
        self._walk(-pixels)

    def _settle(self) -> None:
        """Exact heights for what is in sight, nothing empty below the last row, and the bar where it belongs."""
        if not len(self._heights):
            self._place_bar(0)
            return
        y, row = -self._offset, self._row
        while row < len(self._heights) and y < self._room():
            y += self._measure(row)
            row += 1
        if y < self._room():  # the end is in sight: it stands at the bottom, unless all fits
            row, room = len(self._heights) - 1, self._room()
            while row > 0 and (room := room - self._measure(row)) > 0:
                row -= 1
            room = room - self._measure(row) if row == 0 and room > 0 else room
            self._row, self._offset = row, max(0, -room)
        if self._dirty:
            self._tops = np.concatenate([[0], np.cumsum(self._heights)])
            self._dirty = False
        self._place_bar(int(self._tops[self._row]) + self._offset)

    def _place_bar(self, value: int) -> None:
        bar = self.verticalScrollBar()
        if bar.isSliderDown():
            return  # the thumb belongs to the hand that holds it
        self._quiet = True
        bar.setPageStep(max(1, self._room()))
        bar.setRange(0, max(0, int(self._tops[-1]) - self._room()))
        moved = bar.value() != value
        bar.setValue(value)
        self._quiet = False
        if moved:
            self.scrolled.emit()
            self.viewport().update()

    def _on_value(self, value: int) -> None:
        if self._quiet or not len(self._heights):
            return
        by = value - (int(self._tops[self._row]) + self._offset)
        if value >= self.verticalScrollBar().maximum():
            self._row, self._offset = len(self._heights) - 1, self._measure(len(self._heights) - 1)
        elif value <= 0:
            self._row, self._offset = 0, 0
        elif abs(by) <= NEAR * self._room():
            self._walk(by)
        else:
            self._row = min(int(np.searchsorted(self._tops, value, side="right")) - 1, len(self._heights) - 1)
            self._offset = value - int(self._tops[self._row])
        self._settle()
        self._spare.start()
        self.scrolled.emit()
        self.viewport().update()

    def _on_spare_time(self) -> None:
        """Measure a page before and behind, a slice at a time."""
        until = time.perf_counter() + SLICE_S
        seen = self.rows_in_sight()
        ahead = len(seen) or 1
        near = (*range(seen.stop, seen.stop + ahead), *range(seen.start - 1, seen.start - 1 - ahead, -1))
        for row in near:
            if 0 <= row < len(self._heights) and not self._exact[row]:
                self._measure(row)
                if time.perf_counter() > until:
                    return
        self._spare.stop()
