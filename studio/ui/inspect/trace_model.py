"""A list of traces that reads only the pages somebody looks at."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

import numpy as np
from PySide6.QtCore import QAbstractListModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal
from sqlalchemy import Connection

from studio.domain import TraceRow
from studio.render import prose
from studio.store import trace_list
from studio.store.trace_list import Head
from studio.store.traces import TraceQuery
from studio.ui.background import Background
from studio.ui.inspect.budget_bar import count_words, ended_words

Index = QModelIndex | QPersistentModelIndex
ROW_ROLE = int(Qt.ItemDataRole.UserRole)
NO_PARENT = QModelIndex()
PAGE = 100
HELD_PAGES = 40
CLOSED = ended_words("stop")  # the usual end, which needs no word


class TraceListModel(QAbstractListModel):
    """Rows of a TraceQuery, page by page, read in threads.

    Signals:
        loaded(int): a list has been opened, with this many traces.
    """

    loaded = Signal(int)

    def __init__(self, background: Background, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._background = background
        self._query = TraceQuery()
        self._number = 0  # of the list, so that answers for an older one are dropped
        self._ids = np.zeros(0, np.int64)  # of the whole list: a page is read by these, and nothing is filtered again
        self._pages: OrderedDict[int, tuple[TraceRow, ...]] = OrderedDict()
        self._asked: set[int] = set()

    @property
    def query(self) -> TraceQuery:
        """What the list shows."""
        return self._query

    def open(self, query: TraceQuery) -> None:
        """Show another list; the old one stays until the new one has come."""
        self._query = query
        self._number += 1
        self._background.read(self, partial(_read_head, query), partial(self._on_head, self._number))

    def reload(self) -> None:
        """Read the list again."""
        self.open(self._query)

    def row(self, place: int) -> TraceRow | None:
        """A row if it is at hand; otherwise its page is fetched and comes with dataChanged."""
        page = place // PAGE
        rows = self._pages.get(page)
        if rows is None:
            self._ask(page)
            return None
        self._pages.move_to_end(page)
        return rows[place % PAGE] if place % PAGE < len(rows) else None

    def place_of(self, trace_id: int) -> int | None:
        """Where a trace stands, if its page is at hand."""
        for page, rows in self._pages.items():
            for offset, row in enumerate(rows):
                if row.id == trace_id:
                    return page * PAGE + offset
        return None

    def rowCount(self, parent: Index = NO_PARENT) -> int:
        """How many traces the list has."""
        return 0 if parent.isValid() else len(self._ids)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """The row under ROW_ROLE; a sentence for screen readers."""
        if not index.isValid():
            return None
        row = self.row(index.row())
        if role == ROW_ROLE:
            return row
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return "…" if row is None else f"{prose.spoken(row.title)}. {facts(row)}"
        return None

    def _ask(self, page: int) -> None:
        if page in self._asked:
            return
        self._asked.add(page)
        ids = self._ids[page * PAGE : (page + 1) * PAGE].tolist()
        work = partial(_read_page, ids, self._query.project)
        self._background.read(self, work, partial(self._on_page, self._number, page))

    def _on_head(self, number: int, head: Head) -> None:
        if number != self._number:
            return
        self.beginResetModel()
        self._pages.clear()
        self._asked.clear()
        self._ids = head.ids
        self._pages[0] = head.rows
        self.endResetModel()
        self.loaded.emit(len(self._ids))

    def _on_page(self, number: int, page: int, rows: tuple[TraceRow, ...]) -> None:
        if number != self._number:
            return
        self._asked.discard(page)
        self._pages[page] = rows
        while len(self._pages) > HELD_PAGES:
            self._pages.popitem(last=False)
        first, last = page * PAGE, min(len(self._ids), (page + 1) * PAGE) - 1
        self.dataChanged.emit(self.index(first), self.index(last), [ROW_ROLE])


def facts(row: TraceRow) -> str:
    """What is known of a trace, on one line."""
    parts = []
    if row.sample:
        parts.append(f"sample {row.sample}" + (f" e{row.epoch}" if row.epoch is not None else ""))
    if row.outcome is not None:
        parts.append("right" if row.outcome else "wrong")
    if row.ended and ended_words(row.ended) != CLOSED:
        parts.append(ended_words(row.ended))
    if row.tokens is not None:
        parts.append(f"{count_words(row.tokens)} tokens")
    parts.append(f"{row.steps} step{'' if row.steps == 1 else 's'}")
    if row.first_error is not None:
        parts.append(f"first error {row.first_error + 1}")
    elif row.annotations:
        parts.append("no error found")
    if row.annotations > 1:
        parts.append(f"{row.annotations} annotations")
    if row.low_score is not None:
        parts.append(f"lowest {row.low_score:.2f}")
    if row.model:
        parts.append(row.model)
    return " · ".join(parts)


def _read_page(ids: list[int], project: int | None, c: Connection) -> tuple[TraceRow, ...]:
    return trace_list.rows_of(c, ids, project)


def _read_head(query: TraceQuery, c: Connection) -> Head:
    return trace_list.head(c, query, limit=PAGE)
