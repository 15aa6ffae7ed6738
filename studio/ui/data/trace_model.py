"""A list of traces of any length: pages come from the background as they are looked at."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal

from studio.domain import TraceRow
from studio.store import traces
from studio.store.traces import TraceQuery

if TYPE_CHECKING:
    from studio.ui.context import Context

Index = QModelIndex | QPersistentModelIndex
_ROOT = QModelIndex()
PAGE = 100
KEPT_PAGES = 40
HEADS = ("Problem", "Steps", "Reference", "Annotations", "First error", "Lowest score")
PROBLEM, STEPS, REFERENCE, ANNOTATIONS, FIRST_ERROR, LOW_SCORE = range(len(HEADS))
_FIGURES = {STEPS, ANNOTATIONS, FIRST_ERROR, LOW_SCORE}
WAITING = "…"


class TraceModel(QAbstractTableModel):
    """Rows of a `TraceQuery`; a page that is not here yet shows dots and comes a moment later.

    Signals:
        counted(int): how many traces the query has.
    """

    counted = Signal(int)

    def __init__(self, context: Context, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self.query = TraceQuery()
        self._total = 0
        self._pages: OrderedDict[int, tuple[TraceRow, ...]] = OrderedDict()
        self._asked: set[int] = set()
        self._generation = 0

    def look_for(self, query: TraceQuery) -> None:
        """Show the rows of a query; what is shown stays until the first page of the new one is here."""
        self._generation += 1
        self.query, generation = query, self._generation
        self._asked = {0}

        def first(c: object) -> tuple[int, tuple[TraceRow, ...]]:
            return traces.count(c, query), traces.rows(c, query, limit=PAGE, offset=0)  # type: ignore[arg-type]

        self._context.background.read(self, first, lambda found: self._on_first(generation, found))

    def reload(self) -> None:
        """Ask again."""
        self.look_for(self.query)

    def row_at(self, row: int) -> TraceRow | None:
        """The trace of a row, None while its page is on the way."""
        page = self._pages.get(row // PAGE)
        at = row % PAGE
        return page[at] if page is not None and at < len(page) else None

    def rowCount(self, parent: Index = _ROOT) -> int:
        """All rows of the query."""
        return 0 if parent.isValid() else self._total

    def columnCount(self, parent: Index = _ROOT) -> int:
        """How many columns."""
        return 0 if parent.isValid() else len(HEADS)

    def headerData(self, number: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Column titles."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return HEADS[number]
        if role == Qt.ItemDataRole.TextAlignmentRole and number in _FIGURES:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """What a cell shows; asks for its page if it is not here."""
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() in _FIGURES:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if role not in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return None
        row = self.row_at(index.row())
        if row is None:
            self._ask(index.row() // PAGE)
            return WAITING if role == Qt.ItemDataRole.DisplayRole and index.column() == PROBLEM else None
        if role == Qt.ItemDataRole.ToolTipRole:
            return row.title if index.column() == PROBLEM else None
        return _text(row, index.column())

    def _ask(self, number: int) -> None:
        if number in self._asked:
            return
        self._asked.add(number)
        generation, query = self._generation, self.query
        self._context.background.read(
            self,
            lambda c: traces.rows(c, query, limit=PAGE, offset=number * PAGE),
            lambda rows: self._on_page(generation, number, rows),
        )

    def _on_first(self, generation: int, found: tuple[int, tuple[TraceRow, ...]]) -> None:
        if generation != self._generation:
            return
        total, rows = found
        self.beginResetModel()
        self._total = total
        self._pages = OrderedDict({0: rows})
        self._asked = {0}
        self.endResetModel()
        self.counted.emit(total)

    def _on_page(self, generation: int, number: int, rows: tuple[TraceRow, ...]) -> None:
        if generation != self._generation:
            return
        self._pages[number] = rows
        while len(self._pages) > KEPT_PAGES:
            old, _ = self._pages.popitem(last=False)
            self._asked.discard(old)
        if rows:
            first = number * PAGE
            self.dataChanged.emit(self.index(first, 0), self.index(first + len(rows) - 1, len(HEADS) - 1))


def _text(row: TraceRow, column: int) -> str:
    if column == PROBLEM:
        return " ".join(row.title.split())
    if column == FIRST_ERROR:
        return "" if row.first_error is None else f"step {row.first_error + 1}"
    if column == LOW_SCORE:
        return "" if row.low_score is None else f"{row.low_score:.2f}"
    figure = {STEPS: row.steps, ANNOTATIONS: row.annotations, REFERENCE: row.reference}[column]
    return "" if figure is None else str(figure)
