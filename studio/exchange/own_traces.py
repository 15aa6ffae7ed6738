"""Traces as this program keeps them, carried by its exports: what another format has no place for comes back from here.

A line of the export `jsonl` is such a trace alone. A sample of Inspect has it in `metadata.steplens`, a span of
OpenTelemetry in the attribute `steplens.trace`, beside what other programs read; `of` says of which messages it was
made, and where somebody has changed those since, they count and it does not.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import msgspec
import numpy as np
from sqlalchemy import Connection, select

from studio.exchange.foreign import ForeignMessage, ForeignTrace, Json, Lift, Taken
from studio.exchange.reading import BrokenRecord, Read
from studio.store import schema as s
from studio.store import token_values, traces
from studio.store.token_values import TokenArrays
from trainer.contract.records import Block, BlockKind
from trainer.reasoning.segment import Span

FORMAT = "steplens"
KEY = "steplens"
ATTRIBUTE = "steplens.trace"
NUMBER = "steplens.number"
REMEDY = "export it again, or take the field `steplens` out of it"


class OwnMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """One turn: its role, its blocks as (kind, start, end), and what its source said of it."""

    role: str
    blocks: tuple[tuple[BlockKind, int, int], ...] = ()
    extra: dict[str, Any] | None = None


class OwnTokens(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where tokens begin, and their values; None: not a number."""

    starts: tuple[int, ...]
    logprob: tuple[float | None, ...] | None = None
    entropy: tuple[float | None, ...] | None = None
    alternatives: tuple[tuple[tuple[str, float], ...], ...] | None = None


