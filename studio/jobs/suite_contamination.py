"""Whether the problems behind a cell of the results table are among those that a run learned from."""

from __future__ import annotations

from sqlalchemy import select

from studio.errors import NotFoundError
from studio.jobs.contamination import THRESHOLD, Benchmark, Contamination, Progress, check_run
from studio.store import models, runs
from studio.store.runs import StoredRun
from studio.store.schema_reason import evaluation_problem as p
from studio.workspace import Workspace


def trained_by(workspace: Workspace, version: str) -> StoredRun | None:
    """The run that made the model of this checksum; None for a model made elsewhere."""
    with workspace.database.read() as c:
        made = next((model for model in models.all_models(c) if version and model.checksum == version), None)
        return None if made is None or made.run_id is None else runs.get(c, made.run_id)


def against_suite(
    workspace: Workspace,
    suite: str,
    run: StoredRun,
    *,
    threshold: float = THRESHOLD,
    tell: Progress = lambda _phase, _done, _total: None,
) -> Contamination:
    """The training rows of a run and of all it builds on against every problem of a suite that was evaluated here.

    A pair's `line` counts these problems from 1. Raises NotFoundError, RunError, and what `tell` raises.
    """
    with workspace.database.read() as c:
        prompts = c.scalars(select(p.c.prompt).where(p.c.suite == suite).order_by(p.c.id)).all()
    if not prompts:
        raise NotFoundError(f"no problem of {suite} was evaluated in this workspace; evaluate a model on it first")
    benchmark = Benchmark(enumerate(prompts, 1))
    return check_run(workspace, run, benchmark, against=suite, threshold=threshold, tell=tell)
