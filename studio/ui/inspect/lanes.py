"""The lanes below the transcript: scores, tokens and time, one at a time, all on the cursor."""

from __future__ import annotations

from PySide6.QtWidgets import QTabWidget, QWidget

from studio.ui.context import Context
from studio.ui.inspect.cursor import Cursor, Position
from studio.ui.inspect.heat import Heat
from studio.ui.inspect.lane import LaneFrame
from studio.ui.inspect.opened import Opened
from studio.ui.inspect.player import Player
from studio.ui.inspect.strip_panel import StripPanel
from studio.ui.inspect.timeline import TimelineLane
from studio.ui.inspect.token_lane import TokenLane


class Lanes(QTabWidget):
    """Scores, tokens, timeline. What a click asks for, the cursor does."""

    def __init__(
        self, context: Context, cursor: Cursor, player: Player, strip: StripPanel, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._cursor, self._player, self._strip = cursor, player, strip
        self._opened: Opened | None = None
        self._heat = Heat.LOGPROB
        self.tokens = LaneFrame(context, TokenLane(context.theme))
        self.timeline = LaneFrame(context, TimelineLane(context.theme))
        self.setDocumentMode(True)
        self.tabBar().setDrawBase(False)
        self.setAccessibleName(self.tr("Lanes"))
        self.tabBar().setAccessibleName(self.tr("Lanes"))
        for panel, name in ((strip, "Scores"), (self.tokens, "Tokens"), (self.timeline, "Timeline")):
            self.addTab(panel, name)
        self.tokens.lane.sought.connect(self._to_token)
        self.tokens.lane.stepped.connect(lambda by: cursor.go_token(cursor.position.token + by))
        self.timeline.lane.sought.connect(self._to_second)
        self.timeline.lane.stepped.connect(lambda by: cursor.go_step(cursor.position.step + by))
        strip.strip.jumped.connect(cursor.go_step)
        cursor.moved.connect(self._on_moved)

    def show_trace(self, opened: Opened | None) -> None:
        """Another trace, or more of the same."""
        self._opened = opened
        assert isinstance(self.timeline.lane, TimelineLane)
        self.timeline.say(self.timeline.lane.show_trace(opened))
        self.set_heat(self._heat)

    def set_heat(self, heat: Heat) -> None:
        """Show tokens by this; NONE = as before."""
        self._heat = heat if heat is not Heat.NONE else self._heat
        assert isinstance(self.tokens.lane, TokenLane)
        self.tokens.say(self.tokens.lane.show_trace(self._opened, self._heat))

    def _to_token(self, share: float) -> None:
        count = self._cursor.tokens
        if count:
            self._cursor.go_token(min(count - 1, int(share * count)))

    def _to_second(self, share: float) -> None:
        if self._opened is not None:
            self._player.seek(share * self._opened.clock.length)

    def _on_moved(self, position: Position) -> None:
        step = position.step if position.step >= 0 else None
        self._strip.strip.set_current(step)
        count = self._cursor.tokens
        self.tokens.lane.set_share((position.token + 0.5) / count if count and position.token >= 0 else None)
        clock = None if self._opened is None else self._opened.clock
        self.timeline.lane.set_share(clock.time_at(position.point) / clock.length if clock and clock.length else None)
