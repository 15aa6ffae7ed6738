"""Grids of ARC-AGI as pictures: the examples, what was given, what was expected, what was answered."""

from __future__ import annotations

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from studio.ui.theme import Theme
from studio.ui.widgets.parts import plural
from trainer.reasoning.grids import Grid, read_examples, read_grid

COLOURS = (
    "#000000", "#0074d9", "#ff4136", "#2ecc40", "#ffdc00", "#aaaaaa", "#f012be", "#ff851b", "#7fdbff", "#870c25",
)  # fmt: skip
"""As the ARC-AGI site draws the ten colours."""
LEAST_FOR_DIGITS = 13  # pixels of a cell
LEAST_FOR_LINES = 5
EXAMPLES = 0.38  # the most of the height that they take
NAMES = ("Given", "Expected", "Answered")


class GridsView(QWidget):
    """The examples in a row, and three grids side by side below.

    A cell that is not as expected is crossed; digits stand in cells that have room.
    """

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.grids: tuple[Grid | None, Grid | None, Grid | None] = (None, None, None)
        self.examples: tuple[tuple[Grid, Grid], ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumHeight(theme.px(116))
        self.setAccessibleName("Grids: given, expected, answered")

    def sizeHint(self) -> QSize:
        """Three squares."""
        return QSize(self._theme.px(540), self._theme.px(210))

    def show_texts(self, prompt: str, reference: str | None, answer: str | None) -> None:
        """Read the grids out of the problem's text (its last one is the input), the reference and the answer."""
        expected, answered = (None if text is None else read_grid(text) for text in (reference, answer))
        self.grids, self.examples = (read_grid(prompt), expected, answered), read_examples(prompt)
        self.setAccessibleDescription(self.told())
        self.setToolTip(self.told())
        self.update()

    @property
    def wrong(self) -> frozenset[tuple[int, int]]:
        """Places of the answered grid that the expected one has otherwise, or has not at all."""
        _, expected, answered = self.grids
        if expected is None or answered is None:
            return frozenset()
        return frozenset(
            (row, column)
            for row, line in enumerate(answered)
            for column, cell in enumerate(line)
            if row >= len(expected) or column >= len(expected[row]) or expected[row][column] != cell
        )

    def told(self) -> str:
        """Sizes, and how many cells are wrong."""
        parts = [f"{name}: {_size(grid)}" for name, grid in zip(NAMES, self.grids, strict=True)]
        if self.grids[1] is not None and self.grids[2] is not None:
            same = self.grids[1] == self.grids[2]
            parts.append("as expected" if same else f"{len(self.wrong)} cells are not as expected")
        return "; ".join(parts)

    def paintEvent(self, event: QPaintEvent) -> None:
        """The examples above, then one grid a third of the width."""
        theme = self._theme
        head, gap = theme.px(20), theme.px(12)
        width = (self.width() - 2 * gap) / 3
        with QPainter(self) as painter:
            top = self._examples(painter, QRectF(0, head, self.width(), self.height() * EXAMPLES - head))
            for place, (name, grid) in enumerate(zip(NAMES, self.grids, strict=True)):
                left = place * (width + gap)
                painter.setFont(theme.font(9))
                painter.setPen(theme.colours.q("secondary"))
                painter.drawText(QRectF(left, top, width, head), Qt.AlignmentFlag.AlignLeft, f"{name}, {_size(grid)}")
                room = QRectF(left, top + head, width, self.height() - top - head - 1)
                self._grid(painter, room, grid, self.wrong if place == 2 else frozenset())

    def _examples(self, painter: QPainter, room: QRectF) -> float:
        """Draw them, all cells of one size; returns where the rest begins."""
        if not self.examples:
            return 0.0
        theme, count = self._theme, len(self.examples)
        arrow, gap = theme.px(18), theme.px(16)
        across = sum(len(grid[0]) for pair in self.examples for grid in pair)
        free = room.width() - count * arrow - (count - 1) * gap
        side = min(free / across, room.height() / max(len(grid) for pair in self.examples for grid in pair), 14.0)
        painter.setFont(theme.font(9))
        painter.setPen(theme.colours.q("secondary"))
        painter.drawText(QRectF(0, 0, room.width(), room.top()), Qt.AlignmentFlag.AlignLeft, plural(count, "example"))
        left, tallest = room.left(), 0.0
        for before, after in self.examples:
            for place, grid in enumerate((before, after)):
                box = QRectF(left, room.top(), side * len(grid[0]), side * len(grid))
                self._grid(painter, box, grid, frozenset())
                left, tallest = box.right(), max(tallest, box.height())
                if not place:
                    painter.setPen(theme.colours.q("secondary"))
                    middle = QRectF(left, room.top(), arrow, side * min(len(before), len(after)))
                    painter.drawText(middle, Qt.AlignmentFlag.AlignCenter, "→")
                    left += arrow
            left += gap
        return room.top() + tallest + theme.px(12)

    def _grid(self, painter: QPainter, room: QRectF, grid: Grid | None, wrong: frozenset[tuple[int, int]]) -> None:
        if grid is None:
            painter.setPen(self._theme.colours.q("hatch"))
            painter.drawRect(room.adjusted(0, 0, -1, -1))
            painter.drawText(room, Qt.AlignmentFlag.AlignCenter, "no grid")
            return
        side = min(room.width() / len(grid[0]), room.height() / len(grid), float(self._theme.px(36)))
        painter.setFont(self._theme.font(max(6.0, min(9.0, side * 0.42))))
        ground = QRectF(room.left(), room.top(), side * len(grid[0]), side * len(grid))
        painter.fillRect(ground, QColor("#60666e"))
        for row, line in enumerate(grid):
            for column, cell in enumerate(line):
                box = QRectF(room.left() + column * side, room.top() + row * side, side, side)
                colour = QColor(COLOURS[cell])
                ink = QColor("#ffffff" if colour.lightnessF() < 0.45 else "#101010")
                painter.fillRect(box, colour)
                if side >= LEAST_FOR_LINES:
                    painter.setPen(QPen(QColor("#60666e"), 1))
                    painter.drawRect(box)
                painter.setPen(QPen(ink, 2))
                if (row, column) in wrong:
                    painter.drawLine(box.topLeft(), box.bottomRight())
                    painter.drawLine(box.topRight(), box.bottomLeft())
                elif side >= LEAST_FOR_DIGITS:
                    painter.drawText(box, Qt.AlignmentFlag.AlignCenter, str(cell))


def _size(grid: Grid | None) -> str:
    return "no grid" if grid is None else f"{len(grid)} x {len(grid[0])}"
