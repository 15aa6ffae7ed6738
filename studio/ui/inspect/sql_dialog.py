"""The SQL console: a person's own SELECT over the workspace, read-only, with Cancel; rows open traces, CSV goes out."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path

from PySide6.QtCore import QAbstractTableModel, QEvent, QModelIndex, QObject, QPersistentModelIndex, Qt, Signal
from PySide6.QtGui import QFontDatabase, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QSplitter,
    QTableView,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from studio.errors import CancelledError, FindError
from studio.render.prose import visible
from studio.store import sql_console
from studio.store.sql_console import Answer, Cell, TableHelp
from studio.ui.context import Context
from studio.ui.dialogs import open_at, set_role
from studio.ui.widgets.fields import NumberField, mark_invalid
from studio.ui.widgets.parts import GAP, MARGIN, Quiet, button, plural

Index = QModelIndex | QPersistentModelIndex
NO_PARENT = QModelIndex()
SHOWN = 400  # characters of a cell
LIMIT = 1_000
MOST_ROWS = 100_000
ABOUT = (
    "SELECT alone: nothing can be changed here. A row with a column trace_id opens its trace (and step, with a column "
    "step). Rows of imports that have not ended are seen too; batch.state says which."
)
FIRST = """SELECT t.id AS trace_id, t.model, t.outcome, f.used AS tokens, f.characters
FROM trace t JOIN trace_fact f ON f.trace_id = t.id
ORDER BY f.characters DESC"""


class AnswerModel(QAbstractTableModel):
    """The rows of an answer."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.answer = Answer((), (), False, 0.0)

    def show(self, answer: Answer) -> None:
        """Show another answer."""
        self.beginResetModel()
        self.answer = answer
        self.endResetModel()

    def rowCount(self, parent: Index = NO_PARENT) -> int:
        """How many rows."""
        return 0 if parent.isValid() else len(self.answer.rows)

    def columnCount(self, parent: Index = NO_PARENT) -> int:
        """How many columns."""
        return 0 if parent.isValid() else len(self.answer.columns)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """A cell as text that shows what is hidden in it; numbers stand to the right."""
        if not index.isValid():
            return None
        cell = self.answer.rows[index.row()][index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            return shown(cell)
        if role == Qt.ItemDataRole.TextAlignmentRole and isinstance(cell, int | float):
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Names of columns, numbers of rows."""
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        return self.answer.columns[section] if orientation is Qt.Orientation.Horizontal else section + 1


class SqlDialog(QDialog):
    """Tables on the left, the query above its rows.

    Signals:
        stepWanted(int, int): show this trace at this step (-1: wherever it begins).
    """

    stepWanted = Signal(int, int)

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._path = context.workspace.database.path
        self._stop = threading.Event()
        self._asked = ""  # the query that was run last
        self.setWindowTitle("SQL over this workspace")
        self.setAccessibleName("SQL over this workspace")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        open_at(self, context.theme, 1080, 680)
        self.text, self.tables, self.table = QPlainTextEdit(FIRST), QTreeWidget(), QTableView()
        self.model = AnswerModel(self)
        self.limit, self.state = NumberField(LIMIT, whole=True, low=1, high=MOST_ROWS), QLabel()
        self.go = button("Run", self.run, tip="Ctrl+Return", primary=True, parent=self)
        self.cancel = button("Cancel", self._cancel, tip="Stop this query at once", parent=self)
        self.to_trace = button("Open trace", self._open_current, tip="Of the chosen row", parent=self)
        self.csv = button(
            "Export CSV…", self._export, tip="Every row of this query, whole, beyond those shown too", parent=self
        )
        self._lay_out()
        for keys in ("Ctrl+Return", "Ctrl+Enter"):
            QShortcut(QKeySequence(keys), self, self.run)
        self.tables.itemActivated.connect(self._insert)
        self.table.activated.connect(lambda _index: self._open_current())
        self.table.doubleClicked.connect(lambda _index: self._open_current())
        if parent is not None:
            parent.window().installEventFilter(self)
        context.background.call(self, partial(sql_console.tables, self._path), self._on_tables)
        self._say("")
        self._show_running(False)

    def run(self) -> None:
        """Run what is written."""
        if not self.go.isEnabled():
            return
        wrong = self.limit.problem()
        mark_invalid(self.limit, bool(wrong))
        if wrong:
            self._say(f"most rows: {wrong}", wrong=True)
            return
        self._stop = threading.Event()
        self._asked = self.text.toPlainText()
        work = partial(_ask, self._path, self._asked, int(self.limit.text_value()), self._stop)
        self._say("running …")
        self._show_running(True)
        self._context.background.call(self, work, self._on_answer, self._on_failed)

    def reject(self) -> None:
        """Closing stops what runs."""
        self._stop.set()
        super().reject()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """The window closes: what runs is stopped, or closing would wait for it."""
        if event.type() == QEvent.Type.Close:
            self._stop.set()
        return super().eventFilter(watched, event)

    def export(self, path: Path) -> None:
        """Write all rows of the query that was run last, none of them cut."""
        if not self.go.isEnabled():
            return
        self._stop = threading.Event()
        work = partial(_write, self._path, self._asked, path, self._stop)
        self._say("writing …")
        self._show_running(True)

        def done(count: int) -> None:
            self._show_running(False)
            self._say(f"{plural(count, 'row')} written to {path}")

        self._context.background.call(self, work, done, self._on_failed)

    def open_row(self, row: int) -> None:
        """Open the trace of a row."""
        found = self.model.answer.trace_of(row) if 0 <= row < len(self.model.answer.rows) else None
        if found is None:
            self._say("no trace in this row: select a column AS trace_id", wrong=True)
        else:
            self.stepWanted.emit(found[0], max(-1, found[1]))

    def _cancel(self) -> None:
        self._stop.set()

    def _on_answer(self, answer: Answer) -> None:
        self._show_running(False)
        self.model.show(answer)
        self.table.resizeColumnsToContents()
        for column in range(len(answer.columns)):
            self.table.setColumnWidth(column, min(320, self.table.columnWidth(column)))
        more = f", the first {len(answer.rows):,}: there are more" if answer.more else ""
        self._say(f"{plural(len(answer.rows), 'row')}{more} · {answer.seconds * 1000:,.0f} ms")
        self.csv.setEnabled(bool(answer.columns))
        self.to_trace.setEnabled(bool(answer.rows) and answer.trace_of(0) is not None)

    def _on_failed(self, error: Exception) -> None:
        self._show_running(False)
        if isinstance(error, CancelledError | FindError):
            self._say(str(error), wrong=isinstance(error, FindError))
        else:
            self._say("")
            self._context.fail(error)

    def _say(self, words: str, *, wrong: bool = False) -> None:
        set_role(self.state, "warning" if wrong else "caption")
        self.state.setText(words)

    def _show_running(self, on: bool) -> None:
        self.cancel.setVisible(on)
        self.go.setEnabled(not on)

    def _open_current(self) -> None:
        self.open_row(self.table.currentIndex().row())

    def _export(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Export CSV", "rows.csv", "CSV (*.csv)")
        if name:
            self.export(Path(name))

    def _insert(self, item: QTreeWidgetItem, _column: int) -> None:
        self.text.insertPlainText(item.text(0))
        self.text.setFocus()

    def _on_tables(self, found: tuple[TableHelp, ...]) -> None:
        for each in found:
            line = QTreeWidgetItem([each.name, ""])
            line.addChildren([QTreeWidgetItem([name, kind.lower()]) for name, kind in each.columns])
            self.tables.addTopLevelItem(line)

    def _lay_out(self) -> None:
        self.text.setFont(QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont))
        self.text.setAccessibleName("Query")
        self.text.setTabChangesFocus(True)
        self.tables.setHeaderHidden(True)
        self.tables.setColumnCount(2)
        self.tables.setColumnWidth(0, 170)
        self.tables.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.tables.setAccessibleName("Tables and columns; Enter writes the name into the query")
        self.table.setModel(self.model)
        self.table.setAccessibleName("Rows")
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setWordWrap(False)
        self.state.setWordWrap(True)
        self.limit.setAccessibleName("Most rows")
        for off in (self.csv, self.to_trace):
            off.setEnabled(False)
        foot = QHBoxLayout()
        foot.addWidget(self.state, 1)
        for widget in (self.to_trace, self.csv, button("Close", self.reject, parent=self)):
            foot.addWidget(widget)
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(GAP)
        column.addWidget(Quiet(ABOUT, self))
        column.addWidget(self._middle(), 1)
        column.addLayout(foot)

    def _middle(self) -> QSplitter:
        head = QHBoxLayout()
        head.addWidget(self.go)
        head.addWidget(self.cancel)
        head.addStretch(1)
        head.addWidget(Quiet("most rows", self))
        head.addWidget(self.limit)
        above = QWidget()
        asking = QVBoxLayout(above)
        asking.setContentsMargins(0, 0, 0, 0)
        asking.addWidget(self.text, 1)
        asking.addLayout(head)
        right = QSplitter(Qt.Orientation.Vertical)
        right.addWidget(above)
        right.addWidget(self.table)
        right.setSizes([190, 360])
        split = QSplitter(Qt.Orientation.Horizontal)
        split.addWidget(self.tables)
        split.addWidget(right)
        split.setSizes([260, 800])
        split.setChildrenCollapsible(False)
        return split


def shown(cell: Cell) -> str:
    """A cell for the screen: control and direction signs visible, long text cut, bytes by their number."""
    if cell is None:
        return "NULL"
    if isinstance(cell, bytes):
        return f"<{len(cell):,} bytes>"
    if isinstance(cell, str):
        flat = " ".join(visible(cell[:SHOWN]).split())
        return flat + ("…" if len(cell) > SHOWN else "")
    return f"{cell:.6g}" if isinstance(cell, float) else str(cell)


def _ask(path: Path, sql: str, limit: int, stop: threading.Event) -> Answer:
    return sql_console.ask(path, sql, limit=limit, check=partial(_check, stop))


def _write(path: Path, sql: str, target: Path, stop: threading.Event) -> int:
    try:
        return sql_console.write_csv(path, sql, target, check=partial(_check, stop))
    except OSError as error:
        raise FindError(f"{target}: cannot be written: {error.strerror}; choose another place") from error


def _check(stop: threading.Event) -> None:
    if stop.is_set():
        raise CancelledError("the query was stopped")
