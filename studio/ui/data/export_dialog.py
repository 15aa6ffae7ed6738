"""Export in the window: whose work, where to, progress and Cancel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from PySide6.QtCore import Qt
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)
from sqlalchemy import Connection

from studio.domain import Annotator, Project
from studio.errors import SteplensError
from studio.exchange.report import ExportReport
from studio.store import projects
from studio.ui.widgets.child_process import ChildProcess, Progress
from studio.ui.widgets.parts import MARGIN, Quiet, button

if TYPE_CHECKING:
    from studio.ui.context import Context

_SOURCES = (("Rated here and imported", "all"), ("Rated here", "here"), ("Imported", "imported"))


@dataclass(frozen=True, slots=True)
class _Known:
    projects: tuple[Project, ...]
    annotators: tuple[Annotator, ...]


class ExportDialog(QDialog):
    """One export, done by `steplens export` in a child process; the file appears whole or not at all."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self.child: ChildProcess | None = None
        self.setWindowTitle("Export annotations")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(620, 380)
        self.project = QComboBox(self)
        self.project.addItem("All projects", None)
        self.annotator = QComboBox(self)
        self.annotator.addItem("Everybody", None)
        self.source = QComboBox(self)
        for text, value in _SOURCES:
            self.source.addItem(text, value)
        self.submitted = QCheckBox("Only submitted work", self)
        self.submitted.setChecked(True)
        self.file = QLineEdit(self)
        self.file.setPlaceholderText("a file to write, .jsonl")
        self.file.setAccessibleName("File")
        self.bar = QProgressBar(self)
        self.bar.setAccessibleName("Progress of the export")
        self.outcome = QLabel("", self)
        self.outcome.setWordWrap(True)
        self.outcome.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.go = button("Export", self.start, primary=True, parent=self)
        self.stop = button("Close", self._on_stop, parent=self)
        self._lay_out()
        self.file.textChanged.connect(lambda _text: self._show())
        context.background.read(self, _known, self._on_known)
        self._show()

    def start(self) -> None:
        """Write the file."""
        path = Path(self.file.text().strip()).expanduser()
        if self.child is not None or not self.file.text().strip():
            return
        command = ["export", "--workspace", str(self._context.workspace.path), "--format", "prm800k"]
        command += ["--source", self.source.currentData()]
        if self.project.currentData():
            command += ["--project", self.project.currentData()]
        if self.annotator.currentData():
            command += ["--annotator", self.annotator.currentData()]
        if not self.submitted.isChecked():
            command.append("--unsubmitted")
        child = self.child = ChildProcess([*command, "--", str(path.absolute())], self)
        child.progressed.connect(self._on_progress)
        child.reported.connect(self._on_reported)
        child.failed.connect(self._on_failed)
        child.cancelled.connect(self._on_cancelled)
        child.ended.connect(child.deleteLater)
        self.bar.setRange(0, 0)
        self.outcome.setText("")
        child.start()
        self._context.follow(f"Exporting {path.name}", child)
        self._show()

    def _on_progress(self, progress: Progress) -> None:
        self.bar.setRange(0, progress.total)
        self.bar.setValue(progress.done)
        self.bar.setFormat(progress.text or "%p %")

    def _on_reported(self, report: dict[str, Any]) -> None:
        self._over("\n".join(line.strip() for line in msgspec.convert(report, ExportReport).sentences()))
        self._context.say(self.outcome.text().partition("\n")[0])

    def _on_failed(self, text: str) -> None:
        self._over("Nothing was written.")
        self._context.fail(SteplensError(text))

    def _on_cancelled(self) -> None:
        self._over("Cancelled: nothing was written.")

    def _over(self, text: str) -> None:
        self.child = None
        self.outcome.setText(text)
        self._show()

    def _on_stop(self) -> None:
        if self.child is None:
            self.reject()
            return
        self.child.cancel()
        self.stop.setEnabled(False)

    def _show(self) -> None:
        busy = self.child is not None
        self.bar.setVisible(busy)
        self.stop.setText("Cancel" if busy else "Close")
        self.stop.setEnabled(True)
        self.go.setEnabled(not busy and bool(self.file.text().strip()))
        for widget in (self.project, self.annotator, self.source, self.submitted, self.file):
            widget.setEnabled(not busy)

    def _on_choose(self) -> None:
        chosen, _ = QFileDialog.getSaveFileName(self, "Export to", "export.jsonl", "PRM800K (*.jsonl)")
        if chosen:
            self.file.setText(chosen)

    def _on_known(self, known: _Known) -> None:
        for project in known.projects:
            self.project.addItem(project.name, project.name)
        for person in known.annotators:
            self.annotator.addItem(person.name, person.uid)

    def reject(self) -> None:
        """Escape: while a child works it is cancelled first."""
        if self.child is not None:
            self._on_stop()
        else:
            super().reject()

    def closeEvent(self, event: QCloseEvent) -> None:
        """Closing the dialog cancels what it does, and waits for that."""
        if self.child is None:
            super().closeEvent(event)
            return
        event.ignore()
        self.child.ended.connect(self.close)
        self._on_stop()

    def _lay_out(self) -> None:
        where = QHBoxLayout()
        where.setSpacing(8)
        where.addWidget(self.file, 1)
        where.addWidget(button("Choose…", self._on_choose, parent=self))
        form = QFormLayout()
        form.setHorizontalSpacing(14)
        form.setVerticalSpacing(10)
        form.addRow("Project", self.project)
        form.addRow("Annotator", self.annotator)
        form.addRow("Source", self.source)
        form.addRow("", self.submitted)
        form.addRow("File", where)
        form.addRow("", Quiet("One PRM800K record an annotation, built from the tables.", self))
        foot = QHBoxLayout()
        foot.addStretch(1)
        foot.addWidget(self.stop)
        foot.addWidget(self.go)
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(14)
        column.addLayout(form)
        column.addWidget(self.outcome)
        column.addStretch(1)
        column.addWidget(self.bar)
        column.addLayout(foot)


def _known(c: Connection) -> _Known:
    return _Known(projects.all_projects(c), projects.annotators(c))
