"""A trace as the lines of a transcript: turns, blocks, steps, other text and markup, all as spans. No Qt.

Every code point of the text stands in exactly one line, but for white space between them. Lines are arrays, not
objects: a trace of a million words has tens of thousands of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from studio.store.conversations import Turn
from trainer.contract.records import BlockKind, Step

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
LONGEST = 1_600  # code points of one line of the transcript; longer ones are cut at a line's end or between words
USER_ROLES = frozenset({"user", "assistant"})
FOLDED = frozenset({BlockKind.TOOL_RESULT, BlockKind.REDACTED})


class LineKind(IntEnum):
    """What a line of the transcript is."""

    TURN = 0  # who speaks
    BLOCK = 1  # what it is: thinking, answer, a tool's result
    STEP = 2
    TEXT = 3  # of a block, in no step
    MARKUP = 4  # between blocks: tags


@dataclass(frozen=True, slots=True)
class BlockPlace:
    """A block of the trace, numbered through all turns."""

    number: int
    turn: int
    kind: BlockKind
    start: int
    end: int
    steps: range
    titled: bool  # has a line of its own that says what it is


@dataclass(frozen=True, slots=True)
class Structure:
    """The lines of a trace. `step`, `block` are -1 where a line belongs to none; `head` marks the first of its span."""

    text: str
    turns: tuple[Turn, ...]
    blocks: tuple[BlockPlace, ...]
    kind: Ints
    start: Ints
    end: Ints
    step: Ints
    turn: Ints
    block: Ints
    head: Bools
    step_starts: Ints
    step_ends: Ints
    step_lines: Ints  # the line a step begins with
    block_starts: Ints
    block_ends: Ints

    @property
    def steps(self) -> int:
        """How many steps there are."""
        return len(self.step_starts)

    @property
    def is_conversation(self) -> bool:
        """Whether there is more to it than one response."""
        return len(self.turns) > 1

    def step_at(self, point: int) -> int:
        """The last step that begins at or before a code point; -1 before the first."""
        return int(np.searchsorted(self.step_starts, point, side="right")) - 1

    def line_at(self, point: int) -> int:
        """The last line of text that begins at or before a code point; 0 before the first."""
        found = int(np.searchsorted(self.start, point, side="right")) - 1
        while found > 0 and self.kind[found] <= LineKind.BLOCK and found + 1 < len(self.kind):
            if self.start[found + 1] > point:
                break
            found += 1
        return max(found, 0)

    def block_at(self, point: int) -> int:
        """The block a code point lies in; -1 in markup."""
        found = int(np.searchsorted(self.block_starts, point, side="right")) - 1
        return found if found >= 0 and point < self.block_ends[found] else -1

    def turn_at(self, point: int) -> int:
        """The turn a code point lies in."""
        return int(self.turn[self.line_at(point)]) if len(self.turn) else 0

    def shown(
        self,
        folded_turns: frozenset[int],
        folded_blocks: frozenset[int],
        *,
        as_user: bool,
        only: tuple[int, int] | None = None,
    ) -> Ints:
        """The numbers of the lines that are shown, in order; `only`: those of these code points, with their titles."""
        keep = np.ones(len(self.kind), dtype=np.bool_) if only is None else self._of_stretch(*only)
        if as_user:
            keep &= np.isin(self.block, self._seen_by_user()) | (self.kind == LineKind.TURN)
            keep &= np.isin(self.turn, self._user_turns()) & (self.kind != LineKind.MARKUP)
            return np.flatnonzero(keep)
        if folded_turns:
            keep &= ~np.isin(self.turn, list(folded_turns)) | (self.kind == LineKind.TURN)
        if folded_blocks:
            keep &= ~np.isin(self.block, list(folded_blocks)) | (self.kind == LineKind.BLOCK)
        return np.flatnonzero(keep)

    def folded_at_first(self) -> frozenset[int]:
        """The blocks that begin folded: what tools gave back, and what cannot be read."""
        return frozenset(place.number for place in self.blocks if place.kind in FOLDED and place.titled)

    def _of_stretch(self, start: int, end: int) -> Bools:
        titles = self.kind <= LineKind.BLOCK
        inside = ~titles & (self.start < end) & (self.end > start)
        heads = (self.kind == LineKind.TURN) & np.isin(self.turn, self.turn[inside])
        heads |= (self.kind == LineKind.BLOCK) & np.isin(self.block, self.block[inside])
        return np.asarray(inside | heads, dtype=np.bool_)

    def _seen_by_user(self) -> list[int]:
        return [
            place.number
            for place in self.blocks
            if place.kind is BlockKind.ANSWER
            or (place.kind is BlockKind.OTHER and self.turns[place.turn].role in USER_ROLES)
        ]

    def _user_turns(self) -> list[int]:
        seen = {self.blocks[number].turn for number in self._seen_by_user()}
        return [n for n, turn in enumerate(self.turns) if turn.role in USER_ROLES and n in seen]


def structure(text: str, turns: Sequence[Turn], steps: Sequence[Step]) -> Structure:
    """Cut a trace into lines. Steps and blocks come in order; what overlaps is shown once, where it comes first."""
    return _Builder(text, tuple(turns), steps).build()


class _Builder:
    """One walk over the text."""

    def __init__(self, text: str, turns: tuple[Turn, ...], steps: Sequence[Step]) -> None:
        self.text, self.turns = text, turns
        self.first = [step.start for step in steps]
        self.last = [step.end for step in steps]
        self.lines: list[int] = []  # seven numbers a line: see `_result`
        self.blocks: list[BlockPlace] = []
        self.next_step = 0
        self.at = 0

    def build(self) -> Structure:
        titled = len(self.turns) > 1 or any(len(turn.blocks) > 1 for turn in self.turns)
        titled = titled or any(block.kind is not BlockKind.ANSWER for turn in self.turns for block in turn.blocks)
        for number, turn in enumerate(self.turns):
            if turn.start is not None:
                self._region(number - 1 if number else 0, -1, turn.start)  # what no turn claims
            if len(self.turns) > 1:
                self.lines.extend((LineKind.TURN, self.at, self.at, -1, number, -1, 1))
            for block in turn.blocks:
                self._region(number, -1, block.start)
                self._block(number, block.kind, block.start, block.end, titled)
            self._region(number, -1, turn.end if turn.end is not None else self._tail(number))
        self._region(max(0, len(self.turns) - 1), -1, len(self.text))
        return self._result()

    def _tail(self, number: int) -> int:
        """Where a turn without a span of its own ends: where the next one, or its first block, begins."""
        for turn in self.turns[number + 1 :]:
            if turn.start is not None or turn.blocks:
                return turn.start if turn.start is not None else turn.blocks[0].start
        return len(self.text)

    def _block(self, turn: int, kind: BlockKind, start: int, end: int, titled: bool) -> None:
        spoken = kind is BlockKind.OTHER and self.turns[turn].role != "assistant"
        own_line = titled and not spoken
        number = len(self.blocks)
        if own_line:
            self.lines.extend((LineKind.BLOCK, start, start, -1, turn, number, 1))
        first = self.next_step
        self._region(turn, number, end)
        self.blocks.append(BlockPlace(number, turn, kind, start, end, range(first, self.next_step), own_line))

    def _region(self, turn: int, block: int, end: int) -> None:
        """Lines of text[at:end]: its steps, and what lies between them."""
        rest = LineKind.TEXT if block >= 0 else LineKind.MARKUP
        text, starts, ends, at = self.text, self.first, self.last, self.at
        step = self.next_step
        while step < len(starts) and starts[step] < end:
            start, stop = max(starts[step], at), max(ends[step], at)
            if starts[step] > at and not text[at:start].isspace():
                self._cut(rest, at, start, -1, turn, block)
            if stop - start <= LONGEST:
                self.lines.extend((LineKind.STEP, start, stop, step, turn, block, 1))
            else:
                self._cut(LineKind.STEP, start, stop, step, turn, block)
            at = stop
            step += 1
        if end > at:
            self._cut(rest, at, end, -1, turn, block)
            at = end
        self.next_step, self.at = step, at

    def _cut(self, kind: LineKind, start: int, end: int, step: int, turn: int, block: int) -> None:
        if step < 0:
            start, end = _stripped(self.text, start, end)
            if start == end:
                return
        head = 1
        for first, last in _pieces(self.text, start, end):
            self.lines.extend((kind, first, last, step, turn, block, head))
            head = 0

    def _result(self) -> Structure:
        table = np.array(self.lines, dtype=np.int64).reshape(-1, 7)
        kind, start, end, step, turn, block, head = (np.ascontiguousarray(column) for column in table.T)
        heads = np.flatnonzero((kind == LineKind.STEP) & (head == 1))
        return Structure(
            self.text,
            self.turns,
            tuple(self.blocks),
            kind,
            start,
            end,
            step,
            turn,
            block,
            head.astype(np.bool_),
            np.array(self.first, np.int64),
            np.array(self.last, np.int64),
            heads,
            np.array([place.start for place in self.blocks], np.int64),
            np.array([place.end for place in self.blocks], np.int64),
        )


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without white space at its ends; looks at single characters, so that a long span costs nothing."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return start, end


def _pieces(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Spans of at most LONGEST code points, cut behind a line's end, else behind a space, else anywhere."""
    while end - start > LONGEST:
        stop = start + LONGEST
        for mark in ("\n", " "):
            found = text.rfind(mark, start + LONGEST // 2, stop)
            if found > 0:
                stop = found + 1
                break
        yield start, stop
        start = stop
    yield start, end
