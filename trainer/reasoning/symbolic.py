"""Algebra with sympy, built from our own trees: no text reaches sympy. Only for processes that may be killed."""

from __future__ import annotations

from typing import Any

from trainer.reasoning.exact import value
from trainer.reasoning.expression import Apply, Node, Number, Symbol
from trainer.reasoning.notation import NotAnExpression

Sympy = Any  # sympy has no types
DIGITS = 50
TINY = 40  # values that agree to so many digits at every point are equal
POINTS = 4


class SympyAlgebra:
    """Equality of expressions: equal trees, or values that agree to 40 digits at four points of the variables.

    One of the points has negative values: x is not |x|. Simplifying would decide less and take longer.
    """

    def equal(self, a: Node, b: Node, *, rounded: bool) -> bool | None:
        """Whether both have one value; None where neither could be shown."""
        if a == b:
            return True
        x, y = to_sympy(a), to_sympy(b)
        if x == y:
            return not _is_undefined(x)  # 1/0 and 2/0 (a time, 1:00 and 2:00, read as ratios) are one sign to sympy
        if _is_infinite(x) or _is_infinite(y):
            return False
        found = is_zero(x - y)
        if found is False and rounded and not (x - y).free_symbols:
            return _rounded(a, x - y) or _rounded(b, x - y)
        return found

    def proportional(self, a: Node, b: Node, *, positive: bool = False) -> bool | None:
        """Whether a is b times a number other than zero, or greater than zero; numbers are only if both are 0."""
        x, y = to_sympy(a), to_sympy(b)
        if positive and (_is_infinite(x) or _is_infinite(y)):
            return False
        zeros = is_zero(x), is_zero(y)
        if True in zeros:
            return zeros[0] == zeros[1]
        if not x.free_symbols or x.free_symbols != y.free_symbols:
            return False  # 2 = 3 is not 5 = 9
        ratios = [r for r in _at_points(x / y) if r.is_finite]
        if not ratios:
            return None
        if positive and not (ratios[0].is_real and ratios[0] > 0):
            return False
        return all(abs(r - ratios[0]) < abs(ratios[0]) * 10.0**-TINY for r in ratios)


def to_sympy(node: Node) -> Sympy:
    """The sympy expression of a scalar tree; NotAnExpression for matrices, sets and relations."""
    import sympy

    match node:
        case Number(number):
            return sympy.Rational(number.numerator, number.denominator)
        case Symbol("pi"):
            return sympy.pi
        case Symbol("e"):
            return sympy.E
        case Symbol("i"):
            return sympy.I
        case Symbol("oo"):
            return sympy.oo
        case Symbol(name):
            return sympy.Symbol(name)
        case Apply(head, arguments):
            exact = value(node)
            if exact is not None:
                return sympy.Rational(exact.numerator, exact.denominator)
            return _apply(head, [to_sympy(argument) for argument in arguments])
        case _:
            raise NotAnExpression("brackets and relations have no single value")


def _apply(head: str, known: list[Sympy]) -> Sympy:
    import sympy

    if head in ("+", "*"):
        return sympy.Add(*known) if head == "+" else sympy.Mul(*known)
    simple = {
        "neg": lambda a: -a,
        "inverse": lambda a: 1 / a,
        "^": sympy.Pow,
        "root": lambda a, n: sympy.real_root(a, n) if n.is_odd and a.is_number and a.is_real else sympy.root(a, n),
        "degree": lambda a: a * sympy.pi / 180,
        "percent": lambda a: a / 100,
        "lg": lambda a: sympy.log(a, 10),
        "log": lambda a, *base: sympy.log(a, *(base or (10,))),
        "ln": sympy.log,
    }
    if head in simple:
        return simple[head](*known)
    names = {"abs": "Abs", "ceil": "ceiling", "arcsin": "asin", "arccos": "acos", "arctan": "atan", "binom": "binomial"}
    allowed = {"sin", "cos", "tan", "cot", "sec", "csc", "asin", "acos", "atan", "sinh", "cosh", "tanh", "exp", "floor"}
    name = names.get(head, head)
    if name not in allowed | set(names.values()) | {"factorial"}:
        raise NotAnExpression(f"{head} has no value")
    return getattr(sympy, name)(*known)


def is_zero(difference: Sympy) -> bool | None:
    """Whether the expression vanishes: False by its value at a point, True by algebra or by many digits."""
    import sympy

    if difference == 0:
        return True
    if difference.has(sympy.zoo, sympy.nan):
        return False
    sizes = [abs(p) for p in _at_points(difference) if p.is_finite]
    return all(bool(size < 10.0**-TINY) for size in sizes) if sizes else None


def _at_points(expression: Sympy) -> list[Sympy]:
    """Values to 50 digits; one where there are no variables."""
    count = POINTS if expression.free_symbols else 1
    found = [expression.subs(_point(expression, number)).evalf(DIGITS) for number in range(count)]
    return [one for one in found if one.is_number]


def _point(expression: Sympy, number: int) -> dict[Sympy, Sympy]:
    """Values for the variables in no simple relation: positive, and at the last point every other one negative."""
    import sympy

    names = sorted(expression.free_symbols, key=str)
    values = {}
    for place, name in enumerate(names):
        size = sympy.Rational(7 + 11 * number + 5 * place * place, 3 + 2 * number + place)
        sign = -1 if number == POINTS - 1 and place % 2 == 0 else 1
        values[name] = sign * (size + sympy.Rational(1, 97 + 10 * place))
    return values


def _is_undefined(expression: Sympy) -> bool:
    import sympy

    return bool(expression.has(sympy.zoo, sympy.nan))


def _is_infinite(expression: Sympy) -> bool:
    import sympy

    return bool(expression.has(sympy.oo, -sympy.oo, sympy.zoo))


def _rounded(node: Node, difference: Sympy) -> bool:
    """Whether a decimal with six digits or more differs by no more than half of its last one."""
    import sympy

    inner = node.arguments[0] if isinstance(node, Apply) and node.head == "neg" else node
    if not isinstance(inner, Number) or (inner.decimals or 0) < 6:
        return False
    return bool(abs(difference.evalf(DIGITS)) <= sympy.Rational(1, 2 * 10 ** (inner.decimals or 0)))
