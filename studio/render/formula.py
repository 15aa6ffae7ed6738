"""The values of drawn maths, and how helpers are asked for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

LONGEST = 400  # characters; longer formulas are shown as source
PIECE = 6  # formulas a job: small enough that a visible one never waits long
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


class Helpers(Protocol):
    """What drawing needs of the helper pool."""

    def submit(
        self, target: str, argument: object, done: Callable[[object], None], *, urgent: bool = True
    ) -> Callable[[], None]:
        """Call `target` ("module:function") in a helper; `done` gets its result or the exception, in another thread."""
        ...


def order_of(wanted: Iterable[Sized]) -> list[tuple[str, bool, float]]:
    """These formulas as the helper is asked for them: LaTeX, display, device pixels an em."""
    return [(sized.formula.latex, sized.formula.display, sized.quarters / QUARTERS) for sized in wanted]


@dataclass(frozen=True, slots=True)
class Mask:
    """A drawn formula: alpha, one byte a device pixel, row by row; `ascent` is the height above the baseline."""

    width: int
    height: int
    ascent: float
    alpha: bytes
    trouble: str = ""  # why it could not be drawn
