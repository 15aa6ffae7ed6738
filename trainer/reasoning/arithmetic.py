"""Are the equations of a step true? Exact for numbers, by our own parser over fractions; algebra goes to the pool.

A verdict is WRONG only where every reading of the notation makes the equation false; what is not plain arithmetic, or
could have lost something to the prose around it, is UNKNOWN.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from itertools import pairwise, product

from trainer.reasoning.equations import SCALES, Kind, Side, Statement, Token, statements
from trainer.reasoning.exact import power, root

MAX_DIGITS = 60
MAX_DEPTH = 40
MAX_FACTORIAL = 100
NEAR = Fraction(1, 20)  # an ≈ that is farther off, and no rounding, is wrong
_EXPANDING = re.compile(r"simplif|expand|distribut|combin|factor|multiply|foil", re.IGNORECASE)


class Verdict(StrEnum):
    """What an exact check says of an equation or a step."""

    CORRECT = "correct"
    WRONG = "wrong"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class EquationCheck:
    """One `a = b` of the text, at [start, end); a chain a = b = c has two."""

    start: int
    end: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class StepCheck:
    """A step is WRONG with one wrong equation, CORRECT with a true one and none wrong, else UNKNOWN."""

    verdict: Verdict
    equations: tuple[EquationCheck, ...]


@dataclass(frozen=True, slots=True)
class _Reading:
    """How ambiguous notation is read."""

    percent_is_hundredth: bool = True
    mixed_is_sum: bool = True
    mark_is_factorial: bool = True
    juxtaposed_first: bool = False  # 6/2(3) as 6/(2(3)), 8 / 2/3 as 8 / (2/3)


class _NoValueError(Exception):
    """The side has no value in this reading."""


def check_step(text: str) -> StepCheck:
    """The equations of numbers in a step, each with its place and verdict. Never raises, never evaluates text."""
    found = [_check_link(s, place) for s in statements(text) for place in range(len(s.joins)) if _sides_stand(s, place)]
    return _step(found)


def check_algebra(text: str) -> StepCheck:
    """Like `check_step`, and equations with variables too: is an identity true? Loads sympy: call it in the pool.

    `3x + 2x = 6x` is wrong, `x = 5` or `2x + 3 = 7` assert something about x and are unknown.
    """
    from trainer.reasoning.algebra import identity

    simplifies = bool(_EXPANDING.search(text))
    found = []
    for statement in statements(text):
        for place in range(len(statement.joins)):
            if not _sides_stand(statement, place):
                continue
            check = _check_link(statement, place)
            left, right = statement.sides[place], statement.sides[place + 1]
            variables = left.has(Kind.VARIABLE) or right.has(Kind.VARIABLE)
            clear = not (left.has(Kind.TAINT) or right.has(Kind.TAINT) or statement.poisoned)
            if variables and clear and statement.joins[place] == "=":
                spans = text[left.start : left.end], text[right.start : right.end]
                verdict = Verdict(identity(*spans, meant=simplifies or place > 0))
                check = EquationCheck(check.start, check.end, verdict)
            found.append(check)
    return _step(found)


def _step(found: list[EquationCheck]) -> StepCheck:
    verdicts = {check.verdict for check in found}
    worst = next((v for v in (Verdict.WRONG, Verdict.CORRECT) if v in verdicts), Verdict.UNKNOWN)
    return StepCheck(worst, tuple(found))


def _sides_stand(statement: Statement, place: int) -> bool:
    return bool(statement.sides[place].tokens and statement.sides[place + 1].tokens)


def _check_link(statement: Statement, place: int) -> EquationCheck:
    left, right, join = statement.sides[place], statement.sides[place + 1], statement.joins[place]
    unsafe = statement.poisoned or left.has(Kind.TAINT, Kind.VARIABLE) or right.has(Kind.TAINT, Kind.VARIABLE)
    first = place == 0 and not _calculates(left)
    named = first and not _calculates(right)  # "side 3 = 5" names, it does not calculate
    verdict = Verdict.UNKNOWN if unsafe or named else _compare(left, right, join)
    if verdict is Verdict.WRONG and first and (left.units or left.has(Kind.PERCENT)):
        verdict = Verdict.UNKNOWN  # "a week and 2 days = 7 + 2"
    return EquationCheck(left.start, right.end, verdict)


def _compare(left: Side, right: Side, join: str) -> Verdict:
    values = []
    for reading in _readings([*left.tokens, *right.tokens]):
        try:
            values.append((_Evaluator(left.tokens, reading).value(), _Evaluator(right.tokens, reading).value()))
        except (_NoValueError, ArithmeticError):
            continue
    if not values:
        return Verdict.UNKNOWN
    if any(a == b for a, b in values):
        return Verdict.CORRECT
    if any(_rounds(a, b, right) or _rounds(b, a, left) for a, b in values):
        return Verdict.CORRECT if join == "≈" else Verdict.UNKNOWN
    if join == "≈" and any(abs(a - b) <= NEAR * max(abs(a), abs(b)) for a, b in values):
        return Verdict.UNKNOWN
    return Verdict.WRONG if _units_agree(left, right) else Verdict.UNKNOWN


def _readings(tokens: list[Token]) -> list[_Reading]:
    """Every reading that matters for these tokens, the usual one first."""
    pairs = list(pairwise(tokens))
    percent = any(t.kind is Kind.PERCENT for t in tokens)
    mixed = any(a.kind is Kind.NUMBER and b.kind is Kind.FRACTION for a, b in pairs)
    marked = any(t.kind is Kind.FACTORIAL for t in tokens)
    juxtaposed = any(a.kind in (Kind.NUMBER, Kind.CLOSES) and b.kind is Kind.OPENS for a, b in pairs)
    juxtaposed |= sum(t.text == "/" for t in tokens) > 1
    choices = ((True, False) if c else (True,) for c in (percent, mixed, marked))
    tight = (False, True) if juxtaposed else (False,)
    return [_Reading(*reading) for reading in product(*choices, tight)]


def _calculates(side: Side) -> bool:
    """Whether it has more to it than a number and its sign."""
    rest = side.tokens[1:]
    return any(t.kind in (Kind.OPERATOR, Kind.FACTORIAL) for t in rest) or side.has(Kind.FRACTION, Kind.ROOT)


def _rounds(exact: Fraction, written: Fraction, side: Side) -> bool:
    """Whether the side is one decimal, or ≈'s whole number, that differs by less than one in its last place."""
    numbers = [t for t in side.tokens if t.kind is Kind.NUMBER]
    if len(numbers) != 1 or _calculates(side):
        return False
    _, point, decimals = numbers[0].text.partition(".")
    if not point:
        return False
    step = Fraction(1, 10 ** len(decimals) * (100 if side.has(Kind.PERCENT) else 1))
    return abs(exact - written) < step and (exact / step).denominator != 1


