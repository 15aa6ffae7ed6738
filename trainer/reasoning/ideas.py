r"""Steps of a text by idea: sentences and list items, with displays, code and diagrams in the sentence they belong to.

Finer than `segment` in prose, coarser in LaTeX and code: a heading, a label or a lead-in that is no whole sentence
opens the step under it; what stands between quotation marks, in a display (`\[ \]`, `$$`, an environment), in `[asy]`
or between code fences is never cut; lines of formulas or code go with the line that brings them, and so does a list of
mere names; a sentence that goes on telling what was asked joins the one before. Lines in lower case go on with the line
above, unless they are short, many, and no sentence ends in them. Deterministic; offsets are code points.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from itertools import pairwise

from trainer.reasoning.segment import Span

VERSION = "ideas 3"
_WHOLE = re.compile(
    r"```.*?(?:```|\Z)|\[asy\].*?(?:\[/asy\]|\Z)|\\\[.*?(?:\\\]|\Z)|\$\$.*?(?:\$\$|\Z)"
    r"|\\begin\{(\w+\*?)\}.*?(?:\\end\{\1\}|\Z)|\$[^$\n]{0,2000}\$",
    re.DOTALL,
)
_QUOTED = re.compile(r"[\"“][^\"“”\n]{2,600}[\"”]")
_QUOTATION = re.compile(r"[\"“][^\"“”]*[\"”][.!?]?")
_LINE, _PLAIN_LINE = re.compile(r"\S[^\r\n\u2028\u2029]*"), re.compile(r"\S.*")  # the second: faster, of \n alone
_END_CJK = re.compile(r"[。！？][”’」』）)]*(?=[^\s”’」』）)])")
_ABBREVIATION = re.compile(  # the word before the mark, with the sign behind the space
    r".*\b(?:(?:Mr|Mrs|Ms|Dr|Prof|St|vs|e\.g|i\.e|cf|resp|U\.S|U\.K|a\.m|p\.m|[A-Z])\..|(?:Fig|Eq|No|approx)\.[\d$(])"
)
_NUMBER = re.compile(r"(?:#{1,6}\s+)?\(?\w{1,3}[.)]")
_ITEM = re.compile(r"(?:[-*•+]\s|\(?\d{1,3}[.)]\s|\(?[a-zA-Z][.)]\s)\s*")
_HEADING = re.compile(r"#{1,6}\s.*|\*\*[^*]+\*\*[:：]?")
_LABEL = re.compile(r"(?:\*\*)?[^.!?\n]{1,40}[:：](?:\*\*)?")
_SAYS = re.compile(r"\b(?:me|I|I'll|we|we'll|user|person|they|it|you|are|is|should|could)\b", re.IGNORECASE)
_SOURCE = re.compile(r"(?:According to|Based on|Given) [^.!?,]{1,60}:")
_UNFINISHED = re.compile(  # the last word of a lead-in that is no whole sentence
    r"should|could|can|will|would|must|to|because|like|including|either|between|by|with|for|that|as|of|on|from|if|when"
    r"|where|things|following",
    re.IGNORECASE,
)
_FORMULA = re.compile(r"(?![A-Za-z][a-z]+[ ,])(?=[^\n]*[=→⇌⇄≈≤≥])(?:(?![a-z]{4})[^\n])*")
_CODE = re.compile(
    r"</?[A-Za-z!][^>\n]*>|\{[%{#]|(?:async )?def \w+\(|class \w+[(:]|import \w+\s*$|from [\w.]+ import |@\w+"
)
_SIGNS = re.compile(r"[\W\d_]+")
_GOES_ON = re.compile(r"(?:They|The (?:person|user|human)|He|She|You|It should|Use|Include|Just)\b")
_ASKED = re.compile(
    r"(?:They|He|She|Include|Use (?:any|whatever))\b|This is an? (?:\w+ )?(?:situation|scenario|challenge|test)\b"
    r"|(?!There).{0,80}\b(?:user|person|human|question|request|task|prompt|problem|ask(?:s|ed|ing)?|wants?|need)\b"
)
_AS_YOU_LIKE = ("Use any ", "Use whatever ")
_INFERS = re.compile(r"[^.!?\n]{0,300}\bwhich (?:suggests|means|implies|indicates)\b")
_SUM = re.compile(r"[\d.,+\-−*/×÷·()^$% ]{1,100}=[\d.,+\-−*/×÷·=()^$% ]{1,200}(?:\Z|\n|(?<=\. )(?=[A-Z]))")
_SUMS, _VERDICTS, _GOES = map(frozenset, ("0123456789$(", "CRGPN", "THSYIUJ"))  # first signs of those below
_BEFORE_NUMBERS = frozenset(" \t\r\n#")  # signs before the space before the number of an item or heading
_SHORTENED = frozenset(("vs", "cf", "resp", "approx"))
_LONG_WORD = (  # before the mark; neither an abbreviation nor the number of an item
    r"(?:(?<=[a-z0-9]{4}.)(?<!resp.)|(?<=[^ \t\r\n#] [a-z]{3}.)|(?<=[^ \t\r\n#] [a-z]{2}.)(?<!vs.)(?<!cf.))"
)
_LONGEST = 5  # signs that this looks back upon
_VERDICT = re.compile(r"(?:Correct|Right|Good|Great|Perfect|Nice)[.!](?:\s|\Z)")
_ENDS = {  # of sentences, by the mark, which is found faster alone
    mark: re.compile(
        rf"{re.escape(mark)}(?:{_LONG_WORD}()|)[\"”’')\]*_$}}]*[ \t]+(?=[\"“'(\[*_$\\]*[A-Z0-9$\\\u0391-\u03a9])"
        rf"(?(1)(?:(?![0-9$(]|{_VERDICT.pattern}|{_GOES_ON.pattern})()|))"
    )
    for mark in ".!?…"
}
_PLAIN = 2  # the group of an end behind which, without looking further, a sentence begins
_ENDINGS = frozenset((". ", "! ", "? ", ".\n", "!\n", "?\n"))  # the last two signs before a step, mostly
_FIRST = ": First"  # a lead-in and the first step on one line
_BRINGS = frozenset(":：*")  # ends of lines that may bring the next one
_SPACES = re.compile(r"[ \t]*")
_DISPLAY = ("\\[", "$$", "\\begin{", "[asy]", "```")
_WRAPPED = 8  # lines of one sentence at most that is wrapped into short lines, of which each begins in lower case
_SHORT = 60  # code points of such a line at most; wider text is wrapped at 70 and more
_HAS_END = re.compile(r"[.!?…](?:\s|\Z)")
_NAME = 40  # code points of an item that may be a mere name, or of a word
_LOOK_BACK = 200  # code points of a line that say what it is


def segment_ideas(text: str, start: int = 0, end: int | None = None) -> tuple[Span, ...]:
    """The steps of text[start:end], in order and apart; only white space lies between, before and after them."""
    stop = len(text) if end is None else end
    if not 0 <= start <= stop <= len(text):
        raise ValueError(f"[{start}, {stop}) is no stretch of a text of {len(text)} characters")
    return tuple(map(Span, *places(text, start, stop)))


def places(text: str, start: int, stop: int) -> tuple[list[int], list[int]]:
    """Where the steps of text[start:stop] begin and end; for millions of them, which would be dear as spans."""
    starts = _starts(text, start, stop)
    ends = [
        behind - 1 if text[behind - 2 : behind] in _ENDINGS else first + len(text[first:behind].rstrip())
        for first, behind in pairwise([*starts, stop])
    ]
    return starts, ends


def _starts(text: str, start: int, stop: int) -> list[int]:
    """Where steps begin, each at a sign that is no space."""
    line = _LINE if _has(text, "\r\u2028\u2029", start, stop) else _PLAIN_LINE
    lines = [match.span() for match in line.finditer(text, start, stop)]
    if not lines:
        return []
    whole = [match.span() for match in _WHOLE.finditer(text, start, stop)] if _has(text, "$\\`[", start, stop) else []
    quoted = _QUOTED.finditer(text, start, stop) if _has(text, '"“', start, stop) else ()
    inside = _Inside([*whole, *(match.span() for match in quoted)])
    begins = _Lines(text, start, stop, lines, inside).begins()
    for mark, ends in _ENDS.items():
        if text.find(mark, start, stop) >= 0:
            for match in ends.finditer(text, start, stop):
                place, at = match.end(), match.start()
                is_plain = match.lastindex == _PLAIN and at >= start + _LONGEST
                begins[place] = is_plain or _sentence_begins(text, at + 1, place, start, stop)
    if text.find("。", start, stop) >= 0:
        for match in _END_CJK.finditer(text, start, stop):
            begins.setdefault(match.end(), not text.startswith("例如", match.end(), stop))
    at = text.find(_FIRST, start, stop)
    while at >= 0:
        begins.setdefault(at + 2, True)
        at = text.find(_FIRST, at + 2, stop)
    for first, behind in whole:
        if text.startswith(_DISPLAY, first):
            spaces = _SPACES.match(text, behind, stop)
            at = spaces.end() if spaces is not None else behind
            begins.setdefault(at, at < stop and _after_display(text, first, behind, at))
    found = sorted([place for place, is_start in begins.items() if is_start])
    return [place for place in found if place == lines[0][0] or place not in inside] if inside else found


def _has(text: str, signs: str, start: int, stop: int) -> bool:
    return any(text.find(sign, start, stop) >= 0 for sign in signs)


class _Inside:
    """Whether a place lies within one of some stretches, which are not cut."""

    def __init__(self, stretches: Iterable[tuple[int, int]]) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for first, behind in sorted(stretches):
            if self._ends and first < self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], behind)
            else:
                self._starts.append(first)
                self._ends.append(behind)

    def __bool__(self) -> bool:
        return bool(self._starts)

    def __contains__(self, place: int) -> bool:
        at = bisect_right(self._starts, place) - 1
        return at >= 0 and self._starts[at] < place < self._ends[at]


class _Lines:
    """Which lines begin a step."""

    def __init__(self, text: str, start: int, stop: int, lines: list[tuple[int, int]], inside: _Inside) -> None:
        self._text, self._start, self._stop, self._lines, self._inside = text, start, stop, lines, inside
        self._chained = False  # the line before is of a formula or code that a line above it brings
        self._names = -1  # up to which line a list of mere names goes

    def begins(self) -> dict[int, bool]:
        """Places of lines; the first one begins."""
        text, found = self._text, {self._lines[0][0]: True}
        joined: list[int] = []  # numbers of lines that go on with the line above for their lower case alone
        for number, ((first, behind), (place, end)) in enumerate(pairwise(self._lines), 1):
            last = text[behind - 1]
            if last.isspace():
                last = text[first:behind].rstrip()[-1]
            if self._chained or number <= self._names or last in _BRINGS or text[first] == "#":
                found[place] = self._begins(number, (first, behind), (place, end))
            elif text[place].islower():
                found[place] = begins = last in ".!?" or self._is_parted(last, behind, place)
                if not begins:
                    joined.append(number)
            else:
                found[place] = not text.startswith(_DISPLAY, place, self._stop)
        if len(joined) > _WRAPPED:
            found |= dict.fromkeys(self._listed(joined), True)
        return found

    def _listed(self, numbers: list[int]) -> list[int]:
        """Places of those of these lines that are one of many short ones after each other in which no sentence ends."""
        found: list[int] = []
        run: list[int] = []
        before = -1
        for number in [*numbers, len(self._lines) + 1]:
            whole = number < len(self._lines) and self._is_bare(*self._lines[number])
            if number != before + 1 or not whole:
                found += run if len(run) > _WRAPPED else ()
                run = []
            if whole:
                run.append(self._lines[number][0])
            before = number
        return found

    def _is_bare(self, place: int, end: int) -> bool:
        """Whether a line is short, not indented as code is, and has no end of a sentence."""
        text = self._text
        return end - place <= _SHORT and text[place - 1] not in " \t" and not _HAS_END.search(text, place, end)

    def _begins(self, number: int, above: tuple[int, int], here: tuple[int, int]) -> bool:
        """Whether a line begins a step below one that may bring it."""
        text, (first, behind), (place, end) = self._text, above, here
        chained, self._chained = self._chained, False
        if number <= self._names or text.startswith(_DISPLAY, place, self._stop) or place in self._inside:
            return False
        before = text[first:behind].rstrip()
        brings = before[-1] in ":："
        line = text[place : min(end, place + _LOOK_BACK)].rstrip()
        if (brings or chained) and _goes_with(line, brings=brings):
            self._chained = True
            return False
        if brings and (self._are_names(number) or _is_unfinished(before[-_LOOK_BACK:])):
            return False
        if len(before) <= _LOOK_BACK and self._opens(before, first, place):
            return False
        return brings or not line[0].islower() or self._is_parted(before[-1], behind, place)

    def _is_parted(self, last: str, behind: int, place: int) -> bool:
        """Whether a line that begins in lower case is an item or a paragraph, not the rest of the sentence above."""
        if _ITEM.match(self._text, place, self._stop):
            return True
        return last not in ",;]}$-–" and self._text.count("\n", behind, place) > 1

    def _opens(self, before: str, first: int, place: int) -> bool:
        """Whether the line before is a heading, label or unfinished lead-in of the one at `place`."""
        mark = _ITEM.match(before)
        if mark is not None:
            if self._column(place) <= self._column(first) and _ITEM.match(self._text, place, self._stop):
                return False
            before = before[mark.end() :]
        if _HEADING.fullmatch(before):
            return True
        return _LABEL.fullmatch(before) is not None and not _SAYS.search(before)

    def _column(self, place: int) -> int:
        return place - self._text.rfind("\n", self._start, place)

    def _are_names(self, number: int) -> bool:
        """Whether the list that begins with this line is of mere names, two words at most each."""
        last = number
        for at in range(number, len(self._lines)):
            place, end = self._lines[at]
            line = self._text[place : min(end, place + _LOOK_BACK)].rstrip()
            mark = _ITEM.match(line)
            if mark is None:
                break
            if len(line) > _NAME or len(line[mark.end() :].split()) > 2 or line[-1] in ".:;。：":
                return False
            last += 1
        self._names = last - 1
        return last - number > 1


def _goes_with(line: str, *, brings: bool) -> bool:
    """Whether a line is formula, code or quotation that the line before brings, or goes on with such a line."""
    if _CODE.match(line) or (_SIGNS if not brings else _QUOTATION).fullmatch(line):
        return True
    return (line[0] == "+" or not _ITEM.match(line)) and _FORMULA.fullmatch(line) is not None


def _is_unfinished(line: str) -> bool:
    """Whether a lead-in is no whole sentence."""
    words = line[:-1].rsplit(None, 1)
    return bool(words and _UNFINISHED.fullmatch(words[-1].strip("*_"))) or _SOURCE.fullmatch(line) is not None


def _sentence_begins(text: str, behind: int, place: int, start: int, stop: int) -> bool:
    """Whether the sentence at `place` begins a step; the mark that ends the one before stands before `behind`."""
    sign, space = text[place], text.rfind(" ", max(start, behind - _NAME), behind)
    word = text[space + 1 : behind - 1]
    plain = space > start and text[space - 1] not in _BEFORE_NUMBERS and word.islower() and word.isalpha()
    if not plain or word in _SHORTENED:
        near = text[max(start, behind - 12) : behind]
        if text[behind - 1] == "." and _ABBREVIATION.fullmatch(near.rsplit(None, 1)[-1] + sign):
            return False
        if ("\n" in near or behind - 12 <= start) and _NUMBER.fullmatch(near[near.rfind("\n") + 1 :].lstrip()):
            return False
    if sign in _SUMS:
        return not _SUM.match(text, place, stop)
    if sign in _VERDICTS and _VERDICT.match(text, place, stop):
        return False
    if sign not in _GOES or not _GOES_ON.match(text, place, stop) or _INFERS.match(text, place, stop):
        return True
    if text.startswith(_AS_YOU_LIKE, place, stop):
        return False
    line = text[max(start, behind - _LOOK_BACK, text.rfind("\n", start, behind) + 1) : behind].lstrip()
    last = max((match.end() for ends in _ENDS.values() for match in ends.finditer(line)), default=0)
    return _ASKED.match(line, last) is None


def _after_display(text: str, first: int, behind: int, place: int) -> bool:
    """Whether a sentence begins at `place`, on the line where the display [first, behind) ends."""
    if not text[place : place + 1].isupper():
        return False
    closing = text.rfind("\\", first + 1, behind) if text[first] == "\\" else behind
    return text[first:closing].rstrip("\\ \n$").endswith((".", "!"))
