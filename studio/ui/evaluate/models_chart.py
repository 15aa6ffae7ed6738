"""A plot of a few series with intervals, painted by the window itself; every point can be chosen by mouse and keys."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFontMetrics, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from studio.ui.theme import Theme
from studio.ui.widgets.charts import series_colour

REACH = 24.0  # pixels around a point in which a click means it
DASHES = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DotLine, Qt.PenStyle.DashDotLine)
SHAPES = 4
FADED = 0.35
FILLED = 8  # marks before the colours begin anew are filled, the next are hollow


@dataclass(frozen=True, slots=True)
class Point:
    """A point with its 95 % interval (NaN: none) and what is said of it."""

    x: float
    y: float
    low: float
    high: float
    told: str


@dataclass(frozen=True, slots=True)
class Series:
    """Points of one kind; joined by a line unless they are not."""

    name: str
    points: tuple[Point, ...]
    joined: bool = True


@dataclass(frozen=True, slots=True)
class Drawing:
    """What a chart shows. `shares`: y is a share and is told in per cent. `ticks` name whole numbers of x."""

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    shares: bool = True
    ticks: tuple[str, ...] = ()
    diagonal: bool = False

    @property
    def points(self) -> tuple[tuple[int, int, Point], ...]:
        """All points with the places of series and point."""
        return tuple((s, p, point) for s, each in enumerate(self.series) for p, point in enumerate(each.points))


NOTHING = Drawing("", "", "", ())


class ChartView(QWidget):
    """Left and right go along a series, up and down to another, Enter opens.

    Signals:
        opened(int, int): this series' point was clicked, or Enter pressed on it.
        pointed(str): what is said of the point under the pointer or the keys.
    """

    opened = Signal(int, int)
    pointed = Signal(str)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.drawing = NOTHING
        self.stale = False
        self.current: tuple[int, int] | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(theme.px(300), theme.px(136))
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setAccessibleName("Plot")
        theme.switched.connect(self.update)

    def sizeHint(self) -> QSize:
        """Wide."""
        return QSize(self._theme.px(640), self._theme.px(300))

    def show_drawing(self, drawing: Drawing) -> None:
        """Draw this."""
        self.drawing, self.current, self.stale = drawing, None, False
        self.setAccessibleName(f"Plot: {drawing.title}" if drawing.title else "Plot")
        told = "; ".join(f"{drawing.series[s].name}, {point.told}" for s, _, point in drawing.points)
        self.setAccessibleDescription(told or "no points")
        self.update()

    def show_stale(self) -> None:
        """Something else is being read: what is drawn fades, and opens nothing any more."""
        self.stale = True
        self.update()

    def place_of(self, point: Point) -> QPointF:
        """Where a point is drawn."""
        box, (left, right), (low, high) = self._box(), self._across(), self._up()
        x = box.left() + (point.x - left) / (right - left) * box.width()
        return QPointF(x, box.bottom() - (point.y - low) / (high - low) * box.height())

    # -- choosing -----------------------------------------------------------------------------------------------------

    def point_at(self, place: tuple[int, int]) -> None:
        """Mark a point and say it."""
        self.current = place
        series = self.drawing.series[place[0]]
        self.pointed.emit(f"{series.name} · {series.points[place[1]].told}")
        self.update()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows and Enter."""
        moves = {Qt.Key.Key_Left: (0, -1), Qt.Key.Key_Right: (0, 1), Qt.Key.Key_Up: (-1, 0), Qt.Key.Key_Down: (1, 0)}
        key = Qt.Key(event.key())
        if key in moves and self.drawing.points:
            self._move(*moves[key])
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.current is not None and not self.stale:
            self.opened.emit(*self.current)
        else:
            super().keyPressEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Say what is near."""
        near = self._near(event.position())
        if near is not None and near != self.current:
            self.point_at(near)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Open what is near."""
        near = self._near(event.position())
        if near is not None and event.button() == Qt.MouseButton.LeftButton and not self.stale:
            self.point_at(near)
            self.opened.emit(*near)

    def _move(self, by_series: int, by_point: int) -> None:
        filled = [place for place, each in enumerate(self.drawing.series) if each.points]
        if self.current is None:
            self.point_at((filled[0], 0))
            return
        series, point = self.current
        series = filled[max(0, min(len(filled) - 1, filled.index(series) + by_series))]
        last = len(self.drawing.series[series].points) - 1
        self.point_at((series, max(0, min(last, point + by_point))))

    def _near(self, place: QPointF) -> tuple[int, int] | None:
        found = [
            (math.hypot(at.x() - place.x(), at.y() - place.y()), s, p)
            for s, p, point in self.drawing.points
            if (at := self.place_of(point)) is not None
        ]
        distance, series, point_ = min(found, default=(math.inf, 0, 0))
        return (series, point_) if distance <= REACH else None

    # -- drawing ------------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Axes, series, legend."""
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.fillRect(self.rect(), self._theme.colours.q("surface"))
            painter.setFont(self._theme.font(8.8))
            painter.setOpacity(FADED if self.stale else 1.0)
            if not self.drawing.points:
                return
            self._axes(painter)
            for place, series in enumerate(self.drawing.series):
                self._series(painter, place, series)
            self._legend(painter)

    def _box(self) -> QRectF:
        px = self._theme.px
        legend = self._legend_width()
        return QRectF(self.rect()).adjusted(px(62), px(30), -px(18) - legend, -px(44))

    def _legend_width(self) -> int:
        metrics = QFontMetrics(self._theme.font(8.8))
        names = [metrics.horizontalAdvance(each.name) for each in self.drawing.series if each.points]
        return min(max(names, default=0) + self._theme.px(44), self.width() // 3)

    def _across(self) -> tuple[float, float]:
        if self.drawing.diagonal:
            return 0.0, 1.0
        values = [point.x for _, _, point in self.drawing.points]
        low, high = min(values, default=0.0), max(values, default=1.0)
        room = 0.06 * (high - low) or 0.5
        return low - room, high + room

    def _up(self) -> tuple[float, float]:
        if self.drawing.diagonal:
            return 0.0, 1.0
        values = [v for _, _, p in self.drawing.points for v in (p.y, p.low, p.high) if v == v]
        low, high = min(values, default=0.0), max(values, default=1.0)
        room = 0.08 * (high - low) or 0.1
        least, most = low - room, high + room
        return (max(0.0, least), min(1.02, most)) if self.drawing.shares else (least, most)

    def _axes(self, painter: QPainter) -> None:
        colours, px, box, drawing = self._theme.colours, self._theme.px, self._box(), self.drawing
        (left, right), (low, high) = self._across(), self._up()
        for value in ticks(low, high):
            y = box.bottom() - (value - low) / (high - low) * box.height()
            painter.setPen(QPen(colours.q("border"), 1))
            painter.drawLine(QPointF(box.left(), y), QPointF(box.right(), y))
            painter.setPen(colours.q("secondary"))
            words = f"{value:.0%}" if drawing.shares else f"{value:g}"
            at = QRectF(box.left() - px(52), y - px(9), px(46), px(18))
            painter.drawText(at, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, words)
        named = [(float(place), name) for place, name in enumerate(drawing.ticks)]
        for value, words in named or [(value, f"{value:,g}") for value in ticks(left, right)]:
            x = box.left() + (value - left) / (right - left) * box.width()
            at = QRectF(x - px(60), box.bottom() + px(3), px(120), px(18))
            painter.drawText(at, Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop, words)
        foot = QRectF(box.left(), box.bottom() + px(22), box.width(), px(20))
        painter.drawText(foot, Qt.AlignmentFlag.AlignCenter, drawing.x_label)
        head = QRectF(px(8), px(4), self.width() - px(16), px(20))
        painter.drawText(head, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, drawing.y_label)
        if drawing.diagonal:
            painter.setPen(QPen(colours.q("hatch"), 1, Qt.PenStyle.DashLine))
            painter.drawLine(box.bottomLeft(), box.topRight())

    def _series(self, painter: QPainter, place: int, series: Series) -> None:
        colour = series_colour(place, self.palette())
        places = [self.place_of(point) for point in series.points]
        painter.setBrush(Qt.BrushStyle.NoBrush)
        if series.joined:
            painter.setPen(QPen(colour, 1.8, DASHES[place % len(DASHES)]))
            painter.drawPolyline(QPolygonF(places))
        painter.setPen(QPen(colour, 1.2))
        box, (low, high) = self._box(), self._up()
        for point, at in zip(series.points, places, strict=True):
            if point.low == point.low and point.high == point.high:
                ends = [box.bottom() - (v - low) / (high - low) * box.height() for v in (point.low, point.high)]
                painter.drawLine(QPointF(at.x(), ends[0]), QPointF(at.x(), ends[1]))
        for number, at in enumerate(places):
            self._mark(painter, place, at, colour)
            if self.current == (place, number):
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.setPen(QPen(self._theme.colours.q("focus"), 2))
                painter.drawEllipse(at, self._theme.px(8), self._theme.px(8))

    def _mark(self, painter: QPainter, place: int, at: QPointF, colour: QColor) -> None:
        """A circle, a square, a diamond or a triangle, filled or hollow: colour is never alone."""
        r = float(self._theme.px(4))
        hollow = place // FILLED % 2
        painter.setPen(QPen(colour, 1.6) if hollow else Qt.PenStyle.NoPen)
        painter.setBrush(self._theme.colours.q("surface") if hollow else colour)
        x, y = at.x(), at.y()
        if place % SHAPES == 0:
            painter.drawEllipse(at, r, r)
        elif place % SHAPES == 1:
            painter.drawRect(QRectF(x - r, y - r, 2 * r, 2 * r))
        elif place % SHAPES == 2:
            d = 1.3 * r
            painter.drawPolygon(QPolygonF([QPointF(x, y - d), QPointF(x + d, y), QPointF(x, y + d), QPointF(x - d, y)]))
        else:
            painter.drawPolygon(
                QPolygonF([QPointF(x, y - 1.3 * r), QPointF(x + 1.3 * r, y + r), QPointF(x - 1.3 * r, y + r)])
            )

    def _legend(self, painter: QPainter) -> None:
        px, width = self._theme.px, self._legend_width()
        left, line = self.width() - width, px(20)
        metrics = QFontMetrics(self._theme.font(8.8))
        shown = [(place, each) for place, each in enumerate(self.drawing.series) if each.points]
        for row, (place, series) in enumerate(shown):
            y = px(24) + row * line
            self._mark(painter, place, QPointF(left + px(10), y), series_colour(place, self.palette()))
            painter.setPen(self._theme.colours.q("text"))
            words = metrics.elidedText(series.name, Qt.TextElideMode.ElideRight, width - px(28))
            at = QRectF(left + px(22), y - line / 2, width - px(24), line)
            painter.drawText(at, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, words)


def ticks(low: float, high: float, most: int = 6) -> Sequence[float]:
    """Round numbers between two others, at most `most` and a few."""
    span = high - low
    if not span > 0 or not math.isfinite(span):
        return ()
    unit = 10.0 ** math.floor(math.log10(span / most))
    step = next(unit * factor for factor in (1, 2, 5, 10) if span / (unit * factor) <= most)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 12) for number in range(first, math.floor(high / step + 1e-9) + 1)]
