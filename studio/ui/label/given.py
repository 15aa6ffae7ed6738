"""What a transaction or a read puts on the annotator's desk."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from studio.domain import Annotation, Changes, Project, Trace
from studio.store import annotations as verbs
from studio.store import notes, queue
from studio.store.annotations import Work


@dataclass(frozen=True, slots=True)
class Given:
    """The trace a write transaction gave, with the annotator's own work on it; None = nothing is left."""

    trace_id: int | None
    annotation: Annotation | None = None
    reference_wrong: bool = False
    changes: Changes = Changes()


@dataclass(frozen=True, slots=True)
class Begun:
    """The project in hand, what it gave, and all there are."""

    project: Project | None
    given: Given
    changes: Changes = Changes()


@dataclass(frozen=True, slots=True)
class Opened:
    """A trace as it was read, with the annotator's own work on it."""

    trace: Trace
    annotation: Annotation | None
    reference_wrong: bool


@dataclass(frozen=True, slots=True)
class Counts:
    """What the header shows."""

    left: int
    today: int


def choose(found: tuple[Project, ...], wanted: int) -> Project | None:
    """The wanted project, else the first with traces, else the first."""
    by_id = {project.id: project for project in found}
    return by_id.get(wanted) or next((p for p in found if p.traces), found[0] if found else None)


def next_given(c: Connection, project: int, person: int, after: int | None, changes: Changes | None = None) -> Given:
    """What the queue gives behind `after`, lent in this transaction."""
    trace_id = queue.next_trace(c, project, person, after=after)
    if trace_id is None:
        return Given(None, changes=changes or Changes())
    return given(c, project, person, trace_id, changes)


def given(c: Connection, project: int, person: int, trace_id: int, changes: Changes | None = None) -> Given:
    """This trace, with what the annotator said of it."""
    work = Work(project, trace_id, person)
    wrong = notes.reference_is_wrong(c, work)
    return Given(trace_id, verbs.current(c, work), wrong, changes or Changes())
