"""When two answers are equal: the strict and the lenient form. What needs algebra is asked of an `Algebra`.

The caller's own process uses `ExactAlgebra`, which knows rational numbers and raises `NeedsAlgebra` for the rest; the
pool's children bring one that has sympy behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fractions import Fraction
from typing import Protocol

from trainer.reasoning.exact import value
from trainer.reasoning.expression import Apply, Group, Node, Number, Relation, Symbol, parse
from trainer.reasoning.normal_form import clean, is_prose, split_unit, strict_form, text_form
from trainer.reasoning.notation import MAX_LENGTH, NotAnExpression, TooBig

ROUNDED_DECIMALS = 6  # a decimal this long may stand for the number it is rounded from
CONSTANTS = frozenset({"pi", "e", "i", "oo"})
INFINITY = Symbol("oo")
_WHOLE = re.compile(r"-?\d+")
_FRACTION = re.compile(r"-?\\frac\{\d+\}\{\d+\}")
_POWER = re.compile(r"\^[{(]|\^-?\d\d|\^[^+*/-]\^")
_FEW_VARIABLES = 2


class NeedsAlgebra(Exception):
    """The question cannot be decided with rational numbers alone."""


class Algebra(Protocol):
    """Decides about values; None where it could not."""

    def equal(self, a: Node, b: Node, *, rounded: bool) -> bool | None:
        """Whether both have one value; `rounded` lets a long decimal stand for what it is rounded from."""

    def proportional(self, a: Node, b: Node) -> bool | None:
        """Whether a is b times a number other than zero."""


class ExactAlgebra:
    """Rational numbers, single variables and equal trees; everything else raises NeedsAlgebra."""

    def equal(self, a: Node, b: Node, *, rounded: bool) -> bool | None:
        """Whether both have one value."""
        if a == b:
            return True
        x, y = value(a), value(b)
        if x is not None and y is not None:
            return x == y or (rounded and (_rounds_to(a, y) or _rounds_to(b, x)))
        if (_is_variable(a) and (y is not None or isinstance(b, Symbol))) or (_is_variable(b) and x is not None):
            return False
        raise NeedsAlgebra

    def proportional(self, a: Node, b: Node) -> bool | None:
        """Whether a is b times a number other than zero."""
        if a == b:
            return True
        raise NeedsAlgebra


def strict(predicted: str, reference: str, algebra: Algebra) -> bool | None:
    r"""Equal normal forms, or items in order of which each has one value, in the manner of the PRM800K grader.

    A whole number must be met by the same whole number, a plain fraction by the same fraction (reduced as the
    reference is), and powers are not evaluated.
    """
    _check_length(predicted, reference)
    given, truth = strict_form(predicted), strict_form(reference)
    if given == truth:
        return True
    if not given or not truth:
        return False
    ours, theirs = _items(given), _items(truth)
    if ours[0] != theirs[0] or len(ours) != len(theirs):
        return False
    return _all(_strict_item(a, b, algebra) for a, b in zip(ours[1:], theirs[1:], strict=True))


def lenient(predicted: str, reference: str, algebra: Algebra) -> bool | None:
    """Equal by value, whatever the notation; raises TooBig for what is beyond the parser's bounds."""
    _check_length(predicted, reference)
    given, truth = clean(predicted), clean(reference)
    if given == truth or (text_form(given) == text_form(truth) and (is_prose(given) or is_prose(truth))):
        return True
    if is_prose(truth) or is_prose(given):
        return False
    ours, theirs = split_unit(_alternatives(given)), split_unit(_alternatives(truth))
    if ours.unit and theirs.unit and ours.unit != theirs.unit:
        return False
    try:
        a, b = parse(ours.body), parse(theirs.body)
    except NotAnExpression:
        return text_form(given) == text_form(truth)
    return _Matcher(algebra).match(a, b)


def _check_length(*answers: str) -> None:
    longest = max(map(len, answers))
    if longest > MAX_LENGTH:
        raise TooBig(f"an answer of {longest} characters, more than {MAX_LENGTH}")


def _strict_item(given: str, truth: str, algebra: Algebra) -> bool | None:
    if given == truth:
        return True
    if (
        _WHOLE.fullmatch(given)
        or _WHOLE.fullmatch(truth)
        or (_FRACTION.fullmatch(given) and _FRACTION.fullmatch(truth))
    ):
        return False
    if _POWER.search(given) or _POWER.search(truth):
        return False
    try:
        a, b = parse(given), parse(truth)
    except NotAnExpression:
        return False
    if any(isinstance(node, Group | Relation) for node in (a, b)) or max(_variables(a), _variables(b)) > _FEW_VARIABLES:
        return False
    return algebra.equal(a, b, rounded=False)


