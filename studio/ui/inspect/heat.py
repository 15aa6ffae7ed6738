"""Token heat: how unlikely each token was, or how undecided the model, as a ground behind the letters."""

from __future__ import annotations

import math
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from PySide6.QtGui import QBrush, QColor, QTextCharFormat

from studio.render.prose import visible
from studio.store.token_values import TokenArrays
from studio.ui.theme import Colours
from studio.ui.widgets import faces
from studio.ui.widgets.parts import blend
from studio.ui.widgets.raw_layout import Dyed

Stretches = tuple[tuple[int, int], ...]  # [first, last) of tokens
SHADES = 12
SHARE = 0.55  # of the colour in the darkest shade: letters stay readable on it
MOST = {"log-probability": 5.0, "entropy": 3.0}  # nats from which on the shade grows no more
MARKED = 7  # from this shade on the token is underlined too: colour is never alone


class Heat(StrEnum):
    """What tokens are coloured by."""

    NONE = "none"
    LOGPROB = "log-probability"
    ENTROPY = "entropy"


class HeatMap:
    """The colours of one trace's tokens in one theme."""

    def __init__(self, tokens: TokenArrays, heat: Heat, colours: Colours, length: int, forced: Stretches = ()) -> None:
        self._starts = tokens.starts.astype(np.int64)
        self._ends = np.concatenate([self._starts[1:], [length]])
        values = tokens.logprob if heat is Heat.LOGPROB else tokens.entropy
        nats = np.abs(np.full(len(tokens), np.nan, np.float32) if values is None else values)
        share = np.clip(np.nan_to_num(nats, nan=-1.0, posinf=MOST[heat]) / MOST[heat], -1.0, 1.0)
        self.shade = np.where(np.isnan(nats), -1, np.round(share * (SHADES - 1))).astype(np.int64)
        self.forced = mask_of(forced, len(tokens))
        self._forced = _written(colours.q("accent"), colours.q("surface"))
        ink = colours.q("negative" if heat is Heat.LOGPROB else "unsure")
        self._looks = [_look(ink, colours.q("surface"), shade) for shade in range(SHADES)]

    def dyed(self, start: int, end: int) -> list[Dyed]:
        """The tokens of text[start:end], counted from `start`."""
        first = max(0, int(np.searchsorted(self._starts, start, side="right")) - 1)
        last = int(np.searchsorted(self._starts, end, side="left"))
        found = []
        for token in range(first, last):
            shade, forced = int(self.shade[token]), bool(self.forced[token])
            begin, stop = max(int(self._starts[token]), start), min(int(self._ends[token]), end)
            if (shade > 0 or forced) and begin < stop:
                found.append(Dyed(begin - start, stop - start, self._forced if forced else self._looks[shade]))
        return found


def mask_of(stretches: Stretches, count: int) -> NDArray[np.bool_]:
    """Which of `count` tokens lie in one of these [first, last)."""
    mask = np.zeros(count, np.bool_)
    for first, last in stretches:
        mask[first:last] = True
    return mask


def words_of(
    tokens: TokenArrays,
    token: int,
    text: str,
    alternatives: tuple[tuple[str, float], ...] | None,
    *,
    forced: bool = False,
) -> str:
    """What is known of a token, for a tool tip; `alternatives` None = not read yet."""
    end = int(tokens.starts[token + 1]) if token + 1 < len(tokens) else len(text)
    said = [f"token {token + 1:,}: “{_spelled(text[int(tokens.starts[token]) : end])}”"]
    said += ["written by the budget, not chosen by the model"] if forced else []
    said += [line for line in (_value(tokens, token),) if line]
    for name, logprob in alternatives or ():
        said.append(f"{math.exp(min(logprob, 0.0)):7.1%}  {_spelled(name)}")
    return "\n".join(said)


def _value(tokens: TokenArrays, token: int) -> str:
    parts = []
    if tokens.logprob is not None and not math.isnan(value := float(tokens.logprob[token])):
        parts.append(f"p {math.exp(min(value, 0.0)):.1%} (log-probability {value:.3f})")
    if tokens.entropy is not None and not math.isnan(value := float(tokens.entropy[token])):
        parts.append(f"entropy {value:.3f} nats")
    return " · ".join(parts) or "no value for this token"


def _spelled(token: str) -> str:
    return visible(token.replace("\n", "⏎").replace("\t", "⇥"))


def _written(ink: QColor, ground: QColor) -> QTextCharFormat:
    """Hatched and underlined: these letters say nothing of how sure the model was."""
    look = QTextCharFormat()
    look.setBackground(faces.hatched(blend(ink, ground, SHARE)))  # letters stay readable on it
    look.setUnderlineStyle(QTextCharFormat.UnderlineStyle.SingleUnderline)
    look.setUnderlineColor(ink)
    return look


def _look(ink: QColor, ground: QColor, shade: int) -> QTextCharFormat:
    look = QTextCharFormat()
    if shade > 0:
        look.setBackground(QBrush(blend(ink, ground, SHARE * shade / (SHADES - 1))))
    if shade >= MARKED:
        look.setUnderlineStyle(QTextCharFormat.UnderlineStyle.DotLine)
        look.setUnderlineColor(ink)
    return look
