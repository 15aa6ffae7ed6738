"""How the score strip is drawn: grid, lines, people's ratings, legend, and the place of the current step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPen, QPolygonF

from studio.ui.widgets import faces
from studio.ui.widgets.trace_values import NO_RATING
from trainer.contract.records import Rating

if TYPE_CHECKING:
    from studio.ui.widgets.score_strip import ScoreStrip

PEN_STYLES = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DotLine, Qt.PenStyle.DashDotLine)
LEGEND_LINES = 4
FINEST = 5.0  # pixels a step: below, signs become bars


class ScoreStripPainter:
    """Draws the parts of one ScoreStrip."""

    def __init__(self, strip: ScoreStrip) -> None:
        self._strip = strip

    def line_colour(self, place: int) -> QColor:
        """The colour of a scorer's line."""
        colours = self._strip.theme.colours
        return colours.q(("accent", "unsure", "secondary", "positive")[place % 4])

    def grid(self, painter: QPainter) -> None:
        """Lines at 0, one half and 1, and the numbers of steps."""
        colours, plot = self._strip.theme.colours, self._strip.plot_rect()
        painter.setFont(self._strip.theme.font(8.5))
        for value in (0.0, 0.5, 1.0):
            y = plot.bottom() - plot.height() * value
            painter.setPen(QPen(colours.q("border"), 1, Qt.PenStyle.SolidLine if value != 0.5 else Qt.PenStyle.DotLine))
            painter.drawLine(QPointF(plot.left(), y), QPointF(plot.right(), y))
            painter.setPen(colours.q("secondary"))
            box = QRectF(0, y - 8, plot.left() - self._strip.theme.px(6), 16)
            painter.drawText(box, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, f"{value:g}")
        self._numbers(painter, plot)

    def place(self, painter: QPainter) -> None:
        """The ground of the current step."""
        if self._strip.current is None or self._strip.current >= self._strip.count:
            return
        plot, middle = self._strip.plot_rect(), self._strip.point(self._strip.current, 0).x()
        half = max(4.0, plot.width() / self._strip.count / 2)
        box = QRectF(middle - half, plot.top() - 4, 2 * half, plot.height() + 8)
        painter.fillRect(box, self._strip.theme.colours.q("accent_soft"))
        if half == 4.0:  # too narrow for the soft ground alone
            painter.setPen(QPen(self._strip.theme.colours.q("accent"), 1.2))
            painter.drawLine(QPointF(middle, box.top()), QPointF(middle, box.bottom()))

    def _numbers(self, painter: QPainter, plot: QRectF) -> None:
        painter.setPen(self._strip.theme.colours.q("secondary"))
        for ordinal in self._numbered(QFontMetricsF(painter.font()), plot):
            self._write_number(painter, ordinal)

    def _numbered(self, metrics: QFontMetricsF, plot: QRectF) -> list[int]:
        """The steps whose numbers have room below the plot."""
        count = self._strip.count
        if not count:
            return []
        room = metrics.horizontalAdvance("0" * (len(f"{count:,}") + 2))
        each = plot.width() / count
        steps = (n * 10**power for power in range(8) for n in (1, 2, 5))
        every = next((n for n in steps if each * n >= room), count)
        return [*([0] if every > 1 else []), *range(every - 1, count, every)]

    def number(self, painter: QPainter) -> None:
        """The current step's number, over what stands there."""
        ordinal = self._strip.current
        if ordinal is None or ordinal >= self._strip.count:
            return
        colours, plain = self._strip.theme.colours, QFontMetricsF(self._strip.theme.font(8.5))
        painter.setFont(self._strip.theme.font(8.5, self._strip.theme.font().weight().DemiBold))
        mine = self._number_box(QFontMetricsF(painter.font()), ordinal)
        for other in self._numbered(plain, self._strip.plot_rect()):  # a number that is half hidden is worse than none
            box = self._number_box(plain, other)
            if box.intersects(mine):
                painter.fillRect(box, colours.q("surface"))
        painter.fillRect(mine, colours.q("surface"))
        painter.setPen(colours.q("accent"))
        self._write_number(painter, ordinal)

    def _write_number(self, painter: QPainter, ordinal: int) -> None:
        box = self._number_box(QFontMetricsF(painter.font()), ordinal)
        painter.drawText(box, Qt.AlignmentFlag.AlignHCenter, f"{ordinal + 1:,}")

    def _number_box(self, metrics: QFontMetricsF, ordinal: int) -> QRectF:
        """Where the number of a step stands: below it, and never beyond the strip's edge."""
        px, wide = self._strip.theme.px, metrics.horizontalAdvance(f"{ordinal + 1:,}") + 6
        left = min(self._strip.point(ordinal, 0).x() - wide / 2, self._strip.width() - wide)
        return QRectF(left, self._strip.plot_rect().bottom() + px(4), wide, px(16))

    def _points(self, values: NDArray[np.float32]) -> list[QPointF]:
        known = np.flatnonzero(~np.isnan(values))
        return [self._strip.point(int(ordinal), float(values[ordinal])) for ordinal in known]

    def line(self, painter: QPainter, place: int) -> None:
        """A scorer's line; what is out of its domain is hatched."""
        line, values = self._strip.content.lines[place], self._strip.content.values[place]
        if np.count_nonzero(~np.isnan(values)) > self._strip.plot_rect().width():
            self._draw_dense(painter, place)
            return
        points = self._points(values)
        if not points:
            return
        colour = self.line_colour(place)
        if line.note:
            self._hatch(painter, points, colour)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(colour, 1.8 if not line.note else 1.2, PEN_STYLES[place % 4]))
        painter.drawPolyline(QPolygonF(points))
        if self._strip.plot_rect().width() / self._strip.count >= 7:
            painter.setPen(QPen(self._strip.theme.colours.q("surface"), 1.2))
            painter.setBrush(colour)
            for point in points:
                self._marker(painter, point, place)

    def _draw_dense(self, painter: QPainter, place: int) -> None:
        """A column a pixel: from its lowest to its highest score faintly, and its mean as the line itself."""
        plot, values = self._strip.plot_rect(), self._strip.content.values[place]
        columns = max(1, int(plot.width()))
        edges = np.linspace(0, len(values), columns + 1).astype(np.int64)[:-1]
        known = ~np.isnan(values)
        counts = np.add.reduceat(known.astype(np.int64), edges)
        low = np.minimum.reduceat(np.where(known, values, np.inf), edges)
        high = np.maximum.reduceat(np.where(known, values, -np.inf), edges)
        mean = np.add.reduceat(np.where(known, values, 0.0).astype(np.float64), edges) / np.maximum(counts, 1)
        colour = self.line_colour(place)
        soft = QColor(colour)
        soft.setAlphaF(0.28)
        tall, bottom, left = plot.height(), plot.bottom(), plot.left()
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
        filled = np.flatnonzero(counts)
        x, top = (left + filled).tolist(), (bottom - tall * high[filled]).tolist()
        heights = np.maximum(1.0, tall * (high[filled] - low[filled])).tolist()
        middles = (bottom - tall * mean[filled] - 0.5).tolist()
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(soft)
        painter.drawRects([QRectF(*box) for box in zip(x, top, [1.0] * len(x), heights, strict=True)])
        painter.setBrush(colour)
        painter.drawRects([QRectF(a, b, 1.0, 1.5) for a, b in zip(x, middles, strict=True)])
        painter.restore()
        if self._strip.content.lines[place].note:
            box = QRectF(left, plot.top(), plot.width(), tall)
            painter.fillRect(box, faces.hatched(self._strip.theme.colours.q("hatch")))

    def _hatch(self, painter: QPainter, points: list[QPointF], colour: QColor) -> None:
        plot = self._strip.plot_rect()
        area = [QPointF(points[0].x(), plot.bottom()), *points, QPointF(points[-1].x(), plot.bottom())]
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(faces.hatched(self._strip.theme.colours.q("hatch")))
        painter.drawPolygon(QPolygonF(area))

    def _marker(self, painter: QPainter, point: QPointF, place: int) -> None:
        size = float(self._strip.theme.px(4))
        if place % 2 == 0:
            painter.drawEllipse(point, size, size)
        else:
            painter.drawRect(QRectF(point.x() - size, point.y() - size, 2 * size, 2 * size))

    def ratings(self, painter: QPainter) -> None:
        """What people said, as signs above the lines, and what is disputed."""
        px, colours, plot = self._strip.theme.px, self._strip.theme.colours, self._strip.plot_rect()
        size = min(float(px(13)), plot.width() / max(1, self._strip.count))
        if size < FINEST:
            self._draw_dense_ratings(painter, plot)
            return
        for ordinal in np.flatnonzero(self._strip.content.ratings != NO_RATING).tolist():
            rating = Rating(int(self._strip.content.ratings[ordinal]))
            box = QRectF(self._strip.point(ordinal, 0).x() - size / 2, px(8), size, size)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(colours.rating(rating))
            painter.drawPath(faces.shape(box, rating))
            if size >= px(11):
                painter.setPen(colours.q("on_rating"))
                painter.setFont(self._strip.theme.font(8, self._strip.theme.font().weight().Bold))
                painter.drawText(box, Qt.AlignmentFlag.AlignCenter, faces.SIGNS[rating])
        painter.setPen(QPen(colours.q("unsure"), 1.4))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for ordinal in np.flatnonzero(self._strip.content.disputed).tolist():
            x, tip = self._strip.point(ordinal, 0).x(), px(24)
            painter.drawPolygon(QPolygonF([QPointF(x - 4, tip + 5), QPointF(x + 4, tip + 5), QPointF(x, tip - 2)]))

    def _draw_dense_ratings(self, painter: QPainter, plot: QRectF) -> None:
        """The worst rating of each column: low, middle or high bars."""
        said = np.flatnonzero(self._strip.content.ratings != NO_RATING)
        columns = np.floor(plot.width() * (said + 0.5) / max(1, self._strip.count))
        for value in (Rating.POSITIVE, Rating.NEUTRAL, Rating.NEGATIVE):
            found = np.unique(columns[self._strip.content.ratings[said] == value])
            tall = {Rating.POSITIVE: 4, Rating.NEUTRAL: 8, Rating.NEGATIVE: 14}[value]
            for column in found.tolist():
                box = QRectF(plot.left() + column, self._strip.theme.px(22 - tall), 1.5, self._strip.theme.px(tall))
                painter.fillRect(box, self._strip.theme.colours.rating(value))

    def legend(self, painter: QPainter) -> None:
        """Names of scorers with product, minimum and last score."""
        px, colours, plot = self._strip.theme.px, self._strip.theme.colours, self._strip.plot_rect()
        if not self._strip.content.lines or self._strip.width() <= px(520):
            return
        left, top, tall = plot.right() + px(16), float(px(8)), px(34)
        for place, line in enumerate(self._strip.content.lines[:LEGEND_LINES]):
            y = top + place * tall
            painter.setPen(QPen(self.line_colour(place), 2, PEN_STYLES[place % 4]))
            painter.drawLine(QPointF(left, y + px(8)), QPointF(left + px(18), y + px(8)))
            painter.setPen(colours.q("text"))
            painter.setFont(self._strip.theme.font(9, self._strip.theme.font().weight().DemiBold))
            room = self._strip.width() - left - px(30)
            name = QFontMetricsF(painter.font()).elidedText(line.name, Qt.TextElideMode.ElideMiddle, room)
            painter.drawText(QPointF(left + px(24), y + px(12)), name)
            painter.setPen(colours.q("secondary"))
            painter.setFont(self._strip.theme.font(8.5))
            painter.drawText(QPointF(left + px(24), y + px(26)), self._strip.content.summaries[place])

    def say(self, painter: QPainter, words: str) -> None:
        """Words where there is no line."""
        painter.setPen(self._strip.theme.colours.q("secondary"))
        painter.setFont(self._strip.theme.font(9.5))
        painter.drawText(self._strip.plot_rect(), Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, words)
