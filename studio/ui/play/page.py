"""The Play page: ask a policy, watch it think, let strategies race, and see what each cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QSplitter, QVBoxLayout, QWidget
from sqlalchemy import Connection

from studio.domain import Changes, Topic
from studio.errors import RunError
from studio.jobs import shipped
from studio.jobs.roles import POLICIES
from studio.store import models
from studio.store.models import StoredModel
from studio.ui.dialogs import set_role
from studio.ui.inspect.page_frame import card
from studio.ui.play.commands import PlayCommands
from studio.ui.play.form import PlayForm
from studio.ui.play.lane import Lane
from studio.ui.play.ledger import Entry, Ledger
from studio.ui.play.outcome import Outcome
from studio.ui.play.race import Race
from studio.ui.play.values import Play
from studio.ui.train.packages_banner import PackagesBanner
from studio.ui.widgets.fields import ChoiceField
from studio.ui.widgets.parts import MARGIN, EmptyState, Quiet, button
from studio.ui.widgets.problem_view import ProblemView

if TYPE_CHECKING:
    from studio.ui.context import Context

LANE = 274  # least width of a lane at 100 %


@dataclass(frozen=True, slots=True)
class _Known:
    """The models of the workspace; `trouble` says why the shipped ones are not among them."""

    models: tuple[StoredModel, ...]
    trouble: str = ""


class PlayPage(QWidget):
    """Form at the left, lanes in the middle, the ledger below."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.context = context
        self.form, self.race, self.ledger = PlayForm(context), Race(context, self), Ledger()
        self.asked = ProblemView(context.maths, context.theme)
        self.banner = PackagesBanner(context, self)
        self.missing = Quiet()
        self.ask_button = button("Ask", partial(context.actions.run, "play_ask"), tip="Ctrl+Return", primary=True)
        self.cancel_button = button("Cancel", partial(context.actions.run, "play_cancel"), tip="Esc")
        self.again_button = button("Again", partial(context.actions.run, "play_again"), tip="With the same seed")
        self.next_button = button("Next seed", partial(context.actions.run, "play_next_seed"))
        self.contest_button = button(
            "Best-of-n or larger?", partial(context.actions.run, "play_contest"), tip="Cost against accuracy: B"
        )
        self.lanes: list[Lane] = []
        self.current = 0
        self.played: Play | None = None
        self.heat = self.folded = False
        self._models: dict[str, StoredModel] = {}
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
        self.context.background.call(self, self._read_models, self._on_models)
        self.form.problem.setFocus()

    # -- playing ------------------------------------------------------------------------------------------------------

    def ask(self) -> None:
        """Play what the form says."""
        if not self.race.is_running and not self.form.missing():
            self.start(self.form.play())

    def again(self, more: int = 0) -> None:
        """Play the last play once more, with a seed so much later."""
        if self.played is not None and not self.race.is_running:
            play = replace(self.played, seed=self.played.seed + more)
            self.form.seed.set_number(play.seed)
            self.start(play)

    def start(self, play: Play) -> None:
        """Make the lanes and ask."""
        self.played = play
        self.race.start(play)  # first: the worker writes while the lanes are made
        self.form.remember(play)
        self._clear()
        known = self._models.get(play.models.policy)
        policy = play.models.policy if known is None else known.name
        alone = len(play.entrants) == 1
        for entrant in play.entrants:
            lane = Lane(self.context, entrant, play, policy, alone=alone)
            lane.set_heat(self.heat)
            lane.setMinimumWidth(self.context.theme.px(LANE))
            self.lanes.append(lane)
            self._columns.addWidget(lane)
        self.lanes[0].say("asked")
        self._columns.setSizes([1000] * len(self.lanes))
        self.asked.set_problem(play.problem, play.reference)
        self._show_lanes(True)
        self.current = 0
        self._enable()

    def cancel(self) -> None:
        """Stop at once; what has not been answered says so."""
        if not self.race.is_running:
            return
        for lane in self.lanes[self.race.lane :]:
            if lane.outcome is None:
                lane.say("cancelled")
        self.race.cancel()

    @property
    def lane(self) -> Lane | None:
        """The current lane."""
        return self.lanes[self.current] if self.current < len(self.lanes) else None

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

    # -- what comes ---------------------------------------------------------------------------------------------------

    def _on_ended(self, place: int, outcome: Outcome) -> None:
        lane = self.lanes[place]
        lane.end(outcome)
        if self.folded:
            lane.set_folded(True)
        self.ledger.add(Entry(lane.play, lane.entrant, outcome.answered))
        self._enable()

    def _read_models(self) -> _Known:
        """In a background thread; the shipped ones are put into the workspace where they are missing."""
        trouble = ""
        try:
            shipped.ensure(self.context.workspace)
        except (RunError, OSError) as error:
            trouble = str(error)
        with self.context.workspace.database.read() as c:
            return _Known(_all(c), trouble)

    def _on_models(self, known: _Known) -> None:
        self._models = {model.uid: model for model in known.models}

        def of(*kinds: str) -> list[StoredModel]:
            return [model for model in known.models if model.kind in kinds]

        self.form.show_models(of(*POLICIES), of("prm", "orm"), of("route"))
        if known.trouble:
            self.context.say(known.trouble)

    def _on_changed(self, changes: Changes) -> None:
        if changes.touches(Topic.MODELS) and self.isVisible():
            self.context.background.call(self, self._read_models, self._on_models)

    # -- parts --------------------------------------------------------------------------------------------------------

    def _clear(self) -> None:
        for lane in self.lanes:
            lane.setParent(None)
            lane.deleteLater()
        self.lanes = []

    def _show_lanes(self, on: bool) -> None:
        self._space.setVisible(on)
        self._problem.setVisible(on)
        self.empty.setVisible(not on)

    def _enable(self) -> None:
        """Which commands can be given now, and what is missing."""
        running, missing = self.race.is_running, self.form.missing()
        self.missing.setText("" if running else missing)
        set_role(self.missing, "warning" if missing else "caption")
        self.missing.setVisible(bool(self.missing.text()))
        self.cancel_button.setVisible(running)
        self.ask_button.setEnabled(not running and not missing)
        self.contest_button.setEnabled(not running and self.can_contest)
        for each in (self.again_button, self.next_button):
            each.setEnabled(self.played is not None)
            each.setVisible(not running)
        self.commands.enable(running=running, can_ask=not missing)

    def _connect(self) -> None:
        race = self.race
        race.waits.connect(lambda place, text: self.lanes[place].say(text))
        race.streamed.connect(lambda place, events: self.lanes[place].take(events))
        race.failed.connect(lambda place, why: self.lanes[place].fail(why))
        race.ended.connect(self._on_ended)
        race.over.connect(self._enable)
        self.form.changed.connect(self._enable)
        self.ledger.wanted.connect(self.commands.open_entry)
        self.context.background.changed.connect(self._on_changed)

    def _lay_out(self) -> None:
        foot = QHBoxLayout()
        for each in (self.ask_button, self.cancel_button, self.again_button, self.next_button):
            foot.addWidget(each)
        foot.addStretch(1)
        left = QFrame()
        left.setProperty("card", True)
        inside = QVBoxLayout(left)
        inside.setContentsMargins(12, 10, 4, 10)
        inside.addWidget(self.form, 1)
        inside.addWidget(self.missing)
        inside.addLayout(foot)
        inside.addWidget(self.contest_button)
        left.setFixedWidth(self.context.theme.px(330))
        self._columns.setChildrenCollapsible(False)
        self._columns.setHandleWidth(10)
        self._space.setWidget(self._columns)
        self._space.setWidgetResizable(True)
        self._space.setAccessibleName("Strategies side by side")
        self._space.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._columns.setAutoFillBackground(False)
        self.ledger.setMinimumHeight(self.context.theme.px(84))
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


def _all(c: Connection) -> tuple[StoredModel, ...]:
    return models.all_models(c)
