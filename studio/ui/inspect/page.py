"""The Inspect page: a list of traces, the transcript with map and score strip, and the evidence; one cursor for all."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QSplitter, QStackedWidget, QTabWidget, QVBoxLayout, QWidget
from sqlalchemy import Connection

from studio.domain import Changes, Project, Topic
from studio.errors import NotFoundError
from studio.store import projects
from studio.ui.actions import Page
from studio.ui.context import Context
from studio.ui.inspect.disagreements import DisagreementPanel
from studio.ui.inspect.empty import EmptyPanel
from studio.ui.inspect.evidence import EvidencePanel
from studio.ui.inspect.list_panel import ListPanel
from studio.ui.inspect.opened import Opened, read_trace
from studio.ui.inspect.scoring import Scoring, TraceScorer
from studio.ui.inspect.strip_panel import StripPanel
from studio.ui.widgets.paint_gate import PaintGate
from studio.ui.widgets.problem_view import ProblemView
from studio.ui.widgets.step_list import StepListView
from studio.ui.widgets.step_model import Faces
from studio.ui.widgets.trace_map import TraceMap

HELD = 24  # traces kept ready to be shown again
COMMANDS = ("step_below", "step_above", "next_hit", "previous_hit", "score_this", "label_this", "copy_latex")


class InspectPage(QWidget):
    """Reads traces off the GUI thread and moves one cursor through list, map, strip and evidence.

    Signals:
        opened(int): this trace is shown now, its text at once, its maths as soon as it is drawn.
        paintedReady(): the first paint since `opened` in which all visible maths was there.
        stepMoved(int): another step is current.
    """

    opened = Signal(int)
    paintedReady = Signal()
    stepMoved = Signal(int)

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._shown: Opened | None = None
        self._step: int | None = None
        self._asked = (0, -1)
        self._held: OrderedDict[int, Opened] = OrderedDict()
        self._stale = True
        self.traces = ListPanel(context)
        self.disagreements = DisagreementPanel(context)
        self.left = QTabWidget()
        self.problem = ProblemView(context.maths, context.theme)
        self.steps = StepListView(context.maths, context.theme)
        self.steps.setObjectName("steps")
        self.map = TraceMap(context.theme)
        self.strip = StripPanel(context)
        self.evidence = EvidencePanel(context.theme)
        self.empty = EmptyPanel(context)
        self.scorer = TraceScorer(context, self)
        self.gate = PaintGate(self.problem, self.steps, parent=self)
        self._later = QTimer(self, singleShot=True, interval=150)
        self._lay_out()
        self._connect()
        self._register()

    @property
    def shown(self) -> Opened | None:
        """The trace on screen."""
        return self._shown

    @property
    def step(self) -> int | None:
        """The current step."""
        return self._step

    def activate(self) -> None:
        """The page is shown: bring the list up to date if something changed while it was not."""
        if self._stale:
            self._stale = False
            self._context.background.read(self, projects.all_projects, self._on_projects)
        self.steps.setFocus()

    def show_trace(self, trace_id: int, step: int = -1) -> None:
        """Show a trace at a step; -1 = its first hit, else its first step."""
        self._asked = (trace_id, step)
        held = self._held.get(trace_id)
        if held is not None:
            self._show(held)
            return
        read = partial(_read, trace_id, self._context.annotator.id)
        self._context.background.read(self, read, self._on_read, self._on_unreadable)

    def go(self, ordinal: int) -> None:
        """Make a step the current one everywhere."""
        if self._shown is None or not 0 <= ordinal < self._shown.count:
            return
        self._step = ordinal
        self.steps.set_current(ordinal)
        self.map.set_current(ordinal)
        self.strip.strip.set_current(ordinal)
        self.evidence.show_step(ordinal)
        self.stepMoved.emit(ordinal)

    # -- building -----------------------------------------------------------------------------------------------------

    def _lay_out(self) -> None:
        steps = _card()
        inside = QHBoxLayout(steps)
        inside.setContentsMargins(2, 6, 6, 6)
        inside.setSpacing(2)
        inside.addWidget(self.steps, 1)
        inside.addWidget(self.map)
        centre = QWidget()
        column = QVBoxLayout(centre)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(10)
        for widget, stretch in ((self.problem, 0), (steps, 1), (self.strip, 0)):
            column.addWidget(widget if widget is steps else _card(widget), stretch)
        self.steps.set_columns(faces=Faces.ONE, scores=True)
        self.left.setDocumentMode(True)
        self.left.tabBar().setDrawBase(False)
        self.left.addTab(self.traces, self.tr("Traces"))
        self.left.addTab(self.disagreements, self.tr("Disagreements"))
        self.left.setMinimumWidth(self._context.theme.px(230))
        self._split = QSplitter(Qt.Orientation.Horizontal)
        self._split.setHandleWidth(12)
        self._split.setChildrenCollapsible(False)
        for each, share in ((self.left, 0), (centre, 1), (_card(self.evidence), 0)):
            self._split.addWidget(each)
            self._split.setStretchFactor(self._split.count() - 1, share)
        self._split.setSizes([270, 700, 250])
        self._stack = QStackedWidget()
        self._stack.addWidget(self._split)
        self._stack.addWidget(self.empty)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(16, 14, 16, 14)
        whole.addWidget(self._stack)

    def _connect(self) -> None:
        self.traces.chosen.connect(lambda trace_id: self.show_trace(trace_id))
        self.disagreements.chosen.connect(self.show_trace)
        self.left.currentChanged.connect(self._on_tab)
        self.traces.counted.connect(self._on_counted)
        self.steps.stepActivated.connect(self.go)
        self.map.jumped.connect(self.go)
        self.strip.strip.jumped.connect(self.go)
        self.strip.scoreAsked.connect(self._score)
        self.strip.cancelAsked.connect(self._cancel_scoring)
        self.scorer.told.connect(self._on_scoring)
        self.gate.opened.connect(self.paintedReady)
        self._later.timeout.connect(self._fetch_ahead)
        self._context.background.changed.connect(self._on_changed)
        self._context.annotatorSwitched.connect(lambda _person: self._forget())

    def _register(self) -> None:
        on = self._context.actions.on
        on("step_below", lambda: self.go((-1 if self._step is None else self._step) + 1))
        on("step_above", lambda: self.go((1 if self._step is None else self._step) - 1))
        on("trace_below", lambda: self.traces.step_by(1))
        on("trace_above", lambda: self.traces.step_by(-1))
        on("next_hit", lambda: self._next_hit(1))
        on("previous_hit", lambda: self._next_hit(-1))
        on("score_this", self._score)
        on("label_this", self._label)
        on("inspect_source", self._toggle_source)
        on("copy_latex", lambda: self.steps.copy_text(latex=True))
        on("search_traces", self.traces.search.setFocus)
        self._enable()

    def _enable(self) -> None:
        for id in COMMANDS:
            self._context.actions.enable(id, self._shown is not None)

    # -- showing ------------------------------------------------------------------------------------------------------

    def _on_tab(self, _place: int) -> None:
        if self.left.currentWidget() is self.disagreements:
            self.disagreements.reload()

    def _on_projects(self, known: tuple[Project, ...]) -> None:
        self.traces.set_projects(known)
        self.traces.reload()
        self._on_tab(self.left.currentIndex())

    def _on_counted(self, count: int) -> None:
        anything = count > 0 or self._shown is not None or self.traces.is_narrowed
        self._stack.setCurrentWidget(self._split if anything else self.empty)
        if count and self._asked[0] == 0:
            self.traces.choose_first()

    def _on_read(self, opened: Opened) -> None:
        self._hold(opened)
        if opened.trace.id == self._asked[0]:
            self._show(opened)

    def _on_unreadable(self, error: Exception) -> None:
        if isinstance(error, NotFoundError):
            self._context.say(str(error))
        else:
            self._context.fail(error)

    def _show(self, opened: Opened) -> None:
        trace_id, step = self._asked
        again = self._shown is not None and self._shown.trace.id == trace_id
        self._shown = opened
        self._stack.setCurrentWidget(self._split)
        if step < 0:
            step = self._step if again and self._step is not None else _first_hit(opened)
        self._asked = (trace_id, -1)
        self.gate.shut()
        self.problem.set_problem(opened.trace.problem.prompt, opened.trace.problem.reference_answer)
        self.steps.set_steps(opened.rows(), current=step)
        self.map.set_steps(opened.signs())
        self.strip.show_trace(opened, self.scorer.scoring(trace_id))
        self.evidence.show_trace(opened)
        self.go(min(step, opened.count - 1))
        self.traces.mark(trace_id)
        self._enable()
        self._later.start()
        self.opened.emit(trace_id)

    def _hold(self, opened: Opened) -> None:
        self._held[opened.trace.id] = opened
        self._held.move_to_end(opened.trace.id)
        while len(self._held) > HELD:
            self._held.popitem(last=False)

    def _fetch_ahead(self) -> None:
        """Read the neighbours in the list and have their maths drawn."""
        wanted = [trace_id for trace_id in self.traces.neighbours() if trace_id not in self._held]
        for trace_id in wanted:
            read = partial(_read, trace_id, self._context.annotator.id)
            self._context.background.read(self, read, self._on_fetched, lambda _error: None)

    def _on_fetched(self, opened: Opened) -> None:
        self._hold(opened)
        self.steps.prepare(opened.texts)
        self.problem.prepare(opened.trace.problem.prompt, opened.trace.problem.reference_answer)

    # -- news ---------------------------------------------------------------------------------------------------------

    def _on_changed(self, changes: Changes) -> None:
        if not changes.touches(Topic.TRACES, Topic.ANNOTATIONS, Topic.SCORES, Topic.PROJECTS, Topic.ANNOTATORS):
            return
        self._held.clear()
        if not self.isVisible():
            self._stale = True
            return
        self._stale = False
        self._context.background.read(self, projects.all_projects, self._on_projects)
        shown = self._shown.trace.id if self._shown is not None else 0
        if shown and (not changes.traces or shown in changes.traces):
            self._read_again()

    def _read_again(self) -> None:
        if self._shown is not None:
            self.show_trace(self._shown.trace.id)

    def _forget(self) -> None:
        self._held.clear()
        self._read_again()

    # -- commands -----------------------------------------------------------------------------------------------------

    def _next_hit(self, direction: int) -> None:
        if self._shown is None:
            return
        here = -1 if self._step is None else self._step
        order = range(here + 1, self._shown.count) if direction > 0 else range(here - 1, -1, -1)
        hit = next((ordinal for ordinal in order if self._shown.is_hit(ordinal)), None)
        if hit is None:
            self._context.say("no further low score, disagreement or negative rating in this trace")
        else:
            self.go(hit)

    def _score(self) -> None:
        if self._shown is not None:
            self.scorer.ask(self._shown.trace, self.strip.button)

    def _cancel_scoring(self) -> None:
        if self._shown is not None:
            self.scorer.cancel(self._shown.trace.id)

    def _on_scoring(self, scoring: Scoring) -> None:
        if self._shown is not None and scoring.trace_id == self._shown.trace.id:
            self.strip.show_scoring(scoring)
        if not scoring.running:
            self._held.pop(scoring.trace_id, None)

    def _label(self) -> None:
        if self._shown is not None:
            self._context.open_trace(Page.LABEL, self._shown.trace.id, -1 if self._step is None else self._step)

    def _toggle_source(self) -> None:
        on = not self.steps.shows_source
        self.gate.shut()
        self.steps.set_show_source(on)
        self.problem.set_show_source(on)
        self._context.say("steps as they were written" if on else "steps with their maths drawn")


def _read(trace_id: int, annotator_id: int, c: Connection) -> Opened:
    return read_trace(c, trace_id, annotator_id)


def _first_hit(opened: Opened) -> int:
    return next((ordinal for ordinal in range(opened.count) if opened.is_hit(ordinal)), 0)


def _card(widget: QWidget | None = None) -> QFrame:
    card = QFrame()
    card.setProperty("card", True)
    if widget is not None:
        inside = QVBoxLayout(card)
        inside.setContentsMargins(4, 4, 4, 4)
        inside.addWidget(widget)
    return card
