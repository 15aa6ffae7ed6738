"""Runs as the database knows them: creation, changes of state, the queue of a device, lineage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, and_, delete, func, insert, select, text, update

from studio.domain import Changes, Topic, changed, now
from studio.errors import ConflictError, NotFoundError
from studio.store.schema import annotation, model, run, run_source
from trainer.contract.records import SourceRef
from trainer.contract.spec import Value


class StoredState(StrEnum):
    """What the table says; what a started run is doing is read from its folder."""

    PREPARING = "preparing"  # rows are being frozen; nobody sees it
    QUEUED = "queued"
    STARTED = "started"
    PAUSED = "paused"
    FINISHED = "finished"
    CANCELLED = "cancelled"
    FAILED = "failed"
    CRASHED = "crashed"


ENDED = (StoredState.FINISHED, StoredState.CANCELLED, StoredState.FAILED, StoredState.CRASHED)
RESUMABLE = (StoredState.PAUSED, StoredState.CANCELLED, StoredState.FAILED, StoredState.CRASHED)


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A row of the run table, with the folder of the model it made."""

    id: int
    uid: str
    name: str
    recipe: str
    state: StoredState
    device: str
    place: float
    host: str
    folder: str
    rows: int
    attempts: int
    message: str
    summary: Mapping[str, float]
    ingest_offset: int
    ingested: int
    ingested_attempt: int
    requeue: int
    stale: int
    created_at: str
    started_at: str | None
    ended_at: str | None
    model_folder: str | None
    resident: bool = False  # it stays and answers requests
    group: str = ""  # the same for all runs of one grid
    idle_minutes: float = 0.0  # after which a resident run ends

    @property
    def needs_ingest(self) -> bool:
        """Whether its last attempt ended for good and is not in the store."""
        return self.state in ENDED and self.ingested_attempt < self.attempts


def prepare(c: Connection, *, uid: str, name: str, recipe: str, device: str, host: str, process: str) -> int:
    """A row that nobody sees yet; `process` names who prepares it, so that a crash can be told from work."""
    values = {
        "uid": uid,
        "name": name,
        "recipe": recipe,
        "device": device,
        "host": host,
        "folder": f"runs/{uid}",
        "state": StoredState.PREPARING.value,
        "message": process,
        "spec": {},
        "created_at": now(),
    }
    key = c.execute(insert(run).values(**values)).inserted_primary_key
    assert key is not None
    return int(key[0])


def add_sources(c: Connection, run_id: int, sources: Sequence[SourceRef]) -> None:
    """Lineage: the annotations that the rows were made from."""
    if sources:
        c.execute(
            text(
                "INSERT OR IGNORE INTO run_source (run_id, annotation_id, revision) "
                "SELECT :run, id, :revision FROM annotation WHERE uid = :uid"
            ),
            [{"run": run_id, "revision": each.revision, "uid": each.annotation} for each in sources],
        )


def enqueue(c: Connection, run_id: int, spec: Mapping[str, Any]) -> Changes:
    """The prepared run is complete: it goes to the end of its device's queue and is seen.

    It is stale at once when an annotation it uses was changed while its rows were frozen; later `annotations` marks it.
    """
    newer = (
        select(run_source.c.run_id)
        .join(annotation, annotation.c.id == run_source.c.annotation_id)
        .where(run_source.c.run_id == run_id, annotation.c.revision > run_source.c.revision)
    )
    stale = int(c.execute(newer.limit(1)).first() is not None)
    last = select(func.coalesce(func.max(run.c.place), 0.0)).where(run.c.device == _device_of(run_id))
    place = float(c.scalar(last) or 0.0) + 1.0
    c.execute(
        update(run)
        .where(run.c.id == run_id, run.c.state == StoredState.PREPARING.value)
        .values(state=StoredState.QUEUED.value, spec=dict(spec), place=place, message="", stale=stale)
    )
    return changed(Topic.RUNS, runs=(run_id,))


def prepared(c: Connection) -> tuple[StoredRun, ...]:
    """Runs whose preparation goes on, or was killed; `message` names the process."""
    return _rows(c, run.c.state == StoredState.PREPARING.value)


def forget_prepared(c: Connection, run_id: int) -> None:
    """Remove a run that was never complete."""
    if c.scalar(select(run.c.state).where(run.c.id == run_id)) == StoredState.PREPARING.value:
        c.execute(delete(run_source).where(run_source.c.run_id == run_id))
        c.execute(delete(run).where(run.c.id == run_id))


