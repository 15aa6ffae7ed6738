"""A plot of traces as arrays: spots that know for which traces, and which steps, they stand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Z = 1.959964  # 95 %


class Kind(StrEnum):
    """Which plot."""

    LENGTH = "score against length"
    FIRST_ERROR = "first error"
    CALIBRATION = "calibration"
    OUTCOMES = "calibration by outcome"
    FLAGS = "flags by model"
    LANDSCAPE = "landscape of steps"
    TOKENS = "accuracy against tokens"
    TYPES = "accuracy against tokens by source"


class Shape(StrEnum):
    """How spots are drawn."""

    POINTS = "points"
    BARS = "bars"
    LINE = "line"


@dataclass(frozen=True, slots=True)
class Plot:
    """n spots. Spot k stands for members[starts[k]:starts[k + 1]], rows of (trace id, step or -1).

    `groups` [n] colours spots by `names`; `low`, `high` [n] are a 95 % interval; `ticks` name the x of bars.
    """

    kind: Kind
    shape: Shape
    x_label: str
    y_label: str
    x: Floats
    y: Floats
    members: Ints
    starts: Ints
    words: str
    groups: Ints | None = None
    names: tuple[str, ...] = ()
    low: Floats | None = None
    high: Floats | None = None
    ticks: tuple[str, ...] = ()

    def __len__(self) -> int:
        """How many spots."""
        return len(self.x)

    def of(self, spot: int) -> Ints:
        """The members of a spot, [m, 2]."""
        return self.members[self.starts[spot] : self.starts[spot + 1]]

    def nearest(self, x: float, y: float, width: float, height: float) -> int | None:
        """The spot nearest to a place, where a plot's width and height count as equally long; None without spots."""
        if not len(self):
            return None
        across = (self.x - x) / (width or 1.0)
        if self.shape is Shape.BARS:
            return int(np.argmin(np.abs(across)))
        return int(np.argmin(across**2 + ((self.y - y) / (height or 1.0)) ** 2))


def wilson(right: float, count: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (Wilson 1927)."""
    if not count:
        return math.nan, math.nan
    share, square = right / count, Z * Z
    middle = (share + square / (2 * count)) / (1 + square / count)
    reach = Z / (1 + square / count) * math.sqrt(share * (1 - share) / count + square / (4 * count * count))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def grouped(
    kind: Kind,
    shape: Shape,
    labels: tuple[str, str],
    members: Sequence[Sequence[tuple[int, int]]],
    words: str,
    *,
    ticks: tuple[str, ...] = (),
) -> Plot:
    """A spot for each list of members; its height is how many they are."""
    counts = np.array([len(each) for each in members], np.int64)
    flat = np.array([one for each in members for one in each], np.int64).reshape(-1, 2)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return Plot(
        kind,
        shape,
        *labels,
        np.arange(len(members), dtype=float),
        counts.astype(float),
        flat,
        starts,
        words,
        ticks=ticks,
    )


def shares(
    kind: Kind,
    labels: tuple[str, str],
    members: Sequence[Sequence[tuple[int, int]]],
    right: Floats,
    words: str,
    *,
    x: Floats | None = None,
    counts: Floats | None = None,
) -> Plot:
    """A share with its interval a spot; `counts`: of what, where the members are not all."""
    base = grouped(kind, Shape.LINE, labels, members, words)
    of = np.diff(base.starts).astype(float) if counts is None else counts
    bounds = np.array([wilson(r, n) for r, n in zip(right, of, strict=True)]).reshape(-1, 2)
    y = np.divide(right, of, out=np.zeros(len(of)), where=of > 0)
    return Plot(
        kind, Shape.LINE, *labels, base.x if x is None else x, y, base.members, base.starts, words,
        low=bounds[:, 0], high=bounds[:, 1],
    )  # fmt: skip
