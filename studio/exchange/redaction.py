"""Taking words out of what leaves the house: what was matched anywhere is masked everywhere, and the proof is a search.

A mask keeps every place (one block character for each code point), so that spans of steps and flags still hold. Before
anything is written the masks become `[redacted]`.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, quote_plus

import regex

from studio.errors import FindError, StoreError
from studio.exchange.disguises import Sought, readings

NOT_LOOKED_FOR = "Not looked for: what is compressed, encrypted, drawn, told in other words, or in pieces far apart."
MASK = "█"
SHORTEST = 3  # a matched run that is shorter is masked where it stood, not wherever those letters occur
TOLD = "[redacted]"
LONGEST_TEXT_S = 10.0
_MASKED = re.compile(f"{MASK}+")


@dataclass(frozen=True, slots=True)
class Redaction:
    """Expressions whose matches go, and literal texts that go wherever they stand, in all `ways` to write them."""

    expressions: tuple[Any, ...] = ()
    texts: tuple[str, ...] = ()
    ways: tuple[str, ...] = ()  # of all texts, the longest first
    sought: Sought = Sought()  # the same texts, in whatever form they are disguised

    @classmethod
    def of(cls, expressions: Sequence[str], texts: Iterable[str] = ()) -> Redaction:
        """Raises FindError for a wrong expression."""
        compiled = []
        for source in expressions:
            try:
                compiled.append(regex.compile(source, regex.V0 | regex.MULTILINE))
            except regex.error as error:
                raise FindError(f"redaction: {source!r} is not a regular expression: {error.msg}") from None
        return cls(tuple(compiled))._with(texts)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is taken out."""
        return not self.expressions and not self.texts

    def found_in(self, texts: Iterable[str]) -> Redaction:
        """This, with everything the expressions match in these texts added to the literal ones."""
        found: set[str] = set()
        for text in texts:
            for reading in (text, *(readings(text) if self.expressions else ())):
                found |= {match[0] for match in self._matches(reading) if len(match[0]) >= SHORTEST}
        return self._with(found)

    def _with(self, texts: Iterable[str]) -> Redaction:
        kept = {text for text in texts if text.strip() and text.strip(MASK)} - set(self.texts)
        if not kept:
            return self
        ways = {*self.ways, *(way for text in kept for way in _ways(text))}
        longest_first = tuple(sorted(ways, key=lambda way: (-len(way), way)))
        all_texts = (*self.texts, *sorted(kept))
        return Redaction(self.expressions, all_texts, longest_first, Sought.of(all_texts))

    def mask(self, text: str) -> str:
        """`text` with the same places and none of the words."""
        for source in self.ways:
            if source in text:
                text = text.replace(source, MASK * len(source))
        text = _masked(text, (match.span() for match in self._matches(text)))
        return _masked(text, self.sought.places(text))

    def mask_over(self, text: str, spans: Sequence[tuple[int, int]]) -> str:
        """`mask`, and also what stands across the ends of these stretches once what is between them is left out."""
        text = self.mask(text)
        joined = "".join(text[start:end] for start, end in spans)
        hidden = self.mask(joined)
        if hidden == joined:
            return text
        signs, at = list(text), 0
        for start, end in spans:
            signs[start:end] = hidden[at : at + end - start]
            at += end - start
        return "".join(signs)

    def shown(self, text: str) -> str:
        """Masked text as the reader sees it."""
        return text if self.is_empty else _MASKED.sub(TOLD, text)

    def prove(self, texts: Iterable[str], where: str) -> None:
        """Search what is to be written for every text that was taken out. Raises StoreError when one is still there."""
        for text in texts:
            shown = text.replace(TOLD, MASK)
            left = next((source for source in self.ways if source in shown), None)
            if left is not None:
                raise StoreError(
                    f"redaction: a text of {len(left)} characters that should be gone is still in {where}; nothing "
                    "was written. Leave that one out, or choose a wider expression"
                )
            if self.sought.stands_in(shown):
                raise StoreError(
                    f"redaction: a text that should be gone is still in {where} in another form; nothing was written. "
                    "Leave that one out, or take out more"
                )

    def _matches(self, text: str) -> list[Any]:
        found: list[Any] = []
        for expression in self.expressions:
            try:
                found.extend(m for m in expression.finditer(text, timeout=LONGEST_TEXT_S) if m.end() > m.start())
            except TimeoutError:
                raise FindError(
                    f"redaction: {expression.pattern!r} needed over {LONGEST_TEXT_S:.0f} s for a text"
                ) from None
        return found


def _masked(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """The text with those stretches masked, place for place."""
    at, parts = 0, list[str]()
    for begin, stop in sorted(spans):
        start, end = max(at, begin), max(at, stop)
        parts += (text[at:start], MASK * (end - start))
        at = end
    return "".join((*parts, text[at:])) if parts else text


def _ways(text: str) -> tuple[str, ...]:
    """The same words as the arguments of a tool, a page or an address within a trace write them."""
    if text.isalnum() and text.isascii():
        return (text,)
    once = {json.dumps(text, ensure_ascii=False)[1:-1], json.dumps(text)[1:-1]}
    twice = {json.dumps(each)[1:-1] for each in once} | {json.dumps(each, ensure_ascii=False)[1:-1] for each in once}
    return tuple({text, html.escape(text), quote(text), quote_plus(text)} | once | twice)
