"""Accuracy against cost: best-of-n and majority of the small model as lines, one pass of the larger as a diamond."""

from __future__ import annotations

import math
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QWidget

from studio.ui.theme import Theme
from studio.ui.widgets.charts import series_colour
from trainer.reasoning.cost_accuracy import Contest, CostPoint
from trainer.reasoning.metrics import Interval

ROOM = 1.3  # of the costs at both ends of the axis, as a factor
REACH = 24.0  # pixels around a point in which a click means it
TICKS = (1, 2, 5)
UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
LEFT = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter


@dataclass(frozen=True, slots=True)
class _Ends:
    """What the axes show: logarithms of costs, and shares."""

    left: float
    right: float
    low: float
    high: float


class ContestChart(QWidget):
    """Intervals as bars; cost on a logarithmic axis, in tokens times parameters a problem.

    A click chooses a point; left and right go along a line, up and down to another, Enter opens. Signals:
        chosen(int): the point at this place of `points` is the current one.
        opened(int): it was double-clicked, or Enter pressed on it.
    """

    chosen = Signal(int)
    opened = Signal(int)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.made: Contest | None = None
        self.current: int | None = None
        self.setAccessibleName("Accuracy against cost")
        self.setMinimumSize(theme.px(420), theme.px(170))
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        theme.switched.connect(self.update)

    def show_contest(self, made: Contest) -> None:
        """Draw this one."""
        self.made, self.current = made, None
        self.setAccessibleDescription(made.sentence)
        self.update()

    def sizeHint(self) -> QSize:
        """A picture in landscape."""
        return QSize(self._theme.px(640), self._theme.px(300))

    @property
    def lines(self) -> tuple[tuple[CostPoint, ...], ...]:
        """Best-of-n, majority-of-n, the larger."""
        made = self.made
        return () if made is None else (made.small, made.majority, (made.large,))

    @property
    def points(self) -> tuple[CostPoint, ...]:
        """All of them, in that order."""
        return tuple(point for line in self.lines for point in line)

    def place(self, point: CostPoint, accuracy: float) -> QPointF:
        """Where a cost and an accuracy lie in the widget."""
        box, ends = self._box(), self._ends()
        across = (math.log(point.cost) - ends.left) / (ends.right - ends.left)
        up = (accuracy - ends.low) / (ends.high - ends.low)
        return QPointF(box.left() + across * box.width(), box.bottom() - up * box.height())

    def choose(self, place: int) -> None:
        """Mark a point and say it."""
        if place != self.current:
            self.current = place
            self.chosen.emit(place)
            self.update()

    # -- choosing -----------------------------------------------------------------------------------------------------

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows and Enter."""
        moves = {Qt.Key.Key_Left: (0, -1), Qt.Key.Key_Right: (0, 1), Qt.Key.Key_Up: (-1, 0), Qt.Key.Key_Down: (1, 0)}
        key = Qt.Key(event.key())
        if key in moves and self.made is not None:
            self._move(*moves[key])
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.current is not None:
            self.opened.emit(self.current)
        else:
            super().keyPressEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """The point that is meant becomes the current one."""
        if (near := self._near(event.position())) is not None:
            self.choose(near)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """And opens."""
        if (near := self._near(event.position())) is not None:
            self.opened.emit(near)

    def _move(self, down: int, along: int) -> None:
        if self.current is None:
            self.choose(0)
            return
        starts = [sum(map(len, self.lines[:line])) for line in range(len(self.lines))]
        line = max(number for number, start in enumerate(starts) if start <= self.current)
        at = self.current - starts[line]
        line = min(max(line + down, 0), len(starts) - 1)
        self.choose(starts[line] + min(max(at + along, 0), len(self.lines[line]) - 1))

    def _near(self, at: QPointF) -> int | None:
        def far(place: int) -> float:
            point = self.points[place]
            apart = self.place(point, point.accuracy.value) - at
            return math.hypot(apart.x(), apart.y())

        nearest = min(range(len(self.points)), key=far, default=None)
        return nearest if nearest is not None and far(nearest) <= REACH else None

    # -- painting -----------------------------------------------------------------------------------------------------

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Axes, lines, points."""
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.fillRect(self.rect(), self._theme.colours.q("surface"))
            if self.made is None:
                painter.setPen(self._theme.colours.q("secondary"))
                painter.setFont(self._theme.font(9.2))
                painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, "Accuracy against cost is drawn here.")
                return
            self._shares(painter)
            self._costs(painter)
            self._larger(painter)
            for number in (2, 1, 0):
                self._line(painter, number, self.lines[number])
            self._names(painter)

    def _box(self) -> QRectF:
        px = self._theme.px
        return QRectF(self.rect()).adjusted(px(52), px(34), -px(24), -px(48))

    def _ends(self) -> _Ends:
        costs = [point.cost for point in self.points]
        seen = [each for point in self.points for each in _shown(point.accuracy)] or [0.0, 1.0]
        low, high = math.floor(min(seen) * 10 - 0.01) / 10, math.ceil(max(seen) * 10 + 0.01) / 10
        low, high = max(min(low, high - 0.2), 0.0), min(max(high, 0.2), 1.0)
        return _Ends(math.log(min(costs) / ROOM), math.log(max(costs) * ROOM), low, max(high, low + 0.1))

    def _shares(self, painter: QPainter) -> None:
        box, colours, px, ends = self._box(), self._theme.colours, self._theme.px, self._ends()
        painter.setFont(self._theme.font(8.6))
        every = 1 if ends.high - ends.low <= 0.6 else 2
        for tenth in range(-(-round(ends.low * 10) // every) * every, round(ends.high * 10) + 1, every):
            y = box.bottom() - (tenth / 10 - ends.low) / (ends.high - ends.low) * box.height()
            painter.setPen(QPen(colours.q("border"), 1))
            painter.drawLine(QPointF(box.left(), y), QPointF(box.right(), y))
            painter.setPen(colours.q("secondary"))
            painter.drawText(QRectF(0, y - px(9), box.left() - px(8), px(18)), RIGHT, f"{tenth * 10} %")

    def _costs(self, painter: QPainter) -> None:
        box, colours, px, ends = self._box(), self._theme.colours, self._theme.px, self._ends()
        first, last = math.floor(ends.left / math.log(10)), math.ceil(ends.right / math.log(10))
        for value in (tick * 10.0**power for power in range(first, last + 1) for tick in TICKS):
            across = (math.log(value) - ends.left) / (ends.right - ends.left)
            if not 0 <= across <= 1:
                continue
            x = box.left() + across * box.width()
            painter.setPen(QPen(colours.q("border"), 1))
            painter.drawLine(QPointF(x, box.bottom()), QPointF(x, box.bottom() + px(5)))
            painter.setPen(colours.q("secondary"))
            where = QRectF(x - px(30), box.bottom() + px(6), px(60), px(16))
            painter.drawText(where, Qt.AlignmentFlag.AlignCenter, amount(value))
        words = "cost of a problem in tokens × parameters, those of the PRM included (logarithmic)"
        foot = QRectF(0, box.bottom() + px(24), self.width(), px(18))
        painter.drawText(foot, Qt.AlignmentFlag.AlignCenter, words)

    def _larger(self, painter: QPainter) -> None:
        """What lies above the one line is more often right, what lies left of the other is cheaper."""
        assert self.made is not None
        box, large = self._box(), self.made.large
        if math.isnan(large.accuracy.value):
            return
        at = self.place(large, large.accuracy.value)
        ink = QColor(self._ink(2))
        ink.setAlphaF(0.55)
        painter.setPen(QPen(ink, 1, Qt.PenStyle.DotLine))
        painter.drawLine(QPointF(box.left(), at.y()), QPointF(box.right(), at.y()))
        painter.drawLine(QPointF(at.x(), box.top()), QPointF(at.x(), box.bottom()))

    def _line(self, painter: QPainter, number: int, line: tuple[CostPoint, ...]) -> None:
        known = [point for point in line if not math.isnan(point.accuracy.value)]
        style = Qt.PenStyle.DashLine if number == 1 else Qt.PenStyle.SolidLine
        painter.setPen(QPen(self._ink(number), 2, style))
        painter.drawPolyline(QPolygonF([self.place(point, point.accuracy.value) for point in known]))
        for point in known:
            self._point(painter, point, number)

    def _point(self, painter: QPainter, point: CostPoint, number: int) -> None:
        px, at, ink = self._theme.px, self.place(point, point.accuracy.value), self._ink(number)
        painter.setPen(QPen(ink, 1.6))
        painter.drawLine(self.place(point, point.accuracy.low), self.place(point, point.accuracy.high))
        if self.current is not None and self.points[self.current] is point:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(self._theme.colours.q("text"), 1.6))
            painter.drawEllipse(at, px(10), px(10))
        _mark(painter, at, float(px(5)), ink, number)
        if number == 0:
            painter.setPen(self._theme.colours.q("text"))
            painter.setFont(self._theme.font(8.8))
            top = self.place(point, point.accuracy.high)
            beside = QRectF(top.x() - px(65), top.y() - px(5), px(60), px(16))  # the line comes from below
            painter.drawText(beside, RIGHT, f"n = {point.n}")

    def _names(self, painter: QPainter) -> None:
        assert self.made is not None
        px, box, small, large = self._theme.px, self._box(), self.made.small[0].name, self.made.large.name
        painter.setFont(self._theme.font(8.8))
        x, y = box.left() + px(6), float(px(16))
        for number, words in enumerate((f"{small}, best of n", "majority of n", f"{large}, one pass")):
            _mark(painter, QPointF(x, y), float(px(5)), self._ink(number), number)
            painter.setPen(self._theme.colours.q("text"))
            wide = painter.fontMetrics().horizontalAdvance(words)
            painter.drawText(QRectF(x + px(10), y - px(9), wide + px(4), px(18)), LEFT, words)
            x += wide + px(34)

    def _ink(self, number: int) -> QColor:
        return series_colour((0, 3, 1)[number], self.palette())


def amount(value: float) -> str:
    """A cost in few characters, such as "250 M"."""
    size, unit = next(((size, unit) for size, unit in UNITS if value >= size), (1.0, ""))
    return f"{value / size:.3g} {unit}".rstrip()


def _mark(painter: QPainter, at: QPointF, size: float, ink: QColor, number: int) -> None:
    """A circle, a square, or a diamond."""
    painter.setPen(QPen(ink, 1.6))
    painter.setBrush(ink)
    if number == 0:
        painter.drawEllipse(at, size, size)
    elif number == 1:
        painter.drawRect(QRectF(at.x() - size * 0.8, at.y() - size * 0.8, size * 1.6, size * 1.6))
    else:
        corners = [QPointF(0, -1.4), QPointF(1.4, 0), QPointF(0, 1.4), QPointF(-1.4, 0)]
        painter.drawPolygon(QPolygonF([at + corner * size for corner in corners]))


def _shown(accuracy: Interval) -> tuple[float, ...]:
    return tuple(each for each in (accuracy.low, accuracy.value, accuracy.high) if not math.isnan(each))
