"""The words of the full-text index, in memory: which of them hold a fragment that a regular expression asks for.

The index knows whole words; the literal `stitu` stands inside of some. Half a million words are five megabytes and are
searched in milliseconds. Traces that came after the words were read are read themselves: `Vocabulary.upto` says which.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select, text

from studio.store.schema import trace

MOST_WORDS = 400  # alternatives in one expression; a fragment of more words says too little
SHORTEST_FRAGMENT = 2
_CUT = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """All words of the index, each between two line ends, as they were when `upto` was the newest trace."""

    words: str
    upto: int

    @classmethod
    def read(cls, c: Connection) -> Vocabulary:
        """Read every word (0.4 s for half a million)."""
        upto = int(c.scalar(select(func.max(trace.c.id))) or 0)
        c.execute(
            text("CREATE VIRTUAL TABLE IF NOT EXISTS temp.find_words USING fts5vocab('main', 'trace_find', 'row')")
        )
        rows = c.execute(text("SELECT term FROM temp.find_words")).scalars()
        return cls("\n" + "\n".join(rows) + "\n", upto)

    def expression(self, literals: Sequence[str]) -> str:
        """An FTS5 expression that holds for every text with all the literals; "" when the words cannot say so much."""
        terms = [term for literal in literals for term in self._terms(literal)]
        return " AND ".join(dict.fromkeys(terms))

    def _terms(self, literal: str) -> list[str]:
        """What the index can say of one literal: its inner words stand whole, its outer ones may be parts of words."""
        if not literal.isascii():
            return []
        words = _CUT.split(literal.lower())
        if len(words) == 1:
            return self._any_of(words[0], words[0])
        first, *inner, last = words
        found = self._any_of(first, f"{first}\n")
        phrase = " ".join([*inner, last]).strip()
        return [*found, f'"{phrase}"{"*" if last else ""}'] if phrase else found

    def _any_of(self, fragment: str, sought: str) -> list[str]:
        """One of the words with `sought` in them (a line end in it ends a word); [] when that says too little."""
        if len(fragment) < SHORTEST_FRAGMENT:
            return []
        found: list[str] = []
        at = self.words.find(sought)
        while at >= 0:
            start = self.words.rfind("\n", 0, at) + 1
            end = self.words.index("\n", at)
            found.append(self.words[start:end])
            if len(found) > MOST_WORDS:
                return []
            at = self.words.find(sought, end)
        if not found:
            return [f'"{fragment}"']  # no word has it: nothing but texts that came later
        return ["(" + " OR ".join(f'"{word}"' for word in found) + ")"]
