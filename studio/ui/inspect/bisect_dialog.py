"""Bisect a thought: which policy, how many continuations, what it costs; then the picture, and the traces behind it."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QDialog,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
    QWidget,
)
from sqlalchemy import Connection

from studio.errors import SteplensError
from studio.jobs import bisecting
from studio.jobs.bisecting import Bisecting, Cost
from studio.jobs.continuing import Continuation, Start, agreeing, policies, read_start
from studio.store.models import StoredModel
from studio.ui.context import Context
from studio.ui.dialogs import open_at, set_role
from studio.ui.inspect.bisect_view import BisectView
from studio.ui.inspect.continue_form import ContinueForm
from studio.ui.inspect.continuer import Continuer, Judge
from studio.ui.widgets.parts import GAP, MARGIN, button, duration, plural

NUMBER = 16
TRACE_ROLE = Qt.ItemDataRole.UserRole
NO_POLICY = "No policy is here to continue it: teach one on the Train page (recipe sft)."
GRADES = {True: "right", False: "wrong", None: "not decided"}
Read = tuple[Start, str, tuple[StoredModel, ...]]


class BisectDialog(QDialog):
    """Works on one trace; closing it takes back what is still asked.

    Signals:
        stepWanted(int, int): show this trace at this step.
        located(int, int, int): a trace, and the code points of the step that decided it.
    """

    stepWanted = Signal(int, int)
    located = Signal(int, int, int)

    def __init__(self, context: Context, trace_id: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context, self._trace_id = context, trace_id
        self._start: Start | None = None
        self._shown = -1
        self.work: Bisecting | None = None
        self.setWindowTitle(f"Bisect the thought of trace {trace_id}")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        open_at(self, context.theme, 820, 720)
        self.about, self.cost, self.state, self.verdict = QLabel("reading …"), QLabel(), QLabel(), QLabel()
        self.form = ContinueForm(NUMBER, 2, self)
        self.view = BisectView(context.theme)
        self.head, self.traces = QLabel(), QListWidget()
        self.go = button("Bisect", self.begin, tip="Ask for the first prefix", primary=True, parent=self)
        self.stop = button("Cancel", self.cancel, tip="Take back what is asked; what came stays", parent=self)
        self.show_step = button("Show the step", self._locate, tip="Mark it in the transcript", parent=self)
        self.asker = Continuer(context, self)
        self._lay_out()
        self._connect()
        context.background.read(self, partial(_read, trace_id), self._on_read, self._on_unreadable)

    def done(self, result: int) -> None:
        """Leave; what is asked is taken back."""
        self.asker.cancel()
        super().done(result)

    # -- before Start -------------------------------------------------------------------------------------------------

    def _on_read(self, read: Read) -> None:
        self._start, what_for, models = read
        start = self._start
        self.form.fill(start, models)
        reference = "no reference answer" if start.reference is None else f"reference answer {start.reference}"
        said = f"{plural(len(start.steps), 'step')}, answer {start.answer or 'none'}, {reference}. {what_for}"
        self.about.setText(said)
        if not models:
            self.state.setText(NO_POLICY)
        self._price()
        self.go.setFocus()

    def _on_unreadable(self, error: Exception) -> None:
        self.about.setText(str(error))

    def _price(self) -> None:
        start, model, numbers = self._start, self.form.chosen, self.form.numbers
        self.go.setEnabled(model is not None and numbers is not None)
        if start is None:
            return
        if numbers is None:
            self.cost.setText(self.form.problem)
            return
        cost = bisecting.cost_of(start, *numbers)
        self.cost.setText(cost.words)
        if model is not None:
            settings = Bisecting(start, model, *numbers).settings
            work = partial(bisecting.time_of, self._context.workspace, model, cost, settings)
            self._context.background.call(
                self, work, partial(self._on_time, cost), lambda error: self.cost.setText(f"{cost.words} {error}")
            )

    def _on_time(self, cost: Cost, seconds: float | None) -> None:
        if self.cost.text() == cost.words:  # nothing was changed meanwhile
            said = "Nobody can say how long that takes." if seconds is None else f"At most about {duration(seconds)}."
            self.cost.setText(f"{cost.words} {said}")

    # -- at work ------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Ask for the first prefix."""
        start, model, numbers = self._start, self.form.chosen, self.form.numbers
        if start is None or model is None or numbers is None or self.asker.is_busy:
            return
        self.work = Bisecting(start, model, *numbers)
        self._shown = -1
        self.verdict.clear()
        self.head.clear()
        self.traces.clear()
        self._set_busy(True)
        self._ask()

    def cancel(self) -> None:
        """Take back what is asked; what came stays."""
        self.asker.cancel()
        self._set_busy(False)
        self.state.setText("cancelled" + (f" after {self.work.spent}" if self.work is not None else ""))

    def _ask(self) -> None:
        work = self.work
        assert work is not None
        self.view.show_search(work.search, busy=True)
        self._told("asking")
        judge: Judge = tuple
        if not work.by_reference and work.start.answer is not None:
            judge = partial(agreeing, answer=work.start.answer)
        self.asker.ask(work.model.uid, work.request(), judge)

    def _told(self, text: str) -> None:
        work = self.work
        if work is not None:
            count = work.wanted
            behind = "before the first step" if count == 0 else f"behind step {count}"
            self.state.setText(f"{behind}: {text} · so far {work.spent}")

    def _on_wrote(self, tokens: int, finished: int) -> None:
        if self.work is not None:
            self._told(f"{finished} of {plural(self.work.number, 'continuation')}, {plural(tokens, 'token')}")

    def _on_came(self, found: tuple[Continuation, ...], seconds: float) -> None:
        work = self.work
        if work is None:
            return
        try:
            probe = work.take(found, seconds)
        except SteplensError as error:
            self._on_failed(str(error))
            return
        self.view.choose(probe.count)
        if work.wanted is not None:
            self._ask()
            return
        self._set_busy(False)
        self.state.setText(work.spent)
        self.verdict.setText(work.words)
        keep = work
        self._context.background.write(
            self, lambda c: bisecting.keep(c, keep), None, lambda error: self.state.setText(str(error))
        )
        if work.step is not None:
            self._locate()

    def _on_failed(self, why: str) -> None:
        self._set_busy(False)
        self.state.setText(why)

    def _locate(self) -> None:
        work = self.work
        if work is not None and work.step is not None:
            step = work.start.steps[work.step]
            self.located.emit(work.start.trace_id, step.start, step.end)

    def _set_busy(self, busy: bool) -> None:
        for widget in (self.form, self.go):
            widget.setEnabled(not busy)
        self.go.setVisible(not busy)
        self.stop.setVisible(busy)
        self.show_step.setEnabled(not busy and self.work is not None and self.work.step is not None)
        if self.work is not None:
            self.view.show_search(self.work.search, busy=busy)

    # -- what came ----------------------------------------------------------------------------------------------------

    def _on_probe(self, count: int) -> None:
        work = self.work
        if work is None or count not in work.traces:
            return
        self._shown = count
        probe = next(each for each in work.search.probes if each.count == count)
        share = probe.share
        good = "right" if work.by_reference else f"agree with {work.start.answer}"
        behind = "before the first step" if count == 0 else f"behind step {count}"
        undecided = f", {probe.undecided} not decided" if probe.undecided else ""
        self.head.setText(
            f"Continued {behind}: {share.hits} of {share.number} {good} ({share.value:.0%}, 95 % interval "
            f"{share.low:.0%} to {share.high:.0%}{undecided}). Enter opens a trace."
        )
        self.traces.clear()
        for one in work.traces[count]:
            grade = (
                GRADES[one.right]
                if work.by_reference
                else {True: "agrees", False: "differs"}.get(one.right is True, "not decided")
            )
            item = QListWidgetItem(
                f"trace {one.trace_id} · answer {one.answer or 'none'} · {grade} · {one.tokens} tokens"
            )
            item.setData(TRACE_ROLE, one.trace_id)
            self.traces.addItem(item)
        self.traces.setCurrentRow(0)

    def _open(self, item: QListWidgetItem) -> None:
        self.stepWanted.emit(int(item.data(TRACE_ROLE)), max(0, self._shown - 1))

    # -- building -----------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        self.form.edited.connect(self._price)
        self.view.probeChosen.connect(self._on_probe)
        self.traces.itemActivated.connect(self._open)
        self.asker.told.connect(self._told)
        self.asker.wrote.connect(self._on_wrote)
        self.asker.came.connect(self._on_came)
        self.asker.failed.connect(self._on_failed)

    def _lay_out(self) -> None:
        for label in (self.about, self.cost, self.state, self.verdict, self.head):
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        for label in (self.cost, self.state, self.head):
            set_role(label, "caption")
        font = self.verdict.font()
        font.setBold(True)
        self.verdict.setFont(font)
        self.verdict.setAccessibleName("What was found")
        self.traces.setAccessibleName("Continuations behind the chosen prefix")
        self.traces.setMaximumHeight(self._context.theme.px(150))
        for one in (self.go, self.show_step):
            one.setEnabled(False)
        self.stop.hide()
        foot = QHBoxLayout()
        foot.addWidget(self.show_step)
        foot.addStretch(1)
        for one in (self.stop, self.go, button("Close", self.accept, parent=self)):
            foot.addWidget(one)
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(GAP)
        column.addWidget(self.about)
        column.addWidget(self.form)
        column.addWidget(self.cost)
        column.addWidget(self.view, 1)
        for widget in (self.state, self.verdict, self.head, self.traces):
            column.addWidget(widget)
        column.addLayout(foot)


def _read(trace_id: int, c: Connection) -> Read:
    start = read_start(c, trace_id)
    return start, bisecting.what_for(start), policies(c)
