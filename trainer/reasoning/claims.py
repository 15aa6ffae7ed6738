"""Where a text says its final value: claims as spans, those that were taken back or only checked set aside. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from trainer.reasoning.answer_forms import DATE, last_math, told_substance, whole_formula
from trainer.reasoning.quantities import SPELLED, read
from trainer.reasoning.segment import Span
from trainer.reasoning.unit_names import ONE, UNITS
from trainer.reasoning.written_numbers import NUMBER

LONGEST_BOX, MOST_BOXES = 500, 50  # characters in a box; boxes of a text that are read, the last ones
MOST_OTHERS = 30  # numbers of a sentence beside its claim that are kept, the last ones
FEW = 3  # sentences of an answer whose last number is what it tells
SENTENCE = re.compile(r"(?:[^\n.!?。！？]|[.!?](?=[^\s\"')*\]])|(?<=\b[ap])\.|(?<=\b[ap]\.m)\.)+[.!?。！？]*[\"')*\]]*")
_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_EXPLICIT = (
    re.compile(r"^[ \t]*#{1,4}[ \t]*(?:final[ \t]+)?answer[ \t]*:?[ \t]*\n+[ \t]*(?P<claim>[^\n]+)", re.I | re.M),
    re.compile(r"####[ \t]*(?P<claim>[^\n]+)"),
    re.compile(
        r"\b(?:final|correct|right|my|our|the)[ \t]+(?:(?:final|correct|right|best)[ \t]+)?(?:answer|option|choice)"
        r"(?:[ \t]+(?:to|for)\b[^\n.:=]{0,80}?)?[ \t]*"
        r"(?:is|should[ \t]+be|would[ \t]+be|must[ \t]+be|will[ \t]+be|comes[ \t]+(?:out[ \t]+)?to|equals|[:=])"
        r"[ \t]*[:*]*[ \t]*(?:therefore|then|simply|just|clearly|option|choice)?[ \t]*(?P<claim>[^\n]+)",
        re.I,
    ),
    re.compile(
        r"^[ \t>*_#-]*(?:A|(?:final[ \t]+)?answer|final[ \t]+result)[ \t]*[*_]{0,2}[ \t]*:[ \t]*[*_]{0,2}[ \t]*"
        r"(?P<claim>[^\n]+)",
        re.I | re.M,
    ),
    re.compile(
        r"\b(?:die antwort (?:ist|lautet)|la respuesta es|la réponse est|la risposta è|a resposta é|het antwoord is"
        r"|ответ)[ \t]*[:—-]?[ \t]*(?P<claim>[^\n]+)"
        r"|(?:答案是?|答えは|정답은)[ \t:：]*(?P<claim2>[^\n。]+?)(?:です)?(?=[。\n]|$)",
        re.I,
    ),
    re.compile(r"\b(?:statement|claim|assertion) is (?:therefore |thus )?(?P<claim>true|false)\b", re.I),
    re.compile(
        r"(?:\b(?i:so|therefore|thus|hence)\b,?|[:;]|,[ \t]+(?:option|choice))[ \t]+"
        r"(?P<claim>\(?[A-J]\)?)[ \t]*\.?[ \t]*$",
        re.M,
    ),
    re.compile(
        r"\b(?:I(?:'ll| will)? (?:choose|pick|select|answer|go with)|so it(?:'s| is)) "
        r"(?P<claim>\(?[A-J]\)?)(?=[\s.,)]|$)"
    ),
)
_CONCLUDES = re.compile(
    r"^\W*(?:so|therefore|thus|hence|then|finally|altogether|overall|consequently|this means|that means|which means"
    r"|in total|in all|in the end|that(?:'s| is| leaves| gives| makes)|this (?:is|leaves|gives|makes))\b"
    r"|\b(?:in total|altogether|in all|total (?:is|of|comes)|which (?:is|gives|leaves|makes)|we get|I get|equals"
    r"|is left|are left|remain)"
    r"|^\W*(?:also|daher|somit|das (?:macht|ergibt)|donc|ainsi|por (?:lo )?tanto|entonces|quindi|dunque|portanto|значит"
    r"|получается|итого)\b|所以|因此|したがって|だから|따라서",
    re.I,
)
_RETRACTS = re.compile(
    r"^\W*(?:(?:oh |hmm,? |ah,? |oops,? )?wait\b|no[,.! ]|actually\b|hmm\b|hold on|oops|scratch that|correction"
    r"|on second thought)"
    r"|\blet me (?:redo|recalculate|recompute|start over|correct|reconsider|re-?read)|\bI (?:made|misread|forgot|mis)"
    r"|\bthat(?:'s| is| was| can't be|'s not| isn't)(?: not)? (?:wrong|right|correct|incorrect|a mistake)"
    r"|\bmistake\b|\bshould (?:actually )?be\b.*\bnot\b",
    re.I,
)
_WRONG = re.compile(
    r"^\W*(?:(?:hmm|wait|oh|ah|uh),? )?no\b(?! need)|\b(?:wrong|mistake|incorrect|not right|isn't right|not "
    r"correct|isn't correct|scratch that|forgot|misread|oops"
    r"|redo|should (?:actually )?be|can't be right|correction|recalculate|recompute|start over|error)\b",
    re.I,
)
_CHECKS = re.compile(
    r"^\W*(?:(?:let me|let's|I'll|I should|to|now|quick|we can|I can|just to)\s+)*"
    r"(?:double[- ]?check|re-?check|check(?![- ]?(?:in|out)\b)|verify|sanity|verification|confirm"
    r"|test this|plug|make (?:sure|certain))",
    re.I,
)
_BECAUSE = re.compile(r"^\W*(?:because|indeed)\b[^,]*$|\bif\b[^.]*,[^.]*\bwhich (?:matches|fits|agrees)\b", re.I)
_GOES_ON = re.compile(r"[,;:]?\s*(?:and\s+)?(?:so|thus|therefore|hence|then|which (?:is|means|gives|makes))\b")
_CUT = re.compile(
    r"(?:\s+(?:so|because|since|which|and so|and therefore|after|when|but)\b|[;]|\s[-–—]\s(?=[A-Za-z]{2})"
    r"|,\s+(?:so|which|because|and)\b)"
)
_NOTES = re.compile(r"<<[^<>\n]*>>")  # GSM8K's marks of a calculator
_ORDINAL = re.compile(r"[\s-]+(?:hal(?:f|ves)|thirds?|quarters?|(?:four|fif|six|seven|eigh|nin|ten)ths?)\b", re.I)
_NO_PRINCIPAL = re.compile(r"\^\{?\s?$|\b(?:per|every|each|in|after|for|over|at|from|of)\s*$", re.I)
_TIME = re.compile(r"(?<![\d:])\d{1,2}:\d{2}(?![\d:])(?:\s*[ap]\.?m\.?(?!\w))?", re.I)
_POINT = re.compile(r"\([^()\nA-Za-z]*\d[^()\nA-Za-z]*,[^()\nA-Za-z]*\d[^()\nA-Za-z]*\)")
_FAILS = re.compile(
    r"\btoo (?:much|many|big|large|high|small|few|low|little)\b|\b(?:doesn't|does not) (?:match|fit|work)", re.I
)
_PART = re.compile(r"\s*(?P<unit>[a-zA-Z]+)\s*(?:,|and|,\s*and)?\s*")
_UNIT_WORD = re.compile(r"\s*[a-zA-Z]+\b")
_BOLD = re.compile(r"\*\*([^*\n]{1,80})\*\*")
_FENCED = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_EQUALS = re.compile(r"(?<![<>!=])=(?!=)|≈")
_LISTED = re.compile(r"^\s*(?:\d{1,3}[.)]|[-*•])\s+")
_CLOSED = re.compile(r"(?<=[\w)\]}$%])[.!?](?=\s|$|[\"'*)])")


class Kind(StrEnum):
    """How a claim is made."""

    EXPLICIT = "explicit"  # names itself the answer
    RESULT = "result"  # behind an equals sign, or in a sentence that concludes
    NUMBER = "number"  # a number in a sentence


@dataclass(frozen=True, slots=True)
class Claim:
    """A value that a text states, as a span of it; `others` are the numbers that stand in the same sentence."""

    span: Span
    text: str
    kind: Kind
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Sentence:
    span: Span
    text: str


def sentences(text: str) -> Iterator[_Sentence]:
    """The sentences of a text with their places."""
    for match in SENTENCE.finditer(text):
        if match.group().strip():
            yield _Sentence(Span(*match.span()), match.group())


def explicit(text: str) -> tuple[Claim, ...]:
    """Every claim that names itself the answer, in order of place; not what stands in code."""
    text = _FENCED.sub(_blank, text)
    found = [_box(text, match) for match in list(_BOX.finditer(text))[-MOST_BOXES:]]
    boxes = [claim.span for claim in found if claim is not None]
    claims = {claim.span: claim for claim in found if claim is not None}
    for form in _EXPLICIT:
        for match in form.finditer(text):
            name = "claim2" if "claim2" in form.groupindex and match.group("claim2") else "claim"
            start, end = match.span(name)
            inside = [box for box in boxes if start <= box.start < end]
            claim = None if inside else _trimmed(text, start, end, Kind.EXPLICIT)
            if claim is not None:
                claims.setdefault(claim.span, claim)
    ordered = sorted(claims.values(), key=lambda claim: (claim.span.start, -claim.span.end))
    return tuple(c for k, c in enumerate(ordered) if k == 0 or c.span.start >= ordered[k - 1].span.end)


def visible(answer: str) -> Claim | None:
    """What the user is told: the last claim that names itself the answer, a number in bold, or the last "
    "sentence's."""
    named = explicit(answer)
    if named:
        return named[-1]
    formula = whole_formula(answer)
    if formula is not None:
        return Claim(formula, formula.of(answer), Kind.EXPLICIT)
    answer = _FENCED.sub(_blank, answer)
    bold = [m for m in _BOLD.finditer(answer) if read(m.group(1).rstrip(".")).exact]
    all_sentences = list(_outside_checks(answer))
    if bold and bold[-1].end() >= len(answer) - 300:
        return _trimmed(answer, bold[-1].start(1), bold[-1].end(1), Kind.RESULT)
    named_form = told_substance(answer) if len(all_sentences) <= FEW else None
    if named_form is not None:
        return Claim(named_form, named_form.of(answer), Kind.EXPLICIT)
    math = last_math(answer)
    if math is not None and len(all_sentences) <= FEW:
        return Claim(math, math.of(answer), Kind.RESULT)
    told = [s for s in all_sentences if NUMBER.search(_LISTED.sub("", s.text))]
    if not told and 0 < len(all_sentences) <= FEW and len(answer.split()) > FEW:
        return _spelled(all_sentences[-1])
    if not told or ("=" in told[-1].text and re.search(r"[\"'`{};]", told[-1].text)):
        return _short_word(answer)
    last = told[-1]
    if len(all_sentences) > FEW and not (_CONCLUDES.search(last.text) or "=" in last.text):
        return None
    claim = _of_sentence(last)
    return replace(claim, kind=Kind.RESULT) if claim is not None and len(all_sentences) <= FEW else claim


