"""The left side of the Inspect page: which traces, found how, sorted how."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import QModelIndex, QSize, Qt, QTimer, Signal
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListView,
    QVBoxLayout,
    QWidget,
)

from studio.domain import Project
from studio.store.traces import ErrorFilter, TraceOrder
from studio.ui.context import Context
from studio.ui.dialogs import set_role
from studio.ui.inspect.trace_delegate import TraceDelegate
from studio.ui.inspect.trace_model import ROW_ROLE, TraceListModel

TYPING_MS = 180
ORDERS = {
    TraceOrder.POSITION: "in order",
    TraceOrder.NEWEST: "newest first",
    TraceOrder.LOW_SCORE: "lowest score first",
    TraceOrder.FIRST_ERROR: "earliest error first",
}
FILTERS = {
    ErrorFilter.ANY: "all",
    ErrorFilter.FOUND: "error found",
    ErrorFilter.NONE: "no error",
    ErrorFilter.UNRATED: "unrated",
}


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
        self.list = QListView()
        self._count = QLabel()
        self._typing = QTimer(self, singleShot=True, interval=TYPING_MS)
        self._wanted: int | None = None
        self._awaited = False  # the chosen line's page is still being read
        self._fill_choices()
        self._set_up_list(context)
        self._lay_out(context)
        self._typing.timeout.connect(self._on_asked)
        self.search.textChanged.connect(lambda _text: self._typing.start())
        for box in (self.project, self.filter, self.order):
            box.currentIndexChanged.connect(lambda _index: self._on_asked())
        self.model.loaded.connect(self._on_loaded)
        self.model.dataChanged.connect(self._on_page_read)
        self.list.selectionModel().currentChanged.connect(self._on_current_changed)

    def set_projects(self, projects: tuple[Project, ...]) -> None:
        """Offer these projects; the chosen one stays chosen."""
        before = self.project.currentData()
        self.project.blockSignals(True)
        self.project.clear()
        self.project.addItem(self.tr("All projects"), None)
        for project in projects:
            self.project.addItem(project.name, project.id)
        self.project.setCurrentIndex(max(0, self.project.findData(before)))
        self.project.blockSignals(False)

    def reload(self) -> None:
        """Read the list again and keep the place."""
        self._on_asked()

    def mark(self, trace_id: int) -> None:
        """Show which trace is open, without choosing it again."""
        self._wanted = trace_id
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
        return bool(query.text or query.first_error or query.project is not None)

    def neighbours(self) -> tuple[int, ...]:
        """The ids of the next and the previous trace, if at hand."""
        here = self.list.currentIndex().row()
        rows = (self.model.row(place) for place in (here + 1, here - 1) if 0 <= place < self.model.rowCount())
        return tuple(row.id for row in rows if row is not None)

    def sizeHint(self) -> QSize:
        """A column beside the transcript."""
        return QSize(290, 400)

    # -- parts --------------------------------------------------------------------------------------------------------

    def _fill_choices(self) -> None:
        for filter, words in FILTERS.items():
            self.filter.addItem(words, filter)
        for order, words in ORDERS.items():
            self.order.addItem(words, order)
        self.project.addItem(self.tr("All projects"), None)
        for widget, name in (
            (self.search, "Search in problems and traces"),
            (self.project, "Project"),
            (self.filter, "Which traces"),
            (self.order, "Sorted by"),
            (self.list, "Traces"),
        ):
            widget.setAccessibleName(name)
        self.search.setPlaceholderText("Search words or LaTeX")
        self.search.setClearButtonEnabled(True)
        for box in (self.project, self.filter, self.order):
            box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            box.setMinimumContentsLength(8)

    def _set_up_list(self, context: Context) -> None:
        self.list.setModel(self.model)
        self.list.setItemDelegate(TraceDelegate(context.maths, context.theme, self.list.viewport()))
        self.list.setUniformItemSizes(True)
        self.list.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.list.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setFrameShape(QFrame.Shape.NoFrame)

    def _lay_out(self, context: Context) -> None:
        set_role(self._count, "caption")
        filters = QHBoxLayout()
        filters.setSpacing(6)
        filters.addWidget(self.filter, 1)
        filters.addWidget(self.order, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 8, 0, 0)
        column.setSpacing(8)
        column.addWidget(self.project)
        column.addWidget(self.search)
        column.addLayout(filters)
        column.addWidget(self._count)
        column.addWidget(self.list, 1)

    def _on_asked(self) -> None:
        self._typing.stop()
        self.model.open(
            replace(
                self.model.query,
                project=self.project.currentData(),
                text=self.search.text().strip(),
                first_error=ErrorFilter(self.filter.currentData()),  # Qt made them plain strings
                order=TraceOrder(self.order.currentData()),
            )
        )

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
