"""Compare the ticked runs, write their figures to files, trace the chosen run back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QFileDialog, QWidget

from studio.jobs.compare import named_runs
from studio.jobs.export import ExportedRuns, ExportFormat, export_runs
from studio.ui.train.compare_dialog import CompareDialog
from studio.ui.train.compare_lineage import LineageDialog

if TYPE_CHECKING:
    from studio.jobs.values import RunView
    from studio.ui.context import Context
    from studio.ui.train.run_table import RunModel, RunTable

EXPORTS = ("export_runs_csv", "export_runs_tensorboard")
COMMANDS = ("tick_grid", "compare_runs", "run_lineage", *EXPORTS)


class TickedRuns(QObject):
    """Commands for the runs that are ticked in the table, and for the chosen one."""

    def __init__(self, context: Context, table: RunTable, model: RunModel, page: QWidget) -> None:
        super().__init__(page)
        self._context, self._table, self._model, self._page = context, table, model, page
        self.dialog: CompareDialog | None = None
        self.lineage: LineageDialog | None = None
        context.actions.on("compare_runs", self.compare)
        context.actions.on("tick_grid", self.tick_grid)
        context.actions.on("export_runs_csv", self._asking(ExportFormat.CSV))
        context.actions.on("export_runs_tensorboard", self._asking(ExportFormat.TENSORBOARD))
        model.tickedChanged.connect(self.enable)
        context.actions.on("run_lineage", self.trace_back)
        self.enable()

    def enable(self) -> None:
        """Comparing needs two runs, exporting one."""
        ticked = len(self._model.ticked())
        self._context.actions.enable("compare_runs", ticked > 1)
        for id in EXPORTS:
            self._context.actions.enable(id, ticked > 0)
        self._context.actions.enable("tick_grid", bool(self._group()))
        self._context.actions.enable("run_lineage", self._table.run_id is not None)

    def tick_grid(self) -> None:
        """Tick all runs of the grid that the chosen run belongs to, and no others."""
        wanted = {view.id for view in self._group()}
        for ticked in self._model.ticked():
            if ticked.run_id not in wanted:
                self._model.tick(ticked.run_id, False)
        for run in sorted(wanted):
            self._model.tick(run, True)

    def _group(self) -> tuple[RunView, ...]:
        """The runs of the chosen run's grid; none for a run of its own."""
        views = self._context.jobs.runs()
        group = next((view.group for view in views if view.id == self._table.run_id), "")
        return tuple(view for view in views if group and view.group == group)

    def compare(self) -> CompareDialog:
        """Open the comparison of the ticked runs."""
        self.dialog = CompareDialog(self._context, self._model.ticked(), self._context.jobs.runs(), self._page)
        self.dialog.open()
        return self.dialog

    def trace_back(self) -> LineageDialog:
        """Open the lineage of the chosen run."""
        views = {view.id: view for view in self._context.jobs.runs()}
        assert self._table.run_id is not None
        self.lineage = LineageDialog(self._context, views[self._table.run_id], self._page)
        self.lineage.open()
        return self.lineage

    def export(self, folder: Path, format: ExportFormat) -> None:
        """Write every figure of the ticked runs into a folder, in the background."""
        uids = {view.id: view.uid for view in self._context.jobs.runs()}
        wanted = [uids[each.run_id] for each in self._model.ticked()]
        workspace = self._context.workspace

        def work() -> ExportedRuns:
            with workspace.database.read() as c:
                found = named_runs(c, wanted)
            return export_runs(workspace, found, folder, format)

        self._context.background.call(self, work, lambda done: self._context.say("; ".join(done.sentences())))

    def _asking(self, format: ExportFormat) -> Callable[[], None]:
        def ask() -> None:
            chosen = QFileDialog.getExistingDirectory(self._page, "Where should the figures go?")
            if chosen:
                self.export(Path(chosen), format)

        return ask
