"""The commands that look at many traces at once: why they are wrong, and plots of them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from studio.ui.actions import Page
from studio.ui.inspect.plots_dialog import PlotsDialog

if TYPE_CHECKING:
    from studio.ui.inspect.page import InspectPage


class FailureCommands(QObject):
    """Registers its commands with `context.actions`."""

    def __init__(self, page: InspectPage) -> None:
        super().__init__(page)
        self._page = page
        page.context.actions.on("why_wrong", self._why)
        page.context.actions.on("plot_traces", self._plots)

    def _why(self) -> None:
        self._page.left.setCurrentWidget(self._page.failures)
        self._page.failures.causes.setFocus()

    def _plots(self) -> None:
        dialog = PlotsDialog(self._page.context, self._page)
        dialog.stepWanted.connect(partial(self._page.context.open_trace, Page.INSPECT))
        dialog.show()
