"""The Play page: ask a policy, watch it think, let strategies race, and see what each cost."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QCoreApplication, QEvent, Qt, QTimer
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QSplitter, QVBoxLayout, QWidget

from studio.domain import Changes, Topic
from studio.errors import RunError
from studio.jobs.roles import POLICIES
from studio.jobs.shipped import Example
from studio.store.models import StoredModel
from studio.ui.inspect.page_frame import card
from studio.ui.play.ask_bar import AskBar
from studio.ui.play.commands import PlayCommands
from studio.ui.play.form import PlayForm
from studio.ui.play.known_models import Known, read_known
from studio.ui.play.lane import Lane
from studio.ui.play.ledger import Entry, Ledger
from studio.ui.play.model_choice import called
from studio.ui.play.outcome import Outcome
from studio.ui.play.race import Race
from studio.ui.play.recorded import Recorded, read_recorded
from studio.ui.play.recorded_lane import RecordedLane
from studio.ui.play.values import Play
from studio.ui.train.packages_banner import PackagesBanner
from studio.ui.widgets.fields import ChoiceField
from studio.ui.widgets.parts import MARGIN, EmptyState
from studio.ui.widgets.problem_view import ProblemView

if TYPE_CHECKING:
    from studio.ui.context import Context

FORM = 330  # width of the form at 100 %
LANE = 264  # least width of a lane: three stand side by side in a window of 1280
TALLEST = 118  # of the problem above the lanes; a longer one scrolls


class PlayPage(QWidget):
    """Form at the left, lanes in the middle, the ledger below."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.context = context
        self.form, self.race, self.ledger = PlayForm(context), Race(context, self), Ledger()
        self.asked = ProblemView(context.maths, context.theme, tallest=TALLEST)
        self.banner = PackagesBanner(context, self)
        self.bar = AskBar(context)
        self.missing = self.bar.missing
        self.ask_button, self.cancel_button = self.bar.ask, self.bar.cancel
        self.warm_button, self.alone_button = self.bar.warm, self.bar.alone
        self.lanes: list[Lane] = []
        self.recorded: RecordedLane | None = None
        self.current = 0
        self.played: Play | None = None
        self.heat = self.folded = False
        self._models: dict[str, StoredModel] = {}
        self._called: dict[str, str] = {}  # names of models, also of those that are gone, by uid
        self._columns = QSplitter(Qt.Orientation.Horizontal)
        self._space = QScrollArea()  # where four lanes find no room they are scrolled
        self.empty = EmptyState(
            "Watch a policy think",
            "Choose a problem and a strategy, then Ask. The tiny policy that travels with Steplens answers at once; it "
            "knows one kind of problem, and the examples are of that kind.",
            "Ask", partial(context.actions.run, "play_ask"),
        )  # fmt: skip
        self.commands = PlayCommands(self)
        self._lay_out()
        self._connect()
        self._enable()

    def activate(self) -> None:
        """The page is shown: which models are there?"""
        self._read_models()
        self.form.problem.setFocus()

    # -- playing ------------------------------------------------------------------------------------------------------

    def ask(self) -> None:
        """Play what the form says."""
        if not self.race.is_running and not self.missing_words():
            lane = self.recorded
            if not self._has_models(self.form.play()):
                return
            if lane is not None and not self._is_of_recorded():
                self.take_away()
            self.start(replace(self.form.play(), begun=None if lane is None else lane.begun))

    def again(self, more: int = 0) -> None:
        """Play the last play once more, with a seed so much later."""
        if self.played is not None and not self.race.is_running:
            play = replace(self.played, seed=self.played.seed + more)
            if self._has_models(play):
                self.form.seed.set_number(play.seed)
                self.start(play)

    def refill(self, entry: Entry) -> None:
        """Put what was played back into the form."""
        self.form.show_play(entry.play)
        gone = self._gone(entry.play)
        self.context.say(
            f"the model {gone} is not here any more; the rest is as it was played" if gone else "as played"
        )
        self.form.problem.setFocus()

    def _has_models(self, play: Play) -> bool:
        """Whether all models of a play are there still; says which one is not."""
        if gone := self._gone(play):
            self.context.say(f"the model {gone} is not here any more: choose another, then Ask")
        return not gone

    def _gone(self, play: Play) -> str:
        """The name of a model of a play whose folder is not there any more; empty where all are."""
        used = (play.models.policy, play.models.prm, play.models.reasoning, play.models.router)
        for each in filter(None, used):
            known = self._models.get(each)
            if not (Path(each) if known is None else self.context.workspace.path / known.folder).is_dir():
                return self._called.get(each, each)
        return ""

    def start(self, play: Play) -> None:
        """Make the lanes and ask."""
        self.played = play
        self.race.start(play)  # first: the worker writes while the lanes are made
        self.form.examples.remember(Example(play.problem, play.reference or ""))
        self._seat(play)
        self.lanes[0].ask()
        self._columns.setSizes([1000] * len(self.columns))
        self.asked.set_problem(play.problem, play.reference)
        self._show_lanes(True)
        self.current = len(self.columns) - len(self.lanes)
        self._enable()
        QTimer.singleShot(0, self, self._paint_now)  # when all is laid out

    def _paint_now(self) -> None:
        """Paint what is cleared at once: the window would wait for 5 ms, and then be in the way of the first token.

        As an event, not by `repaint`: that would keep the interpreter from the thread that listens.
        """
        QCoreApplication.postEvent(self.window(), QEvent(QEvent.Type.UpdateRequest))

    def cancel(self) -> None:
        """Stop at once; what has not been answered says so."""
        if not self.race.is_running:
            return
        for lane in self.lanes[self.race.lane :]:
            if lane.outcome is None:
                lane.stop()
        self.race.cancel()

    def show_recorded(self, trace: int, step: int) -> None:
        """Put a stored trace beside the race, its problem and budgets into the form; `step`: the current one."""
        if self.race.is_running:
            self.context.say("a race goes on: cancel it (Esc), then send the trace again")
            return
        read = partial(read_recorded, trace_id=trace, annotator=self.context.annotator.id)
        self.context.background.read(self, read, partial(self._on_recorded, step), lambda e: self.context.say(str(e)))

    def go_on(self) -> None:
        """Let the next race go on behind the recorded trace's current step, or begin anew."""
        if self.recorded is None:
            return
        try:
            self.context.say(self.recorded.toggle())
        except RunError as error:
            self.context.say(str(error))
        self._enable()

    def take_away(self) -> None:
        """The recorded trace leaves the page; it stays in the workspace."""
        if self.recorded is None:
            return
        self.context.say(f"trace {self.recorded.recorded.trace} is taken away; Shift+P on Inspect brings it back")
        _remove(self.recorded)
        self.recorded = None
        self.current = 0
        for lane in self.lanes:
            lane.set_alone(len(self.lanes) == 1)
        self._show_lanes(bool(self.lanes))
        (self.lanes[0].text if self.lanes else self.form.problem).setFocus()
        self._enable()

    @property
    def columns(self) -> list[Lane]:
        """Every lane as it stands, the recorded one first."""
        return [*([] if self.recorded is None else [self.recorded]), *self.lanes]

    @property
    def lane(self) -> Lane | None:
        """The current lane."""
        return self.columns[self.current] if self.current < len(self.columns) else None

    @property
    def policies(self) -> tuple[StoredModel, ...]:
        """The policies of the workspace."""
        return tuple(model for model in self._models.values() if model.kind in POLICIES)

    @property
    def can_contest(self) -> bool:
        """Whether there is a policy and a PRM to compare with."""
        return self.chosen(self.form.policy) is not None and self.chosen(self.form.prm) is not None

    def chosen(self, field: ChoiceField) -> StoredModel | None:
        """The model that a field shows."""
        return self._models.get(str(field.currentData() or ""))

    def missing_words(self) -> str:
        """What must still be given, as a sentence; empty when it can be asked."""
        begins = self.recorded is None or self.recorded.begun is None
        if not begins and any(each.routed for each in self.form.entrants):
            return "The router begins every answer anew: untick it, or begin anew (X)."
        missing = self.form.missing()
        if not missing and not begins and not self._is_of_recorded():
            return "The text to go on from is of another problem: begin anew (X), or put its problem back."
        return missing

    def _is_of_recorded(self) -> bool:
        """Whether the form's problem is that of the recorded trace."""
        assert self.recorded is not None
        return self.form.play().problem == self.recorded.play.problem

    # -- what comes ---------------------------------------------------------------------------------------------------

    def _on_recorded(self, step: int, recorded: Recorded) -> None:
        if self.race.is_running:
            return
        problem, budget = recorded.opened.trace.problem, recorded.opened.conversation.budget
        self.form.set_problem(Example(problem.prompt.strip(), problem.reference_answer or ""))
        self.form.set_budgets(budget.thinking_granted, budget.answer_granted)
        self.form.choose_policy(recorded.opened.trace.model)
        if self.recorded is not None:
            _remove(self.recorded)
        play = self.form.play()
        if self.played is None or self.played.problem != play.problem:
            self._keep(0)
        self.recorded = RecordedLane(self.context, recorded, play, step)
        self._dress(self.recorded)
        self._columns.insertWidget(0, self.recorded)
        self._columns.setSizes([1000] * len(self.columns))
        for lane in self.columns:
            lane.set_alone(len(self.columns) == 1)
        self.asked.set_problem(play.problem, play.reference)
        self._show_lanes(True)
        self.current = 0
        self.recorded.text.setFocus()
        self.ledger.add(Entry(play, self.recorded.entrant, recorded.outcome))
        self._enable()
        words = "X goes on from a step" if recorded.start is not None else recorded.obstacle
        self.context.say(f"trace {recorded.trace} as it was recorded; Ctrl+Enter asks beside it. {words}")

    def _on_ended(self, place: int, outcome: Outcome) -> None:
        lane = self.lanes[place]
        lane.end(outcome)
        if self.folded:
            lane.set_folded(True)
        self.ledger.add(Entry(lane.play, lane.entrant, outcome))
        self._enable()

    def _read_models(self) -> None:
        workspace = self.context.workspace
        self.context.background.call(self, lambda: read_known(workspace), self._on_models)

    def _on_models(self, known: Known) -> None:
        self._models = {model.uid: model for model in known.models}
        self._called |= {model.uid: model.name for model in known.models}
        self.form.show_models(known.of(*POLICIES), known.of("prm", "orm"), known.of("route"))
        if known.trouble:
            self.context.say(known.trouble)

    def _on_lost(self, name: str, instead: str) -> None:
        self.context.say(f"the model {name} is not here any more; chosen instead: {instead or 'nothing'}")

    def _on_changed(self, changes: Changes) -> None:
        if changes.touches(Topic.MODELS) and self.isVisible():
            self._read_models()

    # -- parts --------------------------------------------------------------------------------------------------------

    def _seat(self, play: Play) -> None:
        """A lane for every entrant: those that are there, then new ones."""
        known = self._models.get(play.models.policy)
        policy = called(play.models.policy) if known is None else known.name
        alone = len(play.entrants) == 1 and self.recorded is None
        if self.recorded is not None:
            self.recorded.set_alone(False)
        self._keep(len(play.entrants))
        for place, entrant in enumerate(play.entrants):
            if place < len(self.lanes):
                self.lanes[place].begin(entrant, play, policy, alone=alone)
                continue
            lane = Lane(self.context, entrant, play, policy, alone=alone)
            self._dress(lane)
            self.lanes.append(lane)
            self._columns.addWidget(lane)

    def _keep(self, count: int) -> None:
        """So many lanes, and no others."""
        for lane in self.lanes[count:]:
            _remove(lane)
        del self.lanes[count:]

    def _dress(self, lane: Lane) -> None:
        lane.set_heat(self.heat)
        lane.setMinimumWidth(self.context.theme.px(LANE))

    def _show_lanes(self, on: bool) -> None:
        self._space.setVisible(on)
        self._problem.setVisible(on)
        self.empty.setVisible(not on)

    def _enable(self) -> None:
        """Which commands can be given now, and what is missing."""
        running, missing = self.race.is_running, self.missing_words()
        self.bar.show_state(
            missing, running=running, cold=self.form.is_cold, played=self.played is not None, contest=self.can_contest
        )
        self.commands.enable(running=running, can_ask=not missing)

    def _connect(self) -> None:
        race = self.race
        race.asked.connect(lambda place: self.lanes[place].ask())
        race.waits.connect(lambda place, text: self.lanes[place].say(text))
        race.streamed.connect(lambda place, events: self.lanes[place].take(events))
        race.failed.connect(lambda place, why: self.lanes[place].fail(why))
        race.ended.connect(self._on_ended)
        race.over.connect(self._enable)
        self.form.changed.connect(self._enable)
        for field in (self.form.policy, self.form.prm, self.form.reasoning, self.form.router):
            field.lost.connect(self._on_lost)
        self.ledger.wanted.connect(self.commands.open_entry)
        self.context.background.changed.connect(self._on_changed)
        self.context.theme.switched.connect(self._fit)
        self.bar.warmWanted.connect(self.form.warm)
        self.bar.oneWanted.connect(self.form.one_trace)

    def _lay_out(self) -> None:
        left = self._left = QFrame()
        left.setProperty("card", True)
        inside = QVBoxLayout(left)
        inside.setContentsMargins(12, 10, 4, 10)
        inside.addWidget(self.form, 1)
        inside.addWidget(self.bar)
        self._columns.setChildrenCollapsible(False)
        self._columns.setHandleWidth(10)
        self._space.setWidget(self._columns)
        self._space.setWidgetResizable(True)
        self._space.setAccessibleName("Strategies side by side")
        self._space.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._columns.setAutoFillBackground(False)
        middle = QWidget()
        rows = QVBoxLayout(middle)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(8)
        self._problem = card(self.asked)
        rows.addWidget(self._problem)
        rows.addWidget(self._space, 1)
        rows.addWidget(self.empty, 1)
        both = QSplitter(Qt.Orientation.Vertical)
        both.setChildrenCollapsible(False)
        both.addWidget(middle)
        both.addWidget(self.ledger)
        both.setStretchFactor(0, 1)
        both.setSizes([600, 110])
        row = QHBoxLayout()
        row.setSpacing(12)
        row.addWidget(left)
        row.addWidget(both, 1)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(MARGIN, 14, MARGIN, 14)
        whole.addWidget(self.banner)
        whole.addLayout(row, 1)
        self._show_lanes(False)
        self._fit()

    def _fit(self) -> None:
        """Lengths in the present size of text."""
        px = self.context.theme.px
        self._left.setFixedWidth(px(FORM))
        self.ledger.setMinimumHeight(px(84))
        self.form.fit()
        for lane in self.columns:
            lane.setMinimumWidth(px(LANE))


def _remove(lane: Lane) -> None:
    lane.setParent(None)
    lane.deleteLater()
