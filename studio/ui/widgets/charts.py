"""Line charts of runs on pyqtgraph, which is imported (0.5 s) by `import_library` in a background thread."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPoint, QSize, Qt
from PySide6.QtGui import QColor, QFont, QImage, QPalette
from PySide6.QtWidgets import QGridLayout, QVBoxLayout, QWidget

from studio.ui.widgets.parts import blend
from studio.ui.widgets.series import Array, Smoothed

_ON_LIGHT = ("#1f5fb4", "#b3500b", "#1a7a3c", "#7b3fa0", "#b01e5a", "#0f7377", "#7a5c00", "#565b63")
_ON_DARK = ("#6ea8f7", "#f2a65e", "#6fcf8f", "#c79bf0", "#f58ab4", "#5fcdd1", "#e0c053", "#b4bac4")
_FADED = 0.32


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart: which of the run's series it shows and how."""

    key: str
    smooth: bool = False
    points: bool = False


@dataclass(frozen=True, slots=True)
class Baseline:
    """A horizontal dashed line at the last value of a series; a `hint` is what no causal scorer can know, so grey."""

    key: str
    label: str
    place: float = 0.02  # of the label, as a share of the width
    hint: bool = False


class Points(Protocol):
    """A curve so far: two arrays of one length."""

    @property
    def steps(self) -> NDArray[Any]:
        """Where."""

    @property
    def values(self) -> NDArray[Any]:
        """What."""


@dataclass(frozen=True, slots=True)
class ChartSpec:
    """A chart: title, its lines, the baselines beside them, and a fixed range where the figure has one."""

    title: str
    lines: tuple[Line, ...]
    baselines: tuple[Baseline, ...] = ()
    low: float | None = None
    high: float | None = None
    log: bool = False


def import_library() -> None:
    """Import pyqtgraph; the first chart then costs the GUI thread 15 ms instead of half a second."""
    import pyqtgraph  # noqa: F401


def series_colour(index: int, palette: QPalette) -> QColor:
    """The colour of the n-th run, readable on the palette's window."""
    dark = palette.color(QPalette.ColorRole.Window).lightness() < 128
    colours = _ON_DARK if dark else _ON_LIGHT
    return QColor(colours[index % len(colours)])


class Chart(QWidget):
    """One set of axes; lines are made once and fed by `setData`, never cleared and drawn anew."""

    def __init__(self, spec: ChartSpec, *, decay: float = 0.9, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        import pyqtgraph as pg

        self._pg: Any = pg
        self.spec = spec
        self._decay = decay
        self._lines: dict[tuple[int, str], _DrawnLine] = {}
        self._baselines: dict[str, Any] = {}
        self._colours: dict[int, int] = {}
        self.plot: Any = pg.PlotWidget(self)
        self.plot.setMenuEnabled(False)
        self.plot.hideButtons()
        self.plot.setFrameShape(self.plot.Shape.NoFrame)
        self.plot.setDownsampling(auto=True, mode="peak")
        self.plot.setClipToView(True)
        self.plot.setMouseEnabled(x=True, y=False)
        self.plot.getViewBox().setDefaultPadding(0.06)
        if spec.low is not None and spec.high is not None:
            self.plot.setYRange(spec.low, spec.high, padding=0.02)
        self.setAccessibleName(spec.title)
        self.setMinimumSize(220, 150)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.plot)
        self.restyle()

    def show_run(self, run: int, colour: int, curves: Mapping[str, Points]) -> bool:
        """Feed the lines of one run; returns whether a line grew."""
        if self._colours.get(run) != colour:
            self._colours[run] = colour
            self._restyle_lines(run)
        grew = False
        for line in self.spec.lines:
            found = curves.get(line.key)
            if found is not None and len(found.steps):
                grew = self._line(run, line).feed(found) or grew
        return grew

    def keep_runs(self, runs: set[int]) -> None:
        """Take away the lines of every other run."""
        for key in [key for key in self._lines if key[0] not in runs]:
            for item in self._lines.pop(key).items:
                self.plot.removeItem(item)
        self._colours = {run: colour for run, colour in self._colours.items() if run in runs}

    def show_baselines(self, values: dict[str, float]) -> None:
        """Draw the dashed lines at these values (by series), and no others."""
        for baseline in self.spec.baselines:
            value, item = values.get(baseline.key), self._baselines.get(baseline.key)
            if value is None or not np.isfinite(value):
                if item is not None:
                    item.setVisible(False)
                continue
            if item is None:
                item = self._baselines[baseline.key] = self._baseline(baseline)
            item.setVisible(True)
            item.setValue(value)

    def drawn(self, run: int, key: str) -> Array:
        """The values a line shows now."""
        found = self._lines.get((run, key))
        return np.empty(0) if found is None else found.data.values.view

    def baseline_values(self) -> dict[str, float]:
        """The baselines shown now."""
        return {key: float(item.value()) for key, item in self._baselines.items() if item.isVisible()}

    def show_everything(self) -> None:
        """Forget zoom and pan."""
        self.plot.enableAutoRange(x=True, y=self.spec.low is None)

    def restyle(self) -> None:
        """Take the colours of the palette."""
        text = self.palette().color(QPalette.ColorRole.WindowText)
        base = self.palette().color(QPalette.ColorRole.Base)
        self.plot.setBackground(base)
        quiet = blend(text, base, 0.62)
        for name in ("left", "bottom"):
            axis = self.plot.getAxis(name)
            axis.setPen(self._pg.mkPen(blend(text, base, 0.3)))
            axis.setTextPen(self._pg.mkPen(quiet))
            axis.setStyle(tickFont=self._small_font())
        self.plot.showGrid(x=False, y=True, alpha=0.12)
        self.plot.setTitle(self.spec.title, color=text.name(), size="10pt")
        shown = self.baseline_values()
        for item in self._baselines.values():
            self.plot.removeItem(item)
        self._baselines.clear()
        self.show_baselines(shown)
        for run in self._colours:
            self._restyle_lines(run)

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "plot"):
            self.restyle()

    def _small_font(self) -> QFont:
        font = QFont(self.font())
        font.setPointSizeF(font.pointSizeF() * 0.82)
        return font

    def _line(self, run: int, line: Line) -> _DrawnLine:
        key = (run, line.key)
        if key not in self._lines:
            self._lines[key] = _DrawnLine(self._pg, self.plot, line, self._decay)
            self._restyle_lines(run)
        return self._lines[key]

    def _restyle_lines(self, run: int) -> None:
        base = self.palette().color(QPalette.ColorRole.Base)
        colour = series_colour(self._colours.get(run, 0), self.palette())
        for (owner, _), line in self._lines.items():
            if owner == run:
                line.colour(colour, blend(colour, base, _FADED))

    def _baseline(self, baseline: Baseline) -> Any:  # noqa: ANN401 - a pyqtgraph item
        text = self.palette().color(QPalette.ColorRole.WindowText)
        base = self.palette().color(QPalette.ColorRole.Base)
        colour = blend(text, base, 0.4 if baseline.hint else 0.75)
        style = Qt.PenStyle.DotLine if baseline.hint else Qt.PenStyle.DashLine
        item = self._pg.InfiniteLine(
            angle=0,
            pen=self._pg.mkPen(colour, width=1, style=style),
            label=baseline.label,
            labelOpts={"position": baseline.place, "color": colour, "anchors": [(0, 0.8), (0, 0.8)]},
        )
        item.label.setFont(self._small_font())
        item.setZValue(-10)
        self.plot.addItem(item, ignoreBounds=self.spec.low is not None)
        return item


