"""Active time: counts while the window has the focus and somebody does something."""

from __future__ import annotations

import time
from collections.abc import Callable

IDLE_S = 60.0


class ActiveClock:
    """Adds up the time between signs of life; a gap longer than IDLE_S counts as IDLE_S.

    `now` gives seconds of a monotonic clock.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._sum = 0.0
        self._last: float | None = None  # the last sign of life; None = not focused

    def focus(self, on: bool) -> None:
        """The window got or lost the focus."""
        if on and self._last is None:
            self._last = self._now()
        elif not on and self._last is not None:
            self._sum += self._gap()
            self._last = None

    def touch(self) -> None:
        """A sign of life: a key, a click, a scroll."""
        if self._last is not None:
            self._sum += self._gap()
            self._last = self._now()

    @property
    def seconds(self) -> float:
        """Active time so far."""
        return self._sum + (self._gap() if self._last is not None else 0.0)

    def take(self) -> int:
        """Active milliseconds since the last `take`; begins anew."""
        taken = round(self.seconds * 1000)
        self._sum = 0.0
        if self._last is not None:
            self._last = self._now()
        return taken

    def _gap(self) -> float:
        assert self._last is not None
        return min(self._now() - self._last, IDLE_S)
