"""The one response of a trace as a policy writes it, whatever the file it came from told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from studio.errors import ConflictError
from studio.store.conversations import Turn
from trainer.contract.records import Block, BlockKind
from trainer.reasoning.segment import Span
from trainer.reasoning.thinking import CLOSE, OPEN

HIDDEN = {BlockKind.REDACTED: "redacted", BlockKind.SUMMARY: "there as a summary alone"}
TOOLS = (BlockKind.TOOL_CALL, BlockKind.TOOL_RESULT)


@dataclass(frozen=True, slots=True)
class Reply:
    """Thinking between its marks, then the answer, in code points.

    A piece (first, last, at) says that [first, last) of the trace's text stands at `at`.
    """

    text: str
    pieces: tuple[tuple[int, int, int], ...]

    def span(self, of: Span) -> Span | None:
        """Where a span of the trace's text stands in the reply; None where it is not all in one piece of it."""
        for first, last, at in self.pieces:
            if first <= of.start and of.end <= last:
                return Span(of.start - first + at, of.end - first + at)
        return None


def reply_of(trace_id: int, text: str, turns: Sequence[Turn]) -> Reply:
    """The reply of a trace with these turns (see `conversations.turns_of`), which may begin with what was asked.

    Raises ConflictError where a policy could not go on from within it, saying why and what to choose instead.
    """
    if len(turns) == 1 and not _uses_tools(turns):
        return _of_turn(trace_id, text, turns[0], 0, len(text))
    spoken = [turn.role for turn in turns if turn.role not in ("system", "developer")]
    if spoken != ["user", "assistant"] or turns[-1].role != "assistant" or _uses_tools(turns):
        raise ConflictError(
            f"trace {trace_id} is a conversation of {len(turns)} turn{'s' * (len(turns) != 1)}"
            f"{' with tools' * _uses_tools(turns)}; a policy continues single responses alone: "
            "choose a trace that answers its problem in one turn"
        )
    last, blocks = turns[-1], turns[-1].blocks
    start = last.start if last.start is not None else blocks[0].start if blocks else 0
    end = last.end if last.end is not None else blocks[-1].end if blocks else len(text)
    return _of_turn(trace_id, text, last, start, end)


def _uses_tools(turns: Sequence[Turn]) -> bool:
    return any(block.kind in TOOLS for turn in turns for block in turn.blocks)


def _of_turn(trace_id: int, text: str, turn: Turn, start: int, end: int) -> Reply:
    """[start, end) of the text where it marks its thinking as policies do, else its blocks with marks put around."""
    hidden = next((block.kind for block in turn.blocks if block.kind in HIDDEN), None)
    if hidden is not None:
        raise ConflictError(
            f"the thinking of trace {trace_id} is {HIDDEN[hidden]}; a policy cannot go on from words that are not "
            "there: choose a trace whose thinking was recorded"
        )
    thinking = [block for block in turn.blocks if block.kind is BlockKind.THINKING and block.start < block.end]
    rest = [block for block in turn.blocks if block.kind is not BlockKind.THINKING and block.start < block.end]
    own = text[start:end]
    if not thinking or own.lstrip().startswith(OPEN):
        return Reply(own, ((start, end, 0),))
    if rest and thinking[-1].start > rest[0].start:
        raise ConflictError(
            f"trace {trace_id} thinks again after it began to answer; a policy thinks once and then answers: choose "
            "another trace"
        )
    return _marked(text, thinking, rest)


def _marked(text: str, thinking: Sequence[Block], rest: Sequence[Block]) -> Reply:
    """Thinking without an answer behind it stays open."""
    pieces, parts, length = list[tuple[int, int, int]](), [OPEN], len(OPEN)
    for block in (*thinking, *rest):
        if rest and block is rest[0]:
            parts.append(CLOSE)
            length += len(CLOSE)
        pieces.append((block.start, block.end, length))
        parts.append(text[block.start : block.end])
        length += block.end - block.start
    return Reply("".join(parts), tuple(pieces))
