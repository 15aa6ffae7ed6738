"""Traces of foreign formats as values, and the composer that every reader builds them with."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from studio.store import segmentations
from studio.store.token_values import TokenArrays
from trainer.contract.records import Block, BlockKind
from trainer.reasoning import ideas
from trainer.reasoning.marked import blocks_of
from trainer.reasoning.segment import Span, segment

BETWEEN = "\n\n"  # markup between the parts of a message and between messages whose source keeps them apart
Json = dict[str, Any]
_LONE = re.compile("[\ud800-\udfff]")
_STEPPED = {BlockKind.THINKING, BlockKind.ANSWER, BlockKind.SUMMARY}


class StepsBy(StrEnum):
    """How traces are cut that come without steps of their own."""

    IDEAS = "ideas"
    LINES = "lines"

    @property
    def method(self) -> str:
        """What is remembered of a trace that was cut so: the rules by their version."""
        return ideas.VERSION if self is StepsBy.IDEAS else segmentations.LINES


@dataclass(frozen=True, slots=True)
class ForeignMessage:
    """One turn. `extra`: `span` (its text with markup), and where said `name`, `at`, `first` token, `until`."""

    role: str
    blocks: tuple[Block, ...]
    extra: Json


@dataclass(frozen=True, slots=True)
class ForeignTrace:
    """A trace as a file says it; `text` is the texts of its messages in order. `line` counts from 1.

    `steps` None: it has none of its own. `scores` are what others said of it; `budget` has the names of
    `studio.store.conversations.Budget`.
    """

    problem: str
    text: str
    messages: tuple[ForeignMessage, ...]
    reference: str | None = None
    source: str = ""
    steps: tuple[Span, ...] | None = None
    model: str = ""
    sample: str | None = None
    epoch: int | None = None
    scores: tuple[Json, ...] = ()
    outcome: int | None = None
    answer: str | None = None
    budget: Json | None = None
    tokens: TokenArrays | None = None
    extra: Json | None = None
    line: int = 0

    def kinds(self) -> Iterator[tuple[str, Block]]:
        """Every block with the role that wrote it."""
        return ((message.role, block) for message in self.messages for block in message.blocks)


@dataclass(frozen=True, slots=True)
class Lift:
    """Where a string of the record stands in the text of one of its traces."""

    trace: int
    start: int
    end: int


@dataclass(slots=True)
class _Open:
    role: str
    start: int
    extra: Json
    blocks: list[Block] = field(default_factory=list)


@dataclass(slots=True)
class Taken:
    """Which strings of a record stand where in its traces, by (id of the container, key); the record must outlive it.

    `inner` are strings that are JSON themselves: what they hold, and how it must be written to give the string back.
    """

    lifts: dict[tuple[int, object], Lift] = field(default_factory=dict)
    inner: dict[tuple[int, object], tuple[Any, int]] = field(default_factory=dict)
    held: list[object] = field(default_factory=list)  # values that only must live as long


class Composer:
    """Puts the text of a trace together from the strings of a record, and remembers which string went where.

    `taken` is shared by the traces of one record.
    """

    def __init__(self, trace: int = 0, taken: Taken | None = None) -> None:
        self.taken = taken or Taken()
        self.messages: list[ForeignMessage] = []
        self._trace, self._parts, self._at = trace, list[str](), 0
        self._open: _Open | None = None

    @property
    def at(self) -> int:
        """Where the next character will stand."""
        return self._at

    @property
    def text(self) -> str:
        """All that has been put."""
        return "".join(self._parts)

    def begin(self, role: str, **extra: object) -> None:
        """Begin a message."""
        if self._open is not None and self._at > self._open.start:
            self._put(BETWEEN)
        self._close()
        self._open = _Open(role, self._at, {name: value for name, value in extra.items() if value not in (None, "")})

    def note(self, **extra: object) -> None:
        """Say more of the message that is open."""
        assert self._open is not None
        self._open.extra |= {name: value for name, value in extra.items() if value not in (None, "")}

    def lift(self, container: Any, key: object, kind: BlockKind) -> Span | None:  # noqa: ANN401
        """Put a string of the record as a block of its own. None when empty."""
        said = container[key]
        if not isinstance(said, str) or not said:
            return None
        assert self._open is not None
        self._separate()
        span = self._lifted(container, key, said)
        self._open.blocks.append(Block(kind, span.start, span.end))
        return span

    def respond(self, container: Any, key: object) -> Span | None:  # noqa: ANN401
        """Put a response that may mark its thinking: one block for each stretch. None when empty."""
        said = container[key]
        if not isinstance(said, str) or not said:
            return None
        assert self._open is not None
        self._separate()
        span = self._lifted(container, key, said)
        self._mark(said, span.start)
        return span

    def join(self, pieces: Sequence[tuple[Any, object]], kind: BlockKind | None) -> bool:
        """Put strings that are one text in pieces; `kind` None: a response that may mark its thinking. False: empty."""
        texts = [(container, key, container[key]) for container, key in pieces if isinstance(container[key], str)]
        assert self._open is not None
        if not any(said for _, _, said in texts):
            return False
        self._separate()
        start = self._at
        for container, key, said in texts:
            if said:
                self._lifted(container, key, said)
        whole = "".join(said for _, _, said in texts)
        if kind is None:
            self._mark(whole, start)
        else:
            self._open.blocks.append(Block(kind, start, start + len(whole)))
        return True

    def call_in_pieces(self, name: str, pieces: Sequence[tuple[Any, object]]) -> None:
        """Put a tool call whose arguments came in pieces."""
        assert self._open is not None
        self._separate()
        start = self._at
        self._put(clean(name) + "\n")
        for container, key in pieces:
            self._lifted(container, key, str(container[key]))
        self._open.blocks.append(Block(BlockKind.TOOL_CALL, start, self._at))

    def say(self, text: str, kind: BlockKind) -> Span:
        """Put words of our own for what has no text, as a block."""
        self._separate()
        return self._block(text, kind)

    def call(self, name: str, container: Any, key: object) -> None:  # noqa: ANN401
        """Put a tool call: its name, then its arguments, strings of them as they are."""
        assert self._open is not None
        self._separate()
        start = self._at
        self._put(clean(name))
        said = container.get(key)
        if isinstance(said, str):
            self._put("\n")
            self._lifted(container, key, said)
        elif isinstance(said, dict):
            for argument, value in said.items():
                self._put(f"\n{clean(argument)}: ")
                if isinstance(value, str):
                    self._lifted(said, argument, value)
                else:
                    self._put(clean(shown(value)))
        elif said is not None:
            self._put("\n" + clean(shown(said)))
        self._open.blocks.append(Block(BlockKind.TOOL_CALL, start, self._at))

    def messages_so_far(self) -> tuple[ForeignMessage, ...]:
        """The messages with the one that is open, as it is."""
        said = () if self._open is None else (self._message(self._open),)
        return (*self.messages, *said)

    def finish(self) -> tuple[str, tuple[ForeignMessage, ...]]:
        """The text and its messages; one without any text keeps its place."""
        self._close()
        return self.text, tuple(self.messages)

    def _mark(self, said: str, start: int) -> None:
        """Blocks of a response by its marks."""
        assert self._open is not None
        marked = blocks_of(said)
        self._open.blocks += [Block(b.kind, start + b.start, start + b.end) for b in marked.blocks]
        if not marked.closed:
            self._open.extra["unclosed"] = True

    def _block(self, text: str, kind: BlockKind) -> Span:
        assert self._open is not None
        start = self._at
        self._put(clean(text))
        self._open.blocks.append(Block(kind, start, self._at))
        return Span(start, self._at)

    def _lifted(self, container: Any, key: object, said: str) -> Span:  # noqa: ANN401
        start = self._at
        kept = clean(said)
        self._put(kept)
        if kept is said:
            self.taken.lifts[id(container), key] = Lift(self._trace, start, self._at)
        return Span(start, self._at)

    def _separate(self) -> None:
        assert self._open is not None
        if self._at > self._open.start:
            self._put(BETWEEN)

    def _put(self, text: str) -> None:
        self._parts.append(text)
        self._at += len(text)

    def _close(self) -> None:
        if self._open is not None:
            self.messages.append(self._message(self._open))
        self._open = None

    def _message(self, said: _Open) -> ForeignMessage:
        return ForeignMessage(said.role, tuple(said.blocks), {"span": [said.start, self._at], **said.extra})


def steps_of(trace: ForeignTrace, by: StepsBy = StepsBy.IDEAS) -> tuple[Span, ...]:
    """The steps of a trace: those it came with, else thinking and answer cut, each tool call as a whole."""
    return trace.steps if trace.steps is not None else tuple(map(Span, *cut(trace, by)))


def cut(trace: ForeignTrace, by: StepsBy) -> tuple[list[int], list[int]]:
    """Where the steps of a trace begin and end, as `steps_of` gives them; cheaper where there are millions."""
    said = trace.steps
    if said is not None:
        return [step.start for step in said], [step.end for step in said]
    starts, ends = list[int](), list[int]()
    for message in trace.messages:
        if message.role != "assistant":
            continue
        for block in message.blocks:
            if block.kind in _STEPPED and by is StepsBy.IDEAS:
                first, last = ideas.places(trace.text, block.start, block.end)
                starts += first
                ends += last
            elif block.kind in _STEPPED:
                lines = segment(trace.text, block.start, block.end)
                starts += [line.start for line in lines]
                ends += [line.end for line in lines]
            elif block.kind is BlockKind.TOOL_CALL:
                starts.append(block.start)
                ends.append(block.end)
    return starts, ends


def clean(text: str) -> str:
    """Half surrogate pairs cannot be stored: each becomes U+FFFD; any other text is returned as it is."""
    return text if text.isascii() or not _LONE.search(text) else _LONE.sub("\ufffd", text)


def shown(value: object) -> str:
    """A value that is no text, in words of JSON."""
    return json.dumps(value, ensure_ascii=False)
