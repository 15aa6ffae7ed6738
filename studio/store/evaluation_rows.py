"""Rows of evaluations by cell: which settings a run had, and of each problem the newest run with equal ones."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, select

from studio.store import batches
from studio.store import schema as s
from studio.store.schema_reason import evaluation as e
from studio.store.schema_reason import evaluation_problem as p
from trainer.contract.spec import EvaluateSpec, SpecError, build
from trainer.contract.specs.evaluate import Conditions
from trainer.reasoning.evaluation import NO_GROUP, Tried

CHOSEN = -1
"""The sample number of what a strategy chose."""
RECIPE, PRM, PRM_VERSION = "evaluate", "prm", "prm_version"


@dataclass(frozen=True, slots=True)
class Key:
    """What a cell is about; two runs with equal keys fill the same cell. `budget` None = no cap on thinking.

    `settings` are what a figure depends on besides; empty for records whose run is not known here.
    """

    suite: str
    model: str
    version: str
    prm: str
    strategy: str
    compute: str
    budget: int | None
    settings: Conditions = ()


COLUMNS = tuple(each.name for each in fields(Key) if each.name != "settings")
"""Those of a key that are columns of the table."""


@dataclass(slots=True)
class Problem:
    """The rows of one problem in one cell, of one run."""

    id: int
    run_id: int | None
    row: str
    samples: list[Row[Any]] = field(default_factory=list)
    chosen: Row[Any] | None = None

    @property
    def tried(self) -> list[Tried]:
        """The samples as figures take them."""
        return [
            Tried(as_grade(one.correct), int(one.detail.get("group", NO_GROUP)), one.detail.get("score"))
            for one in self.samples
        ]

    @property
    def detail(self) -> Mapping[str, Any]:
        """What the suite said of it."""
        row = self.samples[0] if self.samples else self.chosen
        return {} if row is None else row.detail


def as_grade(grade: int | None) -> bool | None:
    """As the table keeps it; None: could not be decided."""
    return None if grade is None else bool(grade)


def grouped(c: Connection, conditions: Sequence[ColumnElement[bool]]) -> Iterator[tuple[Key, list[Problem]]]:
    """Cells with their problems; of each problem the rows of its newest run with these settings."""
    settings = settings_of_runs(c)
    for values, rows in itertools.groupby(
        c.execute(_query(conditions)), lambda row: tuple(getattr(row, name) for name in COLUMNS)
    ):
        cells: dict[Conditions, list[Problem]] = {}
        for row in rows:
            found = cells.setdefault(settings.get(row.run_id, ()), [])
            if not found or found[-1].id != row.problem_id:
                found.append(Problem(row.problem_id, row.run_id, row.row))
            if found[-1].run_id != row.run_id:
                continue  # an older run
            if row.sample == CHOSEN:
                found[-1].chosen = row
            else:
                found[-1].samples.append(row)
        for said, problems in cells.items():
            yield replace(Key(*values), settings=said), problems


def conditions_of(key: Key) -> list[ColumnElement[bool]]:
    """What the rows of a cell have in their columns."""
    return [is_(e.c[name], getattr(key, name)) for name in COLUMNS]


def is_(column: ColumnElement[Any], value: object) -> ColumnElement[bool]:
    """Equality that holds for nothing, too."""
    return column.is_(None) if value is None else column == value


def settings_of_runs(c: Connection) -> dict[int, Conditions]:
    """By id of the run, what its figures depend on."""
    query = select(s.run.c.id, s.run.c.spec).where(s.run.c.recipe == RECIPE)
    return {row.id: _settings(row.spec) for row in c.execute(query)}


def _settings(spec: Mapping[str, Any]) -> Conditions:
    known = {each.name for each in fields(EvaluateSpec)}
    said = {name: value for name, value in spec.get("parameters", {}).items() if name in known}
    if not said:
        return ()
    try:
        made = build(RECIPE, said)
    except SpecError:  # of another version: like no other run
        return tuple(sorted(said.items()))
    assert isinstance(made, EvaluateSpec)
    judges = [model["checksum"][:12] for model in spec.get("models", ()) if model["role"] == PRM]
    if made.suite.judges_prm or not judges:
        return made.conditions()
    return (*made.conditions(), (PRM_VERSION, judges[0]))


def _query(conditions: Sequence[ColumnElement[bool]]) -> Select[Any]:
    keys = [e.c[name] for name in COLUMNS]
    shown = [column for column in e.c if column.name not in ("id", "record", "batch_id")]
    return (
        select(*shown, p.c.row, s.run.c.uid.label("run"), s.run.c.id.label("run_id"), s.trace.c.uid.label("trace_uid"))
        .join(p, p.c.id == e.c.problem_id)
        .join(s.batch, s.batch.c.id == e.c.batch_id)
        .outerjoin(s.run, s.run.c.id == s.batch.c.run_id)
        .outerjoin(s.trace, s.trace.c.id == e.c.trace_id)
        .where(and_(batches.visible(e.c.batch_id), *conditions))
        .order_by(*keys, e.c.problem_id, s.run.c.id.desc(), e.c.sample)
    )
