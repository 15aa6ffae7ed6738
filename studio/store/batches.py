"""Batches: rows that come together (an import, an ingest) and are seen by nobody until one update publishes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, delete, insert, or_, select, update

from studio.domain import Changes, Topic, changed, new_uid, now
from studio.errors import ConflictError, NotFoundError
from studio.store import schema as s
from studio.store import schema_inspect as i
from studio.store import schema_reason as r
from studio.store.database import Database

WRITING, PUBLISHED, REMOVING = "writing", "published", "removing"
Progress = Callable[[int], None]


def hidden() -> Select[int]:
    """Ids of the batches that nobody may see: few, mostly none."""
    return select(s.batch.c.id).where(s.batch.c.state != PUBLISHED)


def visible(batch_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """The condition that a row belongs to no batch or to a published one; `batch_id` is the row's column."""
    return or_(batch_id.is_(None), batch_id.not_in(hidden()))


def seen(batch_id: ColumnElement[Any]) -> ColumnElement[bool]:
    """As `visible`, for walks over very many rows: while no batch is hidden, mostly, no row is looked at for it."""
    return or_(~hidden().exists(), visible(batch_id))


def begin(
    c: Connection,
    kind: str,
    project_id: int | None = None,
    source: str = "",
    format: str = "",
    sha256: str | None = None,
    *,
    run_id: int | None = None,
) -> int:
    """Open a batch (kind: import, ingest, sample) in the name of this process; returns its id."""
    from trainer.contract.run_folder import host_name

    values = {"uid": new_uid(), "kind": kind, "state": WRITING, "project_id": project_id, "run_id": run_id}
    values |= {"source": source, "format": format, "sha256": sha256, "created_at": now()}
    key = c.execute(
        insert(s.batch).values(**values, host=host_name(), process=this_process(), report={})
    ).inserted_primary_key
    assert key is not None
    return int(key[0])


def publish(c: Connection, batch_id: int, report: dict[str, Any]) -> Changes:
    """Show all rows of the batch at once. Raises ConflictError when it is not being written (any more)."""
    done = c.execute(
        update(s.batch)
        .where(s.batch.c.id == batch_id, s.batch.c.state == WRITING)
        .values(state=PUBLISHED, published_at=now(), report=report)
    )
    if done.rowcount != 1:
        raise ConflictError(f"batch {batch_id} is not being written, so it cannot be published; import the file again")
    return changed(Topic.TRACES, Topic.ANNOTATIONS, Topic.SCORES, Topic.FLAGS, Topic.PROJECTS, Topic.ANNOTATORS)


def published(c: Connection, sha256: str, project_id: int | None = None) -> int | None:
    """The id of a published batch made from a file of this checksum (in this project, when given), if any."""
    found = select(s.batch.c.id).where(s.batch.c.sha256 == sha256, s.batch.c.state == PUBLISHED)
    if project_id is not None:
        found = found.where(s.batch.c.project_id == project_id)
    return c.scalar(found.order_by(s.batch.c.id).limit(1))


def remove(
    database: Database, batch_id: int, progress: Progress | None = None, *, stop: Callable[[], bool] | None = None
) -> bool:
    """Delete an unpublished batch with all its rows, in short transactions; False when `stop` cut it short.

    `progress` is told how many rows are gone. Raises NotFoundError, and ConflictError for a published batch.
    """
    with database.write() as c:
        state = c.scalar(select(s.batch.c.state).where(s.batch.c.id == batch_id))
        if state is None:
            raise NotFoundError(f"there is no batch {batch_id}")
        if state == PUBLISHED:
            raise ConflictError(f"batch {batch_id} is published: people may have worked on its rows, so they stay")
        c.execute(update(s.batch).where(s.batch.c.id == batch_id).values(state=REMOVING))
    return _delete_rows(database, batch_id, progress or (lambda _: None), stop or (lambda: False))


def abandoned(database: Database) -> tuple[int, ...]:
    """Unpublished batches of this machine whose process lives no more, oldest first."""
    unpublished = select(s.batch.c.id, s.batch.c.host, s.batch.c.process).where(s.batch.c.state != PUBLISHED)
    with database.read() as c:
        rows = c.execute(unpublished.order_by(s.batch.c.id)).all()
    if not rows:
        return ()
    from trainer.contract.run_folder import host_name

    return tuple(row.id for row in rows if row.host == host_name() and not lives(row.process))


