"""What a final answer says, as a value: number and unit, option letter, yes or no, expression; and when two agree.

Two answers are called different only where that is certain: `same` is None for what cannot be compared.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import IntEnum
from fractions import Fraction

from trainer.reasoning.answer_forms import date_of, same_dates, substance
from trainer.reasoning.compare import lenient
from trainer.reasoning.exact import value
from trainer.reasoning.expression import parse
from trainer.reasoning.normal_form import clean, split_unit
from trainer.reasoning.notation import NotAnExpression, TooBig
from trainer.reasoning.sampled import differ
from trainer.reasoning.unit_names import ONE, UNITS
from trainer.reasoning.values import ExactAlgebra, NeedsAlgebra
from trainer.reasoning.written_numbers import NUMBER, POWER, SCALE, digits_of, number_of

_SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_WORDS = {word: n for n, word in enumerate(_SMALL)} | {word: 10 * n for n, word in enumerate(_TENS, 2)}
_WORDS |= {"dozen": 12}
SPELLED = re.compile(
    r"\b(?:" + "|".join([*_WORDS, "hundred"]) + r")(?:[\s-]+(?:and[\s-]+)?(?:" + "|".join([*_WORDS, *SCALE]) + r"))*\b",
    re.IGNORECASE,
)
_SCALED = re.compile(r"(\d[\d,]*(?:\.\d+)?)[\s-]+(dozen|hundred|thousand|million|billion|trillion)\b", re.IGNORECASE)
_ORDER = re.compile(r"^\W*(?:\\mathcal\{)?[OΘ]\}?\((.+)\)\W*$")  # O(n^2)
_CLOCK = re.compile(r"^\s*(\d{1,2}):(\d{2})\s*(a\.?m\.?|p\.?m\.?)?\W*$", re.IGNORECASE)
_LETTER = re.compile(
    r"^\W*(?:(?:option|choice|answer)\s+)?(?:\\(?:text|mathrm"
    r"|textbf)\{)?[(\[]?([A-J])[)\]]?\}?(?:[.):](?:\s.*)?|\W*)$",
    re.DOTALL,
)
_SMALL_LETTER = re.compile(r"^\W*(?:(?:option|choice|answer)\s+)?\(?([a-j])\)(?:\s.*|\W*)$", re.DOTALL)
_TRUTH = {"yes": True, "true": True, "correct": True, "no": False, "false": False, "incorrect": False}
_MEASURE = re.compile(r"\s*-?\s*([a-zA-Z]+)\b(?!\s*=)")
_ROUNDED = re.compile(
    r"\bround(?:ed|ing|s)?\b(?! trip)|\bnearest\b|decimal place|significant (?:figure|digit)|approximat"
    r"|\b(?:about|roughly|around|almost|nearly)\s+[$€£]?\d|≈|\\approx|~\s*\d|\bwhole number|\bestimate",
    re.IGNORECASE,
)
_TO_TENS = re.compile(r"\bnearest (?:ten|hundred|thousand|million|10|100|1,?000)\b|significant (?:figure|digit)", re.I)
_TANGLED = re.compile(r"[\\^*=×÷<>]|[a-zA-Z]\(|\d\s*[-–]\s*\d|\d\+|\d\s+to\s+\d")
_ABOUT = re.compile(
    r"\b(?:about|roughly|around|almost|nearly|approximately)\s+[$€£]?\d|≈|\\approx|~\s*\d", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A claim read: `number` in its unit, and in the base unit `based`; `decimals` as written; the rest "
    "where there."""

    text: str
    number: Fraction | None = None
    decimals: int = 0
    unit: str = ""
    percent: bool = False
    letter: str = ""
    truth: bool | None = None
    exact: bool = False  # the claim is this number and a unit, nothing besides

    @property
    def based(self) -> tuple[str, Fraction] | None:
        """Base unit and the number of it; None without a known unit."""
        if self.number is None or self.unit not in UNITS:
            return None
        base, factor = UNITS[self.unit]
        return base, self.number * factor


