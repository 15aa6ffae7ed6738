"""How far the work in each project is."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, case, func, select

from studio.domain import Project
from studio.store import batches, projects
from studio.store.schema import annotation


@dataclass(frozen=True, slots=True)
class ProjectProgress:
    """A project with the work that people have done in it."""

    project: Project
    rated: int  # traces with a submitted annotation
    submitted: int  # annotations
    opened: int  # annotations begun and not submitted
    people: int  # who has submitted


def of_projects(c: Connection) -> tuple[ProjectProgress, ...]:
    """Every project, by name; annotations of unpublished batches do not count."""
    a = annotation.c
    done = case((a.state == "submitted", a.trace_id))
    query = (
        select(
            a.project_id,
            func.count(done.distinct()).label("rated"),
            func.count(done).label("submitted"),
            func.count(case((a.state == "open", 1))).label("opened"),
            func.count(case((a.state == "submitted", a.annotator_id)).distinct()).label("people"),
        )
        .where(batches.visible(a.batch_id))
        .group_by(a.project_id)
    )
    found = {row.project_id: row for row in c.execute(query)}
    return tuple(
        ProjectProgress(p, row.rated, row.submitted, row.opened, row.people)
        if (row := found.get(p.id)) is not None
        else ProjectProgress(p, 0, 0, 0, 0)
        for p in projects.all_projects(c)
    )
