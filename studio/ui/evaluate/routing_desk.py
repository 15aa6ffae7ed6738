"""What the Routing tab shows, read off the GUI thread: the ledger, its routes, and the cache. No Qt."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, func, select

from studio.store import batches, routes
from studio.store import schema as s
from studio.store.plot import wilson
from studio.store.routes import FAST, REASONING, Lines, RouteLedger, StoredRoute
from studio.store.schema_reason import route
from studio.ui.evaluate.models_chart import Drawing, Point, Series
from trainer.contract import kept_answers
from trainer.contract.kept_answers import ModelStatistics
from trainer.reasoning.routing import Cell, Line

NOTHING = "–"
TIERS = {"fast alone": FAST, "reasoning alone": REASONING}
"""Points of the lines that count one model's answers, with its tier."""
HEADS = (
    "Type of task", "Model", "Problems", "Right", "p50", "p95", "p99", "Cost of a right answer", "Escalated", "Cached",
    "Marked",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class RouterRun:
    """A run that routed."""

    id: int
    name: str
    routes: int


@dataclass(frozen=True, slots=True)
class Desk:
    """Runs that routed, newest first, and the figures and routes of one of them, or of all."""

    runs: tuple[RouterRun, ...]
    ledger: RouteLedger
    routes: tuple[StoredRoute, ...]


def read_desk(c: Connection, run_id: int | None) -> Desk:
    """`run_id` None: all runs together."""
    query = (
        select(s.run.c.id, s.run.c.name, func.count().label("number"))
        .join(s.batch, s.batch.c.run_id == s.run.c.id)
        .join(route, route.c.batch_id == s.batch.c.id)
        .where(batches.visible(route.c.batch_id))
        .group_by(s.run.c.id)
        .order_by(s.run.c.id.desc())
    )
    runs = tuple(RouterRun(row.id, row.name, row.number) for row in c.execute(query))
    wanted = [run.id for run in runs if run_id is None or run.id == run_id]
    found = tuple(one for each in wanted for one in routes.of_run(c, each))
    return Desk(runs, routes.ledger(c, run_id), found)


def read_cache(folder: Path) -> tuple[ModelStatistics, ...]:
    """What is kept of each model."""
    return kept_answers.statistics(folder) if folder.is_dir() else ()


def texts(cell: Cell) -> tuple[str, ...]:
    """A line of the ledger."""
    return (
        cell.task or "all",
        cell.model or "all",
        f"{cell.problems:,}",
        right_words(cell),
        *(f"{seconds:.2f} s" for seconds in (cell.p50, cell.p95, cell.p99)),
        NOTHING if cell.cost_of_right is None else f"{cell.cost_of_right:.4g}",
        *(f"{share:.0%}" for share in (cell.escalated, cell.cached, cell.marked)),
    )


def right_words(cell: Cell) -> str:
    """Accuracy with half the width of Wilson's 95 % interval, in per cent."""
    if cell.accuracy is None:
        return NOTHING
    low, high = wilson(cell.accuracy * cell.graded, cell.graded)
    return f"{100 * cell.accuracy:.1f} ± {50 * (high - low):.1f}"


def right_told(cell: Cell) -> str:
    """Accuracy with Wilson's whole interval, which need not lie evenly around it."""
    if cell.accuracy is None:
        return "nothing here could be graded"
    low, high = wilson(cell.accuracy * cell.graded, cell.graded)
    return f"{cell.accuracy:.1%} of {cell.graded:,} graded; 95 % interval {low:.1%} to {high:.1%}"


def behind(found: tuple[StoredRoute, ...], cell: Cell) -> tuple[StoredRoute, ...]:
    """The routes that a line of the ledger counts."""
    return tuple(one for one in found if (not cell.task or one.task == cell.task) and cell.model in ("", one.model))


def drawing(lines: Lines) -> Drawing:
    """Accuracy against cost: the router beside what it is held against."""
    names: dict[str, Line] = {
        "router": lines.router,
        "random, as often": lines.random,
        "oracle": lines.oracle,
        **dict(zip(TIERS, (lines.fast, lines.reasoning), strict=True)),
    }
    series = tuple(Series(name, (_point(name, line, lines),), joined=False) for name, line in names.items())
    title = f"{lines.problems:,} audited problems"
    unit = "cost" if lines.unit == "cost" else "seconds of work"
    return Drawing(title, f"{unit} a problem", "share right", series)


def lines_told(lines: Lines) -> str:
    """The lines in sentences."""
    router, random, oracle = lines.router, lines.random, lines.oracle
    dearer = f"{router.cost / oracle.cost:.2f} times" if oracle.cost else "more than"
    over, under = (100 * (router.accuracy - other.accuracy) for other in (random, oracle))
    return (
        f"On the {lines.problems:,} problems that both models were asked (audit), the router is right in "
        f"{router.accuracy:.1%} and sends {router.escalated:.0%} to the reasoning model. A coin that sends as many is "
        f"right in {random.accuracy:.1%} ({over:+.1f} points for the router); the oracle in {oracle.accuracy:.1%} "
        f"({under:+.1f}), and the router costs {dearer} its cost."
    )


def as_csv(cells: tuple[Cell, ...]) -> str:
    """The ledger, a line a cell; shares lie in [0, 1], seconds, what nobody knows is empty."""
    out = io.StringIO()
    names = tuple(Cell.__dataclass_fields__)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for cell in cells:
        values = (getattr(cell, name) for name in names)
        writer.writerow(["" if v is None else f"{v:.6g}" if isinstance(v, float) else v for v in values])
    return out.getvalue()


def as_markdown(cells: tuple[Cell, ...]) -> str:
    """The ledger as a table."""
    rows = [HEADS, ("---",) * len(HEADS), *map(texts, cells)]
    said = "Right in per cent with Wilson's 95 % interval; latencies are those of whole answers."
    return "\n".join([*("| " + " | ".join(row) + " |" for row in rows), "", said, ""])


def _point(name: str, line: Line, lines: Lines) -> Point:
    low, high = wilson(line.accuracy * lines.problems, lines.problems)
    if name.startswith("random"):
        low = high = math.nan  # an expectation, not a count
    told = f"{line.accuracy:.1%} right at {line.cost:.4g}, {line.escalated:.0%} escalated"
    return Point(line.cost, line.accuracy, low, high, told)
