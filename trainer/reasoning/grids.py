"""Grids of ARC-AGI as text: how they are asked, and how an answer is read. Cells are colours 0 to 9."""

from __future__ import annotations

import re
from collections.abc import Sequence

Grid = tuple[tuple[int, ...], ...]
"""Rows of equal length, each cell 0 to 9."""

LARGEST = 30  # rows and columns, as in ARC-AGI
_ROW = re.compile(r"^[ \t]*(?:Output:)?[ \t]*\[*[ \t]*(\d(?:[ \t,]*\d)*)[ \t]*\]*,?[ \t]*$")

_EXAMPLE = re.compile(r"^Example \d+\nInput:\n(.*?)\nOutput:\n(.*?)(?=\n\n|\Z)", re.MULTILINE | re.DOTALL)
_BETWEEN = re.compile(r"\][ \t]*,[ \t]*(?=\[)")  # rows of a grid in one line


class NotAGrid(ValueError):
    """A value that is no grid; the message says why."""


def grid(value: object) -> Grid:
    """A grid of parsed JSON. Raises NotAGrid."""
    if not isinstance(value, list | tuple) or not value:
        raise NotAGrid("a grid is a list of rows")
    rows = []
    for row in value:
        if not isinstance(row, list | tuple) or not row or len(row) != len(value[0]):
            raise NotAGrid(f"its rows must be lists of the same length, not {row!r:.60}")
        if any(type(cell) is not int or not 0 <= cell <= 9 for cell in row):
            raise NotAGrid(f"cells are whole numbers from 0 to 9, not {row!r:.60}")
        rows.append(tuple(row))
    if len(rows) > LARGEST or len(rows[0]) > LARGEST:
        raise NotAGrid(f"{len(rows)} x {len(rows[0])} cells, and the most are {LARGEST} x {LARGEST}")
    return tuple(rows)


def as_text(cells: Grid) -> str:
    """A line a row, cells apart by a space."""
    return "\n".join(" ".join(str(cell) for cell in row) for row in cells)


def asked(pairs: Sequence[tuple[Grid, Grid]], test: Grid) -> str:
    """The examples and the input whose output is wanted, as the problem's text."""
    parts = [
        f"Example {number}\nInput:\n{as_text(before)}\nOutput:\n{as_text(after)}"
        for number, (before, after) in enumerate(pairs, 1)
    ]
    return "\n\n".join([*parts, f"Test\nInput:\n{as_text(test)}\nOutput:"])


def read_grid(text: str) -> Grid | None:
    """The last grid of a text: neighbouring lines of digits, equally long; None when there is none.

    Digits may be apart by spaces or commas, or stand in brackets, also nested in one line as JSON writes them.
    """
    lines = _BETWEEN.sub("]\n", text).replace("[[", "[\n[").split("\n")
    block: list[tuple[int, ...]] = []
    for line in reversed(lines):
        match = _ROW.match(line)
        cells = tuple(int(digit) for digit in re.findall(r"\d", match[1])) if match else ()
        if cells and (not block or len(cells) == len(block[0])):
            block.append(cells)
        elif block and (line.strip(" \t[],") or not line.strip()):
            break  # text, a row of another length, or an empty line; brackets alone are passed over
    if not block or len(block) > LARGEST or len(block[0]) > LARGEST:
        return None
    return tuple(reversed(block))


def read_examples(text: str) -> tuple[tuple[Grid, Grid], ...]:
    """The examples of a problem that `asked` wrote."""
    found = ((read_grid(before), read_grid(after)) for before, after in _EXAMPLE.findall(text))
    return tuple((before, after) for before, after in found if before is not None and after is not None)
