"""The results table as text: one line a cell as CSV, or models against suites as Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from studio.store.evaluations import Cell
from trainer.contract.specs.evaluate import Chosen, heading_of

NOTHING = "–"
_COLUMNS = (
    "suite", "model", "version", "prm", "strategy", "compute", "budget", "figure", "value", "low", "high", "problems",
    "samples", "undecided", "graders_differ", "strict", "lenient", "thinking_tokens", "answer_tokens", "truncated",
    "tokens", "prm_calls", "seconds", "cost", "seeds", "runs",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Table:
    """Models down, suites across; a place holds the cell that stands for both, if any."""

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[Cell | None, ...], ...]


def table(cells: Iterable[Cell]) -> Table:
    """The published form: a row a model and strategy, a column a suite and preset.

    Of several cells at one place that with the largest cap on thinking is shown, of equal ones the first given.
    """
    places: dict[tuple[str, str], Cell] = {}
    for cell in cells:
        place = (row_name(cell), column_name(cell))
        shown = places.get(place)
        if shown is None or _cap(cell) > _cap(shown):
            places[place] = cell
    rows = tuple(dict.fromkeys(row for row, _ in places))
    columns = tuple(sorted({column for _, column in places}))
    grid = tuple(tuple(places.get((row, column)) for column in columns) for row in rows)
    return Table(rows, columns, grid)


def row_name(cell: Cell) -> str:
    """The model, with what tells its versions and strategies apart."""
    key = cell.key
    parts = [key.model, key.version[:6]] if key.version else [key.model]
    if key.strategy != Chosen.SINGLE:
        parts.append(f"{key.strategy} by {key.prm}" if key.prm and key.prm != key.model else key.strategy)
    return " · ".join(parts)


def column_name(cell: Cell) -> str:
    """The suite, with the preset where there is one."""
    suite = heading_of(cell.key.suite)
    return suite if cell.key.compute == "by hand" else f"{suite}, {cell.key.compute} compute"


def words(cell: Cell | None) -> str:
    """A figure with its interval, in per cent."""
    if cell is None or cell.value.value != cell.value.value:
        return NOTHING
    value = cell.value
    around = f" [{100 * value.low:.1f}, {100 * value.high:.1f}]" if value.low == value.low else ""
    return f"{100 * value.value:.1f}{around}"


def markdown(cells: Sequence[Cell]) -> str:
    """A table in Markdown, with a line that says what the figures are."""
    shown = table(cells)
    lines = [
        "| model | " + " | ".join(map(_escaped, shown.columns)) + " |",
        "|---" * (len(shown.columns) + 1) + "|",
        *(
            "| " + " | ".join([_escaped(name), *(words(cell) for cell in row)]) + " |"
            for name, row in zip(shown.rows, shown.cells, strict=True)
        ),
    ]
    named = dict.fromkeys(
        (heading_of(cell.key.suite), cell.figure, cell.problems) for row in shown.cells for cell in row if cell
    )
    said = "; ".join(f"{suite}: {figure} over {problems:,} problems" for suite, figure, problems in named)
    return "\n".join([*lines, "", f"Per cent, with 95 % intervals over problems. {said}.", ""])


def as_csv(cells: Iterable[Cell]) -> str:
    """A line a cell; shares lie in [0, 1], a budget that is empty is none, seeds and runs are apart by spaces."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for cell in cells:
        key, value = cell.key, cell.value
        budget = "" if key.budget is None else key.budget
        writer.writerow(
            [
                *(key.suite, key.model, key.version, key.prm, key.strategy, key.compute, budget, cell.figure),
                *(_number(number) for number in (value.value, value.low, value.high)),
                *(cell.problems, cell.samples, cell.undecided, cell.differ, _number(cell.strict)),
                *(_number(number) for number in (cell.lenient, cell.thinking_tokens, cell.answer_tokens)),
                *(_number(cell.truncated), cell.tokens, cell.prm_calls, _number(cell.seconds), _number(cell.cost)),
                *(" ".join(map(str, cell.seeds)), " ".join(cell.runs)),
            ]
        )
    return out.getvalue()


def _cap(cell: Cell) -> float:
    return float("inf") if cell.key.budget is None else cell.key.budget


def _number(value: float) -> str:
    return "" if value != value else f"{value:.6g}"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
