"""RL runs in a workspace with rollouts written by hand, so that every number is known without the product."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np

from studio.store import runs
from studio.workspace import Workspace
from trainer.contract import rollouts
from trainer.contract.forms import GroupScale
from trainer.contract.records import ModelRef
from trainer.contract.rollouts import PackedTrace, RolloutBatch
from trainer.contract.run_folder import RunFolder
from trainer.contract.spec import RlSpec, RunSpec, parameters

STEP_TOKENS = 3
"""Each step is two tokens and a line break, which ends it and bears credit as the worker writes it."""


def spec_of(uid: str, recipe_spec: RlSpec, *, scored: bool = True) -> RunSpec:
    """spec.json of an RL run."""
    models = (ModelRef(role="prm", path="inputs/prm", checksum="0" * 64, name="prm"),) if scored else ()
    return RunSpec(run=uid, name="rl on stories", recipe="rl", parameters=parameters(recipe_spec), models=models)


def plain_rl(**more: object) -> RlSpec:
    """A run whose advantages are easy to compute by hand: nothing divides them."""
    return replace(RlSpec(model="the policy"), scale=GroupScale.NONE, **more)  # type: ignore[arg-type]


def trace(
    id: str,
    scores: tuple[float, ...],
    advantages: list[float],
    *,
    group: int = 0,
    correct: bool | None = True,
    reward: float = 0.0,
    tail: int = 2,
    problem: str = "Start with 2. Double it. Add 3.",
) -> PackedTrace:
    """A trace of `scores` steps of three tokens each and an answer of `tail` tokens; `advantages` by token."""
    count = len(scores)
    length = count * STEP_TOKENS + tail
    assert len(advantages) == length
    lines = [f"Step {k + 1} of {id}: 2 + {k} = {2 + k}" for k in range(count)]
    text = "\n".join([*lines, "Answer: 7"])
    starts = np.cumsum([0, *(len(line) + 1 for line in lines)])
    return PackedTrace(
        id=id,
        row=f"row-{group}",
        group=group,
        problem=problem,
        reference="7",
        prompt=rollouts.pack_ints(np.arange(4)),
        text=text,
        answer="7" if correct else "8",
        tokens=rollouts.pack_ints(np.arange(length) + 100),
        logprobs=rollouts.pack_floats(-0.25 * np.arange(length)),
        entropy=rollouts.pack_floats(np.zeros(length)),
        forced=bytes(length),
        advantages=rollouts.pack_floats(np.asarray(advantages)),
        step_ends=tuple(STEP_TOKENS * (k + 1) - 1 for k in range(count)),
        step_spans=tuple((int(starts[k]), int(starts[k]) + len(lines[k])) for k in range(count)),
        separators=bytes(length),
        scores=scores,
        correct=correct,
        outcome=None if correct is None else float(correct),
        reward=reward,
        parts={},
        thinking_tokens=count * STEP_TOKENS,
        answer_tokens=tail,
        ended="stop",
        thinking_ended="closed",
    )


def add_run(folder: Path, uid: str, spec: RunSpec, state: runs.StoredState = runs.StoredState.CANCELLED) -> int:
    """Put a run into a workspace that nobody has open, cancelled or paused, of another machine; returns its id."""
    with Workspace.open(folder) as workspace:
        place = workspace.runs / uid
        if not place.exists():
            RunFolder(place).create(spec, ())
        database = workspace.database
        made = {"uid": uid, "name": spec.name, "recipe": spec.recipe, "device": "cpu", "host": "here", "process": ""}
        run_id = database.run(lambda c: runs.prepare(c, **made))
        values = msgspec.to_builtins(spec)

        def finish(c: object) -> None:
            runs.enqueue(c, run_id, values)  # type: ignore[arg-type]
            assert runs.stop_waiting(c, run_id, state)  # type: ignore[arg-type]

        database.run(finish)
        return run_id


def adopt_run(folder: Path, source: Path, uid: str) -> int:
    """Copy a run folder that a worker wrote into a workspace."""
    with Workspace.open(folder) as workspace:
        shutil.copytree(source, workspace.runs / uid)
        spec = RunFolder(workspace.runs / uid).read_spec()
    return add_run(folder, uid, spec)


def save_update(folder: Path, uid: str, update: int, traces: tuple[PackedTrace, ...]) -> Path:
    """Write the rollouts of an update as the worker does."""
    batch = RolloutBatch(update=update, policy_version=update, traces=traces)
    return rollouts.save(folder / "runs" / uid, batch)
