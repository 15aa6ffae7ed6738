"""Curves of the chosen cell: accuracy against thinking, more samples, first errors, calibration of steps."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QVBoxLayout, QWidget
from sqlalchemy import Connection

from studio.errors import NotFoundError
from studio.store import evaluations
from studio.store.evaluation_rows import Key
from studio.store.evaluations import Cell
from studio.ui.evaluate import models_figures
from studio.ui.evaluate.models_chart import NOTHING, ChartView
from studio.ui.evaluate.models_figures import Curves
from studio.ui.widgets.parts import Quiet
from trainer.contract.specs.evaluate import Suite

if TYPE_CHECKING:
    from studio.ui.context import Context

HOW = (
    "Arrows or the pointer go over the points; Enter or a click opens the problems behind one, and from there a trace."
)


class Curve(StrEnum):
    """What is drawn."""

    THINKING = "accuracy against thinking"
    SAMPLES = "more samples"
    ERRORS = "first errors by subset"
    CALIBRATION = "calibration of steps"


EMPTY = {
    Curve.THINKING: "No figure to draw.",
    Curve.SAMPLES: "One sample a problem draws no curve: evaluate with two or more.",
    Curve.ERRORS: "No solution was judged.",
    Curve.CALIBRATION: "No step of known truth has a score.",
}


class CurvesPanel(QWidget):
    """One plot of the chosen cell.

    Signals:
        keyWanted(Key): show the problems of this cell.
        behindWanted(Behind): show these problems.
    """

    keyWanted = Signal(object)
    behindWanted = Signal(object)

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._cell: Cell | None = None
        self._asked = 0
        self.curves: Curves | None = None
        self.kinds = QComboBox(self)
        self.kinds.setAccessibleName("Which curve")
        self.chart = ChartView(context.theme, self)
        self.state, self.told = Quiet("", self), QLabel(HOW, self)
        self.told.setTextFormat(Qt.TextFormat.PlainText)
        self.told.setWordWrap(True)
        head = QHBoxLayout()
        head.addWidget(self.kinds)
        head.addWidget(self.state, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 8, 10, 8)
        column.setSpacing(8)
        column.addLayout(head)
        column.addWidget(self.chart, 1)
        column.addWidget(self.told)
        self.kinds.currentIndexChanged.connect(lambda _index: self._read())
        self.chart.opened.connect(self._on_opened)
        self.chart.pointed.connect(self.told.setText)

    def show_cell(self, cell: Cell) -> None:
        """Draw what this cell has, as before where that still makes sense."""
        self._cell = cell
        before = self.kinds.currentText()
        self.kinds.blockSignals(True)
        self.kinds.clear()
        self.kinds.addItems([each.value for each in kinds_of(cell)])
        self.kinds.setCurrentIndex(max(0, self.kinds.findText(before)))
        self.kinds.blockSignals(False)
        self._read()

    def choose(self, kind: Curve) -> None:
        """Draw another one."""
        self.kinds.setCurrentIndex(self.kinds.findText(kind.value))

    def _read(self) -> None:
        cell = self._cell
        if cell is None or not self.kinds.count():
            return
        self._asked += 1
        self.state.setText("reading …")
        self.chart.show_stale()
        kind = Curve(self.kinds.currentText())
        self._context.background.read(
            self,
            partial(_curves, kind=kind, cell=cell),
            partial(self._on_read, self._asked, kind),
            partial(self._on_failed, self._asked),
        )

    def _on_read(self, asked: int, kind: Curve, found: Curves) -> None:
        if asked != self._asked:
            return
        self.curves = found
        some = bool(found.drawing.points)
        self.chart.show_drawing(found.drawing if some else NOTHING)
        self.state.setText(found.drawing.title if some else EMPTY[kind])
        self.told.setText(HOW if some else "")

    def _on_failed(self, asked: int, error: Exception) -> None:
        """Its run may have been removed since."""
        if not isinstance(error, NotFoundError):
            self._context.fail(error)
        elif asked == self._asked:
            self.curves = None
            self.chart.show_drawing(NOTHING)
            self.state.setText(str(error))

    def _on_opened(self, series: int, point: int) -> None:
        if self.curves is None:
            return
        opens = self.curves.opens[series][point]
        if isinstance(opens, Key):
            self.keyWanted.emit(opens)
        else:
            self.behindWanted.emit(opens)


def kinds_of(cell: Cell) -> tuple[Curve, ...]:
    """The curves that a cell can have."""
    if cell.key.suite == Suite.PROCESSBENCH:
        return (Curve.ERRORS, Curve.CALIBRATION)
    if cell.key.suite == Suite.PRMBENCH:
        return (Curve.CALIBRATION,)
    return (Curve.THINKING, Curve.SAMPLES)


def _curves(c: Connection, kind: Curve, cell: Cell) -> Curves:
    if kind is Curve.THINKING:
        return models_figures.thinking(evaluations.cells(c, suites=[cell.key.suite]), cell)
    solved = evaluations.problems(c, cell.key)
    made = {
        Curve.SAMPLES: models_figures.samples,
        Curve.ERRORS: models_figures.first_errors,
        Curve.CALIBRATION: models_figures.calibration,
    }[kind]
    return made(cell.key, solved)
