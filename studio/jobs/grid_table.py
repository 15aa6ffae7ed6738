"""Compared runs as a small table: one or two settings that differ, and a figure in each cell as mean over its seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from studio.jobs.compare import Comparison, Figure, shown
from studio.jobs.grid import SEED

MOST_AXES = 2


@dataclass(frozen=True, slots=True)
class Side:
    """A setting along one side of the table, and its values in order, as cells show them."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure over the runs of one grid point: mean, standard deviation with n - 1 (None of one run), how many."""

    mean: float
    deviation: float | None
    runs: int


@dataclass(frozen=True, slots=True)
class GridTable:
    """`members[i][j]` are the positions of the runs with row value i and column value j."""

    rows: Side
    columns: Side | None
    members: tuple[tuple[tuple[int, ...], ...], ...]

    def cells(self, figure: Figure) -> tuple[tuple[Cell | None, ...], ...]:
        """A figure in every cell; None where no run of it has one."""
        return tuple(tuple(_cell(figure, runs) for runs in row) for row in self.members)


def grid_table(made: Comparison) -> GridTable | None:
    """The table of runs of one recipe that differ in one or two settings besides the seed; None for others."""
    sides = made.sides
    varying = [fact.name for fact in made.facts if fact.group == "Parameters" and fact.differs and fact.name != SEED]
    if len({side.spec.recipe for side in sides}) > 1 or not 1 <= len(varying) <= MOST_AXES:
        return None
    values = [[side.spec.parameters.get(name) for side in sides] for name in varying]
    axes = [sorted(set(found), key=_order) for found in values]
    rows = Side(varying[0], tuple(map(shown, axes[0])))
    columns = Side(varying[1], tuple(map(shown, axes[1]))) if len(varying) > 1 else None
    width = axes[1] if columns is not None else [None]
    members = tuple(
        tuple(
            tuple(
                place
                for place in range(len(sides))
                if values[0][place] == row and (columns is None or values[1][place] == column)
            )
            for column in width
        )
        for row in axes[0]
    )
    return GridTable(rows, columns, members)


def shade(cells: Sequence[Sequence[Cell | None]], cell: Cell) -> float:
    """Where a mean lies between the lowest (0) and the highest (1) of the table; one half where all are equal."""
    means = [each.mean for row in cells for each in row if each is not None]
    low, high = min(means), max(means)
    return (cell.mean - low) / (high - low) if high > low else 0.5


def _cell(figure: Figure, runs: Sequence[int]) -> Cell | None:
    known = np.array([value for run in runs if (value := figure.values[run]) is not None], dtype=np.float64)
    if not len(known):
        return None
    return Cell(float(known.mean()), float(known.std(ddof=1)) if len(known) > 1 else None, len(known))


def _order(value: object) -> tuple[int, float, str]:
    """Numbers by size before words by letter."""
    if isinstance(value, int | float):
        return (0, float(value), "")
    return (1, 0.0, str(value))
