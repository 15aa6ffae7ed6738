"""Find in all traces: hits come while one types, each opens its trace at the exact span."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from PySide6.QtCore import QModelIndex, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QFont, QPainter, QShowEvent, QTextCharFormat, QTextLayout, QTextOption
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QHBoxLayout,
    QInputDialog,
    QLabel,
    QListView,
    QVBoxLayout,
    QWidget,
)
from sqlalchemy import Connection

from studio.domain import Changes, Topic
from studio.errors import CancelledError, FindError
from studio.store import find, find_spans, saved_filters
from studio.store.find_pattern import SLOW, Mode
from studio.store.find_spans import Hits, Place, Query, Results, Span
from studio.store.find_words import Vocabulary
from studio.ui.actions import Page
from studio.ui.context import Context
from studio.ui.dialogs import set_role
from studio.ui.inspect.cursor import Cursor
from studio.ui.inspect.find_form import Choices, FindForm, read_choices
from studio.ui.inspect.opened import Opened
from studio.ui.widgets.card_list import ROW_ROLE, CardDelegate, CardModel
from studio.ui.widgets.parts import button, plural

PAGE = 50
SNIPPET_LINES = 2


@dataclass(frozen=True, slots=True)
class _Progress:
    """How far a search is."""

    number: int
    read: int
    candidates: int
    hits: tuple[Hits, ...]


class HitModel(CardModel):
    """Traces with hits, in the order of their ids."""

    def sentence(self, row: Hits) -> str:
        """Where, how many, and the text around the first."""
        text = row.snippet.replace(find.MARK_START, "").replace(find.MARK_END, "")
        return f"trace {row.trace_id}, {_count(row)}, {row.spans[0].place}: {text}"


class HitDelegate(CardDelegate):
    """Trace, place and count above two lines of the text around the first hit."""

    height = 68

    def heads(self, row: Hits) -> tuple[str, str]:
        """Trace and place; how many."""
        return f"Trace {row.trace_id} · {row.spans[0].place}", _count(row)

    def draw(self, painter: QPainter, box: QRectF, row: Hits) -> None:
        """The text around the first hit."""
        self._snippet(painter, QRectF(box.left(), box.top(), box.width(), self._theme.px(38)), row.snippet)

    def _snippet(self, painter: QPainter, box: QRectF, snippet: str) -> None:
        flat = " ".join(snippet.split())
        start, end = flat.find(find.MARK_START), flat.find(find.MARK_END)
        text = flat.replace(find.MARK_START, "").replace(find.MARK_END, "")
        layout = QTextLayout(text, self._theme.font(9.2))
        layout.setTextOption(QTextOption(Qt.AlignmentFlag.AlignLeft))
        found = QTextCharFormat()
        found.setBackground(self._theme.colours.q("accent_soft"))
        found.setForeground(self._theme.colours.q("accent"))
        found.setFontWeight(QFont.Weight.DemiBold)
        marked = QTextLayout.FormatRange()
        marked.start, marked.length, marked.format = start, max(0, end - start - 1), found
        layout.setFormats([marked])
        layout.beginLayout()
        top = 0.0
        for _ in range(SNIPPET_LINES):
            line = layout.createLine()
            if not line.isValid():
                break
            line.setLineWidth(box.width())
            line.setPosition(QPointF(0.0, top))
            top += line.height()
        layout.endLayout()
        painter.setClipRect(box)
        painter.setPen(self._theme.colours.q("text"))
        layout.draw(painter, box.topLeft())


class FindPanel(QWidget):
    """Searches off the GUI thread; an older answer never replaces a newer one.

    Signals:
        spanChosen(int, int): show these code points of the trace that is open.
    """

    spanChosen = Signal(int, int)
    _told = Signal(object)

    def __init__(self, context: Context, cursor: Cursor, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context, self._cursor = context, cursor
        self._number, self._after = 0, 0
        self._more: int | None = None
        self._stop = threading.Event()
        self._words: Vocabulary | None = None
        self._stale, self._reading_words, self._unread = True, False, True
        self._shown: Opened | None = None
        self._wanted: tuple[int, Span] | None = None
        self.form = FindForm()
        self.model = HitModel(self)
        self.list = QListView()
        self.state = QLabel()
        self.cancel = button("Cancel", self._cancel, tip="Stop this search; what was found stays")
        self.next_page = button("More", self._go_on, tip="Look on behind the last trace found")
        self._set_up()
        self.form.asked.connect(self._search)
        self.form.saveAsked.connect(self._save)
        self.form.removeAsked.connect(self._remove)
        self._told.connect(self._on_told)
        self.list.selectionModel().currentChanged.connect(self._on_chosen)
        context.background.changed.connect(self._on_changed)
        context.actions.on("find_next", lambda: self._step(1))
        context.actions.on("find_previous", lambda: self._step(-1))

    def showEvent(self, event: QShowEvent) -> None:
        """Ask what there is to filter by when somebody first looks."""
        super().showEvent(event)
        if self._unread:
            self._read_choices()

    def show_trace(self, opened: Opened | None) -> None:
        """Another trace is open: when a hit asked for it, show the hit."""
        self._shown = opened
        if opened is not None and self._wanted is not None and self._wanted[0] == opened.trace.id:
            self._show_span(self._wanted[1])
            self._wanted = None

    def step(self, by: int) -> bool:
        """To the next or previous hit of the list: within the open trace, then to another; whether there was one."""
        here = self.list.currentIndex().row()
        row = self.model.rows[here] if 0 <= here < len(self.model.rows) else None
        if row is not None and self._shown is not None and self._shown.trace.id == row.trace_id:
            inside = [s for s in row.spans if s.place is not Place.PROBLEM]
            point = self._cursor.position.point
            later = [s for s in inside if (s.start > point if by > 0 else s.start < point)]
            if later:
                self._show_span(later[0] if by > 0 else later[-1])
                return True
        if not 0 <= here + by < len(self.model.rows):
            return False
        self.list.setCurrentIndex(self.model.index(here + by))
        return True

    def _step(self, by: int) -> None:
        if not self.step(by):
            self._context.say("no further hit" if self.model.rows else "nothing is looked for: Ctrl+Shift+F")

    # -- searching ----------------------------------------------------------------------------------------------------

    def _search(self, query: Query) -> None:
        self._after = 0
        self.model.set_rows(())
        self._start(query)

    def _go_on(self) -> None:
        if self._more is not None:
            self._after = self._more
            self._start(self.form.query)

    def _start(self, query: Query) -> None:
        self._stop.set()
        self._stop = threading.Event()
        self._number += 1
        self._more = None
        self.next_page.hide()
        if not query.text:
            self._say("Words, phrases and expressions in every trace of this workspace.")
            return
        before, number, stop = tuple(self.model.rows), self._number, self._stop
        self._say("searching …", running=True)
        work = partial(_find, query, self._words, self._after, stop, self._told.emit, number, before)
        self._context.background.read(self, work, partial(self._on_found, number), partial(self._on_failed, number))
        if query.mode is Mode.REGEX:
            self._read_words()

    def _cancel(self) -> None:
        self._stop.set()

    def _on_told(self, told: _Progress) -> None:
        if told.number == self._number and not self._stop.is_set():
            self.model.set_rows(told.hits)
            self._say(f"read {told.read:,} of {told.candidates:,}, {_traces(told.hits)}", running=True)

    def _on_found(self, number: int, results: Results) -> None:
        if number != self._number:
            return
        self.model.set_rows(results.hits)
        self._more = results.after
        self.next_page.setVisible(results.after is not None)
        found = _traces(results.hits)
        said = f"the first {found}" if results.after is not None else found if results.hits else "Nothing found."
        self._say(f"{said} {_left_out(results)}".strip())

    def _on_failed(self, number: int, error: Exception) -> None:
        if number != self._number:
            return
        if isinstance(error, CancelledError):
            self._say(f"stopped, {_traces(self.model.rows)}")
        elif isinstance(error, FindError):
            self._say(str(error))
        else:
            self._say("")
            self._context.fail(error)

    def _say(self, words: str, *, running: bool = False) -> None:
        self.state.setText(words)
        self.cancel.setVisible(running)

    def _read_words(self) -> None:
        """The words of the index, once and after changes: the next expressions need not read every trace."""
        if self._stale and not self._reading_words:
            self._stale, self._reading_words = False, True
            self._context.background.read(self, Vocabulary.read, self._on_words)

    def _on_words(self, words: Vocabulary) -> None:
        self._words, self._reading_words = words, False

    def _on_changed(self, changes: Changes) -> None:
        if changes.touches(Topic.TRACES):
            self._stale = self._unread = True
            if self.isVisible():
                self._read_choices()

    # -- choosing -----------------------------------------------------------------------------------------------------

    def _on_chosen(self, current: QModelIndex, _previous: QModelIndex) -> None:
        row: Hits | None = current.data(ROW_ROLE)
        if row is None:
            return
        first = row.spans[0]
        if self._shown is not None and self._shown.trace.id == row.trace_id:
            self._show_span(first)
        else:
            self._wanted = (row.trace_id, first)
            self._context.open_trace(Page.INSPECT, row.trace_id)

    def _show_span(self, span: Span) -> None:
        if span.place is not Place.PROBLEM:
            self.spanChosen.emit(span.start, span.end)

    # -- saved searches -----------------------------------------------------------------------------------------------

    def _read_choices(self) -> None:
        self._unread = False
        self._context.background.read(self, read_choices, self._on_choices)

    def _on_choices(self, choices: Choices) -> None:
        self.form.set_choices(choices)

    def _save(self) -> None:
        query = replace(self.form.query, trace=None, stretch=None)  # those steps are of one trace
        name, given = QInputDialog.getText(self, "Save this search", "Name", text=query.text)
        if given:
            self._context.background.write(
                self, lambda c: saved_filters.save(c, name, query), lambda _saved: self._read_choices()
            )

    def _remove(self, filter_id: int) -> None:
        self._context.background.write(
            self, lambda c: saved_filters.remove(c, filter_id), lambda _none: self._read_choices()
        )

    def _set_up(self) -> None:
        self.list.setModel(self.model)
        self.list.setItemDelegate(HitDelegate(self._context.theme, self.list))
        self.list.setUniformItemSizes(True)
        self.list.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.list.setFrameShape(QFrame.Shape.NoFrame)
        self.list.setAccessibleName("Hits")
        self.state.setWordWrap(True)
        set_role(self.state, "caption")
        below = QHBoxLayout()
        below.addWidget(self.state, 1)
        below.addWidget(self.cancel)
        below.addWidget(self.next_page)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 8, 8, 0)
        column.setSpacing(8)
        column.addWidget(self.form)
        column.addLayout(below)
        column.addWidget(self.list, 1)
        self.next_page.hide()
        self._say("Words, phrases and expressions in every trace of this workspace.")


def _find(
    query: Query,
    words: Vocabulary | None,
    after: int,
    stop: threading.Event,
    tell: object,
    number: int,
    before: tuple[Hits, ...],
    c: Connection,
) -> Results:
    """One page of hits behind those there are, telling how far it is."""
    assert callable(tell)

    def check() -> None:
        if stop.is_set():
            raise CancelledError("the search was stopped")

    def told(read: int, candidates: int, hits: Sequence[Hits]) -> None:
        tell(_Progress(number, read, candidates, (*before, *hits)))

    found = find_spans.search(c, query, vocabulary=words, limit=PAGE, after=after, check=check, told=told)
    return replace(found, hits=(*before, *found.hits))


def _left_out(results: Results) -> str:
    """In how many of the traces that were read for this page the expression took too long."""
    if not results.left_out:
        return ""
    first = ", ".join(map(str, results.left_out[:5])) + (", …" if len(results.left_out) > 5 else "")
    return f"Left out, as it takes too long there: {plural(len(results.left_out), 'trace')} ({first}). {SLOW}"


def _count(row: Hits) -> str:
    return f"{len(row.spans)}{'+' if row.more else ''} hit{'' if len(row.spans) == 1 else 's'}"


def _traces(hits: Sequence[Hits]) -> str:
    return plural(len(hits), "trace")
