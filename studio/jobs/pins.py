"""Pinned rollouts of an RL run: kept in its folder, and stored with what the run made once it has ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy import Connection, select

from studio.domain import Changes
from studio.errors import RunError
from studio.store import batches, projects, run_traces, runs, scores
from studio.store import schema as s
from studio.store.runs import StoredRun
from studio.workspace import Workspace
from trainer.contract import rollouts
from trainer.contract.generated import TokenBytes, TraceBudget
from trainer.contract.records import ModelRef, ScoreRecord, ScorerRef, TraceRecord, record_id
from trainer.contract.rollouts import PackedTrace, Pin
from trainer.contract.run_folder import RunFolder
from trainer.contract.spec import RlSpec, RunSpec
from trainer.reasoning.recorded import record_of
from trainer.reasoning.response import read_response

PINNED = "pinned"
FIRST_VERSION = 1  # of the steps of a trace that has just been stored


@dataclass(frozen=True, slots=True)
class Pinned:
    """What became of a pin: `text` for a person, `stored` whether the trace is in the store now."""

    trace: str
    on: bool
    stored: bool
    text: str


def records_of(pins: Sequence[Pin], spec: RunSpec) -> list[TraceRecord | ScoreRecord]:
    """Traces for the store, each with the scores of the PRM that paid it."""
    made: list[TraceRecord | ScoreRecord] = [_trace(pin.trace, spec) for pin in pins]
    for pin in pins:
        judge = scorer_of(spec, pin)
        if judge is not None and pin.trace.scores:
            made.append(
                ScoreRecord(
                    id=record_id(spec.run, pin.trace.id, 0),
                    row=pin.trace.row,
                    trace=pin.trace.id,
                    segmentation=FIRST_VERSION,
                    scorer=ScorerRef(name=judge.name or judge.path, version=judge.checksum),
                    values=pin.trace.scores,
                )
            )
    return made


def _trace(trace: PackedTrace, spec: RunSpec) -> TraceRecord:
    made = record_of(
        read_response(trace.text),
        id=trace.id,
        row=trace.row,
        problem=trace.problem,
        reference=trace.reference,
        model=spec.name or spec.run,
        correct=trace.correct,
    )
    asked = spec.typed()
    assert isinstance(asked, RlSpec)
    tokens = TokenBytes(starts=trace.starts, logprobs=trace.logprobs, entropy=trace.entropy, forced=trace.forced)
    thinking = max(0, trace.thinking_tokens)
    budget = TraceBudget(
        thinking=thinking,
        answer=trace.answer_tokens,
        used=thinking + trace.answer_tokens,
        thinking_granted=asked.max_thinking,
        answer_granted=asked.max_answer,
        thinking_ended=trace.thinking_ended,
        ended=trace.ended,
    )
    said = {} if trace.budget is None else {"budget_said": trace.budget}
    return msgspec.structs.replace(
        made,
        tokens=tokens if trace.starts else None,
        budget=budget,
        settings={"temperature": asked.temperature, **said},
    )


def scorer_of(spec: RunSpec, pin: Pin) -> ModelRef | None:
    """The PRM that scored a pinned trace: the one it names, though the run may since have gone back to another."""
    named = pin.trace.scorer
    if not named:
        return prm_at(spec, pin.update)
    known = [model for model in spec.models if model.role == "prm" and model.checksum == named]
    return known[0] if known else ModelRef(role="prm", path=f"PRM {named[:12]}", checksum=named)


def prm_at(spec: RunSpec, update: int) -> ModelRef | None:
    """The PRM in the run folder that is in force at an update."""
    asked = spec.typed()
    assert isinstance(asked, RlSpec)
    step = update * asked.passes * asked.parts
    found = [model for model in spec.models if model.role == "prm" and model.from_step <= step]
    return max(found, key=lambda model: model.from_step, default=None)


def pin(workspace: Workspace, run_id: int, update: int, trace: str) -> Pinned:
    """Keep a trace of an update. Of a run that has ended it is stored at once, else with what the run makes.

    Raises NotFoundError, RunError, RunFolderError.
    """
    run, folder = _of(workspace, run_id)
    batch = rollouts.load(rollouts.path_of(folder.path, update))
    found = next((one for one in batch.traces if one.id == trace), None)
    if found is None:
        raise RunError(f"update {update} of run {run.name!r} holds no trace {trace}; it was written anew, look again")
    rollouts.pin(folder.path, update, found)
    if run.state not in runs.ENDED:
        return Pinned(trace, True, False, "Pinned; it is stored when the run ends")
    spec = folder.read_spec()
    workspace.database.run(lambda c: store(c, run, [Pin(update=update, trace=found)], spec))
    return Pinned(trace, True, True, f"Pinned, and stored in “Run: {run.name}”")


def unpin(workspace: Workspace, run_id: int, trace: str) -> Pinned:
    """Let a pinned trace go. One that is stored leaves the run's project, unless somebody has rated it.

    Raises NotFoundError, RunError, RunFolderError.
    """
    run, folder = _of(workspace, run_id)
    rollouts.unpin(folder.path, trace)
    rated = workspace.database.run(lambda c: _take_out(c, run, trace))
    if rated is None:
        return Pinned(trace, False, False, "No longer pinned")
    kept = "it stays where it is, as it is rated" if rated else "it has left the run's project"
    return Pinned(trace, False, True, f"No longer pinned; {kept}")


def store(c: Connection, run: StoredRun, pins: Sequence[Pin], spec: RunSpec) -> Changes:
    """Store pinned traces under a published batch and show them in the run's project; known ones come back into it."""
    batch = batches.begin(c, "ingest", source=run.uid, format=PINNED, run_id=run.id)
    write(c, batch, pins, spec)
    changes = run_traces.show(c, run.id, run.name, batch)
    changes |= batches.publish(c, batch, {"pins": len(pins)})
    project = run_traces.project_of(c, run.id)
    if project is not None:
        changes |= projects.put_traces(c, project, ids_of(c, [pin.trace.id for pin in pins]))
    return changes


def write(c: Connection, batch: int, pins: Sequence[Pin], spec: RunSpec) -> scores.Stored:
    """Traces and scores of pins under a batch that is being written."""
    made = records_of(pins, spec)
    stored = run_traces.store_records(c, batch, [one for one in made if isinstance(one, TraceRecord)])
    return stored + scores.store_records(c, batch, [one for one in made if isinstance(one, ScoreRecord)])


def ids_of(c: Connection, uids: Sequence[str]) -> list[int]:
    """The stored traces of these uids, in their order; those that are not here are left out."""
    known = {row.uid: row.id for row in c.execute(select(s.trace.c.uid, s.trace.c.id).where(s.trace.c.uid.in_(uids)))}
    return [int(known[uid]) for uid in uids if uid in known]


def _take_out(c: Connection, run: StoredRun, uid: str) -> bool | None:
    """Whether a stored trace is rated, and so stays; None when it is not in the run's project."""
    project, found = run_traces.project_of(c, run.id), ids_of(c, [uid])
    if project is None or not found or project not in projects.of_trace(c, found[0]):
        return None
    if projects.is_rated(c, found[0]):
        return True
    projects.take_traces(c, project, found)
    return False


def _of(workspace: Workspace, run_id: int) -> tuple[StoredRun, RunFolder]:
    with workspace.database.read() as c:
        run = runs.get(c, run_id)
    if run.recipe != "rl":
        raise RunError(f"run {run.name!r} is of the recipe {run.recipe}, which writes no rollouts")
    return run, RunFolder(workspace.path / run.folder)