def _units_agree(left: Side, right: Side) -> bool:
    """Whether a false value cannot be a change of units: one unit in all, or one of the factors' in the product."""
    words = [*left.units, *right.units]
    if any(unit & SCALES for unit in words):
        return False
    if all(a & b for a in words for b in words):
        return True
    adds = any(t.kind is Kind.OPERATOR and t.text in "+-" for t in left.tokens)
    return not adds and all(any(a & b for a in left.units) for b in right.units)


class _Evaluator:
    """Recursive descent over one side's tokens."""

    def __init__(self, tokens: list[Token], reading: _Reading) -> None:
        self._tokens = tokens
        self._reading = reading
        self._place = 0
        self._depth = 0

    def value(self) -> Fraction:
        """The side's value; raises _NoValueError."""
        found = self._sum()
        if self._place < len(self._tokens):
            raise _NoValueError
        return found

    def _is(self, kind: Kind, *texts: str, by: int = 0) -> bool:
        place = self._place + by
        if place >= len(self._tokens):
            return False
        token = self._tokens[place]
        return token.kind is kind and (not texts or token.text in texts)

    def _take(self) -> Token:
        if self._place >= len(self._tokens):
            raise _NoValueError
        self._place += 1
        return self._tokens[self._place - 1]

    def _sum(self) -> Fraction:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _NoValueError
        total = self._product()
        while self._is(Kind.OPERATOR, "+", "-"):
            sign = self._take().text
            term = self._product()
            total = total + term if sign == "+" else total - term
        self._depth -= 1
        return _small(total)

    def _product(self) -> Fraction:
        found = self._factor()
        while self._is(Kind.OPERATOR, "*", "/") or self._joined():
            sign = self._take().text if self._is(Kind.OPERATOR) else "*"
            factor = self._factor()
            if self._reading.juxtaposed_first:
                while self._joined():
                    factor *= self._factor()
                while sign == "/" and self._is(Kind.OPERATOR, "/") and self._is_tight():
                    self._take()
                    factor /= self._factor()
            found = _small(found * factor if sign == "*" else found / factor)
        return found

    def _is_tight(self) -> bool:
        """Whether no space stands around the sign that comes next."""
        before, sign = self._tokens[self._place - 1], self._tokens[self._place]
        return (
            before.end == sign.start and self._is(Kind.NUMBER, by=1) and self._tokens[self._place + 1].start == sign.end
        )

    def _joined(self) -> bool:
        """Whether a factor follows without a sign."""
        if self._is(Kind.OPENS, "[", "{"):
            return False
        before = self._tokens[self._place - 1].kind
        return self._is(Kind.OPENS) or self._is(Kind.ROOT) or (self._is(Kind.FRACTION) and before is not Kind.PERCENT)

    def _factor(self) -> Fraction:
        negative = False
        while self._is(Kind.OPERATOR, "-", "+"):
            negative ^= self._take().text == "-"
        found = self._power()
        return -found if negative else found

    def _power(self) -> Fraction:
        base = self._marked(self._atom())
        if self._is(Kind.OPERATOR, "^"):
            self._take()
            exponent = self._group() if self._is(Kind.OPENS) else self._signed_number()
            raised = power(base, exponent)
            if raised is None:
                raise _NoValueError
            base = self._marked(_small(raised))
        return base

    def _signed_number(self) -> Fraction:
        negative = self._is(Kind.OPERATOR, "-")
        if negative:
            self._take()
        return -self._take_number() if negative else self._take_number()

    def _marked(self, found: Fraction) -> Fraction:
        while self._is(Kind.PERCENT) or self._is(Kind.FACTORIAL):
            if self._take().kind is Kind.PERCENT:
                found = found / 100 if self._reading.percent_is_hundredth else found
            elif self._reading.mark_is_factorial:
                if found.denominator != 1 or not 0 <= found <= MAX_FACTORIAL:
                    raise _NoValueError
                found = Fraction(math.factorial(int(found)))
        return found

    def _atom(self) -> Fraction:
        if self._is(Kind.OPENS):
            return self._group()
        if self._is(Kind.FRACTION):
            self._take()
            top = self._argument()
            return _small(top / self._argument())
        if self._is(Kind.ROOT):
            return self._root()
        whole = self._take_number()
        if self._is(Kind.NUMBER):
            return whole + self._fraction_after(whole)
        if self._is(Kind.FRACTION) and whole.denominator == 1:
            fraction = self._atom()
            return whole + fraction if self._reading.mixed_is_sum else whole * fraction
        return whole

    def _fraction_after(self, whole: Fraction) -> Fraction:
        """The 1/2 of `2 1/2`; any other number after a number has no value."""
        top, slash = self._take(), self._take()
        below = self._take()
        close = slash.end - slash.start == below.start - top.end
        if not (slash.text == "/" and below.kind is Kind.NUMBER and close and whole.denominator == 1):
            raise _NoValueError
        part = Fraction(int(_whole(top)), int(_whole(below)))
        if part >= 1:
            raise _NoValueError
        return part

    def _root(self) -> Fraction:
        self._take()
        index = 2
        if self._is(Kind.OPENS, "["):
            degree = self._group()
            index = int(degree) if degree.denominator == 1 and 0 < degree < 64 else 0
        found = root(self._argument(), index) if index else None
        if found is None:
            raise _NoValueError
        return found

    def _argument(self) -> Fraction:
        """What a command takes: a group, or one number, of which LaTeX takes the first digit."""
        if self._is(Kind.OPENS):
            return self._group()
        token = self._take()
        if token.kind is not Kind.NUMBER or len(token.text) != 1:
            raise _NoValueError
        return Fraction(int(token.text))

    def _group(self) -> Fraction:
        opens = self._take().text
        found = self._sum()
        if not self._is(Kind.CLOSES, {"(": ")", "[": "]", "{": "}"}[opens]):
            raise _NoValueError
        self._take()
        return found

    def _take_number(self) -> Fraction:
        token = self._take()
        if token.kind is not Kind.NUMBER or len(token.text) > MAX_DIGITS:
            raise _NoValueError
        return Fraction(token.text)


def _whole(token: Token) -> str:
    if token.kind is not Kind.NUMBER or not token.text.isdigit() or len(token.text) > MAX_DIGITS:
        raise _NoValueError
    return token.text


def _small(value: Fraction) -> Fraction:
    """The value, if it is not beyond every sensible step."""
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > 4096:
        raise _NoValueError
    return value
