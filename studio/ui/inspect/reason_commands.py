"""The commands that let a policy go on from a step of a trace."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from studio.ui.actions import Page
from studio.ui.inspect.bisect_dialog import BisectDialog
from studio.ui.inspect.fork_dialog import ForkDialog
from studio.ui.inspect.never_again_dialog import NeverAgainDialog, NewTestDialog
from trainer.reasoning.segment import Span

if TYPE_CHECKING:
    from studio.ui.inspect.page import InspectPage

COMMANDS = ("bisect_thought", "fork_thought", "never_again")


class ReasonCommands(QObject):
    """Registers its commands with `context.actions`; they speak of a stored trace and its current step."""

    def __init__(self, page: InspectPage) -> None:
        super().__init__(page)
        self._page, self._context = page, page.context
        self._marked: tuple[int, int, int] | None = None  # trace, start, end: shown when the trace is
        page.opened.connect(self._on_opened)
        self._context.actions.on("bisect_thought", self._bisect)
        self._context.actions.on("fork_thought", self._fork)
        self._context.actions.on("never_again", self._never_again)
        self._context.actions.on("never_again_tests", self._tests)

    def enable(self, on: bool) -> None:
        """Whether there is a stored trace."""
        for id in COMMANDS:
            self._context.actions.enable(id, on)

    def _bisect(self) -> None:
        opened = self._page.shown
        if opened is None:
            return
        dialog = BisectDialog(self._context, opened.trace.id, self._page)
        dialog.stepWanted.connect(partial(self._context.open_trace, Page.INSPECT))
        dialog.located.connect(self._show)
        dialog.show()

    def _fork(self) -> None:
        opened, step = self._page.shown, self._page.step
        if opened is None or step is None:
            self._context.say("choose the step to edit first")
            return
        dialog = ForkDialog(self._context, opened.trace.id, step, self._page)
        dialog.stepWanted.connect(partial(self._context.open_trace, Page.INSPECT))
        dialog.show()

    def _never_again(self) -> None:
        opened, step = self._page.shown, self._page.step
        if opened is None or step is None:
            self._context.say("choose the step that failed first")
            return
        at = opened.trace.segmentation.steps[step]
        span = Span(at.start, at.end)
        trace = opened.trace
        dialog = NewTestDialog(self._context, trace.id, trace.text, span, trace.problem.reference_answer, self._page)
        dialog.made.connect(lambda _made: self._tests())
        dialog.open()

    def _tests(self) -> None:
        dialog = NeverAgainDialog(self._context, self._page)
        dialog.stepWanted.connect(partial(self._context.open_trace, Page.INSPECT))
        dialog.spanWanted.connect(self._show)
        dialog.show()

    def _show(self, trace_id: int, start: int, end: int) -> None:
        """Mark code points; where another trace is on screen, that one is shown first."""
        shown = self._page.shown
        if shown is not None and shown.trace.id == trace_id:
            self._page.show_span(start, end)
        else:
            self._marked = (trace_id, start, end)
            self._context.open_trace(Page.INSPECT, trace_id)

    def _on_opened(self, trace_id: int) -> None:
        if self._marked is not None and self._marked[0] == trace_id:
            _, start, end = self._marked
            self._marked = None
            self._page.show_span(start, end)
