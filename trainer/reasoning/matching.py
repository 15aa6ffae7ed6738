"""Compares two answers' trees: values, lists, sets, intervals, matrices, equations and inequalities."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import pairwise, permutations

from trainer.reasoning.exact import value
from trainer.reasoning.expression import Apply, Group, Node, Number, Relation, Symbol
from trainer.reasoning.values import Algebra, all_of, is_variable

INFINITY = Symbol("oo")
_ORDER = frozenset({"<", "<="})


class Matcher:
    """Compares two trees as answers."""

    def __init__(self, algebra: Algebra) -> None:
        self._algebra = algebra

    def match(self, a: Node, b: Node) -> bool | None:
        """Whether they are the same answer."""
        a, b = _stated(a), _stated(b)
        a, b = _without_name(a, b), _without_name(b, a)
        a, b = _both_signs(a), _both_signs(b)
        if isinstance(a, Group | Apply) != isinstance(b, Group | Apply) or isinstance(a, Relation) or _is_reals(a, b):
            a, b = _as_interval(a, b), _as_interval(b, a)
            a, b = _as_inequality(a, b), _as_inequality(b, a)
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
        if _is(a, "ratio") or _is(b, "ratio"):
            return self._ratios(a, b)
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
        if any(bare) and _is_interval(a if bare[1] else b):
            return False
        if not any(bare) and not same_brackets and len(a.items) == 2:
            return False  # intervals with other ends
        if len(a.items) != len(b.items):
            return False
        return all_of(self.match(x, y) for x, y in zip(a.items, b.items, strict=True))

    def _unordered(self, ours: tuple[Node, ...], theirs: tuple[Node, ...], *, distinct: bool) -> bool | None:
        if distinct:  # a set: each of one is in the other
            return all_of(
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
            return len(a.arguments) == len(b.arguments) and all_of(map(self.match, a.arguments, b.arguments))
        return self._unordered(a.arguments, b.arguments, distinct=True)

    def _matrices(self, a: Node, b: Node) -> bool | None:
        if not (isinstance(a, Apply) and isinstance(b, Apply) and a.head == b.head == "matrix"):
            return False
        ours = [row.arguments for row in a.arguments if isinstance(row, Apply)]
        theirs = [row.arguments for row in b.arguments if isinstance(row, Apply)]
        if (len(ours), len(ours[0])) != (len(theirs), len(theirs[0])):
            return False
        rows = zip(ours, theirs, strict=True)
        return all_of(self._scalars(x, y) for mine, other in rows for x, y in zip(mine, other, strict=True))

    def _ratios(self, a: Node, b: Node) -> bool | None:
        """`1:2:3` is `2:4:6`; with a zero among them they are equal part by part alone."""
        if not (isinstance(a, Apply) and isinstance(b, Apply) and a.head == b.head):
            return False
        if len(a.arguments) != len(b.arguments):
            return False
        if any(value(part) == 0 for part in (*a.arguments, *b.arguments)):
            return all_of(self._scalars(x, y) for x, y in zip(a.arguments, b.arguments, strict=True))
        first, other = a.arguments[0], b.arguments[0]
        rest = zip(a.arguments[1:], b.arguments[1:], strict=True)
        return all_of(self._scalars(Apply("*", (x, other)), Apply("*", (y, first))) for x, y in rest)

    def _relations(self, a: Relation, b: Relation) -> bool | None:
        a, b = _ascending(a), _ascending(b)
        if len(a.sides) != len(b.sides):
            return False
        if {*a.signs, *b.signs} <= _ORDER:
            return self._inequalities(a, b)
        if a.signs != b.signs:
            return False
        if a.signs == ("=",):
            ours, theirs = (Apply("+", (r.sides[0], Apply("neg", (r.sides[1],)))) for r in (a, b))
            if any(_is_union(side) or isinstance(side, Group | Relation) for side in (*a.sides, *b.sides)):
                return all_of(self.match(x, y) for x, y in zip(a.sides, b.sides, strict=True))
            return self._algebra.proportional(ours, theirs)
        return all_of(self._scalars(x, y) for x, y in zip(a.sides, b.sides, strict=True))

    def _inequalities(self, a: Relation, b: Relation) -> bool | None:
        """The same sides, or each difference of neighbours a positive multiple of one of the other's."""
        if a.signs == b.signs:
            same = all_of(self._scalars(x, y) for x, y in zip(a.sides, b.sides, strict=True))
            if same or _is_solved(a, b):
                return same
        if len(a.sides) > 3 or any(isinstance(side, Group) or _is_union(side) for side in (*a.sides, *b.sides)):
            return False
        ours, theirs = _differences(a), _differences(b)
        return _any(
            all_of(
                x[0] == y[0] and self._algebra.proportional(x[1], y[1], positive=True)
                for x, y in zip(ours, order, strict=True)
            )
            for order in permutations(theirs)
        )