def _outside_checks(text: str) -> Iterator[_Sentence]:
    """Sentences up to where the text begins to check what it found."""
    for sentence in sentences(text):
        if _CHECKS.search(sentence.text):
            return
        yield sentence


def final(thinking: str) -> tuple[Claim, ...]:
    """The values that thinking may have ended with, the likeliest first; empty where it states none.

    What stands before a correction does not count; what stands in a check of the result counts least.
    """
    named = explicit(thinking)
    told: list[Claim] = []  # values of sentences since the last correction
    last_named: Claim | None = None
    checking = False
    at = 0
    for sentence in sentences(thinking):
        retracted = _RETRACTS.search(sentence.text) is not None
        if retracted:
            checking = False
            if _WRONG.search(sentence.text):
                told, last_named = [], None
        elif _CHECKS.search(sentence.text):
            checking = True
        if checking and _FAILS.search(sentence.text):  # what was checked is not what it ends with
            told, last_named, checking = [], None, False
            continue
        while at < len(named) and named[at].span.start < sentence.span.end:
            last_named, at = named[at], at + 1
            told = []
        claim = None if _BECAUSE.search(sentence.text) else _of_sentence(sentence)
        if claim is None and _CONCLUDES.search(sentence.text):
            claim = _spelled(sentence)
        if claim is not None and not checking:
            told.append(claim)
    results = [claim for claim in told if claim.kind is Kind.RESULT]
    likely = ([last_named] if last_named else []) + results[-1:]
    return tuple(dict.fromkeys([*likely, *told[-1:]]))


