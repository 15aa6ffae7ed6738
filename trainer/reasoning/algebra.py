"""Is an equation with variables a true identity, a false one, or an assertion about its variables? With sympy."""

from __future__ import annotations

from typing import Any

from trainer.reasoning.expression import Apply, Group, Node, Relation, parse
from trainer.reasoning.normal_form import clean
from trainer.reasoning.notation import NotAnExpression, TooBig
from trainer.reasoning.symbolic import is_zero, to_sympy

Sympy = Any  # sympy has no types
_HEADS = frozenset({"+", "*", "neg", "inverse", "^", "root"})
MAX_POWER = 12


def identity(left: str, right: str, *, meant: bool) -> str:
    """ "correct", "wrong" or "unknown".

    A difference that is not zero is wrong where the left side leaves something to work out (like terms, a product of
    sums) and no value of the variables but zero makes the sides equal, or where an identity is `meant` (the step
    simplifies or expands, or the equation continues a chain). Otherwise the equation may be one to solve.
    """
    try:
        a, b = parse(clean(left)), parse(clean(right))
        if not (_is_plain(a) and _is_plain(b)):
            return "unknown"
        x, y = to_sympy(a), to_sympy(b)
    except (NotAnExpression, TooBig):
        return "unknown"
    if is_zero(x - y):
        return "correct"
    if not x.free_symbols or x.free_symbols != y.free_symbols or not _has_work(a):
        return "unknown"
    return "wrong" if meant or _holds_nowhere(x - y) else "unknown"


def _is_plain(node: Node) -> bool:
    """Sums, products, quotients and small powers only."""
    if isinstance(node, Group | Relation):
        return False
    if not isinstance(node, Apply):
        return True
    if node.head == "^":
        exponent = to_sympy(node.arguments[1])
        if not (exponent.is_number and abs(exponent) <= MAX_POWER):
            return False
    return node.head in _HEADS and all(_is_plain(part) for part in node.arguments)


def _has_work(node: Node) -> bool:
    """Like terms to combine, or a product or power of a sum."""
    if not isinstance(node, Apply):
        return False
    if node.head in ("*", "^", "inverse") and any(_is_sum(part) for part in node.arguments):
        return True
    if node.head == "+":
        kinds = [to_sympy(term).as_coeff_Mul()[1] for term in node.arguments]
        if len(set(kinds)) < len(kinds):
            return True
    return any(_has_work(part) for part in node.arguments)


def _is_sum(node: Node) -> bool:
    return isinstance(node, Apply) and (node.head == "+" or (node.head == "neg" and _is_sum(node.arguments[0])))


def _holds_nowhere(difference: Sympy) -> bool:
    """Whether the difference is a number or one monomial: it vanishes nowhere, or only at zero."""
    import sympy

    expanded = sympy.expand(sympy.together(difference))
    return not expanded.is_Add and expanded.is_polynomial(*expanded.free_symbols)
