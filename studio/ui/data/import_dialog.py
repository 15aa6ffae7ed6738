"""Import in the window: choose, dry run, read the report, import with progress and Cancel, read the result."""

from __future__ import annotations

from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from PySide6.QtCore import Qt
from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QListWidget,
    QProgressBar,
    QStackedLayout,
    QVBoxLayout,
    QWidget,
)

from studio.domain import Project
from studio.errors import ImportFormatError, SteplensError
from studio.exchange.foreign import StepsBy
from studio.exchange.prm800k import is_prm800k
from studio.exchange.report import ImportReport
from studio.store import projects
from studio.ui.data.import_preview import ImportPreview
from studio.ui.data.import_view import ReportView
from studio.ui.widgets.child_process import ChildProcess, Progress
from studio.ui.widgets.parts import MARGIN, EmptyState, Quiet, button

if TYPE_CHECKING:
    from studio.ui.context import Context

FILTER = "Traces (*.eval *.jsonl *.ndjson *.json *.sse);;All files (*)"


class Stage(Enum):
    """How far the import is."""

    CHOOSING = auto()
    LOOKING = auto()
    CHECKING = auto()
    CHECKED = auto()
    IMPORTING = auto()
    DONE = auto()


class ImportDialog(QDialog):
    """One import. The work is done by `steplens import` in a child process; Cancel leaves nothing."""

    def __init__(self, context: Context, paths: tuple[str, ...] = (), parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self.stage = Stage.CHOOSING
        self.child: ChildProcess | None = None
        self.setWindowTitle("Import traces")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setAcceptDrops(True)
        self.resize(900, 640)
        self.files = QListWidget(self)
        self.files.setAccessibleName("Files to import")
        self.project = QComboBox(self)
        self.project.setEditable(True)
        self.project.setAccessibleName("Project")
        self.project.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.steps = QComboBox(self)
        self.steps.setAccessibleName("Steps")
        self.steps.setToolTip("Of traces that come without steps. Those that are here already keep theirs.")
        self.steps.addItem("By idea: sentences and list items; formulas, code and quotations whole", StepsBy.IDEAS)
        self.steps.addItem("By lines: every line that is not empty", StepsBy.LINES)
        self.steps.setCurrentIndex(max(0, self.steps.findData(context.settings.steps_by)))
        self.steps.activated.connect(lambda _row: context.settings.update(steps_by=self.steps.currentData()))
        self.note = Quiet("", self)
        self.bar = QProgressBar(self)
        self.bar.setAccessibleName("Progress of the import")
        self.report = ReportView(context, self)
        self.hint = EmptyState(
            "Choose files, or drop them here",
            "PRM800K, logs of Inspect, messages of providers, spans, trajectories, any JSON Lines; files or folders. "
            "You look first; nothing is written before you say Import.",
            "Choose files…",
            self._on_choose,
            self,
        )
        self.preview = ImportPreview(context, self)
        self.working = EmptyState("", "", parent=self)
        self.choose = button("Choose files…", self._on_choose, parent=self)
        self.check = button("Check again", self.start_check, tip="Dry run: read every row, write nothing", parent=self)
        self.go = button("Import", self.start_import, primary=True, parent=self)
        self.stop = button("Cancel", self._on_stop, parent=self)
        self._lay_out()
        self.project.editTextChanged.connect(lambda _text: self._show())
        context.background.read(self, projects.all_projects, self._on_projects)
        self._show()
        if paths:
            self.take_files(paths)

    def take_files(self, paths: tuple[str, ...]) -> None:
        """Add files and check them."""
        if self.stage in (Stage.CHECKING, Stage.IMPORTING):
            self._context.say("Wait until the present work is done, or cancel it")
            return
        if self.stage is Stage.DONE:
            self.files.clear()
        known = set(self.paths())
        self.files.addItems([path for path in paths if path not in known])
        if all(map(_is_labelled, self.paths())):
            if not self.project.currentText().strip() and self.files.count():
                self.project.setEditText(_project_name(Path(self.paths()[0])))
            self.start_check()
            return
        self.stage = Stage.LOOKING
        self.preview.show_paths(self.paths())
        self._show()

    def paths(self) -> tuple[str, ...]:
        """The files to import."""
        return tuple(self.files.item(row).text() for row in range(self.files.count()))

    def start_check(self) -> None:
        """Dry run: read every row, write nothing."""
        self._run(Stage.CHECKING, ["--dry-run"], self._on_checked)

    def start_import(self) -> None:
        """Import for good; seen by nobody before it is complete."""
        self._run(Stage.IMPORTING, [], self._on_imported)

    def _run(self, stage: Stage, options: list[str], reported: Any) -> None:  # noqa: ANN401 - a slot
        paths, name = self.paths(), self.project.currentText().strip()
        if not self._is_ready() or self.child is not None:
            return
        self.stage = stage
        where = ["--workspace", str(self._context.workspace.path), *(("--project", name) if name else ())]
        where += ["--steps", self.steps.currentData()]
        child = self.child = ChildProcess(["import", *where, *options, "--", *paths], self)
        child.progressed.connect(self._on_progress)
        child.reported.connect(reported)
        child.failed.connect(self._on_failed)
        child.cancelled.connect(self._on_cancelled)
        child.ended.connect(child.deleteLater)
        self.bar.setRange(0, 0)
        self.bar.setFormat("starting")
        child.start()
        what = "Checking" if stage is Stage.CHECKING else "Importing"
        self._context.follow(f"{what} {Path(paths[0]).name}", child)
        self._show()

    def _on_progress(self, progress: Progress) -> None:
        scale = max(1, progress.total // 1_000_000)  # a bar counts in 32 bits, files in more
        self.bar.setRange(0, progress.total // scale)
        self.bar.setValue(progress.done // scale)
        self.bar.setFormat(f"{progress.phase} · {progress.text}" if progress.text else f"{progress.phase} · %p %")

    def _on_checked(self, report: dict[str, Any]) -> None:
        self._over(Stage.CHECKED)
        self.report.show_report(msgspec.convert(report, ImportReport))
        self._show()

    def _on_imported(self, report: dict[str, Any]) -> None:
        self._over(Stage.DONE)
        found = msgspec.convert(report, ImportReport)
        self.report.show_report(found)
        self._context.say(self.report.verdict.text())
        self._context.background.poll()  # the child wrote: the pages reload now, not at the next tick
        self._show()

    def _on_failed(self, text: str) -> None:
        self._over(self._before())
        self.note.setText("The import did not work; nothing was added.")
        self._context.fail(SteplensError(text))
        self._show()

    def _on_cancelled(self) -> None:
        self._over(self._before())
        self.note.setText("Cancelled: nothing was added.")
        self._show()

    def _before(self) -> Stage:
        """Where it goes back to when nothing came of what it did."""
        if self.stage is Stage.CHECKING:
            return Stage.CHOOSING
        return Stage.CHECKED if self.report.report is not None else Stage.LOOKING

    def _over(self, stage: Stage) -> None:
        self.child = None
        self.stage = stage
        self.note.setText("")

    def _on_stop(self) -> None:
        if self.child is not None:
            self.child.cancel()
            self.bar.setFormat("cancelling…")
            self.stop.setEnabled(False)
        else:
            self.reject()

    def _show(self) -> None:
        busy = self.child is not None
        ready = self._is_ready()
        looking = self.stage is Stage.LOOKING
        report = self.report.report
        self.bar.setVisible(busy)
        rows = min(3, max(1, self.files.count()))
        self.files.setFixedHeight(round(rows * self.fontMetrics().height() * 1.75) + 10)
        self.choose.setVisible(not busy and bool(self.paths()))
        self.check.setVisible(self.stage in (Stage.CHOOSING, Stage.LOOKING, Stage.CHECKED) and not busy and ready)
        self.check.setText("Check all" if looking else "Check again")
        self.go.setVisible(self.stage is Stage.CHECKED or looking)
        self.go.setEnabled(ready and (looking or (report is not None and bool(report.imported))))
        self.project.setEnabled(not busy)
        self.steps.setEnabled(not busy)
        self.stop.setEnabled(True)
        self.stop.setText("Cancel" if busy else "Close")
        self.working.title.setText("Reading the rows…" if self.stage is Stage.CHECKING else "Importing…")
        self.working.hint.setText(
            "A dry run: nothing is written."
            if self.stage is Stage.CHECKING
            else "Nobody sees a row before all are in. You may go on working; Cancel leaves nothing."
        )
        page = self.report if self.stage in (Stage.CHECKED, Stage.DONE) and report is not None else self.hint
        self._stack.setCurrentWidget(self.working if busy else self.preview if looking else page)

    def _is_ready(self) -> bool:
        """Labelled files need a project; traces of other formats come into the workspace, and a project if named."""
        return bool(self.paths()) and (
            bool(self.project.currentText().strip()) or not any(map(_is_labelled, self.paths()))
        )

    def _on_choose(self) -> None:
        chosen, _ = QFileDialog.getOpenFileNames(self, "Files to import", "", FILTER)
        if chosen:
            self.take_files(tuple(chosen))

    def _on_projects(self, found: tuple[Project, ...]) -> None:
        typed = self.project.currentText()
        self.project.blockSignals(True)
        self.project.addItems([p.name for p in found])
        self.project.setEditText(typed)
        self.project.blockSignals(False)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Files are welcome."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Take dropped files."""
        paths = tuple(url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile())
        if paths:
            event.acceptProposedAction()
            self.take_files(paths)

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
        form = QFormLayout()
        form.setHorizontalSpacing(14)
        form.setVerticalSpacing(10)
        form.addRow("Files", self.files)
        form.addRow("Project", self.project)
        form.addRow("Steps, where none are given", self.steps)
        place = QWidget(self)
        self._stack = QStackedLayout(place)
        for page in (self.hint, self.working, self.preview, self.report):
            self._stack.addWidget(page)
        foot = QHBoxLayout()
        foot.addWidget(self.choose)
        foot.addWidget(self.note, 1)
        foot.addWidget(self.check)
        foot.addWidget(self.stop)
        foot.addWidget(self.go)
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(14)
        column.addLayout(form)
        column.addWidget(place, 1)
        column.addWidget(self.bar)
        column.addLayout(foot)


def _is_labelled(path: str) -> bool:
    """Whether it is a PRM800K file; a file that cannot be read counts as one: its check says what is wrong."""
    if Path(path).is_dir():
        return False
    try:
        return is_prm800k(Path(path))
    except ImportFormatError:
        return True


def _project_name(path: Path) -> str:
    return path.name.split(".")[0].replace("_", " ") or "Imported"
