r"""The final answer of a text: `# Answer`, `\boxed{}`, `####`, "The answer is", "Answer:"; None when there is none."""

from __future__ import annotations

import re

_HEADING = re.compile(r"^[ \t]*#{1,3}[ \t]*(?:final[ \t]+)?answer[ \t]*:?[ \t]*\n+", re.IGNORECASE | re.MULTILINE)
_HASHES = re.compile(r"####[ \t]*(?P<answer>[^\n]+)")
_BOX = re.compile(r"\\(?:boxed|fbox|framebox)\s*(?P<brace>\{)?")
_SAID = re.compile(
    r"\b(?:the|my|our)[ \t]+(?:(?:final|correct|right)[ \t]+)?answer(?:[ \t]+is|[ \t]*:|[ \t]*=)"
    r"[ \t]*:?[ \t]*(?P<answer>[^\n]+)",
    re.IGNORECASE,
)
_COLON = re.compile(
    r"^[ \t>*_#-]*(?:the[ \t]+)?(?:final[ \t]+)?answer[ \t]*[*_]{0,2}[ \t]*:[ \t]*[*_]{0,2}[ \t]*(?P<answer>[^\n]+)",
    re.IGNORECASE | re.MULTILINE,
)
_NUMBER = re.compile(r"(?<![\w.])[-−]?\$?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+|(?<=\d))(?:/\d+)?%?")
_SENTENCE_END = re.compile(r"(?<=[\w)\]}$%])[.!?](?=\s+[A-Z\"'(]|\s*$)")


def extract(text: str, *, loose: bool = False) -> str | None:
    r"""The text's final answer, or None. `loose`: its last number where nothing names an answer.

    The most explicit form wins, and of one form the last: PRM800K's heading `# Answer`, a `\boxed{}` (braces may nest;
    a box that is never closed is no answer), GSM8K's `####`, "The answer is", a line "Answer:".
    """
    found = _after_heading(text)
    if found is not None:
        inner = _last_box(found)
        return inner if inner is not None else found
    box = _last_box(text)
    if box is not None:
        return box
    for form in (_HASHES, _SAID, _COLON):
        answers = [m.group("answer") for m in form.finditer(text)]
        for answer in reversed(answers):
            cleaned = _said(answer) if form is not _HASHES else answer.strip()
            if cleaned:
                return cleaned
    return _last_number(text) if loose else None


def _after_heading(text: str) -> str | None:
    last = None
    for match in _HEADING.finditer(text):
        last = match
    if last is None:
        return None
    return text[last.end() :].strip() or None


def _last_box(text: str) -> str | None:
    """Content of the last box that is closed and not empty; `\\boxed 5` without braces holds one word."""
    for match in reversed(list(_BOX.finditer(text))):
        if match.group("brace") is None:
            word = re.match(r"[^\s$.,;]+", text[match.end() :])
            content = word.group() if word else None
        else:
            end = _closing(text, match.end())
            content = None if end is None else text[match.end() : end].strip()
        if content:
            return content
    return None


def _closing(text: str, start: int) -> int | None:
    """Index of the brace that closes the one opened just before `start`."""
    depth = 1
    place = start
    while place < len(text):
        match text[place]:
            case "\\":
                place += 1  # an escaped brace neither opens nor closes
            case "{":
                depth += 1
            case "}":
                depth -= 1
                if depth == 0:
                    return place
            case _:
                pass
        place += 1
    return None


def _said(answer: str) -> str:
    """What was said up to the sentence's end, without Markdown's emphasis and the dollars of LaTeX."""
    stop = _SENTENCE_END.search(answer)
    cleaned = (answer[: stop.start()] if stop else answer).strip()
    cleaned = cleaned.strip("*_").strip()
    math = re.fullmatch(r"\$([^$]+)\$|\\\((.+)\\\)|\\\[(.+)\\\]|`([^`]+)`", cleaned)
    if math:
        cleaned = next(g for g in math.groups() if g is not None).strip()
    return cleaned


def _last_number(text: str) -> str | None:
    last = None
    for match in _NUMBER.finditer(text):
        last = match.group()
    return None if last is None else last.replace("$", "").replace("−", "-")
