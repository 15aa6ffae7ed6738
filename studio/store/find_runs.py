r"""What stands in every match of a regular expression: runs of words and parts of words that follow each other.

Read from the parse tree of `re`, folded as the full-text index folds: `\btriangle AB\d+` is a run of the whole word
`triangle` and of one that begins with `ab` and goes on with a digit. What is not certain to stand there cuts a run. All
a run says is true of every match; it need not be all that the expression says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

_NOT_ALIKE = re.compile(r"\{[^{}0-9,][^{}]*\}|\[\[|\[:")  # fuzzy {e<=1} and [[:alpha:]], which `re` reads otherwise
_EDGES = {"AT_BOUNDARY", "AT_BEGINNING", "AT_BEGINNING_STRING", "AT_END", "AT_END_STRING"}
_REPEATS = {"MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}
SHORTEST_PART = 2  # letters; a single one is in too many words
NO_MORE, AT_END = "(?![0-9a-z])", "(?=\n)"
LETTER = "[^\n]"
DIGIT = "[^\na-z]"  # any sign of a word but a letter without diacritics: the index may know fewer digits than `regex`


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the index that has `start` in it, and behind that, by an expression, `rest`.

    With `opens` the word begins with `start`, with `closes` it ends where `rest` ends. `plain`: no kinds of signs.
    """

    start: str
    rest: str = ""
    opens: bool = False
    closes: bool = False
    plain: bool = True


Run = tuple[Word, ...]


def runs(expression: str) -> tuple[Run, ...]:
    """The runs of an expression; none where `re` cannot read it, or where it is certain of nothing."""
    if _NOT_ALIKE.search(expression):
        return ()
    try:
        tree = re._parser.parse(expression, re.MULTILINE)  # type: ignore[attr-defined]
    except (re.error, RecursionError, OverflowError):
        return ()
    return tuple(run for pieces in _cut(tree) for run in _runs(pieces))


@dataclass(frozen=True, slots=True)
class _Piece:
    """A sign for certain, signs of a kind (`kind`, `least` to `most` times), or the edge of a word (none of both)."""

    sign: str = ""
    kind: str = ""
    least: int = 1
    most: str = "1"  # "" without end


_EDGE = _Piece()


def _cut(tree: Any) -> Iterator[list[_Piece]]:  # noqa: ANN401 - the parse tree of re has no types
    """Pieces that follow each other, cut where something else may stand."""
    pieces: list[_Piece] = []
    for found in _flat(tree):
        if isinstance(found, _Piece):
            pieces.append(found)
        else:
            yield pieces
            pieces = []
            yield from found
    yield pieces


def _flat(tree: Any) -> Iterator[_Piece | list[list[_Piece]]]:  # noqa: ANN401
    """The pieces of a tree in order; a list, perhaps empty, of runs stands for what cuts."""
    for code, value in tree:
        name = str(code)
        if name == "AT":
            if str(value) in _EDGES:
                yield _EDGE
        elif name == "SUBPATTERN":
            yield from _flat(value[3])
        elif (piece := _piece(name, value)) is not None:
            yield piece
        elif name in _REPEATS and value[0] >= 1:
            yield list(_cut(value[2]))
        elif name == "ATOMIC_GROUP":
            yield list(_cut(value))
        else:
            yield []


def _piece(name: str, value: Any) -> _Piece | None:  # noqa: ANN401
    """A sign or a kind of signs, perhaps repeated."""
    if name == "LITERAL":
        return _Piece(sign=chr(value).lower()) if value < 128 else None
    if name == "IN":
        kind = _kind(value)
        return _Piece(kind=kind) if kind else None
    if name in _REPEATS and len(value[2]) == 1:
        inner = _piece(str(value[2][0][0]), value[2][0][1])
        if inner is None or inner == _EDGE or (inner.sign and not inner.sign.isalnum()) or inner.most != "1":
            return None
        most = "" if str(value[1]) == "MAXREPEAT" else str(value[1])
        return _Piece(kind=inner.kind or inner.sign, least=int(value[0]), most=most)
    return None


def _kind(members: Any) -> str:  # noqa: ANN401
    """An expression for a class of signs that are all of words, as they stand in the index; "" for another class."""
    digits = True
    for code, value in members:
        name = str(code)
        if name == "CATEGORY" and str(value) == "CATEGORY_DIGIT":
            continue
        low, high = value if name == "RANGE" else (value, value) if name == "LITERAL" else (0, 0)
        kinds = [kind for kind in ("09", "az", "AZ") if ord(kind[0]) <= low <= high <= ord(kind[1])]
        if not kinds:
            return ""
        digits = digits and kinds == ["09"]
    return DIGIT if digits else LETTER


@dataclass(slots=True)
class _Part:
    """A word that is being put together."""

    opens: bool
    start: str = ""
    rest: list[str] = field(default_factory=list)
    kinds: bool = False

    def add(self, piece: _Piece) -> None:
        """Take a piece in; kinds before `start` leave open where the word begins."""
        if piece == _EDGE:
            if self.start:
                self.rest.append(NO_MORE)
        elif piece.sign and not self.rest:
            self.start += piece.sign
        elif self.start:
            self.rest.append(piece.sign or f"{piece.kind}{{{piece.least},{piece.most}}}")
            self.kinds = self.kinds or bool(piece.kind)
        else:
            self.opens, self.kinds = False, True

    def word(self, *, closes: bool) -> Word:
        """What it came to. Where a digit is asked for the index may have ended the word."""
        rest = AT_END if closes else ""
        for part in reversed(self.rest):
            fewer = DIGIT + "{0," + part.rpartition(",")[2] + AT_END
            rest = f"(?:{fewer}|{part}{rest})" if part.startswith(DIGIT) else part + rest
        return Word(self.start, rest, self.opens, closes, not self.kinds)


def _runs(pieces: list[_Piece]) -> Iterator[Run]:
    """Words that follow each other; one of which no sign is known ends a run."""
    run: list[Word] = []
    part = _Part(opens=False)
    for piece in pieces:
        if not piece.sign or piece.sign.isalnum():
            part.add(piece)
            continue
        if part.start:
            run.append(part.word(closes=True))
        elif part.kinds and run:
            yield tuple(run)
            run = []
        part = _Part(opens=True)
    if part.start:
        run.append(part.word(closes=False))
    if run:
        yield tuple(run)
