"""When two answers are equal: the strict and the lenient form.

The caller's own process asks `ExactAlgebra`, which knows rational numbers and raises `NeedsAlgebra` for the rest; the
grading processes ask sympy.
"""

from __future__ import annotations

import re

from trainer.reasoning.expression import Apply, Group, Node, Number, Relation, Symbol, parse
from trainer.reasoning.matching import Matcher
from trainer.reasoning.normal_form import Measured, clean, is_prose, split_unit, strict_form, text_form
from trainer.reasoning.notation import MAX_LENGTH, NotAnExpression, TooBig
from trainer.reasoning.values import Algebra, all_of, is_variable

_WHOLE = re.compile(r"-?\d+")
_FRACTION = re.compile(r"-?\\frac\{\d+\}\{\d+\}")
_POWER = re.compile(r"\^[{(]|\^-?\d\d|\^[^+*/-]\^")
_FEW_VARIABLES = 2
_ABOUT = re.compile(r"(?:\\approx(?![a-z])|(?:approximately|approx\.?|about|roughly|around)\s)\s*(?=[-\d.\\$])", re.I)
_DECIMAL_COMMA = re.compile(r"(?P<whole>-?(?:\d+|[1-9]\d{0,2}(?:\.\d{3})+)),(?P<part>\d*[1-9]0*)(?P<sign>[%°]?)")
_CLOCK = re.compile(r"(\d{1,2}):([0-5]\d)(?::([0-5]\d))?\s*(?:[ap]\.?\s?m\.?)?", re.I)


def strict(predicted: str, reference: str, algebra: Algebra) -> bool | None:
    r"""Equal normal forms, or items in order of which each has one value, in the manner of the PRM800K grader.

    A whole number must be met by the same whole number, a plain fraction by the same fraction (reduced as the
    reference is), and powers are not evaluated.
    """
    _check_length(predicted, reference)
    ours, theirs = strict_form(predicted), strict_form(reference)
    if (ours.unit and theirs.unit and ours.unit != theirs.unit) or (
        ours.name and theirs.name and ours.name != theirs.name
    ):
        return False
    return _strict_texts(ours.text, theirs.text, algebra)


def lenient(predicted: str, reference: str, algebra: Algebra) -> bool | None:
    """Equal by value, whatever the notation; raises TooBig for what is beyond the parser's bounds."""
    _check_length(predicted, reference)
    given, truth = clean(predicted), clean(reference)
    if given == truth or (text_form(given) == text_form(truth) and (is_prose(given) or is_prose(truth))):
        return True
    if is_prose(truth) or is_prose(given):
        return False
    ours, theirs = split_unit(_alternatives(given)), split_unit(_alternatives(truth))
    if _are_of_other_kinds(ours, theirs) or _are_of_other_kinds(theirs, ours):
        return False
    degrees = [m.unit == "degree" and not other.unit for m, other in ((ours, theirs), (theirs, ours))]
    bodies = [m.body + "°" * d for m, d in zip((ours, theirs), degrees, strict=True)]
    try:
        a, b = map(parse, bodies)
        a, b = _with_decimal_comma(bodies[0], a, b), _with_decimal_comma(bodies[1], b, a)
    except NotAnExpression:
        return given.lower().split() == truth.lower().split()
    equal = Matcher(algebra).match(a, b)
    return None if equal and _are_other_times(given, truth) else equal


def _strict_texts(given: str, truth: str, algebra: Algebra) -> bool | None:
    if given == truth:
        return True
    if not given or not truth:
        return False
    ours, theirs = _items(given), _items(truth)
    if ours[0] != theirs[0] or len(ours) != len(theirs):
        return False
    return all_of(_strict_item(a, b, algebra) for a, b in zip(ours[1:], theirs[1:], strict=True))


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
    if not (_is_scalar(a) and _is_scalar(b)) or max(_variables(a), _variables(b)) > _FEW_VARIABLES:
        return False
    return algebra.equal(a, b, rounded=False)


def _check_length(*answers: str) -> None:
    longest = max(map(len, answers))
    if longest > MAX_LENGTH:
        raise TooBig(f"an answer of {longest} characters, more than {MAX_LENGTH}")


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


def _are_of_other_kinds(one: Measured, other: Measured) -> bool:
    """Whether the units differ, or one answer has a unit and the other is a percentage or a ratio."""
    if not one.unit or not other.unit:
        return one.unit not in ("", "percent", "degree") and (other.body.endswith("%") or ":" in other.body)
    (name, _, power), (other_name, _, other_power) = one.unit.partition("^"), other.unit.partition("^")
    return power != other_power or (name != other_name and "unit" not in (name, other_name))


def _with_decimal_comma(body: str, node: Node, other: Node) -> Node:
    """`3,5` as 3.5 where the other answer is a decimal; `3,500`, `3, 5`, `(3,5)` and `3,0` stay what they are."""
    written = _DECIMAL_COMMA.fullmatch(body)
    if not written or not isinstance(node, Group):
        return node
    signs = ("neg", {"%": "percent", "°": "degree"}.get(written["sign"]))
    while isinstance(other, Apply) and other.head in signs:
        other = other.arguments[0]
    if not isinstance(other, Number) or not other.decimals:
        return node
    return parse(f"{written['whole'].replace('.', '')}.{written['part']}{written['sign']}")


def _are_other_times(given: str, truth: str) -> bool:
    """Whether both may be times of day, and then differ: 2:15 and 4:30 are equal as ratios alone."""
    times = _CLOCK.fullmatch(given), _CLOCK.fullmatch(truth)
    if times[0] is None or times[1] is None:
        return False
    ours, theirs = ([int(part or 0) for part in time.groups()] for time in times if time)
    return ours != theirs


def _alternatives(cleaned: str) -> str:
    """`1 or 2`, `x = 1 and x = 2` as lists, `about 3` as 3."""
    cleaned = _ABOUT.sub("", cleaned, count=1) if _ABOUT.match(cleaned) else cleaned
    return re.sub(r"\s*,?\s*(?<![a-zA-Z\\])(?:or|and)(?![a-zA-Z])\s*", ", ", cleaned)


def _is_scalar(node: Node) -> bool:
    """Whether it is a single value: no list, set, matrix, relation, or choice of signs."""
    if isinstance(node, Apply):
        sets = ("matrix", "row", "cup", "cap", "setminus", "pm", "prime")
        return node.head not in sets and all(map(_is_scalar, node.arguments))
    return not isinstance(node, Group | Relation)


def _variables(node: Node) -> int:
    """How many different variables it has."""
    names: set[str] = set()
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Apply):
            waiting += one.arguments
        elif is_variable(one):
            assert isinstance(one, Symbol)
            names.add(one.name)
    return len(names)
