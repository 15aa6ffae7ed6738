"""Why traces are wrong: counts by cause and by first bad step, the traces behind each bar, and what explains."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
from PySide6.QtCore import QModelIndex, QTimer, Signal
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QListView,
    QProgressBar,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from sqlalchemy import Connection

from studio.domain import Changes, Project, Topic
from studio.errors import SteplensError
from studio.exchange.failing import FailureReport
from studio.store import failures, projects, rubrics
from studio.store.failures import Explained, Standing
from studio.ui.context import Context
from studio.ui.dialogs import set_role
from studio.ui.inspect.failures_bars import Bar, Bars
from studio.ui.inspect.failures_list import FailureDelegate, FailureModel, bad_step
from studio.ui.widgets.card_list import ROW_ROLE
from studio.ui.widgets.child_process import ChildProcess, Progress
from studio.ui.widgets.parts import button, plural
from trainer.reasoning.failures import Basis, Cause

PLACES = (("step 1", 0, 0), ("step 2", 1, 1), ("step 3", 2, 2), ("steps 4–6", 3, 5), ("steps 7–12", 6, 11))
LATER, NOWHERE = "step 13 on", "not known"
NEWS_MS = 400


class FailuresPanel(QWidget):
    """Bars over a list; a tab of the Inspect page.

    Signals:
        quoted(int, int, int): these code points of this trace show its cause; `chosen` follows.
        chosen(int, int): show this trace at this step (-1: wherever it begins).
    """

    quoted = Signal(int, int, int)
    chosen = Signal(int, int)

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._number = 0
        self._stale = True
        self._log: tuple[int, str] | None = None  # the log it is narrowed to, and its name
        self.standing = Standing((), 0)
        self.child: ChildProcess | None = None
        self.project = QComboBox()
        self.causes = Bars(context.theme, "Why, by cause")
        self.places = Bars(context.theme, "First bad step")
        self.rubrics = Bars(context.theme, "Rubrics")
        self.rubric_title = QLabel("Rubric")
        self.found: dict[str, frozenset[int]] = {}  # traces by rubric
        self.words, self.counted, self.of_log = QLabel(), QLabel(), QLabel()
        self.all_logs = button("All logs", lambda: self.narrow(None), tip="Show wrong traces of every log again")
        self.list, self.model = QListView(), FailureModel(self)
        self.go = button("Explain wrong traces", self.explain, tip="Rules alone, off the window; keeps what it finds")
        self.stop = button("Cancel", self._cancel, tip="What is explained so far is kept")
        self.bar = QProgressBar()
        self._news = QTimer(self, singleShot=True, interval=NEWS_MS)
        self._lay_out()
        self._news.timeout.connect(self.reload)
        self.causes.chosen.connect(lambda _name: self._filter())
        self.places.chosen.connect(lambda _name: self._filter())
        self.rubrics.chosen.connect(lambda _name: self._filter())
        self.project.currentIndexChanged.connect(lambda _index: self._read())
        self.list.selectionModel().currentChanged.connect(self._on_current_changed)
        context.background.changed.connect(self._on_changed)

    def activate(self) -> None:
        """The tab is shown."""
        if self._stale:
            self.reload()

    @property
    def log(self) -> int | None:
        """The log that it is narrowed to."""
        return None if self._log is None else self._log[0]

    def narrow(self, log: int | None, name: str = "") -> None:
        """Show the wrong traces of one log (0: of those that are of none; None: of all), of any project and cause."""
        self._log = None if log is None else (log, name)
        for bars in (self.causes, self.places, self.rubrics):
            bars.choose("")
        self.project.setCurrentIndex(0)
        self.reload()
        self._show_log()

    def _show_log(self) -> None:
        self.of_log.setText("" if self._log is None else f"Log {self._log[1]}")
        self.of_log.setToolTip(self.of_log.text())
        for widget in (self.of_log, self.all_logs):
            widget.setVisible(self._log is not None)

    def reload(self) -> None:
        """Read the projects, then the failures, again."""
        self._stale = False
        self._context.background.read(self, projects.all_projects, self._on_projects)

    def explain(self) -> None:
        """Look at every wrong trace that these rules have not explained, in a child process."""
        if self.child is not None:
            return
        command = ["failures", "--workspace", str(self._context.workspace.path)]
        if self.project.currentData() is not None:
            command += ["--project", self.project.currentText()]
        child = self.child = ChildProcess(command, self)
        child.progressed.connect(self._on_progress)
        child.reported.connect(self._on_reported)
        child.failed.connect(lambda text: self._context.fail(SteplensError(text)))
        child.cancelled.connect(lambda: self._context.say("stopped; what was explained is kept"))
        child.ended.connect(self._on_ended)
        self.bar.setRange(0, 0)
        child.start()
        self._context.follow("Explaining wrong traces", child)
        self._show_state()

    def rows(self) -> tuple[Explained, ...]:
        """The traces of the chosen bars."""
        return tuple(one for one in self.standing.explained if all(self._fits(one)))

    def _fits(self, one: Explained) -> tuple[bool, bool, bool]:
        """Whether it has the chosen cause, first bad step, rubric."""
        cause, place, rubric = self.causes.current, self.places.current, self.rubrics.current
        return (
            not cause or one.failure.cause.value == cause,
            not place or place_of(one) == place,
            not rubric or one.trace_id in self.found.get(rubric, ()),
        )

    # -- parts --------------------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        self.project.setAccessibleName("Project")
        self.project.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.project.addItem("All projects", None)
        self.list.setAccessibleName("Wrong traces")
        self.list.setMinimumHeight(self._context.theme.px(44))
        self.list.setModel(self.model)
        self.list.setItemDelegate(FailureDelegate(self._context.theme, self.list))
        self.list.setUniformItemSizes(True)
        self.list.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.list.setFrameShape(QFrame.Shape.NoFrame)
        self.words.setWordWrap(True)
        first, second = QLabel("Cause"), QLabel("First bad step")
        self.of_log.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        for label in (self.words, self.counted, self.of_log, first, second, self.rubric_title):
            set_role(label, "caption")
        work = QHBoxLayout()
        work.addWidget(self.go)
        work.addWidget(self.bar, 1)
        work.addWidget(self.stop)
        work.addStretch(0)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 8, 0, 0)
        column.setSpacing(6)
        narrowed = QHBoxLayout()
        narrowed.addWidget(self.of_log, 1)
        narrowed.addWidget(self.all_logs)
        column.addWidget(self.project)
        column.addLayout(narrowed)
        column.addWidget(self.words)
        column.addLayout(work)
        for widget in (first, self.causes, second, self.places, self.rubric_title, self.rubrics, self.counted):
            column.addWidget(widget)
        column.addWidget(self.list, 1)
        self._show_log()
        self._show_state()

    def _on_projects(self, found: tuple[Project, ...]) -> None:
        before = self.project.currentData()
        self.project.blockSignals(True)
        self.project.clear()
        self.project.addItem("All projects", None)
        for project in found:
            self.project.addItem(project.name, project.id)
        self.project.setCurrentIndex(max(0, self.project.findData(before)))
        self.project.blockSignals(False)
        self._read()

    def _read(self) -> None:
        self._number += 1
        number, project, log = self._number, self.project.currentData(), self.log

        def read(c: Connection) -> tuple[int, Standing, dict[str, frozenset[int]]]:
            return number, failures.standing(c, project, log), rubrics.traces_by_name(c)

        self._context.background.read(self, read, self._on_read)

    def _on_read(self, read: tuple[int, Standing, dict[str, frozenset[int]]]) -> None:
        if read[0] == self._number:
            _, self.standing, self.found = read
            self._filter()
            self._show_state()

    def _filter(self) -> None:
        """Each chart counts what the others leave."""
        cause, place, rubric = self.causes.current, self.places.current, self.rubrics.current
        every = [(one, self._fits(one)) for one in self.standing.explained]
        by_cause = Counter(one.failure.cause.value for one, (_, b, c) in every if b and c)
        by_place = Counter(place_of(one) for one, (a, _, c) in every if a and c)
        left = {one.trace_id for one, (a, b, _) in every if a and b}
        by_rubric = {name: len(traces & left) for name, traces in self.found.items()}
        said = [Bar(name, count) for name, count in by_rubric.items() if count or name == rubric]
        self.rubrics.show_bars(said, rubric)
        for widget in (self.rubric_title, self.rubrics):
            widget.setVisible(bool(said))
        names = (*(name for name, _, _ in PLACES), LATER, NOWHERE)
        self.causes.show_bars([Bar(n.value, by_cause[n]) for n in Cause if by_cause[n] or n == cause], cause)
        self.places.show_bars([Bar(name, by_place[name]) for name in names if by_place[name] or name == place], place)
        rows = self.rows()
        self.model.set_rows(rows)
        self.counted.setText(plural(len(rows), "trace"))

    def _show_state(self) -> None:
        busy, standing = self.child is not None, self.standing
        self.bar.setVisible(busy)
        self.stop.setVisible(busy)
        self.go.setVisible(not busy)
        self.go.setEnabled(standing.unseen > 0)
        if not standing.wrong and not standing.explained:
            self.words.setText("No trace here is wrong: none has a wrong outcome or a step rated bad.")
            return
        left = f"{standing.unseen:,} not explained yet" if standing.unseen else "all of them explained"
        self.words.setText(" ".join([f"{standing.wrong:,} wrong, {left}.", *_bases(standing)]))

    # -- news ---------------------------------------------------------------------------------------------------------

    def _on_progress(self, progress: Progress) -> None:
        self.bar.setRange(0, progress.total)
        self.bar.setValue(progress.done)
        self.bar.setFormat(progress.text or "%p %")

    def _on_reported(self, report: dict[str, Any]) -> None:
        self._context.say(next(msgspec.convert(report, FailureReport).sentences()))

    def _on_ended(self) -> None:
        if self.child is not None:
            self.child.deleteLater()
        self.child = None
        self.stop.setEnabled(True)
        self._show_state()
        self.reload()

    def _cancel(self) -> None:
        if self.child is not None:
            self.stop.setEnabled(False)
            self.child.cancel()

    def _on_changed(self, changes: Changes) -> None:
        if changes.touches(Topic.FAILURES, Topic.TRACES, Topic.ANNOTATIONS, Topic.SCORES):
            if self.isVisible():
                self._news.start()
            else:
                self._stale = True

    def _on_current_changed(self, current: QModelIndex, _previous: QModelIndex) -> None:
        row: Explained | None = current.data(ROW_ROLE)
        if row is not None:
            if row.failure.cause is not Cause.UNKNOWN:  # the step alone shows that, with its maths drawn
                self.quoted.emit(row.trace_id, row.failure.start, row.failure.end)
            self.chosen.emit(row.trace_id, -1 if row.failure.step is None else row.failure.step)


def _bases(standing: Standing) -> list[str]:
    """Who names the first bad steps, and of how many nobody does."""
    known = Counter(one.failure.basis for one in standing.explained if bad_step(one) is not None)
    words = {Basis.NONE: "where the cause shows"}
    said = ", ".join(f"{words.get(basis, basis.value)} {count:,}" for basis, count in known.most_common())
    nobody = len(standing.explained) - known.total()
    named = [f"First bad step by {said}."] if said else []
    return [*named, f"In {nobody:,} the first bad step is not known."] if nobody else named


def place_of(one: Explained) -> str:
    """The bar of its first bad step."""
    step = bad_step(one)
    if step is None:
        return NOWHERE
    return next((name for name, first, last in PLACES if first <= step <= last), LATER)
