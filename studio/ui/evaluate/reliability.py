"""A reliability curve: what share of traces at a score is really there."""

from __future__ import annotations

import itertools

from PySide6.QtCore import QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from studio.ui.theme import Theme
from trainer.reasoning.metrics import ReliabilityBin


class ReliabilityView(QWidget):
    """Score across, share confirmed up; a circle a bin, as large as it holds traces; the diagonal is calibrated."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self.bins: tuple[ReliabilityBin, ...] = ()
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(theme.px(220), theme.px(170))
        self.setAccessibleName("Reliability curve")
        theme.switched.connect(self.update)

    def sizeHint(self) -> QSize:
        """A square beside a list."""
        return QSize(self._theme.px(280), self._theme.px(220))

    def show_bins(self, bins: tuple[ReliabilityBin, ...]) -> None:
        """Show these bins."""
        self.bins = bins
        told = ", ".join(f"score {one.mean_score:.2f}: {one.mean_target:.0%} of {one.weight:.0f}" for one in bins)
        self.setAccessibleDescription(told or "no labelled traces")
        self.setToolTip(told)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        """Axes, diagonal, bins."""
        theme, colours = self._theme, self._theme.colours
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(theme.font(8.6))
        box = QRectF(self.rect()).adjusted(theme.px(40), theme.px(10), -theme.px(12), -theme.px(34))
        painter.setPen(QPen(colours.q("border"), 1))
        painter.drawRect(box)
        painter.setPen(QPen(colours.q("hatch"), 1, Qt.PenStyle.DashLine))
        painter.drawLine(box.bottomLeft(), box.topRight())
        painter.setPen(colours.q("secondary"))
        for value in (0.0, 0.5, 1.0):
            x, y = box.left() + value * box.width(), box.bottom() - value * box.height()
            across = QRectF(x - theme.px(20), box.bottom() + 1, theme.px(40), theme.px(15))
            up = QRectF(box.left() - theme.px(34), y - theme.px(8), theme.px(30), theme.px(16))
            painter.drawText(across, Qt.AlignmentFlag.AlignCenter, f"{value:g}")
            painter.drawText(up, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, f"{value:.0%}")
        foot = QRectF(box.left(), box.bottom() + theme.px(15), box.width(), theme.px(17))
        painter.drawText(foot, Qt.AlignmentFlag.AlignCenter, "score → share that people confirmed")
        self._draw_bins(painter, box)
        painter.end()

    def _draw_bins(self, painter: QPainter, box: QRectF) -> None:
        if not self.bins:
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, "no labelled traces")
            return
        accent = self._theme.colours.q("accent")
        places = [
            QPointF(box.left() + one.mean_score * box.width(), box.bottom() - one.mean_target * box.height())
            for one in self.bins
        ]
        painter.setPen(QPen(accent, 1.6))
        for here, there in itertools.pairwise(places):
            painter.drawLine(here, there)
        most = max(one.weight for one in self.bins)
        painter.setBrush(accent)
        for one, place in zip(self.bins, places, strict=True):
            radius = self._theme.px(3) + self._theme.px(5) * (one.weight / most) ** 0.5
            painter.drawEllipse(place, radius, radius)
