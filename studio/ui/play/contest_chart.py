"""Accuracy against cost: best-of-n of the small model as a line, one pass of the larger as a diamond."""

from __future__ import annotations

import math

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QWidget

from studio.ui.theme import Theme
from trainer.reasoning.cost_accuracy import Contest, CostPoint

ROOM = 1.25  # of the costs at both ends of the axis, as a factor


class ContestChart(QWidget):
    """Intervals as bars; cost on a logarithmic axis, in tokens times parameters a problem."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.made: Contest | None = None
        self.setAccessibleName("Accuracy against cost")
        self.setMinimumSize(theme.px(420), theme.px(240))
        theme.switched.connect(self.update)

    def show_contest(self, made: Contest) -> None:
        """Draw this one."""
        self.made = made
        self.setAccessibleDescription(made.sentence)
        self.update()

    def sizeHint(self) -> QSize:
        """A picture in landscape."""
        return QSize(self._theme.px(640), self._theme.px(300))

    def place(self, point: CostPoint, accuracy: float) -> QPointF:
        """Where a cost and an accuracy lie in the widget."""
        assert self.made is not None
        costs = [each.cost for each in (*self.made.small, self.made.large)]
        low, high = math.log(min(costs) / ROOM), math.log(max(costs) * ROOM)
        box = self._box()
        across = (math.log(point.cost) - low) / (high - low)
        return QPointF(box.left() + across * box.width(), box.bottom() - accuracy * box.height())

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Axes, line, points."""
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.fillRect(self.rect(), self._theme.colours.q("surface"))
            if self.made is None:
                return
            self._axes(painter)
            colours = self._theme.colours
            small, large = colours.q("accent"), colours.q("unsure")
            ends = [self.place(point, point.accuracy.value) for point in self.made.small]
            painter.setPen(QPen(small, 2))
            painter.drawPolyline(QPolygonF(ends))
            for point in self.made.small:
                self._point(painter, point, small, f"n = {point.n}", diamond=False)
            self._point(painter, self.made.large, large, f"{self.made.large.name}, one pass", diamond=True)

    def _box(self) -> QRectF:
        px = self._theme.px
        return QRectF(self.rect()).adjusted(px(52), px(16), -px(24), -px(44))

    def _axes(self, painter: QPainter) -> None:
        box, colours, px = self._box(), self._theme.colours, self._theme.px
        painter.setFont(self._theme.font(8.6))
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            y = box.bottom() - share * box.height()
            painter.setPen(QPen(colours.q("border"), 1))
            painter.drawLine(QPointF(box.left(), y), QPointF(box.right(), y))
            painter.setPen(colours.q("secondary"))
            right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            painter.drawText(QRectF(0, y - px(9), box.left() - px(8), px(18)), right, f"{share:.0%}")
        words = "cost of a problem: tokens × parameters, logarithmic"
        foot = QRectF(box.left(), box.bottom() + px(22), box.width(), px(18))
        painter.drawText(foot, Qt.AlignmentFlag.AlignCenter, words)

    def _point(self, painter: QPainter, point: CostPoint, ink: QColor, words: str, *, diamond: bool) -> None:
        px, at, size = self._theme.px, self.place(point, point.accuracy.value), float(self._theme.px(5))
        painter.setPen(QPen(ink, 1.6))
        painter.drawLine(self.place(point, point.accuracy.low), self.place(point, point.accuracy.high))
        painter.setBrush(ink)
        if diamond:
            corners = [QPointF(0, -1.4), QPointF(1.4, 0), QPointF(0, 1.4), QPointF(-1.4, 0)]
            painter.drawPolygon(QPolygonF([at + corner * size for corner in corners]))
        else:
            painter.drawEllipse(at, size, size)
        painter.setPen(self._theme.colours.q("text"))
        painter.setFont(self._theme.font(8.8))
        wide = painter.fontMetrics().horizontalAdvance(words)
        left = at.x() + px(9) if at.x() + px(9) + wide < self.width() else at.x() - px(9) - wide
        painter.drawText(QPointF(left, at.y() + (px(16) if diamond else -px(6))), words)