def clean_abandoned(database: Database, *, stop: Callable[[], bool] | None = None) -> int:
    """Remove every abandoned batch; returns how many. Two processes may do it at once."""
    removed = 0
    for batch_id in abandoned(database):
        try:
            removed += remove(database, batch_id, stop=stop)
        except NotFoundError:  # another studio was faster
            continue
    return removed


def this_process() -> str:
    """This process as `batch.process` names it: boot, pid and creation time, to tell a reused pid."""
    import psutil

    from trainer.contract.run_folder import boot_id

    me = psutil.Process()
    return f"{boot_id()}:{me.pid}:{me.create_time():.2f}"


def lives(process: str) -> bool:
    """Whether the process of this name still lives on this machine."""
    import psutil

    from trainer.contract.run_folder import boot_id

    boot, _, rest = process.partition(":")
    pid, _, created = rest.partition(":")
    if boot != boot_id() or not pid.isdigit():
        return False
    try:
        other = psutil.Process(int(pid))
        same = abs(float(other.create_time()) - float(created)) < 1.0
        return same and bool(other.status() != psutil.STATUS_ZOMBIE)
    except (psutil.NoSuchProcess, ValueError):
        return False


# Tables with a batch of their own and no children, then what hangs on a trace. Parents follow their children; foreign
# keys are not checked meanwhile: several of the columns that a check would look up have no index.
_OWN = (
    *(s.score, s.machine_label, i.token_values, s.project_trace, i.raw_record),
    *(i.flag, i.monitor_score, i.monitor_steps, i.source_record, i.rubric_hit),
    *(r.evaluation, r.search_trace, r.search, r.route),
)
_OF_TRACE = (
    *(s.message, s.project_trace, s.lease, s.candidate, i.clean_mark, i.failure, i.rubric_hit, i.bookmark),
    r.search_trace,
)


def _delete_rows(database: Database, batch_id: int, progress: Progress, stop: Callable[[], bool]) -> bool:
    """Delete all that belongs to the batch, then the batch; every slice leaves a state from which this can go on."""
    gone = 0

    def sweep(ids: Select[int], store: Callable[[Connection, Sequence[int]], None]) -> None:
        nonlocal gone
        with database.read() as c:
            keys = c.scalars(ids).all()
        before = gone
        gone += database.write_in_slices(
            keys, store, checked=False, stop=stop, stored=lambda done: progress(before + done)
        )

    sweep(select(s.annotation.c.id).where(s.annotation.c.batch_id == batch_id), _delete_annotations)
    for table in _OWN:
        key = table.c.id if "id" in table.c else table.c.trace_id
        sweep(select(key).where(table.c.batch_id == batch_id), _deleter(table, key, batch_id))
    sweep(select(s.trace.c.id).where(s.trace.c.batch_id == batch_id), _delete_traces)
    sweep(select(s.log.c.id).where(s.log.c.batch_id == batch_id), _deleter(s.log, s.log.c.id, batch_id))
    if stop():
        return False
    with database.bulk() as c:
        c.execute(delete(s.batch).where(s.batch.c.id == batch_id))
    return True


def _deleter(table: Table, key: ColumnElement[int], batch_id: int) -> Callable[[Connection, Sequence[int]], None]:
    def run(c: Connection, keys: Sequence[int]) -> None:
        c.execute(delete(table).where(key.in_(keys), table.c.batch_id == batch_id))

    return run


def _delete_annotations(c: Connection, keys: Sequence[int]) -> None:
    c.execute(delete(s.rating).where(s.rating.c.annotation_id.in_(keys)))
    c.execute(delete(s.candidate).where(s.candidate.c.annotation_id.in_(keys)))
    c.execute(delete(s.annotation).where(s.annotation.c.id.in_(keys)))


def _delete_traces(c: Connection, keys: Sequence[int]) -> None:
    problems = c.scalars(select(s.trace.c.problem_id).where(s.trace.c.id.in_(keys)).distinct()).all()
    segmentations = select(s.segmentation.c.id).where(s.segmentation.c.trace_id.in_(keys))
    c.execute(delete(s.step).where(s.step.c.segmentation_id.in_(segmentations)))
    c.execute(delete(s.segmentation).where(s.segmentation.c.trace_id.in_(keys)))
    for table in _OF_TRACE:
        c.execute(delete(table).where(table.c.trace_id.in_(keys)))
    c.execute(delete(s.trace).where(s.trace.c.id.in_(keys)))
    used = select(s.trace.c.id).where(s.trace.c.problem_id == s.problem.c.id).exists()
    c.execute(delete(s.problem).where(s.problem.c.id.in_(problems), ~used))
