"""Small workspaces for the tests of the store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from studio.domain import Annotator, Project
from studio.store import batches, projects, traces
from studio.store.annotations import Work
from studio.store.database import Database


@dataclass(frozen=True, slots=True)
class Small:
    """A database with one project of a few traces and two people."""

    database: Database
    project: Project
    ada: Annotator
    bob: Annotator
    traces: tuple[int, ...]

    def work(self, at: int = 0, who: Annotator | None = None) -> Work:
        """Ada (or somebody else) at the trace of this place."""
        return Work(self.project.id, self.traces[at], (who or self.ada).id)


def small(folder: Path, *, traces_wanted: int = 3, steps: int = 4, overlap: int = 1) -> Small:
    """Make it in a folder."""
    database = Database.open(folder / "workspace.db")
    with database.write() as c:
        project = projects.create(c, "Algebra", overlap=overlap)
        ada = projects.ensure_annotator(c, "Ada")
        bob = projects.ensure_annotator(c, "Bob")
    made = add_traces(database, project.id, traces_wanted, steps)
    return Small(database, project, ada, bob, made)


def add_traces(database: Database, project_id: int, wanted: int, steps: int = 4) -> tuple[int, ...]:
    """Traces in a published batch."""
    with database.write() as c:
        batch = batches.begin(c, "sample", project_id)
        made = []
        for number in range(wanted):
            new = traces.from_steps(f"What is {number}+1?", [f"{number} is {step}." for step in range(steps)])
            made.append(traces.add(c, new, batch_id=batch, project_id=project_id).trace_id)
        batches.publish(c, batch, {})
    return tuple(made)
