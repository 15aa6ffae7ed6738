"""The Inspect page: which trace, its turns, its transcript with map, lanes, replay and evidence; one cursor for all."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from PySide6.QtCore import QEvent, QObject, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QTabWidget, QWidget

from studio.domain import Changes, Topic
from studio.errors import NotFoundError
from studio.ui.context import Context
from studio.ui.inspect.bookmarks_panel import BookmarksPanel
from studio.ui.inspect.brush import Brush, span_of
from studio.ui.inspect.brush_bar import BrushBar
from studio.ui.inspect.commands import InspectCommands
from studio.ui.inspect.cursor import Cursor, Position
from studio.ui.inspect.disagreements import DisagreementPanel
from studio.ui.inspect.empty import EmptyPanel
from studio.ui.inspect.evidence import EvidencePanel
from studio.ui.inspect.failures_panel import FailuresPanel
from studio.ui.inspect.find_panel import FindPanel
from studio.ui.inspect.flags_panel import FlagsPanel
from studio.ui.inspect.lanes import Lanes
from studio.ui.inspect.list_panel import ListPanel, Sources, read_sources
from studio.ui.inspect.live_panel import LivePanel
from studio.ui.inspect.map_rows import block_of_row, map_rows
from studio.ui.inspect.new_below import NewBelow
from studio.ui.inspect.opened import Opened
from studio.ui.inspect.page_frame import PageFrame
from studio.ui.inspect.player import Player
from studio.ui.inspect.reader import TraceReader
from studio.ui.inspect.replay_bar import ReplayBar
from studio.ui.inspect.scoring import Scoring, TraceScorer
from studio.ui.inspect.strip_panel import StripPanel
from studio.ui.inspect.transcript import Transcript
from studio.ui.inspect.turns_panel import TurnsPanel
from studio.ui.widgets.paint_gate import PaintGate
from studio.ui.widgets.problem_view import ProblemView
from studio.ui.widgets.trace_map import TraceMap

SHOWN_TOPICS = (
    *(Topic.TRACES, Topic.ANNOTATIONS, Topic.SCORES, Topic.FLAGS, Topic.BOOKMARKS),
    *(Topic.PROJECTS, Topic.ANNOTATORS),
)
AHEAD = 60  # steps of a neighbour that are laid out before anybody asks

SIDE_PANELS: tuple[tuple[str, Callable[[Context, Cursor], QWidget]], ...] = (
    # A panel beside the transcript is one line here: its tab's name and its class. It is made with the context and the
    # cursor, is told `show_trace(Opened | None)`, and may have a signal `spanChosen(int, int)` to show code points.
    ("Evidence", EvidencePanel),
    ("Flags", FlagsPanel),
    ("Find", FindPanel),
    ("Bookmarks", BookmarksPanel),
)


class InspectPage(QWidget):
    """Reads traces off the GUI thread and moves one cursor through everything that shows them.

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
        self.context = context
        self._shown: Opened | None = None
        self._asked = (0, -1)
        self.reader = TraceReader(context, self)
        self._stale = True
        self.place = Cursor(self)
        self.player = Player(self.place, self)
        self.brush = Brush(self)
        self.chosen = BrushBar(context, self.brush, self.place, self.player)
        self.traces = ListPanel(context)
        self.disagreements = DisagreementPanel(context)
        self.live = LivePanel(context)
        self.failures = FailuresPanel(context)
        self.left = QTabWidget()
        self.problem = ProblemView(context.maths, context.theme)
        self.turns = TurnsPanel(context, self.place)
        self.steps = Transcript(context.maths, context.theme)
        self.steps.setObjectName("steps")
        self.map = TraceMap(context.theme)
        self.strip = StripPanel(context)
        self.lanes = Lanes(context, self.place, self.player, self.strip)
        self.side = QTabWidget()
        self.panels = {name: make(context, self.place) for name, make in SIDE_PANELS}
        self.replay = ReplayBar(context, self.place, self.player)
        self.below = NewBelow(self.steps)
        self.empty = EmptyPanel(context)
        self.scorer = TraceScorer(context, self)
        self.gate = PaintGate(self.problem, self.steps, parent=self)
        self._later = QTimer(self, singleShot=True, interval=150)
        self.frame = PageFrame(self)
        self._connect()
        self.commands = InspectCommands(self)
        context.actions.on("score_this", self._score)

    @property
    def shown(self) -> Opened | None:
        """The trace on screen."""
        return self._shown

    @property
    def step(self) -> int | None:
        """The current step."""
        return self.place.position.step if self.place.position.step >= 0 else None

    @property
    def evidence(self) -> EvidencePanel:
        """What is known of the current step."""
        panel = self.panels["Evidence"]
        assert isinstance(panel, EvidencePanel)
        return panel

    def show_panel(self, name: str) -> QWidget:
        """Bring a side panel to the front."""
        self.frame.columns.show_side()
        self.side.setCurrentWidget(self.panels[name])
        return self.panels[name]

    def show_list(self, panel: QWidget) -> None:
        """Bring one of the lists to the front."""
        self.frame.columns.show_left()
        self.left.setCurrentWidget(panel)

    def activate(self) -> None:
        """The page is shown: bring the list up to date if something changed while it was not."""
        if self._stale:
            self._stale = False
            self.context.background.read(self, read_sources, self._on_sources)
        self.steps.setFocus()

    def show_trace(self, trace_id: int, step: int = -1) -> None:
        """Show a trace at a step; -1 = its first hit, else its first step."""
        self._asked = (trace_id, step)
        self.reader.read(trace_id, self._on_read, self._on_unreadable)

    def show_loaded(self, opened: Opened, step: int = -1) -> None:
        """Show a trace that is in no store, or more of the one on screen; its id is 0 or less."""
        self._asked = (opened.trace.id, step)
        self._show(opened)

    def go(self, ordinal: int) -> None:
        """Make a step the current one everywhere."""
        self.place.go_step(ordinal)

    def show_span(self, start: int, end: int) -> None:
        """Show and mark code points of the trace."""
        if self._shown is not None:
            self.steps.reveal(start)
            self.steps.set_marks(((start, end),))
            self.place.go_point(start)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Space plays wherever no button or field wants it."""
        if event.key() == Qt.Key.Key_Space and not event.modifiers():
            self.context.actions.run("replay_play")
        else:
            super().keyPressEvent(event)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """In the lists of traces Space plays too."""
        if event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent) and event.key() == Qt.Key.Key_Space:
            return self.context.actions.run("replay_play")
        return super().eventFilter(watched, event)

    # -- building -----------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        self.traces.chosen.connect(lambda trace_id: self.show_trace(trace_id))
        self.disagreements.chosen.connect(self.show_trace)
        self.failures.chosen.connect(self.show_trace)
        self.live.chosen.connect(self.show_loaded)
        self.live.grew.connect(self._on_grown)
        self.live.began.connect(partial(self.frame.show_traces, True))
        self.left.currentChanged.connect(self._on_tab)
        self.traces.counted.connect(self._on_counted)
        lists = (self.traces.list, self.traces.tree, self.disagreements.list, self.failures.list, self.live.list)
        for view in (*lists, self.turns):
            view.installEventFilter(self)
        self.traces.tree.whyAsked.connect(self._on_why)
        self.place.moved.connect(self._on_moved)
        self.steps.stepActivated.connect(self.go)
        self.steps.pointActivated.connect(self.place.go_point)
        self.steps.tokenHovered.connect(self._read_alternatives)
        self.turns.turnChosen.connect(self.place.go_turn)
        self.turns.blockChosen.connect(self._go_block)
        self.map.jumped.connect(self.go)
        self.map.rowJumped.connect(self._go_row)
        self.strip.scoreAsked.connect(self._score)
        self.strip.cancelAsked.connect(self._cancel_scoring)
        for panel in self.panels.values():
            if hasattr(panel, "spanChosen"):
                panel.spanChosen.connect(self.show_span)
        self.player.playingChanged.connect(self.steps.set_plays)
        self.brush.changed.connect(lambda _stretch: self._narrow())
        self.chosen.onlyWanted.connect(self._narrow)
        self.steps.widened.connect(self.chosen.widen)
        self.scorer.told.connect(self._on_scoring)
        self.gate.opened.connect(self.paintedReady)
        self._later.timeout.connect(self._fetch_ahead)
        self.context.background.changed.connect(self._on_changed)
        self.context.annotatorSwitched.connect(lambda _person: self._forget())

    # -- showing ------------------------------------------------------------------------------------------------------

    def _on_tab(self, _place: int) -> None:
        shown = self.left.currentWidget()
        if shown is self.disagreements:
            self.disagreements.reload()
        elif isinstance(shown, FailuresPanel | LivePanel):
            shown.activate()

    def _on_why(self, log: int, name: str) -> None:
        self.failures.narrow(log, name)
        self.show_list(self.failures)

    def _on_sources(self, sources: Sources) -> None:
        self.traces.set_sources(sources)
        self.traces.reload()
        self._on_tab(self.left.currentIndex())

    def _on_counted(self, count: int) -> None:
        anything = count > 0 or self._shown is not None or self.traces.is_narrowed or self.live.follows
        self.frame.show_traces(anything)
        if count and self._asked[0] == 0:
            self.traces.choose_first()

    def _on_read(self, opened: Opened) -> None:
        if opened.trace.id == self._asked[0]:
            self._show(opened)

    def _on_grown(self, opened: Opened) -> None:
        if self._shown is not None and self._shown.trace.uid == opened.trace.uid:
            self.show_loaded(opened)

    def _on_unreadable(self, error: Exception) -> None:
        if isinstance(error, NotFoundError):
            self.context.say(str(error))
        else:
            self.context.fail(error)

    def _show(self, opened: Opened) -> None:
        trace_id, step = self._asked
        before = self._shown
        read = self.place.position.point + 1
        again = before is not None and before.trace.uid == opened.trace.uid
        again = again and before is not None and opened.trace.text.startswith(before.trace.text[:read])
        self._shown = opened
        self.frame.show_traces(True)
        self._asked = (trace_id, -1)
        self.gate.shut()
        if again and step < 0:
            self._renew(before, opened)
        else:
            self._open(opened, _first_hit(opened) if step < 0 else step)
        if opened.trace.id > 0:
            self.traces.mark(trace_id)
        self.commands.enable()
        self._later.start()
        for panel in self.panels.values():  # last: one of them may move the cursor to what was asked for
            panel.show_trace(opened)  # type: ignore[attr-defined]
        self.opened.emit(trace_id)

    def _open(self, opened: Opened, step: int) -> None:
        self.player.pause()
        self.frame.show_problem(not opened.structure.is_conversation)
        self.problem.set_problem(opened.trace.problem.prompt, opened.trace.problem.reference_answer)
        self.below.hide()
        self.steps.set_trace(opened)
        self.turns.show_trace(opened)
        self._show_lanes(opened)
        self.place.open(opened.structure, opened.token_starts, step=step)
        self.player.open(opened.clock, len(opened.trace.text))
        self.replay.show_trace(opened)

    def _renew(self, before: Opened | None, opened: Opened) -> None:
        """The same trace with other scores, ratings or more text: what is read stays where it is."""
        grown = 0 if before is None else opened.count - before.count
        self.place.grow(opened.structure, opened.token_starts)
        self.steps.set_trace(opened, keep=True)
        self.turns.show_trace(opened)
        self._show_lanes(opened)
        self.player.open(opened.clock, len(opened.trace.text))
        self.replay.show_trace(opened)
        self.below.tell(grown)

    def _show_lanes(self, opened: Opened) -> None:
        self.map.set_rows(map_rows(opened))
        self.brush.open(opened)
        self.lanes.show_trace(opened)
        self.strip.show_trace(opened, self.scorer.scoring(opened.trace.id))

    def _narrow(self, only: bool | None = None) -> None:
        """Transcript and Find follow the chosen steps, if they are to be shown alone (None: as before)."""
        stretch, opened = self.brush.stretch, self.brush.opened
        find = self.panels["Find"]
        assert isinstance(find, FindPanel)
        if stretch is None or opened is None:
            self.steps.set_only(None)
            find.form.set_stretch(None)
            return
        span = span_of(opened, stretch)
        if only is not None or self.steps.only is not None:
            self.steps.set_only(None if only is False else span)
        find.form.set_stretch((opened.trace.id, span), f"Only in {stretch}", on=only)

    def _on_moved(self, position: Position) -> None:
        self.steps.set_position(position)
        step = position.step if position.step >= 0 else None
        self.map.set_current(step)
        self.stepMoved.emit(position.step)

    def _go_block(self, block: int) -> None:
        if self._shown is not None:
            self.steps.reveal(self._shown.structure.blocks[block].start)
            self.place.go_block(block)

    def _go_row(self, row: int) -> None:
        if self._shown is not None:
            self._go_block(block_of_row(self._shown, row))

    def _fetch_ahead(self) -> None:
        """Read the neighbours in the list and have their maths drawn."""
        self.reader.read_ahead(self.traces.neighbours(), self._on_fetched)

    def _on_fetched(self, opened: Opened) -> None:
        self.steps.prepare(tuple(opened.trace.step_text(n) for n in range(min(opened.count, AHEAD))))
        self.problem.prepare(opened.trace.problem.prompt, opened.trace.problem.reference_answer)

    def _read_alternatives(self, token: int) -> None:
        if self._shown is not None and self._shown.trace.id > 0:
            told = partial(self.steps.tips.set_alternatives, token)
            self.reader.read_alternatives(self._shown.trace.id, token, told)

    # -- news ---------------------------------------------------------------------------------------------------------

    def _on_changed(self, changes: Changes) -> None:
        if not changes.touches(*SHOWN_TOPICS):
            return
        self.reader.held.clear()
        if not self.isVisible():
            self._stale = True
            return
        self._stale = False
        self.context.background.read(self, read_sources, self._on_sources)
        shown = self._shown.trace.id if self._shown is not None else 0
        if shown and (not changes.traces or shown in changes.traces):
            self._read_again()

    def _read_again(self) -> None:
        if self._shown is not None and self._shown.trace.id > 0:
            self.show_trace(self._shown.trace.id)

    def _forget(self) -> None:
        self.reader.held.clear()
        self._read_again()

    # -- scoring ------------------------------------------------------------------------------------------------------

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
            self.reader.held.drop(scoring.trace_id)


def _first_hit(opened: Opened) -> int:
    places = opened.marks.hits.nonzero()[0]
    return int(places[0]) if len(places) else 0
