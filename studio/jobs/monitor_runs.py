"""Runs of the recipe `monitor`: why one cannot start, and how much of what people said it will learn from."""

from __future__ import annotations

from sqlalchemy import Connection, func, select, union

from studio.jobs.values import RunOrder
from studio.store import batches
from studio.store import schema as s
from studio.store import schema_inspect as i
from studio.store.flags import FlagState
from trainer.contract.spec import build
from trainer.contract.specs.monitor import MonitorSpec, MonitorTask


def objections(c: Connection, order: RunOrder) -> tuple[str, ...]:
    """Why a checked order of a monitor cannot start; empty for other recipes."""
    if order.recipe != "monitor":
        return ()
    spec = build("monitor", dict(order.parameters))
    assert isinstance(spec, MonitorSpec)
    if spec.task is MonitorTask.SCORE:
        looks = spec.rules or spec.model or spec.judge or spec.judge_url
        return () if looks else ("nothing looks: switch the exact checks on, or choose a monitor or a judge",)
    if not spec.seed_examples and not reviewed(c, order):
        return ("nothing was reviewed that it could learn from: confirm or reject flags, or begin with the examples",)
    return ()


def warnings(c: Connection, order: RunOrder) -> tuple[str, ...]:
    """What a person should know before it learns."""
    if order.recipe != "monitor" or order.parameters["task"] != MonitorTask.TRAIN:
        return ()
    number = reviewed(c, order)
    if not number:
        return ("Nobody has reviewed a flag here: it learns the made-up examples alone.",)
    return (f"It learns from those {number:,} of these traces of which somebody confirmed, rejected or cleared.",)


def reviewed(c: Connection, order: RunOrder) -> int:
    """Traces of the chosen projects of which a person has said something."""
    f, m = i.flag.c, i.clean_mark.c
    said = union(
        select(f.trace_id).where(f.state.in_((FlagState.CONFIRMED.value, FlagState.REJECTED.value))),
        select(m.trace_id),
    ).subquery()
    query = (
        select(func.count(said.c.trace_id))
        .join(s.trace, s.trace.c.id == said.c.trace_id)
        .where(batches.visible(s.trace.c.batch_id))
    )
    names = order.selection.projects
    if names:
        p = s.project_trace.c
        inside = select(p.trace_id).join(s.project, s.project.c.id == p.project_id).where(s.project.c.name.in_(names))
        query = query.where(said.c.trace_id.in_(inside))
    return int(c.scalar(query) or 0)
