"""Where the parts of the Label page stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QFrame, QHBoxLayout, QStackedLayout, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from studio.ui.label.page import LabelPage


class PageFrame(QObject):
    """Lays the page out: header, and below it the work, or what there is when nothing is left to do."""

    def __init__(self, page: LabelPage) -> None:
        super().__init__(page)
        self._page = page
        self._stack = QStackedLayout()
        self._stack.addWidget(self._work())
        self._stack.addWidget(page.done)
        whole = QVBoxLayout(page)
        whole.setContentsMargins(20, 14, 20, 16)
        whole.setSpacing(10)
        whole.addWidget(page.header)
        whole.addLayout(self._stack, 1)

    def show_work(self, on: bool) -> None:
        """Show a trace to rate, or that there is none."""
        self._stack.setCurrentIndex(0 if on else 1)

    def _work(self) -> QWidget:
        page = self._page
        card = QFrame()
        card.setProperty("card", True)
        inside = QHBoxLayout(card)
        inside.setContentsMargins(6, 6, 2, 6)
        inside.setSpacing(4)
        inside.addWidget(page.map)
        inside.addWidget(page.steps, 1)
        work = QWidget()
        column = QVBoxLayout(work)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(12)
        column.addWidget(page.problem)
        column.addWidget(card, 1)
        column.addWidget(page.panel)
        column.addWidget(page.bar)
        return work
