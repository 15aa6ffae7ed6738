"""The results table as text: one line a cell as CSV, or models against suites as Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from studio.exchange.result_names import SETTINGS, Column, labels
from studio.store.evaluations import TASKS_SOLVED, Cell
from trainer.contract.specs.evaluate import Suite

NOTHING = "–"
_COLUMNS = (
    "suite", "model", "version", "prm", "strategy", "compute", "budget", *SETTINGS, "figure", "value", "low", "high",
    "problems", "samples", "undecided", "graders_differ", "strict", "lenient", "thinking_tokens", "answer_tokens",
    "truncated", "tokens", "prm_calls", "seconds", "cost", "seeds", "runs", "figures",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Table:
    """Models down, suites across; a place holds the cell that stands for both, if any."""

    rows: tuple[str, ...]
    columns: tuple[Column, ...]
    cells: tuple[tuple[Cell | None, ...], ...]


def table(cells: Iterable[Cell]) -> Table:
    """The published form: a row a model and strategy, a column a suite under equal settings, in the published order.

    Of several caps on thinking that one run tried the largest is shown.
    """
    shown: dict[object, Cell] = {}
    for cell in cells:
        place = (replace(cell.key, budget=None), cell.runs[:1])
        before = shown.get(place)
        if before is None or _cap(cell) > _cap(before):
            shown[place] = cell
    named = labels([cell.key for cell in shown.values()])
    places = {named[cell.key]: cell for cell in shown.values()}
    rows = tuple(dict.fromkeys(row for row, cell in sorted(_named(places), key=lambda pair: _judged(pair[1]))))
    columns = tuple(sorted(dict.fromkeys(column for _, column in places), key=lambda column: column.order))
    grid = tuple(tuple(places.get((row, column)) for column in columns) for row in rows)
    return Table(rows, columns, grid)


def _named(places: Mapping[tuple[str, Column], Cell]) -> list[tuple[str, Cell]]:
    return [(row, cell) for (row, _), cell in places.items()]


def _judged(cell: Cell) -> bool:
    """Whether a PRM was measured: these stand below the policies."""
    return cell.key.suite in set(Suite) and Suite(cell.key.suite).judges_prm


def words(cell: Cell | None) -> str:
    """A figure with its interval, in per cent."""
    if cell is None or cell.value.value != cell.value.value:
        return NOTHING
    value = cell.value
    around = f" [{100 * value.low:.1f}, {100 * value.high:.1f}]" if value.low == value.low else ""
    return f"{100 * value.value:.1f}{around}{tasks_words(cell)}"


def tasks_words(cell: Cell) -> str:
    """Of grids, what share of the tasks is solved; else nothing."""
    tasks = cell.figures.get(TASKS_SOLVED)
    return "" if tasks is None or tasks.value != tasks.value else f", tasks {100 * tasks.value:.1f}"


def markdown(cells: Sequence[Cell]) -> str:
    """A table in Markdown, and what its figures are."""
    shown = table(cells)
    lines = [
        "| model | " + " | ".join(_escaped(column.name) for column in shown.columns) + " |",
        "|---" * (len(shown.columns) + 1) + "|",
        *(
            "| " + " | ".join([_escaped(name), *(words(cell) for cell in row)]) + " |"
            for name, row in zip(shown.rows, shown.cells, strict=True)
        ),
    ]
    said = [
        f"- {column.name}: {_figures(row[place] for row in shown.cells)}{_with(column)}"
        for place, column in enumerate(shown.columns)
    ]
    return "\n".join([*lines, "", "Per cent, with 95 % intervals over problems.", "", *said, ""])


def _figures(cells: Iterable[Cell | None]) -> str:
    """Which figures stand in a column."""
    named = dict.fromkeys((cell.figure, cell.problems) for cell in cells if cell)
    return ", ".join(f"{figure} over {problems:,} problems" for figure, problems in named)


def _with(column: Column) -> str:
    return f"; {column.settings}" if column.settings else ""


def as_csv(cells: Iterable[Cell]) -> str:
    """A line a cell; shares lie in [0, 1], a budget that is empty is none, seeds and runs are apart by spaces."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for cell in cells:
        key, value = cell.key, cell.value
        budget, settings = "" if key.budget is None else key.budget, dict(key.settings)
        writer.writerow(
            [
                *(key.suite, key.model, key.version, key.prm, key.strategy, key.compute, budget),
                *(settings.get(name, "") for name in SETTINGS),
                cell.figure,
                *(_number(number) for number in (value.value, value.low, value.high)),
                *(cell.problems, cell.samples, cell.undecided, cell.differ, _number(cell.strict)),
                *(_number(number) for number in (cell.lenient, cell.thinking_tokens, cell.answer_tokens)),
                *(_number(cell.truncated), cell.tokens, cell.prm_calls, _number(cell.seconds), _number(cell.cost)),
                *(" ".join(map(str, cell.seeds)), " ".join(cell.runs)),
                "; ".join(f"{name}={_number(each.value)}" for name, each in cell.figures.items()),
            ]
        )
    return out.getvalue()


def _cap(cell: Cell) -> float:
    return float("inf") if cell.key.budget is None else cell.key.budget


def _number(value: float) -> str:
    return "" if value != value else f"{value:.6g}"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
