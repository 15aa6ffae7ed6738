"""Step scores along a trace: a line a scorer, people's ratings above it as signs; a click jumps.

Where steps are finer than pixels a column shows the lowest and the highest of its scores, and the worst of its ratings.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFontMetricsF,
    QHelpEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
    QPolygonF,
    QResizeEvent,
)
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from studio.ui.theme import Theme
from studio.ui.widgets import faces
from studio.ui.widgets.step_model import WORDS
from studio.ui.widgets.trace_values import ScoreLine
from trainer.contract.records import Rating

HEIGHT, LOWEST = 132, 88
PEN_STYLES = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DotLine, Qt.PenStyle.DashDotLine)
LEGEND_LINES, LEGEND = 4, 236
NO_RATING = 2
FINEST = 5.0  # pixels a step: below, signs become bars


class ScoreStrip(QWidget):
    """Scores from 0 to 1 over the steps. Lines differ by stroke and marker, not by colour alone.

    Signals:
        jumped(int): go to this step.
    """

    jumped = Signal(int)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._lines: tuple[ScoreLine, ...] = ()
        self._values: tuple[NDArray[np.float32], ...] = ()
        self._summaries: tuple[str, ...] = ()
        self._ratings: NDArray[np.int8] = np.zeros(0, np.int8)
        self._disputed: NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._picture: QPixmap | None = None
        self._current: int | None = None
        self._empty = ""
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred)
        self.setAccessibleName(self.tr("Scores over the steps"))
        theme.switched.connect(self.updateGeometry)
        theme.switched.connect(self._redraw)

    def set_trace(
        self,
        lines: Sequence[ScoreLine],
        ratings: Sequence[Rating | None] | NDArray[np.int8],
        *,
        disputed: NDArray[np.bool_] | None = None,
        empty: str = "",
    ) -> None:
        """Show these scorers (`values` in step order) and ratings (an array: NO_RATING = none) with what is disputed.

        `empty` is said when there is no scorer.
        """
        self._lines, self._empty = tuple(lines), empty
        self._values = tuple(np.array([np.nan if v is None else v for v in line.values], np.float32) for line in lines)
        self._summaries = tuple(summary(line) for line in lines)
        if isinstance(ratings, np.ndarray):
            self._ratings = ratings
        else:
            self._ratings = np.array([NO_RATING if rating is None else rating for rating in ratings], np.int8)
        self._disputed = np.zeros(0, np.bool_) if disputed is None else disputed
        self._redraw()
        self._describe()

    def set_current(self, ordinal: int | None) -> None:
        """Mark the current step."""
        self._current = ordinal
        self._describe()
        self.update()

    @property
    def count(self) -> int:
        """How many steps the strip has."""
        return max([len(self._ratings), *(len(line.values) for line in self._lines)], default=0)

    def sizeHint(self) -> QSize:
        """As wide as there is room."""
        return QSize(self._theme.px(420), self._theme.px(HEIGHT))

    def minimumSizeHint(self) -> QSize:
        """Low enough for small windows."""
        return QSize(self._theme.px(160), self._theme.px(LOWEST))

    def plot_rect(self) -> QRectF:
        """Where scores are drawn: 1 at the top, 0 at the bottom."""
        px = self._theme.px
        legend = px(LEGEND) if self._lines and self.width() > px(520) else 0
        return QRectF(px(34), px(30), max(self.width() - px(48) - legend, px(60)), self.height() - px(54))

    def point(self, ordinal: int, value: float) -> QPointF:
        """Where a score is drawn."""
        plot = self.plot_rect()
        x = plot.left() + plot.width() * (ordinal + 0.5) / max(1, self.count)
        return QPointF(x, plot.bottom() - plot.height() * value)

    def step_at(self, x: float) -> int | None:
        """The step at a horizontal position."""
        plot = self.plot_rect()
        if not self.count or not plot.left() - 2 <= x <= plot.right() + 2:
            return None
        return min(self.count - 1, max(0, int((x - plot.left()) / plot.width() * self.count)))

    # -- Qt -----------------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the place, and over it grid, lines, ratings and legend, which are kept as a picture."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.fillRect(self.rect(), self._theme.colours.q("surface"))
        self._place(painter)
        painter.drawPixmap(0, 0, self._drawn())
        self._number(painter, self._current)
        if self.hasFocus():
            painter.setPen(QPen(self._theme.colours.q("focus"), 1.2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 4, 4)
        painter.end()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Draw anew."""
        super().resizeEvent(event)
        self._redraw()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Jump to the step under the pointer."""
        ordinal = self.step_at(event.position().x())
        if ordinal is not None:
            self.jumped.emit(ordinal)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows, Home and End jump."""
        last = self.count - 1
        here = -1 if self._current is None else self._current
        goals = {
            Qt.Key.Key_Left: max(0, here - 1),
            Qt.Key.Key_Right: min(last, here + 1),
            Qt.Key.Key_Home: 0,
            Qt.Key.Key_End: last,
        }
        if last < 0 or event.key() not in goals:
            event.ignore()
            return
        self.jumped.emit(goals[Qt.Key(event.key())])

    def event(self, event: QEvent) -> bool:
        """A tool tip for the step under the pointer."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            ordinal = self.step_at(event.pos().x())
            QToolTip.showText(event.globalPos(), "" if ordinal is None else self.words(ordinal), self)
            return True
        return super().event(event)

    def words(self, ordinal: int) -> str:
        """What the strip says of a step, in words."""
        said = [f"step {ordinal + 1}"]
        rating = int(self._ratings[ordinal]) if ordinal < len(self._ratings) else NO_RATING
        if rating != NO_RATING:
            said.append(f"rated {WORDS[Rating(rating)]}")
        if ordinal < len(self._disputed) and self._disputed[ordinal]:
            said.append("disputed")
        for line in self._lines:
            value = line.values[ordinal] if ordinal < len(line.values) else None
            if value is not None:
                said.append(f"{line.name} {value:.2f}" + (f" ({line.note})" if line.note else ""))
        return "\n".join(said)

    # -- parts --------------------------------------------------------------------------------------------------------

    def line_colour(self, place: int) -> QColor:
        """The colour of a scorer's line."""
        colours = self._theme.colours
        return colours.q(("accent", "unsure", "secondary", "positive")[place % 4])

    def _redraw(self) -> None:
        self._picture = None
        self.update()

    def _drawn(self) -> QPixmap:
        if self._picture is None:
            ratio = self.devicePixelRatioF()
            self._picture = QPixmap(max(1, round(self.width() * ratio)), max(1, round(self.height() * ratio)))
            self._picture.setDevicePixelRatio(ratio)
            self._picture.fill(Qt.GlobalColor.transparent)
            painter = QPainter(self._picture)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            self._grid(painter)
            if not self._lines:
                self._say(painter, self._empty)
            for place in range(len(self._lines)):
                self._draw_line(painter, place)
            self._draw_ratings(painter)
            self._legend(painter)
            painter.end()
        return self._picture

    def _grid(self, painter: QPainter) -> None:
        colours, plot = self._theme.colours, self.plot_rect()
        painter.setFont(self._theme.font(8.5))
        for value in (0.0, 0.5, 1.0):
            y = plot.bottom() - plot.height() * value
            painter.setPen(QPen(colours.q("border"), 1, Qt.PenStyle.SolidLine if value != 0.5 else Qt.PenStyle.DotLine))
            painter.drawLine(QPointF(plot.left(), y), QPointF(plot.right(), y))
            painter.setPen(colours.q("secondary"))
            box = QRectF(0, y - 8, plot.left() - self._theme.px(6), 16)
            painter.drawText(box, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, f"{value:g}")
        self._numbers(painter, plot)

    def _place(self, painter: QPainter) -> None:
        if self._current is None or self._current >= self.count:
            return
        plot, middle = self.plot_rect(), self.point(self._current, 0).x()
        half = max(4.0, plot.width() / self.count / 2)
        box = QRectF(middle - half, plot.top() - 4, 2 * half, plot.height() + 8)
        painter.fillRect(box, self._theme.colours.q("accent_soft"))
        if half == 4.0:  # too narrow for the soft ground alone
            painter.setPen(QPen(self._theme.colours.q("accent"), 1.2))
            painter.drawLine(QPointF(middle, box.top()), QPointF(middle, box.bottom()))

    def _numbers(self, painter: QPainter, plot: QRectF) -> None:
        if not self.count:
            return
        room = QFontMetricsF(painter.font()).horizontalAdvance("0" * (len(str(self.count)) + 2))
        each = plot.width() / self.count
        steps = (n * 10**power for power in range(8) for n in (1, 2, 5))
        every = next((n for n in steps if each * n >= room), self.count)
        painter.setPen(self._theme.colours.q("secondary"))
        wanted = [0] if every > 1 else []
        for ordinal in [*wanted, *range(every - 1, self.count, every)]:
            self._write_number(painter, ordinal)

    def _number(self, painter: QPainter, ordinal: int | None) -> None:
        """The current step's number, over what stands there."""
        if ordinal is None or ordinal >= self.count:
            return
        painter.setFont(self._theme.font(8.5, self._theme.font().weight().DemiBold))
        wide = QFontMetricsF(painter.font()).horizontalAdvance(str(ordinal + 1)) + 6
        x, top = self.point(ordinal, 0).x(), self.plot_rect().bottom() + self._theme.px(4)
        painter.fillRect(QRectF(x - wide / 2, top, wide, self._theme.px(16)), self._theme.colours.q("surface"))
        painter.setPen(self._theme.colours.q("accent"))
        self._write_number(painter, ordinal)

    def _write_number(self, painter: QPainter, ordinal: int) -> None:
        x = self.point(ordinal, 0).x()
        box = QRectF(x - 40, self.plot_rect().bottom() + self._theme.px(4), 80, self._theme.px(16))
        painter.drawText(box, Qt.AlignmentFlag.AlignHCenter, str(ordinal + 1))

    def _points(self, values: NDArray[np.float32]) -> list[QPointF]:
        known = np.flatnonzero(~np.isnan(values))
        return [self.point(int(ordinal), float(values[ordinal])) for ordinal in known]

    def _draw_line(self, painter: QPainter, place: int) -> None:
        line, values = self._lines[place], self._values[place]
        if np.count_nonzero(~np.isnan(values)) > self.plot_rect().width():
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
        if self.plot_rect().width() / self.count >= 7:
            painter.setPen(QPen(self._theme.colours.q("surface"), 1.2))
            painter.setBrush(colour)
            for point in points:
                self._marker(painter, point, place)

    def _draw_dense(self, painter: QPainter, place: int) -> None:
        """A column a pixel: from its lowest to its highest score faintly, and its mean as the line itself."""
        plot, values = self.plot_rect(), self._values[place]
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
        if self._lines[place].note:
            box = QRectF(left, plot.top(), plot.width(), tall)
            painter.fillRect(box, faces.hatched(self._theme.colours.q("hatch")))

    def _hatch(self, painter: QPainter, points: list[QPointF], colour: QColor) -> None:
        plot = self.plot_rect()
        area = [QPointF(points[0].x(), plot.bottom()), *points, QPointF(points[-1].x(), plot.bottom())]
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(faces.hatched(self._theme.colours.q("hatch")))
        painter.drawPolygon(QPolygonF(area))

    def _marker(self, painter: QPainter, point: QPointF, place: int) -> None:
        size = float(self._theme.px(4))
        if place % 2 == 0:
            painter.drawEllipse(point, size, size)
        else:
            painter.drawRect(QRectF(point.x() - size, point.y() - size, 2 * size, 2 * size))

    def _draw_ratings(self, painter: QPainter) -> None:
        px, colours, plot = self._theme.px, self._theme.colours, self.plot_rect()
        size = min(float(px(13)), plot.width() / max(1, self.count))
        if size < FINEST:
            self._draw_dense_ratings(painter, plot)
            return
        for ordinal in np.flatnonzero(self._ratings != NO_RATING).tolist():
            rating = Rating(int(self._ratings[ordinal]))
            box = QRectF(self.point(ordinal, 0).x() - size / 2, px(8), size, size)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(colours.rating(rating))
            painter.drawPath(faces.shape(box, rating))
            if size >= px(11):
                painter.setPen(colours.q("on_rating"))
                painter.setFont(self._theme.font(8, self._theme.font().weight().Bold))
                painter.drawText(box, Qt.AlignmentFlag.AlignCenter, faces.SIGNS[rating])
        painter.setPen(QPen(colours.q("unsure"), 1.4))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for ordinal in np.flatnonzero(self._disputed).tolist():
            x, tip = self.point(ordinal, 0).x(), px(24)
            painter.drawPolygon(QPolygonF([QPointF(x - 4, tip + 5), QPointF(x + 4, tip + 5), QPointF(x, tip - 2)]))

    def _draw_dense_ratings(self, painter: QPainter, plot: QRectF) -> None:
        """The worst rating of each column: low, middle or high bars."""
        said = np.flatnonzero(self._ratings != NO_RATING)
        columns = np.floor(plot.width() * (said + 0.5) / max(1, self.count))
        for value in (Rating.POSITIVE, Rating.NEUTRAL, Rating.NEGATIVE):
            found = np.unique(columns[self._ratings[said] == value])
            tall = {Rating.POSITIVE: 4, Rating.NEUTRAL: 8, Rating.NEGATIVE: 14}[value]
            for column in found.tolist():
                box = QRectF(plot.left() + column, self._theme.px(22 - tall), 1.5, self._theme.px(tall))
                painter.fillRect(box, self._theme.colours.rating(value))

    def _legend(self, painter: QPainter) -> None:
        px, colours, plot = self._theme.px, self._theme.colours, self.plot_rect()
        if not self._lines or self.width() <= px(520):
            return
        left, top, tall = plot.right() + px(16), float(px(8)), px(34)
        for place, line in enumerate(self._lines[:LEGEND_LINES]):
            y = top + place * tall
            painter.setPen(QPen(self.line_colour(place), 2, PEN_STYLES[place % 4]))
            painter.drawLine(QPointF(left, y + px(8)), QPointF(left + px(18), y + px(8)))
            painter.setPen(colours.q("text"))
            painter.setFont(self._theme.font(9, self._theme.font().weight().DemiBold))
            room = self.width() - left - px(30)
            name = QFontMetricsF(painter.font()).elidedText(line.name, Qt.TextElideMode.ElideMiddle, room)
            painter.drawText(QPointF(left + px(24), y + px(12)), name)
            painter.setPen(colours.q("secondary"))
            painter.setFont(self._theme.font(8.5))
            painter.drawText(QPointF(left + px(24), y + px(26)), self._summaries[place])

    def _say(self, painter: QPainter, words: str) -> None:
        painter.setPen(self._theme.colours.q("secondary"))
        painter.setFont(self._theme.font(9.5))
        painter.drawText(self.plot_rect(), Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap, words)

    def _describe(self) -> None:
        lines = zip(self._lines, self._summaries, strict=True)
        said = [f"{line.name}: {words}" + (f", {line.note}" if line.note else "") for line, words in lines]
        here = [] if self._current is None else [self.words(self._current).replace("\n", ", ")]
        self.setAccessibleDescription("; ".join([*said, *here]) or self._empty)


def summary(line: ScoreLine) -> str:
    """Product, minimum and last score of a scorer, in words."""
    given = np.array(line.given, np.float64)
    if not len(given):
        return "no scores"
    whole = float(given.prod())
    product = f"{whole:.2f}" if whole >= 0.005 else f"{whole:.0e}"
    return f"product {product} · min {given.min():.2f} · last {given[-1]:.2f}"
