"""Two runs on the same problems: is one better? McNemar's exact test and the interval of the difference."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.reasoning.metrics import Interval, bootstrap


@dataclass(frozen=True, slots=True)
class Paired:
    """What two runs did with the problems that both tried.

    `left_only` problems only the left one had right. `p` is the chance, were both equally good, of a split of the
    discordant problems at least as uneven. `difference` is right minus left, in shares of the problems.
    """

    both: int
    left_only: int
    right_only: int
    neither: int
    p: float
    difference: Interval


def paired(left: Sequence[bool], right: Sequence[bool], *, rounds: int = 2_000, seed: int = 0) -> Paired:
    """Outcomes of the same problems in the same order. Raises ValueError for none, or for different lengths."""
    if len(left) != len(right) or not left:
        raise ValueError(f"outcomes of the same problems are needed: {len(left)} left, {len(right)} right")
    one, other = [bool(x) for x in left], [bool(x) for x in right]
    left_only = sum(a and not b for a, b in zip(one, other, strict=True))
    right_only = sum(b and not a for a, b in zip(one, other, strict=True))
    both = sum(a and b for a, b in zip(one, other, strict=True))
    neither = len(one) - both - left_only - right_only
    difference = bootstrap(range(len(one)), gain(one, other), rounds=rounds, seed=seed)
    return Paired(both, left_only, right_only, neither, mcnemar(left_only, right_only), difference)


def gain(left: Sequence[float], right: Sequence[float]) -> Callable[[NDArray[np.float64]], float]:
    """The figure for `bootstrap`: mean of right minus left under the weights of the problems."""
    gains = [b - a for a, b in zip(left, right, strict=True)]

    def mean(weights: NDArray[np.float64]) -> float:
        return float(np.average(gains, weights=weights))

    return mean


def mcnemar(left_only: int, right_only: int) -> float:
    """Two-sided exact p-value: both kinds of discordant problem are equally likely (McNemar 1947, binomial form)."""
    n, least = left_only + right_only, min(left_only, right_only)
    if n == 0:
        return 1.0
    tail = sum(math.comb(n, k) for k in range(least + 1))
    return min(1.0, 2 * tail / (1 << n))
