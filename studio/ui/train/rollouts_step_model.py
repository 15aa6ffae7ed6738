"""The steps of one trace as rows: score, paid advantage, what-if advantage. A score can be edited."""

from __future__ import annotations

import math

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal

from studio.ui.train.rollouts_credit import SAME, StepCredit, TraceCredit, signed

Index = QModelIndex | QPersistentModelIndex
_ROOT = QModelIndex()
HEADS = ("", "Step · its tokens as paid, and what-if below", "Score", "Paid", "What-if")
NUMBER, TEXT, SCORE, PAID, WHAT_IF = range(len(HEADS))
_TIPS = {
    TEXT: "Below each step its tokens: first line as paid, second line what-if; up is positive, down is negative",
    SCORE: "P(step is correct). Double-click, F2 or Enter to try another; Delete takes it back",
    PAID: "Mean advantage of the step's tokens that the policy learned from",
    WHAT_IF: "The same under the settings and scores of now",
}


class RolloutStepModel(QAbstractTableModel):
    """Rows of a `TraceCredit`: its steps, then what follows the last one.

    Signals:
        scoreEdited(int, object): this step is to have this score; None = its own again.
    """

    scoreEdited = Signal(int, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.credit: TraceCredit | None = None
        self.peak = 0.0

    def show_trace(self, credit: TraceCredit | None, peak: float) -> None:
        """Show a trace; the same one under other credit keeps the current row."""
        same = credit is not None and self.credit is not None and credit.trace.id == self.credit.trace.id
        if not same:
            self.beginResetModel()
        self.credit, self.peak = credit, peak
        if same:
            self.dataChanged.emit(self.index(0, 0), self.index(self.rowCount() - 1, len(HEADS) - 1))
        else:
            self.endResetModel()

    def step_at(self, row: int) -> StepCredit | None:
        """The step of a row."""
        steps = () if self.credit is None else self.credit.steps
        return steps[row] if 0 <= row < len(steps) else None

    def rowCount(self, parent: Index = _ROOT) -> int:
        """How many rows."""
        return 0 if parent.isValid() or self.credit is None else len(self.credit.steps)

    def columnCount(self, parent: Index = _ROOT) -> int:
        """How many columns."""
        return 0 if parent.isValid() else len(HEADS)

    def headerData(self, number: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Column titles."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return HEADS[number]
        if role == Qt.ItemDataRole.TextAlignmentRole and number >= SCORE:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        return _TIPS.get(number) if role == Qt.ItemDataRole.ToolTipRole else None

    def flags(self, index: Index) -> Qt.ItemFlag:
        """Scores of steps can be edited."""
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        step = self.step_at(index.row())
        if index.column() == SCORE and step is not None and step.score is not None:
            flags |= Qt.ItemFlag.ItemIsEditable
        return flags

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """What a cell says; how it looks is the delegates' affair."""
        step, column = self.step_at(index.row()), index.column()
        if step is None:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return _text(step, index.row(), column)
        if role == Qt.ItemDataRole.EditRole and column == SCORE:
            return step.score
        if role == Qt.ItemDataRole.ToolTipRole and column == SCORE and is_edited(step):
            return f"The PRM said {step.stored:.3f}. Delete takes the edit back."
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{HEADS[column] if column > TEXT else ''} {_text(step, index.row(), column)}".strip()
        return None

    def setData(self, index: Index, value: object, role: int = Qt.ItemDataRole.EditRole) -> bool:
        """Ask for another score in [0, 1]."""
        step = self.step_at(index.row())
        if role != Qt.ItemDataRole.EditRole or index.column() != SCORE or step is None or step.score is None:
            return False
        if not isinstance(value, float) or not math.isfinite(value) or not 0 <= value <= 1:
            return False
        if abs(value - step.score) > SAME:
            self.scoreEdited.emit(index.row(), value)
        return True


def is_edited(step: StepCredit) -> bool:
    """Whether a step's score is not the PRM's."""
    return step.score is not None and step.stored is not None and step.score != step.stored


def _text(step: StepCredit, row: int, column: int) -> str:
    if column == NUMBER:
        return str(row + 1) if step.score is not None else "end"
    if column == TEXT:
        return step.text or "(no text)"
    if column == SCORE:
        return "" if step.score is None else f"{step.score:.3f}{' ✎' if is_edited(step) else ''}"
    return signed(step.paid if column == PAID else step.what_if)
