"""A run that has stopped goes on with another PRM: what its spec says of it, and which models can be chosen."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import msgspec

from studio.errors import RunError
from studio.jobs import roles
from studio.jobs.prepare import link
from studio.store import models, runs
from studio.store.models import StoredModel
from studio.store.runs import StoredRun
from studio.workspace import Workspace
from trainer.contract.checkpoints import is_whole
from trainer.contract.records import ModelRef
from trainer.contract.run_folder import RunFolder, checksum_of
from trainer.contract.spec import RunSpec, is_code


@dataclass(frozen=True, slots=True)
class Choice:
    """A PRM that a run can go on with; `newer`: made after the run stopped."""

    model: StoredModel
    newer: bool


def choices(workspace: Workspace, run_id: int) -> tuple[Choice, ...]:
    """The PRMs of the workspace but for the one in force, the newest first. Raises NotFoundError, RunFolderError."""
    with workspace.database.read() as c:
        run = runs.get(c, run_id)
        known = models.all_models(c)
    spec = RunFolder(workspace.path / run.folder).read_spec()
    now = _in_force(spec)
    fitting = [model for model in known if model.kind == "prm" and (now is None or model.checksum != now.checksum)]
    fitting.sort(key=lambda model: model.created_at, reverse=True)
    return tuple(Choice(model, model.created_at > (run.ended_at or "")) for model in fitting)


def refresh(workspace: Workspace, run_id: int, prm: str) -> ModelRef:
    """Put a PRM in the place of the one in force, from the newest checkpoint on; the run must not be running.

    The PRM lies in the run folder beside the old one, with its checksum in spec.json. Policy, optimiser, counters and
    seeds stay. Resuming is another call. Raises NotFoundError, RunError, ConflictError, RunFolderError.
    """
    with workspace.database.read() as c:
        run = runs.get(c, run_id)
    if run.state not in runs.RESUMABLE:
        raise RunError(f"run {run.name!r} is {run.state}; pause it before it gets another PRM")
    folder = RunFolder(workspace.path / run.folder)
    spec = folder.read_spec()
    old = _replaceable(run, spec)
    with workspace.database.read() as c:
        source = roles.find_model(
            workspace, c, prm, roles.Role("prm", "the PRM that scores steps", ("prm",), hub=False)
        )
    if source is None:
        raise RunError(f"run {run.name!r}: name the PRM that it should go on with")
    if source.checksum == old.checksum:
        raise RunError(f"{source.name} is the PRM that run {run.name!r} uses already (checksum {old.checksum[:12]})")
    step = newest_step(folder)
    suffix = "" if source.path.is_dir() else source.path.suffix
    path = f"inputs/prm-{source.checksum[:12]}{suffix}"
    new = ModelRef(role="prm", path=path, checksum=source.checksum, name=source.name, from_step=step)
    _bring(source.path, source.checksum, folder.path / path)
    kept = tuple(model for model in spec.models if not (model.role == "prm" and model.from_step == step))
    fresh = msgspec.structs.replace(spec, models=(*kept, new))
    workspace.database.run(lambda c: runs.set_spec(c, run_id, msgspec.to_builtins(fresh)))
    folder.write_spec(fresh)
    return new


def _bring(source: Path, checksum: str, target: Path) -> None:
    """Have a model in the run folder, whole; one whose copying was cut short before is copied anew. Raises RunError."""
    if target.exists() and checksum_of(target) == checksum:
        return
    aside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    for left in target.parent.glob(f".{target.name}.*.tmp"):
        _remove(left)
    link(source, aside)
    if checksum_of(aside) != checksum:
        _remove(aside)
        raise RunError(f"{source} changed while it was copied; choose it again")
    _remove(target)
    aside.rename(target)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def newest_step(folder: RunFolder) -> int:
    """The optimiser step of the newest whole checkpoint, from which a resume goes on; 0 without one."""
    for path in sorted(folder.checkpoints.glob("step-*"), reverse=True):
        step = path.name.removeprefix("step-")
        if step.isdigit() and is_whole(path):
            return int(step)
    return 0


def _in_force(spec: RunSpec) -> ModelRef | None:
    found = [model for model in spec.models if model.role == "prm"]
    return max(found, key=lambda model: model.from_step, default=None)


def _replaceable(run: StoredRun, spec: RunSpec) -> ModelRef:
    if run.recipe != "rl":
        raise RunError(f"run {run.name!r} is of the recipe {run.recipe}; only rl is paid by a PRM")
    if is_code(str(spec.parameters.get("prm", ""))):
        raise RunError(f"run {run.name!r} is paid by a function of your own; start a new run to change it")
    now = _in_force(spec)
    if now is None:
        raise RunError(f"run {run.name!r} has no PRM; its advantages were never paid by step scores. Start a new run")
    return now
