"""Diff with another trace: which one, what differs in the whole, and the pairs of steps."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QIntValidator
from PySide6.QtWidgets import QComboBox, QDialog, QHBoxLayout, QLabel, QLineEdit, QVBoxLayout, QWidget
from sqlalchemy import Connection

from studio.store import trace_diff, traces
from studio.store.trace_diff import TraceDiff
from studio.ui.context import Context
from studio.ui.dialogs import open_at, set_role
from studio.ui.inspect.diff_view import DiffView
from studio.ui.widgets.parts import GAP, MARGIN, button, plural
from trainer.reasoning.alignment import Change

OUTCOMES = {None: "not graded", 0: "wrong", 1: "right"}
LARGEST_ID = 2**31 - 1


@dataclass(frozen=True, slots=True)
class _Other:
    """A trace of the same problem that can be compared with."""

    id: int
    model: str
    outcome: int | None


class DiffDialog(QDialog):
    """Opens on one trace; the other is chosen among those of the same problem, or by its number.

    Signals:
        stepWanted(int, int): show this trace at this step.
    """

    stepWanted = Signal(int, int)

    def __init__(self, context: Context, left: int, right: int | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context, self._left = context, left
        self._made: TraceDiff | None = None
        self._wanted = right
        self.setWindowTitle(f"Diff of trace {left}")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        open_at(self, context.theme, 1080, 680)
        self.other = QComboBox()
        self.number = QLineEdit()
        self.state, self.left_head, self.right_head = QLabel(), QLabel(), QLabel()
        self.view = DiffView(context.theme)
        self._lay_out()
        self.other.currentIndexChanged.connect(self._on_other)
        self.number.editingFinished.connect(self._on_number)
        context.background.read(self, self._read_others, self._on_others)

    @property
    def made(self) -> TraceDiff | None:
        """What is shown."""
        return self._made

    def _read_others(self, c: Connection) -> tuple[_Other, ...]:
        found = traces.load_many(c, trace_diff.beside(c, self._left))
        return tuple(_Other(each.id, each.model, each.outcome) for each in found)

    def _on_others(self, others: tuple[_Other, ...]) -> None:
        self.other.blockSignals(True)
        self.other.addItem(
            f"{plural(len(others), 'other trace')} of this problem" if others else "no other trace", None
        )
        for each in others:
            model = f" · {each.model}" if each.model else ""
            self.other.addItem(f"trace {each.id}{model} · {OUTCOMES[each.outcome]}", each.id)
        self.other.blockSignals(False)
        if self._wanted is None and others:
            self.other.setCurrentIndex(1)
        elif self._wanted is not None:
            self._compare(self._wanted)
        else:
            self.state.setText("Nothing else answers this problem: type the number of a trace to compare with.")
            self.number.setFocus()

    def _on_other(self, _index: int) -> None:
        if self.other.currentData() is not None:
            self._compare(int(self.other.currentData()))

    def _on_number(self) -> None:
        if self.number.hasAcceptableInput():
            self._compare(int(self.number.text()))

    def _compare(self, right: int) -> None:
        left = self._left
        self.number.setText(str(right))
        if self._made is not None and self._made.right.id == right:
            return
        self.state.setText("comparing …")
        self._context.background.read(
            self, lambda c: trace_diff.compare(c, left, right), self._show, lambda error: self.state.setText(str(error))
        )

    def _show(self, made: TraceDiff) -> None:
        self._made = made
        self.left_head.setText(_head(made, 0))
        self.right_head.setText(_head(made, 1))
        self.state.setText(_summary(made))
        self.view.show_diff(made)
        self.view.setFocus()

    def _go(self) -> None:
        if self._made is None or self.view.current < 0:
            return
        pair = self._made.pairs[self.view.current]
        if pair.left is not None:
            self.stepWanted.emit(self._made.left.id, pair.left)
        elif pair.right is not None:
            self.stepWanted.emit(self._made.right.id, pair.right)

    def _lay_out(self) -> None:
        self.other.setAccessibleName("Other traces of this problem")
        self.other.setMinimumContentsLength(28)
        self.number.setAccessibleName("Number of the other trace")
        self.number.setValidator(QIntValidator(1, LARGEST_ID, self.number))
        self.number.setPlaceholderText("or a number")
        self.number.setMaximumWidth(130)
        set_role(self.state, "caption")
        self.state.setWordWrap(True)
        choose = QHBoxLayout()
        choose.addWidget(QLabel("Compare with"))
        choose.addWidget(self.other)
        choose.addWidget(self.number)
        choose.addStretch(1)
        heads = QHBoxLayout()
        for head in (self.left_head, self.right_head):
            head.setWordWrap(True)
            head.setAlignment(Qt.AlignmentFlag.AlignTop)
            heads.addWidget(head, 1)
        foot = QHBoxLayout()
        foot.addWidget(button("Previous change", lambda: self.view.step_change(-1), tip="Shift+N", parent=self))
        foot.addWidget(button("Next change", lambda: self.view.step_change(1), tip="N", parent=self))
        foot.addWidget(button("Open this step", self._go, tip="Show the step in its trace", parent=self))
        foot.addStretch(1)
        foot.addWidget(button("Close", self.accept, primary=True, parent=self))
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(GAP)
        column.addLayout(choose)
        column.addLayout(heads)
        column.addWidget(self.state)
        column.addWidget(self.view, 1)
        column.addLayout(foot)


def _head(made: TraceDiff, side: int) -> str:
    """What one side is, in two lines."""
    one = (made.left, made.right)[side]
    said = [f"<b>Trace {one.id}</b>", escape(one.model), OUTCOMES[one.outcome]]
    said.append(f"answer {escape(one.answer)}" if one.answer else "no answer read")
    lows = [f"{s.scorer} lowest {_low((s.left, s.right)[side])}" for s in made.scored]
    words = f"{plural(len(one.segmentation.steps), 'step')}, {plural(len(one.text), 'character')}"
    return " · ".join(part for part in said if part) + f"<br>{words}" + "".join(f" · {escape(low)}" for low in lows)


def _summary(made: TraceDiff) -> str:
    count = {change: sum(pair.change is change for pair in made.pairs) for change in Change}
    problem = "" if made.same_problem else "They answer different problems. "
    if made.diverges is None:
        return f"{problem}Every step has the same words."
    return (
        f"{problem}{count[Change.SAME]} the same, {count[Change.CHANGED]} changed, {count[Change.LEFT]} only left, "
        f"{count[Change.RIGHT]} only right; they part at row {made.diverges + 1}."
    )


def _low(values: tuple[float | None, ...]) -> str:
    known = [value for value in values if value is not None]
    return f"{min(known):.2f}" if known else "none"
