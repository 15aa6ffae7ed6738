"""Shift and drag over a lane, the strip, the map or the line of time: chooses steps and shows which are chosen."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QObject, QPointF, QRectF, Qt
from PySide6.QtGui import QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QWidget

from studio.ui.inspect.brush import Brush, Stretch, seconds_of, span_of
from studio.ui.inspect.lane import Lane
from studio.ui.inspect.scrubber import Scrubber
from studio.ui.theme import Theme
from studio.ui.widgets.score_strip import ScoreStrip
from studio.ui.widgets.trace_map import TraceMap

StepAt = Callable[[QPointF], int | None]
RectOf = Callable[[Stretch], QRectF]


class BrushArea(QWidget):
    """A pane over the widget; the mouse goes through it, the widget's own Shift-drags come here first."""

    def __init__(self, over: QWidget, brush: Brush, theme: Theme, step_at: StepAt, rect_of: RectOf) -> None:
        super().__init__(over)
        self._brush, self._theme, self._step_at, self._rect_of = brush, theme, step_at, rect_of
        self._anchor: int | None = None
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        over.installEventFilter(self)
        brush.changed.connect(lambda _stretch: self.update())
        theme.switched.connect(self.update)
        self.setGeometry(over.rect())

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow the widget's size, and take its Shift-drags."""
        kind = event.type()
        if kind == QEvent.Type.Resize and isinstance(watched, QWidget):
            self.setGeometry(watched.rect())
        if not isinstance(event, QMouseEvent):
            return super().eventFilter(watched, event)
        shift = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        if kind == QEvent.Type.MouseButtonPress and event.button() == Qt.MouseButton.LeftButton and shift:
            self._anchor = self._step_at(event.position())
            return self._drag(event)
        if kind == QEvent.Type.MouseMove and self._anchor is not None:
            return self._drag(event)
        if kind == QEvent.Type.MouseButtonRelease and self._anchor is not None:
            self._anchor = None
            return True
        return super().eventFilter(watched, event)

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw what is chosen: a ground, and an edge that needs no colour to be seen."""
        stretch, opened = self._brush.stretch, self._brush.opened
        if stretch is None or opened is None:
            return
        painter = QPainter(self)
        colour = self._theme.colours.q("accent")
        box = self._rect_of(stretch)
        soft = self._theme.colours.q("accent")
        soft.setAlphaF(0.16)
        painter.fillRect(box, soft)
        painter.setPen(QPen(colour, 1.4, Qt.PenStyle.DashLine))
        painter.drawRect(box)
        painter.end()

    def _drag(self, event: QMouseEvent) -> bool:
        step = self._step_at(event.position())
        if self._anchor is None:
            return False
        if step is not None:
            self._brush.choose(self._anchor, step)
        return True


def over_strip(strip: ScoreStrip, brush: Brush, theme: Theme) -> BrushArea:
    """By step."""

    def rect(stretch: Stretch) -> QRectF:
        plot = strip.plot_rect()
        each = plot.width() / max(1, strip.count)
        return QRectF(plot.left() + each * stretch.first, plot.top() - 4, each * stretch.count, plot.height() + 8)

    return BrushArea(strip, brush, theme, lambda place: strip.step_at(place.x()), rect)


def over_map(trace_map: TraceMap, brush: Brush, theme: Theme) -> BrushArea:
    """From top to bottom."""

    def rect(stretch: Stretch) -> QRectF:
        top, bottom = trace_map.bar_rect(stretch.first).top(), trace_map.bar_rect(stretch.last).bottom()
        return QRectF(1, top - 1, trace_map.width() - 3, max(2.0, bottom - top + 2))

    return BrushArea(trace_map, brush, theme, lambda place: trace_map.step_at(place.y()), rect)


def over_tokens(lane: Lane, brush: Brush, theme: Theme) -> BrushArea:
    """By token."""

    def step_at(place: QPointF) -> int | None:
        opened = brush.opened
        starts = None if opened is None else opened.token_starts
        if opened is None or starts is None or not len(starts):
            return None
        token = min(len(starts) - 1, max(0, int(_share(lane, place) * len(starts))))
        return max(0, opened.structure.step_at(int(starts[token])))

    def rect(stretch: Stretch) -> QRectF:
        opened = brush.opened
        starts = None if opened is None else opened.token_starts
        if opened is None or starts is None or not len(starts):
            return QRectF()
        first, last = (int((starts < point).sum()) / len(starts) for point in span_of(opened, stretch))
        return _between(lane, first, last)

    return BrushArea(lane, brush, theme, step_at, rect)


def over_timeline(lane: Lane, brush: Brush, theme: Theme) -> BrushArea:
    """By second."""

    def step_at(place: QPointF) -> int | None:
        return _step_of_second(brush, _share(lane, place))

    def rect(stretch: Stretch) -> QRectF:
        opened = brush.opened
        if opened is None or not opened.clock.length:
            return QRectF()
        first, last = (second / opened.clock.length for second in seconds_of(opened, stretch))
        return _between(lane, first, last)

    return BrushArea(lane, brush, theme, step_at, rect)


def over_scrubber(scrubber: Scrubber, brush: Brush, theme: Theme) -> BrushArea:
    """By second, in the bar at the foot."""

    def step_at(place: QPointF) -> int | None:
        opened = brush.opened
        if opened is None or not opened.clock.length:
            return None
        return _step_of_second(brush, scrubber.second_at(place.x()) / opened.clock.length)

    def rect(stretch: Stretch) -> QRectF:
        opened = brush.opened
        if opened is None:
            return QRectF()
        first, last = (scrubber.x_of(second) for second in seconds_of(opened, stretch))
        return QRectF(first, 3, max(2.0, last - first), scrubber.height() - 6)

    return BrushArea(scrubber, brush, theme, step_at, rect)


def _step_of_second(brush: Brush, share: float) -> int | None:
    opened = brush.opened
    if opened is None or not opened.count:
        return None
    point = opened.clock.point_at(share * opened.clock.length)
    return min(opened.count - 1, max(0, opened.structure.step_at(point)))


def _share(lane: Lane, place: QPointF) -> float:
    plot = lane.plot_rect()
    return min(max((place.x() - plot.left()) / plot.width(), 0.0), 1.0)


def _between(lane: Lane, first: float, last: float) -> QRectF:
    plot = lane.plot_rect()
    return QRectF(
        plot.left() + plot.width() * first, plot.top() - 2, max(2.0, plot.width() * (last - first)), plot.height() + 4
    )