def _items(form: str) -> list[str]:
    """The brackets around a strict form (first entry), then its items, cut at commas outside brackets."""
    opens, closes = form[:1], form[-1:]
    brackets = opens + closes if opens in "([{" and closes in ")]}" and _one_bracket(form) else ""
    inside = form[1:-1] if brackets else form
    items, depth, begin = [], 0, 0
    for place, character in enumerate(inside):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            items.append(inside[begin:place])
            begin = place + 1
    items.append(inside[begin:])
    return [brackets if len(items) > 1 else "", *items]


def _one_bracket(form: str) -> bool:
    """Whether the first bracket is closed by the last character."""
    depth = 0
    for place, character in enumerate(form):
        depth += (character in "([{") - (character in ")]}")
        if depth == 0:
            return place == len(form) - 1
    return False


def _alternatives(cleaned: str) -> str:
    """`1 or 2`, `x = 1 and x = 2` as lists."""
    return re.sub(r"\s*,?\s*(?<![a-zA-Z\\])(?:or|and)(?![a-zA-Z])\s*", ", ", cleaned)


class _Matcher:
    """Compares two trees as answers."""

    def __init__(self, algebra: Algebra) -> None:
        self._algebra = algebra

    def match(self, a: Node, b: Node) -> bool | None:
        """Whether they are the same answer."""
        a, b = _without_name(a, b), _without_name(b, a)
        a, b = _both_signs(a), _both_signs(b)
        if isinstance(a, Group | Apply) != isinstance(b, Group | Apply) or isinstance(a, Relation) or _is_reals(a, b):
            a, b = _as_interval(a, b), _as_interval(b, a)
        if isinstance(a, Relation) or isinstance(b, Relation):
            return self._relations(a, b) if isinstance(a, Relation) and isinstance(b, Relation) else False
        if _is_union(a) or _is_union(b):
            return self._unions(a, b)
        a, b = _as_tuple(a, b), _as_tuple(b, a)
        if isinstance(a, Group) and isinstance(b, Group):
            return self._groups(a, b)
        if isinstance(a, Group) or isinstance(b, Group):
            group, other = (a, b) if isinstance(a, Group) else (b, a)
            assert isinstance(group, Group)
            return self.match(group.items[0], other) if group.opens == "{" and len(group.items) == 1 else _empty(a, b)
        if _is(a, "matrix") or _is(b, "matrix"):
            return self._matrices(a, b)
        return self._scalars(a, b)

    def _scalars(self, a: Node, b: Node) -> bool | None:
        """Equal in one reading of per cent and degrees: as a hundredth and pi/180, or as a unit."""
        for sign in ("percent", "degree"):
            if _contains(a, sign) and _contains(b, sign):
                a, b = _read(a, sign, as_unit=True), _read(b, sign, as_unit=True)
        readings = [(x, y) for x in _readings(a) for y in _readings(b)]
        return _any(self._algebra.equal(x, y, rounded=True) for x, y in readings)

    def _groups(self, a: Group, b: Group) -> bool | None:
        sets = [g.opens == "{" for g in (a, b)]
        bare = [g.opens == "" for g in (a, b)]
        if all(s or n for s, n in zip(sets, bare, strict=True)):
            return self._unordered(a.items, b.items, distinct=any(sets))
        if any(sets):
            return False
        same_brackets = (a.opens, a.closes) == (b.opens, b.closes)
        if not any(bare) and not same_brackets and len(a.items) == 2:
            return False  # intervals with other ends
        if len(a.items) != len(b.items):
            return False
        return _all(self.match(x, y) for x, y in zip(a.items, b.items, strict=True))

    def _unordered(self, ours: tuple[Node, ...], theirs: tuple[Node, ...], *, distinct: bool) -> bool | None:
        if distinct:  # a set: each of one is in the other
            return _all(
                _any(self.match(x, y) for y in others)
                for some, others in ((ours, theirs), (theirs, ours))
                for x in some
            )
        if len(ours) != len(theirs):
            return False
        left = list(theirs)
        undecided = False
        for x in ours:
            found = None
            for place, y in enumerate(left):
                verdict = self.match(x, y)
                undecided |= verdict is None
                if verdict:
                    found = place
                    break
            if found is None:
                return None if undecided else False
            del left[found]
        return True

    def _unions(self, a: Node, b: Node) -> bool | None:
        if not (_is_union(a) and _is_union(b)):
            return False
        assert isinstance(a, Apply)
        assert isinstance(b, Apply)
        if a.head != b.head:
            return False
        if a.head == "setminus":
            return len(a.arguments) == len(b.arguments) and _all(map(self.match, a.arguments, b.arguments))
        return self._unordered(a.arguments, b.arguments, distinct=True)

    def _matrices(self, a: Node, b: Node) -> bool | None:
        if not (isinstance(a, Apply) and isinstance(b, Apply) and a.head == b.head == "matrix"):
            return False
        ours = [row.arguments for row in a.arguments if isinstance(row, Apply)]
        theirs = [row.arguments for row in b.arguments if isinstance(row, Apply)]
        if (len(ours), len(ours[0])) != (len(theirs), len(theirs[0])):
            return False
        rows = zip(ours, theirs, strict=True)
        return _all(self._scalars(x, y) for mine, other in rows for x, y in zip(mine, other, strict=True))

    def _relations(self, a: Relation, b: Relation) -> bool | None:
        a, b = _ascending(a), _ascending(b)
        if a.signs != b.signs or len(a.sides) != len(b.sides):
            return False
        if a.signs == ("=",):
            ours, theirs = (Apply("+", (r.sides[0], Apply("neg", (r.sides[1],)))) for r in (a, b))
            if any(_is_union(side) or isinstance(side, Group | Relation) for side in (*a.sides, *b.sides)):
                return _all(self.match(x, y) for x, y in zip(a.sides, b.sides, strict=True))
            return self._algebra.proportional(ours, theirs)
        return _all(self._scalars(x, y) for x, y in zip(a.sides, b.sides, strict=True))


