"""The commands that look at many traces at once: why they are wrong, plots of them, and rubrics."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from studio.ui.actions import Page
from studio.ui.inspect.plots_dialog import PlotsDialog
from studio.ui.inspect.rubric_dialog import RubricDialog

if TYPE_CHECKING:
    from studio.ui.inspect.page import InspectPage


class FailureCommands(QObject):
    """Registers its commands with `context.actions`."""

    def __init__(self, page: InspectPage) -> None:
        super().__init__(page)
        self._page = page
        self._marked: tuple[int, int, int] | None = None  # trace, start, end: shown when the trace is
        self._quoted: tuple[int, int, int] | None = None  # the same, only marked
        page.failures.quoted.connect(self._on_quoted)
        page.context.actions.on("why_wrong", self._why)
        page.context.actions.on("plot_traces", self._plots)
        page.context.actions.on("rubrics", self._rubrics)
        page.opened.connect(self._on_opened)

    def _why(self) -> None:
        self._page.show_list(self._page.failures)
        self._page.failures.causes.setFocus()

    def _plots(self) -> None:
        dialog = PlotsDialog(self._page.context, self._page)
        dialog.stepWanted.connect(partial(self._page.context.open_trace, Page.INSPECT))
        dialog.show()

    def _rubrics(self) -> None:
        dialog = RubricDialog(self._page.context, self._page)
        dialog.spanWanted.connect(self._show)
        dialog.show()

    def _show(self, trace_id: int, start: int, end: int) -> None:
        shown = self._page.shown
        if shown is not None and shown.trace.id == trace_id:
            self._page.show_span(start, end)
        else:
            self._marked = (trace_id, start, end)
            self._page.context.open_trace(Page.INSPECT, trace_id)

    def _on_quoted(self, trace_id: int, start: int, end: int) -> None:
        self._quoted = (trace_id, start, end)

    def _on_opened(self, trace_id: int) -> None:
        if self._quoted is not None and self._quoted[0] == trace_id:
            self._page.steps.set_marks((self._quoted[1:],))
            self._quoted = None
        if self._marked is not None and self._marked[0] == trace_id:
            _, start, end = self._marked
            self._marked = None
            self._page.show_span(start, end)
