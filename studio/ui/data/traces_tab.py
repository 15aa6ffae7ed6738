"""All traces of the workspace, filtered; from here to Inspect and into a project's queue."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QPoint, Qt, QTimer, Signal
from PySide6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QMenu,
    QStackedLayout,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from studio.domain import Changes, Project, Topic
from studio.store import projects
from studio.store.traces import ErrorFilter, TraceOrder, TraceQuery
from studio.ui.actions import Page
from studio.ui.data.trace_model import FIRST_ERROR, HEADS, PROBLEM, REFERENCE, TraceModel
from studio.ui.widgets.parts import GAP, EmptyState, Quiet, button, plural

if TYPE_CHECKING:
    from studio.ui.context import Context

TYPING_MS = 250
_RATED = (
    ("Rated or not", ErrorFilter.ANY),
    ("With an error found", ErrorFilter.FOUND),
    ("Rated without error", ErrorFilter.NONE),
    ("Not rated", ErrorFilter.UNRATED),
)
_ORDERS = (
    ("In their order", TraceOrder.POSITION),
    ("Newest first", TraceOrder.NEWEST),
    ("Lowest score first", TraceOrder.LOW_SCORE),
)


class TracesTab(QWidget):
    """A paged table of traces.

    Signals:
        importAsked(): nothing is here, and a person wants to change that.
    """

    importAsked = Signal()

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._projects: tuple[Project, ...] = ()
        self.model = TraceModel(context, self)
        self.text = QLineEdit(self)
        self.text.setPlaceholderText("Find words in problems and steps")
        self.text.setClearButtonEnabled(True)
        self.text.setAccessibleName("Find words in problems and steps")
        self.project = QComboBox(self)
        self.project.setAccessibleName("Project")
        self.project.addItem("All projects", None)
        self.rated = _combo(_RATED, "Which traces by rating", self)
        self.order = _combo(_ORDERS, "Order", self)
        self.count = Quiet("", self)
        self.table = self._make_table()
        self.open_button = button("Inspect", self._open, tip="Open the chosen trace on the Inspect page", parent=self)
        self.send_button = button("Send to project…", self._on_send, tip="Into a labelling queue", parent=self)
        self.empty = EmptyState(
            "No traces yet",
            "Import files or folders of traces, or drop them onto the window.",
            "Import traces…",
            self.importAsked.emit,
            self,
        )
        self.nothing = EmptyState("Nothing found", "No trace has these words with these filters.", parent=self)
        self._lay_out()
        self._typing = QTimer(self)
        self._typing.setSingleShot(True)
        self._typing.setInterval(TYPING_MS)
        self._typing.timeout.connect(self.look)
        self.text.textChanged.connect(lambda _text: self._typing.start())
        for combo in (self.project, self.rated, self.order):
            combo.currentIndexChanged.connect(lambda _index: self.look())
        self.model.counted.connect(self._on_counted)
        context.background.changed.connect(self._on_changed)
        self._load_projects()

    def look(self) -> None:
        """Ask for the traces that the filters describe."""
        self._typing.stop()
        self.model.look_for(
            TraceQuery(
                project=self.project.currentData(),
                text=self.text.text().strip(),
                first_error=self.rated.currentData(),
                order=self.order.currentData(),
            )
        )

    def chosen(self) -> tuple[int, ...]:
        """The ids of the selected traces whose rows are here."""
        rows = (self.model.row_at(index.row()) for index in self.table.selectionModel().selectedRows())
        return tuple(row.id for row in rows if row is not None)

    def send_to(self, project: Project, trace_ids: tuple[int, ...]) -> None:
        """Put traces at the end of a project's queue."""
        self._context.background.write(
            self,
            lambda c: projects.put_traces(c, project.id, trace_ids),
            lambda changes: self._context.say(_sent(project.name, len(trace_ids), len(changes.traces))),
        )

    def _open(self) -> None:
        chosen = self.chosen()
        if chosen:
            self._context.open_trace(Page.INSPECT, chosen[0])

    def _on_send(self) -> None:
        self._menu(self.send_button.mapToGlobal(QPoint(0, self.send_button.height())), opening=False)

    def _menu(self, at: QPoint, *, opening: bool) -> None:
        chosen = self.chosen()
        if not chosen:
            self._context.say("Choose one or more traces first")
            return
        menu = QMenu(self)
        if opening:
            menu.addAction("Inspect", self._open)
        into = menu.addMenu("Send to project") if opening else menu
        for project in self._projects:
            into.addAction(project.name, partial(self.send_to, project, chosen))
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.popup(at)

    def _on_counted(self, total: int) -> None:
        plain = self.model.query == TraceQuery(order=self.model.query.order)
        self._stack.setCurrentWidget(self.table if total else self.empty if plain else self.nothing)
        self.count.setText(plural(total, "trace") if total else "")
        self._show_buttons()

    def _show_buttons(self) -> None:
        any_chosen = self.table.selectionModel().hasSelection()
        self.open_button.setEnabled(any_chosen)
        self.send_button.setEnabled(any_chosen and bool(self._projects))

    def _on_changed(self, changes: Changes) -> None:
        if changes.touches(Topic.PROJECTS):
            self._load_projects()
        if changes.touches(Topic.TRACES, Topic.ANNOTATIONS, Topic.SCORES) and self.isVisible():
            self._typing.start()  # once for many changes

    def _load_projects(self) -> None:
        self._context.background.read(self, projects.all_projects, self._on_projects)

    def _on_projects(self, found: tuple[Project, ...]) -> None:
        self._projects = found
        chosen = self.project.currentData()
        self.project.blockSignals(True)
        self.project.clear()
        self.project.addItem("All projects", None)
        for each in found:
            self.project.addItem(each.name, each.id)
        self.project.setCurrentIndex(max(0, self.project.findData(chosen)))
        self.project.blockSignals(False)
        self._show_buttons()

    def _make_table(self) -> QTableView:
        table = QTableView(self)
        table.setModel(self.model)
        table.setAccessibleName("Traces")
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        table.setShowGrid(False)
        table.setWordWrap(False)
        table.setTabKeyNavigation(False)
        table.verticalHeader().hide()
        table.verticalHeader().setDefaultSectionSize(round(table.fontMetrics().height() * 1.8))
        head = table.horizontalHeader()
        head.setHighlightSections(False)
        head.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        for column in range(len(HEADS)):
            table.setColumnWidth(column, 180 if column == REFERENCE else 110)
        table.setColumnWidth(FIRST_ERROR, 100)
        head.setSectionResizeMode(PROBLEM, QHeaderView.ResizeMode.Stretch)
        table.activated.connect(lambda _index: self._open())
        table.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        table.customContextMenuRequested.connect(lambda at: self._menu(table.viewport().mapToGlobal(at), opening=True))
        table.selectionModel().selectionChanged.connect(lambda _new, _old: self._show_buttons())
        return table

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self.text, 1)
        for combo in (self.project, self.rated, self.order):
            row.addWidget(combo)
        foot = QHBoxLayout()
        foot.addWidget(self.count, 1)
        foot.addWidget(self.send_button)
        foot.addWidget(self.open_button)
        place = QWidget(self)
        self._stack = QStackedLayout(place)
        for widget in (self.table, self.empty, self.nothing):
            self._stack.addWidget(widget)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, GAP, 0, 0)
        column.setSpacing(GAP)
        column.addLayout(row)
        column.addWidget(place, 1)
        column.addLayout(foot)
        self._show_buttons()


def _combo(entries: tuple[tuple[str, object], ...], name: str, parent: QWidget) -> QComboBox:
    combo = QComboBox(parent)
    combo.setAccessibleName(name)
    for text, value in entries:
        combo.addItem(text, value)
    return combo


def _sent(project: str, wanted: int, fresh: int) -> str:
    known = f"; {plural(wanted - fresh, 'trace')} stood there already" if fresh < wanted else ""
    return f"{plural(fresh, 'trace')} sent to {project}{known}"
