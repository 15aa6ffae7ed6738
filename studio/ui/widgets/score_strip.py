"""Step scores along a trace: a line a scorer, people's ratings above it as signs; a click jumps.

Where steps are finer than pixels a column shows the lowest and the highest of its scores, and the worst of its ratings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QHelpEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
    QResizeEvent,
)
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from studio.ui.theme import Theme
from studio.ui.widgets.score_strip_painter import ScoreStripPainter
from studio.ui.widgets.step_model import WORDS
from studio.ui.widgets.trace_values import NO_RATING, ScoreLine
from trainer.contract.records import Rating

HEIGHT, LOWEST, LEGEND = 132, 88, 236


@dataclass(frozen=True, slots=True)
class StripContent:
    """Scorers with their values by step (NaN = none) and summaries; ratings (NO_RATING = none), what is disputed."""

    lines: tuple[ScoreLine, ...] = ()
    values: tuple[NDArray[np.float32], ...] = ()
    summaries: tuple[str, ...] = ()
    ratings: NDArray[np.int8] = field(default_factory=lambda: np.zeros(0, np.int8))
    disputed: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))


class ScoreStrip(QWidget):
    """Scores from 0 to 1 over the steps. Lines differ by stroke and marker, not by colour alone.

    Signals:
        jumped(int): go to this step.
    """

    jumped = Signal(int)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.theme = theme
        self.content = StripContent()
        self.current: int | None = None
        self._painter = ScoreStripPainter(self)
        self._picture: QPixmap | None = None
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
        self._empty = empty
        self.content = StripContent(
            tuple(lines),
            tuple(np.array([np.nan if v is None else v for v in line.values], np.float32) for line in lines),
            tuple(summary(line) for line in lines),
            ratings
            if isinstance(ratings, np.ndarray)
            else np.array([NO_RATING if rating is None else rating for rating in ratings], np.int8),
            np.zeros(0, np.bool_) if disputed is None else disputed,
        )
        self._redraw()
        self._describe()

    def set_current(self, ordinal: int | None) -> None:
        """Mark the current step."""
        self.current = ordinal
        self._describe()
        self.update()

    @property
    def count(self) -> int:
        """How many steps the strip has."""
        return max([len(self.content.ratings), *(len(line.values) for line in self.content.lines)], default=0)

    def sizeHint(self) -> QSize:
        """As wide as there is room."""
        return QSize(self.theme.px(420), self.theme.px(HEIGHT))

    def minimumSizeHint(self) -> QSize:
        """Low enough for small windows."""
        return QSize(self.theme.px(160), self.theme.px(LOWEST))

    def plot_rect(self) -> QRectF:
        """Where scores are drawn: 1 at the top, 0 at the bottom."""
        px = self.theme.px
        legend = px(LEGEND) if self.content.lines and self.width() > px(520) else 0
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
        painter.fillRect(self.rect(), self.theme.colours.q("surface"))
        self._painter.place(painter)
        painter.drawPixmap(0, 0, self._drawn())
        self._painter.number(painter)
        if self.hasFocus():
            painter.setPen(QPen(self.theme.colours.q("focus"), 1.2))
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
        here = -1 if self.current is None else self.current
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
        rating = int(self.content.ratings[ordinal]) if ordinal < len(self.content.ratings) else NO_RATING
        if rating != NO_RATING:
            said.append(f"rated {WORDS[Rating(rating)]}")
        if ordinal < len(self.content.disputed) and self.content.disputed[ordinal]:
            said.append("disputed")
        for line in self.content.lines:
            value = line.values[ordinal] if ordinal < len(line.values) else None
            if value is not None:
                said.append(f"{line.name} {value:.2f}" + (f" ({line.note})" if line.note else ""))
        return "\n".join(said)

    # -- parts --------------------------------------------------------------------------------------------------------

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
            self._painter.grid(painter)
            if not self.content.lines:
                self._painter.say(painter, self._empty)
            for place in range(len(self.content.lines)):
                self._painter.line(painter, place)
            self._painter.ratings(painter)
            self._painter.legend(painter)
            painter.end()
        return self._picture

    def _describe(self) -> None:
        lines = zip(self.content.lines, self.content.summaries, strict=True)
        said = [f"{line.name}: {words}" + (f", {line.note}" if line.note else "") for line, words in lines]
        here = [] if self.current is None else [self.words(self.current).replace("\n", ", ")]
        self.setAccessibleDescription("; ".join([*said, *here]) or self._empty)


def summary(line: ScoreLine) -> str:
    """Product, minimum and last score of a scorer, in words."""
    given = np.array(line.given, np.float64)
    if not len(given):
        return "no scores"
    whole = float(given.prod())
    product = f"{whole:.2f}" if whole >= 0.005 else f"{whole:.0e}"
    return f"product {product} · min {given.min():.2f} · last {given[-1]:.2f}"
