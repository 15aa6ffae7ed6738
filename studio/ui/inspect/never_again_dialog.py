"""Never again: make a test of a step that failed; the tests there are, what models had on them, and running them."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QDialog,
    QFormLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)
from sqlalchemy import Connection

from studio.domain import Changes, Topic
from studio.jobs import never_again
from studio.jobs.continuing import policies
from studio.jobs.values import RunView
from studio.store import regressions
from studio.store.models import StoredModel
from studio.store.regressions import Regression, Result
from studio.ui.context import Context
from studio.ui.dialogs import open_at, set_role
from studio.ui.widgets.parts import GAP, MARGIN, Quiet, align_labels, button, monospace, plural
from trainer.contract.specs.evaluate import Must
from trainer.reasoning.segment import Span

FIXED = ("Test", "What must hold", "Of trace")
TRACE_ROLE = Qt.ItemDataRole.UserRole
Read = tuple[tuple[Regression, ...], tuple[Result, ...], tuple[StoredModel, ...]]


class NewTestDialog(QDialog):
    """Asks what must hold when a model goes on from before this step.

    Signals:
        made(Regression): the test is in the store.
    """

    made = Signal(object)

    def __init__(
        self,
        context: Context,
        trace_id: int,
        text: str,
        span: Span,
        reference: str | None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._context, self._trace_id, self._span = context, trace_id, span
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Never again")
        open_at(self, context.theme, 560, 400)
        self.must, self.name, self.note = QComboBox(), QLineEdit(), QLineEdit()
        for must in Must if reference else (Must.ABSENT,):
            self.must.addItem(regressions.MUSTS[must], must)
        self.words = monospace(span.of(text), self)
        self.words.setAccessibleName("The step that failed")
        self.words.setTabChangesFocus(True)
        self.name.setPlaceholderText("default: the step's first words")
        self.state = QLabel()
        self.state.setWordWrap(True)
        set_role(self.state, "error")
        self.yes = button("Make the test", self._on_yes, primary=True, parent=self)
        self._lay_out(reference)

    def _on_yes(self) -> None:
        must, span = Must(self.must.currentData()), self._span
        name, note, trace = self.name.text(), self.note.text().strip(), self._trace_id

        def write(c: Connection) -> Regression:
            return regressions.add_from_trace(c, trace, span.start, span.end, must=must, name=name, note=note)

        self._context.background.write(self, write, self._on_made, lambda error: self.state.setText(str(error)))

    def _on_made(self, made: Regression) -> None:
        self.made.emit(made)
        self.accept()

    def _lay_out(self, reference: str | None) -> None:
        about = "A model goes on from the text before this step. "
        about += "" if reference else "The problem has no reference answer, so only the words can be forbidden."
        form = QFormLayout()
        form.addRow("What &must hold", self.must)
        form.addRow("&Name", self.name)
        form.addRow("N&ote", self.note)
        align_labels(form)
        foot = QHBoxLayout()
        foot.addStretch(1)
        foot.addWidget(button("Close", self.reject, parent=self))
        foot.addWidget(self.yes)
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(GAP)
        column.addWidget(Quiet(about, self))
        column.addWidget(self.words, 1)
        column.addLayout(form)
        column.addWidget(self.state)
        column.addLayout(foot)


class NeverAgainDialog(QDialog):
    """The tests in force and retired, a column for each model that ran them.

    Signals:
        stepWanted(int, int): show this trace at this step.
        spanWanted(int, int, int): show these code points of this trace.
    """

    stepWanted = Signal(int, int)
    spanWanted = Signal(int, int, int)

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self.tests: tuple[Regression, ...] = ()
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("Never again")
        open_at(self, context.theme, 900, 480)
        self.table, self.model, self.state = QTableWidget(), QComboBox(), QLabel("reading …")
        self.run_now = button("Run the tests now", self._on_run, tip="On the chosen model", primary=True, parent=self)
        self.retire = button("Retire", self._on_retire, tip="Its results stay", parent=self)
        self.always = QCheckBox("Run them on every policy that is made here")
        self.always.setChecked(context.settings.never_again)
        self._lay_out()
        self.always.toggled.connect(lambda on: context.settings.update(never_again=on))
        self.table.currentCellChanged.connect(lambda *_place: self._on_row())
        self.table.cellActivated.connect(self._open)
        context.background.changed.connect(self._on_changed)
        context.theme.switched.connect(self._read)
        self._read()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter in the table opens what stands there."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.table.hasFocus():
            self._open(self.table.currentRow(), self.table.currentColumn())
        else:
            super().keyPressEvent(event)

    def _on_changed(self, changes: Changes) -> None:
        if changes.touches(Topic.EVALUATIONS, Topic.MODELS, Topic.TRACES):
            self._read()

    def _read(self) -> None:
        self._context.background.read(self, _read, self._show)

    def _show(self, read: Read) -> None:
        self.tests, results, models = read
        here = (self.table.currentRow(), self.table.currentColumn())
        ran = list(dict.fromkeys((one.model, one.version) for one in results))
        self.table.setColumnCount(len(FIXED) + len(ran))
        self.table.setHorizontalHeaderLabels([*FIXED, *(name for name, _ in ran)])
        self.table.setRowCount(len(self.tests))
        by = {(one.uid, one.model, one.version): one for one in results}
        for row, test in enumerate(self.tests):
            said = (
                test.name + (" (retired)" if test.retired else ""),
                regressions.MUSTS[test.must],
                f"trace {test.trace_id or '?'}",
            )
            for column, text in enumerate(said):
                self._put(row, column, text, test.trace_id)
            for column, (model, version) in enumerate(ran, len(FIXED)):
                self._put_result(row, column, by.get((test.uid, model, version)))
        self._offer(models)
        if self.tests:
            self.table.setCurrentCell(min(max(here[0], 0), len(self.tests) - 1), max(here[1], 0))
        in_force = sum(not test.retired for test in self.tests)
        none = "No test yet: choose a step that failed and press A."
        self.state.setText(
            f"{plural(in_force, 'test')} in force. Enter opens the trace behind a cell." if self.tests else none
        )
        self.run_now.setEnabled(bool(in_force and models))
        self._on_row()

    def _put(self, row: int, column: int, text: str, trace: int | None) -> QTableWidgetItem:
        item = QTableWidgetItem(text)
        item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable)
        item.setData(TRACE_ROLE, trace)
        item.setToolTip(text)
        self.table.setItem(row, column, item)
        return item

    def _put_result(self, row: int, column: int, result: Result | None) -> None:
        if result is None:
            self._put(row, column, "not run", None)
            return
        holds = result.number > 0 and result.held == result.number
        word = "holds" if holds else "fails" if result.number else "not decided"
        item = self._put(row, column, f"{word}: {result.held} of {result.number}", result.trace_id)
        item.setForeground(self._context.theme.colours.q("positive" if holds else "negative"))

    def _offer(self, models: tuple[StoredModel, ...]) -> None:
        chosen = self.model.currentData()
        self.model.clear()
        for model in models:
            self.model.addItem(model.name, model.uid)
        self.model.setCurrentIndex(max(0, self.model.findData(chosen)) if models else -1)

    def _on_row(self) -> None:
        row = self.table.currentRow()
        known = 0 <= row < len(self.tests)
        self.retire.setEnabled(known)
        self.retire.setText("Put back" if known and self.tests[row].retired else "Retire")

    def _on_retire(self) -> None:
        test = self.tests[self.table.currentRow()]
        self._context.background.write(self, lambda c: regressions.retire(c, test.id, retired=not test.retired))

    def _on_run(self) -> None:
        order = never_again.order(str(self.model.currentData()), self.model.currentText())
        jobs = self._context.jobs
        self.run_now.setEnabled(False)
        self.state.setText("making the run …")
        self._context.background.call(
            self, partial(jobs.create, order), self._on_queued, lambda error: self.state.setText(str(error))
        )

    def _on_queued(self, view: RunView) -> None:
        self.state.setText(f"“{view.name}” is queued; its results come here when it has ended.")
        self.run_now.setEnabled(True)

    def _open(self, row: int, column: int) -> None:
        item = self.table.item(row, column)
        trace = None if item is None else item.data(TRACE_ROLE)
        if trace is None:
            return
        test = self.tests[row]
        if column < len(FIXED) and test.start is not None:
            self.spanWanted.emit(int(trace), test.start, test.start + len(test.span))
        else:
            self.stepWanted.emit(int(trace), -1)

    def _lay_out(self) -> None:
        self.table.setAccessibleName("Regression tests and what models had on them")
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.verticalHeader().hide()
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.setTabKeyNavigation(False)
        self.model.setAccessibleName("The model to run the tests on")
        self.state.setWordWrap(True)
        set_role(self.state, "caption")
        foot = QHBoxLayout()
        for one in (self.model, self.run_now, self.retire):
            foot.addWidget(one)
        foot.addStretch(1)
        foot.addWidget(button("Close", self.accept, parent=self))
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(GAP)
        for widget in (self.table, self.state, self.always):
            column.addWidget(widget)
        column.addLayout(foot)


def _read(c: Connection) -> Read:
    return regressions.all_regressions(c, retired=True), regressions.results(c), policies(c)
