"""The Evaluate page: results of models and routers, safety monitors, and the queue of what these found."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, cast

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QStackedWidget, QTabBar, QVBoxLayout, QWidget

from studio.domain import Changes, Topic
from studio.ui.evaluate.models_tab import ModelsTab
from studio.ui.evaluate.monitors_tab import MonitorsTab
from studio.ui.evaluate.review_tab import ReviewTab
from studio.ui.evaluate.routing_tab import RoutingTab
from studio.ui.widgets.parts import GAP, MARGIN

if TYPE_CHECKING:
    from studio.ui.context import Context

TABS: tuple[tuple[str, Callable[[Context], QWidget]], ...] = (
    # A tab is one line here: its name and its class, which is made with the context and has the methods of `Tab`.
    ("Models", ModelsTab),
    ("Routing", RoutingTab),
    ("Monitors", MonitorsTab),
    ("Review", ReviewTab),
)
NEWS_MS = 250  # a person who reviews commits faster than figures need to follow


class Tab(Protocol):
    """What the page asks of a tab."""

    def reload(self) -> None:
        """Show what is in the workspace now."""

    def undo(self) -> None:
        """Take back what this person did last on this tab."""

    def redo(self) -> None:
        """Do it again."""

    def enable(self, on: bool) -> None:
        """The tab is shown, or is not: which commands can be given."""


class EvaluatePage(QWidget):
    """Judges what judges."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self.tabs = QTabBar(self)
        self.tabs.setAccessibleName("Parts of the Evaluate page")
        self.tabs.setDrawBase(False)
        self.tabs.setExpanding(False)
        self._stack = QStackedWidget(self)
        self.parts: dict[str, QWidget] = {}
        for name, make in TABS:
            self.parts[name] = made = make(context)
            self.tabs.addTab(name)
            self._stack.addWidget(made)
        self._soon = QTimer(self, singleShot=True, interval=NEWS_MS)
        self._soon.timeout.connect(self._reload)
        self.tabs.currentChanged.connect(self._on_tab)
        context.background.changed.connect(self._on_changed)
        on = context.actions.on
        on("undo_verdict", lambda: self._tab().undo())
        on("redo_verdict", lambda: self._tab().redo())
        on("show_models", lambda: self.show_tab("Models"))
        on("show_routing", lambda: self.show_tab("Routing"))
        on("show_monitors", lambda: self.show_tab("Monitors"))
        on("show_review", lambda: self.show_tab("Review"))
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, GAP, MARGIN, GAP)
        column.setSpacing(8)
        column.addWidget(self.tabs)
        column.addWidget(self._stack, 1)
        self._enable()

    @property
    def models(self) -> ModelsTab:
        """The results table."""
        return cast(ModelsTab, self.parts["Models"])

    @property
    def routing(self) -> RoutingTab:
        """The ledger of routers."""
        return cast(RoutingTab, self.parts["Routing"])

    @property
    def monitors(self) -> MonitorsTab:
        """Monitors, thresholds, figures."""
        return cast(MonitorsTab, self.parts["Monitors"])

    @property
    def review(self) -> ReviewTab:
        """The queue."""
        return cast(ReviewTab, self.parts["Review"])

    def activate(self) -> None:
        """The page is shown: catch up."""
        self._reload()
        self.parts[self.tabs.tabText(self.tabs.currentIndex())].setFocus()

    def show_tab(self, name: str) -> QWidget:
        """Bring a tab to the front."""
        self.tabs.setCurrentIndex(list(self.parts).index(name))
        return self.parts[name]

    def _tab(self) -> Tab:
        return cast(Tab, self._stack.currentWidget())

    def _on_tab(self, place: int) -> None:
        self._stack.setCurrentIndex(place)
        self._enable()
        self._reload()
        self.parts[self.tabs.tabText(self.tabs.currentIndex())].setFocus()

    def _enable(self) -> None:
        shown = self._stack.currentWidget()
        for widget in self.parts.values():
            if widget is not shown:
                cast(Tab, widget).enable(False)
        cast(Tab, shown).enable(True)  # last: tabs share commands

    def _on_changed(self, changes: Changes) -> None:
        if changes.touches(Topic.FLAGS, Topic.MONITORS, Topic.MODELS, Topic.TRACES) and self.isVisible():
            self._soon.start()

    def _reload(self) -> None:
        self._soon.stop()
        self._tab().reload()
