"""Heights of the rows of a list: estimated at first, exact where somebody needs them."""

from __future__ import annotations

from collections.abc import Callable, Iterable


class RowHeights:
    """`measured(row)` says how high a row is exactly, in logical pixels."""

    def __init__(self, measured: Callable[[int], int]) -> None:
        self._measured = measured
        self._heights: list[int] = []
        self._exact = bytearray()

    def __len__(self) -> int:
        return len(self._heights)

    def __getitem__(self, row: int) -> int:
        return self._heights[row]

    def guess(self, heights: Iterable[int]) -> None:
        """Other rows, about so high."""
        self._heights = list(heights)
        self._exact = bytearray(len(self._heights))

    def forget(self, row: int) -> None:
        """A row is another height now."""
        self._exact[row] = 0

    def settle(self, row: int) -> bool:
        """Give a row its exact height; whether it was another one."""
        if self._exact[row]:
            return False
        height = self._measured(row)
        moved = height != self._heights[row]
        self._heights[row], self._exact[row] = height, 1
        return moved

    @property
    def unsettled(self) -> int | None:
        """The first row whose height is an estimate; None where all are exact."""
        found = self._exact.find(0)
        return None if found < 0 else found
