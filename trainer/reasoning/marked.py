"""Blocks of one response that marks its own thinking: every mark that models and servers are known to write.

What no block covers is markup. Nothing is stripped: blocks and the gaps between them give the text back.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from trainer.contract.records import Block, BlockKind
from trainer.reasoning import harmony

_MARK = re.compile(
    r"<(?P<close>/?)(?P<name>think|thinking|thought|reasoning|seed:think)(?P<said>\s[^<>]*)?>"
    r"|\[(?P<close2>/?)THINK\]"
    r"|◁(?P<close3>/?)think▷"
    r"|<\|(?P<edge>begin|end)_of_thought\|>"
    r"|<\|(?P<edge2>START|END)_THINKING\|>",
    re.IGNORECASE,
)
_SOLUTION = re.compile(r"<\|(?:begin|end)_of_solution\|>")
_SUMMARY = re.compile(r"\s*<summary>(.*?)</summary>", re.DOTALL)
_REDACTED = re.compile(r"\bredacted\s*=\s*[\"']?true", re.IGNORECASE)
_HINTS = ("<", "[", "◁")
_QUOTES = "`'\"“‘"
MOST_TAGS = 2_000  # a response with more marks than that only speaks about them
_LINE_LOOKED_AT = 2_000  # characters of the line before and after a mark


@dataclass(frozen=True, slots=True)
class Marked:
    """The blocks of a response, in order. `closed` is false when its last thinking never came to its end."""

    blocks: tuple[Block, ...]
    closed: bool = True


@dataclass(frozen=True, slots=True)
class _Tag:
    start: int
    end: int
    family: str
    opens: bool
    begins_line: bool
    said: str = ""


def blocks_of(text: str) -> Marked:
    """Thinking and answers of a response by its marks; without any the whole is one answer.

    A closing mark without an opening one ends thinking that began with the text, an opening one at the beginning that
    nothing closes has thinking up to the end. Marks in quotes or back-ticks, and opening marks in the middle of a
    sentence that nothing closes, are spoken about: they belong to the text around them.
    """
    if not any(hint in text for hint in _HINTS):
        return Marked(_answer(text, 0, len(text)))
    if harmony.is_harmony(text):
        channels = harmony.blocks_of(text)
        open_end = bool(channels) and channels[-1].kind is BlockKind.THINKING and channels[-1].end == len(text)
        return Marked(channels, closed=not open_end)
    tags = _tags(text)
    if not tags:
        return Marked(_answer(text, 0, len(text)))
    return _cut(text, tags)


def _cut(text: str, tags: Sequence[_Tag]) -> Marked:
    blocks: list[Block] = []
    at, index, thought = 0, 0, False
    closes = _closes_ahead(tags)
    while index < len(tags):
        tag = tags[index]
        first = not thought and not text[at : tag.start].strip() and at == 0
        if not tag.opens:
            if not thought:  # the opening mark stood in the prompt
                blocks += _thinking(text, at, tag.start)
                at, thought = tag.end, True
            index += 1
            continue
        close = _close_of(tags, index, closes)
        if close is None and not first and not (thought and tag.begins_line):
            index += 1
            continue
        blocks += _answer(text, at, tag.start)
        end = len(text) if close is None else tags[close].start
        blocks += _thinking(text, tag.end, end, tag.said)
        if close is None:
            return Marked(tuple(blocks), closed=False)
        at, index, thought = tags[close].end, close + 1, True
    return Marked((*blocks, *_answer(text, at, len(text))))


def _close_of(tags: Sequence[_Tag], index: int, closes: Sequence[int]) -> int | None:
    """The tag that closes the opening one at `index`; an opening mark inside counts only if enough closes follow."""
    family, depth = tags[index].family, 1
    for at in range(index + 1, len(tags)):
        tag = tags[at]
        if tag.family != family:
            continue
        if tag.opens:
            depth += closes[at] > depth
        else:
            depth -= 1
            if depth == 0:
                return at
    return None


def _closes_ahead(tags: Sequence[_Tag]) -> list[int]:
    """For each tag: how many closing marks of its family follow before thinking begins anew at a line's beginning."""
    ahead, counts = [0] * len(tags), dict.fromkeys((tag.family for tag in tags), 0)
    for at in range(len(tags) - 1, -1, -1):
        tag = tags[at]
        ahead[at] = counts[tag.family]
        if tag.opens and tag.begins_line:
            counts = dict.fromkeys(counts, 0)
        elif not tag.opens:
            counts[tag.family] += 1
    return ahead


def _tags(text: str) -> list[_Tag]:
    found = []
    for match in _MARK.finditer(text):
        if _is_quoted(text, match.start(), match.end()):
            continue
        group = match.groupdict()
        name = (group["name"] or "").lower()
        edge = (group["edge"] or group["edge2"] or "").lower()
        closes = bool(group["close"] or group["close2"] or group["close3"]) or edge == "end"
        family = name or ("edge" if edge else match.group()[0])
        line = text.rfind("\n", max(0, match.start() - _LINE_LOOKED_AT), match.start()) + 1
        begins = match.start() - line < _LINE_LOOKED_AT and not text[line : match.start()].strip()
        found.append(_Tag(match.start(), match.end(), family, not closes, begins, group["said"] or ""))
        if len(found) == MOST_TAGS:
            break
    return found


def _is_quoted(text: str, start: int, end: int) -> bool:
    before, after = text[start - 1 : start], text[end : end + 1]
    if before and before in _QUOTES and after and after in "`'\"”’":
        return True
    line = max(text.rfind("\n", max(0, start - _LINE_LOOKED_AT), start) + 1, start - _LINE_LOOKED_AT)
    stop = text.find("\n", end, end + _LINE_LOOKED_AT)
    rest = text[end : end + _LINE_LOOKED_AT if stop < 0 else stop]
    return text.count("`", line, start) % 2 == 1 and "`" in rest


def _thinking(text: str, start: int, end: int, said: str = "") -> tuple[Block, ...]:
    """Thinking between two marks; marks with attributes may hold a summary and an unreadable payload."""
    blocks = []
    redacted = bool(_REDACTED.search(said))
    if said and (summary := _SUMMARY.match(text, start, end)):
        blocks.append(Block(BlockKind.SUMMARY, summary.start(1), summary.end(1)))
        start = summary.end()
    if text[start:end].strip():
        blocks.append(Block(BlockKind.REDACTED if redacted else BlockKind.THINKING, start, end))
    return tuple(blocks)


def _answer(text: str, start: int, end: int) -> tuple[Block, ...]:
    blocks = []
    for match in _SOLUTION.finditer(text, start, end):
        if text[start : match.start()].strip():
            blocks.append(Block(BlockKind.ANSWER, start, match.start()))
        start = match.end()
    if text[start:end].strip():
        blocks.append(Block(BlockKind.ANSWER, start, end))
    return tuple(blocks)
