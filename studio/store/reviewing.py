"""What people need before they say something of findings: the text around one, how much is new, one trace's check."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from studio.domain import Changes, Topic, changed
from studio.errors import NotFoundError
from studio.store import batches, flags, models, monitor_records, traces
from studio.store import schema as s
from studio.store import schema_inspect as i
from studio.store.flags import Flag, FlagState
from trainer.contract.records import FlagRecord, InputRow, MonitorRecord, MonitorRef
from trainer.reasoning.segment import Span

ROOM = 700  # code points on either side of a quote
DECIDED = (FlagState.CONFIRMED.value, FlagState.REJECTED.value)


@dataclass(frozen=True, slots=True)
class Passage:
    """A span of a trace's text, word for word, with what stands around it; `more`: there is text beyond."""

    before: str
    quote: str
    after: str
    more_before: bool
    more_after: bool


@dataclass(frozen=True, slots=True)
class Case:
    """A finding as it is shown to who reviews it; `other` is what it clashes with."""

    flag: Flag
    problem: str
    model: str
    quote: Passage
    other: Passage | None


@dataclass(frozen=True, slots=True)
class Checked:
    """What one check of one trace wrote; `known`: it had been checked like this before."""

    findings: int
    known: bool
    changes: Changes


def case_of(c: Connection, flag_id: int, *, room: int = ROOM) -> Case:
    """A finding with its text. Raises NotFoundError."""
    flag = flags.get(c, flag_id)
    query = (
        select(s.trace.c.text, s.trace.c.model, s.problem.c.prompt)
        .join(s.problem, s.problem.c.id == s.trace.c.problem_id)
        .where(s.trace.c.id == flag.trace_id)
    )
    row = c.execute(query).one()
    other = None if flag.counterpart is None else _passage(row.text, flag.counterpart, room)
    return Case(flag, row.prompt, row.model or "", _passage(row.text, Span(flag.start, flag.end), room), other)


def cases_of(c: Connection, flag_ids: Sequence[int], *, room: int = ROOM) -> tuple[Case, ...]:
    """Several at once, in this order."""
    return tuple(case_of(c, flag_id, room=room) for flag_id in flag_ids)


def new_labels(c: Connection) -> int:
    """How many findings were confirmed or rejected, and traces called clean, since a monitor was last taught here."""
    taught = models.all_models(c, "monitor")
    since = ""
    if taught:
        began = c.scalar(select(s.run.c.created_at).where(s.run.c.id == taught[0].run_id))
        since = str(began or taught[0].created_at)
    f, m = i.flag.c, i.clean_mark.c
    said = select(func.count()).where(f.state.in_(DECIDED), f.reviewed_at > since, batches.visible(f.batch_id))
    clean = select(func.count(m.trace_id.distinct())).where(m.at > since)
    return int(c.scalar(said) or 0) + int(c.scalar(clean) or 0)


def row_of(c: Connection, trace_id: int) -> InputRow:
    """A trace as a monitor reads it. Raises NotFoundError."""
    trace = traces.load(c, trace_id)
    steps = trace.segmentation.steps
    return InputRow(
        id=f"{trace.uid}:{trace.segmentation.version}",
        trace=trace.uid,
        segmentation=trace.segmentation.version,
        problem=trace.problem.prompt,
        steps=tuple(trace.text[step.start : step.end] for step in steps),
        step_ids=tuple(step.id for step in steps),
        response=trace.text,
        messages=trace.messages,
        model=trace.model,
    )


def is_checked(c: Connection, trace_id: int, ref: MonitorRef) -> bool:
    """Whether this very monitor has scored the trace under its present steps."""
    m, score, cut = i.monitor.c, i.monitor_score.c, s.segmentation.c
    query = (
        select(score.id)
        .join(i.monitor, m.id == score.monitor_id)
        .join(s.segmentation, cut.id == score.segmentation_id)
        .where(score.trace_id == trace_id, cut.current == 1, m.kind == ref.kind, m.name == ref.name)
        .where(m.version == ref.version, m.training == ref.training, batches.visible(score.batch_id))
    )
    return c.scalar(query.limit(1)) is not None


def store_check(c: Connection, trace_id: int, found: Sequence[FlagRecord], scored: MonitorRecord) -> Checked:
    """Write what a check of one trace found; the same check again writes nothing. Raises NotFoundError."""
    if c.scalar(select(s.trace.c.id).where(s.trace.c.id == trace_id)) is None:
        raise NotFoundError(f"there is no trace {trace_id} in this workspace; reload the list")
    if is_checked(c, trace_id, scored.monitor):
        return Checked(len(found), True, Changes())
    batch = batches.begin(c, "ingest", source=scored.monitor.name)
    monitor_records.store_flags(c, batch, found)
    monitor_records.store_scores(c, batch, [scored])
    batches.publish(c, batch, {"flags": len(found)})
    return Checked(len(found), False, changed(Topic.FLAGS, Topic.MONITORS, traces=(trace_id,)))


def _passage(text: str, span: Span, room: int) -> Passage:
    first, last = max(0, span.start - room), min(len(text), span.end + room)
    return Passage(
        text[first : span.start], text[span.start : span.end], text[span.end : last], first > 0, last < len(text)
    )
