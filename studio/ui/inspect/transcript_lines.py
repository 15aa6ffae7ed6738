"""Which lines of a trace are shown: what is folded away, what the user saw, and a stretch alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from studio.ui.inspect.cursor import Position
from studio.ui.inspect.structure import LineKind, Structure

Ints = NDArray[np.int64]
NONE: frozenset[int] = frozenset()


class ShownLines:
    """The numbers of the lines that are shown, in order, as they were at the last `renew`; a row is a place in them."""

    def __init__(self) -> None:
        self.numbers: Ints = np.zeros(0, np.int64)
        self.as_user = False
        self.only: tuple[int, int] | None = None
        self._shape: Structure | None = None
        self._turns, self._blocks = NONE, NONE

    def __len__(self) -> int:
        return len(self.numbers)

    def open(self, shape: Structure | None, *, keep: bool) -> None:
        """Another trace; `keep`: the same one with other content, of which what is folded stays so."""
        known = 0 if self._shape is None or not keep else len(self._shape.blocks)
        self._shape = shape
        folded = NONE if shape is None else shape.folded_at_first()
        if keep:
            self._blocks |= {number for number in folded if number >= known}
        else:
            self._turns, self._blocks, self.only = NONE, folded, None

    def renew(self) -> None:
        """Make the numbers anew."""
        if self._shape is None:
            self.numbers = np.zeros(0, np.int64)
        else:
            self.numbers = self._shape.shown(self._turns, self._blocks, as_user=self.as_user, only=self.only)

    def line(self, row: int) -> int:
        """The line in a row."""
        return int(self.numbers[row])

    def row_of(self, line: int) -> int:
        """The row a line is in; where it is not shown that of the last one before it, else the first."""
        return max(0, int(np.searchsorted(self.numbers, line, side="right")) - 1)

    def row_at(self, position: Position) -> int | None:
        """The row a position is in, a step's first at its beginning; None where nothing is shown."""
        if self._shape is None or not len(self):
            return None
        line, step = self._shape.line_at(position.point), position.step
        if step >= 0 and position.point <= self._shape.step_starts[step]:
            line = int(self._shape.step_lines[step])
        return self.row_of(line)

    def toggle(self, line: int) -> None:
        """Fold or unfold the turn or block that a line heads."""
        assert self._shape is not None
        if self._shape.kind[line] == LineKind.TURN:
            self._turns ^= {int(self._shape.turn[line])}
        elif self._shape.kind[line] == LineKind.BLOCK:
            self._blocks ^= {int(self._shape.block[line])}

    def is_folded(self, line: int) -> bool:
        """Whether what a line heads is folded."""
        assert self._shape is not None
        if self._shape.kind[line] == LineKind.TURN:
            return int(self._shape.turn[line]) in self._turns
        return int(self._shape.block[line]) in self._blocks

    def hides(self, point: int) -> bool:
        """Whether a code point is folded away."""
        assert self._shape is not None
        return self._shape.block_at(point) in self._blocks or self._shape.turn_at(point) in self._turns

    def unfold(self, point: int) -> None:
        """Unfold what a code point lies in."""
        assert self._shape is not None
        self._blocks -= {self._shape.block_at(point)}
        self._turns -= {self._shape.turn_at(point)}
