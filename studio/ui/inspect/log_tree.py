"""The tree of logs, samples and epochs beside the transcript: unfold, choose, and see why a log's traces are wrong."""

from __future__ import annotations

import math
from functools import partial

from PySide6.QtCore import QModelIndex, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QFont, QFontMetricsF, QPainter, QPen
from PySide6.QtWidgets import (
    QAbstractItemView,
    QFrame,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTreeView,
    QWidget,
)
from sqlalchemy import Connection

from studio.store import trace_groups
from studio.store.trace_groups import TreePath
from studio.store.trace_list import TraceQuery
from studio.ui.context import Context
from studio.ui.inspect.log_tree_model import FACTS_ROLE, NODE_ROLE, SIGN_ROLE, Index, LogTreeModel, Node, NodeKind
from studio.ui.theme import Theme
from studio.ui.widgets import faces

POINTS = 9.4


class LogTreeDelegate(QStyledItemDelegate):
    """Sign, name, and facts at the right edge."""

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        """All lines alike."""
        return QSize(1, math.ceil(QFontMetricsF(self._theme.font(POINTS)).height() + self._theme.px(8)))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        """Draw one line."""
        node: Node = index.data(NODE_ROLE)
        px, colours = self._theme.px, self._theme.colours
        rect = QRectF(option.rect)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if option.state & QStyle.StateFlag.State_Selected:
            focused = bool(option.state & QStyle.StateFlag.State_HasFocus)
            painter.setPen(QPen(colours.q("focus"), 1.2) if focused else Qt.PenStyle.NoPen)
            painter.setBrush(colours.q("accent_soft"))
            painter.drawRoundedRect(rect.adjusted(1, 1, -2, -1), px(5), px(5))
        left = rect.left() + px(4)
        sign = index.data(SIGN_ROLE)
        if node.kind >= NodeKind.SAMPLE:
            if sign is not None:
                word, name = ("done", "positive") if sign else ("error", "negative")
                size = px(13)
                faces.draw_mark(painter, QRectF(left, rect.center().y() - size / 2, size, size), word, colours.q(name))
            left += px(19)
        self._words(painter, QRectF(left, rect.top(), rect.right() - left - px(6), rect.height()), node, index)
        painter.restore()

    def _words(self, painter: QPainter, box: QRectF, node: Node, index: Index) -> None:
        colours, px = self._theme.colours, self._theme.px
        facts = str(index.data(FACTS_ROLE))
        painter.setFont(self._theme.font(POINTS - 0.8))
        wide = QFontMetricsF(painter.font()).horizontalAdvance(facts)
        painter.setPen(colours.q("secondary"))
        painter.drawText(box, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, facts)
        weight = QFont.Weight.DemiBold if node.kind is NodeKind.LOG else QFont.Weight.Normal
        painter.setFont(self._theme.font(POINTS, weight))
        painter.setPen(colours.q("secondary" if node.kind is NodeKind.WHY else "text"))
        room = box.adjusted(0, 0, -wide - px(8) if facts else 0, 0)
        words = QFontMetricsF(painter.font()).elidedText(
            str(index.data()), Qt.TextElideMode.ElideRight, max(0.0, room.width())
        )
        painter.drawText(room, Qt.AlignmentFlag.AlignVCenter, words)


