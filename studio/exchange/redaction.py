"""Taking words out of what leaves the house: what was matched anywhere is masked everywhere, and the proof is a search.

A mask keeps every place (one block character for each code point), so that spans of steps and flags still hold. Before
anything is written the masks become `[redacted]`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import regex

from studio.errors import FindError, StoreError

MASK = "█"
SHORTEST = 3  # a matched run that is shorter is masked where it stood, not wherever those letters occur
TOLD = "[redacted]"
LONGEST_TEXT_S = 10.0
_MASKED = re.compile(f"{MASK}+")


@dataclass(frozen=True, slots=True)
class Redaction:
    """Expressions whose matches go, and literal texts that go wherever they stand."""

    expressions: tuple[Any, ...] = ()
    texts: tuple[str, ...] = ()

    @classmethod
    def of(cls, expressions: Sequence[str], texts: Iterable[str] = ()) -> Redaction:
        """Raises FindError for a wrong expression."""
        compiled = []
        for source in expressions:
            try:
                compiled.append(regex.compile(source, regex.V0 | regex.MULTILINE))
            except regex.error as error:
                raise FindError(f"redaction: {source!r} is not a regular expression: {error.msg}") from None
        return cls(tuple(compiled), _longest_first(texts))

    @property
    def is_empty(self) -> bool:
        """Whether nothing is taken out."""
        return not self.expressions and not self.texts

    def found_in(self, texts: Iterable[str]) -> Redaction:
        """This, with everything the expressions match in these texts added to the literal ones."""
        found = {match[0] for text in texts for match in self._matches(text) if len(match[0]) >= SHORTEST}
        return Redaction(self.expressions, _longest_first((*self.texts, *found)))

    def mask(self, text: str) -> str:
        """`text` with the same places and none of the words."""
        for source in self.texts:
            if source in text:
                text = text.replace(source, MASK * len(source))
        for match in self._matches(text):
            text = text[: match.start()] + MASK * (match.end() - match.start()) + text[match.end() :]
        return text

    def shown(self, text: str) -> str:
        """Masked text as the reader sees it."""
        return text if self.is_empty else _MASKED.sub(TOLD, text)

    def prove(self, texts: Iterable[str]) -> None:
        """Search what is to be written for every text that was taken out. Raises StoreError when one is still there."""
        for text in texts:
            left = next((source for source in self.texts if source in text.replace(TOLD, MASK)), None)
            if left is not None:
                raise StoreError(
                    f"redaction: a text of {len(left)} characters that should be gone is there; nothing was written"
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


def _longest_first(texts: Iterable[str]) -> tuple[str, ...]:
    kept = {text for text in texts if text.strip() and text.strip(MASK)}
    return tuple(sorted(kept, key=lambda text: (-len(text), text)))
