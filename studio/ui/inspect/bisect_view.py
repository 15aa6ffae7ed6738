"""The picture of a bisection: the share of success behind each probed prefix, with its interval."""

from __future__ import annotations

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from studio.ui.theme import Theme
from studio.ui.widgets.parts import plural
from trainer.reasoning.bisect_thought import Bisection, Probe

NEAR = 24  # pixels from a probe that still choose it
MOST_NUMBERS = 16  # written below the axis


class BisectView(QWidget):
    """Steps across, share up; a bar is the 95 % interval; the dashed line is the level at which it counts as changed.

    Signals:
        probeChosen(int): the prefix of so many steps was chosen, by a click or with Left and Right.
    """

    probeChosen = Signal(int)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.search: Bisection | None = None
        self.current = -1
        self._busy = False
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumHeight(theme.px(170))
        self.setAccessibleName("Share of success behind each prefix")
        theme.switched.connect(self.update)

    def sizeHint(self) -> QSize:
        """Wide and flat."""
        return QSize(self._theme.px(560), self._theme.px(220))

    def show_search(self, search: Bisection, *, busy: bool = False) -> None:
        """Show what is known; `busy`: the wanted prefix is being continued now."""
        self.search, self._busy = search, busy
        told = [
            f"behind {plural(count, 'step')} {share.value:.0%}, {share.low:.0%} to {share.high:.0%}"
            for count, share in ((probe.count, probe.share) for probe in self._probes())
        ]
        self.setAccessibleDescription("; ".join(told) or "nothing is known yet")
        self.update()

    def choose(self, count: int) -> None:
        """Mark the probe behind so many steps."""
        self.current = count
        self.update()
        self.probeChosen.emit(count)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Left and Right go from probe to probe."""
        by = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(Qt.Key(event.key()))
        probes = self._probes()
        if by is None or not probes:
            super().keyPressEvent(event)
            return
        counts = [probe.count for probe in probes]
        here = counts.index(self.current) if self.current in counts else (-1 if by > 0 else len(counts))
        self.choose(counts[min(max(here + by, 0), len(counts) - 1)])

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """A click chooses the nearest probe."""
        probes, x = self._probes(), event.position().x()
        if probes:
            nearest = min(probes, key=lambda probe: abs(self.place(probe.count) - x))
            if abs(self.place(nearest.count) - x) <= self._theme.px(NEAR):
                self.choose(nearest.count)

    def place(self, count: int) -> float:
        """Where a prefix of so many steps stands, in pixels from the left."""
        box, steps = self._box(), max(1, self.search.steps if self.search else 1)
        return box.left() + box.width() * count / steps

    def paintEvent(self, event: QPaintEvent) -> None:
        """Axes, level, probes, the prefix that is being continued."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(self._theme.font(8.6))
        self._axes(painter)
        search = self.search
        if search is not None:
            self._level(painter, search)
            for probe in self._probes():
                self._probe(painter, probe)
            if self._busy and search.wanted is not None:
                self._wanted(painter, search.wanted)
        if self.hasFocus():
            painter.setPen(QPen(self._theme.colours.q("focus"), 1.5))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 4, 4)
        painter.end()

    def _probes(self) -> list[Probe]:
        return [] if self.search is None else sorted(self.search.probes, key=lambda probe: probe.count)

    def _box(self) -> QRectF:
        px = self._theme.px
        return QRectF(self.rect()).adjusted(px(52), px(14), -px(20), -px(42))

    def _up(self, share: float) -> float:
        box = self._box()
        return box.bottom() - box.height() * share

    def _axes(self, painter: QPainter) -> None:
        px, colours, box = self._theme.px, self._theme.colours, self._box()
        painter.setPen(QPen(colours.q("border"), 1))
        painter.drawLine(box.bottomLeft(), box.bottomRight())
        painter.drawLine(box.topLeft(), box.bottomLeft())
        painter.setPen(colours.q("secondary"))
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        for share in (0.0, 0.5, 1.0):
            painter.drawText(QRectF(0, self._up(share) - px(8), px(46), px(16)), right, f"{share:.0%}")
        steps = 0 if self.search is None else self.search.steps
        every = max(1, -(-steps // MOST_NUMBERS))
        for count in range(0, steps + 1, every):
            word = "0" if count == 0 else str(count)
            where = QRectF(self.place(count) - px(20), box.bottom() + px(3), px(40), px(15))
            painter.drawText(where, Qt.AlignmentFlag.AlignCenter, word)
        foot = QRectF(box.left(), box.bottom() + px(20), box.width(), px(18))
        painter.drawText(foot, Qt.AlignmentFlag.AlignCenter, "steps of the trace that the policy continues")

    def _level(self, painter: QPainter, search: Bisection) -> None:
        level = search.level
        if level is None:
            return
        box, colours = self._box(), self._theme.colours
        painter.setPen(QPen(colours.q("hatch"), 1.2, Qt.PenStyle.DashLine))
        painter.drawLine(QPointF(box.left(), self._up(level)), QPointF(box.right(), self._up(level)))

    def _probe(self, painter: QPainter, probe: Probe) -> None:
        px, colours = self._theme.px, self._theme.colours
        x = self.place(probe.count)
        colour = colours.q("negative" if probe.share.value < self._level_now() else "positive")
        painter.setPen(QPen(colour, px(2)))
        painter.drawLine(QPointF(x, self._up(probe.share.low)), QPointF(x, self._up(probe.share.high)))
        for end in (probe.share.low, probe.share.high):
            painter.drawLine(QPointF(x - px(4), self._up(end)), QPointF(x + px(4), self._up(end)))
        painter.setBrush(colours.q("surface") if probe.doubtful else colour)
        size = px(7) if probe.count == self.current else px(5)
        painter.drawEllipse(QPointF(x, self._up(probe.share.value)), size, size)

    def _level_now(self) -> float:
        level = None if self.search is None else self.search.level
        return 0.0 if level is None else level

    def _wanted(self, painter: QPainter, count: int) -> None:
        box = self._box()
        painter.setPen(QPen(self._theme.colours.q("accent"), self._theme.px(2), Qt.PenStyle.DotLine))
        painter.drawLine(QPointF(self.place(count), box.top()), QPointF(self.place(count), box.bottom()))