class Rounding(IntEnum):
    """How far one value may be another, rounded."""

    NONE = 0  # decimals may be cut
    WHOLE = 1  # to whole numbers, too
    TENS = 2  # to tens, hundreds, thousands, too


def rounding_of(problem: str, thinking: str, answer: str) -> Rounding:
    """What the problem asks for, and what the end of the thinking and the answer tell of rounding."""
    if _TO_TENS.search(problem) or _TO_TENS.search(thinking) or _ABOUT.search(answer):
        return Rounding.TENS
    return Rounding.WHOLE if any(map(_ROUNDED.search, (problem, thinking, answer))) else Rounding.NONE


def read(text: str) -> Quantity:
    """A claim as a value. Of several numbers the first counts, but times and lengths of several parts are "
    "added up."""
    plain = text.strip().strip("*_").strip()
    letter = _LETTER.match(plain)
    if letter and (len(plain) < 12 or plain[1:2] in ").:" or plain[:1] == "("):
        return Quantity(plain, letter=letter.group(1))
    small = _SMALL_LETTER.match(plain)
    if small:
        return Quantity(plain, letter=small.group(1).upper())
    word = re.match(r"\W*([a-zA-Z]+)", plain)
    if word and word.group(1).lower() in _TRUTH:
        return Quantity(plain, truth=_TRUTH[word.group(1).lower()])
    clock = _CLOCK.match(plain)
    if clock:
        return _time_of_day(plain, clock)
    written = _plain_numbers(plain)
    found = _whole(written)
    if found is not None:
        return found
    numbers = list(NUMBER.finditer(written))
    if not numbers:
        return Quantity(plain)
    return _summed(plain, written, numbers)


def same(a: str, b: str, *, rounding: Rounding) -> bool | None:
    """Whether two claims say the same; None where that cannot be decided. `rounding`: one may be the other, "
    "rounded."""
    x, y = read(a), read(b)
    if x.letter and y.letter:
        return x.letter == y.letter
    if x.truth is not None and y.truth is not None:
        return x.truth == y.truth
    if x.letter or y.letter or (x.truth is None) != (y.truth is None):
        return None
    special = _same_special(a, b)
    if special is not None:
        return special
    a, b = (_ORDER.sub(r"\1", one) for one in (a, b))
    written = _as_written(a, b)
    if written:
        return True
    formulas = _is_formula(a) and _is_formula(b)
    if written is False and formulas and not (x.exact and y.exact):
        return False
    if x.number is not None and y.number is not None and not (_is_tangled(x) or _is_tangled(y)):
        return _same_numbers(x, y, rounding=rounding)
    return False if written is False and formulas else None


def _same_special(a: str, b: str) -> bool | None:
    """Whether two dates, or two chemical formulae, are the same; None where they are not two of those."""
    dates = date_of(a), date_of(b)
    if dates[0] and dates[1]:
        return same_dates(dates[0], dates[1])
    substances = substance(a), substance(b)
    return substances[0] == substances[1] if substances[0] and substances[1] else None


def _decimals(written: str, number: Fraction | None = None) -> int:
    """How many decimals a number was written with; of one with a power of ten, how many it has written out."""
    decimal = re.search(r"\.(\d+)", written)
    if number is not None and re.search(POWER, written):
        return max(0, len(format(number.limit_denominator(10**15).denominator, "d")) - 1)
    return len(decimal.group(1)) if decimal else 0


def _as_written(a: str, b: str) -> bool | None:
    """What the lenient grader, exact or by trying values for letters, says of the two texts."""
    try:
        return lenient(a, b, ExactAlgebra())
    except NeedsAlgebra:
        apart = differ(a, b)
        return None if apart is None else not apart
    except (TooBig, RecursionError):
        return None


def _is_tangled(one: Quantity) -> bool:
    """Whether the number was taken out of what looks like a formula, or out of a range."""
    return not one.exact and _TANGLED.search(one.text) is not None


