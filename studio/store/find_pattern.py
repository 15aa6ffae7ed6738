r"""What a person looks for, as a pattern that finds its spans and as what every text that has one must hold.

Words: cut as `studio.store.find` cuts them; each part is found whatever its case and diacritics, whatever signs stand
between its words; the last word may go on. Regular expression: the syntax of the library `regex`; what stands in
every match (`find_runs`) spares the reading of most texts.
"""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

import regex

from studio.errors import FindError, TooSlowError
from studio.store import find
from studio.store.find_runs import Run, runs

SHORT_S = 0.02  # nearly every text takes less, and costs more where other threads may run meanwhile
LONGEST_TEXT_S = 2.0  # one text of a search: an expression that explodes is stopped, not waited for
SLOW = "Repetitions within repetitions, such as (a+)+, cost most: write it without them."
_SIGNS = r"[\W_]+"


class Mode(StrEnum):
    """How the text that a person typed is meant."""

    WORDS = "words"
    REGEX = "regular expression"


@dataclass(frozen=True, slots=True)
class Found:
    """A span of a text, in code points."""

    start: int
    end: int


class Part(Protocol):
    """One thing that must occur."""

    def spans(self, text: str, within: Sequence[Found]) -> Iterator[Found]:
        """Its spans in the stretches, in order."""


@dataclass(frozen=True, slots=True)
class Words:
    """Words with any signs between them, or signs alone. Read in a text that is folded; it costs what it must read."""

    pattern: re.Pattern[str]
    goes_on: bool = False
    whole: bool = True

    def spans(self, text: str, within: Sequence[Found]) -> Iterator[Found]:
        """Only where no word goes on before it, and none behind unless the last one may."""
        for place in within:
            for match in self.pattern.finditer(text, place.start, place.end):
                start, end = match.span()
                if self.whole and start and _is_word(text[start - 1]):
                    continue
                while self.goes_on and end < len(text) and _is_word(text[end]):
                    end += 1
                if not (self.whole and end < len(text) and _is_word(text[end])):
                    yield Found(start, end)


@dataclass(slots=True)
class Expression:
    """A regular expression. Every text that takes too long halves the time that the following ones get, so that a
    search of many such texts comes to its end."""

    pattern: Any
    patience: float = field(default_factory=lambda: LONGEST_TEXT_S)  # seconds

    def spans(self, text: str, within: Sequence[Found]) -> Iterator[Found]:
        """Matches that take room. Raises TooSlowError when one stretch takes over two seconds, or the time left."""
        for place in within:
            try:
                found = self._matches(text, place, SHORT_S, concurrent=False)
            except TimeoutError:
                found = self._patient(text, place)
            yield from found

    def _patient(self, text: str, place: Found) -> list[Found]:
        """Once more with time, letting other threads run meanwhile."""
        try:
            if self.patience > SHORT_S:
                return self._matches(text, place, self.patience, concurrent=True)
        except TimeoutError:
            self.patience /= 2
        raise TooSlowError(f"“{self.pattern.pattern}” takes too long. {SLOW}") from None

    def _matches(self, text: str, place: Found, seconds: float, *, concurrent: bool) -> list[Found]:
        matches = self.pattern.finditer(text, place.start, place.end, timeout=seconds, concurrent=concurrent)
        return [Found(m.start(), m.end()) for m in matches if m.end() > m.start()]


@dataclass(frozen=True, slots=True)
class Pattern:
    """Parts that must each occur, and how a text is read for them.

    `match` is an FTS5 expression that every text with a span satisfies, "" when there is none. `runs` are what
    every text with a span holds, whatever its case (regular expressions alone).
    """

    parts: tuple[Part, ...]
    match: str = ""
    runs: tuple[Run, ...] = ()
    read_as: Callable[[str], str] = str

    def spans_of(self, texts: Sequence[tuple[str, Sequence[Found]]], *, most: int) -> list[list[Found]]:
        """The spans in each text, within its stretches, in order, at most `most` of a part in a text; none at all
        unless every part stands in one of the texts."""
        found: list[list[Found]] = [[] for _ in texts]
        read = [self.read_as(text) if within else text for text, within in texts]
        for part in self.parts:
            spans = [list(itertools.islice(part.spans(read[at], within), most)) for at, (_, within) in enumerate(texts)]
            if not any(spans):
                return [[] for _ in texts]
            for kept, new in zip(found, spans, strict=True):
                kept.extend(new)
        return [sorted(kept, key=lambda span: (span.start, span.end)) for kept in found]


def compiled(text: str, mode: Mode, *, match_case: bool = False) -> Pattern | None:
    """The pattern of what a person typed; None for an empty text. Raises FindError for a wrong expression."""
    if mode is Mode.WORDS:
        return _of_words(text, match_case=match_case)
    return _of_expression(text, match_case=match_case) if text else None


def fold(text: str) -> str:
    """`text` without diacritics, each character still in its place."""
    return text if text.isascii() else "".join(map(_folded, text))


def fold_case(text: str) -> str:
    """`text` without diacritics and in lower case, each character still in its place."""
    return text.lower() if text.isascii() else "".join(map(_lowered, text))


@functools.lru_cache(maxsize=65_536)
def _folded(letter: str) -> str:
    if letter.isascii():
        return letter
    base = unicodedata.normalize("NFD", letter)[0]
    return base if base.isalpha() else letter


@functools.lru_cache(maxsize=65_536)
def _lowered(letter: str) -> str:
    return _folded(_folded(letter).lower()[0])


def _is_word(letter: str) -> bool:
    return letter.isalnum()


def _of_words(text: str, *, match_case: bool) -> Pattern | None:
    cut = find.cut(text)
    if cut.empty:
        return None
    read_as = fold if match_case else fold_case
    last = len(cut.parts) - 1
    words = [_words(read_as(part), may_go_on=at == last) for at, part in enumerate(cut.parts)]
    signs = [Words(re.compile(re.escape(read_as(sign))), whole=False) for sign in cut.signs]
    return Pattern((*words, *signs), cut.words, read_as=read_as)


def _words(part: str, *, may_go_on: bool) -> Words:
    """The words of a part with any signs between them. Signs at its ends are not asked for, as the index has none."""
    words = [word for word in re.split(r"[\W_]+", part) if word]
    pattern = re.compile(_SIGNS.join(map(re.escape, words)))
    return Words(pattern, goes_on=may_go_on and len(words[-1]) >= find.SHORTEST_START)


def _of_expression(text: str, *, match_case: bool) -> Pattern:
    flags = regex.V0 | regex.MULTILINE | (0 if match_case else regex.IGNORECASE)
    try:
        pattern = regex.compile(text, flags)
    except regex.error as error:
        at = f" at character {error.pos + 1}" if error.pos is not None else ""
        raise FindError(
            f"Not a regular expression{at}: {error.msg}. To find it as it stands, search for words."
        ) from None
    return Pattern((Expression(pattern),), runs=runs(text))
