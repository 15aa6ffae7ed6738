"""What the Models tab shows, read in one go off the GUI thread, and only where something is new."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from studio.exchange.result_names import told
from studio.store import batches, evaluations
from studio.store.evaluation_rows import Key
from studio.store.evaluations import Cell
from studio.store.schema_reason import evaluation as e
from studio.ui.evaluate.models_behind import Behind, lines_of
from trainer.contract.specs.evaluate import Chosen, heading_of

Stamp = tuple[int, int]
"""The newest visible sample and how many there are: results are others when it is."""


@dataclass(frozen=True, slots=True)
class Results:
    """All cells of the table, newest first; None: as they were."""

    stamp: Stamp
    cells: tuple[Cell, ...] | None


def read_results(c: Connection, before: Stamp | None) -> Results:
    """The cells, where they changed since `before`."""
    query = select(func.coalesce(func.max(e.c.id), 0), func.count()).where(batches.visible(e.c.batch_id))
    newest, count = c.execute(query).one()
    stamp = int(newest), int(count)
    return Results(stamp, None if stamp == before else evaluations.cells(c))


def read_behind(c: Connection, key: Key) -> Behind:
    """The problems behind a cell."""
    return Behind(title_of(key), key.suite, lines_of(evaluations.problems(c, key)), key)


def title_of(key: Key) -> str:
    """A cell in a line."""
    parts = [key.model or key.prm, heading_of(key.suite)]
    if key.strategy != Chosen.SINGLE:
        parts.append(key.strategy)
    if key.compute != "by hand":
        parts.append(f"{key.compute} compute")
    parts += [told(dict(key.settings), ("n", "temperature", "threshold"))]
    if key.budget is not None:
        parts.append(f"{key.budget:,} tokens of thinking")
    return " · ".join(filter(None, parts))
