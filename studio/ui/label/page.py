"""The page Label: the phase-2 screen. Draws what the desk says and turns keys and clicks into what the desk does."""

from __future__ import annotations

import time
from functools import partial

from PySide6.QtCore import QEvent, QObject, QTimer
from PySide6.QtGui import QHideEvent, QKeyEvent
from PySide6.QtWidgets import QWidget

from studio.domain import Annotator, Project, Trace
from studio.ui.actions import Page
from studio.ui.context import Context
from studio.ui.label.bottom_bar import Ask, BottomBar, ReasonPanel
from studio.ui.label.clock import ActiveClock
from studio.ui.label.desk import Desk
from studio.ui.label.done_panel import DonePanel
from studio.ui.label.given import Counts
from studio.ui.label.header import Header
from studio.ui.label.keys import REPEATABLE, Press, RatingKeys
from studio.ui.label.page_frame import PageFrame
from studio.ui.label.preload import Preloader
from studio.ui.label.problem_card import ProblemCard
from studio.ui.label.project_chooser import choose_project
from studio.ui.label.work import TraceWork
from studio.ui.widgets.paint_gate import PaintGate
from studio.ui.widgets.step_list import StepListView
from studio.ui.widgets.step_model import StepRow
from studio.ui.widgets.trace_map import TraceMap
from studio.ui.widgets.trace_values import StepSigns
from trainer.contract.records import FinishReason, Rating

RATINGS = {
    "rate_negative": Rating.NEGATIVE,
    "rate_neutral": Rating.NEUTRAL,
    "rate_positive": Rating.POSITIVE,
    "unrate": None,
}
FINISHES = {Ask.GIVE_UP: FinishReason.GIVE_UP, Ask.BAD_PROBLEM: FinishReason.BAD_PROBLEM}
PATIENCE_MS = 3_000  # keys count that long after the text was painted, even if maths is still missing
NEED_TRACE = ("give_up", "bad_problem", "comment", "inspect_this", "step_up", "step_down", "unsure")


