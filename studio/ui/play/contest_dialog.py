"""Best-of-n of the small model against one pass of a larger: choose, press once, read points with intervals."""

from __future__ import annotations

import csv
import io
from functools import partial

from PySide6.QtCore import Qt
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import (
    QDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QProgressBar,
    QSplitter,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from studio.jobs.shipped import Example
from studio.ui.actions import Page
from studio.ui.context import Context
from studio.ui.evaluate import models_export
from studio.ui.play.contest import ContestRun
from studio.ui.play.contest_chart import ContestChart, amount
from studio.ui.play.contest_form import Asked, ContestForm
from studio.ui.play.contest_list import ProblemList
from studio.ui.play.contest_store import Compared, table
from studio.ui.play.known_models import Known, read_known
from studio.ui.widgets.parts import GAP, MARGIN, Quiet, button
from studio.ui.widgets.tables import dress
from trainer.reasoning.cost_accuracy import CostPoint
from trainer.reasoning.metrics import Interval

COLUMNS = ("What", "Right", "95 % interval", "Lead, points", "Tokens", "Cost", "× larger")
BEFORE = "Press Compare: every problem is searched once with n traces of the small model and once with the larger."


class ContestDialog(QDialog):
    """A window of its own beside the main one, so that traces can be read while it stands."""

    def __init__(self, context: Context, asked: Asked, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self.setWindowTitle("Best-of-n against one pass of a larger model")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.run = ContestRun(context, self)
        self.made: Compared | None = None
        self.is_busy = False
        self.form, self.terms = ContestForm(asked, self), Quiet("", self)
        self.compare = button("Compare", self.start, primary=True, parent=self)
        self.stop = button("Cancel", self._cancel, tip="Esc; what was searched stays", parent=self)
        self.export = button("Export…", self._export, tip="CSV, Markdown, PNG or SVG", parent=self)
        self.open_button = button("Open the trace", self._open, tip="In Inspect: Enter", parent=self)
        self.bar, self.state, self.words = QProgressBar(self), Quiet("", self), QLabel(BEFORE, self)
        self.chart, self.table = ContestChart(context.theme, self), QTableWidget(0, len(COLUMNS), self)
        self.behind, self.list = Quiet("", self), ProblemList(self)
        self._lay_out()
        self._connect()
        self._busy(False)
        self.compare.setEnabled(False)
        self.state.setText("reading the models")
        context.background.call(self, lambda: read_known(context.workspace), self._on_models)

    # -- what is pressed ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Make the searches that are not there yet, then compare."""
        if missing := self.form.missing():
            self.state.setText(missing)
            return
        self._busy(True)
        self.state.setText("choosing the problems")
        source, most = self.form.chosen, int(self.form.many.number() or 1)
        self._context.background.read(self, lambda c: source.find(c, most), self._begin, self._on_error)

    def reject(self) -> None:
        """Escape cancels what goes on, else closes."""
        if self.is_busy:
            self._cancel()
        else:
            super().reject()

    def closeEvent(self, event: QCloseEvent) -> None:
        """The window is closed, whatever goes on: it is cancelled."""
        self.run.cancel()
        self._busy(False)
        super().closeEvent(event)

    def accept(self) -> None:
        """Close."""
        self.run.cancel()
        super().accept()

    def show_behind(self, place: int) -> None:
        """List the problems behind a point, and mark it in the table and in the chart."""
        if self.made is None or not 0 <= place < len(self.made.points):
            return
        self.chart.choose(place)
        if self.table.currentRow() != place:
            self.table.selectRow(place)
        point = self.made.points[place]
        name = f"{point.name}, {self._title(point)}"
        lines = self.made.lines(point)
        right = sum(line.right is True for line in lines)
        self.behind.setText(f"{name}: {right} of {len(lines)} right. Enter opens the trace that answered.")
        self.list.show_lines(lines, name)
        self.open_button.setEnabled(bool(lines))

    def _cancel(self) -> None:
        self.run.cancel()
        self.state.setText("cancelled; Compare goes on where it was")
        self._busy(False)

    def _open(self) -> None:
        self.list.open_line()

    def _export(self) -> None:
        if self.made is not None:
            rows = table(self.made)
            texts = {".csv": partial(as_csv, rows), ".md": partial(markdown, rows)}
            models_export.ask(self._context, self, "cost-against-accuracy", texts, self.chart)

    # -- what comes ---------------------------------------------------------------------------------------------------

    def _on_models(self, known: Known) -> None:
        self.form.show_models(known.models)
        self._enable()
        if known.trouble:
            self._context.say(known.trouble)

    def _enable(self) -> None:
        """What is missing, or odd."""
        missing = self.form.missing()
        self.compare.setEnabled(not missing)
        self.state.setText(missing or self.form.hint)

    def _begin(self, problems: tuple[Example, ...]) -> None:
        if not self.is_busy:
            return  # cancelled meanwhile
        try:
            self.run.start(self.form.wanted(problems))
        except ValueError as error:
            self._on_failed(f"{error}; choose other problems")

    def _on_told(self, done: int, total: int, waits: str) -> None:
        self.bar.setRange(0, total)
        self.bar.setValue(done)
        before = f", {self.run.before} of them made before" if self.run.before else ""
        self.state.setText(f"{done} of {total} searches{before}" + (f" · {waits}" if waits else ""))

    def _on_error(self, error: Exception) -> None:
        self._on_failed(str(error))

    def _on_failed(self, why: str) -> None:
        self.state.setText(why)
        self._busy(False)

    def _on_ended(self, made: Compared) -> None:
        self.made = made
        self._busy(False)
        contest = made.contest
        self.words.setText(f"{self._sentence(made)} {len(made.wanted.problems)} problems.")
        self.chart.show_contest(contest)
        self.table.setRowCount(0)
        for point, lead in zip(made.points, (*contest.leads, *contest.majority_leads, None), strict=True):
            self._add(point, lead, contest.large)
        self.export.setEnabled(True)
        best = max(range(len(contest.small)), key=lambda place: contest.small[place].accuracy.value)
        self.show_behind(best)
        self.chart.setFocus(Qt.FocusReason.OtherFocusReason)

    # -- parts --------------------------------------------------------------------------------------------------------

    def _sentence(self, made: Compared) -> str:
        if made.wanted.large.uid != made.wanted.small.uid:
            return f"{made.contest.sentence}."
        most, one = made.contest.small[-1], made.contest.large
        return (
            f"Best of {most.n} of {most.name} is right for {most.accuracy.value:.1%}, one pass of the same model for "
            f"{one.accuracy.value:.1%}, at {most.cost / one.cost:.2f} times the cost."
        )

    def _title(self, point: CostPoint) -> str:
        return "one pass" if self.made is not None and point is self.made.contest.large else point.title

    def _add(self, point: CostPoint, lead: Interval | None, large: CostPoint) -> None:
        row, right = self.table.rowCount(), point.accuracy
        self.table.insertRow(row)
        told = () if lead is None else tuple(f"{100 * each:+.1f}" for each in (lead.value, lead.low, lead.high))
        ahead = f"{told[0]} [{told[1]}, {told[2]}]" if told else ""
        what = self._title(point) if lead is not None else f"{point.name}, one pass"
        texts = (
            what, f"{right.value:.1%}", f"{right.low:.1%} to {right.high:.1%}", ahead, f"{point.tokens:,.0f}",
            amount(point.cost), f"{point.cost / large.cost:.2f}",
        )  # fmt: skip
        for column, text in enumerate(texts):
            item = QTableWidgetItem(text)
            if column:
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self.table.setItem(row, column, item)

    def _busy(self, on: bool) -> None:
        self.is_busy = on
        self.compare.setVisible(not on)
        self.stop.setVisible(on)
        self.bar.setVisible(on)
        self.bar.setRange(0, 0)
        self.form.setEnabled(not on)

    def _connect(self) -> None:
        self.form.changed.connect(self._enable)
        self.run.told.connect(self._on_told)
        self.run.ended.connect(self._on_ended)
        self.run.failed.connect(self._on_failed)
        self.chart.chosen.connect(self.show_behind)
        self.chart.opened.connect(lambda _place: self.list.setFocus(Qt.FocusReason.OtherFocusReason))
        self.table.currentCellChanged.connect(lambda row, *_: self.show_behind(row))
        self.list.opened.connect(lambda trace: self._context.open_trace(Page.INSPECT, trace))
        self.list.missing.connect(self.state.setText)

    def _lay_out(self) -> None:
        self.resize(1200, 820)
        self.terms.setText(self.form.terms)
        for widget, name in ((self.table, "Points"), (self.bar, "Progress of the comparison")):
            widget.setAccessibleName(name)
        self.words.setWordWrap(True)
        self.table.setHorizontalHeaderLabels(COLUMNS)
        dress(self.table)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        for each in (self.export, self.open_button):
            each.setEnabled(False)
        foot = QHBoxLayout()
        foot.addWidget(self.state, 1)
        for part in (self.bar, self.stop, self.compare, self.export, button("Close", self.accept, parent=self)):
            foot.addWidget(part)
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(GAP)
        for top in (self.form, self.terms, self.words):
            column.addWidget(top)
        column.addWidget(self.chart, 5)
        column.addWidget(self._tables(), 4)
        column.addLayout(foot)

    def _tables(self) -> QWidget:
        """The points, and the problems behind the current one."""
        right = QWidget(self)
        inside = QVBoxLayout(right)
        inside.setContentsMargins(0, 0, 0, 0)
        head = QHBoxLayout()
        head.addWidget(self.behind, 1)
        head.addWidget(self.open_button)
        inside.addLayout(head)
        inside.addWidget(self.list, 1)
        both = QSplitter(Qt.Orientation.Horizontal, self)
        both.setChildrenCollapsible(False)
        both.addWidget(self.table)
        both.addWidget(right)
        both.setSizes([720, 440])
        return both


def as_csv(rows: list[tuple[str, ...]]) -> str:
    """The points as CSV."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()


def markdown(rows: list[tuple[str, ...]]) -> str:
    """The points as a table in Markdown."""
    head, *others = [[text.replace("|", "\\|") for text in row] for row in rows]
    lines = (head, ["---"] * len(head), *others)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
