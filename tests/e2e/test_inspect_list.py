"""Somebody looks for traces: by log, outcome and model, sample by sample."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, insert

from studio.store import batches, schema, trace_list
from studio.store.trace_list import OutcomeFilter, TraceOrder, TraceQuery
from studio.ui.inspect.trace_model import facts
from studio.workspace import Workspace
from tests.e2e.conversing import store_talk, talk
from tests.e2e.inspecting import go_to_inspect
from tests.e2e.seat import Seat

RIGHT = (1, 0, None, 1, 1, 0, 0, 1, 0, 1, None, 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two logs of six traces: samples 2 and 10 in three epochs, two models."""
    path = tmp_path / "workspace"
    with Workspace.open(path, create=True) as workspace:
        workspace.database.run(fill)
    return path


def fill(c: Connection) -> None:
    batch = batches.begin(c, "import", None, "written for a test")
    for number in range(2):
        values = {"uid": f"{number:032x}", "batch_id": batch, "path": f"logs/run {number}.eval"}
        key = c.execute(insert(schema.log).values(**values)).inserted_primary_key
        assert key is not None
        for place in range(6):
            made = store_talk(
                c, talk(), batch, None, log_id=key[0], sample=("10", "2")[place % 2], epoch=place // 2 + 1
            )
            change = schema.trace.update().where(schema.trace.c.id == made)
            c.execute(change.values(outcome=RIGHT[number * 6 + place], model=f"model {place % 2}"))
    batches.publish(c, batch, {})


def test_logs_and_models_are_counted(folder: Path) -> None:
    with Workspace.open(folder) as workspace, workspace.database.read() as c:
        found = [(log.name, log.traces, log.right, log.wrong) for log in trace_list.logs(c)]
        assert found == [("run 1", 6, 2, 3), ("run 0", 6, 3, 2)]
        assert trace_list.models(c) == ("model 0", "model 1")


@pytest.mark.parametrize("outcome", list(OutcomeFilter))
@pytest.mark.parametrize("model", ["", "model 1"])
@pytest.mark.parametrize("order", [TraceOrder.POSITION, TraceOrder.SAMPLE, TraceOrder.NEWEST])
def test_narrowing_agrees_with_reading_everything(
    folder: Path, outcome: OutcomeFilter, model: str, order: TraceOrder
) -> None:
    with Workspace.open(folder) as workspace, workspace.database.read() as c:
        rows = trace_list.rows(c, TraceQuery(), limit=100)
        log = trace_list.logs(c)[1]
        query = TraceQuery(log=log.id, outcome=outcome, model=model, order=order)
        said = {OutcomeFilter.RIGHT: 1, OutcomeFilter.WRONG: 0, OutcomeFilter.UNKNOWN: None}
        kept = [
            row
            for row in rows
            if row.log == "run 0"
            and (outcome is OutcomeFilter.ANY or row.outcome == said[outcome])
            and (not model or row.model == model)
        ]
        if order is TraceOrder.SAMPLE:
            kept.sort(key=lambda row: (int(row.sample), row.epoch))
        if order is TraceOrder.NEWEST:
            kept.reverse()
        assert trace_list.rows(c, query, limit=100) == tuple(kept)
        assert trace_list.count(c, query) == len(kept)


def test_a_log_is_read_sample_by_sample(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        panel = page.traces
        seat.wait(lambda: panel.log.count() == 3)
        assert panel.log.itemText(2) == "run 0  3/6 right"
        panel.log.setCurrentIndex(2)
        seat.wait(lambda: panel.model.rowCount() == 6)
        assert panel.model.query.order is TraceOrder.SAMPLE
        rows = [panel.model.row(n) for n in range(6)]
        assert [(row.sample, row.epoch) for row in rows if row] == [(s, e) for s in ("2", "10") for e in (1, 2, 3)]
        assert rows[0] is not None
        assert facts(rows[0]) == "sample 2 e1 · wrong · 1,212 tokens · 8 steps · model 1"
        panel.outcome.setCurrentIndex(panel.outcome.findData(OutcomeFilter.WRONG))
        seat.wait(lambda: panel.model.rowCount() == 2)
        assert panel.is_narrowed
        seat.picture("inspect log")
        panel.log.setCurrentIndex(0)
        panel.outcome.setCurrentIndex(0)
        seat.wait(lambda: panel.model.rowCount() == 12)
        assert not panel.is_narrowed
