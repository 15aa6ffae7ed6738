"""After a hack alarm: the most contested steps of a run go to labelling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from studio.domain import Project
from studio.errors import RunError
from studio.jobs import pins as pinning
from studio.jobs.track import Track
from studio.store import batches, projects, run_traces, runs
from studio.store.runs import StoredRun
from studio.workspace import Workspace
from trainer.contract import rollouts
from trainer.contract.rollouts import Pin
from trainer.contract.run_folder import RunFolder
from trainer.reasoning.alarms import ALARM
from trainer.reasoning.contested import Contested, most_contested

COUNT = 10
LOOKED_AT = 10
"""The newest updates among which contested steps are looked for: what an alarm is about shows in the last ones."""


@dataclass(frozen=True, slots=True)
class Step:
    """A contested step that was sent: the trace's id in the store, the step's place in it, its score, and why."""

    trace_id: int
    trace: str
    update: int
    step: int
    score: float
    disagreement: float
    problem: str
    why: str


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent to labelling: the project, its steps with the most contested first, and how many are new there."""

    project_id: int
    project: str
    steps: tuple[Step, ...]
    fresh: int


def send_contested(workspace: Workspace, run_id: int, *, count: int = COUNT, project: str = "") -> Sent:
    """Pin and store the traces of the most contested steps and put them into a labelling project, all or nothing.

    `project` is made when there is none of this name; empty = "Contested: NAME OF THE RUN". What stands there already
    stays. Raises NotFoundError, RunError, RunFolderError.
    """
    with workspace.database.read() as c:
        run = runs.get(c, run_id)
    folder = RunFolder(workspace.path / run.folder)
    picks = _picked(run, folder, count)
    for update, one in picks:
        rollouts.pin(folder.path, update, one.trace)
    spec = folder.read_spec()
    found = [Pin(update=update, trace=one.trace) for update, one in picks]
    name = project.strip() or f"Contested: {run.name}"

    def work(c: Connection) -> Sent:
        place = projects.by_name(c, name) or projects.create(c, name)
        batch = batches.begin(c, "ingest", place.id, run.uid, run_traces.CONTESTED, run_id=run.id)
        pinning.write(c, batch, found, spec)
        ids = pinning.ids_of(c, [pin.trace.id for pin in found])
        fresh = [id for id in ids if place.id not in projects.of_trace(c, id)]
        projects.put_traces(c, place.id, ids, batch_id=batch)
        batches.publish(c, batch, {"stored": len(ids)})
        sent = tuple(_step(id, update, one) for id, (update, one) in zip(ids, picks, strict=True))
        projects.update(c, place.id, guideline=_guideline(place, run, sent))
        return Sent(place.id, place.name, sent, len(fresh))

    return workspace.database.run(work)


def take_back(workspace: Workspace, sent: Sent) -> int:
    """Take the traces out of the project again, but for those that somebody has begun to rate; how many have gone."""

    def work(c: Connection) -> int:
        here = [step.trace_id for step in sent.steps if sent.project_id in projects.of_trace(c, step.trace_id)]
        gone = [id for id in here if not projects.is_rated(c, id)]
        projects.take_traces(c, sent.project_id, gone)
        return len(gone)

    return workspace.database.run(work)


def alarms_of(folder: RunFolder) -> tuple[str, ...]:
    """The codes of the alarms that a run has told of, as its newest attempt counts them."""
    track = Track(folder)
    track.read_all()
    return tuple(dict.fromkeys(notice.code for notice in track.notices() if notice.code.startswith(ALARM)))


def _picked(run: StoredRun, folder: RunFolder, count: int) -> list[tuple[int, Contested]]:
    """The steps with the updates that their traces are of. Raises RunError where there is nothing to choose from."""
    if run.recipe != "rl":
        raise RunError(f"run {run.name!r} is of the recipe {run.recipe}; only rl writes rollouts with contested steps")
    updates = rollouts.updates(folder.path)[-LOOKED_AT:]
    if not updates:
        raise RunError(f"run {run.name!r} has kept no rollouts; let it run, with keep_rollouts above 0")
    of_trace = {}
    for update in updates:
        for trace in rollouts.load(rollouts.path_of(folder.path, update)).traces:
            of_trace[trace.id] = update, trace
    traces = [trace for _, trace in of_trace.values()]
    picks = most_contested(traces, alarms_of(folder), count)
    if not picks:
        raise RunError(f"run {run.name!r} has no contested steps: no trace has both step scores and a verdict")
    return [(of_trace[one.trace.id][0], one) for one in picks]


def _step(trace_id: int, update: int, one: Contested) -> Step:
    trace = one.trace
    return Step(trace_id, trace.id, update, one.step, one.score, one.disagreement, trace.problem, one.why)


def _guideline(place: Project, run: StoredRun, steps: Sequence[Step]) -> str:
    """What people read beside the traces: their own guideline, and after it which steps are contested."""
    own = place.guideline.partition(_MARK)[0].rstrip()
    lines = [
        f"{number}. Step {step.step + 1} of “{_short(step.problem)}”: {step.why}."
        for number, step in enumerate(steps, 1)
    ]
    return "\n\n".join(filter(None, (own, f"{_MARK} of the run “{run.name}”. Judge the steps by themselves.", *lines)))


_MARK = "Steps on which PRM and outcome disagree most,"


def _short(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= 60 else words[:60] + "…"
