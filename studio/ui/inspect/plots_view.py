"""A plot whose spots open traces: points, bars or a line with its interval; many points become a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QFontMetricsF, QKeyEvent, QResizeEvent
from PySide6.QtWidgets import QVBoxLayout, QWidget

from studio.store.plot import Kind, Plot, Shape
from studio.ui.theme import Theme
from studio.ui.widgets import charts
from studio.ui.widgets.parts import blend

MOST_POINTS = 5_000  # more are drawn as a picture of how many lie where
CELLS = (320, 200)
SYMBOLS, SIGNS = ("o", "s", "t", "d", "+", "x"), "●■▼◆+×"  # of curves, drawn and written: colour is never alone
GROUP_COLOURS = ("negative", "positive", "neutral")


class PlotView(QWidget):
    """Draws a Plot; made when pyqtgraph has been imported (`charts.import_library`).

    Signals:
        spotChosen(int): this spot was clicked, or Enter pressed on it.
        spotPointed(int): the pointer or the arrow keys are at this spot.
    """

    spotChosen = Signal(int)
    spotPointed = Signal(int)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        import pyqtgraph as pg

        self._pg: Any = pg
        self._theme = theme
        self.plot: Plot | None = None
        self.current = -1
        self.is_picture = False
        self.canvas: Any = pg.PlotWidget(self)
        self.canvas.setMenuEnabled(False)
        self.canvas.hideButtons()
        self.canvas.setFrameShape(self.canvas.Shape.NoFrame)
        self.canvas.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        for name in ("left", "bottom"):
            self.canvas.getAxis(name).enableAutoSIPrefix(False)  # 0.66 is not 660 thousandths
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._mark: Any = None
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.canvas)
        self.canvas.scene().sigMouseClicked.connect(self._on_clicked)
        self.canvas.scene().sigMouseMoved.connect(self._on_moved)
        theme.switched.connect(self._redraw)

    def show_plot(self, plot: Plot) -> None:
        """Draw this plot, whole."""
        self.plot, self.current = plot, -1
        self._redraw()
        self.canvas.getViewBox().enableAutoRange()
        self.setAccessibleName(f"{plot.kind.value}: {plot.y_label} by {plot.x_label}, {len(plot)} spots")

    def clear(self) -> None:
        """Nothing, and no axes that would say otherwise: another plot is being read."""
        self.plot, self.current = None, -1
        self._redraw()

    def point_at(self, spot: int) -> None:
        """Mark a spot."""
        plot = self.plot
        if plot is None or not 0 <= spot < len(plot):
            return
        self.current = spot
        self._mark.setData([plot.x[spot]], [plot.y[spot]])
        self.spotPointed.emit(spot)

    def spot_at(self, place: QPointF) -> int | None:
        """The spot nearest to a place of the canvas."""
        if self.plot is None:
            return None
        box = self.canvas.getViewBox()
        if not box.sceneBoundingRect().contains(place):
            return None
        at, (across, up) = box.mapSceneToView(place), box.viewRange()
        room = box.sceneBoundingRect()
        per_pixel = (across[1] - across[0]) / max(1.0, room.width()), (up[1] - up[0]) / max(1.0, room.height())
        return self.plot.nearest(at.x(), at.y(), *per_pixel)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows go from spot to spot by x, Enter opens."""
        plot, key = self.plot, event.key()
        if plot is not None and len(plot) and key in (Qt.Key.Key_Left, Qt.Key.Key_Right):
            order = np.argsort(plot.x, kind="stable")
            place = int(np.flatnonzero(order == self.current)[0]) if self.current >= 0 else -1
            by = 1 if key == Qt.Key.Key_Right else -1
            self.point_at(int(order[max(0, min(len(plot) - 1, place + by))]))
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and self.current >= 0:
            self.spotChosen.emit(self.current)
        else:
            super().keyPressEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        """Follow the theme."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "canvas"):
            self._redraw()

    # -- drawing ------------------------------------------------------------------------------------------------------

    def _redraw(self) -> None:
        pg, colours, canvas = self._pg, self._theme.colours, self.canvas
        canvas.clear()
        canvas.setBackground(colours.q("surface"))
        for name in ("left", "bottom"):
            axis = canvas.getAxis(name)
            axis.setPen(pg.mkPen(colours.q("border")))
            axis.setTextPen(pg.mkPen(colours.q("secondary")))
            axis.setStyle(tickFont=self._theme.font(8.6))
        plot = self.plot
        for name in ("left", "bottom"):
            canvas.showAxis(name, plot is not None and len(plot) > 0)
        if plot is None:
            return
        style = {"color": colours.q("secondary").name(), "font-size": f"{self._theme.font(9).pointSizeF():.1f}pt"}
        canvas.setLabel("bottom", plot.x_label, **style)
        canvas.setLabel("left", plot.y_label, **style)
        self._name_ticks()
        canvas.showGrid(x=False, y=plot.shape is not Shape.BARS, alpha=0.15)
        self.is_picture = plot.shape is Shape.POINTS and len(plot) > MOST_POINTS
        if len(plot):
            {Shape.BARS: self._bars, Shape.LINE: self._line, Shape.POINTS: self._points}[plot.shape](plot)
        self._mark = pg.ScatterPlotItem(size=13, pen=pg.mkPen(colours.q("focus"), width=2), brush=None)
        canvas.addItem(self._mark, ignoreBounds=True)
        if self.current >= 0:
            self._mark.setData([plot.x[self.current]], [plot.y[self.current]])

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Names below bars take the room there is."""
        super().resizeEvent(event)
        self._name_ticks()

    def _name_ticks(self) -> None:
        """Names below the bars, cut in their middle where they would run into each other; the spot says them whole."""
        plot = self.plot
        if plot is None or not plot.ticks:
            self.canvas.getAxis("bottom").setTicks(None)
            return
        room = self.canvas.getViewBox().width() or self.width()
        metrics = QFontMetricsF(self._theme.font(8.6))
        each = max(room / len(plot.ticks) - metrics.horizontalAdvance("0"), metrics.horizontalAdvance("0…0"))
        cut = [metrics.elidedText(name, Qt.TextElideMode.ElideMiddle, each) for name in plot.ticks]
        self.canvas.getAxis("bottom").setTicks([list(enumerate(cut))])

    def _bars(self, plot: Plot) -> None:
        brush = self._theme.colours.q("accent")
        self.canvas.addItem(self._pg.BarGraphItem(x=plot.x, height=plot.y, width=0.7, brush=brush, pen=None))
        self._interval(plot)
        if plot.low is not None:  # a share of none has a bar without height, and still is a finding
            dots = self._pg.ScatterPlotItem(x=plot.x, y=plot.y, size=7, brush=brush, pen=None)
            self.canvas.addItem(dots)

    def _line(self, plot: Plot) -> None:
        pg, colours = self._pg, self._theme.colours
        if plot.kind in (Kind.CALIBRATION, Kind.OUTCOMES):
            dashed = pg.mkPen(colours.q("hatch"), width=1, style=Qt.PenStyle.DashLine)
            self.canvas.plot([0, 1], [0, 1], pen=dashed)
        self._interval(plot)
        groups = np.zeros(len(plot), np.int64) if plot.groups is None else plot.groups
        for group in np.unique(groups).tolist():
            mine = groups == group
            colour = colours.q("accent") if plot.groups is None else charts.series_colour(group, self.palette())
            look = {"symbol": SYMBOLS[group % len(SYMBOLS)], "symbolSize": 9, "symbolBrush": colour, "symbolPen": None}
            self.canvas.plot(plot.x[mine], plot.y[mine], pen=pg.mkPen(colour, width=2), **look)

    def _interval(self, plot: Plot) -> None:
        if plot.low is None or plot.high is None:
            return
        pen = self._pg.mkPen(self._theme.colours.q("secondary"), width=1.2)
        below, above = plot.y - plot.low, plot.high - plot.y
        self.canvas.addItem(self._pg.ErrorBarItem(x=plot.x, y=plot.y, top=above, bottom=below, beam=0, pen=pen))

    def _points(self, plot: Plot) -> None:
        if self.is_picture:
            self._picture(plot)
            return
        groups = np.zeros(len(plot), np.int64) if plot.groups is None else plot.groups
        for group in np.unique(groups)[::-1]:
            mine = groups == group
            colour = self._colour(int(group), alpha=170)
            item = self._pg.ScatterPlotItem(x=plot.x[mine], y=plot.y[mine], size=6, brush=colour, pen=None)
            self.canvas.addItem(item)

    def _picture(self, plot: Plot) -> None:
        """One pixel a cell: the colour of its most frequent group, stronger where more lie."""
        edges = [np.linspace(v.min(), v.max() or 1.0, n + 1) for v, n in zip((plot.x, plot.y), CELLS, strict=True)]
        edges = [e if e[-1] > e[0] else np.linspace(e[0] - 0.5, e[0] + 0.5, len(e)) for e in edges]
        groups = np.zeros(len(plot), np.int64) if plot.groups is None else plot.groups
        every = range(int(groups.max()) + 1)
        layers = [np.histogram2d(plot.x[groups == g], plot.y[groups == g], bins=edges)[0] for g in every]
        counts = np.stack(layers)
        total, most = counts.sum(axis=0), counts.argmax(axis=0)
        found = [self._colour(g) for g in every]
        palette = np.array([(c.red(), c.green(), c.blue()) for c in found], np.uint8)
        image: NDArray[np.uint8] = np.zeros((*CELLS, 4), np.uint8)
        image[..., :3] = palette[most]
        strength = np.log1p(total) / max(np.log1p(total.max()), 1e-9)
        image[..., 3] = np.where(total > 0, 70 + 185 * strength, 0).astype(np.uint8)
        item = self._pg.ImageItem(image, axisOrder="col-major")
        x, y = edges
        item.setRect(QRectF(x[0], y[0], x[-1] - x[0], y[-1] - y[0]))
        self.canvas.addItem(item)

    def _colour(self, group: int, *, alpha: int = 255) -> QColor:
        if self.plot is None or self.plot.groups is None:
            return self._theme.colours.q("accent")
        colour = QColor(self._theme.colours.q(GROUP_COLOURS[group % len(GROUP_COLOURS)]))
        if group == len(GROUP_COLOURS) - 1:
            colour = blend(colour, self._theme.colours.q("surface"), 0.55)
        colour.setAlpha(alpha)
        return colour

    def _on_clicked(self, event: Any) -> None:  # noqa: ANN401 - a pyqtgraph event
        spot = self.spot_at(event.scenePos()) if event.button() == Qt.MouseButton.LeftButton else None
        if spot is not None:
            self.setFocus()
            self.point_at(spot)
            self.spotChosen.emit(spot)

    def _on_moved(self, place: QPointF) -> None:
        spot = self.spot_at(place)
        if spot is not None and spot != self.current:
            self.point_at(spot)