def _differences(relation: Relation) -> list[tuple[str, Node]]:
    """Each sign of an ascending relation, and what is then greater than zero."""
    steps = zip(relation.signs, pairwise(relation.sides), strict=True)
    return [(sign, Apply("+", (high, Apply("neg", (low,))))) for sign, (low, high) in steps]


def _is_solved(a: Relation, b: Relation) -> bool:
    """Whether both say about the same variable between which numbers it is: then the sides decide."""
    return all(
        (x == y and is_variable(x)) or (value(x) is not None and value(y) is not None)
        for x, y in zip(a.sides, b.sides, strict=True)
    )


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


def _is_interval(group: Group) -> bool:
    """Whether the brackets can only be an interval's: two ends, and at least one of them square."""
    return len(group.items) == 2 and group.opens + group.closes in ("[]", "[)", "(]")


def _is_reals(a: Node, b: Node) -> bool:
    return Symbol("Reals") in (a, b)


def _empty(a: Node, b: Node) -> bool:
    """The empty set, written either way."""
    return {a, b} == {Group("{", "}", ()), Symbol("emptyset")}


def _stated(node: Node) -> Node:
    """`x ≈ 3` as `x = 3`, and `(p, q) = (3, 2)` as `p = 3, q = 2`."""
    if not isinstance(node, Relation):
        return node
    names, values = node.sides[0], node.sides[-1]
    if node.signs == ("~=",) and _is_name(names):
        return Relation(("=",), node.sides)
    if node.signs == ("=",) and isinstance(names, Group) and isinstance(values, Group):
        brackets = {names.opens + names.closes, values.opens + values.closes}
        known = all(map(is_variable, names.items)) and len({*names.items}) == len(names.items) == len(values.items)
        if brackets == {"()"} and known:
            return Group("", "", tuple(Relation(("=",), pair) for pair in zip(names.items, values.items, strict=True)))
    return node


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
    return isinstance(node, Relation) and node.signs == ("=",) and is_variable(node.sides[0])


def _is_name(node: Node) -> bool:
    """A variable, a ratio of variables, or a function of one as `f(x)` is read: a product of names."""
    if not isinstance(node, Apply):
        return is_variable(node)
    if node.head == "ratio":
        return all(map(is_variable, node.arguments)) and len({*node.arguments}) == len(node.arguments)
    if node.head != "*" or len(node.arguments) != 2:
        return False
    first, second = node.arguments
    if isinstance(second, Apply) and second.head == "inverse":
        return first != second.arguments[0] and is_variable(first) and is_variable(second.arguments[0])
    return is_variable(first) and is_variable(second)


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
        return Group("(["[closed[0]], ")]"[closed[1]], (low, high)) if is_variable(middle) else node
    low, high = up.sides
    if is_variable(low):
        return Group("(", ")]"[closed[0]], (Apply("neg", (INFINITY,)), high))
    return Group("(["[closed[0]], ")", (low, INFINITY)) if is_variable(high) else node


def _as_inequality(node: Node, other: Node) -> Node:
    """An interval as an inequality, where the other answer is one about a single variable that is not yet solved."""
    if not (isinstance(node, Group) and node.opens in "([" and len(node.items) == 2 and isinstance(other, Relation)):
        return node
    letters = set().union(*map(_variables, other.sides))
    if not set(_ascending(other).signs) <= _ORDER or len(letters) != 1:
        return node
    sides: list[Node] = [node.items[0], letters.pop(), node.items[1]]
    signs = ["<=" if node.opens == "[" else "<", "<=" if node.closes == "]" else "<"]
    ends = slice(1 if _contains_infinity(sides[0]) else 0, 2 if _contains_infinity(sides[2]) else 3)
    sides, signs = sides[ends], signs[ends.start : ends.stop - 1]
    return Relation(tuple(signs), tuple(sides)) if signs else node


def _variables(node: Node) -> set[Node]:
    if isinstance(node, Apply):
        return set().union(*map(_variables, node.arguments))
    return {node} if is_variable(node) else set()


def _contains_infinity(node: Node) -> bool:
    return node == INFINITY or (isinstance(node, Apply) and any(map(_contains_infinity, node.arguments)))


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
