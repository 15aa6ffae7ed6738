"""What a trace is beside its text: its turns with what the source said of them, its place in a log, its budget."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from sqlalchemy import Connection, select

from studio.store.schema import log, message, trace
from trainer.contract.records import Block, BlockKind, Message
from trainer.reasoning.safety import Part
from trainer.reasoning.thinking import split_thinking

HIDDEN = (BlockKind.THINKING, BlockKind.SUMMARY, BlockKind.REDACTED)  # what a user does not see


@dataclass(frozen=True, slots=True)
class Turn:
    """One message. `start`, `end` hold its markup too where the source says so, None otherwise; times are ISO-8601."""

    role: str
    blocks: tuple[Block, ...]
    name: str = ""
    at: str = ""
    until: str = ""
    start: int | None = None
    end: int | None = None
    first: str = ""


@dataclass(frozen=True, slots=True)
class Budget:
    """Tokens that were asked for, granted and used; None = the source does not say. `ended` is its own word."""

    requested: int | None = None
    granted: int | None = None
    used: int | None = None
    thinking: int | None = None
    answer: int | None = None
    thinking_granted: int | None = None
    answer_granted: int | None = None
    ended: str = ""

    @property
    def is_known(self) -> bool:
        """Whether anything is known."""
        return self != Budget()

    @property
    def mismatch(self) -> str:
        """What does not add up, for a person; empty when it does or cannot be told."""
        if self.used is None or self.thinking is None or self.answer is None:
            return ""
        parts = self.thinking + self.answer
        return (
            "" if parts == self.used else f"thinking and answer are {parts:,} tokens, the source counts {self.used:,}"
        )


@dataclass(frozen=True, slots=True)
class Conversation:
    """The turns of a trace and where it belongs."""

    turns: tuple[Turn, ...]
    log: str = ""
    sample: str = ""
    epoch: int | None = None
    budget: Budget = Budget()
    forced: tuple[tuple[int, int], ...] = ()  # [first, last) of the tokens that a budget wrote, not the model


def read(c: Connection, trace_id: int) -> Conversation:
    """The conversation of a trace; a trace without stored messages has none here: see `turns_of`."""
    query = select(message).where(message.c.trace_id == trace_id).order_by(message.c.ordinal)
    turns = tuple(_turn(row.role, row.blocks, row.extra or {}) for row in c.execute(query))
    place = c.execute(
        select(trace.c.sample, trace.c.epoch, trace.c.budget, trace.c.extra, log.c.path)
        .outerjoin(log, log.c.id == trace.c.log_id)
        .where(trace.c.id == trace_id)
    ).first()
    if place is None:
        return Conversation(turns)
    name = PurePath(place.path).stem if place.path else ""
    forced = _stretches((place.extra or {}).get("forced"))
    return Conversation(turns, name, place.sample or "", place.epoch, budget_of(place.budget), forced)


def _stretches(said: object) -> tuple[tuple[int, int], ...]:
    """Pairs of whole numbers that make a stretch; another source may mean something else by the name."""
    pairs = [each for each in said if isinstance(each, list) and len(each) == 2] if isinstance(said, list) else []
    return tuple((a, b) for a, b in pairs if isinstance(a, int) and isinstance(b, int) and 0 <= a < b)


def turns_of(text: str, messages: tuple[Message, ...] | tuple[Turn, ...]) -> tuple[Turn, ...]:
    """The turns that are shown: the stored ones, or one response split where its text marks thinking."""
    turns = tuple(m if isinstance(m, Turn) else Turn(m.role, m.blocks) for m in messages)
    whole = (Block(BlockKind.ANSWER, 0, len(text)),)
    if turns and not (len(turns) == 1 and turns[0].blocks == whole):
        return turns
    thought = split_thinking(text)
    if thought.thinking is None:
        return (Turn("assistant", whole, start=0, end=len(text)),)
    blocks = [Block(BlockKind.THINKING, thought.thinking.start, thought.thinking.end)]
    if thought.answer.start < thought.answer.end:
        blocks.append(Block(BlockKind.ANSWER, thought.answer.start, thought.answer.end))
    return (Turn("assistant", tuple(blocks), start=0, end=len(text)),)


def part_at(c: Connection, trace_id: int, text: str, point: int) -> Part:
    """Whether a code point of a trace belongs to its thinking or to what the user sees."""
    query = select(message).where(message.c.trace_id == trace_id).order_by(message.c.ordinal)
    stored = tuple(_turn(row.role, row.blocks, row.extra or {}) for row in c.execute(query))
    for turn in turns_of(text, stored):
        for block in turn.blocks:
            if block.start <= point < block.end:
                return Part.THINKING if block.kind in HIDDEN else Part.ANSWER
    return Part.ANSWER


def budget_of(said: dict[str, Any] | None) -> Budget:
    """A stored budget; what is no number or below zero is unknown."""
    said = said or {}
    names = ("requested", "granted", "used", "thinking", "answer", "thinking_granted", "answer_granted")
    return Budget(**{name: _count(said.get(name)) for name in names}, ended=str(said.get("ended") or ""))


def _count(value: object) -> int | None:
    whole = isinstance(value, int | float) and not isinstance(value, bool) and value == value and value >= 0
    return int(value) if whole and value != float("inf") else None  # type: ignore[call-overload]


def _turn(role: str, blocks: list[tuple[str, int, int]], extra: dict[str, Any]) -> Turn:
    span = extra.get("span")
    start, end = span if isinstance(span, list) and len(span) == 2 else (None, None)
    return Turn(
        role,
        tuple(Block(BlockKind(kind), first, last) for kind, first, last in blocks),
        str(extra.get("name") or ""),
        str(extra.get("at") or ""),
        str(extra.get("until") or ""),
        start,
        end,
        str(extra.get("first") or ""),
    )
