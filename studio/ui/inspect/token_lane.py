"""The token lane: how unlikely tokens were, or how undecided the model, along the whole trace."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QPainter, QPen
from PySide6.QtWidgets import QWidget

from studio.ui.inspect.heat import MOST, Heat, mask_of
from studio.ui.inspect.lane import Lane, LaneSays, LaneState
from studio.ui.inspect.opened import Opened
from studio.ui.theme import Theme
from studio.ui.widgets import faces

Floats = NDArray[np.float32]
NONE_HERE = "the source did not say how likely its tokens were; a source with log-probabilities fills this"

TALLER = {Heat.LOGPROB: "less likely", Heat.ENTROPY: "less decided"}


class TokenLane(Lane):
    """A bar a pixel: the mean of its tokens solid, the greatest as a line above."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, "Tokens", parent)
        self._nats: Floats = np.zeros(0, np.float32)
        self._heat = Heat.LOGPROB
        self._forced = mask_of((), 0)

    def show_trace(self, opened: Opened | None, heat: Heat) -> LaneSays:
        """Show another trace's tokens, by entropy where that is asked for or all there is."""
        tokens = None if opened is None else opened.tokens
        self._nats = np.zeros(0, np.float32)
        self._forced = mask_of(
            () if opened is None else opened.conversation.forced, 0 if tokens is None else len(tokens)
        )
        self.redraw()
        if tokens is None or (tokens.logprob is None and tokens.entropy is None):
            return LaneSays(LaneState.ABSENT, NONE_HERE, "import")
        by_entropy = tokens.logprob is None or (heat is Heat.ENTROPY and tokens.entropy is not None)
        self._heat = Heat.ENTROPY if by_entropy else Heat.LOGPROB
        values = tokens.entropy if by_entropy else tokens.logprob
        assert values is not None
        self._nats = np.abs(values)
        unknown = int(np.isnan(self._nats).sum())
        if not len(self._nats) or unknown == len(self._nats):
            return LaneSays(LaneState.ABSENT, NONE_HERE, "import")
        mean = float(np.nanmean(values, dtype=np.float64))
        words = f"{self._heat.value} of {len(values):,} tokens, mean {mean:.2f} nats; taller: {TALLER[self._heat]}"
        words += f", {unknown:,} without a value" if unknown else ""
        written = int(self._forced.sum())
        return LaneSays(
            LaneState.MEASURED, words + (f", {written:,} written by the budget (hatched)" if written else "")
        )

    def draw(self, painter: QPainter, plot: QRectF) -> None:
        """Bars up to what counts as most."""
        colours, most = self.theme.colours, MOST[self._heat]
        painter.setFont(self.theme.font(8.5))
        for nats in (0.0, most):
            y = plot.bottom() - plot.height() * nats / most
            painter.setPen(QPen(colours.q("border"), 1))
            painter.drawLine(QPointF(plot.left(), y), QPointF(plot.right(), y))
            painter.setPen(colours.q("secondary"))
            box = QRectF(0, y - 8, plot.left() - self.theme.px(6), 16)
            painter.drawText(box, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, _axis(nats, self._heat))
        if not len(self._nats):
            return
        columns = min(len(self._nats), max(1, int(plot.width())))
        edges = np.linspace(0, len(self._nats), columns + 1).astype(np.int64)[:-1]
        known = np.nan_to_num(self._nats, nan=0.0, posinf=most)
        sums = np.add.reduceat(known.astype(np.float64), edges)
        counts = np.maximum(np.add.reduceat((~np.isnan(self._nats)).astype(np.int64), edges), 1)
        mean = np.clip(sums / counts / most, 0, 1)
        peak = np.clip(np.maximum.reduceat(known, edges) / most, 0, 1)
        wide = plot.width() / columns
        written = np.logical_or.reduceat(self._forced, edges)
        hatched = faces.hatched(colours.q("accent"))
        for column in np.flatnonzero(written).tolist():
            painter.fillRect(QRectF(plot.left() + column * wide, plot.top(), max(3.0, wide), plot.height()), hatched)
        ink = colours.q("negative" if self._heat is Heat.LOGPROB else "unsure")
        soft = colours.q("hatch")
        for column, (middle, top) in enumerate(zip(mean.tolist(), peak.tolist(), strict=True)):
            left = plot.left() + column * wide
            tall = plot.height() * middle
            painter.fillRect(QRectF(left, plot.bottom() - plot.height() * top, max(1.0, wide), 1.0), soft)
            painter.fillRect(QRectF(left, plot.bottom() - tall, max(1.0, wide - 0.3), tall), ink)


def _axis(nats: float, heat: Heat) -> str:
    """A height of the lane in words: a log-probability is at most 0."""
    return f"{-nats if nats and heat is Heat.LOGPROB else nats:g} nats"
