"""The values of drawn maths."""

from __future__ import annotations

from dataclasses import dataclass

QUARTERS = 4  # em sizes are counted in quarters of a device pixel


@dataclass(frozen=True, slots=True)
class Formula:
    """LaTeX without its delimiters, inline or display."""

    latex: str
    display: bool = False


@dataclass(frozen=True, slots=True)
class Sized:
    """A formula at an em size in quarters of a device pixel."""

    formula: Formula
    quarters: int


@dataclass(frozen=True, slots=True)
class Mask:
    """A drawn formula: alpha, one byte a device pixel, row by row; `ascent` is the height above the baseline."""

    width: int
    height: int
    ascent: float
    alpha: bytes
    trouble: str = ""  # why it could not be drawn