def reasoning_before(text: str) -> tuple[Span, Claim] | None:
    """Of a text without marked thinking: what comes before the line of its final claim, and that claim."""
    named = explicit(text)
    if not named:
        return None
    claim = named[-1]
    begin = text.rfind("\n", 0, claim.span.start) + 1
    heading = re.search(r"\n[ \t]*#{1,4}[ \t]*(?:final[ \t]+)?answer[ \t]*:?\s*$", text[:begin], re.I)
    begin = heading.start() if heading else begin
    for sentence in sentences(text[begin:]):
        if begin + sentence.span.end > claim.span.start:
            begin += sentence.span.start
            break
    return (Span(0, begin), claim) if text[:begin].strip() else None


def _box(text: str, match: re.Match[str]) -> Claim | None:
    depth, place = 1, match.end()
    stop = min(len(text), match.end() + LONGEST_BOX)
    while place < stop and depth:
        if text[place] == "\\":
            place += 1
        depth += (text[place : place + 1] == "{") - (text[place : place + 1] == "}")
        place += 1
    inside = text[match.end() : place - 1]
    if depth or not inside.strip():
        return None
    return Claim(Span(match.end(), place - 1), inside, Kind.EXPLICIT)


def _trimmed(text: str, start: int, end: int, kind: Kind) -> Claim | None:
    """The claim in text[start:end] up to its sentence's end, without emphasis and dollar signs around it."""
    said = text[start:end]
    stop = _CLOSED.search(said)
    cut = _CUT.search(said)
    end = start + min(stop.start() if stop else len(said), cut.start() if cut else len(said))
    said = text[start:end]
    kept = said.strip(" \t*_`").rstrip(".,;:!")
    if kept.count("$") == 2 and kept.startswith("$") and kept.endswith("$"):
        kept = kept[1:-1]
    wrapped = re.fullmatch(r"\\[(\[]\s*(.*?)\s*\\[)\]]", kept)
    kept = wrapped.group(1) if wrapped else kept
    kept = re.sub(r"^\$?\s{2,}", "", kept)
    if not kept.strip() or not re.search(r"\w", kept):
        return None
    first = start + said.index(kept)
    return Claim(Span(first, first + len(kept)), kept, kind)


