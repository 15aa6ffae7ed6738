"""One figure of all compared runs on one pair of axes; seeds of one spec as mean and band."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PySide6.QtCore import QEvent
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QCheckBox, QComboBox, QGridLayout, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from studio.jobs.compare import Band, Comparison, Family, bands
from studio.jobs.values import Curve
from studio.ui.widgets.charts import Chart, ChartSpec, Line, series_colour
from studio.ui.widgets.parts import GAP, Quiet
from studio.ui.widgets.series import Smoothed

FIRST = ("validation/auc", "test/exact_match", "validation/loss", "train/reward", "train/loss")
_BAND_ALPHA = 60
DECAY = 0.9  # of moving averages
LEGEND_COLUMNS = 3


class CompareChart(QWidget):
    """A list of figures, and the chosen one drawn. pyqtgraph must be imported before it is made."""

    def __init__(self, made: Comparison, colours: Sequence[int], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._made, self._colours = made, tuple(colours)
        self.chart: Chart | None = None
        self.bands: dict[str, Band] = {}
        self.fill: Any = None
        self.figure = QComboBox(self)
        self.figure.setAccessibleName("Figure to draw")
        self.seeds = QCheckBox("Seeds of one spec as &mean and band", self)
        self.seeds.setChecked(True)
        self.seeds.setVisible(bool(made.families))
        self._legend = QGridLayout()
        self._legend.setHorizontalSpacing(16)
        self._legend.setColumnStretch(LEGEND_COLUMNS, 1)
        self.hint = Quiet("", self)
        self._column = QVBoxLayout(self)
        self._column.setSpacing(GAP)
        top = QHBoxLayout()
        top.addWidget(self.figure)
        top.addWidget(self.seeds)
        top.addStretch(1)
        self._column.addLayout(top)
        self._column.addLayout(self._legend)
        self._column.addWidget(self.hint)
        self._offer()
        self.figure.currentTextChanged.connect(self._draw)
        self.seeds.toggled.connect(self._draw)
        self._draw()

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        drawn = event.type() == QEvent.Type.PaletteChange and hasattr(self, "_drawn_as")
        if drawn and self._drawn_as != self.palette().cacheKey():
            self._draw()

    def _offer(self) -> None:
        names = list(dict.fromkeys(name for side in self._made.sides for name in side.curves))
        self.figure.addItems(names)
        first = next((name for name in FIRST if name in names), None)
        if first is not None:
            self.figure.setCurrentText(first)

    def _draw(self) -> None:
        """The axes are made anew, as scale and manner of drawing belong to the figure."""
        name = self.figure.currentText()
        self._drawn_as = self.palette().cacheKey()
        if self.chart is not None:
            self._column.removeWidget(self.chart)
            self.chart.hide()
            self.chart.deleteLater()
            self.chart = None
        self.bands = {}
        if not name:
            self.hint.setText("These runs have told of no figures yet.")
            return
        of_training = name.startswith("train/")
        line = Line(name, smooth=of_training, points=not of_training)
        self.chart = Chart(ChartSpec(name, (line,)), decay=DECAY, parent=self)
        self._column.insertWidget(2, self.chart, 1)
        entries = self._draw_families(name, smooth=of_training) if self.seeds.isChecked() else []
        inside = {i for family in self._made.families for i in family.members} if entries else set()
        for position, side in enumerate(self._made.sides):
            if position not in inside and name in side.curves:
                self.chart.show_run(position, self._colours[position], side.curves)
                entries.append((side.run.name, self._colour(position)))
        self._show_legend(entries)
        smooth = "Bold: moving average; faint: raw. " if of_training else ""
        band = "Band: lowest to highest of the seeds around their mean, at steps that all have." if self.bands else ""
        self.hint.setText(smooth + band)

    def _draw_families(self, name: str, *, smooth: bool) -> list[tuple[str, QColor]]:
        assert self.chart is not None
        entries = []
        all_in_families = sum(len(family.members) for family in self._made.families) == len(self._made.sides)
        for number, family in enumerate(self._made.families):
            if name not in family.bands:
                continue
            band = self._band(family, name, smooth=smooth)
            first = family.members[0]
            # Bands alone count their own colours, of which there are few; beside single runs each keeps its first's.
            own = number if all_in_families else self._colours[first]
            colour = series_colour(own, self.palette())
            self._fill_between(self.chart, band, colour)
            self.chart.show_run(first, own, {name: Curve(band.steps, family.bands[name].mean)})
            self.bands[family.name] = band
            entries.append((family.name, colour))
        return entries

    def _fill_between(self, chart: Chart, band: Band, colour: QColor) -> None:
        import pyqtgraph as pg

        tint = QColor(colour)
        tint.setAlpha(_BAND_ALPHA)
        edges: list[Any] = [pg.PlotCurveItem(band.steps, edge, pen=None) for edge in (band.low, band.high)]
        self.fill = pg.FillBetweenItem(*edges, brush=tint)
        self.fill.setZValue(-5)
        for item in (*edges, self.fill):
            chart.plot.addItem(item)

    def _band(self, family: Family, name: str, *, smooth: bool) -> Band:
        """As far as lines are drawn as moving averages, the seeds are averaged alike before they are put together."""
        band = family.bands[name]
        if not smooth:
            return band
        seeds = []
        for position in family.members:
            curve, average = self._made.sides[position].curves[name], Smoothed(DECAY)
            average.update(band.steps, curve.values[np.searchsorted(curve.steps, band.steps)])
            seeds.append({name: Curve(band.steps, average.smooth.view)})
        return bands(seeds)[name]

    def _colour(self, position: int) -> QColor:
        return series_colour(self._colours[position], self.palette())

    def _show_legend(self, entries: list[tuple[str, QColor]]) -> None:
        while (item := self._legend.takeAt(0)) is not None:
            if (old := item.widget()) is not None:
                old.hide()
                old.deleteLater()
        for number, (name, colour) in enumerate(entries):
            text = name.replace("&", "&amp;").replace("<", "&lt;")
            label = QLabel(f'<span style="color:{colour.name()}">●</span>&nbsp; {text}', self)
            self._legend.addWidget(label, *divmod(number, LEGEND_COLUMNS))
