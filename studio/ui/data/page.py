"""The Data page: traces, projects, backups; import and export."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QHBoxLayout, QStackedWidget, QTabBar, QVBoxLayout, QWidget

from studio.ui.data.backups_tab import BackupsTab
from studio.ui.data.export_dialog import ExportDialog
from studio.ui.data.import_dialog import ImportDialog
from studio.ui.data.projects_tab import ProjectsTab
from studio.ui.data.traces_tab import TracesTab
from studio.ui.widgets.parts import GAP, MARGIN, button

if TYPE_CHECKING:
    from studio.ui.context import Context


class DataPage(QWidget):
    """What is in the workspace, and how it comes in and goes out."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self.import_dialog: ImportDialog | None = None
        self.export_dialog: ExportDialog | None = None
        self.traces = TracesTab(context, self)
        self.projects = ProjectsTab(context, self)
        self.backups = BackupsTab(context, self)
        self.tabs = QTabBar(self)
        self.tabs.setAccessibleName("Parts of the Data page")
        self.tabs.setDrawBase(False)
        self.tabs.setExpanding(False)
        self._stack = QStackedWidget(self)
        for name, tab in (("Traces", self.traces), ("Projects", self.projects), ("Backups", self.backups)):
            self.tabs.addTab(name)
            self._stack.addWidget(tab)
        self.tabs.currentChanged.connect(self._stack.setCurrentIndex)
        self.traces.importAsked.connect(self.import_asked)
        context.actions.on("new_project", self._on_new_project)
        row = QHBoxLayout()
        row.setSpacing(8)
        row.addWidget(self.tabs)
        row.addStretch(1)
        row.addWidget(button("Export…", self.export_asked, tip="PRM800K JSONL", parent=self))
        row.addWidget(button("Import traces…", self.import_asked, primary=True, parent=self))
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, GAP, MARGIN, GAP)
        column.setSpacing(0)
        column.addLayout(row)
        column.addWidget(self._stack, 1)

    def activate(self) -> None:
        """The page is shown: catch up."""
        self.traces.look()
        self.projects.reload()
        self.backups.reload()

    def take_files(self, paths: tuple[str, ...]) -> None:
        """Offer to import these files."""
        dialog = self.import_dialog
        if dialog is not None:
            dialog.take_files(paths)
        else:
            self._open_import(paths)

    def import_asked(self) -> None:
        """Open the import."""
        if self.import_dialog is None:
            self._open_import(())

    def export_asked(self) -> None:
        """Open the export."""
        if self.export_dialog is None:
            dialog = self.export_dialog = ExportDialog(self._context, self)
            dialog.destroyed.connect(self._on_export_gone)
            dialog.show()

    def _open_import(self, paths: tuple[str, ...]) -> None:
        dialog = self.import_dialog = ImportDialog(self._context, paths, self)
        dialog.destroyed.connect(self._on_import_gone)
        dialog.show()

    def _on_import_gone(self) -> None:
        self.import_dialog = None

    def _on_export_gone(self) -> None:
        self.export_dialog = None

    def _on_new_project(self) -> None:
        self.tabs.setCurrentIndex(self._stack.indexOf(self.projects))
        self.projects.new_project()
