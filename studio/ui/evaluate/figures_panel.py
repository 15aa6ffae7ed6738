"""How good a monitor is on the traces that people spoke about, and the traces behind every error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)
from sqlalchemy import Connection

from studio.store import monitor_figures
from studio.store.monitor_figures import CategoryFigures, Unseen
from studio.store.monitors import Monitor
from studio.ui.actions import Page
from studio.ui.evaluate.reliability import ReliabilityView
from studio.ui.widgets.parts import GAP, Quiet, heading
from trainer.reasoning.detection import AtRate, DetectionFigures
from trainer.reasoning.safety import LEAST_BENIGN, Category

if TYPE_CHECKING:
    from studio.ui.context import Context

HEADS = ("Category", "AUROC (95 %)", "TPR at 1 % FPR", "TPR at 5 % FPR", "ECE", "there / benign")
TRACE_ROLE = int(Qt.ItemDataRole.UserRole)
SHOWN = 500
NOBODY = (
    "No figures yet: confirm and reject flags in the review queue, or mark traces clean on the Inspect page. "
    f"A figure at 1 % false positives needs {LEAST_BENIGN} confirmed benign traces of a category."
)
ABOUT = (
    "On traces that people confirmed, rejected or called clean; the interval of AUROC draws whole problems. A trace "
    f"that was not scored is left out. A figure at 1 % false positives is refused below {LEAST_BENIGN} benign traces."
)


@dataclass(frozen=True, slots=True)
class _Families:
    category: Category
    found: dict[str, DetectionFigures] | None
    unseen: Unseen


class FiguresPanel(QWidget):
    """A table by category; of the chosen one the reliability curve and the traces that it misses or flags wrongly."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._monitor: Monitor | None = None
        self._number = 0
        self.figures: tuple[CategoryFigures, ...] = ()
        self.title = heading("Figures", self)
        self.about = Quiet(ABOUT, self)
        self.table = QTableWidget(0, len(HEADS), self)
        self.table.setAccessibleName("Figures by category")
        self.curve = ReliabilityView(context.theme, self)
        self.wrong = QListWidget(self)
        self.wrong.setAccessibleName("Traces that the monitor gets wrong")
        self.families, self.confused = Quiet("", self), QLabel("", self)
        self._lay_out()
        self.table.currentCellChanged.connect(lambda *_: self._show_chosen())
        self.wrong.itemActivated.connect(self._on_trace)
        self.wrong.itemClicked.connect(self._on_trace)

    def show_monitor(self, monitor: Monitor | None) -> None:
        """Figures of one monitor; None: of those that count, together."""
        self._monitor = monitor
        self._number += 1
        self.title.setText("Figures of all that count" if monitor is None else f"Figures of {monitor.name}")
        self._context.background.read(self, self._read, partial(self._on_read, self._number))

    def _ids(self) -> tuple[int, ...] | None:
        return None if self._monitor is None else (self._monitor.id,)

    def _read(self, c: Connection) -> tuple[CategoryFigures, ...]:
        return monitor_figures.figures(c, self._ids(), rounds=400)

    def _on_read(self, number: int, found: tuple[CategoryFigures, ...]) -> None:
        if number != self._number:
            return
        chosen = self.table.currentRow()
        self.figures = found
        self.about.setText(ABOUT if found else NOBODY)
        self.table.setRowCount(len(found))
        for row, each in enumerate(found):
            for column, text in enumerate(_cells(each)):
                item = QTableWidgetItem(text)
                item.setToolTip(self._tip(each, column) or text)
                self.table.setItem(row, column, item)
        for widget in (self.table, self.curve, self.wrong, self.confused, self.families):
            widget.setVisible(bool(found))
        if found:
            first = next((row for row, each in enumerate(found) if each.figures.positives), 0)
            self.table.setCurrentCell(chosen if 0 <= chosen < len(found) else first, 0)
        self._show_chosen()

    def _tip(self, each: CategoryFigures, column: int) -> str:
        rate = {2: each.figures.at_1, 3: each.figures.at_5}.get(column)
        return "" if rate is None else rate.refused

    def _show_chosen(self) -> None:
        row = self.table.currentRow()
        if not 0 <= row < len(self.figures):
            return
        each = self.figures[row]
        self.curve.show_bins(each.figures.bins)
        cells = each.confusion
        self.confused.setText(
            f"At the review threshold: {cells.true_positive} caught, {cells.false_negative} missed, "
            f"{cells.false_positive} flagged wrongly, {cells.true_negative} rightly left alone; "
            f"precision {_number(cells.precision)}, recall {_number(cells.recall)}, g-mean² {_number(cells.g_mean2)}"
        )
        self.wrong.clear()
        for name, ids in (("missed", each.missed), ("flagged wrongly", each.false)):
            for trace_id in ids[:SHOWN]:
                item = QListWidgetItem(f"trace {trace_id}: {name}", self.wrong)
                item.setData(TRACE_ROLE, trace_id)
            if len(ids) > SHOWN:
                self.wrong.addItem(f"and {len(ids) - SHOWN:,} more {name}")
        if not self.wrong.count():
            self.wrong.addItem("nothing is wrong at this threshold")
        category, monitors = each.category, self._ids()
        self._context.background.read(
            self,
            lambda c: _Families(
                category,
                monitor_figures.by_model(c, category, monitors),
                monitor_figures.unseen(c, category, monitors),
            ),
            self._on_families,
        )

    def _on_families(self, families: _Families) -> None:
        row = self.table.currentRow()
        if not 0 <= row < len(self.figures) or self.figures[row].category is not families.category:
            return
        said = "By model family: not measurable, as the labelled traces are of fewer than two."
        if families.found is not None:
            told = (f"{name} {_number(each.auroc.value)}" for name, each in families.found.items())
            said = "AUROC by model family: " + ", ".join(told)
        self.families.setText("\n".join(filter(None, (_flattered(families.unseen), said))))

    def _on_trace(self, item: QListWidgetItem) -> None:
        trace_id = item.data(TRACE_ROLE)
        if trace_id is not None:
            self._context.open_trace(Page.INSPECT, int(trace_id))

    def _lay_out(self) -> None:
        self.table.setHorizontalHeaderLabels(HEADS)
        self.table.verticalHeader().hide()
        self.table.setFont(self._context.theme.font(9.2))
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setTabKeyNavigation(False)
        head = self.table.horizontalHeader()
        head.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        head.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.confused.setWordWrap(True)
        below = QHBoxLayout()
        below.setSpacing(GAP)
        below.addWidget(self.curve, 1)
        below.addWidget(self.wrong, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(GAP, 10, GAP, 10)
        column.setSpacing(8)
        column.addWidget(self.title)
        column.addWidget(self.about)
        column.addWidget(self.table, 2)
        column.addWidget(self.confused)
        column.addLayout(below, 2)
        column.addWidget(self.families)
        column.addStretch(0)
        for widget in (self.table, self.curve, self.wrong, self.confused, self.families):
            widget.hide()


def _cells(each: CategoryFigures) -> tuple[str, ...]:
    figures = each.figures
    auroc = figures.auroc
    if math.isnan(auroc.value):
        told = "-"
    else:
        told = f"{auroc.value:.3f} ({_number(auroc.low)}-{_number(auroc.high)})"
    positives, negatives = figures.positives, figures.negatives
    return (
        each.category.value,
        told,
        _rate(figures.at_1),
        _rate(figures.at_5),
        _number(figures.ece),
        f"{positives:,} / {negatives:,}",
    )


def _rate(rate: AtRate) -> str:
    if rate.tpr is None:
        return rate.refused if rate.refused.startswith("no ") else f"refused: {rate.refused.split(';')[0]}"
    return rate.describe()


def _flattered(unseen: Unseen) -> str:
    """How many of the labelled traces may have taught the classifier, and what the others alone say."""
    if not unseen.taught:
        return ""
    taught = f"{unseen.taught:,} of these traces were labelled before the classifier looked and may have taught it"
    if unseen.figures is None:
        return f"{taught}: these figures flatter it. Its model card has those on problems that it had not seen."
    return f"{taught}; on the {unseen.fresh:,} others alone AUROC {_number(unseen.figures.auroc.value)}."


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
