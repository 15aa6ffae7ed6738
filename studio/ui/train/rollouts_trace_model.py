"""The traces of one update as a table: what they answered, what they were paid, what they would be paid."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt
from PySide6.QtGui import QBrush, QFont, QFontMetrics
from PySide6.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from studio.ui.theme import Theme
from studio.ui.train.rollouts_credit import SAME, TraceCredit, signed

Index = QModelIndex | QPersistentModelIndex
_ROOT = QModelIndex()
HEADS = (
    "Problem",
    "Answer",
    "Verdict",
    "Reward",
    "What-if",
    "Advantage",
    "Steps",
    "Tokens",
    "Thinking",
)
PROBLEM, ANSWER, VERDICT, REWARD, EARNED, ADVANTAGE, STEPS, TOKENS, THINKING = range(len(HEADS))
_FIGURES = {REWARD, EARNED, ADVANTAGE, STEPS, TOKENS}
_TIPS = {
    REWARD: "What the trace earned in the run",
    EARNED: "What it would earn under the settings and scores on the right",
    ADVANTAGE: "Paid → what-if: mean over the tokens that bear credit; ⇄ marks a change of sign",
    THINKING: "How the thinking ended",
}
_THINKING_TIPS = {
    "closed": "The policy closed its thinking itself",
    "nudged": "The policy closed its thinking within the grace window of the budget",
    "forced": "The budget cut the thinking",
    "open": "The trace ended before its thinking was closed",
    "before": "The prompt had closed the thinking already",
    "": "No thinking was asked for",
}
_THINKING = {
    "closed": "closed",
    "nudged": "nudged",
    "forced": "cut",
    "open": "open",
    "before": "none asked for",
    "": "none",
}


def verdict(trace: TraceCredit) -> str:
    """What the verifier said, with its sign."""
    return {True: "✓ right", False: "✗ wrong", None: "? undecided"}[trace.trace.correct]


class RolloutModel(QAbstractTableModel):
    """The traces of an update, as they were written or sorted by a column.

    It sorts itself: a proxy asks for every pair of cells, which Python answers too slowly for hundreds of rows.
    """

    def __init__(self, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._written: tuple[TraceCredit, ...] = ()
        self._traces: tuple[TraceCredit, ...] = ()
        self.pinned: frozenset[str] = frozenset()
        self._sorted_by = -1
        self._order = Qt.SortOrder.AscendingOrder

    def show_traces(self, traces: tuple[TraceCredit, ...]) -> None:
        """Take the traces; the same ones under other credit keep selection and place."""
        same = {one.trace.id for one in traces} == {one.trace.id for one in self._written}
        self._written = traces
        if same:
            self.sort(self._sorted_by, self._order)
            if traces:
                self.dataChanged.emit(self.index(0, 0), self.index(len(traces) - 1, len(HEADS) - 1))
            return
        self.beginResetModel()
        self._traces = self._arranged()
        self.endResetModel()

    def show_pins(self, pinned: frozenset[str]) -> None:
        """Mark the traces of these ids with a star before the problem."""
        if pinned != self.pinned:
            self.pinned = pinned
            if self._traces:
                self.dataChanged.emit(self.index(0, PROBLEM), self.index(len(self._traces) - 1, PROBLEM))

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column, -1 for the order in which they were written; rows keep their selection."""
        self._sorted_by, self._order = column, order
        self.layoutAboutToBeChanged.emit()
        old, held = self._traces, self.persistentIndexList()
        self._traces = self._arranged()
        places = {one.trace.id: row for row, one in enumerate(self._traces)}
        fresh = [self.index(places[old[index.row()].trace.id], index.column()) for index in held]
        self.changePersistentIndexList(held, fresh)
        self.layoutChanged.emit()

    def _arranged(self) -> tuple[TraceCredit, ...]:
        column = self._sorted_by
        if column < 0:
            return self._written
        key: Callable[[TraceCredit], str | float] = _FIGURE.get(column) or _WORDS[column]
        return tuple(sorted(self._written, key=key, reverse=self._order == Qt.SortOrder.DescendingOrder))

    def trace_at(self, row: int) -> TraceCredit | None:
        """The trace of a row."""
        return self._traces[row] if 0 <= row < len(self._traces) else None

    def rowCount(self, parent: Index = _ROOT) -> int:
        """How many traces."""
        return 0 if parent.isValid() else len(self._traces)

    def columnCount(self, parent: Index = _ROOT) -> int:
        """How many columns."""
        return 0 if parent.isValid() else len(HEADS)

    def headerData(self, number: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Column titles."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return HEADS[number]
        if role == Qt.ItemDataRole.TextAlignmentRole and number in _FIGURES:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return _TIPS.get(number) if role == Qt.ItemDataRole.ToolTipRole else None

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """What a cell shows."""
        one, column = self.trace_at(index.row()), index.column()
        if one is None:
            return None
        if column == PROBLEM and one.trace.id in self.pinned:
            if role == Qt.ItemDataRole.DisplayRole:
                return f"★ {_WORDS[column](one)}"
            if role == Qt.ItemDataRole.AccessibleTextRole:
                return f"{HEADS[column]} {_WORDS[column](one)}, pinned"
        if role == Qt.ItemDataRole.DisplayRole:
            return _WORDS[column](one)
        if role == Qt.ItemDataRole.TextAlignmentRole and column in _FIGURES:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if role == Qt.ItemDataRole.ForegroundRole and column == VERDICT:
            name = {True: "positive", False: "negative", None: "unsure"}[one.trace.correct]
            return QBrush(self._theme.colours.q(name))
        if role == Qt.ItemDataRole.FontRole and _is_news(one, column):
            font = QFont(self._theme.font())
            font.setBold(True)
            return font
        if role == Qt.ItemDataRole.ToolTipRole:
            return _tip(one, column)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{HEADS[column]} {_WORDS[column](one)}"
        return None


class RolloutTable(QTableView):
    """The view on `RolloutModel`, sorted by any column."""

    def __init__(self, model: RolloutModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.traces = model
        self.setModel(model)
        self.setAccessibleName("Traces of this update")
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.verticalHeader().hide()
        head = self.horizontalHeader()
        head.setHighlightSections(False)
        head.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        head.setSectionResizeMode(PROBLEM, QHeaderView.ResizeMode.Stretch)
        head.setResizeContentsPrecision(16)  # rows to look at: one costs half a millisecond
        head.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.setSortingEnabled(True)

    def fit(self) -> None:
        """Give every column but the problem the width of what stands in it, and rows the height of the text."""
        self.verticalHeader().setDefaultSectionSize(round(self.fontMetrics().height() * 1.7))
        self.horizontalHeader().setMinimumSectionSize(round(self.fontMetrics().averageCharWidth() * 8))
        for column in range(PROBLEM + 1, len(HEADS)):
            self.resizeColumnToContents(column)
        self.setColumnWidth(ANSWER, min(self.columnWidth(ANSWER), 120))
        bold = QFont(self.font())
        bold.setBold(True)
        turned = QFontMetrics(bold).horizontalAdvance("⇄ −0.000 → +0.000") + 24  # before any sign has changed
        self.setColumnWidth(ADVANTAGE, max(self.columnWidth(ADVANTAGE), turned))

    @property
    def current(self) -> TraceCredit | None:
        """The trace of the current row."""
        index = self.currentIndex()
        return self.traces.trace_at(index.row()) if index.isValid() else None

    def choose(self, row: int) -> None:
        """Make a row the current one."""
        self.setCurrentIndex(self.traces.index(row, PROBLEM))


_WORDS: dict[int, Callable[[TraceCredit], str]] = {
    PROBLEM: lambda one: " ".join(one.trace.problem[:400].split())[:200],
    ANSWER: lambda one: one.trace.answer if one.trace.answer is not None else "none",
    VERDICT: verdict,
    REWARD: lambda one: f"{one.trace.reward:.3f}",
    EARNED: lambda one: f"{one.earned:.3f}",
    ADVANTAGE: lambda one: f"{'⇄ ' if one.turns else ''}{signed(one.paid_mean)} → {signed(one.what_if_mean)}",
    STEPS: lambda one: str(len(one.trace.step_ends)),
    TOKENS: lambda one: f"{one.trace.length:,}",
    THINKING: lambda one: _THINKING.get(one.trace.thinking_ended, one.trace.thinking_ended),
}
_FIGURE: dict[int, Callable[[TraceCredit], float]] = {
    VERDICT: lambda one: {True: 2.0, None: 1.0, False: 0.0}[one.trace.correct],
    REWARD: lambda one: one.trace.reward,
    EARNED: lambda one: one.earned,
    ADVANTAGE: lambda one: one.what_if_mean,
    STEPS: lambda one: float(len(one.trace.step_ends)),
    TOKENS: lambda one: float(one.trace.length),
}


def _is_news(one: TraceCredit, column: int) -> bool:
    return (column == EARNED and abs(one.earned - one.trace.reward) > SAME) or (column == ADVANTAGE and one.turns)


def _tip(one: TraceCredit, column: int) -> str | None:
    trace = one.trace
    if column == PROBLEM:
        return trace.problem[:1000]
    if column in (ANSWER, VERDICT):
        return f"Reference: {trace.reference}" if trace.reference else "No reference answer"
    if column == TOKENS:
        told = f"{trace.thinking_tokens:,} of thinking, {trace.answer_tokens:,} of answer; ended by {trace.ended}"
        return told + (f"; budget {trace.budget:,}" if trace.budget is not None else "")
    if column == THINKING:
        return _THINKING_TIPS.get(trace.thinking_ended)
    return _TIPS.get(column)
