"""Where the parts of the Inspect page stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QSplitter, QStackedWidget, QVBoxLayout, QWidget

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

    def _columns(self) -> QSplitter:
        page = self._page
        for tabs in (page.left, page.side):
            tabs.setDocumentMode(True)
            tabs.tabBar().setDrawBase(False)
        page.left.setAccessibleName(page.tr("Lists of traces"))
        page.side.setAccessibleName(page.tr("Side panels"))
        page.left.addTab(page.traces, page.tr("Traces"))
        page.left.addTab(page.disagreements, page.tr("Disputed"))
        page.left.addTab(page.failures, page.tr("Why"))
        page.left.addTab(page.live, page.tr("Live"))
        for name, panel in page.panels.items():
            page.side.addTab(panel, name)
        split = QSplitter(Qt.Orientation.Horizontal)
        split.setHandleWidth(12)
        split.setChildrenCollapsible(False)
        left, side = FitTabs(page.left), FitTabs(page.side)
        left.setMinimumWidth(page.context.theme.px(230))
        for each, share in ((left, 0), (self._centre(), 1), (card(side), 0)):
            split.addWidget(each)
            split.setStretchFactor(split.count() - 1, share)
        split.setSizes([290, 660, 290])
        return split

    def _centre(self) -> QWidget:
        page = self._page
        steps = card()
        inside = QHBoxLayout(steps)
        inside.setContentsMargins(2, 6, 6, 6)
        inside.setSpacing(2)
        inside.addWidget(page.turns)
        inside.addWidget(page.steps, 1)
        inside.addWidget(page.map)
        page.turns.setFixedWidth(page.context.theme.px(TURNS_WIDTH))
        centre = QWidget()
        column = QVBoxLayout(centre)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(10)
        for widget, stretch in ((self._problem, 0), (steps, 1), (card(page.lanes), 0)):
            column.addWidget(widget, stretch)
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


def card(widget: QWidget | None = None) -> QFrame:
    """A frame on the page's ground."""
    made = QFrame()
    made.setProperty("card", True)
    if widget is not None:
        inside = QVBoxLayout(made)
        inside.setContentsMargins(4, 4, 4, 4)
        inside.addWidget(widget)
    return made
