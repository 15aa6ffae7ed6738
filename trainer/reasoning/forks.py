"""Two branches of one thought compared: the difference of their shares of right continuations."""

from __future__ import annotations

import math
from dataclasses import dataclass

from trainer.reasoning.detection import Share


@dataclass(frozen=True, slots=True)
class Difference:
    """Share of the second less that of the first, with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def is_sure(self) -> bool:
        """Whether the interval leaves out none at all."""
        return self.low > 0 or self.high < 0


def difference(first: Share, second: Share) -> Difference:
    """Newcombe's hybrid score interval (1998, method 10), of Wilson's intervals of the two; NaN of nothing."""
    value = second.value - first.value
    below = math.hypot(second.value - second.low, first.high - first.value)
    above = math.hypot(second.high - second.value, first.value - first.low)
    return Difference(value, value - below, value + above)