class LabelPage(QWidget):
    """Header, problem, map and steps, panel for reasons, bar."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._begun = False
        self._painted = False
        self._patience = QTimer(self, singleShot=True, interval=PATIENCE_MS)
        self._patience.timeout.connect(self._on_painted)
        self._step_shown = time.monotonic()
        self.clock = ActiveClock()
        self._preload = Preloader(context.maths, context.theme, self.devicePixelRatioF())
        self.desk = Desk(context, self._preload, self)
        self.header = Header(context.theme)
        self.problem = ProblemCard(context.maths, context.theme, context.actions)
        self.steps = StepListView(context.maths, context.theme)
        self.steps.setObjectName("steps")
        self.map = TraceMap(context.theme)
        self.gate = PaintGate(self.problem.view, self.steps, parent=self)
        self.panel = ReasonPanel()
        self.bar = BottomBar(context.actions, context.theme)
        self.done = DonePanel(context)
        self._keys = RatingKeys(context.actions, self)
        self._frame = PageFrame(self)
        self._connect()
        self._register()
        self._tick = QTimer(self, interval=1_000)
        self._tick.timeout.connect(self._on_tick)
        self._tick.start()

    @property
    def work(self) -> TraceWork | None:
        """The open trace."""
        return self.desk.work

    @property
    def is_painted(self) -> bool:
        """Whether the open trace has been painted, so that keys count."""
        return self._painted

    def activate(self) -> None:
        """The page is shown: begin, or go on."""
        if not self._begun:
            self._begun = True
            self.desk.begin()
        elif self.work is None:
            self.desk.begin(self.desk.project.id if self.desk.project else 0)
        self.steps.setFocus()

    def show_trace(self, trace_id: int, step: int) -> None:
        """Open this trace instead of what the queue gives."""
        self._begun = True
        self._expect()
        self.desk.leave(self.clock.take())
        self.desk.visit(trace_id, step)

    def hideEvent(self, event: QHideEvent) -> None:
        """Another page, or the end: remember the place."""
        super().hideEvent(event)
        self.clock.focus(False)
        self.desk.leave(self.clock.take())

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Keys of this page, wherever in it the focus is, except in text fields."""
        if event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent) and self._on_key(Press.of(event)):
            return True
        return super().eventFilter(watched, event)

    # -- building -----------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        context, desk = self._context, self.desk
        desk.opened.connect(self._on_opened)
        desk.emptied.connect(self._on_emptied)
        desk.projectChosen.connect(self._on_project)
        desk.stepChanged.connect(self._on_step_changed)
        desk.counted.connect(self._on_counted)
        desk.fetched.connect(self._on_fetched)
        desk.told.connect(context.say)
        desk.unsavedChanged.connect(self._show_saved)
        desk.unsavedChanged.connect(context.unsavedChanged)
        desk.refused.connect(self._on_refused)
        context.background.busy.connect(self._show_saved)
        context.background.idle.connect(self._show_saved)
        context.annotatorSwitched.connect(self._on_annotator)
        self.steps.rated.connect(self._on_face_clicked)
        self.steps.stepActivated.connect(self._on_step_activated)
        self.steps.firstPainted.connect(self._patience.start)
        self.gate.opened.connect(self._on_painted)
        self.map.jumped.connect(self._on_step_activated)
        context.theme.switched.connect(lambda: self._preload.measure(self.devicePixelRatioF()))
        bar = self.steps.verticalScrollBar()
        bar.valueChanged.connect(self._on_scrolled)
        bar.rangeChanged.connect(lambda low, high: bar.setEnabled(high > low))
        self.panel.answered.connect(self._on_answered)
        self.panel.left.connect(self.steps.setFocus)
        self.header.projectClicked.connect(self._choose_project)
        for widget in (self, self.steps, self.header.project, *self.bar.buttons, self.bar.submit, self.problem.wrong):
            widget.installEventFilter(self)

    def _register(self) -> None:
        on = self._context.actions.on
        for id, value in RATINGS.items():
            on(id, partial(self._rate, value))
        on("unsure", self._toggle_unsure)
        on("step_up", lambda: self._move(-1))
        on("step_down", lambda: self._move(1))
        on("submit", self._submit)
        on("give_up", lambda: self.panel.ask(Ask.GIVE_UP))
        on("bad_problem", lambda: self.panel.ask(Ask.BAD_PROBLEM))
        on("comment", self._ask_comment)
        on("reference_wrong", self._toggle_reference)
        on("undo", self.desk.undo)
        on("redo", lambda: self.desk.undo(again=True))
        on("retry", self.desk.retry)
        on("choose_project", self._choose_project)
        on("inspect_this", self._inspect)
        self._enable()

    # -- keys and clicks ----------------------------------------------------------------------------------------------

    def _on_key(self, press: Press) -> bool:
        id = self._keys.command(press)
        if id is None:
            return False
        if press.repeated and id not in REPEATABLE:
            return True  # a key held down never rates
        if not self._painted:
            self.header.blink()
            return True
        self.clock.touch()
        self._context.actions.run(id)
        return True

    def _rate(self, value: Rating | None, *, ordinal: int | None = None, device: str = "key") -> None:
        work = self.work
        if work is None:
            return
        at = work.current if ordinal is None else ordinal
        if not work.may_rate(at):
            self.header.blink()
            self._context.say(_why_not(work, at))
            return
        if value is None and work.value(at) is None:
            return
        shown = round((time.monotonic() - self._step_shown) * 1000)
        self.desk.rate(at, value, device=device, shown_ms=shown)

    def _on_face_clicked(self, ordinal: int, value: Rating) -> None:
        self.clock.touch()
        self._rate(value, ordinal=ordinal, device="mouse")

    def _toggle_unsure(self) -> None:
        if (work := self.work) is not None:
            self.desk.set_unsure(work.current, not work.unsure(work.current))

    def _toggle_reference(self) -> None:
        if (work := self.work) is not None:
            self.desk.set_reference_wrong(not work.reference_wrong)
            self.problem.show_wrong(work.reference_wrong)

    def _move(self, by: int) -> None:
        if (work := self.work) is not None:
            work.move(by)
            self._show_current()

    def _on_step_activated(self, ordinal: int) -> None:
        self.clock.touch()
        if (work := self.work) is not None:
            work.current = ordinal
            self._show_current()

    def _submit(self) -> None:
        work = self.work
        if work is None:
            return
        if work.is_submitted:
            self._expect()
            self.desk.skip()
        elif not work.may_submit:
            self.header.blink()
            self._context.say(work.missing)
        else:
            self._expect()
            self.desk.submit(self.clock.take())

    def _ask_comment(self) -> None:
        self.panel.ask(Ask.COMMENT, self.work.comment if self.work else "")

    def _on_answered(self, ask: Ask, text: str) -> None:
        self.steps.setFocus()
        if self.work is None:
            return
        if ask is Ask.COMMENT:
            self.desk.set_comment(text)
        else:
            self._expect()
            self.desk.finish(FINISHES[ask], text, self.clock.take())

    def _inspect(self) -> None:
        if (work := self.work) is not None:
            self._context.open_trace(Page.INSPECT, work.trace.id, work.current)

    def _choose_project(self) -> None:
        choose_project(self._context, self, self._on_project_wanted)

    def _on_project_wanted(self, project_id: int) -> None:
        self.desk.leave(self.clock.take())
        self._expect()
        self.desk.begin(project_id)

    # -- what the desk says -------------------------------------------------------------------------------------------

    def _on_opened(self, work: TraceWork) -> None:
        self._expect()
        self.panel.hide()
        self._frame.show_work(True)
        problem = work.trace.problem
        self.gate.shut()
        self.problem.show_problem(problem.prompt, problem.reference_answer, wrong=work.reference_wrong)
        rows = work.rows()
        self.steps.set_steps(rows, current=work.current)
        self.map.set_steps(_signs(rows))
        self.map.set_current(work.current)
        self._painted = not work.count
        self._step_shown = time.monotonic()
        self.clock.take()
        self._show_bar()
        self._on_tick()
        if self.isVisible() and not self.panel.isVisible():
            self.steps.setFocus()

    def _on_emptied(self) -> None:
        self._painted = True
        self.panel.hide()
        self.done.show_for(self.desk.project)
        self._frame.show_work(False)
        self.header.show_place("")
        self._enable()

    def _on_project(self, project: Project | None) -> None:
        self.header.show_project(project.name if project else "No project")

    def _on_step_changed(self, ordinal: int) -> None:
        work = self.work
        if work is None:
            return
        shown = self.steps.rows
        fresh = (work.row(ordinal),) if ordinal >= 0 else work.rows()
        for row in fresh:
            if row != shown[row.ordinal]:
                self.steps.set_row(row)
        if ordinal < 0:
            self.map.set_steps(_signs(fresh))
            self._show_current()
        elif work.unsaved or not work.is_saving:
            self._show_bar()

    def _on_counted(self, counts: Counts) -> None:
        self.header.show_counts(counts.left, counts.today)
        self.done.show_today(counts.today)
        if self.work is None and counts.left and self.isVisible() and self.desk.project is not None:
            self.desk.begin(self.desk.project.id)

    def _on_fetched(self, found: tuple[Trace, ...]) -> None:
        for trace in found:
            self.problem.view.prepare(trace.problem.prompt, trace.problem.reference_answer)
        self.steps.prepare([trace.step_text(i) for trace in found for i in range(len(trace.segmentation.steps))])

    def _on_painted(self) -> None:
        """The trace can be read: keys count from now on."""
        self._patience.stop()
        if not self._painted and self.work is not None:
            self._painted = True
            QTimer.singleShot(0, self, self.desk.fetch_ahead)

    def _on_refused(self) -> None:
        self._painted = True
        if self.work is None:
            self.desk.begin()

    def _on_annotator(self, _annotator: Annotator) -> None:
        self._expect()
        self.desk.begin(self.desk.project.id if self.desk.project else 0)

    # -- drawing ------------------------------------------------------------------------------------------------------

    def _expect(self) -> None:
        """Another trace comes: keys are dropped until it is painted."""
        self._painted = False
        self._patience.stop()  # that of the trace that goes

    def _show_current(self) -> None:
        work = self.work
        if work is not None and self.steps.current != work.current:
            self.steps.set_current(work.current)
            self.map.set_current(work.current)
            self._step_shown = time.monotonic()
        self._show_bar()

    def _show_bar(self) -> None:
        work = self.work
        if work is None:
            return
        self.bar.show_missing(work.missing, trouble=bool(work.unsaved))
        self.bar.submit.set_name("Next" if work.is_submitted else "Submit")
        self.header.show_place(f"step {work.current + 1} of {work.count}" if work.count else "")
        self._enable()

    def _show_saved(self, _failed: int = 0) -> None:
        failed = len(self.work.unsaved) if self.work else 0
        self.header.show_saved(not self._context.background.writes_waiting, failed)

    def _enable(self) -> None:
        work, enable = self.work, self._context.actions.enable
        for id in (*NEED_TRACE, *RATINGS):
            enable(id, work is not None)
        enable("submit", work is not None and (work.may_submit or work.is_submitted))
        enable("reference_wrong", work is not None and bool(work.trace.problem.reference_answer))
        enable("retry", bool(work and work.unsaved))

    def _on_tick(self) -> None:
        self.clock.focus(self.isVisible() and self.isActiveWindow() and self.work is not None)
        self.header.show_active(self.clock.seconds)

    def _on_scrolled(self) -> None:
        self.clock.touch()


def _signs(rows: tuple[StepRow, ...]) -> tuple[StepSigns, ...]:
    return tuple(StepSigns(row.rating) for row in rows)


def _why_not(work: TraceWork, ordinal: int) -> str:
    negative = work.first_negative
    if negative is not None and ordinal > negative:
        return f"step {negative + 1} is negative: submit, or correct it"
    return f"step {work.first_unrated + 1} comes first"