def _is_formula(text: str) -> bool:
    """Whether it is an expression or a list of them and no sentence."""
    try:
        parse(split_unit(clean(text)).body)
    except (NotAnExpression, TooBig):
        return False
    return len(re.findall(r"[a-zA-Z]{2,}", re.sub(r"\\[a-zA-Z]+", " ", text))) == 0


def _same_numbers(x: Quantity, y: Quantity, *, rounding: Rounding) -> bool:
    """Whether the numbers are equal in one unit, as a percentage, or once rounded."""
    assert x.number is not None
    assert y.number is not None
    pairs = [(x.number, y.number)]
    based = (x.based, y.based)
    if based[0] and based[1] and x.unit != y.unit:
        if based[0][0] != based[1][0]:
            return _near(x.number, y.number, x, y, rounding=rounding)
        pairs = [(based[0][1] / UNITS[y.unit][1], y.number), (x.number, based[1][1] / UNITS[x.unit][1])]
    elif bool(based[0]) != bool(based[1]):
        known, bare = (x, y) if based[0] else (y, x)
        pairs += _converted(known, bare) if bare.exact else []
    if x.percent != y.percent:
        pairs += [(x.number / 100, y.number)] if x.percent else [(x.number, y.number / 100)]
    return any(_near(one, other, x, y, rounding=rounding) for one, other in pairs)


def _converted(known: Quantity, bare: Quantity) -> list[tuple[Fraction, Fraction]]:
    """$2.50 and 250, 1.5 hours and 90: a number without unit may be one of a unit beside it."""
    assert known.based is not None
    assert bare.number is not None
    base, amount = known.based
    near = {"dollar": ("cent",), "h": ("min",), "min": ("s", "h"), "cent": ("dollar",)}.get(known.unit, ())
    return [(amount / UNITS[unit][1], bare.number) for unit in near if UNITS[unit][0] == base]


def _near(a: Fraction, b: Fraction, x: Quantity, y: Quantity, *, rounding: Rounding) -> bool:
    """`a` is the thinking's value, `b` the answer's, which may be `a` rounded; 3.33 may stand for 10/3, but 0.3 not."""
    if a == b:
        return True
    ours, theirs = _places(a, x, y), _places(b, x, y)
    places = min(ours, theirs)
    if ours < theirs and ours < 2 and not rounding:
        return False
    if rounding:
        return abs(a - b) <= Fraction(1, 10**places) if places else _rounds(a, b, tens=rounding is Rounding.TENS)
    # without being asked, only decimals are cut: 3.33 for 10/3
    return places > 0 and abs(a - b) <= Fraction(1, 10**places) * Fraction(6, 10)


def _rounds(a: Fraction, b: Fraction, *, tens: bool) -> bool:
    """Whether the whole one of two numbers is the other, rounded up, down, or to tens, hundreds, thousands."""
    whole, other = (a, b) if a.denominator == 1 and (b.denominator != 1 or _zeros(a) >= _zeros(b)) else (b, a)
    if whole.denominator != 1:
        return False
    if other.denominator != 1:
        return whole in (math.floor(other), math.ceil(other)) or (tens and _to_tens(whole, other))
    return tens and _to_tens(whole, other)


def _to_tens(whole: Fraction, other: Fraction) -> bool:
    """Half of ten is rounded up."""
    halves = [Fraction(10**zeros, 2) for zeros in range(1, _zeros(whole) + 1)]
    return any(-half < other - whole < half or whole - other == half for half in halves)


def _zeros(number: Fraction) -> int:
    """Zeros at the end of a whole number."""
    digits = str(abs(number.numerator))
    return 0 if number == 0 or number.denominator != 1 else len(digits) - len(digits.rstrip("0"))


def _places(number: Fraction, x: Quantity, y: Quantity) -> int:
    """Decimals with which this number was written; 50 for one that was no decimal."""
    written = [one.decimals for one in (x, y) if one.number == number and one.decimals]
    return min(written, default=50 if number.denominator != 1 else 0)


