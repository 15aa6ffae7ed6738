"""The map of a trace: one bar a step, its colour and sign from the rating, its length from the score.

Where steps are finer than pixels a row of pixels shows the worst of its steps, so that nothing low or negative is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
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
from studio.ui.widgets.trace_values import NO_RATING, StepSigns
from trainer.contract.records import Rating

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
WIDTH = 76
TALLEST_BAR = 22
THIRDS = (1 / 3, 2 / 3)
TOLD = 20  # negative steps that a screen reader is told by number


@dataclass(frozen=True, slots=True)
class MapRows:
    """The rows of a map [n]: steps, and (`step` -1) parts of the trace that have none, such as a tool's result.

    `rating` is -1, 0, 1 or NO_RATING, `score` NaN where there is none; `rule` names a colour of the theme for the line
    beside a row ("" = none), `name` says what a row without a step is.
    """

    step: Ints
    rating: NDArray[np.int8]
    score: Floats
    disputed: Bools
    flagged: Bools
    rule: tuple[str, ...] = ()
    names: dict[int, str] | None = None
    bookmarked: Bools | None = None

    def __len__(self) -> int:
        return len(self.step)

    @property
    def ribbons(self) -> Bools:
        """Which rows are bookmarked."""
        return np.zeros(len(self), np.bool_) if self.bookmarked is None else self.bookmarked

    def equals(self, other: MapRows) -> bool:
        """Whether both draw the same."""
        pairs = ((self.step, other.step), (self.rating, other.rating), (self.disputed, other.disputed))
        marks = ((self.flagged, other.flagged), (self.ribbons, other.ribbons))
        same = all(np.array_equal(a, b) for a, b in (*pairs, *marks))
        return same and np.array_equal(self.score, other.score, equal_nan=True) and self.rule == other.rule


def rows_of(steps: Sequence[StepSigns]) -> MapRows:
    """The rows of steps alone."""
    count = len(steps)
    return MapRows(
        np.arange(count, dtype=np.int64),
        np.array([NO_RATING if step.rating is None else step.rating for step in steps], np.int8),
        np.array([np.nan if step.score is None else step.score for step in steps], np.float32),
        np.array([step.disputed for step in steps], np.bool_),
        np.zeros(count, np.bool_),
    )


class TraceMap(QWidget):
    """A narrow column that shows all steps at once; a click or the arrow keys jump.

    Signals:
        jumped(int): go to this step.
        rowJumped(int): go to this row, which is no step.
    """

    jumped = Signal(int)
    rowJumped = Signal(int)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._rows = rows_of(())
        self._row_of: Ints = np.zeros(0, np.int64)
        self._low: Ints = np.zeros(0, np.int64)
        self._current: int | None = None
        self._picture: QPixmap | None = None
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Expanding)
        self.setAccessibleName(self.tr("Map of the trace"))
        self.setMouseTracking(True)
        theme.switched.connect(self._on_theme_switched)

    def set_steps(self, steps: Sequence[StepSigns]) -> None:
        """Show these steps."""
        self.set_rows(rows_of(steps))

    def set_rows(self, rows: MapRows) -> None:
        """Show these rows."""
        if rows.equals(self._rows):
            return
        self._rows = rows
        self._row_of = np.flatnonzero(rows.step >= 0)
        self._low = rows.step[(rows.rating == Rating.NEGATIVE) & (rows.step >= 0)]
        self._redraw()
        self._describe()

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
        return self._row_rect(int(self._row_of[ordinal]) if ordinal < len(self._row_of) else ordinal)

    def step_at(self, y: float) -> int | None:
        """The step at a height."""
        row = self._row_at(y)
        step = -1 if row is None else int(self._rows.step[row])
        return step if step >= 0 else None

    # -- Qt -----------------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the bars, which are kept as a picture, and the pointer."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.drawPixmap(0, 0, self._drawn())
        if self._current is not None and self._current < len(self._row_of):
            self._pointer(painter, self.bar_rect(self._current))
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
        row = self._row_at(event.position().y())
        if row is None:
            return
        step = int(self._rows.step[row])
        if step >= 0:
            self.jumped.emit(step)
        else:
            self.rowJumped.emit(row)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows, Home and End jump."""
        last = len(self._row_of) - 1
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
        """A tool tip for what is under the pointer."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            row = self._row_at(event.pos().y())
            QToolTip.showText(event.globalPos(), "" if row is None else self.words(row), self)
            return True
        return super().event(event)

    def words(self, row: int) -> str:
        """What the map says of a row, in words."""
        rows, step = self._rows, int(self._rows.step[row])
        if step < 0:
            return (rows.names or {}).get(row, "")
        parts = [f"step {step + 1}"]
        if rows.rating[row] != NO_RATING:
            parts.append(WORDS[Rating(int(rows.rating[row]))])
        if not np.isnan(rows.score[row]):
            parts.append(f"score {rows.score[row]:.2f}")
        parts += ["disputed"] if rows.disputed[row] else []
        parts += ["flagged"] if rows.flagged[row] else []
        parts += ["bookmarked"] if rows.ribbons[row] else []
        return ", ".join(parts)

    # -- parts --------------------------------------------------------------------------------------------------------

    def _tall(self) -> float:
        px = self._theme.px
        return float(min((self.height() - px(8)) / max(1, len(self._rows)), px(TALLEST_BAR)))

    def _row_rect(self, row: int) -> QRectF:
        px, tall = self._theme.px, self._tall()
        gap = min(px(3), tall * 0.25)
        return QRectF(px(18), px(4) + row * tall, self.width() - px(30), tall - gap)

    def _row_at(self, y: float) -> int | None:
        if not len(self._rows):
            return None
        row = int((y - self._theme.px(4)) // self._tall())
        return row if 0 <= row < len(self._rows) else None

    def _redraw(self) -> None:
        self._picture = None
        self.update()

    def _on_theme_switched(self) -> None:
        self._redraw()

    def _drawn(self) -> QPixmap:
        if self._picture is None:
            ratio = self.devicePixelRatioF()
            self._picture = QPixmap(max(1, round(self.width() * ratio)), max(1, round(self.height() * ratio)))
            self._picture.setDevicePixelRatio(ratio)
            self._picture.fill(Qt.GlobalColor.transparent)
            painter = QPainter(self._picture)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            if self._tall() >= 2:
                for row in range(len(self._rows)):
                    self._bar(painter, row)
            else:
                self._thin(painter)
            painter.end()
        return self._picture

    def _bar(self, painter: QPainter, row: int) -> None:
        colours, rows, box = self._theme.colours, self._rows, self._row_rect(row)
        self._rule(painter, row, box)
        if rows.step[row] < 0:
            return
        round_by = min(3.0, box.height() / 3)
        rating, score = int(rows.rating[row]), float(rows.score[row])
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colours.q("border"))
        painter.drawRoundedRect(box, round_by, round_by)
        share = 1.0 if np.isnan(score) else max(0.06, score)
        if rating != NO_RATING or not np.isnan(score):
            painter.setBrush(self._colour(rating, score))
            filled = QRectF(box.left(), box.top(), box.width() * share, box.height())
            painter.drawRoundedRect(filled, round_by, round_by)
        if rows.ribbons[row]:
            self._ribbon(painter, box.top(), min(box.height(), self._theme.px(12)))
        size = min(box.height(), self._theme.px(11))
        if size >= 6:
            if rating != NO_RATING:
                sign = QRectF(self._theme.px(3), box.center().y() - size / 2, size, size)
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(colours.rating(rating))
                painter.drawPath(faces.shape(sign, Rating(rating)))
            if rows.disputed[row] or rows.flagged[row]:
                style = Qt.PenStyle.DashLine if rows.flagged[row] else Qt.PenStyle.SolidLine
                painter.setPen(QPen(colours.q("unsure"), 1.6, style))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawRoundedRect(box.adjusted(0.5, 0.5, -0.5, -0.5), round_by, round_by)

    def _rule(self, painter: QPainter, row: int, box: QRectF) -> None:
        if row >= len(self._rows.rule) or not self._rows.rule[row]:
            return
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._theme.colours.q(self._rows.rule[row]))
        left = box.left() - self._theme.px(3)
        if self._rows.step[row] < 0:  # no step: the rule alone, drawn as a block
            painter.drawRect(QRectF(left, box.top(), self._theme.px(14), max(1.0, box.height())))
        else:
            painter.drawRect(QRectF(left, box.top(), self._theme.px(2), box.height() + 1))

    def _thin(self, painter: QPainter) -> None:
        """A line a pixel, each the worst of the rows it stands for."""
        px, rows, count = self._theme.px, self._rows, len(self._rows)
        pixels = max(1, int(self._tall() * count))
        edges = np.linspace(0, count, pixels + 1).astype(np.int64)[:-1]
        score = np.minimum.reduceat(np.where(np.isnan(rows.score), np.inf, rows.score), edges)
        rating = np.minimum.reduceat(rows.rating, edges)
        marked = np.maximum.reduceat((rows.disputed | rows.flagged).astype(np.int8), edges)
        left, wide = px(18), self.width() - px(30)
        ribbons = np.maximum.reduceat(rows.ribbons.astype(np.int8), edges)
        for y in range(pixels):
            low, said = float(score[y]), int(rating[y])
            known = np.isfinite(low)
            top = px(4) + y
            painter.fillRect(QRectF(left, top, wide, 1), self._theme.colours.q("border"))
            if known or said != NO_RATING:
                share = max(0.06, low) if known else 1.0
                painter.fillRect(QRectF(left, top, wide * share, 1), self._colour(said, low if known else np.nan))
            if said == Rating.NEGATIVE:
                painter.fillRect(QRectF(px(6), top, px(8), 1), self._theme.colours.rating(Rating.NEGATIVE))
            if marked[y]:
                painter.fillRect(QRectF(left + wide - px(4), top, px(4), 1), self._theme.colours.q("unsure"))
        last = -np.inf
        for y in np.flatnonzero(ribbons).tolist():  # a pixel is no ribbon: one every few pixels at most
            if y >= last + px(6):
                self._ribbon(painter, px(4) + y, px(6))
                last = y

    def _ribbon(self, painter: QPainter, top: float, tall: float) -> None:
        """A bookmark hangs at the right end of a bar, beside where the pointer is."""
        px = self._theme.px
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._theme.colours.q("accent"))
        faces.draw_ribbon(painter, QRectF(self.width() - px(18), top, px(5), max(3.0, tall)))

    def _colour(self, rating: int, score: float) -> QColor:
        colours = self._theme.colours
        if not np.isnan(score):
            return colours.q("negative" if score < THIRDS[0] else "neutral" if score < THIRDS[1] else "positive")
        return colours.q("border") if rating == NO_RATING else colours.rating(rating)

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
        told = [str(step + 1) for step in self._low[:TOLD]]
        more = f" and {len(self._low) - TOLD} more" if len(self._low) > TOLD else ""
        negative = f", negative: {', '.join(told)}{more}" if told else ""
        self.setAccessibleDescription(f"{len(self._row_of)} steps{here}{negative}")
