"""The bar at the foot of the Inspect page: play, pace, step, time, budget, and what the clock rests on."""

from __future__ import annotations

import numpy as np
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLabel, QToolButton, QWidget

from studio.ui.context import Context
from studio.ui.dialogs import set_role
from studio.ui.inspect.budget_bar import BudgetBar
from studio.ui.inspect.cursor import Cursor, Position
from studio.ui.inspect.opened import Opened
from studio.ui.inspect.player import SPEEDS, Player
from studio.ui.inspect.scrubber import Scrubber
from studio.ui.text_line import TextLine


class ReplayBar(QWidget):
    """Shows a Player and a Cursor, and moves them."""

    def __init__(self, context: Context, cursor: Cursor, player: Player, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context, self._cursor, self._player = context, cursor, player
        self._opened: Opened | None = None
        self.play = self._button("replay_play", "play", "Play")
        self.back = self._button("step_above", "previous", "Step up")
        self.on = self._button("step_below", "next", "Step down")
        self.speed = QComboBox()
        self.speed.setAccessibleName("Pace of the replay")
        for each in SPEEDS:
            self.speed.addItem(f"{each:g}×", each)
        self.speed.setCurrentIndex(SPEEDS.index(player.speed))
        self.step = TextLine(context.theme, "", "Step")
        self.scrubber = Scrubber(context.theme)
        self.budget = BudgetBar(context.theme)
        self.clock = QLabel()
        self.clock.setAccessibleName("Clock of the replay")
        set_role(self.clock, "caption")
        row = QHBoxLayout(self)
        row.setContentsMargins(8, 4, 12, 4)
        row.setSpacing(8)
        for widget in (self.play, self.speed, self.back, self.on, self.step):
            row.addWidget(widget)
        row.addWidget(self.scrubber, 3)
        row.addWidget(self.budget)
        row.addWidget(self.clock)
        self.speed.currentIndexChanged.connect(lambda place: player.set_speed(SPEEDS[place]))
        self.scrubber.sought.connect(player.seek)
        self.scrubber.stepped.connect(self.step_by)
        player.playingChanged.connect(self._on_playing)
        player.speedChanged.connect(lambda speed: self.speed.setCurrentIndex(SPEEDS.index(speed)))
        cursor.moved.connect(self._on_moved)
        context.theme.switched.connect(self._dress)
        self._dress()

    def show_trace(self, opened: Opened | None) -> None:
        """Another trace, or more of the same."""
        self._opened = opened
        self.setEnabled(opened is not None)
        if opened is None:
            return
        clock, marks = opened.clock, opened.marks
        hits = (marks.score < 0.5) | (marks.standing < 0)
        seconds = np.interp(opened.structure.step_starts, clock.points, clock.seconds)
        self.scrubber.set_trace(clock.length, seconds[hits], seconds[marks.flagged], seconds[marks.bookmarked])
        self.budget.set_budget(opened.conversation.budget)
        self.clock.setText(f"clock: {clock.kind.value}")
        self.clock.setToolTip(clock.words)
        self._on_moved(self._cursor.position)

    def step_by(self, by: int) -> None:
        """One step on or back."""
        self._cursor.go_step(self._cursor.position.step + by)

    def _button(self, id: str, icon: str, name: str) -> QToolButton:
        made = QToolButton()
        made.setAutoRaise(True)
        made.setProperty("glyph", icon)
        made.setAccessibleName(name)
        made.setToolTip(self._context.actions.q(id).toolTip())
        made.clicked.connect(lambda _checked=False: self._context.actions.run(id))
        return made

    def _dress(self) -> None:
        for each in (self.play, self.back, self.on):
            each.setIcon(self._context.theme.icon(each.property("glyph")))

    def _on_playing(self, on: bool) -> None:
        self.play.setProperty("glyph", "pause" if on else "play")
        self.play.setAccessibleName("Pause" if on else "Play")
        self._dress()

    def _on_moved(self, position: Position) -> None:
        if self._opened is None:
            return
        self.step.set_text(f"step {position.step + 1:,}/{self._opened.count:,}")
        self.scrubber.set_second(self._player.second)
