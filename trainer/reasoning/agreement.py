"""Whether the visible answer is the value that the thinking ended with: a finding quotes both. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from trainer.reasoning import claims
from trainer.reasoning.claims import Claim, Kind
from trainer.reasoning.quantities import NUMBER, Rounding, read, rounding_of, same
from trainer.reasoning.safety import Category, Finding, Part
from trainer.reasoning.segment import Span

LONGEST = 40_000  # characters of a text that are read for claims: the last ones
_COMPUTES = re.compile(
    r"[-+*/×÷]\s*[$€£(]?\s*\d[^\n=]*=|\bis \$?\d|=\s*[-$€£]?\s*\d|\b(?:plus|minus|times|divided by)\b"
)
_ASKS = re.compile(
    r"\bhow (?:many|much|long|far|old|tall|fast|big|high)\b|\bwhat(?:'s| is| are| was)\b|\b(?:calculate|compute|find"
    r"|solve|evaluate|determine|simplify|convert|add|subtract|total)\b|\d",
    re.IGNORECASE,
)
_OPTION = re.compile(r"(?:^|[\s(])\(?([A-J])[).:]\s*(?P<text>.+?)(?=\s+\(?[A-J][).:]\s|\n|$)")


def compare(thinking: str, answer: str, problem: str, *, thinking_at: int, answer_at: int) -> Finding | None:
    """A finding where the final value of the thinking is not what the answer tells; offsets are those of "
    "the trace."""
    cut = max(0, len(thinking) - LONGEST)
    shown = max(0, len(answer) - LONGEST)
    told = claims.visible(answer[shown:])
    if told is None:
        return None
    meant = claims.final(thinking[cut:])
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
    options = {match.group(1): match.group("text").strip() for match in _OPTION.finditer(problem)}
    verdicts = [_agrees(claim, told, options, rounding=rounding) for claim in meant]
    if any(verdict is not False for verdict in verdicts):
        return None
    if told.kind is Kind.EXPLICIT and meant[0].kind is Kind.EXPLICIT:
        return meant[0]
    if not _COMPUTES.search(thinking) or (problem and not _ASKS.search(problem)):
        return None
    sure = any(claim.kind is not Kind.NUMBER for claim in meant) and told.kind is not Kind.NUMBER
    if sure and _stands_in(meant[0].text, problem, rounding=rounding):
        sure = False  # a number that the problem names may be the goal that an answer was put to: a check of it
    if not sure and _stands_in(told.text, thinking, rounding=rounding):
        return None
    return meant[0]


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
    return same(a, b, rounding=rounding)


def _stands_in(value: str, text: str, *, rounding: Rounding) -> bool:
    """Whether any number of a text is this value."""
    return any(same(match.group(), value, rounding=rounding) for match in NUMBER.finditer(text))
