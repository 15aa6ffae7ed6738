"""The tokens of a response read back: its text, and at which tokens its steps begin and end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.models.unfolding import TokenText
from trainer.reasoning.segment import Span

Ints = NDArray[np.int64]


class ResponseTokens:
    """Ids of responses to text and to places, for one tokenizer."""

    def __init__(self, tokenizer: Any) -> None:  # noqa: ANN401 - any HF tokenizer
        self._tokenizer, self._whole = tokenizer, TokenText(tokenizer)
        self._known: dict[int, str] = {}  # a tokenizer takes longer over a token than this does over a response
        self._end = None if tokenizer.eos_token_id is None else int(tokenizer.eos_token_id)

    def text(self, ids: Sequence[int] | Ints) -> str:
        """The text of a response, without what ends it."""
        kept = [int(i) for i in ids]
        if kept and kept[-1] == self._end:
            kept.pop()
        return str(self._tokenizer.decode(kept, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def places(self, ids: Sequence[int] | Ints, characters: Sequence[int], *, begun: bool = False) -> Ints:
        """For each count of `characters` of the response's text: the first token with which that many are written.

        `characters` rise. `begun`: a character counts with its first byte instead of its last. Exact for any tokenizer:
        where the tokens' texts do not add up to the whole (bytes of one character in two tokens), prefixes are decoded
        instead.
        """
        kept = [int(i) for i in ids]
        if kept and kept[-1] == self._end:
            kept.pop()
        pieces = [self._piece(token) for token in kept]
        if "".join(pieces) == self._decoded(kept):
            written = np.cumsum([len(piece) for piece in pieces])
            found = np.searchsorted(written, np.asarray(characters, np.int64), side="left")
        else:
            found = np.asarray([self._first(kept, count, begun) for count in characters], np.int64)
        return np.minimum(found, max(0, len(kept) - 1)).astype(np.int64)

    def starts(self, ids: Sequence[int] | Ints) -> NDArray[np.uint32]:
        """Where in the response's text each token begins [T]; what ends the text stands at its end."""
        kept = [int(i) for i in ids]
        ended = bool(kept) and kept[-1] == self._end
        text, found = self._whole.laid_out(kept[:-1] if ended else kept)
        return np.asarray([*found, len(text)] if ended else found, np.uint32)

    def separators(self, ids: Sequence[int] | Ints, steps: Sequence[Span]) -> NDArray[np.bool_]:
        """Which tokens [T] stand wholly between two steps, before the first or behind the last line break."""
        apart = np.zeros(len(ids), np.bool_)
        if not steps:
            return apart
        ends = self.places(ids, [span.end for span in steps])
        begins = self.places(ids, [span.start + 1 for span in steps], begun=True)
        for before, begin in zip(ends[:-1], begins[1:], strict=True):
            apart[before + 1 : begin] = True
        apart[: begins[0]] = True
        return apart

    def _first(self, ids: list[int], count: int, begun: bool) -> int:
        """The first token with which `count` characters are whole (or begun), by bisection over prefixes."""
        low, high = 0, len(ids) - 1
        while low < high:
            middle = (low + high) // 2
            written = self._decoded(ids[: middle + 1])
            if len(written if begun else written.rstrip("\ufffd")) >= count:
                high = middle
            else:
                low = middle + 1
        return low

    def _piece(self, token: int) -> str:
        """The text of one token."""
        piece = self._known.get(token)
        if piece is None:
            piece = self._known[token] = self._decoded([token])
        return piece

    def _decoded(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))