class OwnTrace(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything of a trace that came with it; not what was scored, rated or flagged here."""

    version: int
    problem: str
    text: str
    messages: tuple[OwnMessage, ...] = ()
    steps: tuple[tuple[int, int], ...] = ()
    reference: str | None = None
    source: str = ""
    model: str = ""
    sample: str | None = None
    epoch: int | None = None
    scores: tuple[dict[str, Any], ...] = ()
    outcome: int | None = None
    answer: str | None = None
    budget: dict[str, Any] | None = None
    extra: dict[str, Any] | None = None
    tokens: OwnTokens | None = None
    of: str = ""


def of_trace(c: Connection, trace_id: int) -> OwnTrace:
    """A stored trace. Raises NotFoundError."""
    trace = traces.load(c, trace_id)
    t, p, m = s.trace.c, s.problem.c, s.message.c
    row = c.execute(
        select(t.sample, t.epoch, t.budget, t.extra, p.source)
        .join(s.problem, p.id == t.problem_id)
        .where(t.id == trace_id)
    ).one()
    said = c.execute(select(m.role, m.blocks, m.extra).where(m.trace_id == trace_id).order_by(m.ordinal))
    extra = dict(row.extra or {})
    scores = tuple(extra.pop("scores", ()))
    return OwnTrace(
        version=1,
        problem=trace.problem.prompt,
        text=trace.text,
        messages=tuple(
            OwnMessage(one.role, tuple((BlockKind(kind), start, end) for kind, start, end in one.blocks), one.extra)
            for one in said
        ),
        steps=tuple((step.start, step.end) for step in trace.segmentation.steps),
        reference=trace.problem.reference_answer,
        source=row.source or "",
        model=trace.model,
        sample=row.sample,
        epoch=row.epoch,
        scores=scores,
        outcome=trace.outcome,
        answer=trace.answer,
        budget=row.budget,
        extra=extra or None,
        tokens=_tokens(token_values.read(c, trace_id)),
    )


def carried(own: OwnTrace) -> Json:
    """The trace as plain JSON; numbers that JSON does not have are objects of one field."""
    made = _marked(msgspec.to_builtins(own))
    assert isinstance(made, dict)
    return made


def _marked(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, float) and not math.isfinite(value):
        return {NUMBER: repr(value)}
    if isinstance(value, dict):
        return {key: _marked(each) for key, each in value.items()}
    return [_marked(each) for each in value] if isinstance(value, list | tuple) else value


def _unmarked(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, dict):
        if value.keys() == {NUMBER} and value[NUMBER] in ("nan", "inf", "-inf"):
            return float(value[NUMBER])
        return {key: _unmarked(each) for key, each in value.items()}
    return [_unmarked(each) for each in value] if isinstance(value, list) else value


def seal(*plain: object) -> str:
    """What says of which messages, as other programs read them, a trace was made."""
    return hashlib.sha256(msgspec.json.encode(plain)).hexdigest()[:32]


def matches(value: object) -> bool:
    """Whether the record is a line of the export `jsonl`."""
    return isinstance(value, dict) and isinstance(value.get(KEY), dict) and "text" in value[KEY] and len(value) == 1


def read(value: Json, line: int = 0) -> Read:
    """The trace of a line. Raises BrokenRecord."""
    taken = Taken()
    return Read((_trace(value[KEY], taken, 0, line),), taken)


def inside(holder: object, plain: tuple[object, ...], taken: Taken, number: int, line: int) -> ForeignTrace | None:
    """The trace that an object carries beside messages that are still those it was made of. Raises BrokenRecord."""
    if not isinstance(holder, dict) or holder.get("of") != seal(*plain) or "text" not in holder:
        return None
    return _trace(holder, taken, number, line)


def _trace(said: Json, taken: Taken, number: int, line: int) -> ForeignTrace:
    try:
        own = msgspec.convert(_unmarked(said), OwnTrace)
    except msgspec.ValidationError as error:
        raise BrokenRecord(f"its trace cannot be read: {error}", REMEDY) from error
    if own.version != 1:
        raise BrokenRecord(f"version {own.version} of a trace is not known here", "update this program")
    _check(own)
    taken.lifts[id(said), "text"] = Lift(number, 0, len(own.text))
    return ForeignTrace(
        problem=own.problem,
        text=own.text,
        messages=tuple(
            ForeignMessage(one.role, tuple(Block(*block) for block in one.blocks), one.extra or {})
            for one in own.messages
        ),
        reference=own.reference,
        source=own.source,
        steps=tuple(Span(*step) for step in own.steps),
        model=own.model,
        sample=own.sample,
        epoch=own.epoch,
        scores=own.scores,
        outcome=own.outcome,
        answer=own.answer,
        budget=own.budget,
        tokens=_arrays(own.tokens),
        extra=own.extra,
        line=line,
    )


def _check(own: OwnTrace) -> None:
    """Every span lies in the text and behind the one before. Raises BrokenRecord."""
    blocks = [block[1:] for message in own.messages for block in message.blocks]
    for what, spans in (("step", own.steps), ("block", tuple(blocks))):
        at = 0
        for start, end in spans:
            if not at <= start <= end <= len(own.text):
                raise BrokenRecord(f"{what} [{start}, {end}) does not lie in its text in order", REMEDY)
            at = end
    tokens = own.tokens
    if own.outcome not in (None, 0, 1):
        raise BrokenRecord(f"outcome {own.outcome} is neither 0 nor 1", REMEDY)
    if tokens is None:
        return
    ordered = all(a <= b for a, b in zip(tokens.starts, tokens.starts[1:], strict=False))
    lengths = {len(values) for values in (tokens.logprob, tokens.entropy, tokens.alternatives) if values is not None}
    if not ordered or lengths - {len(tokens.starts)} or any(not 0 <= at <= len(own.text) for at in tokens.starts):
        raise BrokenRecord("its token values do not fit its text", REMEDY)


def _tokens(arrays: TokenArrays | None) -> OwnTokens | None:
    if arrays is None:
        return None
    return OwnTokens(
        tuple(map(int, arrays.starts)), _listed(arrays.logprob), _listed(arrays.entropy), arrays.alternatives
    )


def _listed(values: Any) -> tuple[float | None, ...] | None:  # noqa: ANN401
    if values is None:
        return None
    return tuple(None if math.isnan(value) else float(value) for value in values)


def _arrays(tokens: OwnTokens | None) -> TokenArrays | None:
    if tokens is None:
        return None
    logprob, entropy = (
        None if values is None else np.array([math.nan if v is None else v for v in values], np.float32)
        for values in (tokens.logprob, tokens.entropy)
    )
    return TokenArrays(np.array(tokens.starts, np.uint32), logprob, entropy, tokens.alternatives)
