"""Steps of a text as spans: one a non-empty line. Deterministic; offsets are code points (Python's string indices)."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINE = re.compile(r"[^\r\n\u2028\u2029]+")


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open stretch [start, end) of a text."""

    start: int
    end: int

    def of(self, text: str) -> str:
        """The stretch's text."""
        return text[self.start : self.end]


def segment(text: str, start: int = 0, end: int | None = None) -> tuple[Span, ...]:
    """The steps of text[start:end], in order and apart: each line that is not blank, without its outer white space.

    Only white space lies between, before and after the spans, so spans and gaps together give the text back.
    """
    stop = len(text) if end is None else end
    if not 0 <= start <= stop <= len(text):
        raise ValueError(f"[{start}, {stop}) is no stretch of a text of {len(text)} characters")
    spans = []
    for match in _LINE.finditer(text, start, stop):
        line = match.group()
        body = line.strip()
        if body:
            first = match.start() + len(line) - len(line.lstrip())
            spans.append(Span(first, first + len(body)))
    return tuple(spans)
