"""What a monitor's rows bring besides steps: messages, the model that wrote them, and what people said of findings."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

import msgspec
from sqlalchemy import Connection, select

from studio.store import flags
from studio.store import schema as s
from trainer.contract.records import Block, BlockKind, InputRow, Message

PIECE = 500


def dressed(c: Connection, rows: Iterable[InputRow], *, reviewed: bool = False) -> Iterator[InputRow]:
    """The rows with all that; `reviewed`: only those of which somebody has said something."""
    for piece in _batched(rows):
        uids = [row.trace for row in piece]
        found = c.execute(select(s.trace.c.id, s.trace.c.uid, s.trace.c.model).where(s.trace.c.uid.in_(uids))).all()
        ids = {one.uid: one.id for one in found}
        models = {one.uid: one.model for one in found}
        messages = _messages(c, list(ids.values()))
        said = flags.said_of(c, list(ids.values()))
        for row in piece:
            trace_id = ids[row.trace]
            mine = said.get(trace_id, ())
            if mine or not reviewed:
                yield msgspec.structs.replace(
                    row, messages=messages.get(trace_id, ()), said=mine, model=models[row.trace]
                )


def _batched(rows: Iterable[InputRow]) -> Iterator[tuple[InputRow, ...]]:
    waiting = iter(rows)
    while piece := tuple(itertools.islice(waiting, PIECE)):
        yield piece


def _messages(c: Connection, trace_ids: list[int]) -> dict[int, tuple[Message, ...]]:
    """The messages of traces, in order."""
    m = s.message.c
    query = select(m.trace_id, m.role, m.blocks).where(m.trace_id.in_(trace_ids)).order_by(m.trace_id, m.ordinal)
    out: dict[int, list[Message]] = {}
    for row in c.execute(query):
        blocks = tuple(Block(BlockKind(kind), start, end) for kind, start, end in row.blocks)
        out.setdefault(row.trace_id, []).append(Message(row.role, blocks))
    return {trace_id: tuple(found) for trace_id, found in out.items()}
