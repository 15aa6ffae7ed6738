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
from studio.jobs import checks, processes, roles, suite_rows, templates, user_code
from studio.jobs.values import RunOrder
from studio.settings import Settings
from studio.store import monitor_rows, rubrics, runs
from studio.store.rows import Counts
from studio.workspace import Workspace
from trainer.contract import launch
from trainer.contract.launch import Launch
from trainer.contract.records import InputRow, SourceRef
from trainer.contract.run_folder import RunFolder, host_name
from trainer.contract.spec import RunSpec, build, parameters
from trainer.contract.specs.monitor import MonitorTask
from trainer.contract.specs.route import RouteTask

Progress = Callable[[str, int, int], None]
ASK_PROBLEMS = ("rl", "generate", "search", "route", "evaluate")  # one row a problem, whatever traces it has
ANSWER_ALONE = ("generate", "search", "route")  # what is right is told where it is known, and need not be
LEARN_FROM_RATINGS = ("prm", "orm", "sft")  # the others get rows whether or not anybody rated them


def checked(order: RunOrder) -> RunOrder:
    """The order with every parameter filled in and the selection that its recipe needs. Raises SpecError."""
    filled = parameters(build(order.recipe, dict(order.parameters)))
    recipe = order.recipe
    selection = replace(
        order.selection,
        labelled=recipe in LEARN_FROM_RATINGS,
        unrated=recipe in ("orm", "sft"),
        responses=recipe in ("sft", "autolabel", "monitor", "rubric"),
        problems=recipe in ASK_PROBLEMS,
        unreferenced=recipe in ANSWER_ALONE and filled.get("task") != RouteTask.LEARN,
        machine=order.selection.machine if recipe in ("prm", "orm") else "",
        alternatives=order.selection.alternatives and recipe == "prm",
    )
    name = order.name.strip() or f"{recipe} {now()[:16].replace('T', ' ')}"
    return suite_rows.named(replace(order, parameters=dict(filled), selection=selection, name=name))


def create_run(
    workspace: Workspace, order: RunOrder, progress: Progress | None = None, *, without_rows: bool = False
) -> str:
    """Make the run and queue it; returns its uid. Raises RunError and SpecError; nothing half-made is ever seen.

    `progress(phase, done, total)` may raise, which takes everything back. `without_rows`: for a run that stays, whose
    rows come with its requests; the selection is not looked at.
    """
    tell = progress or (lambda _phase, _done, _total: None)
    order, uid, database = _with_cache(workspace, checked(order)), new_uid(), workspace.database
    run_id = database.run(
        lambda c: runs.prepare(
            c,
            uid=uid,
            name=order.name,
            recipe=order.recipe,
            device=_place_of(order, uid),
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


def _with_cache(workspace: Workspace, order: RunOrder) -> RunOrder:
    """A router on this machine keeps its answers in the workspace, where every later run finds them."""
    if order.recipe != "route" or order.launch != Launch() or order.parameters["cache_folder"]:
        return order
    return replace(order, parameters=order.parameters | {"cache_folder": str(workspace.cache / "answers")})


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
        found = roles.find_models(workspace, c, order)
        codes = user_code.agreed(order)
        left_out = {} if without_rows else _checked_counts(c, order, tell).left_out
        spec = RunSpec(
            run=uid,
            name=order.name,
            recipe=order.recipe,
            parameters=order.parameters,
            device=order.device,
            models=tuple(source.reference() for source in found),
            code=tuple(code.reference() for code in codes),
            selection=msgspec.to_builtins(order.selection),
            left_out=dict(left_out),
            group=order.group,
            created_at=now(),
        )
        card = rubrics.card(c, str(order.parameters["rubric"])) if order.recipe == "rubric" else None
        spec = folder.create(spec, () if without_rows else _rows(c, order, sources, tell))
        if card is not None:
            card.write(folder.inputs)
    if order.launch != Launch():
        launch.keep(folder.path, order.launch, order.parameters)
    user_code.copy_into(folder.path, codes)
    for number, source in enumerate(found):
        tell("linking models", number, len(found))
        link(source.path, folder.path / source.reference().path)
    return _Frozen(spec, sources)


def _place_of(order: RunOrder, uid: str) -> str:
    """What the run waits for: a device here, or a place of its launch template. Raises RunError."""
    if not order.launch.is_elsewhere:
        return order.device
    return templates.place_of(order.launch, templates.find(Settings.load(), order.launch), uid)


def _checked_counts(c: Connection, order: RunOrder, tell: Progress) -> Counts:
    counts = suite_rows.count(c, order, lambda done, total: tell("counting rows", done, total))
    problems = checks.objections(order, counts)
    if problems:
        raise RunError(f"run {order.name!r} cannot start: {'; '.join(problems)}")
    return counts


def _rows(c: Connection, order: RunOrder, sources: list[SourceRef], tell: Progress) -> Iterator[InputRow]:
    """The rows of an order; a monitor's bring their messages, and those to learn from what people said of them."""
    found = _noting(c, order, sources, tell)
    if order.recipe not in ("monitor", "rubric"):
        return found
    return monitor_rows.dressed(c, found, reviewed=order.parameters.get("task") == MonitorTask.TRAIN.value)


def _noting(c: Connection, order: RunOrder, sources: list[SourceRef], tell: Progress) -> Iterator[InputRow]:
    for row in suite_rows.stream(c, order, lambda done, total: tell("freezing rows", done, total)):
        sources.extend(row.sources)
        yield row


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
