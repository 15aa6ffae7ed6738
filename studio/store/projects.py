"""Projects and the people who rate in them."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, Row, Select, bindparam, delete, exists, func, insert, literal, or_, select
from sqlalchemy import update as sql_update

from studio.domain import Annotator, Changes, Project, Topic, changed, new_uid, now
from studio.errors import ConflictError, NotFoundError
from studio.store import batches
from studio.store import schema as s

_CHUNK = 500  # ids in one IN (...)
MODES = ("phase 2", "phase 1", "thinking")


def create(c: Connection, name: str, *, mode: str = "phase 2", overlap: int = 1, guideline: str = "") -> Project:
    """Make a project. Raises ConflictError when the name is taken or a value cannot be."""
    _check(c, name=name, mode=mode, overlap=overlap)
    values = {"name": name.strip(), "mode": mode, "overlap": overlap, "guideline": guideline}
    key = c.execute(insert(s.project).values(uid=new_uid(), created_at=now(), **values)).inserted_primary_key
    assert key is not None
    return get(c, int(key[0]))


def all_projects(c: Connection) -> tuple[Project, ...]:
    """Every project, by name, with the number of its published traces."""
    return tuple(map(_project, c.execute(_projects().order_by(s.project.c.name))))


def get(c: Connection, id: int) -> Project:
    """One project. Raises NotFoundError."""
    row = c.execute(_projects().where(s.project.c.id == id)).first()
    if row is None:
        raise NotFoundError(f"there is no project {id} in this workspace; reload the list of projects")
    return _project(row)


def by_name(c: Connection, name: str) -> Project | None:
    """The project of this name, None when there is none."""
    row = c.execute(_projects().where(s.project.c.name == name.strip())).first()
    return None if row is None else _project(row)


def update(
    c: Connection,
    id: int,
    *,
    name: str | None = None,
    mode: str | None = None,
    overlap: int | None = None,
    guideline: str | None = None,
) -> Changes:
    """Change what is given; a new guideline gets a new version. Raises NotFoundError and ConflictError."""
    old = get(c, id)
    values: dict[str, object] = {}
    if name is not None and name.strip() != old.name:
        values["name"] = name.strip()
    if mode is not None and mode != old.mode:
        values["mode"] = mode
    if overlap is not None and overlap != old.overlap:
        values["overlap"] = overlap
    if guideline is not None and guideline != old.guideline:
        values |= {"guideline": guideline, "guideline_version": old.guideline_version + 1}
    if not values:
        return Changes()
    _check(
        c,
        name=str(values["name"]) if "name" in values else None,
        mode=mode or old.mode,
        overlap=old.overlap if overlap is None else overlap,
    )
    c.execute(sql_update(s.project).where(s.project.c.id == id).values(**values))
    return changed(Topic.PROJECTS)


def put_traces(c: Connection, id: int, traces: Iterable[int], *, batch_id: int | None = None) -> Changes:
    """Put traces at the end of a project, in this order; those that are there already stay where they are."""
    wanted = list(dict.fromkeys(traces))
    have: set[int] = set()
    for at in range(0, len(wanted), _CHUNK):
        there = s.project_trace.c.trace_id.in_(wanted[at : at + _CHUNK])
        have |= set(c.scalars(select(s.project_trace.c.trace_id).where(s.project_trace.c.project_id == id, there)))
    last = c.scalar(select(func.max(s.project_trace.c.position)).where(s.project_trace.c.project_id == id))
    start = 0 if last is None else int(last) + 1
    fresh = [trace for trace in wanted if trace not in have]
    if not fresh:
        return Changes()
    rows = [
        {"project_id": id, "trace_id": trace, "position": start + at, "batch_id": batch_id}
        for at, trace in enumerate(fresh)
    ]
    c.execute(insert(s.project_trace), rows)
    return changed(Topic.PROJECTS, Topic.TRACES, traces=tuple(fresh))


def put_batch(c: Connection, id: int, batch_id: int) -> Changes:
    """Put all traces of a batch at the end of a project that has none of them, in the order of their lines."""
    last = c.scalar(select(func.max(s.project_trace.c.position)).where(s.project_trace.c.project_id == id))
    first = 0 if last is None else int(last) + 1
    place = func.row_number().over(order_by=(s.trace.c.line, s.trace.c.id)) + (first - 1)
    rows = select(literal(id), s.trace.c.id, place, literal(batch_id)).where(s.trace.c.batch_id == batch_id)
    columns = ["project_id", "trace_id", "position", "batch_id"]
    c.execute(insert(s.project_trace).from_select(columns, rows, include_defaults=False))
    return changed(Topic.PROJECTS, Topic.TRACES)


def take_traces(c: Connection, id: int, traces: Iterable[int]) -> Changes:
    """Take traces out of a project's queue; what people said of them stays."""
    gone = tuple(traces)
    where = s.project_trace.c.trace_id == bindparam("trace")
    for trace in gone:
        c.execute(delete(s.project_trace).where(s.project_trace.c.project_id == id, where), {"trace": trace})
    return changed(Topic.PROJECTS, Topic.TRACES, traces=gone)


