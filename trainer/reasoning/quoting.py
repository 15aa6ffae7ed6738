"""Where a passage that somebody copied stands in a text, though not every sign of it was kept. Pure.

White space, case, the kinds of quotation marks and dashes, and characters that show nothing may differ, and "..." may
stand for up to SKIPPED characters. What is given back is a span of the text itself: its own words, word for word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from trainer.reasoning.segment import Span
from trainer.reasoning.signs import shown

SKIPPED = 400  # characters that an ellipsis may stand for
SHORTEST = 8  # signs of a piece beside an ellipsis that say anything
_ALIKE = str.maketrans(
    {**dict.fromkeys("“”„‟«»″", '"'), **dict.fromkeys("‘’‚‛`´′", "'"), **dict.fromkeys("–—−‐‑", "-")}
)
_ELLIPSIS = re.compile(r"\s*(?:\[?\.{3,}\]?|\[?…\]?)\s*")


class Folded:
    """A text as it is compared: without case, white space in runs, and signs that show nothing."""

    def __init__(self, text: str) -> None:
        """O(length)."""
        signs: list[str] = []
        places: list[int] = []
        for place, sign in _folded(text):
            if sign == " " and (not signs or signs[-1] == " "):
                continue
            signs.append(sign)
            places.append(place)
        self.text, self._places = "".join(signs), places

    def find(self, words: str, within: Sequence[Span]) -> Span | None:
        """The first place of these words that lies in one of those spans of the original text; None for no such."""
        pieces = [piece for piece in (fold(one) for one in _ELLIPSIS.split(words.strip())) if piece]
        if not pieces or (len(pieces) > 1 and min(map(len, pieces)) < SHORTEST):
            return None
        at = self.text.find(pieces[0])
        while at >= 0:
            end = self._end(at + len(pieces[0]), pieces[1:])
            if end is not None:
                span = Span(self._places[at], self._places[end - 1] + 1)
                if any(one.start <= span.start and span.end <= one.end for one in within):
                    return span
            at = self.text.find(pieces[0], at + 1)
        return None

    def _end(self, at: int, pieces: Sequence[str]) -> int | None:
        for piece in pieces:
            found = self.text.find(piece, at, at + SKIPPED + len(piece))
            if found < 0:
                return None
            at = found + len(piece)
        return at


def fold(words: str) -> str:
    """Words as a `Folded` text has them."""
    return re.sub(r" +", " ", "".join(sign for _, sign in _folded(words))).strip()


def _folded(text: str) -> Iterator[tuple[int, str]]:
    """Each sign that shows something, with the place it stands at; some become several."""
    for place, plain in shown(text.translate(_ALIKE)):  # sign for sign: the places stay
        for sign in plain.casefold().translate(_ALIKE):
            yield place, " " if sign.isspace() else sign
