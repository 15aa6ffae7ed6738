"""The traces of one update as a table: what they answered, what they were paid, what they would be paid."""

from __future__ import annotations

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, QSortFilterProxyModel, Qt
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
SORT_ROLE = int(Qt.ItemDataRole.UserRole)
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
    """The traces of an update in the order in which they were written."""

    def __init__(self, theme: Theme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._traces: tuple[TraceCredit, ...] = ()

    def show_traces(self, traces: tuple[TraceCredit, ...]) -> None:
        """Take the traces; the same ones under other credit keep selection and place."""
        if [one.trace.id for one in traces] == [one.trace.id for one in self._traces]:
            self._traces = traces
            if traces:
                self.dataChanged.emit(self.index(0, 0), self.index(len(traces) - 1, len(HEADS) - 1))
            return
        self.beginResetModel()
        self._traces = traces
        self.endResetModel()

    def trace_at(self, row: int) -> TraceCredit | None:
        """The trace of a row."""
        return self._traces[row] if 0 <= row < len(self._traces) else None

    def row_of(self, id: str) -> int:
        """The row of a trace, -1 when it is not of this update."""
        return next((row for row, one in enumerate(self._traces) if one.trace.id == id), -1)

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
        if role == Qt.ItemDataRole.DisplayRole:
            return _text(one, column)
        if role == SORT_ROLE:
            return _sort_key(one, column)
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
            return f"{HEADS[column]} {_text(one, column)}"
        return None


class RolloutTable(QTableView):
    """The view on `RolloutModel`, sorted by any column."""

    def __init__(self, model: RolloutModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.traces = model
        self.proxy = QSortFilterProxyModel(self)
        self.proxy.setSourceModel(model)
        self.proxy.setSortRole(SORT_ROLE)
        self.setModel(self.proxy)
        self.setAccessibleName("Traces of this update")
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(round(self.fontMetrics().height() * 1.7))
        head = self.horizontalHeader()
        head.setHighlightSections(False)
        head.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        head.setSectionResizeMode(PROBLEM, QHeaderView.ResizeMode.Stretch)
        head.setMinimumSectionSize(round(self.fontMetrics().averageCharWidth() * 8))
        head.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.setSortingEnabled(True)

    def fit(self) -> None:
        """Give every column but the problem the width of what stands in it."""
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
        return self.traces.trace_at(self.proxy.mapToSource(index).row()) if index.isValid() else None

    def choose(self, row: int) -> None:
        """Make a row of the model the current one."""
        self.setCurrentIndex(self.proxy.mapFromSource(self.traces.index(row, PROBLEM)))


def _text(one: TraceCredit, column: int) -> str:
    trace = one.trace
    if column == ADVANTAGE:
        return f"{'⇄ ' if one.turns else ''}{signed(one.paid_mean)} → {signed(one.what_if_mean)}"
    return {
        PROBLEM: " ".join(trace.problem.split())[:200],
        ANSWER: trace.answer if trace.answer is not None else "none",
        VERDICT: verdict(one),
        REWARD: f"{trace.reward:.3f}",
        EARNED: f"{one.earned:.3f}",
        STEPS: str(len(trace.step_ends)),
        TOKENS: f"{trace.length:,}",
        THINKING: _THINKING.get(trace.thinking_ended, trace.thinking_ended),
    }[column]


def _sort_key(one: TraceCredit, column: int) -> str | float:
    trace = one.trace
    figures = {
        REWARD: trace.reward,
        EARNED: one.earned,
        ADVANTAGE: one.what_if_mean,
        STEPS: float(len(trace.step_ends)),
        TOKENS: float(trace.length),
        VERDICT: {True: 2.0, None: 1.0, False: 0.0}[trace.correct],
    }
    return figures[column] if column in figures else _text(one, column)


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
