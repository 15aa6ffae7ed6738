"""Where the parts of the Inspect page stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt
from PySide6.QtWidgets import QFrame, QStackedWidget, QVBoxLayout, QWidget

from studio.ui.inspect.columns import Columns, OverLanes, Reading
from studio.ui.widgets.fit_tabs import FitTabs

if TYPE_CHECKING:
    from studio.ui.inspect.page import InspectPage

TURNS_WIDTH = 134


class PageFrame(QObject):
    """Lays the page out: lists, problem over transcript over lanes, side panels, and the replay below all."""

    def __init__(self, page: InspectPage) -> None:
        super().__init__(page)
        self._page = page
        self._problem = card(page.problem)
        self._stack = QStackedWidget()
        self._traces = self._with_replay(self._columns())
        self._stack.addWidget(self._traces)
        self._stack.addWidget(page.empty)
        whole = QVBoxLayout(page)
        whole.setContentsMargins(16, 14, 16, 14)
        whole.addWidget(self._stack)

    def show_traces(self, on: bool) -> None:
        """Show traces, or what there is to do where there are none."""
        self._stack.setCurrentWidget(self._traces if on else self._page.empty)

    def show_problem(self, on: bool) -> None:
        """Show the problem above the transcript; a conversation holds its own."""
        self._problem.setVisible(on)
        self._page.problem.setVisible(on)

    def _columns(self) -> QWidget:
        page = self._page
        for tabs in (page.left, page.side):
            tabs.setDocumentMode(True)
            tabs.tabBar().setDrawBase(False)
        for tabs, name in ((page.left, page.tr("Lists of traces")), (page.side, page.tr("Side panels"))):
            tabs.setAccessibleName(name)
            tabs.tabBar().setAccessibleName(name)
        page.left.addTab(page.traces, page.tr("Traces"))
        page.left.addTab(page.disagreements, page.tr("Disputed"))
        page.left.addTab(page.failures, page.tr("Why"))
        page.left.addTab(page.live, page.tr("Live"))
        for name, panel in page.panels.items():
            page.side.addTab(panel, name)
        left, side = FitTabs(page.left), FitTabs(page.side)
        left.setMinimumWidth(page.context.theme.px(230))
        self.columns = Columns(page.context.theme, left, self._centre(), card(side))
        hint = page.context.actions.hint("other_column")
        for button in (self.columns.to_side, self.columns.to_left):
            button.setToolTip(hint)
        self.columns.otherWanted.connect(self._turn)
        page.context.actions.on("other_column", self._turn)
        return self.columns

    def _turn(self) -> None:
        """Lists or panels; the keyboard goes on where it can be seen."""
        page = self._page
        self.columns.turn()
        there = page.side if self.columns.shows_side else page.left
        target = there.currentWidget()
        held = target.focusProxy() or next((each for each in target.findChildren(QWidget) if _takes_keys(each)), target)
        held.setFocus()

    def _centre(self) -> QWidget:
        page = self._page
        page.turns.setFixedWidth(page.context.theme.px(TURNS_WIDTH))
        steps = card(Reading(page.context.theme, page.turns, page.steps, page.map))
        centre = QWidget()
        column = QVBoxLayout(centre)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(10)
        column.addWidget(self._problem)
        self.over_lanes = OverLanes(page.context.theme, steps, card(page.lanes))
        column.addWidget(self.over_lanes, 1)
        column.addWidget(page.chosen)
        return centre

    def _with_replay(self, columns: QWidget) -> QWidget:
        both = QWidget()
        rows = QVBoxLayout(both)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(10)
        rows.addWidget(columns, 1)
        rows.addWidget(card(self._page.replay))
        return both


def _takes_keys(widget: QWidget) -> bool:
    return widget.isVisible() and widget.isEnabled() and bool(widget.focusPolicy() & Qt.FocusPolicy.TabFocus)


def card(widget: QWidget | None = None) -> QFrame:
    """A frame on the page's ground."""
    made = QFrame()
    made.setProperty("card", True)
    if widget is not None:
        inside = QVBoxLayout(made)
        inside.setContentsMargins(4, 4, 4, 4)
        inside.addWidget(widget)
    return made
