"""Looking into files before they are imported: the files, the traces of one, the text of one; nothing is copied."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt
from PySide6.QtWidgets import QListWidget, QListWidgetItem, QPlainTextEdit, QSplitter, QTableView, QVBoxLayout, QWidget

from studio.exchange import opening
from studio.exchange.foreign import ForeignTrace
from studio.exchange.inspect_log import SampleRow
from studio.exchange.opening import Listed, Opened
from studio.ui.dialogs import plain_tip
from studio.ui.widgets.parts import Quiet, monospace, plural

if TYPE_CHECKING:
    from studio.ui.context import Context

Index = QModelIndex | QPersistentModelIndex
_ROOT = QModelIndex()
HEADS = ("Sample", "Epoch", "Problem", "Right", "Scores")
LONGEST_SHOWN = 200_000  # characters; the rest is read once it is imported


class SampleModel(QAbstractTableModel):
    """The traces of an open file."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.rows: tuple[SampleRow, ...] = ()

    def show_rows(self, rows: tuple[SampleRow, ...]) -> None:
        """Show these."""
        self.beginResetModel()
        self.rows = rows
        self.endResetModel()

    def rowCount(self, parent: Index = _ROOT) -> int:
        """How many traces."""
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index = _ROOT) -> int:
        """The heads."""
        return 0 if parent.isValid() else len(HEADS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """The names of the columns."""
        if role != Qt.ItemDataRole.DisplayRole or orientation != Qt.Orientation.Horizontal:
            return None
        return HEADS[section]

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """One cell."""
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        row = self.rows[index.row()]
        right = {1: "yes", 0: "no"}.get(-1 if row.outcome is None else row.outcome, "")
        return (row.sample, str(row.epoch), row.title or row.error, right, row.scores)[index.column()]


class ImportPreview(QWidget):
    """Files on the left, the traces of the chosen one above, the text of the chosen trace below."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._root = Path()
        self._listed: tuple[Listed, ...] = ()
        self.opened: Opened | None = None
        self.said = Quiet("", self)
        self.said.setTextFormat(Qt.TextFormat.PlainText)
        self.files = QListWidget(self)
        self.files.setAccessibleName("Files that may hold traces")
        self.model = SampleModel(self)
        self.table = QTableView(self)
        self.table.setAccessibleName("Traces of the file")
        self.table.setModel(self.model)
        self.table.setSelectionBehavior(QTableView.SelectionBehavior.SelectRows)
        self.table.verticalHeader().hide()
        self.table.horizontalHeader().setStretchLastSection(True)
        for at, width in enumerate((90, 60, 260, 60)):
            self.table.setColumnWidth(at, width)
        self.text: QPlainTextEdit = monospace("", self)
        self.text.setAccessibleName("Text of the trace")
        right = QSplitter(Qt.Orientation.Vertical, self)
        right.addWidget(self.table)
        right.addWidget(self.text)
        both = QSplitter(self)
        both.addWidget(self.files)
        both.addWidget(right)
        both.setStretchFactor(1, 3)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.said)
        column.addWidget(both, 1)
        self.files.currentRowChanged.connect(self._on_file)
        self.table.selectionModel().currentRowChanged.connect(lambda now, _before: self._on_row(now.row()))

    def show_paths(self, paths: tuple[str, ...]) -> None:
        """List these files, and what is in these folders."""
        self.files.clear()
        self.model.show_rows(())
        self.text.clear()
        self.said.setText("Reading the headers…")
        self._context.background.call(self, lambda: _list(paths), self._on_listed, self._on_failed)

    def _on_listed(self, found: tuple[Listed, ...]) -> None:
        self._listed = found
        folders = {each.path.parent for each in found}
        root = next(iter(folders)) if len(folders) == 1 else Path()
        for each in found:
            item = QListWidgetItem(each.as_line(root), self.files)
            item.setToolTip(plain_tip("\n".join(part for part in (str(each.path), each.problem) if part)))
            if each.problem:
                item.setForeground(self._context.theme.colours.q("negative"))
        known = sum(each.traces or 0 for each in found)
        counted = f", {known:,} traces in logs" if known else ""
        self.said.setText(f"{plural(len(found), 'file')}{counted}. Nothing is imported yet.")
        if found:
            self.files.setCurrentRow(0)

    def _on_file(self, row: int) -> None:
        self.model.show_rows(())
        self.text.clear()
        self.opened = None
        if not 0 <= row < len(self._listed):
            return
        path = self._listed[row].path
        if problem := self._listed[row].problem:
            self.text.setPlainText(f"{path}\n\nThis file would be left out, the others come in.\n\n{problem}")
            return
        self._context.background.call(
            self, lambda: opening.open_file(path), lambda opened: self._on_opened(row, opened), self._on_failed
        )

    def _on_opened(self, row: int, opened: Opened) -> None:
        if row != self.files.currentRow():
            return
        self.opened = opened
        fields = opened.source.told.fields
        if fields is not None:
            self.said.setText(f"{opened.source.path.name}: fields taken as {fields.shown()}")
        self.model.show_rows(opened.rows)
        if opened.rows:
            self.table.selectRow(0)

    def _on_row(self, row: int) -> None:
        opened = self.opened
        if opened is None or not 0 <= row < len(opened.rows):
            return

        def arrived(found: tuple[ForeignTrace, ...]) -> None:
            if opened is self.opened and row == self.table.currentIndex().row():
                self.text.setPlainText("\n\n".join(map(written, found))[:LONGEST_SHOWN])

        self._context.background.call(self, lambda: opened.traces(row), arrived, self._on_failed)

    def _on_failed(self, error: Exception) -> None:
        self.said.setText(str(error))


def written(trace: ForeignTrace) -> str:
    """A trace as plain text: who speaks, what kind of block it is, its words as they are."""
    parts = [
        f"— {message.role} · {block.kind.value.replace('_', ' ')}\n{trace.text[block.start : block.end]}"
        for message in trace.messages
        for block in message.blocks
    ]
    return "\n\n".join(parts)


def _list(paths: tuple[str, ...]) -> tuple[Listed, ...]:
    found: list[Listed] = []
    for path in map(Path, paths):
        found += opening.folder(path) if path.is_dir() else (opening.listed(path),)
    return tuple(found)
