"""Tokens to text while they come: whole characters only, where each token begins in the text, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

BROKEN = "\ufffd"  # what stands for the bytes of a character that is not whole yet
CONTEXT = 8  # tokens of a given beginning that decide how the first new ones are read


class TokenText:
    """The text of tokens of one tokenizer; single tokens are decoded once."""

    def __init__(self, tokenizer: Any) -> None:  # noqa: ANN401 - any HF tokenizer
        self._tokenizer = tokenizer
        self._known: dict[int, str] = {}

    def of(self, ids: Sequence[int]) -> str:
        """The text of tokens, special ones shown."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def laid_out(self, ids: Sequence[int], begun: Sequence[int] = (), text: str = "") -> tuple[str, list[int]]:
        """The text that `ids` add to `text` (of the tokens `begun`), and where in all of it each of them begins."""
        kept = [int(i) for i in ids]
        pieces = [self._piece(token) for token in kept]
        joined = "".join(pieces)
        if not begun and BROKEN not in joined and joined == self.of(kept):
            return joined, list(accumulate(map(len, pieces), initial=0))[:-1]
        growing = Unfolding(self, begun, text)
        for token in kept:
            growing.add(token)
        growing.finish()
        return growing.text[len(text) :], growing.starts

    def _piece(self, token: int) -> str:
        piece = self._known.get(token)
        if piece is None:
            piece = self._known[token] = self.of([token])
        return piece


class Unfolding:
    """A text that grows by tokens behind a given beginning; only the last few tokens are decoded again.

    `starts` are the code points of `text` at which the added tokens begin; tokens that share a character begin alike.
    """

    def __init__(self, tokens: TokenText, begun: Sequence[int] = (), text: str = "") -> None:
        self._tokens = tokens
        self._ids = [int(i) for i in begun[-CONTEXT:]]
        # Decoded anew with every token are those from `_from` on; `_shown` characters of them are in the text already.
        self._from, self._read = 0, len(self._ids)
        self._shown = len(tokens.of(self._ids)) if self._ids else 0
        self._before: list[tuple[int, int, int, int]] = []  # all of this before each added token
        self.text = text
        self.starts: list[int] = []

    def add(self, token: int) -> None:
        """One more token."""
        self._before.append((len(self.text), self._from, self._read, self._shown))
        self.starts.append(len(self.text))
        self._ids.append(int(token))
        now = self._tokens.of(self._ids[self._from :])
        whole = now.rstrip(BROKEN)
        self.text += whole[self._shown :]
        self._shown = max(self._shown, len(whole))
        if len(whole) == len(now):
            self._from, self._read = self._read, len(self._ids)
            self._shown = len(self._tokens.of(self._ids[self._from :]))

    def drop(self, count: int) -> None:
        """Take the last `count` tokens back."""
        for _ in range(count):
            length, self._from, self._read, self._shown = self._before.pop()
            self.text = self.text[:length]
            self.starts.pop()
            self._ids.pop()

    def finish(self) -> None:
        """Nothing more comes: bytes that never became a character are shown as what stands for them."""
        now = self._tokens.of(self._ids[self._from :])
        self.text += now[self._shown :]
        self._shown = len(now)
