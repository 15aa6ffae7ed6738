"""The left side of the Inspect page: which traces, found how, sorted how, as a list or as a tree of logs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from PySide6.QtCore import QModelIndex, QSize, Qt, QTimer, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QSizePolicy,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from sqlalchemy import Connection

from studio.domain import Project
from studio.store import projects, trace_list
from studio.store.trace_filter import Filter
from studio.store.trace_list import LogRow
from studio.store.traces import ErrorFilter, OutcomeFilter, TraceOrder
from studio.ui.context import Context
from studio.ui.dialogs import set_role
from studio.ui.inspect.filter_dialog import FilterDialog
from studio.ui.inspect.log_tree import LogTree
from studio.ui.inspect.trace_delegate import TraceDelegate
from studio.ui.inspect.trace_model import ROW_ROLE, TraceListModel
from studio.ui.widgets.row_view import RowView

TYPING_MS = 180
ORDERS = {
    TraceOrder.POSITION: "in order",
    TraceOrder.NEWEST: "newest first",
    TraceOrder.SAMPLE: "by sample",
    TraceOrder.LOW_SCORE: "lowest score",
    TraceOrder.FIRST_ERROR: "earliest error",
}
FILTERS = {
    ErrorFilter.ANY: "any rating",
    ErrorFilter.FOUND: "error found",
    ErrorFilter.NONE: "no error",
    ErrorFilter.UNRATED: "unrated",
}
OUTCOMES = {
    OutcomeFilter.ANY: "any outcome",
    OutcomeFilter.RIGHT: "right",
    OutcomeFilter.WRONG: "wrong",
    OutcomeFilter.UNKNOWN: "undecided",
}
ANY_MODEL = "any model"


@dataclass(frozen=True, slots=True)
class Sources:
    """Where traces came from."""

    projects: tuple[Project, ...]
    logs: tuple[LogRow, ...]
    models: tuple[str, ...]


def read_sources(c: Connection) -> Sources:
    """What the list can be narrowed by."""
    return Sources(projects.all_projects(c), trace_list.logs(c), trace_list.models(c))


class ListPanel(QWidget):
    """Search, filters and the list.

    Signals:
        chosen(int): show this trace.
        counted(int): so many traces are in the list now.
    """

    chosen = Signal(int)
    counted = Signal(int)

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = TraceListModel(context.background, self)
        self.search = QLineEdit()
        self.project = QComboBox()
        self.filter = QComboBox()
        self.order = QComboBox()
        self.log = QComboBox()
        self.outcome = QComboBox()
        self.model_name = QComboBox()
        self.list = RowView(context.theme)
        self.tree = LogTree(context)
        self.stack = QStackedWidget()
        self.as_tree, self.narrow = QCheckBox("Tree"), QToolButton()
        self.dialog: FilterDialog | None = None
        self._context = context
        self._count = QLabel()
        self._typing = QTimer(self, singleShot=True, interval=TYPING_MS)
        self._wanted: int | None = None
        self._awaited = False  # the chosen line's page is still being read
        self._fill_choices()
        self._set_up_list(context)
        self._lay_out(context)
        self._typing.timeout.connect(self._on_asked)
        self.search.textChanged.connect(lambda _text: self._typing.start())
        self.log.currentIndexChanged.connect(lambda _index: self._on_log())
        for box in (self.project, self.filter, self.order, self.outcome, self.model_name):
            box.currentIndexChanged.connect(lambda _index: self._on_asked())
        self.model.loaded.connect(self._on_loaded)
        self.model.dataChanged.connect(self._on_page_read)
        self.list.selectionModel().currentChanged.connect(self._on_current_changed)
        self.tree.chosen.connect(self._on_tree_chosen)
        self.as_tree.toggled.connect(self._on_tree)
        self.as_tree.clicked.connect(lambda _on: self._remember())
        self.narrow.clicked.connect(lambda _on: self.ask_filter())
        context.actions.on("filter_traces", self.ask_filter)
        context.actions.on("trace_tree", self.as_tree.click)

    def set_sources(self, sources: Sources) -> None:
        """Offer these projects, logs and models; what is chosen stays chosen."""
        _refill(self.project, "All projects", [(project.name, project.id) for project in sources.projects])
        logs = [(log_words(log), log.id) for log in sources.logs]
        _refill(self.log, "All logs", logs)
        _refill(self.model_name, ANY_MODEL, [(name, name) for name in sources.models])
        self.log.setVisible(bool(logs))
        self.model_name.setVisible(len(sources.models) > 1)
        self.outcome.setVisible(bool(logs) or len(sources.models) > 0)
        said = self._context.settings.traces_as
        self.as_tree.setChecked(said == "tree" if said else bool(logs))

    def reload(self) -> None:
        """Read the list again and keep the place."""
        self._on_asked()

    def mark(self, trace_id: int) -> None:
        """Show which trace is open, without choosing it again."""
        self._wanted = trace_id
        if self.as_tree.isChecked():
            self.tree.mark(trace_id)
        place = self.model.place_of(trace_id)
        selection = self.list.selectionModel()
        selection.blockSignals(True)
        if place is None:
            self.list.clearSelection()
        else:
            index = self.model.index(place)
            selection.setCurrentIndex(index, selection.SelectionFlag.ClearAndSelect)
            self.list.scrollTo(index)
        selection.blockSignals(False)
        self.list.viewport().update()

    def step_by(self, by: int) -> bool:
        """Choose the next or previous trace; whether there was one."""
        if self.as_tree.isChecked():
            return self.tree.step_by(by)
        place = self.list.currentIndex().row() + by
        if not 0 <= place < self.model.rowCount():
            return False
        self.list.setCurrentIndex(self.model.index(place))
        return True

    def choose_first(self) -> None:
        """Choose the first trace of the list."""
        self.list.setCurrentIndex(self.model.index(0))

    @property
    def is_narrowed(self) -> bool:
        """Whether a search, project or filter leaves traces out."""
        query = self.model.query
        narrowed = query.text or query.first_error or query.outcome or query.model or query.filter
        return bool(narrowed) or query.project is not None or query.log is not None

    def neighbours(self) -> tuple[int, ...]:
        """The ids of the next and the previous trace, if at hand."""
        if self.as_tree.isChecked():
            return self.tree.neighbours()
        here = self.list.currentIndex().row()
        rows = (self.model.row(place) for place in (here + 1, here - 1) if 0 <= place < self.model.rowCount())
        return tuple(row.id for row in rows if row is not None)

    def ask_filter(self) -> None:
        """Compose a filter by any field."""
        self.dialog = FilterDialog(self._context, self.model.query, self)
        self.dialog.wanted.connect(self.set_filter)
        self.dialog.show()

    def set_filter(self, wanted: Filter) -> None:
        """Narrow the list and the tree by this."""
        self.model.open(replace(self.model.query, filter=wanted))
        self._open_tree()
        number = len(wanted.conditions)
        self.narrow.setText(f"Filter ({number})" if number else "Filter…")
        self.narrow.setToolTip(str(wanted) or "By any stored field · W")

    def sizeHint(self) -> QSize:
        """A column beside the transcript."""
        return QSize(290, 400)

    # -- parts --------------------------------------------------------------------------------------------------------

    def _fill_choices(self) -> None:
        for filter, words in FILTERS.items():
            self.filter.addItem(words, filter)
        for order, words in ORDERS.items():
            self.order.addItem(words, order)
        for outcome, words in OUTCOMES.items():
            self.outcome.addItem(words, outcome)
        for box, words in ((self.project, "All projects"), (self.log, "All logs"), (self.model_name, ANY_MODEL)):
            box.addItem(words, None)
        for box in (self.log, self.outcome, self.model_name):
            box.hide()
        for widget, name in (
            (self.search, "Search in problems and traces"),
            (self.project, "Project"),
            (self.filter, "Which traces"),
            (self.order, "Sorted by"),
            (self.log, "Log"),
            (self.outcome, "Right or wrong"),
            (self.model_name, "Model"),
            (self.list, "Traces"),
            (self.narrow, "Filter by any field"),
            (self.as_tree, "As a tree of logs"),
        ):
            widget.setAccessibleName(name)
        self.search.setPlaceholderText("Search words or LaTeX")
        self.search.setClearButtonEnabled(True)
        for box in (self.project, self.filter, self.order, self.log, self.outcome, self.model_name):
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.setMinimumContentsLength(8)

    def _set_up_list(self, context: Context) -> None:
        self.list.setModel(self.model)
        self.list.setItemDelegate(TraceDelegate(context.maths, context.theme, self.list.viewport()))
        self.list.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.list.fit_rows()
        self.stack.addWidget(self.list)
        self.stack.addWidget(self.tree)
        self.as_tree.setToolTip("Log, sample, epoch · Shift+T")
        self.narrow.setText("Filter…")
        self.narrow.setToolTip("By any stored field · W")

    def _lay_out(self, context: Context) -> None:
        set_role(self._count, "caption")
        filters = QHBoxLayout()
        filters.setSpacing(6)
        filters.addWidget(self.filter, 1)
        filters.addWidget(self.order, 1)
        sources = QHBoxLayout()
        sources.setSpacing(6)
        sources.addWidget(self.outcome, 1)
        sources.addWidget(self.model_name, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 8, 0, 0)
        column.setSpacing(8)
        column.addWidget(self.project)
        column.addWidget(self.log)
        column.addWidget(self.search)
        column.addLayout(filters)
        column.addLayout(sources)
        foot = QHBoxLayout()
        foot.setSpacing(6)
        self._count.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        foot.addWidget(self._count, 1)
        foot.addWidget(self.narrow)
        foot.addWidget(self.as_tree)
        column.addLayout(foot)
        column.addWidget(self.stack, 1)

    def _on_log(self) -> None:
        """A log is read by sample and epoch; all of them as they came."""
        wanted = TraceOrder.SAMPLE if self.log.currentData() is not None else TraceOrder.POSITION
        place = self.order.findData(wanted)
        if self.order.currentIndex() == place:
            self._on_asked()
        else:
            self.order.setCurrentIndex(place)

    def _on_asked(self) -> None:
        self._typing.stop()
        self.model.open(
            replace(
                self.model.query,
                project=self.project.currentData(),
                text=self.search.text().strip(),
                first_error=ErrorFilter(self.filter.currentData()),  # Qt made them plain strings
                order=TraceOrder(self.order.currentData()),
                log=self.log.currentData(),
                outcome=OutcomeFilter(self.outcome.currentData()),
                model=self.model_name.currentData() or "",
            )
        )
        self._open_tree()

    def _open_tree(self) -> None:
        if self.as_tree.isChecked():
            self.tree.open(self.model.query)

    def _on_tree(self, on: bool) -> None:
        self.stack.setCurrentWidget(self.tree if on else self.list)
        self.order.setEnabled(not on)
        if on:
            self._open_tree()
            if self._wanted is not None:
                self.tree.mark(self._wanted)

    def _remember(self) -> None:
        self._context.settings.update(traces_as="tree" if self.as_tree.isChecked() else "list")

    def _on_tree_chosen(self, trace_id: int) -> None:
        if trace_id != self._wanted:
            self._wanted = trace_id
            self.chosen.emit(trace_id)

    def _on_loaded(self, count: int) -> None:
        self._count.setText(f"{count:,} trace{'' if count == 1 else 's'}")
        if self._wanted is not None:
            self.mark(self._wanted)
        self.counted.emit(count)

    def _on_page_read(self) -> None:
        if self._awaited:
            self._on_current_changed(self.list.currentIndex(), QModelIndex())

    def _on_current_changed(self, current: QModelIndex, _previous: QModelIndex) -> None:
        row = current.data(ROW_ROLE)
        self._awaited = current.isValid() and row is None
        if row is not None and row.id != self._wanted:
            self._wanted = row.id
            self.chosen.emit(row.id)


def log_words(log: LogRow) -> str:
    """A log with how many of its traces are right."""
    judged = f"  {log.right:,}/{log.traces:,} right" if log.right + log.wrong else f"  {log.traces:,}"
    return log.name + judged


def _refill(box: QComboBox, everything: str, entries: Sequence[tuple[str, object]]) -> None:
    before = box.currentData()
    box.blockSignals(True)
    box.clear()
    box.addItem(everything, None)
    for words, key in entries:
        box.addItem(words, key)
    box.setCurrentIndex(max(0, box.findData(before)))
    box.blockSignals(False)
