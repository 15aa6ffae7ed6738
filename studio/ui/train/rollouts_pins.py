"""Pinning rollouts by key: the chosen trace is kept or let go, and the last pin can be taken back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from studio.jobs.pins import Pinned

if TYPE_CHECKING:
    from studio.ui.context import Context


@dataclass(frozen=True, slots=True)
class Spot:
    """A rollout that can be pinned."""

    run: int
    update: int
    trace: str


class Pins(QObject):
    """Writes pins in the background, one after the other.

    Signals:
        changed(str, bool): this trace is pinned now, or no longer.
    """

    changed = Signal(str, bool)

    def __init__(self, context: Context, parent: QObject) -> None:
        super().__init__(parent)
        self._context = context
        self._done: list[tuple[Spot, bool]] = []
        self._waiting: list[tuple[Spot, bool, bool]] = []
        self.busy = False

    @property
    def can_undo(self) -> bool:
        """Whether there is a pin of this session to take back."""
        return bool(self._done)

    def put(self, spot: Spot, *, on: bool) -> None:
        """Pin a rollout, or let it go."""
        self._ask(spot, on, remember=True)

    def undo(self) -> None:
        """Take back the last pin, or the last letting go."""
        if self._done:
            spot, on = self._done.pop()
            self._ask(spot, not on, remember=False)

    def _ask(self, spot: Spot, on: bool, *, remember: bool) -> None:
        self._waiting.append((spot, on, remember))
        if not self.busy:
            self._next()

    def _next(self) -> None:
        self.busy = bool(self._waiting)
        if not self.busy:
            return
        spot, on, remember = self._waiting.pop(0)
        jobs = self._context.jobs
        self._context.background.call(
            self,
            lambda: jobs.pin(spot.run, spot.update, spot.trace, on=on),
            lambda found: self._on_done(spot, found, remember=remember),
            self._on_failed,
        )

    def _on_done(self, spot: Spot, found: Pinned, *, remember: bool) -> None:
        if remember:
            self._done.append((spot, found.on))
        self._context.say(found.text)
        self.changed.emit(found.trace, found.on)
        self._next()

    def _on_failed(self, error: Exception) -> None:
        self._context.fail(error)
        self._next()
