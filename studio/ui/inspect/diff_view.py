"""Two traces below each other's steps: pairs in two columns, changed words marked on both sides."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QFont, QKeyEvent, QMouseEvent, QPainter, QTextCharFormat, QTextLayout, QTextOption
from PySide6.QtWidgets import QWidget

from studio.store.trace_diff import TraceDiff
from studio.ui.theme import Theme
from studio.ui.widgets.lazy_rows import LazyRows
from trainer.reasoning.alignment import Change, Pair
from trainer.reasoning.segment import Span

KEPT = 200  # laid out pairs
WORDS = {Change.SAME: "=", Change.CHANGED: "≠", Change.LEFT: "◀", Change.RIGHT: "▶"}


@dataclass(frozen=True, slots=True)
class _Laid:
    """A pair's two texts, laid out for the present width."""

    left: QTextLayout
    right: QTextLayout
    height: float


class DiffView(LazyRows):
    """Pairs of steps; both sides scroll as one.

    Signals:
        pairChosen(int): this pair is current.
    """

    pairChosen = Signal(int)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._made: TraceDiff | None = None
        self._laid: OrderedDict[int, _Laid] = OrderedDict()
        self._width = 0
        self.current = -1
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Pairs of steps")
        theme.switched.connect(self._again)

    def show_diff(self, made: TraceDiff) -> None:
        """Show this, at the first difference."""
        self._made = made
        self.current = -1
        self._again()
        self.choose(made.diverges if made.diverges is not None else 0)

    def choose(self, pair: int) -> bool:
        """Make a pair the current one; whether there is such a pair."""
        if self._made is None or not 0 <= pair < len(self._made.pairs):
            return False
        self.current = pair
        self.bring(pair)
        left, right = self._made.text(self._made.pairs[pair])
        self.setAccessibleDescription(f"{self._made.pairs[pair].change}: {left} | {right}")
        self.viewport().update()
        self.pairChosen.emit(pair)
        return True

    def step_change(self, by: int) -> bool:
        """To the next or previous pair that is not the same; whether there was one."""
        if self._made is None:
            return False
        places = [at for at, pair in enumerate(self._made.pairs) if pair.change is not Change.SAME]
        further = [at for at in places if (at - self.current) * by > 0]
        return bool(further) and self.choose(further[0] if by > 0 else further[-1])

    def measured(self, row: int) -> int:
        """Height of a pair: that of its taller side."""
        return int(np.ceil(self._lay(row).height)) + self._theme.px(10)

    def paint_row(self, painter: QPainter, rect: QRectF, row: int) -> None:
        """A pair on the ground of what became of it."""
        assert self._made is not None
        pair, laid = self._made.pairs[row], self._lay(row)
        colours, px = self._theme.colours, self._theme.px
        half = rect.width() / 2
        grounds = {
            Change.SAME: (None, None),
            Change.CHANGED: ("neutral_soft", "neutral_soft"),
            Change.LEFT: ("negative_soft", None),
            Change.RIGHT: (None, "positive_soft"),
        }[pair.change]
        for at, ground in enumerate(grounds):
            if ground is not None:
                side = QRectF(rect.left() + at * half + px(3), rect.top() + 1, half - px(6), rect.height() - 2)
                painter.setPen(Qt.PenStyle.NoPen)
                painter.setBrush(colours.q(ground))
                painter.drawRoundedRect(side, px(5), px(5))
        if row == self.current:
            painter.fillRect(QRectF(rect.left(), rect.top() + px(3), px(3), rect.height() - px(6)), colours.q("accent"))
        self._numbers(painter, rect, pair)
        painter.setPen(colours.q("text" if pair.change is not Change.SAME else "secondary"))
        top = rect.top() + px(5)
        laid.left.draw(painter, QPointF(rect.left() + self._margin(), top))
        laid.right.draw(painter, QPointF(rect.left() + half + self._margin(), top))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows and J, K go from pair to pair, N and Shift+N from change to change."""
        key = event.key()
        if key in (Qt.Key.Key_Down, Qt.Key.Key_J):
            self.choose(self.current + 1)
        elif key in (Qt.Key.Key_Up, Qt.Key.Key_K):
            self.choose(self.current - 1)
        elif key == Qt.Key.Key_N:
            self.step_change(-1 if event.modifiers() & Qt.KeyboardModifier.ShiftModifier else 1)
        else:
            super().keyPressEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose the pair under the pointer."""
        row = self.row_at(event.position().y())
        if row is not None:
            self.choose(row)

    def _again(self) -> None:
        self._laid.clear()
        made = self._made
        if made is None:
            return
        across = max(20.0, (self.viewport().width() / 2 - self._margin()) / self._theme.px(7))
        lengths = [max(map(len, made.text(pair))) for pair in made.pairs]
        line = self._theme.px(18)
        self.set_guesses(np.array([line * max(1, np.ceil(n / across)) + self._theme.px(10) for n in lengths], np.int64))
        self.viewport().update()

    def _margin(self) -> int:
        return self._theme.px(46)

    def _lay(self, row: int) -> _Laid:
        assert self._made is not None
        width = self.viewport().width()
        if width != self._width:
            self._width = width
            self._laid.clear()
        if row in self._laid:
            self._laid.move_to_end(row)
            return self._laid[row]
        pair = self._made.pairs[row]
        left, right = self._made.text(pair)
        edits = self._made.edits(pair) if pair.change is Change.CHANGED else ()
        room = width / 2 - self._margin() - self._theme.px(8)
        one = self._layout(left, [e.left for e in edits if not e.same], "negative", room)
        other = self._layout(right, [e.right for e in edits if not e.same], "positive", room)
        laid = _Laid(one, other, max(_height(one), _height(other)))
        self._laid[row] = laid
        while len(self._laid) > KEPT:
            self._laid.popitem(last=False)
        return laid

    def _layout(self, text: str, changed: list[Span], colour: str, room: float) -> QTextLayout:
        layout = QTextLayout(text.replace("\n", "\u2028"), self._theme.font(10.2))
        layout.setTextOption(QTextOption(Qt.AlignmentFlag.AlignLeft))
        formats = []
        for span in changed:
            mark = QTextLayout.FormatRange()
            mark.start, mark.length = _units(text, span)
            mark.format = QTextCharFormat()
            mark.format.setForeground(self._theme.colours.q(colour))
            mark.format.setFontWeight(QFont.Weight.DemiBold)
            mark.format.setFontUnderline(True)
            formats.append(mark)
        layout.setFormats(formats)
        layout.beginLayout()
        top = 0.0
        while (line := layout.createLine()).isValid():
            line.setLineWidth(room)
            line.setPosition(QPointF(0.0, top))
            top += line.height()
        layout.endLayout()
        return layout

    def _numbers(self, painter: QPainter, rect: QRectF, pair: Pair) -> None:
        px = self._theme.px
        painter.setPen(self._theme.colours.q("faint"))
        painter.setFont(self._theme.font(9))
        for at, step in enumerate((pair.left, pair.right)):
            box = QRectF(rect.left() + at * rect.width() / 2 + px(6), rect.top() + px(6), px(34), px(18))
            sign = WORDS[pair.change] if at == 0 and pair.change is not Change.SAME else ""
            number = "" if step is None else str(step + 1)
            painter.drawText(box, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop, f"{sign} {number}".strip())


def _height(layout: QTextLayout) -> float:
    return sum(layout.lineAt(at).height() for at in range(layout.lineCount()))


def _units(text: str, span: Span) -> tuple[int, int]:
    """A span of code points in Qt's UTF-16 units: start and length."""
    if text.isascii():
        return span.start, span.end - span.start
    before = len(text[: span.start].encode("utf-16-le")) // 2
    return before, len(text[span.start : span.end].encode("utf-16-le")) // 2
