"""The replay's line of time: where it stands, what is worth a look, a drag seeks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QLineF, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from studio.ui.theme import Theme
from studio.ui.widgets import faces
from studio.ui.widgets.parts import duration

Floats = NDArray[np.float64]
HEIGHT = 30
KEY_SHARE = 0.02  # of the whole that a page key seeks


class Scrubber(QWidget):
    """Seconds of a trace from left to right.

    Signals:
        sought(float): go to this second.
        stepped(int): one step on (1) or back (-1).
    """

    sought = Signal(float)
    stepped = Signal(int)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._length, self._second = 0.0, 0.0
        self._hits: Floats = np.zeros(0)
        self._flags: Floats = np.zeros(0)
        self._bookmarks: Floats = np.zeros(0)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(self.tr("Time of the replay"))
        theme.switched.connect(self.update)

    def set_trace(self, length: float, hits: Floats, flags: Floats, bookmarks: Floats | None = None) -> None:
        """A trace of so many seconds, with the seconds at which low or negative steps, flags and bookmarks begin."""
        self._length, self._hits, self._flags = length, hits, flags
        self._bookmarks = np.zeros(0) if bookmarks is None else bookmarks
        self.update()

    def set_second(self, second: float) -> None:
        """Where the replay stands."""
        self._second = second
        self.setAccessibleDescription(f"{duration(second)} of {duration(self._length)}")
        self.update()

    @property
    def second(self) -> float:
        """Where the replay stands."""
        return self._second

    @property
    def bookmarks(self) -> Floats:
        """The seconds at which bookmarked steps begin."""
        return self._bookmarks

    def x_of(self, second: float) -> float:
        """Where a second is drawn."""
        edge = self._theme.px(8)
        return edge + (self.width() - 2 * edge) * (second / self._length if self._length else 0.0)

    def second_at(self, x: float) -> float:
        """The second at a place."""
        edge = self._theme.px(8)
        share = (x - edge) / max(1, self.width() - 2 * edge)
        return min(max(share, 0.0), 1.0) * self._length

    # -- Qt -----------------------------------------------------------------------------------------------------------

    def sizeHint(self) -> QSize:
        """As wide as there is room."""
        return QSize(self._theme.px(240), self._theme.px(HEIGHT))

    def minimumSizeHint(self) -> QSize:
        """Wide enough to aim at."""
        return QSize(self._theme.px(120), self._theme.px(HEIGHT))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the line, what has passed of it, the marks and the place."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        px, colours = self._theme.px, self._theme.colours
        middle = self.height() / 2
        line = QRectF(px(8), middle - px(2), self.width() - px(16), px(4))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colours.q("border"))
        painter.drawRoundedRect(line, px(2), px(2))
        x = self.x_of(self._second)
        painter.setBrush(colours.q("accent"))
        painter.drawRoundedRect(QRectF(line.left(), line.top(), max(0.0, x - line.left()), line.height()), px(2), px(2))
        painter.setPen(QPen(colours.q("negative"), 1.4))
        top, bottom = middle + px(5), middle + px(10)
        painter.drawLines([QLineF(place, top, place, bottom) for place in self._columns(self._hits)])
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colours.q("unsure"))
        for place in self._columns(self._flags):
            top = middle - px(5)
            corners = [QPointF(-0.7, -1), QPointF(0.7, -1), QPointF(0, 0)]
            painter.drawPolygon(QPolygonF([QPointF(place, top) + corner * px(6) for corner in corners]))
        painter.setBrush(colours.q("accent"))
        for place in self._columns(self._bookmarks):
            faces.draw_ribbon(painter, QRectF(place - px(3), middle + px(5), px(6), px(9)))
        painter.setPen(QPen(colours.q("surface"), 1.5))
        painter.setBrush(colours.q("accent"))
        painter.drawEllipse(QPointF(x, middle), px(6), px(6))
        if self.hasFocus():
            painter.setPen(QPen(colours.q("focus"), 1.2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 4, 4)
        painter.end()

    def _columns(self, seconds: Floats) -> list[float]:
        """The pixels that marks fall on, each once."""
        if not len(seconds) or not self._length:
            return []
        edge = self._theme.px(8)
        places = np.unique(np.round(edge + (self.width() - 2 * edge) * (seconds / self._length)))
        return [float(place) for place in places]

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Seek."""
        if event.button() == Qt.MouseButton.LeftButton and self._length:
            self.sought.emit(self.second_at(event.position().x()))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Scrub."""
        if event.buttons() & Qt.MouseButton.LeftButton and self._length:
            self.sought.emit(self.second_at(event.position().x()))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows go by step, pages by a fiftieth, Home and End to the ends."""
        steps = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1, Qt.Key.Key_Down: -1, Qt.Key.Key_Up: 1}
        seconds = {
            Qt.Key.Key_Home: 0.0,
            Qt.Key.Key_End: self._length,
            Qt.Key.Key_PageUp: self._second - KEY_SHARE * self._length,
            Qt.Key.Key_PageDown: self._second + KEY_SHARE * self._length,
        }
        key = Qt.Key(event.key())
        if key in steps:
            self.stepped.emit(steps[key])
        elif key in seconds:
            self.sought.emit(min(max(seconds[key], 0.0), self._length))
        else:
            event.ignore()