class LogTree(QTreeView):
    """Unfolds logs and samples.

    Signals:
        chosen(int): show this trace.
        whyAsked(int, str): show why the wrong traces of this log are wrong; its name.
    """

    chosen = Signal(int)
    whyAsked = Signal(int, str)

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._open: set[tuple[int, str, int]] = set()  # what was unfolded, kept over another query
        self._path: TreePath | None = None  # of the trace that is open
        self._sought: TreePath | None = None
        self._step = 0  # wanted as soon as what is being unfolded has come
        self._waiting = 0  # wanted as soon as the open trace is found again
        self._marking = False
        self.tree = LogTreeModel(context.background, self)
        self.setModel(self.tree)
        self.setItemDelegate(LogTreeDelegate(context.theme, self))
        self.setHeaderHidden(True)
        self.setUniformRowHeights(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setIndentation(context.theme.px(14))
        self.setAccessibleName("Logs, samples and epochs")
        self.tree.opened.connect(self._on_opened)
        self.tree.unfolded.connect(self._on_unfolded)
        self.selectionModel().currentChanged.connect(self._on_current)
        self.activated.connect(self._on_activated)
        self.clicked.connect(self._on_activated)
        context.theme.switched.connect(self._on_theme)

    def open(self, query: TraceQuery) -> None:
        """Show the tree of another list."""
        lines = [node for log in self.tree.logs for node in (log, *(log.children or ()))]
        self._open = {_key(node) for node in lines if self.isExpanded(self.tree.index_of(node))}
        self.tree.open(query)

    def mark(self, trace_id: int) -> None:
        """Show which trace is open, unfolding what it stands in, without choosing it again."""
        node = self.tree.node(self.currentIndex())
        if node is not None and node.trace == trace_id and node.sample is not None:
            self._path = TreePath(node.log.id, node.sample.sample, node.sample.problem, trace_id)
        elif trace_id > 0:
            self._context.background.read(self, partial(_path, trace_id), self._on_path)

    def step_by(self, by: int) -> bool:
        """Choose the next or previous trace, unfolding what stands between; whether there may be one."""
        if not self.currentIndex().isValid() and self._path is not None:
            self._waiting = by  # the tree is being read again
            return True
        index = self.currentIndex() if self.currentIndex().isValid() else self.model().index(0, 0)
        while (index := self.indexBelow(index) if by > 0 else self.indexAbove(index)).isValid():
            node = self.tree.node(index)
            if node is not None and node.trace:
                self.setCurrentIndex(index)
                return True
            if node is not None and self.tree.hasChildren(index) and not self.isExpanded(index):
                self._step = by
                self.setExpanded(index, True)
                if node.children is not None:
                    return self._go_on()
                return True
        return False

    def neighbours(self) -> tuple[int, ...]:
        """The ids of the next and the previous line's trace, if at hand."""
        index = self.currentIndex()
        nodes = (self.tree.node(self.indexBelow(index)), self.tree.node(self.indexAbove(index)))
        return tuple(node.trace for node in nodes if node is not None and node.trace)

    def keyboardSearch(self, search: str) -> None:
        """Letters are commands."""

    def _go_on(self) -> bool:
        by, self._step = self._step, 0
        if by < 0 and (node := self.tree.node(self.indexAbove(self.currentIndex()))) is not None and not node.trace:
            return False
        return bool(by) and self.step_by(by)

    def _on_path(self, path: TreePath | None) -> None:
        self._path = self._sought = path
        self._seek()

    def _seek(self) -> None:
        """Unfold towards the sought trace, and mark it when it is there."""
        path = self._sought
        node = None if path is None else self.tree.place_of(path)
        if path is None or node is None:
            return
        index = self.tree.index_of(node)
        if node.trace == path.trace:
            self._sought = None
            self._marking = True
            self.setCurrentIndex(index)
            self.scrollTo(index)
            self._marking = False
            by, self._waiting = self._waiting, 0
            if by:
                self.step_by(by)
        elif node.children is None:
            self.setExpanded(index, True)

    def _on_opened(self) -> None:
        for node in self.tree.logs:
            if _key(node) in self._open or len(self.tree.logs) == 1:
                self.setExpanded(self.tree.index_of(node), True)
        if self._path is not None and self.tree.place_of(self._path) is None:
            self._path = None  # it is not in this list
            by, self._waiting = self._waiting, 0
            if by:
                self.step_by(by)
        self._sought = self._path
        self._seek()

    def _on_unfolded(self) -> None:
        self._open_again()
        self._seek()
        if self._step:
            self._go_on()

    def _open_again(self) -> None:
        for log in self.tree.logs if self._open else ():
            for node in log.children or ():
                if _key(node) in self._open:
                    self._open.discard(_key(node))
                    self.setExpanded(self.tree.index_of(node), True)

    def _on_current(self, current: QModelIndex, _previous: QModelIndex) -> None:
        node = self.tree.node(current)
        if node is not None and node.trace and not self._marking:
            self.chosen.emit(node.trace)

    def _on_activated(self, index: QModelIndex) -> None:
        node = self.tree.node(index)
        if node is not None and node.kind is NodeKind.WHY:
            self.whyAsked.emit(node.log.id, node.log.name)

    def _on_theme(self) -> None:
        self.setIndentation(self._context.theme.px(14))
        self.scheduleDelayedItemsLayout()


def _key(node: Node) -> tuple[int, str, int]:
    """What names a line over another reading; a log has no sample and no problem."""
    return (node.log.id, "", -1) if node.sample is None else (node.log.id, node.sample.sample, node.sample.problem)


def _path(trace_id: int, c: Connection) -> TreePath | None:
    return trace_groups.path_of(c, trace_id)
