"""The one place of the Inspect page: turn, block, step, code point and token, shared by all that show a trace."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QObject, Signal

from studio.ui.inspect.structure import Structure

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Position:
    """Where one reads. `message`, `block`, `step`, `token` count from 0 through the trace, -1 where there is none.

    `point` is a code point of the trace's text. Between two steps `step` is the one before.
    """

    message: int = -1
    block: int = -1
    step: int = -1
    point: int = 0
    token: int = -1


class Cursor(QObject):
    """Moves by step, code point, token, block or turn; whoever moves it, all hear of it.

    Signals:
        moved(Position): it stands elsewhere in the same trace, or in another one: after `opened`.
        opened(): another trace, or the same one anew; `moved` follows.
    """

    moved = Signal(object)
    opened = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._structure: Structure | None = None
        self._tokens: Ints = np.empty(0, np.int64)
        self._position = Position()

    @property
    def position(self) -> Position:
        """Where it stands."""
        return self._position

    @property
    def structure(self) -> Structure | None:
        """The trace it stands in."""
        return self._structure

    @property
    def tokens(self) -> int:
        """How many tokens it can stand on; 0 = the source has none."""
        return len(self._tokens)

    def open(self, structure: Structure | None, token_starts: Ints | None, *, step: int = 0) -> None:
        """Another trace, at this step."""
        self._structure = structure
        self._tokens = np.empty(0, np.int64) if token_starts is None else token_starts.astype(np.int64)
        self._position = Position()
        self.opened.emit()
        if structure is not None and structure.steps:
            self.go_step(min(max(step, 0), structure.steps - 1))
        else:
            self.go_point(0)

    def grow(self, structure: Structure, token_starts: Ints | None) -> None:
        """The same text, with more behind it or cut into other steps; it stays at its code point."""
        self._structure = structure
        self._tokens = np.empty(0, np.int64) if token_starts is None else token_starts.astype(np.int64)
        if self._position.step >= structure.steps or structure.step_at(self._position.point) != self._position.step:
            self.go_point(self._position.point)

    def go_step(self, step: int) -> bool:
        """To the beginning of a step; whether there is such a step."""
        s = self._structure
        if s is None or not 0 <= step < s.steps:
            return False
        point = int(s.step_starts[step])
        self._go(point, step, self._token_at(point))
        return True

    def go_point(self, point: int) -> None:
        """To a code point."""
        s = self._structure
        if s is None:
            return
        point = min(max(point, 0), len(s.text))
        self._go(point, s.step_at(point), self._token_at(point))

    def go_token(self, token: int) -> bool:
        """To a token; whether there is such a token."""
        s = self._structure
        if s is None or not 0 <= token < len(self._tokens):
            return False
        point = int(self._tokens[token])
        end = int(self._tokens[token + 1]) if token + 1 < len(self._tokens) else len(s.text)
        self._go(point, s.step_at(max(point, end - 1)), token)  # a token may begin with the blank before its step
        return True

    def go_block(self, block: int) -> bool:
        """To the beginning of a block; whether there is such a block."""
        s = self._structure
        if s is None or not 0 <= block < len(s.blocks):
            return False
        place = s.blocks[block]
        step = place.steps.start if len(place.steps) else s.step_at(place.start)
        self._go(place.start, step, self._token_at(place.start), block)
        return True

    def go_turn(self, turn: int) -> bool:
        """To the beginning of a turn; whether there is such a turn."""
        s = self._structure
        if s is None or not 0 <= turn < len(s.turns):
            return False
        block = next((place.number for place in s.blocks if place.turn == turn), None)
        if block is not None:
            return self.go_block(block)
        lines = np.flatnonzero(s.turn == turn)
        self.go_point(int(s.start[lines[0]]) if len(lines) else 0)
        return True

    def _token_at(self, point: int) -> int:
        return int(np.searchsorted(self._tokens, point, side="right")) - 1 if len(self._tokens) else -1

    def _go(self, point: int, step: int, token: int, block: int | None = None) -> None:
        s = self._structure
        assert s is not None
        found = s.block_at(point) if block is None else block
        turn = s.blocks[found].turn if found >= 0 else s.turn_at(point)
        position = Position(turn, found, step, point, token)
        if position != self._position:
            self._position = position
            self.moved.emit(position)