class _DrawnLine:
    """A series on a chart: a faint raw line under its bold average, or one line with points."""

    def __init__(self, pg: Any, plot: Any, line: Line, decay: float) -> None:  # noqa: ANN401 - untyped library
        self._pg, self._line = pg, line
        self.data = Smoothed(decay)
        options: dict[str, Any] = {"skipFiniteCheck": True}
        self._raw = plot.plot(**options)
        self._bold = plot.plot(**options)
        for item in (self._raw, self._bold):
            item.curve.setSegmentedLineMode("on")  # five times faster for bold smooth lines
        self.items = (self._raw, self._bold)

    def feed(self, points: Points) -> bool:
        """Show a curve that has grown; returns whether it had."""
        if not self.data.update(points.steps, points.values):
            return False
        x = self.data.steps.view
        if self._line.smooth:
            self._raw.setData(x, self.data.values.view)
        self._bold.setData(x, self.data.smooth.view if self._line.smooth else self.data.values.view)
        return True

    def colour(self, strong: QColor, faint: QColor) -> None:
        """Opaque, solid pens: what the segmented mode needs."""
        self._raw.setPen(self._pg.mkPen(faint, width=1))
        self._bold.setPen(self._pg.mkPen(strong, width=2))
        if self._line.points:
            self._bold.setSymbol("o")
            self._bold.setSymbolSize(5)
            self._bold.setSymbolBrush(self._pg.mkBrush(strong))
            self._bold.setSymbolPen(None)


class ChartGrid(QWidget):
    """Charts side by side, made one at a time (15 ms each), saved together as one picture."""

    def __init__(self, specs: tuple[ChartSpec, ...], *, columns: int = 3, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.charts: list[Chart] = []
        self._specs, self._columns = specs, columns
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(8)
        for column in range(columns):
            self._grid.setColumnStretch(column, 1)

    def add_chart(self) -> bool:
        """Make the next chart; False when all are there."""
        position = len(self.charts)
        if position == len(self._specs):
            return False
        chart = Chart(self._specs[position], parent=self)
        self._grid.addWidget(chart, position // self._columns, position % self._columns)
        self.charts.append(chart)
        return True

    def save_png(self, path: Path, *, scale: float = 2.0) -> None:
        """Write a picture of all charts. Raises OSError."""
        size = QSize(round(self.width() * scale), round(self.height() * scale))
        image = QImage(size, QImage.Format.Format_ARGB32)
        image.setDevicePixelRatio(scale)
        image.fill(self.palette().color(QPalette.ColorRole.Window))
        self.render(image, QPoint(0, 0))
        if not image.save(str(path if path.suffix else path.with_suffix(".png"))):
            raise OSError(f"{path} could not be written; is the folder there and writable?")
