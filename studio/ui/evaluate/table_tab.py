"""What the tabs of results share: runs under way, a table above, and the tabs of what is behind it below."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QSplitter, QStackedWidget, QTableWidget, QTabWidget, QVBoxLayout, QWidget

from studio.ui.evaluate.models_runs import RunsStrip
from studio.ui.evaluate.rows_view import Rows
from studio.ui.widgets.parts import EmptyState

if TYPE_CHECKING:
    from studio.ui.context import Context

Side = tuple[str, QWidget]
SHORTEST, SLACK, MOST = 120, 18, 0.42  # of a table: pixels, room for a scroll bar, and a share of the height


class TableTab(QWidget):
    """The frame; who inherits makes the widgets and calls `lay_out` once. Until something is filled in it says so."""

    def __init__(self, context: Context, recipe: str, parent: QWidget | None = None) -> None:
        """`recipe` is that of the runs which fill the table."""
        super().__init__(parent)
        self._context = context
        self.runs = RunsStrip(context, recipe, self)
        self.sides = QTabWidget(self)
        self._stack = QStackedWidget(self)
        self._split = QSplitter(Qt.Orientation.Vertical, self)
        self._moved = False  # by a person, who is left alone then
        self._table: QTableWidget | None = None
        self._split.splitterMoved.connect(lambda *_: self._on_moved())
        self.runs.ended.connect(self.reload)

    def reload(self) -> None:
        """Read what is new."""
        raise NotImplementedError

    def undo(self) -> None:
        """Nothing here is changed by hand."""
        self._context.say("nothing to undo on this tab")

    def redo(self) -> None:
        """Nothing here is changed by hand."""
        self._context.say("nothing to do again on this tab")

    def show_filled(self, filled: bool) -> None:
        """Show the table, or what to do to fill it."""
        self._stack.setCurrentIndex(int(filled))
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The table gets the height that its rows need, and leaves the rest to what is behind it."""
        super().resizeEvent(event)
        self._fit()

    def show_side(self, side: QWidget, focus: QWidget | None = None) -> None:
        """Bring a tab to the front, and give the keys to something on it."""
        self.sides.setCurrentWidget(side)
        if focus is not None:
            focus.setFocus(Qt.FocusReason.OtherFocusReason)

    def take_sorting(self, rows: Rows, on: bool) -> None:
        """The commands that sort speak of this list while the tab is shown."""
        if on:
            self._context.actions.on("sort_rows", lambda: self._context.say(rows.sort_next()))
            self._context.actions.on("turn_rows", lambda: self._context.say(rows.turn_round()))
        for id in ("sort_rows", "turn_rows"):
            self._context.actions.enable(id, on)

    def side_shower(self, side: QWidget, focus: QWidget) -> Callable[[], None]:
        """`show_side` for a command."""
        return lambda: self.show_side(side, focus)

    def lay_out(
        self,
        empty: EmptyState,
        head: Sequence[tuple[QWidget, int]],
        table: QTableWidget,
        sides: Sequence[Side],
    ) -> None:
        """`head`: widgets, each with its share of the width."""
        self.setFocusProxy(table)
        self._table = table
        self.sides.setDocumentMode(True)
        for named in (self.sides, self.sides.tabBar()):
            named.setAccessibleName("What is behind the table")
        self.sides.tabBar().setDrawBase(False)
        for name, widget in sides:
            self.sides.addTab(widget, name)
        full = QWidget(self)
        top = QHBoxLayout()
        for widget, stretch in head:
            top.addWidget(widget, stretch)
        if not any(stretch for _, stretch in head):
            top.addStretch(1)
        split = self._split
        split.setHandleWidth(10)
        split.setChildrenCollapsible(False)
        split.addWidget(table)
        split.addWidget(self.sides)
        split.setStretchFactor(1, 1)
        column = QVBoxLayout(full)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(10)
        column.addLayout(top)
        column.addWidget(split, 1)
        self._stack.addWidget(empty)
        self._stack.addWidget(full)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.setSpacing(8)
        whole.addWidget(self.runs)
        whole.addWidget(self._stack, 1)

    def _on_moved(self) -> None:
        self._moved = True

    def _fit(self) -> None:
        table, whole = self._table, sum(self._split.sizes())
        if table is None or self._moved or not whole:
            return
        rows = sum(table.rowHeight(row) for row in range(table.rowCount()))
        wanted = table.horizontalHeader().height() + rows + 2 * table.frameWidth() + SLACK
        height = max(SHORTEST, min(wanted, round(whole * MOST)))
        self._split.setSizes([height, whole - height])