def all_runs(c: Connection) -> tuple[StoredRun, ...]:
    """Every complete run, newest first."""
    return _rows(c, run.c.state != StoredState.PREPARING.value)


def get(c: Connection, run_id: int) -> StoredRun:
    """One run. Raises NotFoundError."""
    found = _rows(c, run.c.id == run_id)
    if not found:
        raise NotFoundError(f"there is no run {run_id} in this workspace")
    return found[0]


def by_uid(c: Connection, uid: str) -> StoredRun:
    """The run of this uid. Raises NotFoundError."""
    found = _rows(c, run.c.uid == uid)
    if not found:
        raise NotFoundError(f"there is no run {uid!r} in this workspace; `steplens runs` lists them")
    return found[0]


def residents(
    c: Connection, recipe: str, models: Mapping[str, str], parameters: Mapping[str, Value], device: str, host: str
) -> tuple[StoredRun, ...]:
    """Runs that answer, or can be woken to answer, requests with these models: started first, newest.

    `models` are checksums by role, no more and no fewer; of `parameters` every one must agree.
    """
    found = _rows(
        c,
        and_(
            run.c.recipe == recipe,
            run.c.device == device,
            run.c.host == host,
            run.c.state.not_in([StoredState.PREPARING.value, StoredState.CANCELLED.value, StoredState.FAILED.value]),
            func.json_extract(run.c.spec, "$.parameters.resident") == 1,
        ),
    )
    specs = dict(c.execute(select(run.c.id, run.c.spec).where(run.c.id.in_([each.id for each in found]))).all())
    found = tuple(each for each in found if _fits(specs[each.id], models, parameters))
    rank = {StoredState.STARTED: 0, StoredState.QUEUED: 1}
    return tuple(sorted(found, key=lambda each: rank.get(each.state, 2)))


def _fits(spec: dict[str, Any], models: Mapping[str, str], parameters: Mapping[str, Value]) -> bool:
    known = {model["role"]: model["checksum"] for model in spec["models"]}
    return known == dict(models) and all(spec["parameters"].get(name) == value for name, value in parameters.items())


def wake(c: Connection, run_id: int) -> Changes:
    """A resident run that has ended, or was paused, is wanted again: first in its device's queue, whatever waits."""
    row = get(c, run_id)
    if not row.resident or row.state in (StoredState.QUEUED, StoredState.STARTED, StoredState.PREPARING):
        return Changes()
    place = _first_place(c, row)
    c.execute(update(run).where(run.c.id == run_id).values(state=StoredState.QUEUED.value, place=place, message=""))
    return changed(Topic.RUNS, runs=(run_id,))


def claim(c: Connection, run_id: int, before: Callable[[], None] = lambda: None) -> int | None:
    """Take a queued run to start it, when nothing is started on its device: the new attempt's number, else None.

    `before` is called inside the transaction, once it is certain that the run is ours.
    """
    row = get(c, run_id)
    busy = select(run.c.id).where(
        run.c.device == row.device, run.c.host == row.host, run.c.state == StoredState.STARTED.value
    )
    if row.state is not StoredState.QUEUED or c.execute(busy).first() is not None:
        return None
    before()
    attempt = row.attempts + 1
    c.execute(
        update(run)
        .where(run.c.id == run_id)
        .values(
            state=StoredState.STARTED.value,
            attempts=attempt,
            started_at=row.started_at or now(),
            ended_at=None,
            message="",
            requeue=0,
        )
    )
    return attempt


def settle(
    c: Connection,
    run_id: int,
    attempt: int,
    state: StoredState,
    *,
    message: str = "",
    summary: Mapping[str, float] | None = None,
) -> Changes:
    """An attempt has ended; a pause that asked for it goes back to the queue. Nothing happens when settled before."""
    row = get(c, run_id)
    if row.state is not StoredState.STARTED or row.attempts != attempt:
        return Changes()
    if state is StoredState.PAUSED and row.requeue:
        state, message = StoredState.QUEUED, "goes on when its device is free"
    values: dict[str, Any] = {"state": state.value, "message": message, "ended_at": now(), "requeue": 0}
    if summary:
        values["summary"] = dict(summary)
    c.execute(update(run).where(run.c.id == run_id).values(**values))
    return changed(Topic.RUNS, runs=(run_id,))


