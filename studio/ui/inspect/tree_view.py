"""The tree of what was tried: pan by dragging, zoom by the wheel; a node's colour is its value."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QLineF, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFont,
    QFontMetrics,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QWidget

from studio.store.trace_tree import TraceTree
from studio.ui.theme import Theme
from studio.ui.widgets.parts import blend

ACROSS, DOWN = 176.0, 30.0  # between depths and between leaves, before zoom
NODE = QRectF(-76, -12, 152, 24)
READABLE = 0.55  # zoom from which nodes have words
HIGHEST = 0.2  # of the rows that fit at 100 %: a higher tree begins as a whole, however small
TALL = 200  # pixels from which a view can hold what is read; a strip begins with the whole
SHADES = 12
SMOOTH = 800  # nodes in sight up to which lines are drawn smooth
Floats = NDArray[np.float64]


class TreeView(QWidget):
    """Draws only what is in sight; thousands of nodes are a few calls.

    Signals:
        nodeChosen(int): this node is current.
        nodeOpened(int): its trace is wanted (Enter, double click).
    """

    nodeChosen = Signal(int)
    nodeOpened = Signal(int)

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._made: TraceTree | None = None
        self._x: Floats = np.zeros(0)
        self._y: Floats = np.zeros(0)
        self._own: NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._zoom, self._shift = 1.0, QPointF()
        self._dragged: QPointF | None = None
        self._fresh = False
        self.current = 0
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Tree of what was tried")
        theme.switched.connect(self.update)

    @property
    def zoom(self) -> float:
        """Pixels a unit of the drawing."""
        return self._zoom

    def show_tree(self, made: TraceTree | None, *, keep: bool = False) -> None:
        """Show this whole, the end of its own path current; `keep`: it has grown, and what was zoomed into stays."""
        if made is None:
            self._made, self._x, self._y, self.current = None, np.zeros(0), np.zeros(0), 0
            self.update()
            return
        stays = keep and self._made is not None and not self._fresh
        self._made = made
        self._x = made.tree.depth.astype(np.float64) * ACROSS
        self._y = made.tree.row * DOWN
        self._own = np.zeros(len(self._x), np.bool_)
        shown = made.own if made.own >= 0 or made.sought is None else made.sought.chosen
        path = made.tree.of_path[shown] if 0 <= shown < len(made.tree.of_path) else np.zeros(1, np.int64)
        self._own[path] = True
        self._fresh = not stays
        self.choose(int(path[-1]), bring=False)
        if not stays:
            self._frame()

    def choose(self, node: int, *, bring: bool = True) -> None:
        """Make a node the current one."""
        if self._made is None or not 0 <= node < len(self._x):
            return
        self.current = node
        if bring:
            self._bring(node)
        self.setAccessibleDescription(self._made.text(node)[:200])
        self.update()
        self.nodeChosen.emit(node)

    def fit(self) -> None:
        """Zoom so that the whole tree is in sight."""
        if not len(self._x) or self.width() < 2:
            return
        wide = float(self._x.max() - self._x.min()) + NODE.width() + 40
        high = float(self._y.max() - self._y.min()) + NODE.height() + 40
        self._zoom = max(0.02, min(1.0, self.width() / wide, self.height() / high))
        middle = QPointF(float(self._x.max() + self._x.min()) / 2, float(self._y.max() + self._y.min()) / 2)
        self._shift = QPointF(self.width() / 2, self.height() / 2) - middle * self._zoom
        self.update()

    def _frame(self) -> None:
        """The whole; of a tree that is long but not very high no less than can be read, the current node in sight."""
        self.fit()
        if not len(self._y) or self._zoom >= READABLE or self.height() < TALL:
            return
        share = self.height() / (float(np.ptp(self._y)) + NODE.height() + 40)
        if share >= HIGHEST:
            self._zoom = min(1.0, max(READABLE, share))
            there = QPointF(float(self._x[self.current]), float(self._y[self.current]))
            self._shift = QPointF(self.width() - NODE.width(), self.height() / 2) - there * self._zoom

    def zoom_by(self, factor: float, at: QPointF | None = None) -> None:
        """Zoom around a point of the widget."""
        centre = QPointF(self.width() / 2, self.height() / 2) if at is None else at
        wanted = min(3.0, max(0.02, self._zoom * factor))
        self._shift = centre - (centre - self._shift) * (wanted / self._zoom)
        self._zoom = wanted
        self._fresh = False
        self.update()

    def place(self, node: int) -> QPointF:
        """Where a node's middle is in the widget."""
        return QPointF(float(self._x[node]), float(self._y[node])) * self._zoom + self._shift

    def node_at(self, point: QPointF) -> int | None:
        """The node under a point of the widget."""
        if not len(self._x):
            return None
        there = (point - self._shift) / self._zoom
        inside = (abs(self._x - there.x()) <= NODE.width() / 2) & (abs(self._y - there.y()) <= max(12, 4 / self._zoom))
        found = np.flatnonzero(inside)
        return int(found[np.argmin(abs(self._y[found] - there.y()))]) if len(found) else None

    # -- events -------------------------------------------------------------------------------------------------------

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Lines first, then nodes."""
        with QPainter(self) as painter:
            painter.fillRect(self.rect(), self._theme.colours.q("surface"))
            if self._made is None:
                return
            painter.translate(self._shift)
            painter.scale(self._zoom, self._zoom)
            seen = self._in_sight()
            painter.setRenderHint(QPainter.RenderHint.Antialiasing, len(seen) < SMOOTH)
            self._lines(painter, seen)
            self._nodes(painter, seen)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Until somebody zooms, the whole tree stays in sight, or what of a long one can be read."""
        super().resizeEvent(event)
        if self._fresh:
            self._frame()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom around the pointer."""
        self.zoom_by(1.0015 ** event.angleDelta().y(), event.position())

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Choose a node, or begin to drag."""
        node = self.node_at(event.position())
        if node is not None:
            self.choose(node, bring=False)
        self._dragged = event.position()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Drag the tree."""
        if self._dragged is not None and event.buttons() & Qt.MouseButton.LeftButton:
            self._shift += event.position() - self._dragged
            self._dragged = event.position()
            self._fresh = False
            self.update()

    def mouseReleaseEvent(self, _event: QMouseEvent) -> None:
        """The drag ends."""
        self._dragged = None

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Open the node's trace."""
        if (node := self.node_at(event.position())) is not None:
            self.nodeOpened.emit(node)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows walk the tree; + and - zoom, 0 shows the whole; Enter opens the trace."""
        key = event.key()
        walks = {Qt.Key.Key_Left: "h", Qt.Key.Key_H: "h", Qt.Key.Key_Right: "l", Qt.Key.Key_L: "l"}
        walks |= {Qt.Key.Key_Up: "k", Qt.Key.Key_K: "k", Qt.Key.Key_Down: "j", Qt.Key.Key_J: "j"}
        if key in walks:
            self.choose(self._neighbour(walks[Qt.Key(key)]))
        elif key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal):
            self.zoom_by(1.25)
        elif key == Qt.Key.Key_Minus:
            self.zoom_by(0.8)
        elif key == Qt.Key.Key_0:
            self._fresh = True
            self.fit()
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.nodeOpened.emit(self.current)
        else:
            super().keyPressEvent(event)

    # -- drawing ------------------------------------------------------------------------------------------------------

    def _in_sight(self) -> NDArray[np.int64]:
        left, top = (-self._shift.x()) / self._zoom, (-self._shift.y()) / self._zoom
        right, bottom = left + self.width() / self._zoom, top + self.height() / self._zoom
        across = (self._x > left - ACROSS) & (self._x < right + ACROSS)
        return np.flatnonzero(across & (self._y > top - 400) & (self._y < bottom + 400))

    def _lines(self, painter: QPainter, seen: NDArray[np.int64]) -> None:
        assert self._made is not None
        parents = self._made.tree.parent[seen]
        for own, colour, width in ((False, "border", 1.0), (True, "accent", 2.4)):
            kept = (parents >= 0) & (self._own[seen] == own)
            starts, ends = parents[kept], seen[kept]
            half = NODE.width() / 2
            lines = [
                QLineF(self._x[a] + half, self._y[a], self._x[b] - half, self._y[b])
                for a, b in zip(starts.tolist(), ends.tolist(), strict=True)
            ]
            painter.setPen(QPen(self._theme.colours.q(colour), width / max(self._zoom, 0.3)))
            painter.drawLines(lines)

    def _nodes(self, painter: QPainter, seen: NDArray[np.int64]) -> None:
        assert self._made is not None
        tree, colours = self._made.tree, self._theme.colours
        shown = np.where(np.isnan(tree.value[seen]), tree.score[seen], tree.value[seen])
        filled = np.clip(np.nan_to_num(shown) * SHADES, 0, SHADES - 1).astype(np.int64)
        bins = np.where(np.isnan(shown), -1, filled)
        for shade in np.unique(bins).tolist():
            painter.setPen(QPen(colours.q("border"), 0))
            painter.setBrush(self._shade(shade))
            at = seen[bins == shade].tolist()
            painter.drawRects([NODE.translated(float(self._x[n]), float(self._y[n])) for n in at])
        mark = NODE.translated(float(self._x[self.current]), float(self._y[self.current])).adjusted(-3, -3, 3, 3)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(colours.q("focus"), 2.5 / max(self._zoom, 0.2)))
        painter.drawRoundedRect(mark, 4, 4)
        if self._zoom >= READABLE:
            self._words(painter, seen)

    def _words(self, painter: QPainter, seen: NDArray[np.int64]) -> None:
        assert self._made is not None
        tree = self._made.tree
        small, plain = self._theme.font(8, QFont.Weight.DemiBold), self._theme.font(8.6)
        wide, metrics = QFontMetrics(small), QFontMetrics(plain)
        for node in seen.tolist():
            box = NODE.translated(float(self._x[node]), float(self._y[node])).adjusted(6, 0, -6, 0)
            number = "" if np.isnan(tree.value[node]) else f"{tree.value[node]:.0%}"
            number = f"{number} · {tree.visits[node]}" if tree.visits[node] > 1 else number
            painter.setPen(self._theme.colours.q("secondary"))
            painter.setFont(small)
            painter.drawText(box, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, number)
            painter.setPen(self._theme.colours.q("text"))
            painter.setFont(plain)
            room = box.width() - (wide.horizontalAdvance(number) + 6 if number else 0)
            text = metrics.elidedText(
                " ".join(self._made.text(node)[:80].split()), Qt.TextElideMode.ElideRight, int(room)
            )
            painter.drawText(box, Qt.AlignmentFlag.AlignVCenter, text)

    def _shade(self, shade: int) -> QColor:
        """From negative to positive; -1 = nothing known."""
        colours = self._theme.colours
        if shade < 0:
            return colours.q("raised")
        share = (shade + 0.5) / SHADES
        side = colours.q("positive" if share >= 0.5 else "negative")
        return blend(side, colours.q("surface"), 0.12 + 0.5 * abs(2 * share - 1))

    def _bring(self, node: int) -> None:
        there = self.place(node)
        room = QRectF(self.rect()).adjusted(60, 30, -60, -30)
        if not room.contains(there):
            self._shift += room.center() - there
            self._fresh = False

    def _neighbour(self, way: str) -> int:
        """The parent, the first child, or the next node of the same depth above or below."""
        assert self._made is not None
        tree, here = self._made.tree, self.current
        if way == "h":
            return max(0, int(tree.parent[here]))
        if way == "l":
            children = np.flatnonzero(tree.parent == here)
            own = children[self._own[children]]
            return int(own[0] if len(own) else children[0]) if len(children) else here
        level = np.flatnonzero(tree.depth == tree.depth[here])
        at = int(np.searchsorted(level, here)) + (1 if way == "j" else -1)
        return int(level[at]) if 0 <= at < len(level) else here
