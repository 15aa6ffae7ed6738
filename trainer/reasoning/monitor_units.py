"""The steps of a trace as a monitor reads them: each in the thinking or the answer, long ones in pieces. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from trainer.contract.records import Message
from trainer.reasoning.consistency import responses
from trainer.reasoning.safety import Part
from trainer.reasoning.segment import Span, segment

LONGEST = 400  # code points of a piece
_END = re.compile(r"[.!?;:,]\s+|\s+")


@dataclass(frozen=True, slots=True)
class Unit:
    """A stretch of the trace's text; `step` is the place of the step it belongs to, None where no step covers it."""

    part: Part
    span: Span
    step: int | None


def locate(text: str, steps: Sequence[str]) -> tuple[Span | None, ...]:
    """Where the steps stand in the text, each behind the one before; None for one that does not."""
    out: list[Span | None] = []
    place = 0
    for step in steps:
        found = text.find(step, place)
        out.append(None if found < 0 or not step else Span(found, found + len(step)))
        place = place if found < 0 else found + len(step)
    return tuple(out)


def units_of(text: str, messages: Sequence[Message], steps: Sequence[Span | None]) -> tuple[Unit, ...]:
    """Pieces of the model's own words in order: of the steps, and of what no step covers."""
    out: list[Unit] = []
    for response in responses(text, messages):
        for piece in response.pieces:
            out += _of_piece(text, piece.part, Span(piece.start, piece.end), steps)
    return tuple(out)


def cut(text: str, span: Span) -> tuple[Span, ...]:
    """A stretch in pieces of at most LONGEST, cut behind a sentence or, failing that, a word."""
    out, start = [], span.start
    while span.end - start > LONGEST:
        stop = start + LONGEST
        ends = [match.end() for match in _END.finditer(text, start + LONGEST // 2, stop)]
        sentence = [end for end in ends if text[end - 2 : end - 1] in ".!?;"]
        stop = (sentence or ends or [stop])[-1]
        out.append(Span(start, stop))
        start = stop
    return (*out, Span(start, span.end)) if span.end > start else tuple(out)


def _of_piece(text: str, part: Part, piece: Span, steps: Sequence[Span | None]) -> list[Unit]:
    inside = [
        (place, Span(max(step.start, piece.start), min(step.end, piece.end)))
        for place, step in enumerate(steps)
        if step is not None and step.start < piece.end and step.end > piece.start
    ]
    out: list[Unit] = []
    at = piece.start
    for place, step in [*inside, (None, Span(piece.end, piece.end))]:
        for line in segment(text, at, max(at, step.start)):
            out += [Unit(part, one, None) for one in cut(text, line)]
        if place is not None:
            out += [Unit(part, one, place) for one in cut(text, step)]
        at = max(at, step.end)
    return out
