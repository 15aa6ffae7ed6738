"""Whether the visible answer is the value that the thinking ended with: a finding quotes both. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from trainer.reasoning import claims
from trainer.reasoning.answer_forms import other_name, substance
from trainer.reasoning.claims import Claim, Kind
from trainer.reasoning.quantities import Rounding, read, rounding_of, same
from trainer.reasoning.safety import Category, Finding, Part
from trainer.reasoning.segment import Span
from trainer.reasoning.written_numbers import NUMBER

LONGEST = 40_000  # characters of a text that are read for claims: the last ones
_COMPUTES = re.compile(
    r"[-+*/×÷]\s*[$€£(]?\s*\d[^\n=]*=|\bis \$?\d|=\s*[-$€£¥]?\s*(?:\d|[a-z]\^)|\b(?:plus|minus|times|divided by)\b"
    r"|\b(?:mal|geteilt durch|ergibt|fois|moins|divisé par|más|menos|più|meno)\b"
)
_ASKS = re.compile(
    r"\bhow (?:many|much|long|far|old|tall|fast|big|high)\b|\bwhat(?:'s| is| are| was)\b|\b(?:calculate|compute|find"
    r"|solve|evaluate|determine|simplify|convert|add|subtract|total)\b|\d"
    r"|\b(?:wie ?viele?|berechne|cuánt[oa]s?|calcula|combien|calcule[rz]?|quant[oiae]|calcola|hoeveel|сколько)\b"
    r"|几|幾|多少|计算|計算|いくつ|いくら|何|얼마|몇",
    re.IGNORECASE,
)
_GOAL = re.compile(
    r"(?:\b(?:becom(?:es?|ing)|get(?:s|ting)?(?: to)?|mak(?:es?|ing)|reach(?:es|ing)?|equals?(?: to)?|giv(?:es?|ing)"
    r"|results? in|leav(?:es?|ing)|ends? (?:with|at|in)|obtain|target|goal)\b[^\n.?!\d]{0,20}?|=\s*)"
    r"(?P<goal>[-−]?\d+(?:[.,]\d+)*)",
    re.IGNORECASE,
)
_TUPLE = re.compile(r"^\W*(?:\([^()]*\)\s*=\s*)?[(\[{][^()]*,[^()]*[)\]}]\W*$")  # is not one number of it
_OPTION = re.compile(
    r"(?:^|[\s(])(?:\(?(?P<big>[A-J])[).:]|\((?P<small>[a-j])\))\s*(?P<text>.+?)"
    r"(?=\s+(?:\(?[A-J][).:]|\([a-j]\))\s|\n|$)"
)
_LED = re.compile(r"\W*(?P<claim>\(?[A-J][).:](?=\s|$)|\([a-j]\)|[a-j]\)(?=\s|$)|[A-J](?=\W*$))")
_LED_TRUTH = re.compile(r"\W*(?P<claim>yes|no|true|false)\b", re.IGNORECASE)


def compare(thinking: str, answer: str, problem: str, *, thinking_at: int, answer_at: int) -> Finding | None:
    """A finding where the final value of the thinking is not what the answer tells; offsets are those of "
    "the trace."""
    cut = max(0, len(thinking) - LONGEST)
    shown = max(0, len(answer) - LONGEST)
    meant = claims.final(thinking[cut:])
    named = _other_name(meant, answer, f"{problem}\n{thinking[cut:]}")
    told = named or _led(answer[shown:], problem, meant) or claims.visible(answer[shown:])
    if told is None:
        return None
    if named is not None:
        span = Span(thinking_at + cut + meant[0].span.start, thinking_at + cut + meant[0].span.end)
        other = Span(answer_at + named.span.start, answer_at + named.span.end)
        return _finding(span, meant[0].text, other, named, Part.THINKING)
    clash = _clash(meant, told, thinking[cut:], problem, answer)
    if clash is None:
        return None
    start, end = clash.span.start + cut, clash.span.end + cut
    other = Span(answer_at + shown + told.span.start, answer_at + shown + told.span.end)
    return _finding(Span(thinking_at + start, thinking_at + end), thinking[start:end], other, told, Part.THINKING)


def compare_within(text: str, problem: str, *, at: int) -> Finding | None:
    """The same for a text without marked thinking: what leads to its final claim against that claim."""
    begin = max(0, len(text) - LONGEST)
    found = claims.reasoning_before(text[begin:])
    if found is None:
        return None
    before, told = found
    reasoning = text[begin + before.start : begin + before.end]
    clash = _clash(claims.final(reasoning), told, reasoning, problem, told.text)
    if clash is None:
        return None
    start, end = (begin + before.start + place for place in (clash.span.start, clash.span.end))
    other = Span(at + begin + told.span.start, at + begin + told.span.end)
    return _finding(Span(at + start, at + end), text[start:end], other, told, Part.ANSWER)


