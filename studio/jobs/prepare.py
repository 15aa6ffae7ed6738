"""From an order to a complete run folder and a queued run: rows frozen, models linked, lineage kept."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
from sqlalchemy import Connection

from studio.domain import new_uid, now
from studio.errors import RunError
from studio.jobs import processes
from studio.jobs.values import RunOrder
from studio.store import models, rows, runs
from studio.store.rows import Counts, Selection
from studio.workspace import Workspace
from trainer.contract.records import InputRow, ModelRef, SourceRef, Split
from trainer.contract.run_folder import RunFolder, host_name, sha256_of, sha256_of_folder
from trainer.contract.spec import RunSpec, build, parameters

Progress = Callable[[str, int, int], None]
TINY = "tiny"


@dataclass(frozen=True, slots=True)
class Source:
    """A model that lies on this machine: where, under which name it is known, and its checksum."""

    path: Path
    name: str
    checksum: str


def checked(order: RunOrder) -> RunOrder:
    """The order with every parameter filled in and the selection that its recipe needs. Raises SpecError."""
    filled = parameters(build(order.recipe, dict(order.parameters)))
    selection = replace(
        order.selection,
        labelled=order.recipe != "score",
        outcomes=order.recipe == "orm",
        alternatives=order.selection.alternatives and order.recipe == "prm",
    )
    name = order.name.strip() or f"{order.recipe} {now()[:16].replace('T', ' ')}"
    return RunOrder(order.recipe, dict(filled), selection, name, order.device)


def objections(order: RunOrder, counts: Counts) -> tuple[str, ...]:
    """Why a checked order cannot start; empty when it can."""
    found = []
    if counts.rows == 0:
        reasons = ", ".join(f"{why}: {number}" for why, number in counts.left_out.items()) or "the selection is empty"
        found.append(f"no row goes in ({reasons})")
    if order.recipe == "score" and not order.parameters["model"]:
        found.append("choose the PRM that scores")
    if order.recipe in ("prm", "orm") and counts.rows:
        if counts.per_split.get(Split.TRAIN, 0) == 0:
            found.append("every row is held out for validation or test; choose more problems")
        if order.recipe == "prm" and not (counts.negative and (counts.positive or counts.neutral)):
            found.append("all labels are on one side; a PRM needs positive and negative steps")
    return tuple(found)


def create_run(
    workspace: Workspace, order: RunOrder, progress: Progress | None = None, *, without_rows: bool = False
) -> str:
    """Make the run and queue it; returns its uid. Raises RunError and SpecError; nothing half-made is ever seen.

    `progress(phase, done, total)` may raise, which takes everything back. `without_rows`: for a run that stays, whose
    rows come with its requests; the selection is not looked at.
    """
    tell = progress or (lambda _phase, _done, _total: None)
    order, uid, database = checked(order), new_uid(), workspace.database
    run_id = database.run(
        lambda c: runs.prepare(
            c,
            uid=uid,
            name=order.name,
            recipe=order.recipe,
            device=order.device,
            host=host_name(),
            process=processes.identity(),
        )
    )
    aside = RunFolder(workspace.runs / f".{uid}")
    try:
        frozen = _freeze(workspace, order, uid, aside, tell, without_rows)
        aside.path.rename(workspace.runs / uid)
        database.write_in_slices(frozen.sources, lambda c, piece: runs.add_sources(c, run_id, piece))
        spec = msgspec.to_builtins(frozen.spec)
        database.run(lambda c: runs.enqueue(c, run_id, spec))
    except BaseException:
        discard(workspace, run_id, uid)
        raise
    return uid


def discard(workspace: Workspace, run_id: int, uid: str) -> None:
    """Remove a run that was never complete."""
    for folder in (workspace.runs / f".{uid}", workspace.runs / uid):
        shutil.rmtree(folder, ignore_errors=True)
    workspace.database.run(lambda c: runs.forget_prepared(c, run_id))


def discard_abandoned(workspace: Workspace) -> int:
    """Remove the runs whose preparation was killed; returns how many."""
    with workspace.database.read() as c:
        gone = [run for run in runs.prepared(c) if processes.surely_dead(run.message)]
    for run in gone:
        discard(workspace, run.id, run.uid)
    return len(gone)


@dataclass(frozen=True, slots=True)
class _Frozen:
    spec: RunSpec
    sources: list[SourceRef]


def _freeze(
    workspace: Workspace, order: RunOrder, uid: str, folder: RunFolder, tell: Progress, without_rows: bool
) -> _Frozen:
    sources: list[SourceRef] = []
    with workspace.database.read() as c:
        source = find_model(workspace, c, order)
        left_out = {} if without_rows else _checked_counts(c, order, tell).left_out
        spec = RunSpec(
            run=uid,
            name=order.name,
            recipe=order.recipe,
            parameters=order.parameters,
            device=order.device,
            models=() if source is None else (_reference(source),),
            selection=msgspec.to_builtins(order.selection),
            left_out=dict(left_out),
            created_at=now(),
        )
        spec = folder.create(spec, () if without_rows else _noting(c, order.selection, sources, tell))
    if source is not None:
        tell("linking the model", 0, 1)
        link(source.path, folder.path / spec.models[0].path)
    return _Frozen(spec, sources)


def _checked_counts(c: Connection, order: RunOrder, tell: Progress) -> Counts:
    counts = rows.count(c, order.selection, lambda done, total: tell("counting rows", done, total))
    problems = objections(order, counts)
    if problems:
        raise RunError(f"run {order.name!r} cannot start: {'; '.join(problems)}")
    return counts


def _noting(c: Connection, selection: Selection, sources: list[SourceRef], tell: Progress) -> Iterator[InputRow]:
    for row in rows.stream(c, selection, lambda done, total: tell("freezing rows", done, total)):
        sources.extend(row.sources)
        yield row


def find_model(workspace: Workspace, c: Connection, order: RunOrder) -> Source | None:
    """The model of an order as it lies here: a model made by a run, a folder or file; None for "tiny" and hub ids."""
    named = str(order.parameters.get("model", ""))
    if named in ("", TINY):
        return None
    known = models.find(c, named)
    path = workspace.path / known.folder if known is not None else Path(named).expanduser()
    if not path.exists():
        if known is not None or order.recipe == "score" or path.is_absolute():
            have = ", ".join(model.name for model in models.all_models(c)) or "none yet"
            raise RunError(f"there is no model {named!r} (looked at {path}); models of this workspace: {have}")
        return None  # a hub id: the worker fetches it
    checksum = sha256_of_folder(path) if path.is_dir() else sha256_of(path)
    if known is not None and known.checksum != checksum:
        raise RunError(f"model {known.name!r} in {path} is not what its run made: its checksum has changed")
    return Source(path.resolve(), known.name if known is not None else path.name, checksum)


def _reference(source: Source) -> ModelRef:
    suffix = "" if source.path.is_dir() else source.path.suffix
    return ModelRef(role="model", path=f"inputs/model{suffix}", checksum=source.checksum, name=source.name)


def link(source: Path, target: Path) -> None:
    """Hard links where the file system allows, else copies: the run keeps its model when the original is deleted."""
    if source.is_dir():
        for file in source.rglob("*"):
            if file.is_file():
                link(file, target / file.relative_to(source))
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copy2(source, target)
