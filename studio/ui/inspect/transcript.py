"""The transcript: turns, blocks and steps of a trace of any size, laid out line by line as they come into sight."""

from __future__ import annotations

import math

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import (
    QGuiApplication,
    QHelpEvent,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
)
from PySide6.QtWidgets import QToolTip, QWidget

from studio.render import prose
from studio.render.formula import Formula
from studio.render.maths import MathsRenderer
from studio.ui.inspect.cursor import Position
from studio.ui.inspect.heat import Heat
from studio.ui.inspect.opened import Opened
from studio.ui.inspect.structure import LineKind
from studio.ui.inspect.transcript_lines import ShownLines
from studio.ui.inspect.transcript_painter import TranscriptPainter, line_words
from studio.ui.inspect.transcript_text import Layout, TranscriptText
from studio.ui.inspect.transcript_tips import TranscriptTips
from studio.ui.theme import Theme
from studio.ui.widgets.lazy_rows import LazyRows
from studio.ui.widgets.raw_layout import RawLayout
from studio.ui.widgets.step_model import StepRow


class Transcript(LazyRows):
    """One trace. The page moves its cursor; the transcript asks for moves and never moves by itself.

    Signals:
        stepActivated(int): a step was clicked or reached with the arrow keys.
        pointActivated(int): text outside a step, or a token, was clicked: a code point of the trace.
        tokenHovered(int): somebody wants to know the alternatives of a token: see `TranscriptTips`.
        firstPainted(): the first paint since `set_trace`, text readable.
        widened(): it is no longer narrowed to a stretch, as something outside was asked for.
        paintedReady(): the first paint since `set_trace` with all maths in sight. Sent from within the paint event:
            receivers must not repaint.
    """

    stepActivated = Signal(int)
    pointActivated = Signal(int)
    tokenHovered = Signal(int)
    firstPainted = Signal()
    paintedReady = Signal()
    widened = Signal()

    def __init__(self, maths: MathsRenderer | None, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.theme = theme
        self.opened: Opened | None = None
        self.position = Position()
        self.plays = False
        self.shown = ShownLines()
        self._texts_in_sight: dict[int, str] = {}  # of the rows that were measured
        self._selected: tuple[int, int] | None = None
        self._told_first = self._told_ready = True
        self._whole = True
        self._ahead: list[str] = []
        self.text = TranscriptText(maths, theme, self.devicePixelRatioF)
        self._painter = TranscriptPainter(self)
        self.tips = TranscriptTips(self)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName(self.tr("Steps"))
        self.verticalScrollBar().setSingleStep(theme.px(28))
        self.viewport().setMouseTracking(True)
        theme.switched.connect(self._on_theme_switched)
        if maths is not None:
            maths.rendered.connect(self._on_rendered)

    # -- what the page says -------------------------------------------------------------------------------------------

    def set_trace(self, opened: Opened | None, *, keep: bool = False) -> None:
        """Show a trace from its top; `keep`: it is the same one with other content, and the place stays."""
        place = self._place() if keep else None
        self.opened = opened
        self.shown.open(None if opened is None else opened.structure, keep=keep)
        if not keep:
            self._selected, self.text.marks = None, ()
            self.tips.forget()
        self._told_first = self._told_ready = opened is None
        self.text.open(opened)
        line = 0 if place is None or opened is None else opened.structure.line_at(place[0])
        self._relay(None if place is None else (line, place[1]))

    def set_position(self, position: Position, *, scroll: bool = True) -> None:
        """Show where the cursor is."""
        self.position = position
        row = self.row_of(position)
        if scroll and row is not None:
            self.bring(row)
        self._describe(row)
        self.viewport().update()

    def set_plays(self, on: bool) -> None:
        """While a replay goes on, what has not been reached is grey."""
        self.plays = on
        self.viewport().update()

    def set_heat(self, heat: Heat) -> None:
        """Colour tokens; steps are then shown as they were written."""
        self.text.heat = heat
        self._renew()

    def set_as_user(self, on: bool) -> None:
        """Show what the user saw, and no thinking, tool or markup."""
        anchor = self._anchor_line()
        self.shown.as_user = on
        self._relay(anchor)

    @property
    def only(self) -> tuple[int, int] | None:
        """The code points to which it is narrowed."""
        return self.shown.only

    def set_only(self, span: tuple[int, int] | None) -> None:
        """Show the lines of these code points alone, with the titles above them; None: all."""
        if span != self.only:
            anchor = self._anchor_line()
            self.shown.only = span
            self._relay(anchor)

    def set_show_source(self, on: bool) -> None:
        """Show every line as it was written, or with its maths drawn."""
        self.text.source = on
        self._renew()

    def set_marks(self, spans: tuple[tuple[int, int], ...]) -> None:
        """Mark these spans of the text, such as a quote or a hit; their lines are shown as they were written."""
        if spans != self.text.marks:
            self.text.marks = spans
            self._renew()

    def reveal(self, point: int) -> None:
        """Unfold what hides a code point; where it is outside of what is shown alone, all is shown again."""
        assert self.opened is not None
        if self.only is not None and not self.only[0] <= point < self.only[1]:
            self.set_only(None)
            self.widened.emit()
        if self.shown.hides(point):
            anchor = self._anchor_line()
            self.shown.unfold(point)
            self._relay(anchor)

    def toggle(self, line: int) -> None:
        """Fold or unfold the turn or block that a line heads."""
        row = self.shown.row_of(line)
        anchor = (line, -int(self.rect_of(row).top())) if row in self.rows_in_sight() else self._anchor_line()
        self.shown.toggle(line)
        self._relay(anchor)

    def is_folded(self, line: int) -> bool:
        """Whether what a line heads is folded."""
        return self.shown.is_folded(line)

    def prepare(self, texts: tuple[str, ...]) -> None:
        """Lay out the beginning of the next trace, and have its maths drawn, when there is nothing else to do."""
        self._ahead = list(texts)
        self._spare.start()

    def copy_text(self, *, latex: bool = False) -> None:
        """Copy the selected lines, else the current step, as written or as LaTeX that compiles."""
        if self.opened is None:
            return
        shape, step = self.opened.structure, self.position.step
        if self._selected is not None:
            first, last = sorted(self._selected)
            text = shape.text[int(shape.start[self.shown.line(first)]) : int(shape.end[self.shown.line(last)])]
        else:
            text = self.opened.trace.step_text(step) if step >= 0 else ""
        if text:
            QGuiApplication.clipboard().setText(prose.as_latex(text) if latex else text)

    # -- what others ask ----------------------------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        """Whether what is in sight has been painted with all its maths."""
        return self._told_ready

    @property
    def shows_source(self) -> bool:
        """Whether lines are shown as written."""
        return self.text.source

    @property
    def current(self) -> int | None:
        """The current step."""
        return self.position.step if self.position.step >= 0 else None

    @property
    def rows(self) -> tuple[StepRow, ...]:
        """Every step with what is said of it; made anew with every call."""
        return () if self.opened is None else tuple(self.opened.row(n) for n in range(self.opened.count))

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines that are shown, in words."""
        return () if self.opened is None else tuple(line_words(self.opened, int(line)) for line in self.shown.numbers)

    def row_of(self, position: Position) -> int | None:
        """The row a position is in; that of its block's title where it is folded away."""
        return self.shown.row_at(position)

    def is_selected(self, row: int) -> bool:
        """Whether a row would be copied."""
        return self._selected is not None and min(self._selected) <= row <= max(self._selected)

    def layout_of(self, line: int) -> Layout:
        """The laid-out text of a line."""
        return self.text.layout_of(line, int(self._painter.widest()), self._painter.mark_look())

    # -- rows ---------------------------------------------------------------------------------------------------------

    def measured(self, row: int) -> int:
        """The exact height of a row."""
        assert self.opened is not None
        line, shape = self.shown.line(row), self.opened.structure
        if shape.kind[line] <= LineKind.BLOCK:
            return self._painter.title_height()
        self._texts_in_sight[row] = shape.text[int(shape.start[line]) : int(shape.end[line])]
        return math.ceil(self.layout_of(line).height) + 2 * self._painter.padding(line)

    def paint_row(self, painter: QPainter, rect: QRectF, row: int) -> None:
        """Draw a row."""
        self._whole &= self._painter.paint(painter, rect, row, self.shown.line(row))

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint what is in sight, then say how far it is."""
        self._whole = True
        super().paintEvent(event)
        if self._told_ready or self.opened is None:
            return
        if not self._told_first:
            self._told_first = True
            self.firstPainted.emit()
        if self._whole:
            self._told_ready = True
            self.paintedReady.emit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Lay out anew when the width is another one."""
        if event.size().width() != event.oldSize().width() and len(self.shown):
            self._renew()
        super().resizeEvent(event)

    # -- hands --------------------------------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """A title folds; text moves the cursor; with Shift the lines up to here are selected."""
        row = self.row_at(event.position().y())
        if row is None or self.opened is None or event.button() != Qt.MouseButton.LeftButton:
            super().mousePressEvent(event)
            return
        line, shape = self.shown.line(row), self.opened.structure
        if shape.kind[line] <= LineKind.BLOCK:
            self.toggle(line)
            return
        if event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            here = self.row_of(self.position)
            self._selected = (row if here is None else here, row)
            self.viewport().update()
            return
        self._selected = None
        point = self.point_under(row, event.position())
        if shape.step[line] >= 0 and (point is None or self.text.heat_map is None):
            self.stepActivated.emit(int(shape.step[line]))
        else:
            self.pointActivated.emit(int(shape.start[line]) if point is None else point)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows move by step, pages scroll, Copy copies; letters are left to the window's commands."""
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy_text()
            return
        page, last = self.viewport().height() * 9 // 10, 0 if self.opened is None else self.opened.count - 1
        step = self.position.step
        moves = {
            Qt.Key.Key_Up: lambda: self.stepActivated.emit(max(0, step - 1)),
            Qt.Key.Key_Down: lambda: self.stepActivated.emit(min(last, step + 1)),
            Qt.Key.Key_PageUp: lambda: self.scroll_by(-page),
            Qt.Key.Key_PageDown: lambda: self.scroll_by(page),
            Qt.Key.Key_Home: lambda: self.bring(0, top=True),
            Qt.Key.Key_End: self.to_end,
        }
        move = moves.get(Qt.Key(event.key()))
        if move is None:
            event.ignore()
            return
        move()
        self.viewport().update()

    def viewportEvent(self, event: QEvent) -> bool:
        """A tool tip for the token, or for the note of a step."""
        if event.type() == QEvent.Type.ToolTip and isinstance(event, QHelpEvent):
            QToolTip.showText(event.globalPos(), self.tips.at(event.pos()), self)
            return True
        return super().viewportEvent(event)

    def tip_of(self, row: int) -> str:
        """What is to be said of a row."""
        return self._painter.tip(self.shown.line(row))

    def point_under(self, row: int, place: QPointF) -> int | None:
        """The code point at a place of the viewport, where the row's text is shown as it was written."""
        line = self.shown.line(row)
        assert self.opened is not None
        if self.opened.structure.kind[line] <= LineKind.BLOCK:
            return None
        layout = self.layout_of(line)
        if not isinstance(layout, RawLayout):
            return None
        corner = self._painter.text_box(line).topLeft() + self.rect_of(row).topLeft()
        found = layout.point_at(place - corner)
        return None if found is None else int(self.opened.structure.start[line]) + found

    # -- places -------------------------------------------------------------------------------------------------------

    def _place(self) -> tuple[int, int] | None:
        """The code point at the top of the view, and how many pixels of its row are scrolled out."""
        anchor = self._anchor_line(top=True)
        if anchor is None or self.opened is None:
            return None
        return int(self.opened.structure.start[anchor[0]]), anchor[1]

    def _anchor_line(self, *, top: bool = False) -> tuple[int, int] | None:
        """The line that is to stay where it is, and how far above the view's top it begins."""
        if not len(self.shown):
            return None
        row, seen = self.row_of(self.position), self.rows_in_sight()
        if top or row is None or row not in seen:
            row = seen.start
        return self.shown.line(row), -int(self.rect_of(row).top())

    def _relay(self, anchor: tuple[int, int] | None) -> None:
        """Show the lines that are not folded away, with the anchor's line where it was."""
        self.shown.renew()
        self._selected = None
        row, offset = (0, 0) if anchor is None else (self.shown.row_of(anchor[0]), anchor[1])
        self._guess(row, offset)

    def _renew(self) -> None:
        """The same lines, laid out anew."""
        anchor = self._anchor_line()
        self.text.renew()
        self._told_ready = self.opened is None
        if anchor is not None:
            self._guess(self.shown.row_of(anchor[0]), anchor[1])

    def _guess(self, row: int, offset: int) -> None:
        self._texts_in_sight.clear()
        heights = np.zeros(0, np.int64)
        if self.opened is not None and len(self.shown):
            title = self.opened.structure.kind[self.shown.numbers] <= LineKind.BLOCK
            text = self.text.guesses(self.shown.numbers, self._painter.widest()) + 2 * self._painter.padding(None)
            heights = np.where(title, self._painter.title_height(), text)
        self.set_guesses(heights, row=row, offset=max(0, offset))
        if offset < 0:
            self.scroll_by(offset)
        self.viewport().update()

    def _describe(self, row: int | None) -> None:
        if self.opened is None or row is None:
            self.setAccessibleDescription("")
        else:
            words = line_words(self.opened, self.shown.line(row))
            self.setAccessibleDescription(f"{self.opened.count} steps. {words}")

    # -- news ---------------------------------------------------------------------------------------------------------

    def _on_spare_time(self) -> None:
        super()._on_spare_time()
        if self._ahead:
            self.text.prepare(self._ahead.pop(0), int(self._painter.widest()))
            self._spare.start()

    def _on_rendered(self, formulas: frozenset[Formula]) -> None:
        texts = self.text.drop(formulas)
        mine = {row: text for row, text in self._texts_in_sight.items() if text in texts}
        for row in mine:
            self.forget(row)
        self._ahead += texts - set(mine.values())
        if mine:
            self.viewport().update()
        self._spare.start()

    def _on_theme_switched(self) -> None:
        self.text.restyle()
        self.verticalScrollBar().setSingleStep(self.theme.px(28))
        self._renew()