def _all(verdicts: Iterable[bool | None]) -> bool | None:
    found: bool | None = True
    for verdict in verdicts:
        if verdict is False:
            return False
        found = None if verdict is None else found
    return found


def _any(verdicts: Iterable[bool | None]) -> bool | None:
    found: bool | None = False
    for verdict in verdicts:
        if verdict:
            return True
        found = None if verdict is None else found
    return found


def _is(node: Node, head: str) -> bool:
    return isinstance(node, Apply) and node.head == head


def _is_union(node: Node) -> bool:
    return isinstance(node, Apply) and node.head in ("cup", "cap", "setminus")


def _is_variable(node: Node) -> bool:
    return isinstance(node, Symbol) and node.name not in CONSTANTS


def _is_reals(a: Node, b: Node) -> bool:
    return Symbol("Reals") in (a, b)


def _empty(a: Node, b: Node) -> bool:
    """The empty set, written either way."""
    return {a, b} == {Group("{", "}", ()), Symbol("emptyset")}


def _without_name(node: Node, other: Node) -> Node:
    """The value of `x = 3`, `f(x) = 3`, `x \\in A`, or of a list of such, where the other answer names none."""
    if isinstance(node, Relation) and node.signs == ("in",):
        return node.sides[1]
    if isinstance(node, Relation) and set(node.signs) == {"="} and not isinstance(other, Relation):
        return node.sides[-1] if _is_name(node.sides[0]) else node
    if isinstance(node, Group) and node.items and all(_assigns(item) for item in node.items):
        names = {item.sides[0] for item in node.items if isinstance(item, Relation)}
        values = tuple(item.sides[1] for item in node.items if isinstance(item, Relation))
        if len(names) == 1:
            return Group(node.opens, node.closes, values)
        if not (isinstance(other, Group) and any(isinstance(item, Relation) for item in other.items)):
            return Group("(", ")", values)
    return node


def _assigns(node: Node) -> bool:
    return isinstance(node, Relation) and node.signs == ("=",) and _is_variable(node.sides[0])


def _is_name(node: Node) -> bool:
    """A variable, or a function of variables as `f(x)` is read: a product of names."""
    return _is_variable(node) or (
        isinstance(node, Apply)
        and node.head == "*"
        and len(node.arguments) == 2
        and all(map(_is_variable, node.arguments))
    )


