"""What remains of a record when its texts have moved into traces: with their texts it gives the record back, by value.

A string that stands in a trace is kept as a place in it. So the tables hold every text once, and every key, number and
string of the source that has no column of its own is kept, known to us or not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zstandard import ZstdCompressor, ZstdDecompressor

from studio.exchange.foreign import Lift, Taken
from studio.exchange.reading import STYLES

SIGN = "\x00"  # begins a place; a string of the source that begins so is kept with a second one before it
INNER = SIGN + "json"  # the only key of an object: a string that is JSON itself
SHORTEST = 48  # a string of this length that stands in a trace anyway is not kept twice
LARGEST = 1 << 30
Place = tuple[int, object]


@dataclass(frozen=True, slots=True)
class _Maker:
    taken: Taken
    again: Mapping[str, Lift]
    records: Mapping[int, int] = field(default_factory=dict)

    def of(self, value: object, at: Place = (0, None)) -> object:
        if isinstance(value, str):
            return self._of_text(value, at)
        if isinstance(value, dict):
            if (ordinal := self.records.get(id(value))) is not None:
                return f"{SIGN}#{ordinal}"
            place = id(value)
            return {
                (SIGN + key if key.startswith(SIGN) else key): self.of(each, (place, key))
                for key, each in value.items()
            }
        if isinstance(value, list):
            place = id(value)
            return [self.of(each, (place, index)) for index, each in enumerate(value)]
        return value

    def _of_text(self, value: str, at: Place) -> object:
        lift = self.taken.lifts.get(at)
        if lift is None and len(value) >= SHORTEST:
            lift = self.again.get(value)
        if lift is not None:
            return f"{SIGN}{lift.trace}:{lift.start}:{lift.end}"
        if (inner := self.taken.inner.get(at)) is not None:
            return {INNER: [inner[1], self.of(inner[0])]}
        return SIGN + value if value.startswith(SIGN) else value


@dataclass(frozen=True, slots=True)
class _Restorer:
    texts: Sequence[str]
    records: Mapping[int, object]

    def of(self, value: object) -> Any:  # noqa: ANN401
        if isinstance(value, str):
            if not value.startswith(SIGN):
                return value
            if value.startswith(SIGN, 1):
                return value[1:]
            if value.startswith("#", 1):
                return self.records[int(value[2:])]
            trace, start, end = map(int, value[1:].split(":"))
            return self.texts[trace][start:end]
        if isinstance(value, dict):
            if len(value) == 1 and INNER in value:
                style, inner = value[INNER]
                return STYLES[style](self.of(inner))
            return {key.removeprefix(SIGN): self.of(each) for key, each in value.items()}
        if isinstance(value, list):
            return [self.of(each) for each in value]
        return value


def pack(
    record: object, taken: Taken | None = None, texts: Sequence[str] = (), records: Mapping[int, int] | None = None
) -> bytes:
    """The skeleton of a record as compressed JSON; `texts` are those of its traces.

    `records` names by identity the parts of a document that are records of their own, by their ordinals.
    """
    taken = taken or Taken()
    lifts = taken.lifts.values()
    again = {texts[each.trace][each.start : each.end]: each for each in lifts if each.end - each.start >= SHORTEST}
    bare = _Maker(taken, again, records or {}).of(record)
    return ZstdCompressor(level=3).compress(json.dumps(bare, separators=(",", ":")).encode())


def unpack(data: bytes, texts: Sequence[str] = (), records: Mapping[int, object] | None = None) -> Any:  # noqa: ANN401
    """The record, from its skeleton and the texts of its traces."""
    said = ZstdDecompressor().decompress(data, max_output_size=LARGEST)
    return _Restorer(texts, records or {}).of(json.loads(said))
