"""Runs side by side: what differs, what came out, and their curves on one plot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QHBoxLayout, QLabel, QStackedLayout, QTabWidget, QVBoxLayout, QWidget

from studio.jobs.compare import Comparison, compare, named_runs, read_side
from studio.jobs.grid_table import grid_table
from studio.ui.train.compare_chart import CompareChart
from studio.ui.train.compare_grid import GridTab
from studio.ui.train.compare_tables import FactsTable, FiguresTable
from studio.ui.train.run_table import Ticked
from studio.ui.widgets.charts import import_library
from studio.ui.widgets.parts import GAP, MARGIN, button

if TYPE_CHECKING:
    from studio.jobs.values import RunView
    from studio.ui.context import Context


class CompareDialog(QDialog):
    """Reads the runs in the background as they stand now, then shows them."""

    def __init__(
        self, context: Context, ticked: tuple[Ticked, ...], views: tuple[RunView, ...], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._context = context
        self._colours = [each.colour for each in ticked]
        self.facts: FactsTable | None = None
        self.figures: FiguresTable | None = None
        self.curves: CompareChart | None = None
        self.grid: GridTab | None = None
        self.setWindowTitle(f"Compare {len(ticked)} runs")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(980, 640)
        self.tabs = QTabWidget(self)
        self.tabs.setDocumentMode(True)
        self.note = QLabel("Reading the runs…", self)
        self.note.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.note.setWordWrap(True)
        self._stack = QStackedLayout()
        self._stack.addWidget(self.note)
        self._stack.addWidget(self.tabs)
        self._lay_out()
        uids = {view.id: view.uid for view in views}
        wanted = [uids[each.run_id] for each in ticked]
        context.background.call(self, lambda: self._read(wanted), self._fill, self._on_failed)

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(GAP)
        column.addLayout(self._stack, 1)
        foot = QHBoxLayout()
        foot.addStretch(1)
        foot.addWidget(button("Close", self.accept, primary=True, parent=self))
        column.addLayout(foot)

    def _read(self, uids: list[str]) -> Comparison:
        """In a thread: the runs, and the library that draws them."""
        import_library()
        workspace = self._context.workspace
        with workspace.database.read() as c:
            found = named_runs(c, uids)
        return compare([read_side(workspace, run) for run in found])

    def _fill(self, made: Comparison) -> None:
        self.facts, self.figures = FactsTable(made, self), FiguresTable(made, self)
        self.curves = CompareChart(made, self._colours, self)
        self.tabs.addTab(self.facts, "&What differs")
        self.tabs.addTab(self.figures, "What &came out")
        self.tabs.addTab(self.curves, "C&urves")
        table = grid_table(made)
        if table is not None:
            self.grid = GridTab(made, table, self)
            self.tabs.addTab(self.grid, "&Grid")
        self._stack.setCurrentWidget(self.tabs)

    def _on_failed(self, error: Exception) -> None:
        self.note.setText(str(error))
