"""The registry of models: what a run made and where it lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, insert, or_, select

from studio.domain import Changes, Topic, changed, new_uid, now
from studio.errors import ConflictError
from studio.store.schema import model


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model; `folder` is relative to the workspace."""

    id: int
    uid: str
    name: str
    kind: str
    folder: str
    checksum: str
    run_id: int | None
    base: str
    summary: Mapping[str, float]
    created_at: str


def register(
    c: Connection,
    *,
    run_id: int,
    name: str,
    kind: str,
    folder: str,
    checksum: str,
    base: str,
    summary: Mapping[str, float],
) -> Changes:
    """Enter the model that a run made; a run has one, a second call with the same checksum changes nothing."""
    known = c.execute(select(model.c.id, model.c.checksum).where(model.c.run_id == run_id)).first()
    if known is not None:
        if known.checksum != checksum:
            raise ConflictError(f"{folder} has changed since it was registered (checksum {known.checksum[:12]})")
        return Changes()
    c.execute(
        insert(model).values(
            uid=new_uid(),
            name=name,
            kind=kind,
            folder=folder,
            checksum=checksum,
            run_id=run_id,
            base=base,
            summary=dict(summary),
            created_at=now(),
        )
    )
    return changed(Topic.MODELS, Topic.RUNS, runs=(run_id,))


def adopt(c: Connection, *, name: str, kind: str, folder: str, checksum: str, base: str) -> Changes:
    """Enter a model of the workspace that no run here made; one with this checksum and folder is entered once."""
    if c.scalar(select(model.c.id).where(model.c.checksum == checksum, model.c.folder == folder)) is not None:
        return Changes()
    entry = {"name": name, "kind": kind, "folder": folder, "checksum": checksum, "base": base}
    c.execute(insert(model).values(uid=new_uid(), run_id=None, summary={}, created_at=now(), **entry))
    return changed(Topic.MODELS)


def all_models(c: Connection, kind: str | None = None) -> tuple[StoredModel, ...]:
    """Every model, newest first; only of one kind ("prm"), if given."""
    query = select(model).order_by(model.c.id.desc())
    if kind is not None:
        query = query.where(model.c.kind == kind)
    return tuple(StoredModel(**row._mapping) for row in c.execute(query))


def find(c: Connection, name: str) -> StoredModel | None:
    """The newest model of this uid, folder or name; None when there is none."""
    same = or_(model.c.uid == name, model.c.folder == name, model.c.name == name)
    row = c.execute(select(model).where(same).order_by(model.c.id.desc())).first()
    return None if row is None else StoredModel(**row._mapping)
