"""Exact values of trees without variables, within bounds: rational numbers, and None for all else."""

from __future__ import annotations

import math
from fractions import Fraction

from trainer.reasoning.expression import Apply, Node, Number

MAX_BITS = 4096
MAX_EXPONENT = 1024
MAX_FACTORIAL = 200


def value(node: Node) -> Fraction | None:
    """The node's rational value; None when it has none, has variables, or would be larger than the bounds."""
    if isinstance(node, Number):
        return node.value
    if not isinstance(node, Apply):
        return None
    arguments = [value(argument) for argument in node.arguments]
    known = [argument for argument in arguments if argument is not None]
    if len(known) < len(arguments):
        return None
    return _bounded(_apply(node.head, known))


def power(base: Fraction, exponent: Fraction) -> Fraction | None:
    """base ** exponent for whole exponents, and for roots that come out; None else or out of bounds."""
    if exponent.denominator != 1:
        base_root = root(base, exponent.denominator)
        return None if base_root is None else power(base_root, Fraction(exponent.numerator))
    size = abs(exponent.numerator)
    if base == 0:
        return Fraction(0) if exponent > 0 else None
    if abs(base) != 1:
        bits = max(base.numerator.bit_length(), base.denominator.bit_length())
        if size > MAX_EXPONENT or bits * size > 4 * MAX_BITS:
            return None
    return Fraction(base ** int(exponent)) if abs(base) != 1 else base ** (int(exponent) % 2)


def root(base: Fraction, index: int) -> Fraction | None:
    """The real root when it is rational; None else."""
    if not 1 <= index <= 64 or (base < 0 and index % 2 == 0):
        return None
    top, bottom = _whole_root(abs(base.numerator), index), _whole_root(base.denominator, index)
    if top is None or bottom is None:
        return None
    return Fraction(-top if base < 0 else top, bottom)


def _whole_root(number: int, index: int) -> int | None:
    if index == 2:
        found = math.isqrt(number)
    elif number.bit_length() > 900:
        return None  # beyond what a float can begin with
    else:
        found = round(number ** (1 / index))
    return next((near for near in (found - 1, found, found + 1) if near >= 0 and near**index == number), None)


def _apply(head: str, known: list[Fraction]) -> Fraction | None:
    match head, known:
        case "+", _:
            return sum(known, Fraction(0))
        case "*", _:
            product = Fraction(1)
            for factor in known:
                bounded = _bounded(product * factor)
                if bounded is None:
                    return None
                product = bounded
            return product
        case "neg", [a]:
            return -a
        case "inverse", [a]:
            return 1 / a if a else None
        case "^", [a, b]:
            return power(a, b)
        case "root", [a, b]:
            return root(a, int(b)) if b.denominator == 1 and b > 0 else None
        case "abs", [a]:
            return abs(a)
        case "floor", [a]:
            return Fraction(math.floor(a))
        case "ceil", [a]:
            return Fraction(math.ceil(a))
        case "factorial", [a]:
            return Fraction(math.factorial(int(a))) if a.denominator == 1 and 0 <= a <= MAX_FACTORIAL else None
        case "binom", [a, b] if a.denominator == b.denominator == 1 and 0 <= b <= a <= MAX_FACTORIAL:
            return Fraction(math.comb(int(a), int(b)))
        case _:
            return None


def _bounded(found: Fraction | None) -> Fraction | None:
    if found is None or max(found.numerator.bit_length(), found.denominator.bit_length()) > 4 * MAX_BITS:
        return None
    return found
