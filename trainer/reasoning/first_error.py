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
    low, high, probes = 0, steps, 0  # after `low` steps it can be reached; the first failure is in low..high
    while low < high:
        middle = (low + high + 1) // 2
        probes += 1
        if succeeds(middle):
            low = middle
        else:
            high = middle - 1
    return FirstError(None if low == steps else low, probes)
