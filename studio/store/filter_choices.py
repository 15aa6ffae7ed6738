"""What the filter of traces offers to choose from: models, logs, causes and the rest as this workspace has them."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select, union

from studio.store import batches, bookmarks, projects, saved_filters, trace_list
from studio.store import schema as s
from studio.store import schema_inspect as i
from studio.store import schema_reason as r
from studio.store.saved_filters import NamedFilter
from studio.store.trace_filter import ANY, OUTCOMES, RATED, Field
from trainer.reasoning.failures import Cause
from trainer.reasoning.safety import CATEGORIES


@dataclass(frozen=True, slots=True)
class Choices:
    """Words and values by field, and the filters kept under names."""

    values: tuple[tuple[Field, tuple[tuple[str, str], ...]], ...] = ()
    saved: tuple[NamedFilter, ...] = ()

    def of(self, field: Field) -> tuple[tuple[str, str], ...]:
        """What a field can be."""
        return dict(self.values).get(field, ())


def read(c: Connection) -> Choices:
    """Everything that can be chosen."""
    seen = batches.visible(s.trace.c.batch_id)
    ended = select(i.trace_fact.c.ended).distinct().order_by(i.trace_fact.c.ended)
    formats = select(s.batch.c.format).join(s.trace, s.trace.c.batch_id == s.batch.c.id).where(seen).distinct()
    found: dict[Field, list[str]] = {
        Field.MODEL: ["", *trace_list.models(c)],
        Field.LOG: list(c.scalars(select(s.log.c.path).order_by(s.log.c.id.desc()))),
        Field.PROJECT: [project.name for project in projects.all_projects(c)],
        Field.OUTCOME: list(OUTCOMES),
        Field.FORMAT: list(c.scalars(formats)),
        Field.ENDED: ["", *(said for said in c.scalars(ended) if said)],
        Field.SCORER: [ANY, *c.scalars(select(s.scorer.c.name).distinct().order_by(s.scorer.c.name))],
        Field.RATED: list(RATED),
        Field.FLAG: [ANY, *(category.value for category in CATEGORIES)],
        Field.CAUSE: [ANY, *(cause.value for cause in Cause)],
        Field.RUBRIC: [ANY, *c.scalars(select(i.rubric.c.name).order_by(i.rubric.c.name))],
        Field.TAG: [ANY, *bookmarks.tags(c)],
        Field.SUITE: [ANY, *c.scalars(select(r.evaluation.c.suite).distinct().order_by(r.evaluation.c.suite))],
        Field.STRATEGY: [ANY, *c.scalars(union(select(r.search.c.strategy), select(r.evaluation.c.strategy)))],
    }
    values = tuple((field, tuple((one or "not named", one) for one in said)) for field, said in found.items())
    return Choices(values, saved_filters.filters(c))
