"""The lane of a stored trace, beside those that race: it stands as it was recorded, and a race can go on from it."""

from __future__ import annotations

from functools import partial

from PySide6.QtWidgets import QHBoxLayout

from studio.ui.context import Context
from studio.ui.play.lane import Lane
from studio.ui.play.recorded import Recorded
from studio.ui.play.values import RECORDED, Begun, Play
from studio.ui.widgets.parts import button


class RecordedLane(Lane):
    """Ends as it begins; `begun` is what the next race goes on from, None while it begins anew."""

    def __init__(self, context: Context, recorded: Recorded, play: Play, step: int) -> None:
        super().__init__(context, RECORDED, play, recorded.opened.trace.model, alone=True)
        self.recorded = recorded
        self.begun: Begun | None = None
        run = context.actions.run
        self.go_on = button("", partial(run, "play_go_on"), tip="The next race begins there: X")
        self.away = button("✕", partial(run, "play_take_away"), tip="The trace leaves this page: Shift+X")
        self.away.setAccessibleName("Take the recorded trace away")
        tools = QHBoxLayout()
        tools.addWidget(self.go_on)
        tools.addWidget(self.away)
        tools.addStretch(1)
        self.column.insertLayout(1, tools)
        self.end(recorded.outcome)
        self.place.go_step(max(0, step))
        self.place.moved.connect(lambda _position: self._name())
        self._name()

    @property
    def step(self) -> int:
        """The current step, from 1; 0 where there is none."""
        return self.place.position.step + 1

    def toggle(self) -> str:
        """Go on from behind the current step, or begin anew; what is now so. Raises RunError where it cannot."""
        self.begun = self.recorded.begun(self.step) if self.begun is None else None
        self._name()
        if self.begun is None:
            return "the next race begins anew"
        count = self.begun.thinking + self.begun.answer
        counted = f"; its {count} tokens count" if count else ""
        return f"the next race goes on behind step {self.begun.steps} of trace {self.recorded.trace}{counted}"

    def _name(self) -> None:
        if self.begun is not None:
            self.go_on.setText(f"✓ from step {self.begun.steps} · undo")
        else:
            self.go_on.setText(f"Go on from step {self.step}")
        self.go_on.setEnabled(self.begun is not None or self.recorded.start is not None)
        if self.recorded.obstacle:
            self.go_on.setToolTip(self.recorded.obstacle)