def _both_signs(node: Node) -> Node:
    """`a ± b` as the list of both values; in a list, each item's."""
    if isinstance(node, Group) and node.opens in ("", "{"):
        items: list[Node] = []
        for item in node.items:
            one = _both_signs(item)
            items += one.items if isinstance(one, Group) and one.opens == "" else [one]
        return Group(node.opens, node.closes, tuple(items))
    if not _contains(node, "pm") or isinstance(node, Group):
        return node
    return Group("", "", (_with_sign(node, minus=False), _with_sign(node, minus=True)))


def _with_sign(node: Node, *, minus: bool) -> Node:
    """The value with every ± read as one sign."""
    if isinstance(node, Relation):
        return Relation(node.signs, tuple(_with_sign(side, minus=minus) for side in node.sides))
    if not isinstance(node, Apply):
        return node
    parts = tuple(_with_sign(part, minus=minus) for part in node.arguments)
    if node.head != "pm":
        return Apply(node.head, parts)
    return Apply("+", (parts[0], Apply("neg", (parts[1],)) if minus else parts[1]))


def _as_interval(node: Node, other: Node) -> Node:
    """An inequality about a variable, or the real numbers, as an interval, where the other answer is one."""
    if node == Symbol("Reals"):
        return Group("(", ")", (Apply("neg", (INFINITY,)), INFINITY))
    if not isinstance(node, Relation) or isinstance(other, Relation):
        return node
    up = _ascending(node)
    if not set(up.signs) <= {"<", "<="} or len(up.sides) > 3:
        return node
    closed = [sign == "<=" for sign in up.signs]
    if len(up.sides) == 3:
        low, middle, high = up.sides
        return Group("(["[closed[0]], ")]"[closed[1]], (low, high)) if _is_variable(middle) else node
    low, high = up.sides
    if _is_variable(low):
        return Group("(", ")]"[closed[0]], (Apply("neg", (INFINITY,)), high))
    return Group("(["[closed[0]], ")", (low, INFINITY)) if _is_variable(high) else node


def _ascending(relation: Relation) -> Relation:
    """The relation with < instead of >."""
    flipped = {">": "<", ">=": "<="}
    if not relation.signs or not set(relation.signs) <= set(flipped):
        return relation
    return Relation(tuple(flipped[s] for s in reversed(relation.signs)), tuple(reversed(relation.sides)))


def _as_tuple(node: Node, other: Node) -> Node:
    """A row or column as a tuple, where the other answer is a tuple."""
    if not (isinstance(node, Apply) and node.head == "matrix" and isinstance(other, Group)):
        return node
    rows = [row.arguments for row in node.arguments if isinstance(row, Apply)]
    if len(rows) == 1:
        return Group("(", ")", rows[0])
    return Group("(", ")", tuple(row[0] for row in rows)) if len(rows[0]) == 1 else node


def _contains(node: Node, head: str) -> bool:
    if isinstance(node, Apply):
        return node.head == head or any(_contains(part, head) for part in node.arguments)
    if isinstance(node, Group):
        return any(_contains(part, head) for part in node.items)
    return isinstance(node, Relation) and any(_contains(part, head) for part in node.sides)


def _readings(node: Node) -> list[Node]:
    """A value with its per cent and degree signs as measures, and as units."""
    found = [node]
    for sign in ("percent", "degree"):
        if _contains(node, sign):
            found = [_read(n, sign, as_unit=u) for n in found for u in (False, True)]
    return found


def _read(node: Node, sign: str, *, as_unit: bool) -> Node:
    if not isinstance(node, Apply):
        return node
    parts = tuple(_read(part, sign, as_unit=as_unit) for part in node.arguments)
    if node.head != sign:
        return Apply(node.head, parts)
    if as_unit:
        return parts[0]
    measure: tuple[Node, ...] = (Number(Fraction(1, 100 if sign == "percent" else 180)),)
    return Apply("*", (*parts, *measure, *((Symbol("pi"),) if sign == "degree" else ())))


def _rounds_to(node: Node, exact: Fraction) -> bool:
    """Whether a decimal with enough digits is that number rounded."""
    inner = node.arguments[0] if isinstance(node, Apply) and node.head == "neg" else node
    if not isinstance(inner, Number) or (inner.decimals or 0) < ROUNDED_DECIMALS:
        return False
    written = -inner.value if inner is not node else inner.value
    return abs(written - exact) <= Fraction(1, 2 * 10 ** (inner.decimals or 0))


def _variables(node: Node) -> int:
    """How many different variables it has."""
    names: set[str] = set()
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Apply):
            waiting += one.arguments
        elif _is_variable(one):
            assert isinstance(one, Symbol)
            names.add(one.name)
    return len(names)
