"""Routes in the store: stored once, read whole, and a ledger that is counted again by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from studio.errors import NotFoundError
from studio.store import batches, routes, runs
from studio.store.database import Database
from tests.unit.store.making import small
from trainer.contract.generated import RouteStep, Spent
from trainer.contract.records import RouteRecord
from trainer.reasoning.routing import is_drawn


def step(tier: str, right: bool | None, cost: float, **other: Any) -> RouteStep:
    given = {"model": f"the {tier} one", "answer": str(right), "confidence": 0.5, "why": "asked", "trace": f"t-{tier}"}
    spent = Spent(cost=cost, seconds=2 * cost, tokens=5)
    return RouteStep(tier=tier, spent=spent, outcome=None if right is None else int(right), **given | other)


def record(name: str, fast: bool | None, reasoning: bool | None, *, escalated: bool, **other: Any) -> RouteRecord:
    first, second = step("fast", fast, 1.0), step("reasoning", reasoning, 10.0)
    asked, audited = ((first, second), ()) if escalated else ((first,), (second,))
    last = asked[-1]
    given: dict[str, Any] = {"task": "sums", "difficulty": 0.25, "settings": {"audit": 1.0}, "reference": "1"}
    return RouteRecord(
        id=f"record {name}", row=name, problem=f"What is {name}?", asked=asked, audited=audited, answer=last.answer,
        answered_by=len(asked) - 1, outcome=last.outcome,
        spent=Spent(cost=sum(each.spent.cost for each in asked), seconds=float(len(asked))), **given | other,
    )  # fmt: skip


def publish(database: Database, records: Sequence[RouteRecord], run: str = "r", *, shown: bool = True) -> int:
    with database.write() as c:
        run_id = runs.prepare(c, uid=run, name=run, recipe="route", device="cpu", host="h", process="p")
        batch = batches.begin(c, "ingest", source=run, format="route", run_id=run_id)
        routes.store_records(c, batch, records)
        if shown:
            batches.publish(c, batch, {})
    return run_id


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    here = small(tmp_path).database
    yield here
    here.close()


def test_a_route_comes_back_whole_and_is_stored_once(database: Database):
    made = record("a", False, True, escalated=True, level="hard", marked="late", router="v1")
    run_id = publish(database, [made, made])
    with database.read() as c:
        (found,) = routes.of_run(c, run_id)
        whole = routes.read(c, found.id)
        assert routes.by_record(c, "record a") == whole
        assert routes.of_trace(c, "t-reasoning") == found
        assert routes.of_trace(c, "t-fast") is None
    assert (found.tier, found.model, found.answer, found.outcome) == ("reasoning", "the reasoning one", "True", 1)
    assert (found.escalated, found.cached, found.marked, found.level, found.run) == (True, False, "late", "hard", "r")
    assert (whole.asked, whole.audited, whole.answered_by) == (made.asked, made.audited, 1)
    assert whole.trace_ids == {}
    again = publish(database, [made], run="again")
    with database.read() as c:
        assert routes.of_run(c, again) == ()
        with pytest.raises(NotFoundError, match="gone with its run"):
            routes.read(c, 99)
        with pytest.raises(NotFoundError):
            routes.by_record(c, "none")


def test_the_ledger_is_what_a_count_by_hand_gives(database: Database):
    g = np.random.default_rng(0)
    drawn = [(bool(g.random() < 0.6), bool(g.random() < 0.9), bool(g.random() < 0.4)) for _ in range(80)]
    records = [
        record(f"r{k}", fast, reasoning, escalated=up, settings={"audit": 0.5})
        for k, (fast, reasoning, up) in enumerate(drawn)
    ]
    run_id = publish(database, records)
    publish(database, [record("other", True, True, escalated=False)], run="other")
    publish(database, [record("hidden", True, True, escalated=False)], run="hidden", shown=False)
    with database.read() as c:
        found, every = routes.ledger(c, run_id), routes.ledger(c)
    whole = found.cells[0]
    assert (whole.problems, every.cells[0].problems) == (80, 81)
    assert whole.accuracy == pytest.approx(np.mean([r if up else f for f, r, up in drawn]))
    assert whole.cost == pytest.approx(sum(11.0 if up else 1.0 for _, _, up in drawn))
    assert whole.escalated == pytest.approx(np.mean([up for _, _, up in drawn]))
    fair = [each for k, each in enumerate(drawn) if is_drawn(f"r{k}", 0.5)]
    lines = found.lines
    assert lines is not None
    assert (lines.problems, lines.unit) == (len(fair), "cost")
    assert 20 < len(fair) < 60
    assert lines.router.accuracy == pytest.approx(np.mean([r if up else f for f, r, up in fair]))
    assert lines.router.cost == pytest.approx(np.mean([11.0 if up else 1.0 for _, _, up in fair]))
    assert lines.oracle.accuracy == pytest.approx(np.mean([f or r for f, r, _ in fair]))
    assert lines.oracle.cost == pytest.approx(np.mean([10.0 if r and not f else 1.0 for f, r, _ in fair]))
    assert lines.fast.accuracy == pytest.approx(np.mean([f for f, _, _ in fair]))
    assert lines.reasoning.cost == pytest.approx(10.0)


def test_without_prices_costs_are_seconds_and_without_grades_there_are_no_lines(database: Database):
    def free(each: RouteStep) -> RouteStep:
        return msgspec.structs.replace(each, spent=Spent(seconds=3.0))

    made = record("a", False, True, escalated=True)
    unpaid = msgspec.structs.replace(made, asked=tuple(map(free, made.asked)), spent=Spent())
    run_id = publish(database, [unpaid])
    other = publish(database, [record("b", None, None, escalated=True, reference=None)], run="other")
    with database.read() as c:
        lines = routes.ledger(c, run_id).lines
        ungraded = routes.ledger(c, other)
        assert routes.ledger(c, 99) == routes.RouteLedger((), None)
    assert lines is not None
    assert (lines.unit, lines.router.cost) == ("seconds", 6.0)
    assert ungraded.lines is None
    assert ungraded.cells[0].accuracy is None


def test_routes_go_with_their_batch(database: Database):
    run_id = publish(database, [record("a", True, True, escalated=False)], shown=False)
    with database.read() as c:
        assert c.exec_driver_sql("SELECT count(*) FROM route").scalar() == 1
        batch = c.exec_driver_sql("SELECT id FROM batch WHERE run_id = ?", (run_id,)).scalar_one()
    batches.remove(database, batch)
    with database.read() as c:
        assert c.exec_driver_sql("SELECT count(*) FROM route").scalar() == 0
