r"""Steps of a text by idea: sentences and list items, with displays, code and diagrams in the sentence they belong to.

Finer than `segment` in prose, coarser in LaTeX and code: a heading opens the step under it, what stands between
quotation marks, in a display (`\[ \]`, `$$`, an environment), in `[asy]` or between code fences is never cut, and a
sentence that goes on telling what was asked joins the one before. Deterministic; offsets are code points.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable

from trainer.reasoning.segment import Span

VERSION = "ideas 1"
_WHOLE = re.compile(
    r"```.*?(?:```|\Z)|\[asy\].*?(?:\[/asy\]|\Z)|\\\[.*?(?:\\\]|\Z)|\$\$.*?(?:\$\$|\Z)"
    r"|\\begin\{(\w+\*?)\}.*?(?:\\end\{\1\}|\Z)|\$[^$\n]{0,2000}\$",
    re.DOTALL,
)
_QUOTED = re.compile(r"[\"“][^\"“”\n]{2,600}[\"”]")
_LINE_END = re.compile(r"\s*[\r\n\u2028\u2029]\s*")
_END = re.compile(r"[.!?…][\"”’')\]*_$}]*[ \t]+(?=[\"“'(\[*_$\\]*[A-Z0-9$\\\u0391-\u03a9])")
_ABBREVIATION = re.compile(
    r"\b(?:Mr|Mrs|Ms|Dr|Prof|St|vs|e\.g|i\.e|etc|cf|Fig|Eq|No|approx|resp|U\.S|U\.K|a\.m|p\.m|[A-Z])\.$"
)
_NUMBER = re.compile(r"\s*\(?\w{1,3}[.)]$")
_ITEM = re.compile(r"\s*(?:[-*•+]\s|\(?\d{1,3}[.)]\s|\(?[a-zA-Z][.)]\s)")
_HEADING = re.compile(r"\s*(?:#{1,6}\s.*|\*\*[^*]+\*\*:?)\s*$")
_LABEL = re.compile(r"\s*(?:\*\*)?[^.!?\n]{1,40}:(?:\*\*)?\s*$")
_SAYS = re.compile(r"\b(?:me|I|I'll|we|we'll|user|person|they|it|you|are|is|should|could|to)\b", re.IGNORECASE)
_GOES_ON = re.compile(r"(?:They|The (?:person|user)|He|She|You|It should|Use|Include|Just)\b")
_SPACES = re.compile(r"[ \t]*")
_DISPLAY = ("\\[", "$$", "\\begin{", "[asy]", "```")
_LOOK_BACK = 200  # code points of a line that say what it is


def segment_ideas(text: str, start: int = 0, end: int | None = None) -> tuple[Span, ...]:
    """The steps of text[start:end], in order and apart; only white space lies between, before and after them."""
    stop = len(text) if end is None else end
    if not 0 <= start <= stop <= len(text):
        raise ValueError(f"[{start}, {stop}) is no stretch of a text of {len(text)} characters")
    starts = _starts(text, start, stop)
    spans = []
    for first, behind in zip(starts, [*starts[1:], stop][: len(starts)], strict=True):
        part = text[first:behind]
        body = part.strip()
        if body:
            at = first + len(part) - len(part.lstrip())
            spans.append(Span(at, at + len(body)))
    return tuple(spans)


def _starts(text: str, start: int, stop: int) -> list[int]:
    """Where steps begin; the first one begins at `start`."""
    whole = [match.span() for match in _WHOLE.finditer(text, start, stop)]
    quoted = (match.span() for match in _QUOTED.finditer(text, start, stop))
    inside = _Inside([*whole, *quoted])
    begins = {start: True}
    for match in _LINE_END.finditer(text, start, stop):
        begins[match.end()] = match.end() < stop and _line_begins(text, match.start(), match.end(), start)
    for match in _END.finditer(text, start, stop):
        if match.end() not in begins:
            begins[match.end()] = _sentence_begins(text, match.start() + 1, match.end(), start)
    for first, behind in whole:
        if text.startswith(_DISPLAY, first):
            spaces = _SPACES.match(text, behind)
            at = spaces.end() if spaces is not None else behind
            ended = text[max(behind - 16, first) : behind].rstrip("\\]$}").endswith(".")
            begins.setdefault(at, ended and text[at : at + 1].isupper())
    return sorted(
        place for place, does in begins.items() if does and place < stop and (place == start or place not in inside)
    )


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

    def __contains__(self, place: int) -> bool:
        at = bisect_right(self._starts, place) - 1
        return at >= 0 and self._starts[at] < place < self._ends[at]


def _line_before(text: str, behind: int, start: int) -> str:
    """The line that ends at `behind`; empty where it is longer than a heading or number."""
    first = max(start, behind - _LOOK_BACK)
    at = text.rfind("\n", first, behind)
    return text[at + 1 : behind] if at >= 0 else text[start:behind] if first == start else ""


def _line_begins(text: str, behind: int, place: int, start: int) -> bool:
    """Whether the line at `place` begins a step; the one before ends at `behind`."""
    if text.startswith(_DISPLAY, place):
        return False
    line = _line_before(text, behind, start)
    if _HEADING.match(line) or (_LABEL.match(line) and not _SAYS.search(line)):
        return False
    goes_on = text[place].islower() and text[behind - 1 : behind] not in (".", "!", "?", ":")
    return not goes_on or _ITEM.match(text, place) is not None


def _sentence_begins(text: str, behind: int, place: int, start: int) -> bool:
    """Whether the sentence at `place` begins a step; the mark that ends the one before stands before `behind`."""
    if _ABBREVIATION.search(text[max(start, behind - 12) : behind]):
        return False
    if _NUMBER.fullmatch(_line_before(text, behind, start)):
        return False
    return not _GOES_ON.match(text, place)
