"""The verbs that steer a run from outside the window: its contested steps to labelling, and on again."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from studio.errors import RunError
from studio.exchange.telling import Teller
from studio.jobs import labelling
from studio.jobs.compare import named_runs
from studio.jobs.follower import Follower
from studio.jobs.labelling import Sent
from studio.jobs.scheduler import Scheduler
from studio.jobs.service import Jobs
from studio.settings import Settings
from studio.store.runs import StoredRun
from studio.workspace import Workspace


def contested(args: argparse.Namespace) -> int:
    """`steplens contested RUN`: put its most contested steps into a labelling project, and say which they are."""
    if args.count < 1:
        raise RunError(f"--count {args.count}: at least one step is needed")
    with Workspace.open(args.workspace) as workspace:
        run = _named(workspace, args.run)
        sent = labelling.send_contested(workspace, run.id, count=args.count, project=args.project)
    Teller(args.progress).report(ContestedSteps(sent))
    return 0


def resume(args: argparse.Namespace) -> int:
    """`steplens resume RUN [--prm MODEL]`: go on from the last checkpoint, with another PRM where one is named."""
    with Workspace.open(args.workspace) as workspace:
        run = _named(workspace, args.run)
        jobs = Jobs(workspace, interpreter=Settings.load().interpreter or None)
        if args.prm:
            made = jobs.resume_on(run.id, args.prm)
            told = f"goes on with the PRM {made.name} ({made.checksum[:12]}) from step {made.from_step:,} on"
        else:
            jobs.resume(run.id)
            told = "goes on from its last checkpoint"
        start_if_free(workspace, run.id)
    Teller(args.progress).report(Resumed(run.uid, run.name, told))
    return 0


def start_if_free(workspace: Workspace, run_id: int) -> None:
    """One turn of the scheduler, so that a run starts without a window; a busy device starts it later."""
    follower = Follower(workspace)
    follower.reload()
    follower.tick()
    scheduler = Scheduler(workspace, follower, Settings.load().interpreter or sys.executable)
    scheduler.launch_next(only=run_id)
    scheduler.remotes.wait_handed_over(run_id)
    scheduler.close()


@dataclass(frozen=True, slots=True)
class ContestedSteps:
    """What went to labelling."""

    sent: Sent

    def sentences(self) -> Iterator[str]:
        """For a person."""
        yield f"{self.sent.project!r} has {len(self.sent.steps)} contested steps of this run, {self.sent.fresh} new"
        for step in self.sent.steps:
            yield f"  trace {step.trace}, update {step.update}, step {step.step + 1}: {step.why}"


@dataclass(frozen=True, slots=True)
class Resumed:
    """A run that was queued again."""

    run: str
    name: str
    how: str

    def sentences(self) -> Iterator[str]:
        """For a person."""
        yield f"{self.name!r} {self.how}; run {self.run}"


def _named(workspace: Workspace, name: str) -> StoredRun:
    with workspace.database.read() as c:
        (run,) = named_runs(c, [name])
    return run