def _of_sentence(sentence: _Sentence) -> Claim | None:
    """The value a sentence ends with: behind its last equals sign, else its last number."""
    told = _NOTES.sub(_blank, _LISTED.sub(_blank, sentence.text))
    numbers = list(NUMBER.finditer(told))
    if not numbers:
        return None
    others = tuple(match.group().strip() for match in numbers[-MOST_OTHERS:])
    equals = max((match.start() for match in _EQUALS.finditer(told)), default=-1)
    start = sentence.span.start
    if equals >= 0 and re.search(r"\w", told[equals + 1 :]):
        claim = _trimmed(told, equals + 1, len(told), Kind.RESULT)
        if claim is not None:
            behind = [one for one in numbers if one.start() >= claim.span.end]
            if not behind or not _GOES_ON.match(told, claim.span.end):
                return Claim(Span(start + claim.span.start, start + claim.span.end), claim.text, Kind.RESULT)
            others = ()  # what stands before the equals sign is what it was worked out of
    number = _principal(told, numbers)
    kind = Kind.RESULT if equals >= 0 or _CONCLUDES.search(told) else Kind.NUMBER
    shown = (*DATE.finditer(told), *_TIME.finditer(told), *_POINT.finditer(told))
    day = next((one for one in shown if one.start() <= number.start() < one.end()), None)
    if day is not None:
        return Claim(Span(start + day.start(), start + day.end()), day.group(), kind, others)
    left = _first_of(told, numbers, number)
    unit = _UNIT_WORD.match(told, number.end())
    end = unit.end() if unit and not number.group("percent") else number.end()
    text = told[left:end].rstrip()
    return Claim(Span(start + left, start + left + len(text)), text, kind, others)


def _first_of(text: str, numbers: list[re.Match[str]], last: re.Match[str]) -> int:
    """Where the quantity that ends with this number begins: 2 hours and 5 minutes are one."""
    begin = last
    for before in reversed(numbers[: numbers.index(last)]):
        parts = _PART.fullmatch(text, before.end(), begin.start())
        behind = _UNIT_WORD.match(text, begin.end())
        names = (
            [ONE.get(one, one) for one in (parts["unit"].lower(), behind.group().strip().lower())]
            if (parts and behind)
            else []
        )
        if len(names) < 2 or not all(name in UNITS for name in names) or UNITS[names[0]][0] != UNITS[names[1]][0]:
            break
        begin = before
    return begin.start() + len(begin.group()) - len(begin.group().lstrip())


def _spelled(sentence: _Sentence) -> Claim | None:
    """The last number of a sentence that is written in words, with the word behind it; "one" alone is none."""
    found = [
        match
        for match in SPELLED.finditer(sentence.text)
        if match.group().lower() not in ("one", "zero") and not _ORDINAL.match(sentence.text, match.end())
    ]
    odds = re.search(r"\b(?:one|a) in (?:two|three|four|five|six|seven|eight|nine|ten)\b", sentence.text, re.I)
    match = odds or (found[-1] if found else None)
    if match is None:
        return None
    span = Span(sentence.span.start + match.start(), sentence.span.start + match.end())
    return Claim(span, match.group(), Kind.RESULT)


def _blank(match: re.Match[str]) -> str:
    return " " * len(match.group())


def _principal(text: str, numbers: list[re.Match[str]]) -> re.Match[str]:
    """The last number that is no rate, period or power: "per 7 days", "in 2 years", "m^2"."""
    for match in reversed(numbers):
        if not _NO_PRINCIPAL.search(text[: match.start()]):
            return match
    return numbers[-1]


def _short_word(answer: str) -> Claim | None:
    """An answer that is one letter or word."""
    kept = answer.strip().strip("*_. ")
    if not kept or len(kept) > 30 or "\n" in kept or len(kept.split()) > 3:
        return None
    start = answer.index(kept)
    return Claim(Span(start, start + len(kept)), kept, Kind.EXPLICIT)
