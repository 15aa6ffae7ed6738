"""The Models tab: the results table, and under it the problems, curves and comparisons behind its cells."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QWidget

from studio.errors import NotFoundError
from studio.jobs.shipped import EXAMPLES
from studio.store.evaluation_rows import Key
from studio.store.evaluations import Cell
from studio.ui.evaluate import models_export
from studio.ui.evaluate.models_behind import Behind
from studio.ui.evaluate.models_compare import ComparePanel
from studio.ui.evaluate.models_curves import CurvesPanel
from studio.ui.evaluate.models_desk import Results, Stamp, read_behind, read_results
from studio.ui.evaluate.models_note import LearnedNote
from studio.ui.evaluate.models_order import RECIPE, EvaluateDialog
from studio.ui.evaluate.models_problems import ProblemsPanel
from studio.ui.evaluate.models_table import ResultsTable
from studio.ui.evaluate.table_tab import TableTab
from studio.ui.play.contest_dialog import ContestDialog
from studio.ui.play.contest_form import Asked
from studio.ui.widgets.command_button import CommandButton
from studio.ui.widgets.parts import EmptyState

if TYPE_CHECKING:
    from studio.ui.context import Context

NEEDS_RESULTS = ("show_problems", "plot_results", "compare_models", "export_results", "open_result")
COMMANDS = ("new_evaluation", "contest_models", *NEEDS_RESULTS)
NOTHING = "Nothing was evaluated yet"
HINT = (
    "Choose a suite, a policy and how much it may think. Every answer is kept with its trace, and every figure here "
    "opens the problems behind it."
)


class ModelsTab(TableTab):
    """The table above; what is behind its current cell below."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(context, RECIPE, parent)
        self._on = False
        self._stamp: Stamp | None = None
        self._asked = 0
        self.cells: tuple[Cell, ...] = ()
        self.dialog: EvaluateDialog | None = None
        self.contest_dialog: ContestDialog | None = None
        self.table = ResultsTable(context.theme, self)
        self.problems = ProblemsPanel(context, self)
        self.curves = CurvesPanel(context, self)
        self.compare = ComparePanel(context, self)
        self.note = LearnedNote(context, self)
        made = partial(CommandButton, context.actions, parent=self)
        self.new_button = made("new_evaluation", "New evaluation…", primary=True)
        self.contest_button = made("contest_models", "Best-of-n or larger?")
        self.export_button = made("export_results", "Export…")
        self.empty = EmptyState(NOTHING, HINT, "New evaluation…", self.new_evaluation, self)
        self.lay_out(
            self.empty,
            ((self.new_button, 0), (self.contest_button, 0), (self.export_button, 0), (self.note, 1)),
            self.table,
            (("Problems", self.problems), ("Curves", self.curves), ("Two models", self.compare)),
        )
        self._connect()

    def reload(self) -> None:
        """Read what is new."""
        self.runs.reload()
        self._context.background.read(self, partial(read_results, before=self._stamp), self._on_results)

    def enable(self, on: bool) -> None:
        """Whether the commands of this tab mean something now."""
        self._on = on
        self.take_sorting(self.problems.list, on)
        if on:
            self._context.actions.on("export_results", self.export)
        for id in COMMANDS:
            self._context.actions.enable(id, on and (bool(self.cells) or id not in NEEDS_RESULTS))

    def new_evaluation(self) -> None:
        """Open the form."""
        cell = self.table.cell
        self.dialog = EvaluateDialog(self._context, like=None if cell is None else cell.key, parent=self)
        self.dialog.created.connect(lambda _view: self.runs.reload())
        self.dialog.open()

    def contest(self) -> None:
        """Compare best-of-n of a small model with one pass of a larger one."""
        self.contest_dialog = ContestDialog(self._context, Asked(problems=EXAMPLES), self)
        self.contest_dialog.show()

    def export(self) -> None:
        """Ask for a file and write the table, or the plot that is shown."""
        chart = self.curves.chart if self.sides.currentWidget() is self.curves else None
        shown = chart or self.table.whole()
        models_export.ask(self._context, self, "results", models_export.texts_of(self.cells), shown)

    def show_problems(self, key: Key) -> None:
        """Read the problems behind a cell and bring them to the front."""
        self._read_behind(key)
        self.show_side(self.problems, self.problems.list)

    def show_behind(self, behind: Behind) -> None:
        """Bring these problems to the front."""
        self._asked += 1
        self.problems.show_behind(behind)
        self.show_side(self.problems, self.problems.list)

    # -- showing ------------------------------------------------------------------------------------------------------

    def _on_results(self, found: Results) -> None:
        self._stamp = found.stamp
        if found.cells is not None:
            self.cells = found.cells
            self.compare.show_cells(self.cells)
            self.table.show_cells(self.cells)
            self.show_filled(bool(self.cells))
            self.enable(self._on)

    def _on_chosen(self, cell: Cell | None) -> None:
        self.note.show_cell(cell)
        if cell is None:
            self.problems.show_behind(None)
            return
        self._read_behind(cell.key)
        self.curves.show_cell(cell)
        self.compare.show_left(cell.key)

    def _read_behind(self, key: Key) -> None:
        self._asked += 1
        self._context.background.read(
            self, partial(read_behind, key=key), partial(self._on_behind, self._asked), self._on_gone
        )

    def _on_behind(self, asked: int, behind: Behind) -> None:
        if asked == self._asked:
            self.problems.show_behind(behind)

    def _on_gone(self, error: Exception) -> None:
        """Its run was removed since: the table is read again."""
        if isinstance(error, NotFoundError):
            self._context.say(str(error))
            self.reload()
        else:
            self._context.fail(error)

    def _on_opened(self, cell: Cell) -> None:
        behind = self.problems.behind
        if behind is None or behind.key != cell.key:
            self._read_behind(cell.key)
        self.show_side(self.problems, self.problems.list)

    def _connect(self) -> None:
        on = self._context.actions.on
        on("new_evaluation", self.new_evaluation)
        on("contest_models", self.contest)
        on("open_result", self.problems.open_trace)
        on("show_problems", self.side_shower(self.problems, self.problems.list))
        on("plot_results", self.side_shower(self.curves, self.curves.chart))
        on("compare_models", self.side_shower(self.compare, self.compare.right))
        self.table.chosen.connect(self._on_chosen)
        self.table.opened.connect(self._on_opened)
        self.curves.keyWanted.connect(self.show_problems)
        self.curves.behindWanted.connect(self.show_behind)
        self.compare.behindWanted.connect(self.show_behind)
