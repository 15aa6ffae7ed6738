"""The map of a trace: one bar a step, its colour and sign from the rating, its length from the score."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QHelpEvent, QKeyEvent, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QToolTip, QWidget

from studio.ui.theme import Theme
from studio.ui.widgets import faces
from studio.ui.widgets.step_model import WORDS
from studio.ui.widgets.trace_values import StepSigns

WIDTH = 76
TALLEST_BAR = 22


class TraceMap(QWidget):
    """A narrow column that shows all steps at once; a click or the arrow keys jump.

    Signals:
        jumped(int): go to this step.
    """

    jumped = Signal(int)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._steps: tuple[StepSigns, ...] = ()
        self._current: int | None = None
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Expanding)
        self.setAccessibleName(self.tr("Map of the trace"))
        self.setMouseTracking(True)
        theme.switched.connect(self.update)

    def set_steps(self, steps: Sequence[StepSigns]) -> None:
        """Show these steps."""
        if tuple(steps) == self._steps:
            return
        self._steps = tuple(steps)
        self._describe()
        self.update()

    def set_current(self, ordinal: int | None) -> None:
        """Point at a step."""
        if ordinal == self._current:
            return
        self._current = ordinal
        self._describe()
        self.update()

    def sizeHint(self) -> QSize:
        """A narrow column."""
        return QSize(self._theme.px(WIDTH), self._theme.px(160))

    def minimumSizeHint(self) -> QSize:
        """As narrow as its hint."""
        return QSize(self._theme.px(WIDTH), self._theme.px(40))

    def bar_rect(self, ordinal: int) -> QRectF:
        """Where a step's bar may extend."""
        px = self._theme.px
        tall = min((self.height() - px(8)) / max(1, len(self._steps)), px(TALLEST_BAR))
        gap = min(px(3), tall * 0.25)
        return QRectF(px(18), px(4) + ordinal * tall, self.width() - px(30), tall - gap)

    def step_at(self, y: float) -> int | None:
        """The step at a height."""
        if not self._steps:
            return None
        px = self._theme.px
        tall = min((self.height() - px(8)) / len(self._steps), px(TALLEST_BAR))
        ordinal = int((y - px(4)) // tall)
        return ordinal if 0 <= ordinal < len(self._steps) else None

    # -- Qt -----------------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the bars."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for ordinal, step in enumerate(self._steps):
            self._bar(painter, self.bar_rect(ordinal), step)
        if self._current is not None and self._current < len(self._steps):
            self._pointer(painter, self.bar_rect(self._current))
        if self.hasFocus():
            painter.setPen(QPen(self._theme.colours.q("focus"), 1.2))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 4, 4)
        painter.end()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Jump to the step under the pointer."""
        ordinal = self.step_at(event.position().y())
        if ordinal is not None:
            self.jumped.emit(ordinal)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows, Home and End jump."""
        last = len(self._steps) - 1
        here = -1 if self._current is None else self._current
        goals = {
            Qt.Key.Key_Up: max(0, here - 1),
            Qt.Key.Key_Down: min(last, here + 1),
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
            ordinal = self.step_at(event.pos().y())
            QToolTip.showText(event.globalPos(), "" if ordinal is None else self.words(ordinal), self)
            return True
        return super().event(event)

    def words(self, ordinal: int) -> str:
        """What the map says of a step, in words."""
        step = self._steps[ordinal]
        parts = [f"step {ordinal + 1}"]
        if step.rating is not None:
            parts.append(WORDS[step.rating])
        if step.score is not None:
            parts.append(f"score {step.score:.2f}")
        if step.disputed:
            parts.append("disputed")
        return ", ".join(parts)

    # -- parts --------------------------------------------------------------------------------------------------------

    def _bar(self, painter: QPainter, box: QRectF, step: StepSigns) -> None:
        colours = self._theme.colours
        colour = self._colour(step)
        round_by = min(3.0, box.height() / 3)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colours.q("border"))
        painter.drawRoundedRect(box, round_by, round_by)
        share = 1.0 if step.score is None else max(0.06, step.score)
        if step.rating is not None or step.score is not None:
            painter.setBrush(colour)
            painter.drawRoundedRect(
                QRectF(box.left(), box.top(), box.width() * share, box.height()), round_by, round_by
            )
        size = min(box.height(), self._theme.px(11))
        if size >= 6:
            if step.rating is not None:
                sign = QRectF(self._theme.px(3), box.center().y() - size / 2, size, size)
                painter.setBrush(colours.rating(step.rating))
                painter.drawPath(faces.shape(sign, step.rating))
            if step.disputed:
                painter.setPen(QPen(colours.q("unsure"), 1.6))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawRoundedRect(box.adjusted(0.5, 0.5, -0.5, -0.5), round_by, round_by)

    def _colour(self, step: StepSigns) -> QColor:
        colours = self._theme.colours
        if step.score is not None:
            return colours.q("negative" if step.score < 1 / 3 else "neutral" if step.score < 2 / 3 else "positive")
        return colours.q("border") if step.rating is None else colours.rating(step.rating)

    def _pointer(self, painter: QPainter, box: QRectF) -> None:
        px = self._theme.px
        middle, left = box.center().y(), box.right() + px(2)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._theme.colours.q("accent"))
        half = float(px(5))
        painter.drawPolygon(
            QPolygonF(
                [QPointF(left, middle), QPointF(left + px(7), middle - half), QPointF(left + px(7), middle + half)]
            )
        )

    def _describe(self) -> None:
        here = "" if self._current is None else f", at step {self._current + 1}"
        low = [str(n + 1) for n, s in enumerate(self._steps) if s.rating is not None and s.rating < 0]
        negative = f", negative: {', '.join(low)}" if low else ""
        self.setAccessibleDescription(f"{len(self._steps)} steps{here}{negative}")