def _finding(span: Span, quote: str, other: Span, told: Claim, part: Part) -> Finding:
    why = f"the reasoning ends with {' '.join(quote.split())!r}, the answer says {' '.join(told.text.split())!r}"
    return Finding(Category.INCONSISTENCY, 2, span.start, span.end, quote, why, other, part=part)


def _clash(meant: tuple[Claim, ...], told: Claim, thinking: str, problem: str, answer: str) -> Claim | None:
    """The claim of the thinking that the answer contradicts; None where one agrees or nothing can be compared."""
    if not meant:
        return None
    rounding = rounding_of(problem, thinking[-400:], answer)
    options = _options(problem)
    both = (told.text, meant[0].text)
    alike = all(map(substance, both)) or all(read(one).letter for one in both) or all(map(_TUPLE.search, both))
    if meant[0].kind is told.kind is Kind.EXPLICIT and alike:
        return meant[0] if same(meant[0].text, told.text, rounding=rounding) is False else None
    verdicts = [_agrees(claim, told, options, rounding=rounding) for claim in meant]
    if any(verdict is not False for verdict in verdicts):
        return None
    if told.kind is Kind.EXPLICIT and meant[0].kind is Kind.EXPLICIT:
        return meant[0]
    if not _COMPUTES.search(thinking) or (problem and not _ASKS.search(problem)):
        return None
    sure = any(claim.kind is not Kind.NUMBER for claim in meant) and told.kind is not Kind.NUMBER
    if sure and any(same(goal["goal"], meant[0].text, rounding=rounding) for goal in _GOAL.finditer(problem)):
        sure = False  # the answer was put to the goal that the problem names: a check of it
    if not sure and _stands_in(told.text, thinking, rounding=rounding):
        return None
    return meant[0]


def _options(problem: str) -> dict[str, str]:
    """The texts of the options that a problem gives, by letter."""
    return {(m["big"] or m["small"]).upper(): m["text"].strip().rstrip(".") for m in _OPTION.finditer(problem)}


def _other_name(meant: tuple[Claim, ...], answer: str, known: str) -> Claim | None:
    """The name that an answer gives where the thinking's answer is another one."""
    if not meant or meant[0].kind is not Kind.EXPLICIT or read(meant[0].text).truth is not None:
        return None
    span = other_name(meant[0].text, answer, known)
    return None if span is None else Claim(span, span.of(answer), Kind.EXPLICIT)


def _led(answer: str, problem: str, meant: tuple[Claim, ...]) -> Claim | None:
    """An answer that begins with its option's letter, or with the yes or no that the thinking ended with."""
    found = _LED.match(answer) if _OPTION.search(problem) else None
    if found is None and any(claim.kind is Kind.EXPLICIT and read(claim.text).truth is not None for claim in meant):
        found = _LED_TRUTH.match(answer)
    if found is None:
        return None
    return Claim(Span(*found.span("claim")), found.group("claim"), Kind.EXPLICIT)


def _agrees(claim: Claim, told: Claim, options: dict[str, str], *, rounding: Rounding) -> bool | None:
    """Whether two claims agree. A sentence agrees with any of the numbers in it."""
    ours = [claim.text, *(claim.others if claim.kind is not Kind.EXPLICIT else ())]
    theirs = [told.text, *(told.others if told.kind is not Kind.EXPLICIT else ())]
    first = _same(claim.text, told.text, options, rounding=rounding)
    if first is not False:
        return first
    return any(_same(a, b, options, rounding=rounding) for a, b in _pairs(ours, theirs))


def _pairs(ours: list[str], theirs: list[str]) -> Iterable[tuple[str, str]]:
    """The claim itself against every number of the other's sentence."""
    yield from ((ours[0], b) for b in theirs[1:])
    yield from ((a, theirs[0]) for a in ours[1:])


def _same(a: str, b: str, options: dict[str, str], *, rounding: Rounding) -> bool | None:
    x, y = read(a), read(b)
    if bool(x.letter) != bool(y.letter):
        letter, text = (x.letter, b) if x.letter else (y.letter, a)
        if letter not in options:
            return None
        return same(options[letter], text, rounding=rounding)
    found = same(a, b, rounding=rounding)
    return None if found is False and (_TUPLE.search(a) is None) != (_TUPLE.search(b) is None) else found


def _stands_in(value: str, text: str, *, rounding: Rounding) -> bool:
    """Whether any number of a text is this value."""
    written = dict.fromkeys(match.group().strip() for match in NUMBER.finditer(text))
    return any(same(one, value, rounding=rounding) for one in written)
