"""Logs, samples and epochs as a tree that reads only what somebody unfolds, and facts only of what is in sight."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial

from PySide6.QtCore import QAbstractItemModel, QModelIndex, QPersistentModelIndex, Qt, QTimer, Signal
from PySide6.QtWidgets import QWidget
from sqlalchemy import Connection

from studio.domain import TraceRow
from studio.render import prose
from studio.store import trace_groups, trace_list
from studio.store.trace_groups import LogGroup, SampleGroup, TreePath
from studio.store.trace_list import TraceQuery
from studio.ui.background import Background
from studio.ui.inspect.budget_bar import count_words, ended_words
from studio.ui.inspect.trace_delegate import title
from studio.ui.inspect.trace_model import CLOSED

Index = QModelIndex | QPersistentModelIndex
NODE_ROLE = int(Qt.ItemDataRole.UserRole)
SIGN_ROLE = NODE_ROLE + 1  # 1 right, 0 wrong, None not known
FACTS_ROLE = NODE_ROLE + 2  # at the right edge
NO_PARENT = QModelIndex()
HELD_ROWS = 5_000


class NodeKind(IntEnum):
    """What a line of the tree is."""

    LOG = 0
    WHY = 1
    SAMPLE = 2
    EPOCH = 3


@dataclass(slots=True, eq=False)
class Node:
    """One line. `children` None: not read yet; `trace` 0: stands for several."""

    kind: NodeKind
    parent: Node | None
    row: int
    log: LogGroup
    sample: SampleGroup | None = None
    trace: int = 0
    children: list[Node] | None = None
    asked: bool = field(default=False)


class LogTreeModel(QAbstractItemModel):
    """The tree of a TraceQuery.

    Signals:
        opened(): other logs are there.
        unfolded(): the children of a line have come.
    """

    opened = Signal()
    unfolded = Signal()

    def __init__(self, background: Background, parent: QWidget) -> None:
        super().__init__(parent)
        self._background = background
        self._query = TraceQuery()
        self._number = 0
        self._logs: list[Node] = []
        self._before: list[Node] = []  # lines that a view may still hold an index of
        self._rows: OrderedDict[int, TraceRow] = OrderedDict()
        self._old: set[int] = set()  # shown as they were until they have been read again
        self._wanted: set[int] = set()
        self._reading: set[int] = set()
        self._soon = QTimer(self, singleShot=True, interval=0)
        self._soon.timeout.connect(self._read_rows)

    @property
    def logs(self) -> list[Node]:
        """The lines of logs."""
        return self._logs

    def open(self, query: TraceQuery) -> None:
        """Show the tree of another list; the old one stays until the new one has come."""
        self._query = query
        self._number += 1
        self._background.read(self, partial(_logs, query), partial(self._on_logs, self._number))

    def node(self, index: Index) -> Node | None:
        """The line of an index."""
        found = index.internalPointer() if index.isValid() else None
        return found if isinstance(found, Node) else None

    def index_of(self, node: Node) -> QModelIndex:
        """Where a line stands."""
        return self.createIndex(node.row, 0, node)

    def place_of(self, path: TreePath) -> Node | None:
        """The line of a trace, as far down as lines have been read: the trace's own, or the one to unfold next."""
        log = next((each for each in self._logs if each.log.id == path.log), None)
        if log is None or log.children is None:
            return log
        key = (path.sample, path.problem)
        found = [n for n in log.children if n.sample is not None and (n.sample.sample, n.sample.problem) == key]
        if not found:
            return None
        if found[0].trace or found[0].children is None:
            return found[0]
        return next((each for each in found[0].children if each.trace == path.trace), None)

    # -- Qt -----------------------------------------------------------------------------------------------------------

    def index(self, row: int, column: int, parent: Index = NO_PARENT) -> QModelIndex:
        """Where a child stands."""
        above = self.node(parent)
        lines = self._logs if above is None else above.children or []
        return self.createIndex(row, column, lines[row]) if 0 <= row < len(lines) and column == 0 else QModelIndex()

    def parent(self, index: Index = NO_PARENT) -> QModelIndex:  # type: ignore[override] # Qt has two of that name
        """The line above."""
        node = self.node(index)
        return QModelIndex() if node is None or node.parent is None else self.index_of(node.parent)

    def rowCount(self, parent: Index = NO_PARENT) -> int:
        """How many lines have been read below one."""
        node = self.node(parent)
        return len(self._logs) if node is None else len(node.children or ())

    def columnCount(self, parent: Index = NO_PARENT) -> int:
        """One."""
        return 1

    def hasChildren(self, parent: Index = NO_PARENT) -> bool:
        """Whether a line can be unfolded."""
        node = self.node(parent)
        return True if node is None else _unfolds(node)

    def canFetchMore(self, parent: Index) -> bool:
        """Whether the children of a line have not been asked for."""
        node = self.node(parent)
        return node is not None and _unfolds(node) and node.children is None and not node.asked

    def fetchMore(self, parent: Index) -> None:
        """Read the children of a line."""
        node = self.node(parent)
        if node is None or node.asked or node.children is not None:
            return
        node.asked = True
        done = partial(self._on_children, self._number, node)
        if node.kind is NodeKind.LOG:
            self._background.read(self, partial(_samples, self._query, node.log.id), done)
        elif node.sample is not None:
            self._background.read(self, partial(_epochs, self._query, node.log.id, node.sample), done)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Words, sign and facts of a line."""
        node = self.node(index)
        if node is None:
            return None
        if role == NODE_ROLE:
            return node
        row = None
        if node.kind >= NodeKind.SAMPLE:
            row = self._row(node.trace or (node.sample.first if node.sample is not None else 0))
        if role == Qt.ItemDataRole.DisplayRole:
            return _name(node, row)
        if role == SIGN_ROLE:
            return _sign(node, row)
        if role == FACTS_ROLE:
            return _facts(node, row)
        if role in (Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleTextRole):
            sign = {1: "right", 0: "wrong"}.get(_sign(node, row), "")  # type: ignore[arg-type]
            return ", ".join(part for part in (_name(node, row), sign, _facts(node, row)) if part)
        return None

    # -- reading ------------------------------------------------------------------------------------------------------

    def _on_logs(self, number: int, groups: tuple[LogGroup, ...]) -> None:
        if number != self._number:
            return
        self.beginResetModel()
        self._before = self._logs
        self._logs = [Node(NodeKind.LOG, None, row, group) for row, group in enumerate(groups)]
        self._old = set(self._rows)
        self.endResetModel()
        self.opened.emit()

    def _on_children(self, number: int, node: Node, found: tuple[SampleGroup, ...] | tuple[int, ...]) -> None:
        if number != self._number:
            return
        lines: list[Node] = []
        if node.kind is NodeKind.LOG and node.log.why:
            lines.append(Node(NodeKind.WHY, node, 0, node.log))
        for each in found:
            at = len(lines)
            if isinstance(each, SampleGroup):
                trace = each.first if each.tally.traces == 1 else 0
                lines.append(Node(NodeKind.SAMPLE, node, at, node.log, each, trace))
            else:
                lines.append(Node(NodeKind.EPOCH, node, at, node.log, node.sample, each))
        if lines:
            self.beginInsertRows(self.index_of(node), 0, len(lines) - 1)
            node.children = lines
            self.endInsertRows()
        else:
            node.children = []
        self.unfolded.emit()

    def _row(self, trace_id: int) -> TraceRow | None:
        row = self._rows.get(trace_id)
        if (row is None or trace_id in self._old) and trace_id and trace_id not in self._reading:
            self._old.discard(trace_id)
            self._wanted.add(trace_id)
            self._soon.start()
        return row

    def _read_rows(self) -> None:
        ids = sorted(self._wanted)
        self._wanted.clear()
        self._reading.update(ids)
        self._background.read(self, partial(_rows, tuple(ids)), partial(self._on_rows, tuple(ids)))

    def _on_rows(self, ids: tuple[int, ...], rows: tuple[TraceRow, ...]) -> None:
        self._reading.difference_update(ids)
        for row in rows:
            self._rows[row.id] = row
        while len(self._rows) > HELD_ROWS:
            self._rows.popitem(last=False)
        self.layoutChanged.emit()


def _unfolds(node: Node) -> bool:
    return node.kind is NodeKind.LOG or (node.kind is NodeKind.SAMPLE and not node.trace)


def _name(node: Node, row: TraceRow | None) -> str:
    if node.kind is NodeKind.LOG:
        return prose.visible(node.log.name)
    if node.kind is NodeKind.WHY:
        return node.log.why
    if node.kind is NodeKind.EPOCH:
        return f"e{row.epoch}" if row is not None and row.epoch is not None else f"trace {node.trace}"
    assert node.sample is not None
    if node.sample.sample:
        epoch = f" e{row.epoch}" if node.trace and row is not None and row.epoch is not None else ""
        return prose.visible(node.sample.sample) + epoch
    return "…" if row is None else prose.spoken(title(row.title))


def _sign(node: Node, row: TraceRow | None) -> int | None:
    if node.kind is NodeKind.EPOCH:
        return None if row is None else row.outcome
    return node.sample.outcome if node.kind is NodeKind.SAMPLE and node.sample is not None else None


def _facts(node: Node, row: TraceRow | None) -> str:
    if node.kind is NodeKind.LOG:
        return str(node.log.tally)
    if not node.trace:
        return str(node.sample.tally) if node.kind is NodeKind.SAMPLE and node.sample is not None else ""
    if row is None:
        return ""
    parts = [ended_words(row.ended)] if row.ended and ended_words(row.ended) != CLOSED else []
    parts += [f"{count_words(row.tokens)} tok"] if row.tokens is not None else []
    parts += [f"lowest {row.low_score:.2f}"] if row.low_score is not None else []
    return " · ".join(parts)


def _logs(query: TraceQuery, c: Connection) -> tuple[LogGroup, ...]:
    return trace_groups.logs(c, query)


def _samples(query: TraceQuery, log_id: int, c: Connection) -> tuple[SampleGroup, ...]:
    return trace_groups.samples(c, query, log_id)


def _epochs(query: TraceQuery, log_id: int, sample: SampleGroup, c: Connection) -> tuple[int, ...]:
    return trace_groups.epochs(c, query, log_id, sample)


def _rows(ids: tuple[int, ...], c: Connection) -> tuple[TraceRow, ...]:
    return trace_list.rows_of(c, ids)
