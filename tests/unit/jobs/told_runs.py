"""Runs with written events: what the tests of comparing, exporting and tracing back share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from studio.exchange.sample import make_stories_project
from studio.jobs.prepare import create_run
from studio.jobs.values import RunOrder
from studio.store import runs
from studio.store.rows import Selection
from studio.store.runs import StoredRun
from studio.workspace import Workspace
from tests.unit.jobs.test_track import Book


def story_house(folder: Path, count: int = 12) -> Workspace:
    """A workspace with a few rated stories."""
    workspace = Workspace.open(folder / "workspace", create=True)
    make_stories_project(workspace, count=count)
    return workspace


def made_run(
    workspace: Workspace,
    name: str,
    figures: Mapping[int, float],
    *,
    selection: Selection | None = None,
    group: str = "",
    **more: object,
) -> StoredRun:
    """A run that was ordered and has told of `train/loss` at these steps."""
    order = RunOrder("prm", dict(more), selection or Selection(), name, group=group)
    uid = create_run(workspace, order)
    book = Book(workspace.runs / uid)
    for step, value in figures.items():
        book.loss(step, value)
    with workspace.database.read() as c:
        return runs.by_uid(c, uid)
