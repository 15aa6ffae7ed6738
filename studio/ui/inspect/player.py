"""The replay: moves the cursor along the trace's clock, at half to 32 times its pace."""

from __future__ import annotations

import time
from collections.abc import Callable

from PySide6.QtCore import QObject, QTimer, Signal

from studio.ui.inspect.clock import Clock
from studio.ui.inspect.cursor import Cursor, Position

SPEEDS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
FRAME_MS = 33
LONGEST_WAIT = 1.0  # seconds on the wall that a wait of the trace is replayed for; what is longer is passed over


class Player(QObject):
    """Plays one trace. Whoever moves the cursor meanwhile moves the replay with it.

    Signals:
        playingChanged(bool): it plays now, or stands.
        speedChanged(float): another pace.
    """

    playingChanged = Signal(bool)
    speedChanged = Signal(float)

    def __init__(
        self, cursor: Cursor, parent: QObject | None = None, *, now: Callable[[], float] = time.perf_counter
    ) -> None:
        super().__init__(parent)
        self._cursor, self._now = cursor, now
        self._clock: Clock | None = None
        self._length = 0
        self._second = 0.0
        self._last = 0.0
        self._mine = False
        self.speed = 1.0
        self._loop: tuple[float, float] | None = None
        self._timer = QTimer(self, interval=FRAME_MS)
        self._timer.timeout.connect(self.tick)
        cursor.moved.connect(self._on_moved)

    @property
    def clock(self) -> Clock | None:
        """What the time rests on."""
        return self._clock

    @property
    def playing(self) -> bool:
        """Whether it plays."""
        return self._timer.isActive()

    @property
    def second(self) -> float:
        """Seconds from the beginning of the trace."""
        return self._second

    def open(self, clock: Clock | None, length: int) -> None:
        """Another trace of `length` code points, or more of the same: it stands where the cursor is."""
        self._clock, self._length = clock, length
        self._second = 0.0 if clock is None else clock.time_at(self._cursor.position.point)

    def toggle(self) -> None:
        """Play or stand; at the end it begins anew."""
        if self.playing:
            self.pause()
        else:
            self.play()

    def play(self) -> None:
        """Go on from the cursor."""
        if self._clock is None or self.playing or not self._length:
            return
        if self._cursor.position.point >= self._length:
            self.seek(0.0)
        self._last = self._now()
        self._timer.start()
        self.playingChanged.emit(True)

    def pause(self) -> None:
        """Stand."""
        if self.playing:
            self._timer.stop()
            self.playingChanged.emit(False)

    def seek(self, second: float) -> None:
        """Go to a moment of the trace."""
        if self._clock is None:
            return
        self._second = min(max(second, 0.0), self._clock.length)
        self._mine = True
        self._cursor.go_point(
            self._length if self._second >= self._clock.length else self._clock.point_at(self._second)
        )
        self._mine = False

    @property
    def loop(self) -> tuple[float, float] | None:
        """The seconds between which it plays over and over; None: to the end."""
        return self._loop

    def set_loop(self, start: float | None, end: float | None) -> None:
        """Play from `start` to `end` over and over; None: no more."""
        self._loop = None if start is None or end is None or end <= start else (start, end)

    def change_speed(self, by: int) -> None:
        """The next faster pace, or the next slower one."""
        place = min(max(SPEEDS.index(self.speed) + by, 0), len(SPEEDS) - 1)
        self.set_speed(SPEEDS[place])

    def set_speed(self, speed: float) -> None:
        """One of SPEEDS. Raises ValueError for another."""
        if speed not in SPEEDS:
            raise ValueError(f"a pace of {speed:g}: it is one of {', '.join(f'{each:g}' for each in SPEEDS)}")
        if speed != self.speed:
            self.speed = speed
            self.speedChanged.emit(speed)

    def tick(self) -> None:
        """Go on by the time that has passed."""
        if self._clock is None:
            self.pause()
            return
        now = self._now()
        second = self._second + (now - self._last) * self.speed
        self._last = now
        for wait in self._clock.waits:
            if wait.start <= second < wait.end:
                second = max(second, wait.end - LONGEST_WAIT * self.speed)
        if self._loop is not None and not self._loop[0] <= second < self._loop[1]:
            self.seek(self._loop[0])
            return
        self.seek(second)
        if self._second >= self._clock.length:
            self.pause()

    def _on_moved(self, position: Position) -> None:
        if not self._mine and self._clock is not None:
            self._second = self._clock.time_at(position.point)
