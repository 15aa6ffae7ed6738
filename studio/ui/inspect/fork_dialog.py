"""Fork a thought: edit a step, let a policy go on from both versions with the same seeds, read the difference."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QDialog,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPlainTextEdit,
    QVBoxLayout,
    QWidget,
)
from sqlalchemy import Connection

from studio.jobs.continuing import Continuation, Start, policies, read_start
from studio.jobs.forking import NAMES, Forking
from studio.store.models import StoredModel
from studio.ui.context import Context
from studio.ui.dialogs import open_at, set_role
from studio.ui.inspect.bisect_dialog import GRADES, NO_POLICY, TRACE_ROLE
from studio.ui.inspect.continue_form import ContinueForm
from studio.ui.inspect.continuer import Continuer
from studio.ui.inspect.diff_dialog import DiffDialog
from studio.ui.inspect.tree_dialog import TreeDialog
from studio.ui.widgets.parts import GAP, MARGIN, button, plural

NUMBER = 8
Read = tuple[Start, tuple[StoredModel, ...]]


class ForkDialog(QDialog):
    """Works on one step of one trace; closing it takes back what is still asked.

    Signals:
        stepWanted(int, int): show this trace at this step.
    """

    stepWanted = Signal(int, int)

    def __init__(self, context: Context, trace_id: int, step: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context, self._trace_id, self._step = context, trace_id, step
        self._start: Start | None = None
        self.work: Forking | None = None
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(f"Fork step {step + 1} of trace {trace_id}")
        open_at(self, context.theme, 900, 700)
        self.about, self.cost, self.state, self.verdict = QLabel("reading …"), QLabel(), QLabel(), QLabel()
        self.edit = QPlainTextEdit()
        self.form = ContinueForm(NUMBER, 1, self)
        self.heads = (QLabel(), QLabel())
        self.lists = (QListWidget(), QListWidget())
        self.go = button("Continue both", self.begin, primary=True, parent=self)
        self.stop = button("Cancel", self.cancel, tip="Take back what is asked; what came stays", parent=self)
        self.diff = button("Diff the two", self._diff, tip="The chosen trace of each side", parent=self)
        self.tree = button("Show the tree", self._tree, tip="All that was tried for the problem", parent=self)
        self.asker = Continuer(context, self)
        self._lay_out()
        self._connect()
        context.background.read(self, partial(_read, trace_id), self._on_read, self._on_unreadable)

    def done(self, result: int) -> None:
        """Leave; what is asked is taken back."""
        self.asker.cancel()
        super().done(result)

    def begin(self) -> None:
        """Continue the first branch."""
        start, model, numbers = self._start, self.form.chosen, self.form.numbers
        if start is None or model is None or numbers is None or self.asker.is_busy:
            return
        own = start.steps[self._step].of(start.text)
        words = self.edit.toPlainText() if self.edit.document().isModified() else own  # the field knows no odd blanks
        self.work = Forking(start, model, self._step, words, *numbers)
        self.verdict.clear()
        for head, rows in zip(self.heads, self.lists, strict=True):
            head.clear()
            rows.clear()
        self._set_busy(True)
        self._ask()

    def cancel(self) -> None:
        """Take back what is asked; what came stays."""
        self.asker.cancel()
        self._set_busy(False)
        self.state.setText("cancelled")

    def _ask(self) -> None:
        assert self.work is not None
        self._told("asking")
        self.asker.ask(self.work.model.uid, self.work.request())

    def _told(self, text: str) -> None:
        if self.work is not None and self.work.wanted is not None:
            self.state.setText(f"{NAMES[self.work.wanted]}: {text}")

    def _on_wrote(self, tokens: int, finished: int) -> None:
        if self.work is not None:
            self._told(f"{finished} of {plural(self.work.number, 'continuation')}, {plural(tokens, 'token')}")

    def _on_came(self, found: tuple[Continuation, ...], seconds: float) -> None:
        work = self.work
        if work is None:
            return
        branch = len(work.branches)
        work.take(found, seconds)
        self._show_branch(work, branch)
        if work.wanted is not None:
            self._ask()
            return
        self._set_busy(False)
        self.state.setText(f"{plural(work.tokens, 'token')}, {work.seconds:.1f} s")
        self.verdict.setText(work.words)

    def _on_failed(self, why: str) -> None:
        self._set_busy(False)
        self.state.setText(why)

    def _show_branch(self, work: Forking, branch: int) -> None:
        share = work.share(branch)
        right = ""
        if share is not None:
            interval = f"95 % interval {share.low:.0%} to {share.high:.0%}"
            right = f"{share.hits} of {share.number} right ({share.value:.0%}, {interval}). "
        self.heads[branch].setText(f"{NAMES[branch].capitalize()}: {right}Answers: {work.answers(branch)}")
        rows = self.lists[branch]
        for one in work.branches[branch]:
            grade = f" · {GRADES[one.right]}" if share is not None else ""
            item = QListWidgetItem(f"trace {one.trace_id} · answer {one.answer or 'none'}{grade}")
            item.setData(TRACE_ROLE, one.trace_id)
            rows.addItem(item)
        rows.setCurrentRow(0)

    def _set_busy(self, busy: bool) -> None:
        for widget in (self.form, self.edit):
            widget.setEnabled(not busy)
        self.go.setVisible(not busy)
        self.stop.setVisible(busy)
        done = not busy and self.work is not None
        self.tree.setEnabled(done and bool(self.work and self.work.branches))
        self.diff.setEnabled(done and bool(self.work and len(self.work.branches) == 2))

    def _diff(self) -> None:
        chosen = [rows.currentItem().data(TRACE_ROLE) for rows in self.lists]
        dialog = DiffDialog(self._context, int(chosen[0]), int(chosen[1]), self.parentWidget())
        dialog.stepWanted.connect(self.stepWanted)
        dialog.show()

    def _tree(self) -> None:
        dialog = TreeDialog(self._context, self._trace_id, self.parentWidget())
        dialog.stepWanted.connect(self.stepWanted)
        dialog.show()

    def _on_read(self, read: Read) -> None:
        self._start, models = read
        start = self._start
        if self._step >= len(start.steps):
            self.about.setText("the steps were cut anew meanwhile; close this and choose the step again")
            return
        self.form.fill(start, models)
        self.edit.setPlainText(start.steps[self._step].of(start.text))
        reference = (
            "The problem has no reference answer, so answers are listed, not graded; import it with one to see shares."
            if start.reference is None
            else f"The right answer is {start.reference}."
        )
        self.about.setText(
            "Write what the step should have said. A policy goes on from the step as it was and as edited, with the "
            f"same seeds. Empty leaves the step out; unchanged words make one branch. {reference}"
        )
        if not models:
            self.state.setText(NO_POLICY)
        self._price()
        self.edit.setFocus()
        self.edit.selectAll()

    def _on_unreadable(self, error: Exception) -> None:
        self.about.setText(str(error))

    def _price(self) -> None:
        numbers = self.form.numbers
        self.go.setEnabled(self.form.chosen is not None and numbers is not None)
        if self._start is None:
            return
        if numbers is None:
            self.cost.setText(self.form.problem)
            return
        number, left = 2 * numbers[0], self._start.left[min(self._step + 1, len(self._start.left) - 1)]
        self.cost.setText(
            f"{number:,} continuations: about {number * left:,} tokens if they are as long as the rest of this "
            f"trace, never more than {number * sum(numbers[1:]):,}."
        )

    def _connect(self) -> None:
        self.form.edited.connect(self._price)
        for rows in self.lists:
            rows.itemActivated.connect(lambda item: self.stepWanted.emit(int(item.data(TRACE_ROLE)), self._step))
        self.asker.told.connect(self._told)
        self.asker.wrote.connect(self._on_wrote)
        self.asker.came.connect(self._on_came)
        self.asker.failed.connect(self._on_failed)

    def _lay_out(self) -> None:
        self.edit.setAccessibleName("What the step should have said")
        self.edit.setTabChangesFocus(True)
        self.edit.setMaximumHeight(self._context.theme.px(110))
        for label in (self.about, self.cost, self.state, self.verdict, *self.heads):
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
        for label in (self.cost, self.state):
            set_role(label, "caption")
        font = self.verdict.font()
        font.setBold(True)
        self.verdict.setFont(font)
        for one in (self.go, self.diff, self.tree):
            one.setEnabled(False)
        self.stop.hide()
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(GAP)
        for widget in (self.about, self.edit, self.form, self.cost):
            column.addWidget(widget)
        column.addLayout(self._sides(), 1)
        for widget in (self.verdict, self.state):
            column.addWidget(widget)
        column.addLayout(self._foot())

    def _sides(self) -> QHBoxLayout:
        sides = QHBoxLayout()
        for head, rows, name in zip(self.heads, self.lists, NAMES, strict=True):
            rows.setAccessibleName(f"Continuations {name}")
            side = QVBoxLayout()
            side.addWidget(head)
            side.addWidget(rows, 1)
            sides.addLayout(side, 1)
        return sides

    def _foot(self) -> QHBoxLayout:
        foot = QHBoxLayout()
        foot.addWidget(self.diff)
        foot.addWidget(self.tree)
        foot.addStretch(1)
        for one in (self.stop, self.go, button("Close", self.accept, parent=self)):
            foot.addWidget(one)
        return foot


def _read(trace_id: int, c: Connection) -> Read:
    return read_start(c, trace_id), policies(c)
