"""Plots of traces in a window of their own, beside the trace that a spot opens."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QDialog, QHBoxLayout, QLabel, QVBoxLayout, QWidget
from sqlalchemy import Connection

from studio.store import plots, scores
from studio.store.plot import Kind, Plot, Shape
from studio.store.scores import Scorer
from studio.ui.context import Context
from studio.ui.dialogs import open_at, set_role
from studio.ui.inspect.plots_view import SIGNS, PlotView
from studio.ui.widgets import charts
from studio.ui.widgets.parts import GAP, MARGIN, button, plural

SCORED = (Kind.LENGTH, Kind.CALIBRATION, Kind.OUTCOMES)
NOTHING = {
    Kind.LENGTH: "No trace has step scores: score some on the Train page.",
    Kind.FIRST_ERROR: "No step is rated negative.",
    Kind.CALIBRATION: "No step has both a rating of +1 or -1 and a score of this PRM.",
    Kind.OUTCOMES: "No trace has both an outcome and scores of this PRM.",
    Kind.FLAGS: "No monitor has looked at a trace, and nobody flagged one or called it clean.",
    Kind.LANDSCAPE: "There are no steps.",
    Kind.TOKENS: "No trace has both an outcome and a count of tokens.",
    Kind.TYPES: "No source of problems has ten traces with an outcome and a count of tokens.",
}


class PlotsDialog(QDialog):
    """One plot at a time; the library is imported, and each plot read when it is chosen, off the GUI thread.

    Signals:
        stepWanted(int, int): show this trace at this step (-1: wherever it begins).
    """

    stepWanted = Signal(int, int)

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._number = 0
        self._turn: dict[int, int] = {}
        self.made: Plot | None = None
        self.view: PlotView | None = None
        self.setWindowTitle("Plots of traces")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        open_at(self, context.theme, 900, 620)
        self.kinds, self.scorer = QComboBox(), QComboBox()
        self._seeking = True  # until somebody chooses, the first plot that has something is shown
        self.state, self.spot = QLabel("reading …"), QLabel()
        self._place = QVBoxLayout()
        self._lay_out()
        self.kinds.activated.connect(lambda _index: self._stay())
        self.kinds.currentIndexChanged.connect(lambda _index: self.read())
        self.scorer.currentIndexChanged.connect(lambda _index: self.read())
        context.background.call(self, charts.import_library, lambda _nothing: self._begin())

    @property
    def kind(self) -> Kind:
        """Which plot is wanted."""
        return tuple(Kind)[self.kinds.currentIndex()]

    def read(self) -> None:
        """Read the wanted plot."""
        if self.view is None:
            return
        self._number += 1
        number, kind, scorer = self._number, self.kind, self.scorer.currentData()
        self.state.setText("reading …")
        self.made = None
        self.view.clear()
        self.spot.clear()
        self.scorer.setVisible(kind in SCORED and self.scorer.count() > 0)

        def work(c: Connection) -> tuple[int, Plot]:
            return number, plots.read(c, kind, scorer)

        self._context.background.read(self, work, self._show)

    def open_spot(self, spot: int) -> None:
        """Open the spot's trace; of several the next one, each time."""
        if self.made is None:
            return
        members = self.made.of(spot)
        if not len(members):
            return
        turn = self._turn.get(spot, -1) + 1
        self._turn[spot] = turn % len(members)
        trace_id, step = members[self._turn[spot]]
        self._say(spot)
        self.stepWanted.emit(int(trace_id), int(step))

    def _stay(self) -> None:
        self._seeking = False

    def _begin(self) -> None:
        self.view = PlotView(self._context.theme, self)
        self.view.spotChosen.connect(self.open_spot)
        self.view.spotPointed.connect(self._say)
        self._place.addWidget(self.view)
        self._context.background.read(self, scores.scorers, self._on_scorers)

    def _on_scorers(self, found: tuple[Scorer, ...]) -> None:
        self.scorer.blockSignals(True)
        for each in found:
            self.scorer.addItem(f"{each.name} · {each.version[:6]}", each.id)
        self.scorer.blockSignals(False)
        self.read()

    def _show(self, read: tuple[int, Plot]) -> None:
        number, made = read
        if number != self._number or self.view is None:
            return
        if self._seeking and not len(made) and self.kinds.currentIndex() + 1 < self.kinds.count():
            self.kinds.setCurrentIndex(self.kinds.currentIndex() + 1)
            return
        self._seeking = False
        self.made, self._turn = made, {}
        self.view.show_plot(made)
        said = made.words if len(made) else NOTHING[made.kind]
        if self.view.is_picture:
            said += "; drawn as a picture of how many lie where, every one can still be chosen"
        if made.shape is Shape.LINE and len(made):
            said += "".join(f"  {sign} {name}" for sign, name in zip(SIGNS, made.names, strict=False))
        elif made.names and len(made):
            said += ". Colour: " + ", ".join(
                f"{word} {name}" for word, name in zip(("red", "green", "grey"), made.names, strict=False)
            )
        if made.low is not None and len(made):
            said += ". Upright lines: 95 % intervals"
        self.state.setText(said)
        self.spot.setText("Point at a spot; a click or Enter opens its trace." if len(made) else "")

    def _say(self, spot: int) -> None:
        made = self.made
        if made is None:
            return
        members = made.of(spot)
        name = made.ticks[spot] if made.ticks else f"{made.x[spot]:,.3g}"
        group = "" if made.groups is None or made.shape is not Shape.LINE else f"{made.names[made.groups[spot]]}: "
        words = f"{group}{made.x_label} {name} · {made.y_label} {made.y[spot]:,.3g}"
        if made.low is not None and made.high is not None:
            words += f" (95 %: {made.low[spot]:.2f} to {made.high[spot]:.2f})"
        if len(members) == 1:
            trace_id, step = members[0]
            words += f" · trace {trace_id}" + ("" if step < 0 else f", step {step + 1}")
        elif len(members):
            turn = f"; shown: {self._turn[spot] + 1}" if spot in self._turn else ""
            words += f" · {plural(len(members), 'member')}{turn}, each click opens the next"
        self.spot.setText(words)

    def _lay_out(self) -> None:
        for kind in Kind:
            self.kinds.addItem(kind.value[0].upper() + kind.value[1:])
        self.kinds.setAccessibleName("Which plot")
        self.scorer.setAccessibleName("Scores of")
        self.scorer.hide()
        for label in (self.state, self.spot):
            set_role(label, "caption")
            label.setWordWrap(True)
        head = QHBoxLayout()
        head.addWidget(self.kinds)
        head.addWidget(self.state, 1)
        head.addWidget(self.scorer)
        foot = QHBoxLayout()
        foot.addWidget(self.spot, 1)
        foot.addWidget(button("Close", self.accept, primary=True, parent=self))
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(GAP)
        column.addLayout(head)
        column.addLayout(self._place, 1)
        column.addLayout(foot)
