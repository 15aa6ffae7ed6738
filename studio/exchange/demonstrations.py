"""A project to teach a policy on: arithmetic solved in marked thinking, by a teacher with one systematic mistake."""

from __future__ import annotations

import time
from collections.abc import Sequence

from sqlalchemy import Connection

from studio.errors import CancelledError
from studio.exchange.report import ImportReport
from studio.exchange.telling import Progress, Stop, never, quiet
from studio.store import batches, projects, traces
from studio.store.traces import NewTrace
from studio.workspace import Workspace
from trainer.contract.records import Block, BlockKind, Message, Step
from trainer.reasoning.demonstrations import DEMONSTRATION_COUNT, DEMONSTRATION_SEED, Demonstrated, make_demonstrations
from trainer.reasoning.response import read_response

PROJECT = "Arithmetic demonstrations"


def make_demonstrations_project(
    workspace: Workspace, *, count: int = DEMONSTRATION_COUNT, progress: Progress = quiet, stop: Stop = never
) -> ImportReport:
    """Make the project with `count` traces, unrated; one that is there stays as it is. Raises CancelledError."""
    database, began = workspace.database, time.monotonic()
    with database.read() as c:
        there = projects.by_name(c, PROJECT)
    if there is not None:
        return ImportReport(PROJECT, rows=there.traces, known=there.traces)
    batch = database.run(lambda c: batches.begin(c, "sample", source=PROJECT))

    def store(c: Connection, piece: Sequence[Demonstrated]) -> None:
        for each in piece:
            traces.add(c, _trace(each), batch_id=batch)

    made = make_demonstrations(count, seed=DEMONSTRATION_SEED)
    try:
        stored = database.write_in_slices(
            made, store, stop=stop, stored=lambda done: progress("demonstrations", done, count, "")
        )
        if stored < count:
            raise CancelledError("cancelled; nothing was kept")
        database.run(lambda c: _publish(c, batch))
    except BaseException:
        batches.remove(database, batch)
        raise
    return ImportReport(
        PROJECT, rows=count, imported=count, problems=count, traces=count, seconds=time.monotonic() - began
    )


def _publish(c: Connection, batch: int) -> object:
    project = projects.create(c, PROJECT)
    projects.put_batch(c, project.id, batch)
    return batches.publish(c, batch, {})


def _trace(demonstrated: Demonstrated) -> NewTrace:
    """Thinking and answer as blocks, the lines of the thinking as steps."""
    read = read_response(demonstrated.response)
    assert read.thinking is not None, "a demonstration marks its thinking"
    blocks = (
        Block(BlockKind.THINKING, read.thinking.start, read.thinking.end),
        Block(BlockKind.ANSWER, read.visible.start, read.visible.end),
    )
    return NewTrace(
        demonstrated.problem,
        read.text,
        (Message("assistant", blocks),),
        tuple(Step(number, span.start, span.end) for number, span in enumerate(read.steps)),
        reference_answer=demonstrated.reference,
        source="sample: arithmetic demonstrations",
        model="a teacher that forgets to borrow",
        answer=read.answer,
    )
