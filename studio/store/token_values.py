"""Values of single tokens: packed arrays in chunks, never a row a token, read by the window that is looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, delete, func, select
from sqlalchemy import insert as insert_into

from studio.errors import StoreError
from studio.store import batches
from studio.store.schema_inspect import token_values

CHUNK = 4096  # tokens
STARTS, LOGPROB, ENTROPY, ALTERNATIVES = "offsets", "logprob", "entropy", "alternatives"
Floats = NDArray[np.float32]
Offsets = NDArray[np.uint32]
Alternatives = tuple[tuple[tuple[str, float], ...], ...]

_decode_alternatives = msgspec.msgpack.Decoder(Alternatives).decode


@dataclass(frozen=True, slots=True)
class TokenArrays:
    """Tokens of a trace in order: `starts` [n] are code points of its text, ascending; a token ends at the next.

    `logprob` [n] of the token that was drawn, `entropy` [n] of the distribution it was drawn from, both in nats, NaN
    where unknown; `alternatives` [n] are (token, log-probability), most likely first, empty where unknown. None = the
    source has none at all.
    """

    starts: Offsets
    logprob: Floats | None = None
    entropy: Floats | None = None
    alternatives: Alternatives | None = None

    def __len__(self) -> int:
        return len(self.starts)


def put(c: Connection, trace_id: int, batch_id: int, arrays: TokenArrays) -> None:
    """Store a trace's token values in the place of those it had. Raises StoreError when they do not fit together."""
    _check(trace_id, arrays)
    c.execute(delete(token_values).where(token_values.c.trace_id == trace_id))
    rows: list[dict[str, Any]] = []
    for chunk, first in enumerate(range(0, len(arrays), CHUNK)):
        part = slice(first, first + CHUNK)
        packed = {STARTS: arrays.starts[part].astype("<u4").tobytes()}
        for name, values in ((LOGPROB, arrays.logprob), (ENTROPY, arrays.entropy)):
            if values is not None:
                packed[name] = values[part].astype("<f4").tobytes()
        if arrays.alternatives is not None:
            packed[ALTERNATIVES] = msgspec.msgpack.encode(arrays.alternatives[part])
        rows += [
            {"trace_id": trace_id, "name": name, "chunk": chunk, "batch_id": batch_id, "data": data}
            for name, data in packed.items()
        ]
    if rows:
        c.execute(insert_into(token_values), rows)


def read(
    c: Connection, trace_id: int, first: int = 0, last: int | None = None, *, alternatives: bool = True
) -> TokenArrays | None:
    """Tokens [first, last) of a trace; None when nothing is stored of its tokens, or not yet published."""
    query = (
        select(token_values.c.name, token_values.c.chunk, token_values.c.data)
        .where(token_values.c.trace_id == trace_id, batches.visible(token_values.c.batch_id))
        .where(token_values.c.chunk >= first // CHUNK)
        .order_by(token_values.c.chunk)
    )
    if last is not None:
        query = query.where(token_values.c.chunk <= max(last - 1, first) // CHUNK)
    if not alternatives:
        query = query.where(token_values.c.name != ALTERNATIVES)
    found: dict[str, list[bytes]] = {}
    for name, _, data in c.execute(query):
        found.setdefault(name, []).append(data)
    if STARTS not in found:
        return None if count(c, trace_id) == 0 else TokenArrays(np.empty(0, np.uint32))
    begin = first % CHUNK
    window = slice(begin, None if last is None else begin + max(0, last - first))
    return TokenArrays(
        np.frombuffer(b"".join(found[STARTS]), "<u4")[window],
        _floats(found, LOGPROB, window),
        _floats(found, ENTROPY, window),
        _alternatives(found, window),
    )


def count(c: Connection, trace_id: int) -> int:
    """How many tokens of a trace have values that may be seen."""
    length = func.coalesce(func.sum(func.length(token_values.c.data)), 0)
    query = select(length).where(token_values.c.trace_id == trace_id, token_values.c.name == STARTS)
    return int(c.scalar(query.where(batches.visible(token_values.c.batch_id))) or 0) // 4


def _floats(found: dict[str, list[bytes]], name: str, window: slice) -> Floats | None:
    return np.frombuffer(b"".join(found[name]), "<f4")[window] if name in found else None


def _alternatives(found: dict[str, list[bytes]], window: slice) -> Alternatives | None:
    if ALTERNATIVES not in found:
        return None
    return tuple(each for data in found[ALTERNATIVES] for each in _decode_alternatives(data))[window]


def _check(trace_id: int, arrays: TokenArrays) -> None:
    length = len(arrays)
    for name, values in ((LOGPROB, arrays.logprob), (ENTROPY, arrays.entropy), (ALTERNATIVES, arrays.alternatives)):
        if values is not None and len(values) != length:
            raise StoreError(f"trace {trace_id}: {len(values)} values of {name} for {length} tokens")
    if length > 1 and bool(np.any(np.diff(arrays.starts.astype(np.int64)) < 0)):
        raise StoreError(f"trace {trace_id}: tokens must come in the order of the text")