def requeue(c: Connection, run_id: int) -> Changes:
    """Resume: back to the queue, at its end. Raises ConflictError when it has nothing to go on with."""
    row = get(c, run_id)
    if row.state not in RESUMABLE:
        raise ConflictError(f"run {row.name!r} is {row.state}; only a run that has stopped can be resumed")
    last = c.scalar(select(func.max(run.c.place)).where(run.c.device == row.device))
    c.execute(
        update(run)
        .where(run.c.id == run_id)
        .values(state=StoredState.QUEUED.value, place=float(last or 0.0) + 1.0, message="")
    )
    return changed(Topic.RUNS, runs=(run_id,))


def set_spec(c: Connection, run_id: int, spec: Mapping[str, Any]) -> Changes:
    """The spec as its folder has it now, with another model. Raises ConflictError while it runs."""
    row = get(c, run_id)
    if row.state not in RESUMABLE:
        raise ConflictError(f"run {row.name!r} is {row.state}; its models can only be changed while it rests")
    c.execute(update(run).where(run.c.id == run_id).values(spec=dict(spec)))
    return changed(Topic.RUNS, runs=(run_id,))


def put_first(c: Connection, run_id: int) -> Changes:
    """Before all that wait or run on its device; a paused run is queued by it."""
    row = get(c, run_id)
    if row.state not in (*RESUMABLE, StoredState.QUEUED):
        raise ConflictError(f"run {row.name!r} is {row.state}; only a run that waits can be put first")
    place = _first_place(c, row)
    c.execute(update(run).where(run.c.id == run_id).values(state=StoredState.QUEUED.value, place=place, message=""))
    return changed(Topic.RUNS, runs=(run_id,))


def stop_waiting(c: Connection, run_id: int, state: StoredState) -> bool:
    """Pause a queued run, or cancel a queued or paused one, of which no worker knows; False when one may."""
    row = get(c, run_id)
    waiting = (StoredState.QUEUED,) if state is StoredState.PAUSED else (StoredState.QUEUED, StoredState.PAUSED)
    if row.state not in waiting:
        return False
    ended = {} if state is StoredState.PAUSED else {"ended_at": now()}
    c.execute(update(run).where(run.c.id == run_id).values(state=state.value, message="", **ended))
    return True


def set_requeue(c: Connection, run_id: int, on: bool) -> None:
    """Whether the coming pause of a started run is one after which it goes back to the queue."""
    c.execute(update(run).where(run.c.id == run_id).values(requeue=int(on)))


def refuse(c: Connection, run_id: int, message: str) -> Changes:
    """A queued run cannot be started: it waits, paused, until a person resumes it."""
    c.execute(
        update(run)
        .where(run.c.id == run_id, run.c.state == StoredState.QUEUED.value)
        .values(state=StoredState.PAUSED.value, message=message)
    )
    return changed(Topic.RUNS, runs=(run_id,))


def _first_place(c: Connection, row: StoredRun) -> float:
    """A place before all that wait or run on its device."""
    first = c.scalar(
        select(func.min(run.c.place)).where(
            run.c.device == row.device,
            run.c.host == row.host,
            run.c.state.in_([StoredState.QUEUED.value, StoredState.STARTED.value]),
        )
    )
    return row.place if first is None else float(first) - 1.0


def _device_of(run_id: int) -> Any:  # noqa: ANN401 - a scalar subquery
    inner = run.alias()
    return select(inner.c.device).where(inner.c.id == run_id).scalar_subquery()


def _rows(c: Connection, where: Any) -> tuple[StoredRun, ...]:  # noqa: ANN401 - a SQL condition
    made = select(func.max(model.c.folder)).where(model.c.run_id == run.c.id).correlate(run).scalar_subquery()
    columns: list[Any] = [column for column in run.c if column is not run.c.spec]
    rows = func.coalesce(func.json_extract(run.c.spec, "$.input_rows"), 0).label("rows")
    resident = func.coalesce(func.json_extract(run.c.spec, "$.parameters.resident"), 0).label("resident")
    idle = func.coalesce(func.json_extract(run.c.spec, "$.parameters.idle_minutes"), 0.0).label("idle_minutes")
    group = func.coalesce(func.json_extract(run.c.spec, "$.group"), "").label("group")
    query = select(*columns, rows, made.label("model_folder"), resident, idle, group).where(where)
    return tuple(_run(row) for row in c.execute(query.order_by(run.c.id.desc())))


def _run(row: Any) -> StoredRun:  # noqa: ANN401 - a Row of all columns
    values = dict(row._mapping)
    values["state"] = StoredState(values["state"])
    values["resident"] = bool(values["resident"])
    return StoredRun(**values)
