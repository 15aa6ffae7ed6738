"""The rows of an evaluation: a suite's own files, the workspace's regression tests, or its problems.

Problems of one's own come from a file where one is named, else from the traces that are selected, like any other
run's rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import Connection

from studio.errors import RunError
from studio.exchange.suites import drawn, read_suite, regression_rows
from studio.jobs.values import RunOrder
from studio.store import regressions, rows
from studio.store.rows import Counts
from trainer.contract.records import InputRow, Split
from trainer.contract.spec import EvaluateSpec, build


def named(order: RunOrder) -> RunOrder:
    """The order with a name for problems of one's own: that of their file."""
    spec = _spec(order)
    if spec is None or not order.rows or spec.suite_name.strip():
        return order
    order.parameters["suite_name"] = Path(order.rows[0]).stem
    return order


def count(c: Connection, order: RunOrder, tell: rows.Progress = lambda _done, _total: None) -> Counts:
    """What the rows of any order hold. Raises RunError, ImportFormatError."""
    found = of_suite(c, order)
    if found is None:
        return rows.count(c, order.selection, tell)
    sizes = [len(row.problem) + sum(map(len, row.steps)) for row in found]
    return Counts(
        rows=len(found),
        problems=len({row.problem for row in found}),
        steps=sum(len(row.steps) for row in found),
        characters=sum(sizes),
        longest=max(sizes, default=0),
        per_split={Split.TEST: len(found)},
        negative=0.0,
        neutral=0.0,
        positive=0.0,
        referenced=sum(row.has_reference for row in found),
    )


def stream(c: Connection, order: RunOrder, tell: rows.Progress = lambda _done, _total: None) -> Iterator[InputRow]:
    """The rows of any order. Raises RunError, ImportFormatError."""
    found = of_suite(c, order)
    if found is not None:
        return iter(found)
    kept = rows.stream(c, order.selection, tell)
    spec = _spec(order)
    return kept if spec is None or not spec.most_problems else iter(drawn(list(kept), spec.most_problems, spec.seed))


def why_empty(order: RunOrder) -> str:
    """Why an order has no rows though none was left out."""
    spec = _spec(order)
    if spec is not None and spec.suite.is_stored:
        return "no regression test is kept; make one: Never again in Inspect, or steplens never-again TRACE --step N"
    return "the selection is empty"


def of_suite(c: Connection, order: RunOrder) -> tuple[InputRow, ...] | None:
    """The rows of a suite; None where they are those that the order selects. Raises RunError, ImportFormatError."""
    spec = _spec(order)
    if spec is None:
        if order.rows:
            raise RunError(f"{order.recipe} takes its rows from the workspace; rows from a file are for evaluate")
        return None
    if spec.suite.is_stored:
        if order.rows:
            raise RunError("regression tests come from the workspace; leave the file of rows out")
        return tuple(drawn(regression_rows(regressions.all_regressions(c)), spec.most_problems, spec.seed))
    if not order.rows:
        if spec.suite.is_own:
            return None
        raise RunError(f"name the file with the problems of {spec.suite.heading}: --rows FILE")
    return read_suite(
        spec.suite, [Path(path).expanduser() for path in order.rows], limit=spec.most_problems, seed=spec.seed
    )


def objections(order: RunOrder) -> list[str]:
    """What must still be chosen for an evaluation, as sentences."""
    spec = _spec(order)
    if spec is None:
        return []
    found = []
    if not spec.suite.judges_prm and not spec.model.strip():
        found.append("choose the policy that is measured")
    if (spec.suite.judges_prm or spec.strategy.needs_prm) and not spec.prm.strip():
        why = "is measured" if spec.suite.judges_prm else f"chooses among the samples ({spec.strategy.value})"
        found.append(f"choose the PRM that {why}")
    return [*found, *filter(None, [spec.objection()])]


def _spec(order: RunOrder) -> EvaluateSpec | None:
    spec = build(order.recipe, dict(order.parameters))
    return spec if isinstance(spec, EvaluateSpec) else None