def _plain_numbers(text: str) -> str:
    """Spelled numbers in digits, other minus signs as "-"."""

    def digits(match: re.Match[str]) -> str:
        total, part = 0, 0
        for word in re.split(r"[\s-]+", match.group().lower()):
            if word in _WORDS:
                part = part * 12 if word == "dozen" and part else part + _WORDS[word]
            elif word == "hundred":
                part = (part or 1) * 100
            elif word in SCALE:
                total, part = total + (part or 1) * SCALE[word], 0
        return str(total + part)

    text = NUMBER.sub(
        lambda m: m.group().replace(m["comma"], digits_of(m.groupdict())) if m["comma"] else m.group(), text
    )
    text = re.sub(r"\b(?:one|a) in (\w+)\b(?=\W*$)", r"1/\1", text, flags=re.IGNORECASE)
    text = re.sub(r"\b(?:(?:one|a)[\s-])?half\b(?=\W*$)", "1/2", text.replace("−", "-"), flags=re.IGNORECASE)
    text = _SCALED.sub(lambda m: str(_scaled(m)), text)
    return SPELLED.sub(digits, text)


def _scaled(match: re.Match[str]) -> Fraction | int:
    found = Fraction(match.group(1).replace(",", "")) * (SCALE | {"dozen": 12})[match.group(2).lower()]
    return int(found) if found.denominator == 1 else found


def _whole(text: str) -> Quantity | None:
    """A claim that is one value with at most a unit behind it, by the grader's parser."""
    measured = split_unit(clean(text))
    try:
        node = parse(measured.body)
    except (NotAnExpression, TooBig):
        return None
    bare = re.sub(r"^\s*[a-zA-Z]\s*=\s*", "", measured.body)
    if bare != measured.body:
        try:
            node = parse(bare)
        except (NotAnExpression, TooBig):
            return None
    percent = bare.rstrip().endswith("%")
    number = value(node)
    if number is None and percent:
        try:
            number = value(parse(bare.rstrip().rstrip("%\\")))
        except (NotAnExpression, TooBig):
            return None
    if number is None:
        return None
    unit = ONE.get(measured.unit, measured.unit)
    percent, unit = (True, "") if unit in ("percent", "per cent") else (percent, unit)
    return Quantity(text, number, _decimals(bare, number), unit, percent, exact=True)


def _summed(plain: str, written: str, numbers: list[re.Match[str]]) -> Quantity:
    """The first number of a phrase, with the parts that follow it: 2 hours and 30 minutes, 5 feet 6 inches."""
    first = numbers[0]
    unit, amount = _unit_behind(written, first), number_of(first)
    last_end = first.end()
    for more in numbers[1:]:
        between, other = written[last_end : more.start()], _unit_behind(written, more)
        joined = re.fullmatch(r"\s*[a-zA-Z]+\s*(?:,|and|,\s*and)?\s*", between)
        part = number_of(more)
        if not joined or amount is None or part is None or unit not in UNITS or other not in UNITS or other == unit:
            break
        if UNITS[unit][0] != UNITS[other][0]:
            break
        amount += part * UNITS[other][1] / UNITS[unit][1]
        last_end = more.end()
    rest = (written[: first.start()] + _MEASURE.sub("", written[last_end:], count=1)).strip(" .!*$€£")
    return Quantity(
        plain,
        amount,
        _decimals(first.group(), amount),
        unit,
        bool(first.group("percent")),
        exact=not rest,
    )


def _unit_behind(text: str, number: re.Match[str]) -> str:
    found = _MEASURE.match(text, number.end())
    name = "" if found is None else ONE.get(found.group(1).lower(), found.group(1).lower())
    if name in UNITS:
        return name
    return "dollar" if "$" in number.group() else ""


def _time_of_day(text: str, clock: re.Match[str]) -> Quantity:
    hour, minute, half = int(clock.group(1)), int(clock.group(2)), (clock.group(3) or "").lower()
    if half:
        hour = hour % 12 + (12 if half.startswith("p") else 0)
    return Quantity(text, Fraction(60 * hour + minute), unit="clock", exact=True)
