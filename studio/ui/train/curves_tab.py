"""The curves of the ticked runs: smooth over raw, runs overlaid, validation beside its baselines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QEvent, QTimer
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QStackedLayout, QVBoxLayout, QWidget

from studio.jobs.values import Curve, RunView
from studio.ui.train.chart_sets import REWARD_MODEL, ChartSet, charts_of, taken_by_worker
from studio.ui.train.run_table import Ticked
from studio.ui.widgets.charts import ChartGrid, import_library, series_colour
from studio.ui.widgets.parts import EmptyState, Quiet, button

if TYPE_CHECKING:
    from studio.ui.context import Context

NO_POINTS = "Nothing to draw yet", "Curves appear when the selected run has taken its first steps."
NO_CURVES = (
    "No curves",
    "The selected run has ended and told no figures by step; its results stand on the other tabs.",
)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A run that is drawn: who, in which colour, with which curves."""

    run_id: int
    name: str
    colour: int
    curves: Mapping[str, Curve]


class CurvesTab(QWidget):
    """Charts of the ticked runs, made when the first run has points."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self.grid: ChartGrid | None = None
        self._ready = False
        self._chosen: int | None = None
        self._drawn: tuple[Drawn, ...] = ()
        self._on_charts: set[int] = set()
        self._legend_entries: tuple[tuple[str, str], ...] = ()
        self._legend = QHBoxLayout()
        self._legend.setSpacing(16)
        self._set: ChartSet = REWARD_MODEL
        self.hint = Quiet(self._set.hint)
        self.says = NO_POINTS  # where nothing is drawn
        self._empty = EmptyState(*self.says, parent=self)
        self._page = QWidget(self)
        column = QVBoxLayout(self._page)
        column.setContentsMargins(0, 8, 0, 0)
        top = QHBoxLayout()
        top.addLayout(self._legend)
        top.addStretch(1)
        top.addWidget(button("Show all", self._on_show_all, tip="Forget zoom and pan", parent=self))
        top.addWidget(button("Save CSV…", self._on_csv, tip="Every point of the drawn runs", parent=self))
        top.addWidget(button("Save PNG…", self._on_png, tip="A picture of these charts", parent=self))
        column.addLayout(top)
        self._charts = QVBoxLayout()
        column.addLayout(self._charts, 1)
        column.addWidget(self.hint)
        self._stack = QStackedLayout(self)
        self._stack.addWidget(self._empty)
        self._stack.addWidget(self._page)

    def show_runs(self, ticked: tuple[Ticked, ...], chosen: int | None, *, fresh: frozenset[int] | None = None) -> None:
        """Draw these runs, with the chosen one's baselines; `fresh`: only these have new points."""
        jobs = self._context.jobs
        known = {view.id: view for view in jobs.runs()}
        self._drawn = tuple(
            Drawn(t.run_id, known[t.run_id].name, t.colour, jobs.curves(t.run_id)) for t in ticked if t.run_id in known
        )
        self._chosen = chosen
        if chosen in known:
            self._use(charts_of(known[chosen].recipe, jobs.curves(chosen)))
        any_points = any(not self._set.keys.isdisjoint(d.curves) for d in self._drawn)
        self._stack.setCurrentIndex(1 if any_points else 0)
        if chosen in known:
            self.show_state(known[chosen])
        if any_points and self._ready:
            self._draw(fresh)
        elif any_points and self.grid is None:
            grid = self.grid = ChartGrid(self._set.charts, columns=3, parent=self)
            self._charts.addWidget(grid)
            self._context.background.call(self, import_library, lambda _none: self._add_chart(grid))

    def show_state(self, chosen: RunView) -> None:
        """Say what may be hoped for where nothing is drawn."""
        self.says = NO_CURVES if chosen.state.is_final else NO_POINTS
        self._empty.say(*self.says)

    def _use(self, charts: ChartSet) -> None:
        """Have the charts of the chosen run's recipe; others are taken down."""
        if charts == self._set:
            return
        self._set, self._ready = charts, False
        self._on_charts.clear()
        self.hint.setText(charts.hint)
        if self.grid is not None:
            self.grid.hide()
            self.grid.deleteLater()
            self.grid = None

    def _add_chart(self, grid: ChartGrid) -> None:
        """One chart a turn of the event loop, so that the window goes on answering."""
        if grid is not self.grid:
            return  # another recipe was chosen meanwhile
        if grid.add_chart():
            QTimer.singleShot(0, self, lambda: self._add_chart(grid))
        else:
            self._ready = True
            self._draw(None)

    def _draw(self, fresh: frozenset[int] | None) -> None:
        drawn = self._drawn
        if not drawn or self.grid is None:
            return
        baselines = _last_values(next((d for d in drawn if d.run_id == self._chosen), drawn[0]))
        self.hint.setText(self._set.hint + taken_by_worker(baselines))
        runs = {d.run_id for d in drawn}
        if runs != self._on_charts:  # another choice of runs: news of one of them is not enough
            self._on_charts, fresh = runs, None
        for chart in self.grid.charts:
            if fresh is None:
                chart.keep_runs(runs)
            for each in drawn:
                if fresh is None or each.run_id in fresh:
                    chart.show_run(each.run_id, each.colour, each.curves)
            chart.show_baselines(baselines)
        self._show_legend()

    def save_csv(self, path: Path) -> None:
        """Write run, series, step, value of every drawn point, in the background."""
        drawn = self._drawn
        self._context.background.call(
            self, lambda: write_csv(path, drawn), lambda rows: self._context.say(f"{rows:,} points saved to {path}")
        )

    def save_png(self, path: Path) -> None:
        """Write a picture of the charts. Raises OSError."""
        if self.grid is None or not self._ready:
            self._context.say("The charts are not drawn yet")
            return
        self.grid.save_png(path)
        self._context.say(f"Charts saved to {path}")

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "_stack"):
            self._show_legend()

    def _show_legend(self) -> None:
        entries = tuple((each.name, series_colour(each.colour, self.palette()).name()) for each in self._drawn)
        if entries == self._legend_entries:
            return
        self._legend_entries = entries
        while (item := self._legend.takeAt(0)) is not None:
            if (old := item.widget()) is not None:
                old.hide()
                old.deleteLater()
        for name, colour in entries:
            self._legend.addWidget(QLabel(f'<span style="color:{colour}">●</span>&nbsp; {_plain(name)}', self))

    def _on_show_all(self) -> None:
        for chart in [] if self.grid is None else self.grid.charts:
            chart.show_everything()

    def _on_csv(self) -> None:
        chosen, _ = QFileDialog.getSaveFileName(self, "Save the curves", "curves.csv", "CSV (*.csv)")
        if chosen:
            self.save_csv(Path(chosen))

    def _on_png(self) -> None:
        chosen, _ = QFileDialog.getSaveFileName(self, "Save the charts", "curves.png", "PNG (*.png)")
        if not chosen:
            return
        try:
            self.save_png(Path(chosen))
        except OSError as error:
            self._context.fail(error)


def write_csv(path: Path, drawn: tuple[Drawn, ...]) -> int:
    """Write run, series, step, value; returns the number of points. Raises OSError."""
    import csv

    rows = 0
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out)
        writer.writerow(("run", "series", "step", "value"))
        for each in drawn:
            for name, curve in sorted(each.curves.items()):
                points = zip(curve.steps.tolist(), curve.values.tolist(), strict=True)
                writer.writerows((each.name, name, step, value) for step, value in points)
                rows += len(curve.steps)
    return rows


def _last_values(drawn: Drawn) -> dict[str, float]:
    return {name: float(np.asarray(curve.values)[-1]) for name, curve in drawn.curves.items() if len(curve.values)}


def _plain(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
