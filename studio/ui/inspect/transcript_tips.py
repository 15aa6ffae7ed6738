"""What the transcript says of a token, or of a step, when somebody asks by pointing at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QPoint, QPointF
from PySide6.QtWidgets import QToolTip

from studio.ui.inspect.heat import words_of

if TYPE_CHECKING:
    from studio.ui.inspect.transcript import Transcript

Alternatives = tuple[tuple[str, float], ...]


class TranscriptTips:
    """Tool tips; the alternatives of a token are asked for when its tip is first shown."""

    def __init__(self, view: Transcript) -> None:
        self._view = view
        self._alternatives: dict[int, Alternatives] = {}

    def forget(self) -> None:
        """Another trace has other tokens."""
        self._alternatives = {}

    def set_alternatives(self, token: int, alternatives: Alternatives) -> None:
        """What else could have stood there; a tip that is shown says so at once."""
        self._alternatives[token] = alternatives
        opened = self._view.opened
        if QToolTip.isVisible() and opened is not None and opened.tokens is not None:
            words = words_of(opened.tokens, token, opened.trace.text, alternatives)
            QToolTip.showText(self._view.cursor().pos(), words, self._view)

    def at(self, place: QPoint) -> str:
        """What is to be said of the token, or of the step, at a place of the viewport."""
        view, row = self._view, self._view.row_at(place.y())
        if row is None or view.opened is None:
            return ""
        heat, tokens, starts = view.text.heat_map, view.opened.tokens, view.opened.token_starts
        point = view.point_under(row, QPointF(place))
        if heat is not None and tokens is not None and starts is not None and point is not None:
            token = int(np.searchsorted(starts, point, side="right")) - 1
            if token >= 0:
                if token not in self._alternatives:
                    view.tokenHovered.emit(token)
                known, forced = self._alternatives.get(token), bool(heat.forced[token])
                return words_of(tokens, token, view.opened.trace.text, known, forced=forced)
        return view.tip_of(row)
