"""Best-of-n of the small model against one pass of a larger: choose, press once, read points with intervals."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QDialog,
    QFormLayout,
    QHBoxLayout,
    QHeaderView,
    QProgressBar,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from studio.jobs.shipped import Example
from studio.store.models import StoredModel
from studio.ui.context import Context
from studio.ui.play.contest import ContestRun, Wanted, unseen
from studio.ui.play.contest_chart import ContestChart
from studio.ui.play.values import Budgets
from studio.ui.widgets.fields import ChoiceField, NumberField
from studio.ui.widgets.parts import GAP, MARGIN, Quiet, button
from trainer.reasoning.cost_accuracy import Contest, CostPoint

UNSEEN = 40
COLUMNS = ("Who", "n", "Right", "95 % interval", "Lead over the larger", "Tokens", "Cost")


class ContestDialog(QDialog):
    """Opens with what the form says; its small model and PRM are those of the form."""

    def __init__(
        self,
        context: Context,
        small: StoredModel,
        prm: StoredModel,
        policies: tuple[StoredModel, ...],
        problems: tuple[Example, ...],
        budgets: Budgets,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._context, self._small, self._prm, self._budgets = context, small, prm, budgets
        self._policies = {each.uid: each for each in policies}
        self.setWindowTitle("Best-of-n against one pass of a larger model")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(760, 700)
        self.run = ContestRun(context, self)
        self.made: Contest | None = None
        self.large, self.problems = ChoiceField(), ChoiceField()
        self.n, self.seed = (
            NumberField(8, whole=True, low=1, high=256),
            NumberField(0, whole=True, low=0, high=2**31 - 1),
        )
        self.compare = button("Compare", self.start, primary=True, parent=self)
        self.stop = button("Cancel", self._cancel, tip="Esc", parent=self)
        self.bar, self.state, self.words = QProgressBar(), Quiet(), Quiet()
        self.chart, self.table = ContestChart(context.theme), QTableWidget(0, len(COLUMNS))
        for each in sorted(policies, key=lambda model: (model.uid == small.uid, -model.id)):
            same = " (the same model)" if each.uid == small.uid else ""
            self.large.addItem(f"{each.name}{same}", each.uid)
        self.problems.addItem(f"{len(problems)} of this page: examples and recent, with a reference", problems)
        self.problems.addItem(f"{UNSEEN} of the kind of the examples, not taught to the tiny policy", None)
        self._lay_out()
        self.run.told.connect(self._on_told)
        self.run.ended.connect(self._on_ended)
        self.run.failed.connect(self._on_failed)

    def start(self) -> None:
        """Make the searches, then compare."""
        for field in (self.n, self.seed):
            if field.problem():
                self.state.setText(f"{field.accessibleName()}: {field.problem()}")
                return
        given = self.problems.currentData()
        self._busy(True)
        if given is None:
            self._context.background.call(self, partial(unseen, UNSEEN), self._begin)
        else:
            self._begin(given)

    def reject(self) -> None:
        """Escape cancels what goes on, else closes."""
        if self.run.is_running:
            self._cancel()
        else:
            super().reject()

    def _begin(self, problems: tuple[Example, ...]) -> None:
        large = self._policies[str(self.large.currentData())]
        n, seed = int(self.n.number() or 1), int(self.seed.number() or 0)
        self.run.start(Wanted(self._small, self._prm, large, problems, self._budgets, n, 1.0, seed))

    def _cancel(self) -> None:
        self.run.cancel()
        self.state.setText("cancelled")
        self._busy(False)

    def _on_told(self, done: int, total: int, waits: str) -> None:
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        self.state.setText(f"{done} of {total} searches" + (f" · {waits}" if waits else ""))

    def _on_failed(self, why: str) -> None:
        self.state.setText(why)
        self._busy(False)

    def _on_ended(self, made: Contest) -> None:
        self.made = made
        self._busy(False)
        self.words.setText(self._sentence(made))
        self.chart.show_contest(made)
        self.table.setRowCount(0)
        for point, lead in zip(made.small, made.leads, strict=True):
            self._add(point, f"{lead.value:+.1%} [{lead.low:+.1%}, {lead.high:+.1%}]")
        self._add(made.large, "")

    def _sentence(self, made: Contest) -> str:
        if self.large.currentData() != self._small.uid:
            return f"{made.sentence[0].upper()}{made.sentence[1:]}."
        most, one = made.small[-1], made.large
        return (
            f"Best of {most.n} of {most.name} is right for {most.accuracy.value:.1%}, one pass of the same model for "
            f"{one.accuracy.value:.1%}, at {most.cost / one.cost:.2f} times the cost."
        )

    def _add(self, point: CostPoint, lead: str) -> None:
        row, right = self.table.rowCount(), point.accuracy
        self.table.insertRow(row)
        texts = (
            point.name, str(point.n), f"{right.value:.1%}", f"{right.low:.1%} to {right.high:.1%}", lead,
            f"{point.tokens:,.0f}", f"{point.cost:.3g}",
        )  # fmt: skip
        for column, text in enumerate(texts):
            self.table.setItem(row, column, QTableWidgetItem(text))

    def _busy(self, on: bool) -> None:
        self.compare.setVisible(not on)
        self.stop.setVisible(on)
        self.bar.setVisible(on)
        for field in (self.large, self.problems, self.n, self.seed):
            field.setEnabled(not on)

    def _lay_out(self) -> None:
        names: dict[QWidget, str] = {
            self.large: "Larger model", self.problems: "Problems", self.n: "Traces of the small model",
            self.seed: "Seed", self.table: "Points", self.bar: "Progress of the comparison",
        }  # fmt: skip
        for widget, name in names.items():
            widget.setAccessibleName(name)
        form = QFormLayout()
        form.addRow("Small model", Quiet(f"{self._small.name}, scored by {self._prm.name}"))
        form.addRow("Larger model", self.large)
        form.addRow("Problems", self.problems)
        form.addRow("Traces n", self.n)
        form.addRow("Seed", self.seed)
        self.table.setHorizontalHeaderLabels(COLUMNS)
        self.table.verticalHeader().hide()
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.table.setShowGrid(False)
        self.table.setTabKeyNavigation(False)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.setMaximumHeight(self._context.theme.px(236))
        foot = QHBoxLayout()
        foot.addWidget(self.state, 1)
        foot.addWidget(self.bar)
        foot.addWidget(self.stop)
        foot.addWidget(self.compare)
        foot.addWidget(button("Close", self.accept, parent=self))
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(GAP)
        column.addLayout(form)
        column.addWidget(self.words)
        column.addWidget(self.chart, 1)
        column.addWidget(self.table)
        column.addLayout(foot)
        self._busy(False)
