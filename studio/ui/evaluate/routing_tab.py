"""The Routing tab: what a router gains and costs, against chance and the oracle, and every route behind a figure."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QComboBox,
    QHeaderView,
    QLabel,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from studio.ui.actions import Page
from studio.ui.evaluate import models_export, routing_desk
from studio.ui.evaluate.models_chart import NOTHING, ChartView
from studio.ui.evaluate.routing_cache import CachePanel
from studio.ui.evaluate.routing_desk import Desk, read_desk
from studio.ui.evaluate.routing_list import RoutesPanel
from studio.ui.evaluate.table_tab import TableTab
from studio.ui.widgets.command_button import CommandButton
from studio.ui.widgets.parts import EmptyState
from studio.ui.widgets.tables import dress

if TYPE_CHECKING:
    from studio.ui.context import Context

RECIPE, RIGHT = "route", routing_desk.HEADS.index("Right")
NUMBER = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
COMMANDS = ("export_results", "forget_answers")
NO_AUDIT = (
    "Nothing to compare with: set `audit` of a router to a share of the problems, and both models are asked for these."
)
TITLE = "Nothing was routed yet"
HINT = (
    "A router sends each problem to a fast model or to a reasoning model. Start one on the Train page, or answer with "
    "it on the Play page; the ledger of all that it did stands here."
)


class RoutingTab(TableTab):
    """The ledger above; routes, lines and the cache below."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(context, RECIPE, parent)
        self.desk: Desk | None = None
        self.router = QComboBox(self)
        self.router.setAccessibleName("Routes of")
        self.table = QTableWidget(0, len(routing_desk.HEADS), self)
        self.list = RoutesPanel(context, self)
        self.chart, self.told = ChartView(context.theme, self), QLabel("", self)
        self.cache = CachePanel(context, self)
        self.export_button = CommandButton(context.actions, "export_results", "Export…", parent=self)
        self.empty = EmptyState(TITLE, HINT, "To the Train page", lambda: context.show_page(Page.TRAIN), self)
        self._dress()
        self.router.currentIndexChanged.connect(lambda _index: self.reload())
        self.table.currentCellChanged.connect(lambda *_: self._on_row())
        context.actions.on("forget_answers", self.forget)

    def reload(self) -> None:
        """Read it anew."""
        self.runs.reload()
        self._context.background.read(self, partial(read_desk, run_id=self.router.currentData()), self._on_desk)
        self.cache.reload()

    def enable(self, on: bool) -> None:
        """Whether the commands of this tab mean something now."""
        self.take_sorting(self.list.list, on)
        if on:
            self._context.actions.on("export_results", self.export)
        for id in COMMANDS:
            self._context.actions.enable(id, on)

    def forget(self) -> None:
        """Invalidate cached answers."""
        self.show_filled(True)
        self.show_side(self.cache)
        self.cache.forget()

    def export(self) -> None:
        """Write the ledger, or what is shown."""
        cells = () if self.desk is None else self.desk.ledger.cells
        shown = self.chart if self.sides.currentIndex() == 1 else self.table
        made = {".csv": lambda: routing_desk.as_csv(cells), ".md": lambda: routing_desk.as_markdown(cells)}
        models_export.ask(self._context, self, "routing", made, shown)

    # -- showing ------------------------------------------------------------------------------------------------------

    def _on_desk(self, desk: Desk) -> None:
        self.desk = desk
        self._show_runs(desk)
        before = self.table.currentRow()
        cells = desk.ledger.cells
        self.table.blockSignals(True)
        self.table.setRowCount(len(cells))
        for row, cell in enumerate(cells):
            texts = routing_desk.texts(cell)
            for column, text in enumerate(texts):
                item = QTableWidgetItem(text)
                if column > 1:
                    item.setTextAlignment(NUMBER)
                if column == RIGHT:
                    item.setToolTip(routing_desk.right_told(cell))
                if column == 0:
                    said = ", ".join(f"{h} {t}" for h, t in zip(routing_desk.HEADS, texts, strict=True))
                    item.setData(Qt.ItemDataRole.AccessibleTextRole, said)
                self.table.setItem(row, column, item)
        if cells:
            self.table.setCurrentCell(max(0, min(before, len(cells) - 1)), 0)
        self.table.blockSignals(False)
        self.show_filled(bool(desk.runs or self.cache.found))
        lines = desk.ledger.lines
        self.chart.show_drawing(NOTHING if lines is None else routing_desk.drawing(lines))
        self.told.setText(NO_AUDIT if lines is None else routing_desk.lines_told(lines))
        self._on_row()

    def _show_runs(self, desk: Desk) -> None:
        chosen = self.router.currentData()
        self.router.blockSignals(True)
        self.router.clear()
        self.router.addItem("All routers", None)
        for run in desk.runs:
            self.router.addItem(f"{run.name}, {run.routes:,} problems", run.id)
        self.router.setCurrentIndex(max(0, self.router.findData(chosen)) if chosen is not None else 0)
        self.router.blockSignals(False)

    def _on_row(self) -> None:
        desk, row = self.desk, self.table.currentRow()
        if desk is None or not 0 <= row < len(desk.ledger.cells):
            self.list.show_routes(())
            return
        self.list.show_routes(routing_desk.behind(desk.routes, desk.ledger.cells[row]))

    def _on_point(self, series: int, _point: int) -> None:
        """The audited routes that a point of the lines counts, with the model whose answers it counts."""
        desk = self.desk
        if desk is not None and desk.ledger.lines is not None:
            name = self.chart.drawing.series[series].name
            audited = tuple(one for one in desk.routes if one.id in desk.ledger.lines.routes)
            self.list.show_routes(audited, routing_desk.TIERS.get(name, ""))
            self.show_side(self.list, self.list.list)

    def _dress(self) -> None:
        self.table.setHorizontalHeaderLabels(routing_desk.HEADS)
        self.table.setAccessibleName("Ledger by type of task and model")
        dress(self.table)
        for column in range(2, len(routing_desk.HEADS)):
            named = self.table.horizontalHeaderItem(column)
            assert named is not None
            named.setTextAlignment(NUMBER)
        head = self.table.horizontalHeader()
        head.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.told.setWordWrap(True)
        self.chart.opened.connect(self._on_point)
        plot = QWidget(self)
        inside = QVBoxLayout(plot)
        inside.setContentsMargins(10, 8, 10, 8)
        inside.addWidget(self.told)
        inside.addWidget(self.chart, 1)
        self.lay_out(
            self.empty,
            ((self.router, 0), (self.export_button, 0)),
            self.table,
            (("Routes", self.list), ("Against chance and oracle", plot), ("Cache", self.cache)),
        )
