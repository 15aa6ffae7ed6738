"""Machine labels: step values from a rule or rollouts, with method and version; never mixed with ratings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects.sqlite import insert

from studio.store import batches
from studio.store.schema import machine_label, segmentation, trace
from studio.store.scores import Stored, pack, places_of, total_changes, unpack
from trainer.contract.records import MachineLabelRecord, Votes


@dataclass(frozen=True, slots=True)
class MachineLabels:
    """What one method says of the steps of a trace: values in [0, 1], None where it says nothing."""

    segmentation_id: int
    method: str
    version: str
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Method:
    """A method, its version, and how many traces it has labelled."""

    method: str
    version: str
    traces: int


def store_records(c: Connection, batch_id: int, records: Sequence[MachineLabelRecord]) -> Stored:
    """Store records of one run under a batch that is being written; those that are known already change nothing."""
    places = places_of(c, records)
    values = []
    for record in records:
        place = places.get((record.trace, record.segmentation))
        if place is not None:
            given = {"record": record.id, "method": record.method, "version": record.version}
            where = {"trace_id": place.trace_id, "segmentation_id": place.segmentation_id, "batch_id": batch_id}
            values.append(given | where | {"data": pack(record.values)})
    before = total_changes(c)
    if values:
        c.execute(insert(machine_label).on_conflict_do_nothing(), values)
    stored = total_changes(c) - before
    return Stored(stored=stored, known=len(values) - stored, lost=len(records) - len(values))


def of_trace(c: Connection, trace_id: int) -> tuple[MachineLabels, ...]:
    """Every published label of a trace, of every version of its steps, newest last."""
    table = machine_label.c
    query = (
        select(table.segmentation_id, table.method, table.version, table.data)
        .where(table.trace_id == trace_id, batches.visible(table.batch_id))
        .order_by(table.id)
    )
    return tuple(
        MachineLabels(row.segmentation_id, row.method, row.version, unpack(row.data)) for row in c.execute(query)
    )


def methods(c: Connection) -> tuple[Method, ...]:
    """Which methods have labelled how many traces."""
    table = machine_label.c
    query = (
        select(table.method, table.version, func.count(table.trace_id.distinct()).label("traces"))
        .join(trace, trace.c.id == table.trace_id)
        .where(batches.visible(table.batch_id))
        .group_by(table.method, table.version)
        .order_by(table.method, table.version)
    )
    return tuple(Method(row.method, row.version, row.traces) for row in c.execute(query))


def votes_of(c: Connection, method: str, traces: str) -> dict[int, tuple[Votes | None, ...]]:
    """What a method says of the current steps of traces (a JSON list of ids), its newest word, as shares of votes.

    A value v, the chance that a step is right, becomes v positive and 1 - v negative. Traces it is silent on are left
    out.
    """
    wanted = func.json_each(traces).table_valued("value")
    table = machine_label.c
    query = (
        select(table.trace_id, table.data)
        .join(segmentation, segmentation.c.id == table.segmentation_id)
        .where(table.trace_id.in_(select(wanted.c.value)), segmentation.c.current == 1)
        .where(table.method == method, batches.visible(table.batch_id))
        .order_by(table.id)
    )
    newest = {row.trace_id: unpack(row.data) for row in c.execute(query)}
    return {
        trace_id: tuple(None if value is None else Votes(1.0 - value, 0.0, value) for value in values)
        for trace_id, values in newest.items()
        if any(value is not None for value in values)
    }
