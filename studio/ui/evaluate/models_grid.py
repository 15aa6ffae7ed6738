"""The results table in the published form: models down, suites and presets of compute across."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from studio.exchange import results
from studio.exchange.result_names import Column, settings_words
from studio.store.evaluations import Cell
from studio.ui.widgets.tables import tabbed
from trainer.contract.specs.evaluate import Suite, figure_of, heading_of


@dataclass(frozen=True, slots=True)
class Grid:
    """A place holds the cell that stands for its row and column; `best` are the places with a column's best figure.

    Where only one model has a figure in a column nothing is best.
    """

    rows: tuple[str, ...]
    columns: tuple[Column, ...]
    cells: tuple[tuple[Cell | None, ...], ...]
    best: frozenset[tuple[int, int]]


def grid(cells: Sequence[Cell]) -> Grid:
    """Cells in their places, as `steplens evaluate` lists them."""
    made = results.table(cells)
    return Grid(made.rows, made.columns, made.cells, frozenset(_best(made.cells)))


def figure_words(cell: Cell) -> str:
    """A figure with half the width of its 95 % interval, in per cent."""
    value = cell.value
    if math.isnan(value.value):
        return results.NOTHING
    if math.isnan(value.low):
        return f"{100 * value.value:.1f}"
    return f"{100 * value.value:.1f} ± {50 * (value.high - value.low):.1f}"


def detail_words(cell: Cell) -> str:
    """What stands small under a figure: problems, and what was cut short or could not be graded."""
    parts = [f"n {cell.problems:,}"]
    if tasks := results.tasks_words(cell):
        parts.append(tasks.removeprefix(", "))
    if cell.figure != figure_of(cell.key.suite) and cell.key.strategy == "single":
        parts.insert(0, cell.figure)
    if cell.truncated > 0 and not _judges(cell):
        parts.append(f"{cell.truncated:.0%} cut" if cell.truncated >= 0.005 else "<1% cut")
    if cell.undecided:
        parts.append(f"{cell.undecided:,} undecided")
    return " · ".join(parts)


def told(cell: Cell, *, best: bool = False) -> str:
    """Everything of a cell in sentences: its tool tip."""
    key, value = cell.key, cell.value
    lines = [f"{heading_of(key.suite)}: {cell.figure} {results.words(cell)} %, 95 % interval over problems"]
    lines.append(f"{cell.problems:,} problems, {cell.samples:,} samples" + (", best of its column" if best else ""))
    if value.groups != cell.problems and not _judges(cell):
        lines.append(f"{cell.problems - value.groups:,} problems could not be graded and are left out")
    if not _judges(cell):
        lines.append(
            f"strict grader {_share(cell.strict)}, lenient {_share(cell.lenient)}; they differ in {cell.differ:,}"
        )
        lines.append(f"{cell.thinking_tokens:,.0f} tokens thought and {cell.answer_tokens:,.0f} answered on average")
        lines.append(f"{_share(cell.truncated)} of the samples were cut short by a cap")
        lines.append(f"{settings_words(key)}; {key.compute} compute; strategy {key.strategy}")
    lines += [f"{name} {100 * each.value:.1f} %" for name, each in cell.figures.items() if name != cell.figure]
    if cell.seeds:
        lines.append("seed " + ", ".join(map(str, cell.seeds)))
    return "\n".join(lines)


def as_lines(made: Grid) -> str:
    """The figures of a grid under their heads, cells apart by tabs."""
    lines = [("model", *(column.name for column in made.columns))]
    for name, cells in zip(made.rows, made.cells, strict=True):
        lines.append((name, *("" if cell is None else figure_words(cell) for cell in cells)))
    return tabbed(lines)


def _judges(cell: Cell) -> bool:
    return cell.key.suite in set(Suite) and Suite(cell.key.suite).judges_prm


def _share(value: float) -> str:
    return results.NOTHING if math.isnan(value) else f"{value:.1%}"


def _best(rows: Sequence[Sequence[Cell | None]]) -> list[tuple[int, int]]:
    found = []
    for column, cells in enumerate(zip(*rows, strict=True)):
        values = [
            (row, cell.value.value) for row, cell in enumerate(cells) if cell and cell.value.value == cell.value.value
        ]
        most = max((value for _, value in values), default=math.nan)
        if len(values) > 1:
            found += [(row, column) for row, value in values if value == most]
    return found
