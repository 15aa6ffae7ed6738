"""Editing the steps of a trace: every edit is a new version; ids of steps that stay are kept, older versions too."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from sqlalchemy import Connection, func, select, update
from sqlalchemy import insert as insert_into

from studio.domain import AnnotationState, Changes, Topic, changed, now
from studio.errors import ConflictError
from studio.store import traces
from studio.store.schema import annotation, segmentation, step
from trainer.contract.records import Step
from trainer.reasoning import ideas

EDITED = "edited"
LINES = "lines"
GIVEN = "given"  # the steps came with the trace
IDEAS = ideas.VERSION.split()[0]


def in_words(method: str) -> str:
    """How the steps of a trace came about; an import of an earlier version does not say it."""
    if method.split(" ")[0] == IDEAS:
        return "cut by idea"
    known = {EDITED: "cut by hand", LINES: "cut by lines", GIVEN: "came with the trace", "import": "as imported"}
    return known.get(method, method)


def spans_of(c: Connection, segmentation_id: int) -> tuple[tuple[int, int], ...]:
    """Where the steps of a version, which need not be the present one, begin and end, in order."""
    of = step.c.segmentation_id == segmentation_id
    rows = c.execute(select(step.c.start, step.c.end).where(of).order_by(step.c.ordinal))
    return tuple((row.start, row.end) for row in rows)


def split(c: Connection, trace_id: int, ordinal: int, at: int, annotator_id: int) -> Changes:
    """Cut a step in two before code point `at` of the trace; the first part keeps its id, the second has a new one.

    Raises NotFoundError, and ConflictError where nothing would stand on one side or people have rated the steps.
    """
    trace = traces.load(c, trace_id)
    _check(c, trace_id, trace.segmentation.id)
    steps = list(trace.segmentation.steps)
    if not 0 <= ordinal < len(steps):
        raise ConflictError(f"trace {trace_id} has no step {ordinal + 1}; it has {len(steps)}")
    old = steps[ordinal]
    left, right = trace.text[old.start : at].rstrip(), trace.text[at : old.end].lstrip()
    if not left.strip() or not right.strip() or not old.start < at < old.end:
        raise ConflictError("there must be text on both sides of the cut; put the caret inside the step")
    first = Step(old.id, old.start, old.start + len(left))
    second = Step(_next_id(c, trace_id), old.end - len(right), old.end)
    return _store(c, trace_id, [*steps[:ordinal], first, second, *steps[ordinal + 1 :]], annotator_id)


def join(c: Connection, trace_id: int, ordinal: int, annotator_id: int) -> Changes:
    """Make one step of a step and the next one; it keeps the first one's id. Raises NotFoundError, ConflictError."""
    trace = traces.load(c, trace_id)
    _check(c, trace_id, trace.segmentation.id)
    steps = list(trace.segmentation.steps)
    if not 0 <= ordinal < len(steps) - 1:
        raise ConflictError("there is no next step to join with")
    for message in trace.messages:
        for block in message.blocks:
            if block.start <= steps[ordinal].start < block.end <= steps[ordinal + 1].start:
                raise ConflictError(f"the next step is not {block.kind.value}; steps of two kinds are not joined")
    whole = Step(steps[ordinal].id, steps[ordinal].start, steps[ordinal + 1].end)
    return _store(c, trace_id, [*steps[:ordinal], whole, *steps[ordinal + 2 :]], annotator_id)


def by_idea(c: Connection, trace_id: int, annotator_id: int) -> Changes:
    """Cut a trace anew by idea (`trainer.reasoning.ideas`), within what its present steps cover of each block.

    A step that stays keeps its id. Raises NotFoundError, and ConflictError where people have rated the steps or nothing
    changes.
    """
    trace = traces.load(c, trace_id)
    _check(c, trace_id, trace.segmentation.id)
    blocks = [(block.start, block.end) for message in trace.messages for block in message.blocks]
    covered: list[tuple[int, int]] = []
    for old in trace.segmentation.steps:
        inside = next((block for block in blocks if block[0] <= old.start < block[1]), (0, len(trace.text)))
        last = covered[-1] if covered else (-1, -1)
        joins = inside[0] <= last[0] < inside[1] and not trace.text[last[1] : old.start].strip()
        covered[-1 if joins else len(covered) :] = [(last[0] if joins else old.start, old.end)]
    spans = [span for start, end in covered for span in ideas.segment_ideas(trace.text, start, end)]
    known = {(step.start, step.end): step.id for step in trace.segmentation.steps}
    if {(span.start, span.end) for span in spans} == known.keys():
        raise ConflictError("the steps of this trace are cut by idea already")
    new = itertools.count(_next_id(c, trace_id))
    made = []
    for span in spans:
        kept = known.get((span.start, span.end))
        made.append(Step(next(new) if kept is None else kept, span.start, span.end))
    return _store(c, trace_id, made, annotator_id, ideas.VERSION)


def take_back(c: Connection, trace_id: int) -> Changes:
    """Make the version before the last edit the current one again. Raises ConflictError when there is none."""
    rows = c.execute(
        select(segmentation.c.id, segmentation.c.version, segmentation.c.current)
        .where(segmentation.c.trace_id == trace_id)
        .order_by(segmentation.c.version)
    ).all()
    here = next((place for place, row in enumerate(rows) if row.current), 0)
    if not rows or here == 0:
        raise ConflictError("the steps of this trace are as they came: there is no edit to take back")
    _check(c, trace_id, rows[here].id)
    _make_current(c, trace_id, rows[here - 1].id)
    return changed(Topic.TRACES, traces=(trace_id,))


def _check(c: Connection, trace_id: int, segmentation_id: int) -> None:
    rated = select(func.count()).where(
        annotation.c.trace_id == trace_id,
        annotation.c.segmentation_id == segmentation_id,
        annotation.c.batch_id.is_(None),
        annotation.c.state != AnnotationState.VOID.value,
    )
    if count := int(c.scalar(rated) or 0):
        people = f"{count} annotation{'' if count == 1 else 's'}"
        raise ConflictError(f"these steps have {people} made here: other steps would make them worthless")


def _next_id(c: Connection, trace_id: int) -> int:
    """An id that no version of the trace's steps has had."""
    query = select(func.max(step.c.step_id)).join(segmentation, segmentation.c.id == step.c.segmentation_id)
    return int(c.scalar(query.where(segmentation.c.trace_id == trace_id)) or 0) + 1


def _store(c: Connection, trace_id: int, steps: Sequence[Step], annotator_id: int, method: str = EDITED) -> Changes:
    last = c.scalar(select(func.max(segmentation.c.version)).where(segmentation.c.trace_id == trace_id))
    values = {
        "trace_id": trace_id,
        "version": int(last or 0) + 1,
        "method": method,
        "annotator_id": annotator_id,
        "current": 0,
        "created_at": now(),
        "steps": len(steps),
    }
    key = c.execute(insert_into(segmentation).values(**values)).inserted_primary_key
    assert key is not None
    rows = [
        {"segmentation_id": key[0], "ordinal": ordinal, "step_id": each.id, "start": each.start, "end": each.end}
        for ordinal, each in enumerate(steps)
    ]
    c.execute(insert_into(step), rows)
    _make_current(c, trace_id, int(key[0]))
    return changed(Topic.TRACES, traces=(trace_id,))


def _make_current(c: Connection, trace_id: int, segmentation_id: int) -> None:
    mine = segmentation.c.trace_id == trace_id
    c.execute(update(segmentation).where(mine).values(current=0))
    c.execute(update(segmentation).where(segmentation.c.id == segmentation_id).values(current=1))
