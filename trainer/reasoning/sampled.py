"""Whether two expressions differ, by trying numbers for their letters: floats, a few fixed draws, nothing is proved.

Expressions that agree in every draw may still differ; those that differ clearly in one do differ.
"""

from __future__ import annotations

import cmath
import math
import random
from collections.abc import Callable

from trainer.reasoning.expression import Apply, Group, Node, Number, Relation, Symbol, parse
from trainer.reasoning.normal_form import clean, split_unit
from trainer.reasoning.notation import NotAnExpression, TooBig

DRAWS = 3
TOLERANCE = 1e-6
_CONSTANTS = {"pi": math.pi, "e": math.e}
_FUNCTIONS: dict[str, Callable[[complex], complex]] = {
    "sin": cmath.sin,
    "cos": cmath.cos,
    "tan": cmath.tan,
    "exp": cmath.exp,
    "ln": cmath.log,
    "abs": lambda a: complex(abs(a)),
    "neg": lambda a: -a,
    "inverse": lambda a: 1 / a,
    "percent": lambda a: a / 100,
    "degree": lambda a: a,
}


class _Unknown(Exception):
    """Something that has no value here."""


def differ(a: str, b: str) -> bool | None:
    """True where the values differ, False where they agree in all draws, None where they cannot be worked out."""
    try:
        trees = [_value_side(parse(split_unit(clean(text)).body)) for text in (a, b)]
    except (NotAnExpression, TooBig):
        return None
    names = sorted(set().union(*map(_letters, trees)))
    draw = random.Random(7)
    for _ in range(DRAWS if names else 1):
        given = {name: complex(draw.uniform(1.1, 3.7)) for name in names}
        try:
            x, y = (_worth(tree, given) for tree in trees)
        except (_Unknown, ZeroDivisionError, OverflowError, ValueError):
            return None
        if abs(x - y) > TOLERANCE * max(1.0, abs(x), abs(y)):
            return True
    return False


def _value_side(node: Node) -> Node:
    """Of `x = 5` the 5."""
    if isinstance(node, Relation) and node.signs == ("=",) and isinstance(node.sides[0], Symbol):
        return node.sides[1]
    return node


def _letters(node: Node) -> set[str]:
    if isinstance(node, Symbol):
        return set() if node.name in _CONSTANTS else {node.name}
    if isinstance(node, Apply):
        return set().union(*map(_letters, node.arguments)) if node.arguments else set()
    return set()


def _worth(node: Node, given: dict[str, complex]) -> complex:
    match node:
        case Number(value=value):
            return complex(value)
        case Symbol(name=name):
            return complex(_CONSTANTS[name]) if name in _CONSTANTS else given[name]
        case Apply(head=head, arguments=arguments):
            return _applied(head, [_worth(argument, given) for argument in arguments])
        case Group() | Relation():
            raise _Unknown


def _applied(head: str, values: list[complex]) -> complex:
    match head, values:
        case "+", _:
            return sum(values, 0j)
        case "*", _:
            product = 1 + 0j
            for one in values:
                product *= one
            return product
        case "^", [a, b]:
            return _finite(a**b)
        case "root", [a, b]:
            return _finite(a ** (1 / b))
        case "log", [a, b]:
            return cmath.log(a) / cmath.log(b)
        case "log", [a]:
            return cmath.log10(a)
        case _, [a] if head in _FUNCTIONS:
            return _finite(_FUNCTIONS[head](a))
        case _:
            raise _Unknown


def _finite(number: complex) -> complex:
    if not cmath.isfinite(number):
        raise _Unknown
    return number