def of_trace(c: Connection, trace_id: int) -> tuple[int, ...]:
    """The projects a trace stands in."""
    placed = s.project_trace.c
    query = select(placed.project_id).where(placed.trace_id == trace_id).order_by(placed.project_id)
    return tuple(c.scalars(query))


def is_rated(c: Connection, trace_id: int) -> bool:
    """Whether somebody has begun to rate a trace, in whatever project."""
    begun = select(s.annotation.c.id).where(s.annotation.c.trace_id == trace_id, s.annotation.c.state != "void")
    return c.scalar(begun.limit(1)) is not None


def annotators(c: Connection) -> tuple[Annotator, ...]:
    """Everybody who rates here or came with a published import, by name."""
    seen = exists().where(
        s.annotation.c.project_id == s.project.c.id,
        s.annotation.c.annotator_id == s.annotator.c.id,
        batches.visible(s.annotation.c.batch_id),
    )
    known = or_(s.annotator.c.origin != "imported", select(s.project.c.id).where(seen).exists())
    rows = c.execute(select(s.annotator).where(known).order_by(s.annotator.c.name, s.annotator.c.id))
    return tuple(map(_annotator, rows))


def annotator(c: Connection, id: int) -> Annotator:
    """One person. Raises NotFoundError."""
    row = c.execute(select(s.annotator).where(s.annotator.c.id == id)).first()
    if row is None:
        raise NotFoundError(f"there is no annotator {id} in this workspace")
    return _annotator(row)


def ensure_annotator(
    c: Connection, name: str, *, uid: str | None = None, origin: str = "here", role: str = "annotator"
) -> Annotator:
    """The person of this uid, else (without a uid) of this name and origin; made when there is none."""
    same = s.annotator.c.uid == uid
    if uid is None:
        same = (s.annotator.c.name == name) & (s.annotator.c.origin == origin)
    row = c.execute(select(s.annotator).where(same).order_by(s.annotator.c.id)).first()
    if row is not None:
        return _annotator(row)
    values = {"uid": uid or new_uid(), "name": name, "role": role, "origin": origin, "created_at": now()}
    key = c.execute(insert(s.annotator).values(**values)).inserted_primary_key
    assert key is not None
    return Annotator(int(key[0]), str(values["uid"]), name, role, origin)


def _check(c: Connection, *, name: str | None, mode: str, overlap: int) -> None:
    if name is not None and not name.strip():
        raise ConflictError("a project needs a name")
    if name is not None and by_name(c, name) is not None:
        raise ConflictError(f"there is a project {name.strip()!r} already; choose another name")
    if mode not in MODES:
        raise ConflictError(f"no mode {mode!r}; there are: {', '.join(MODES)}")
    if overlap < 1:
        raise ConflictError(f"overlap {overlap}: at least one annotator is needed")


def _projects() -> Select[tuple[object, ...]]:
    here = s.project_trace.c.project_id == s.project.c.id
    hidden = (
        select(func.count()).where(here, s.project_trace.c.batch_id.in_(batches.hidden())).correlate(s.project)
    ).scalar_subquery()
    total = select(func.count()).where(here).correlate(s.project).scalar_subquery()
    p = s.project.c
    return select(
        p.id, p.uid, p.name, p.mode, p.overlap, p.guideline, p.guideline_version, (total - hidden).label("traces")
    )


def _project(row: Row[tuple[object, ...]]) -> Project:
    return Project(**row._mapping)


def _annotator(row: Row[tuple[object, ...]]) -> Annotator:
    m = row._mapping
    return Annotator(m["id"], m["uid"], m["name"], m["role"], m["origin"])
