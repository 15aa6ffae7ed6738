"""Growing curves and their exponential moving average, in numpy arrays that double; without Qt."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_BLOCK = 128  # decay ** 128 stays far above the smallest double for every decay used here


class Grown:
    """An array that grows by doubling; `view` is what is filled."""

    def __init__(self) -> None:
        self._data: Array = np.empty(256)
        self.size = 0

    @property
    def view(self) -> Array:
        """The filled part, not a copy."""
        return self._data[: self.size]

    def extend(self, values: Array) -> None:
        """Put values behind the last."""
        needed = self.size + len(values)
        if needed > len(self._data):
            grown = np.empty(max(needed, 2 * len(self._data)))
            grown[: self.size] = self.view
            self._data = grown
        self._data[self.size : needed] = values
        self.size = needed

    def cut(self, size: int) -> None:
        """Keep the first `size` values."""
        self.size = min(self.size, size)


class Smoothed:
    """A curve with its bias-corrected exponential moving average, extended by what is new at each `update`.

    s_n = decay * s_(n-1) + (1 - decay) * x_n; shown is s_n / (1 - decay ** n), as Adam's moments are
    (Kingma and Ba, arXiv:1412.6980, section 3).
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self._state = 0.0
        self._taken = 0  # points of the input, those that are not finite included
        self._last = (0.0, 0.0)
        self.steps, self.values, self.smooth = Grown(), Grown(), Grown()

    def update(self, steps: NDArray[Any], values: NDArray[Any]) -> bool:
        """Take a curve that has grown (or, after a resume, was cut); returns whether anything changed."""
        if not self._begins_like(steps, values):
            for part in (self.steps, self.values, self.smooth):
                part.cut(0)
            self._state, self._taken = 0.0, 0
        elif len(steps) == self._taken:
            return False
        fresh = slice(self._taken, None)
        self._extend(np.asarray(steps[fresh], dtype=float), np.asarray(values[fresh], dtype=float))
        self._taken = len(steps)
        self._last = (float(steps[-1]), float(values[-1])) if len(steps) else (0.0, 0.0)
        return True

    def _begins_like(self, steps: NDArray[Any], values: NDArray[Any]) -> bool:
        """Whether the last point taken still stands where it stood."""
        if not self._taken or len(steps) < self._taken:
            return not self._taken
        at = self._taken - 1
        return bool(np.array_equal((steps[at], values[at]), self._last, equal_nan=True))

    def _extend(self, steps: Array, values: Array) -> None:
        keep = np.isfinite(values)
        if not keep.all():
            steps, values = steps[keep], values[keep]
        first = self.steps.size
        self.steps.extend(steps)
        self.values.extend(values)
        for start in range(0, len(values), _BLOCK):
            block = values[start : start + _BLOCK]
            powers = self.decay ** np.arange(1, len(block) + 1)
            state = powers * (self._state + (1 - self.decay) * np.cumsum(block / powers))
            self._state = float(state[-1])
            seen = first + start + np.arange(1, len(block) + 1)
            self.smooth.extend(state / (1 - self.decay**seen))
