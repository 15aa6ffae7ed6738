"""Who decides whether two values are equal: rational numbers here, sympy in a process that may be killed."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Protocol

from trainer.reasoning.exact import value
from trainer.reasoning.expression import Apply, Node, Number, Symbol

ROUNDED_DECIMALS = 6  # a decimal this long may stand for the number it is rounded from
CONSTANTS = frozenset({"pi", "e", "i", "oo"})


class NeedsAlgebra(Exception):
    """The question cannot be decided with rational numbers alone."""


class Algebra(Protocol):
    """Decides about values; None where it could not."""

    def equal(self, a: Node, b: Node, *, rounded: bool) -> bool | None:
        """Whether both have one value; `rounded` lets a long decimal stand for what it is rounded from."""

    def proportional(self, a: Node, b: Node, *, positive: bool = False) -> bool | None:
        """Whether a is b times a number other than zero, or greater than zero where it has to be `positive`."""


class ExactAlgebra:
    """Rational numbers, single variables and equal trees; everything else raises NeedsAlgebra."""

    def equal(self, a: Node, b: Node, *, rounded: bool) -> bool | None:
        """Whether both have one value."""
        if a == b:
            return True
        x, y = value(a), value(b)
        if x is not None and y is not None:
            return x == y or (rounded and (rounds_to(a, y) or rounds_to(b, x)))
        if (is_variable(a) and (y is not None or isinstance(b, Symbol))) or (is_variable(b) and x is not None):
            return False
        raise NeedsAlgebra

    def proportional(self, a: Node, b: Node, *, positive: bool = False) -> bool | None:
        """Whether a is b times a number other than zero, or greater than zero."""
        if a == b:
            return True
        raise NeedsAlgebra


def is_variable(node: Node) -> bool:
    """Whether it is a name other than a constant's."""
    return isinstance(node, Symbol) and node.name not in CONSTANTS


def rounds_to(node: Node, exact: Fraction) -> bool:
    """Whether a decimal with enough digits is that number rounded."""
    inner = node.arguments[0] if isinstance(node, Apply) and node.head == "neg" else node
    if not isinstance(inner, Number) or (inner.decimals or 0) < ROUNDED_DECIMALS:
        return False
    written = -inner.value if inner is not node else inner.value
    return abs(written - exact) <= Fraction(1, 2 * 10 ** (inner.decimals or 0))


def all_of(verdicts: Iterable[bool | None]) -> bool | None:
    """False with one False, else None with one None, else True."""
    found: bool | None = True
    for verdict in verdicts:
        if verdict is False:
            return False
        found = None if verdict is None else found
    return found
