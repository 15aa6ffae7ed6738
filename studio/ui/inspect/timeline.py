"""The timeline: when the trace thought, answered, used tools and waited, and how fast it wrote."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QRectF, Qt
from PySide6.QtGui import QFontMetricsF, QHelpEvent, QPainter, QPen
from PySide6.QtWidgets import QToolTip, QWidget

from studio.ui.inspect.clock import Clock, ClockKind
from studio.ui.inspect.lane import Lane, LaneSays, LaneState
from studio.ui.inspect.opened import Opened
from studio.ui.theme import Theme
from studio.ui.widgets import faces
from studio.ui.widgets.parts import duration
from trainer.contract.records import BlockKind

Floats = NDArray[np.float64]
ROWS = ("thinking", "answer", "tool", "wait")
COLOURS = ("unsure", "accent", "neutral", "hatch")
ROW_OF = {
    BlockKind.THINKING: 0,
    BlockKind.SUMMARY: 0,
    BlockKind.REDACTED: 0,
    BlockKind.ANSWER: 1,
    BlockKind.TOOL_CALL: 2,
    BlockKind.TOOL_RESULT: 2,
}


@dataclass(frozen=True, slots=True)
class Spans:
    """Stretches of time [n]: row of ROWS, first and last second, tokens (-1 = not known) and block (-1 = none)."""

    row: NDArray[np.int64]
    start: Floats
    end: Floats
    tokens: NDArray[np.int64]
    block: NDArray[np.int64]

    def total(self, row: int) -> float:
        """Seconds of one row."""
        mine = self.row == row
        return float((self.end[mine] - self.start[mine]).sum())


def spans_of(opened: Opened) -> Spans:
    """The stretches of a trace on its clock, in order of time."""
    clock, shape = opened.clock, opened.structure
    found: list[tuple[int, float, float, int, int]] = []
    starts = opened.token_starts
    for place in shape.blocks:
        row = ROW_OF.get(place.kind)
        if row is None or place.end <= place.start:
            continue
        count = -1
        if starts is not None:
            count = int(np.searchsorted(starts, place.end) - np.searchsorted(starts, place.start))
        found.append((row, clock.time_at(place.start), clock.time_at(place.end), count, place.number))
    found += [(3, wait.start, wait.end, -1, -1) for wait in clock.waits]
    found.sort(key=lambda each: each[1])
    table = np.array(found, np.float64).reshape(-1, 5)
    whole = table.astype(np.int64)
    return Spans(whole[:, 0], table[:, 1], table[:, 2], whole[:, 3], whole[:, 4])


def first_token(clock: Clock) -> str:
    """How long the first token took: "first token after 1.2 s"; "" where the source does not say."""
    times = clock.first_tokens
    if not times:
        return ""
    middle = float(np.median(times))
    return f"first token after {middle:.2f} s" + (f" (median of {len(times)} turns)" if len(times) > 1 else "")


class TimelineLane(Lane):
    """Rows for thinking, answer, tools and waiting, over the seconds of the trace."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(theme, "Timeline", parent)
        self._opened: Opened | None = None
        self._spans = Spans(*(np.zeros(0, kind) for kind in (int, float, float, int, int)))

    @property
    def spans(self) -> Spans:
        """What is drawn."""
        return self._spans

    def show_trace(self, opened: Opened | None) -> LaneSays:
        """Show another trace; returns how far its times can be trusted."""
        self._opened = opened
        if opened is None:
            return LaneSays(LaneState.ABSENT, "no trace")
        self._spans = spans_of(opened)
        self.redraw()
        return self._says(opened)

    def _says(self, opened: Opened) -> LaneSays:
        parts = [
            f"{name} {duration(self._spans.total(row))}" for row, name in enumerate(ROWS) if self._spans.total(row)
        ]
        if opened.clock.kind is not ClockKind.TIMESTAMPS:
            return LaneSays(LaneState.ABSENT, f"the source has no times; clock: {opened.clock.words}")
        pace = self._pace(self._spans.row < 2)
        parts += [f"{pace:.0f} tokens/s"] if pace else []
        parts += [words] if (words := first_token(opened.clock)) else []
        return LaneSays(LaneState.MEASURED, " · ".join(parts))

    def words(self, second: float) -> str:
        """What goes on at a second."""
        spans, said = self._spans, []
        for n in np.flatnonzero((spans.start <= second) & (second <= spans.end)).tolist():
            seconds = float(spans.end[n] - spans.start[n])
            pace = ""
            measured = self._opened is not None and self._opened.clock.kind is ClockKind.TIMESTAMPS
            if measured and spans.tokens[n] > 0 and seconds > 0:
                pace = f", {spans.tokens[n]:,} tokens, {spans.tokens[n] / seconds:.1f} tokens/s"
            said.append(f"{ROWS[int(spans.row[n])]}: {duration(seconds)}{pace}")
        return "\n".join([f"at {duration(second)}", *said])

    def draw(self, painter: QPainter, plot: QRectF) -> None:
        """A bar a stretch, at least a pixel wide; what falls into the same pixels is drawn once."""
        if self._opened is None:
            return
        length = max(self._opened.clock.length, 1e-9)
        tall, assumed = plot.height() / len(ROWS), self._opened.clock.kind is not ClockKind.TIMESTAMPS
        painter.setFont(self.theme.font(9))
        for row, name in enumerate(ROWS):
            top = plot.top() + row * tall
            painter.setPen(self.theme.colours.q("secondary"))
            names = QRectF(0, top, plot.left() - self.theme.px(8), tall)
            painter.drawText(names, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter, name)
            painter.setPen(Qt.PenStyle.NoPen)
            ground = QRectF(plot.left(), top + tall * 0.3, plot.width(), tall * 0.4)
            painter.fillRect(ground, self.theme.colours.q("raised"))
            colour = self.theme.colours.q(COLOURS[row])
            mine = self._spans.row == row
            left = np.floor(plot.left() + plot.width() * self._spans.start[mine] / length)
            right = np.maximum(np.ceil(plot.left() + plot.width() * self._spans.end[mine] / length), left + 1)
            for first, last in _merged(left, right):
                box = QRectF(first, ground.top(), last - first, ground.height())
                if not assumed:
                    painter.fillRect(box, faces.hatched(colour) if row == len(ROWS) - 1 else colour)
                    continue
                painter.fillRect(box, faces.hatched(colour))  # as lanes show what nobody measured
                painter.setPen(QPen(colour, 1))
                painter.drawRect(box.adjusted(0.5, 0.5, -0.5, -0.5))
        self._total(painter, plot)

    def _total(self, painter: QPainter, plot: QRectF) -> None:
        assert self._opened is not None
        words = duration(self._opened.clock.length)
        words = words if self._opened.clock.kind is ClockKind.TIMESTAMPS else f"about {words}, assumed"
        painter.setPen(self.theme.colours.q("secondary"))
        wide = QFontMetricsF(painter.font()).horizontalAdvance(words)
        painter.drawText(QRectF(plot.right() - wide, plot.bottom() - 12, wide, 14), Qt.AlignmentFlag.AlignRight, words)

    def _pace(self, of: NDArray[np.bool_]) -> float:
        known = of & (self._spans.tokens >= 0)
        seconds = float((self._spans.end[known] - self._spans.start[known]).sum())
        return float(self._spans.tokens[known].sum()) / seconds if seconds > 0 else 0.0

    def event(self, event: QEvent) -> bool:
        """A tool tip for the moment under the pointer."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent) and self._opened is not None:
            plot = self.plot_rect()
            share = (event.pos().x() - plot.left()) / plot.width()
            inside = 0 <= share <= 1
            QToolTip.showText(event.globalPos(), self.words(share * self._opened.clock.length) if inside else "", self)
            return True
        return super().event(event)


def _merged(left: Floats, right: Floats) -> list[tuple[float, float]]:
    """Boxes from left to right, those that touch made one."""
    if not len(left):
        return []
    order = np.argsort(left, kind="stable")
    left, reach = left[order], np.maximum.accumulate(right[order])
    breaks = np.concatenate([[True], left[1:] > reach[:-1]])
    firsts = np.flatnonzero(breaks)
    lasts = np.concatenate([firsts[1:] - 1, [len(left) - 1]])
    return list(zip(left[firsts].tolist(), reach[lasts].tolist(), strict=True))
