"""Where reasoning went wrong, by bisection over its steps (OmegaPRM, Luo et al. 2024)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FirstError:
    """The first step after which no rollout succeeds; None when the last one still does. How often was asked."""

    index: int | None
    probes: int


def find_first_error(succeeds: Callable[[int], bool], steps: int) -> FirstError:
    """`succeeds(count)`: whether the answer can still be reached after the first `count` steps (1..steps).

    Assumes that once it cannot, it never can again. Asks at most ceil(log2(steps + 1)) times.
    """
    halving, probes = Halving(0, steps), 0
    while (middle := halving.wanted) is not None:
        probes += 1
        halving.tell(succeeds(middle))
    return FirstError(None if halving.low == steps else halving.low, probes)


@dataclass(slots=True)
class Halving:
    """Looks for the last count at which something holds; it holds after `low`, and no longer after `high` + 1."""

    low: int
    high: int

    @property
    def wanted(self) -> int | None:
        """The count to ask about next; None when `low` is the last one at which it holds."""
        return (self.low + self.high + 1) // 2 if self.low < self.high else None

    def tell(self, holds: bool) -> None:
        """Whether it holds at the wanted count."""
        middle = self.wanted
        assert middle is not None, "nothing is wanted any more"
        if holds:
            self.low = middle
        else:
            self.high = middle - 1
