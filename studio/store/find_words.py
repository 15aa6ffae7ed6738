"""The words of the full-text index, in memory: which of them, in which traces, an expression asks for.

The index knows whole words; of `stitu` it must be told all that have it. Half a million words with their numbers are
twelve megabytes and are searched in milliseconds. What names most traces is not asked for: reading them costs less.
Traces that came after the words were read are read themselves: `Vocabulary.upto` says which.
"""

from __future__ import annotations

import bisect
import itertools
import math
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select, text

from studio.store.find_runs import SHORTEST_PART, Run, Word
from studio.store.schema import trace

MOST_WORDS = 400  # alternatives in one expression; a part of more words says too little
MOST_TRIED = 20_000
MOST_PHRASES = 16
WORTH = 0.4  # a share of all traces: what names more spares less than it costs
MOST_TERMS = 3


@dataclass(frozen=True, slots=True)
class Term:
    """A part of an FTS5 expression, and in how many traces it may stand (by what its words say, for the choice)."""

    expression: str
    traces: float


@dataclass(frozen=True, slots=True)
class _Known:
    """The words of the index that one word of a run may be, how often they stand and in how many traces."""

    words: tuple[str, ...]
    times: int
    traces: int
    goes_on: bool = False


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """All words of the index in order, each between two line ends, as they were when `upto` was the newest trace.

    For each word: where it begins, in how many traces it stands and how often.
    """

    words: str
    starts: array[int]
    traces: array[int]
    times: array[int]
    upto: int
    all_traces: int
    all_times: int

    @classmethod
    def read(cls, c: Connection) -> Vocabulary:
        """Read every word (0.4 s for half a million)."""
        upto, count = c.execute(select(func.max(trace.c.id), func.count())).one()
        c.execute(
            text("CREATE VIRTUAL TABLE IF NOT EXISTS temp.find_words USING fts5vocab('main', 'trace_find', 'row')")
        )
        raw = c.connection.cursor()
        try:
            raw.execute("SELECT term, doc, cnt FROM temp.find_words")
            rows = raw.fetchall()
        finally:
            raw.close()
        words = [row[0] for row in rows]
        starts = array("Q", itertools.accumulate((len(word) + 1 for word in words), initial=1))
        traces, times = array("Q", (row[1] for row in rows)), array("Q", (row[2] for row in rows))
        return cls("\n" + "\n".join(words) + "\n", starts, traces, times, int(upto or 0), int(count), sum(times))

    def expression(self, runs: Sequence[Run]) -> str:
        """An FTS5 expression that holds for every text with all the runs; "" when it would name most of them."""
        terms = sorted((term for run in runs for term in self._terms(run)), key=lambda term: term.traces)
        worth = [term.expression for term in terms if term.traces <= WORTH * self.all_traces]
        return " AND ".join(list(dict.fromkeys(worth))[:MOST_TERMS])

    def _terms(self, run: Run) -> Iterator[Term]:
        """What the index can say of a run: each of its words alone, and those that follow each other as phrases."""
        phrase: list[_Known] = []
        for word in run:
            known = self._known(word)
            if known is not None:
                yield Term(_any_of([(said,) for said in known.words], known.goes_on), known.traces)
            if known is not None and word.plain and len(known.words) <= MOST_PHRASES:
                if math.prod(len(each.words) for each in (*phrase, known)) > MOST_PHRASES:
                    yield from self._phrases(phrase)
                    phrase = []
                phrase.append(known)
            else:
                yield from self._phrases(phrase)
                phrase = []
        yield from self._phrases(phrase)

    def _phrases(self, words: Sequence[_Known]) -> Iterator[Term]:
        """The words in this order; in how many traces, if each word stood anywhere with the same chance."""
        if len(words) < 2:
            return
        everything = max(1, self.all_times)
        times = everything * math.prod(known.times / everything for known in words)
        often = self.all_traces * -math.expm1(-times / max(1, self.all_traces))
        chosen = list(itertools.product(*(known.words for known in words)))
        yield Term(_any_of(chosen, words[-1].goes_on), min(often, *(known.traces for known in words)))

    def _known(self, word: Word) -> _Known | None:
        """The words of the index that this may be; None when that says too little."""
        if word.opens and word.plain and (word.closes or not word.rest):
            return self._exactly(word.start) if word.closes else self._beginning(word.start)
        if len(word.start) < SHORTEST_PART:
            return None
        found = self._found(word)
        if found is None:
            return None
        if not found:
            return _Known((word.start,), 0, 0)  # no word has it: nothing but texts that came later
        return _Known(
            tuple(map(self._at, found)), sum(self.times[k] for k in found), sum(self.traces[k] for k in found)
        )

    def _exactly(self, word: str) -> _Known:
        place = bisect.bisect_left(_Words(self), word)
        here = place < len(self.times) and self._at(place) == word
        return _Known((word,), self.times[place] if here else 0, self.traces[place] if here else 0)

    def _beginning(self, start: str) -> _Known | None:
        """All words that begin so: the index has them beside each other."""
        if not start:
            return None
        words = _Words(self)
        low, high = bisect.bisect_left(words, start), bisect.bisect_left(words, start + chr(0x10FFFF))
        return _Known((start,), sum(self.times[low:high]), sum(self.traces[low:high]), goes_on=True)

    def _found(self, word: Word) -> list[int] | None:
        """Places of the words; None for too many."""
        rest, sought = re.compile(word.rest), f"\n{word.start}" if word.opens else word.start
        found: list[int] = []
        at = self.words.find(sought)
        for _ in range(MOST_TRIED):
            if at < 0:
                return found
            end = at + 1
            if rest.match(self.words, at + len(sought)):
                found.append(bisect.bisect_right(self.starts, at + word.opens) - 1)
                if len(found) > MOST_WORDS:
                    return None
                end = self.words.index("\n", at + len(sought))
            at = self.words.find(sought, end)
        return None

    def _at(self, place: int) -> str:
        return self.words[self.starts[place] : self.starts[place + 1] - 1]


@dataclass(frozen=True, slots=True)
class _Words(Sequence[str]):
    """The words as a sequence, for bisection."""

    of: Vocabulary

    def __len__(self) -> int:
        return len(self.of.times)

    def __getitem__(self, place: int) -> str:  # type: ignore[override]  # no slices are taken
        return self.of._at(place)


def _any_of(phrases: Sequence[Sequence[str]], goes_on: bool) -> str:
    """One of these phrases; the last word of each may go on."""
    said = [f'"{" ".join(words)}"{"*" if goes_on else ""}' for words in phrases]
    return said[0] if len(said) == 1 else f"({' OR '.join(said)})"
