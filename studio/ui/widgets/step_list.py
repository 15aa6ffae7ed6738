"""The list of steps: text with maths, faces, scores. Rows are virtual; a thousand steps scroll smoothly."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from PySide6.QtCore import QEvent, QItemSelectionModel, QPoint, QPointF, QRectF, Qt, QTimer, Signal
from PySide6.QtGui import (
    QFocusEvent,
    QFontMetricsF,
    QGuiApplication,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
    QPaintEvent,
    QResizeEvent,
)
from PySide6.QtWidgets import QAbstractItemView, QFrame, QListView, QWidget

from studio.render import prose
from studio.render.formula import Formula
from studio.render.layout import LEADING, ProseLayout, TextStyle
from studio.render.maths import MathsRenderer
from studio.ui.theme import Theme
from studio.ui.widgets.layouts import LayoutCache
from studio.ui.widgets.row_heights import RowHeights
from studio.ui.widgets.step_delegate import StepDelegate
from studio.ui.widgets.step_model import Faces, Index, StepModel, StepRow
from studio.ui.widgets.text_style import STEP_POINTS, text_style
from trainer.contract.records import Rating

SLICE_S = 0.008  # the longest the GUI thread works at a time on rows that are not in sight
LAID_AT_ONCE = 500  # rows that are laid out anew within a slice
AT_ONCE_S = 0.012  # laid out before a new trace is first painted; later rows begin with an estimated height


class StepListView(QListView):
    """Steps in order, each with what `StepRow` says of it.

    The parent decides which step is current and what a click means; the view never changes a rating itself.

    Signals:
        rated(int, Rating): the face of a step was clicked.
        stepActivated(int): a step was clicked or reached with the arrow keys.
        firstPainted(): the first paint since `set_steps`, text readable.
        paintedReady(): the first paint since `set_steps` in which every visible row showed its maths. Sent from within
            the paint event: receivers must not repaint.
    """

    rated = Signal(int, object)
    stepActivated = Signal(int)
    firstPainted = Signal()
    paintedReady = Signal()

    def __init__(self, maths: MathsRenderer | None, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.theme = theme
        self.faces, self.shows_scores = Faces.ALL, False
        self.hovered: tuple[int, Rating] | None = None
        self._maths = maths
        self._source = False
        self._heights = RowHeights(self._measured)
        self._moved = False  # a height has changed since the rows were laid out
        self._whole: set[int] = set()
        self._told_first = self._told_ready = True
        self._ahead: list[str] = []
        self._model = StepModel(self)
        self._layouts = LayoutCache(maths, self._style())
        self._delegate = StepDelegate(self)
        self._spare = QTimer(self, interval=0)
        self._spare.timeout.connect(self._on_spare_time)
        self.setModel(self._model)
        self.setItemDelegate(self._delegate)
        self._set_up()
        theme.switched.connect(self._on_theme_switched)
        if maths is not None:
            maths.rendered.connect(self._on_rendered)

    def _set_up(self) -> None:
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)  # no change of width, no second layout
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setMouseTracking(True)
        self.setAccessibleName(self.tr("Steps"))
        self.verticalScrollBar().setSingleStep(self.theme.px(28))

    # -- what the parent says -----------------------------------------------------------------------------------------

    @property
    def current(self) -> int | None:
        """The ordinal of the current step."""
        return self._model.current

    @property
    def rows(self) -> tuple[StepRow, ...]:
        """All rows."""
        return self._model.rows

    @property
    def is_ready(self) -> bool:
        """Whether the visible rows have been painted with all their maths."""
        return self._told_ready

    def set_steps(self, rows: Sequence[StepRow], *, current: int | None = None) -> None:
        """Show another trace, from its top or with this step in sight."""
        self._model.current = current
        self._heights.guess(self._guess(row.text) for row in rows)
        self._moved = False
        self._whole.clear()
        self._told_first = self._told_ready = False
        self._model.set_rows(rows)
        until = time.perf_counter() + AT_ONCE_S
        for place in range(len(rows)):
            if time.perf_counter() > until:
                break
            self._heights.settle(place)
        self.scrollToTop()
        if current is not None:
            self.set_current(current)
        self._spare.start()
        self.viewport().update()

    def set_row(self, row: StepRow) -> None:
        """Replace the row of the same ordinal."""
        place = self._model.place(row.ordinal)
        if place is not None and self._model.set_row(row):
            self._heights.forget(place)
            self._settle(range(place, place + 1))

    def set_current(self, ordinal: int | None, *, scroll: bool = True) -> None:
        """Make a step the current one and bring it into sight."""
        before, self._model.current = self._model.current, ordinal
        for each in (before, ordinal):
            place = None if each is None else self._model.place(each)
            if place is not None:
                self.update(self._model.index(place))
        place = None if ordinal is None else self._model.place(ordinal)
        if place is None:
            return
        self._settle_before(place)
        flag = QItemSelectionModel.SelectionFlag.ClearAndSelect
        self.selectionModel().setCurrentIndex(self._model.index(place), flag)
        if scroll:
            self.scrollTo(self._model.index(place))

    def set_columns(self, *, faces: Faces, scores: bool) -> None:
        """Which columns are shown beside number and text."""
        self.faces, self.shows_scores = faces, scores
        self._forget_heights()

    def set_show_source(self, on: bool) -> None:
        """Show every step as it was written, in a monospaced font, or with its maths drawn."""
        self._source = on
        self._told_ready = False
        self._forget_heights()

    @property
    def shows_source(self) -> bool:
        """Whether steps are shown as written."""
        return self._source

    def prepare(self, texts: Sequence[str]) -> None:
        """Lay out the texts of the next trace, and have its maths drawn, when there is nothing else to do."""
        self._ahead = list(texts)
        self._spare.start()

    def copy_text(self, *, latex: bool = False) -> None:
        """Copy the selected steps as they were written, or as LaTeX that compiles."""
        places = sorted(index.row() for index in self.selectedIndexes())
        texts = [self._model.row(place).text for place in places]
        if texts:
            text = "\n\n".join(prose.as_latex(text) if latex else text for text in texts)
            QGuiApplication.clipboard().setText(text)

    # -- what the delegate asks ---------------------------------------------------------------------------------------

    @property
    def padding(self) -> int:
        """Room above and below a row's text."""
        return self.theme.px(8)

    @property
    def line_height(self) -> float:
        """Height of a line of plain text."""
        return QFontMetricsF(self._layouts.style.font).height() * LEADING

    def layout_of(self, place: int) -> ProseLayout:
        """The laid-out text of a row."""
        return self._layouts.get(self._model.row(place).text, self._text_width(), source=self._source)

    def row_height(self, place: int) -> int:
        """Height of a row; estimated as long as nobody needs to see it."""
        return self._heights[place]

    def note_painted(self, place: int, whole: bool) -> None:
        """A row has been painted, with or without all its maths."""
        if whole:
            self._whole.add(place)
        else:
            self._whole.discard(place)

    # -- Qt -----------------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint the visible rows, then say how far they are."""
        if self._settle_visible():
            self.executeDelayedItemsLayout()
        super().paintEvent(event)
        if self._told_ready or not len(self._heights):
            return
        if not self._told_first:
            self._told_first = True
            self.firstPainted.emit()
        if all(place in self._whole for place in self._visible()):
            self._told_ready = True
            self.paintedReady.emit()

    def dataChanged(self, top_left: Index, bottom_right: Index, roles: Sequence[int] = ()) -> None:
        """Repaint the rows alone: their heights are looked after here, and a new layout of all would cost too much."""
        for place in range(top_left.row(), bottom_right.row() + 1):
            self.update(self._model.index(place))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Lay out anew when the width is another one."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self._forget_heights()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """A face rates, the rest of a row activates."""
        hit = self._face_under(event.position())
        if hit is not None and event.button() == Qt.MouseButton.LeftButton:
            self.setFocus(Qt.FocusReason.MouseFocusReason)
            self.rated.emit(*hit)
            return
        super().mousePressEvent(event)
        index = self.indexAt(event.position().toPoint())
        plain = event.modifiers() == Qt.KeyboardModifier.NoModifier
        if index.isValid() and event.button() == Qt.MouseButton.LeftButton and plain:
            self.stepActivated.emit(self._model.row(index.row()).ordinal)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Show which face a click would give."""
        super().mouseMoveEvent(event)
        self._hover(self._face_under(event.position()))

    def leaveEvent(self, event: QEvent) -> None:
        """No face is under the pointer any more."""
        super().leaveEvent(event)
        self._hover(None)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows move and activate; Copy copies the selected steps; letters are left to the window's commands."""
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy_text()
            return
        moves = {
            Qt.Key.Key_Up,
            Qt.Key.Key_Down,
            Qt.Key.Key_PageUp,
            Qt.Key.Key_PageDown,
            Qt.Key.Key_Home,
            Qt.Key.Key_End,
        }
        if event.key() not in moves:
            event.ignore()
            return
        before = self.currentIndex().row()
        super().keyPressEvent(event)
        place = self.currentIndex().row()
        if place != before and place >= 0 and event.modifiers() == Qt.KeyboardModifier.NoModifier:
            self.stepActivated.emit(self._model.row(place).ordinal)

    def keyboardSearch(self, search: str) -> None:
        """Letters and digits never move the selection: they are commands."""

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Draw the focus."""
        super().focusInEvent(event)
        self.viewport().update()

    # -- heights ------------------------------------------------------------------------------------------------------

    def _text_width(self) -> int:
        return int(self._delegate.columns(self.viewport().width()).text.width())

    def _style(self) -> TextStyle:
        return text_style(self.theme, STEP_POINTS, self.devicePixelRatioF())

    def _guess(self, text: str) -> int:
        letters = max(10.0, self._text_width() / (self.line_height / LEADING * 0.45))
        lines = sum(1 + int(len(part) / letters) for part in text[:4_000].split("\n"))
        return math.ceil(lines * self.line_height) + 2 * self.padding

    def _visible(self) -> range:
        """Places of the rows in sight."""
        first = self.indexAt(QPoint(4, 0))
        last = self.indexAt(QPoint(4, self.viewport().height() - 1))
        start = first.row() if first.isValid() else 0
        stop = last.row() + 1 if last.isValid() else len(self._heights)
        return range(start, stop)

    def _settle_visible(self) -> bool:
        """Give the rows in sight their exact heights; whether one was another."""
        return self._settle(self._visible())

    def _settle_before(self, place: int) -> None:
        """Exact heights around a row that is about to be brought into sight."""
        self._settle(range(max(0, place - 12), min(len(self._heights), place + 12)))

    def _settle(self, places: range) -> bool:
        moved = False
        for place in places:
            moved |= self._heights.settle(place)
        if moved:
            self._relay()
        return moved

    def _measured(self, place: int) -> int:
        return math.ceil(self.layout_of(place).height) + 2 * self.padding

    def _relay(self) -> None:
        """New places for all rows; what is at the top of the view stays there."""
        anchor = self.indexAt(QPoint(4, 0))
        offset = self.visualRect(anchor).top() if anchor.isValid() else 0
        self._moved = False
        self.doItemsLayout()
        if anchor.isValid() and self.verticalScrollBar().value() > 0:
            self.verticalScrollBar().setValue(self.verticalScrollBar().value() + self.visualRect(anchor).top() - offset)
        self.viewport().update()

    def _forget_heights(self) -> None:
        self._heights.guess(self._guess(row.text) for row in self._model.rows)
        self._moved = False
        self._whole.clear()
        self.scheduleDelayedItemsLayout()
        self.viewport().update()
        self._spare.start()

    def _on_spare_time(self) -> None:
        """Exact heights for rows out of sight, then the texts of the next trace, a slice at a time."""
        until = time.perf_counter() + SLICE_S
        while (place := self._heights.unsettled) is not None and time.perf_counter() < until:
            self._moved |= self._heights.settle(place)
        if self._moved and (self._heights.unsettled is None or len(self._heights) <= LAID_AT_ONCE):
            self._relay()  # takes as long as there are rows: of a long trace once, at the end
        width = self._text_width()
        while self._ahead and time.perf_counter() < until:
            self._layouts.get(self._ahead.pop(0), width, source=self._source, urgent=False)
        if not self._ahead and self._heights.unsettled is None:
            self._spare.stop()

    # -- news ---------------------------------------------------------------------------------------------------------

    def _on_rendered(self, formulas: frozenset[Formula]) -> None:
        texts = self._layouts.drop(formulas)
        if not texts:
            return
        mine = set()
        for place in range(self._model.rowCount()):
            text = self._model.row(place).text
            if text in texts:
                mine.add(text)
                self._heights.forget(place)
                self._whole.discard(place)
        self._ahead += texts - mine
        if mine:
            self._settle_visible()
            self.viewport().update()
        self._spare.start()

    def _on_theme_switched(self) -> None:
        self._layouts.restyle(self._style())
        self._told_ready = not len(self._heights)
        self.verticalScrollBar().setSingleStep(self.theme.px(28))
        self._forget_heights()

    def _face_under(self, point: QPointF) -> tuple[int, Rating] | None:
        if self.faces is not Faces.ALL:
            return None
        index = self.indexAt(point.toPoint())
        if not index.isValid() or not self._model.row(index.row()).ratable:
            return None
        value = self._delegate.face_at(QRectF(self.visualRect(index)), point)
        return None if value is None else (self._model.row(index.row()).ordinal, value)

    def _hover(self, hit: tuple[int, Rating] | None) -> None:
        if hit == self.hovered:
            return
        for each in (self.hovered, hit):
            place = None if each is None else self._model.place(each[0])
            if place is not None:
                self.update(self._model.index(place))
        self.hovered = hit
        self.viewport().setCursor(Qt.CursorShape.ArrowCursor if hit is None else Qt.CursorShape.PointingHandCursor)
