"""A response as the record that the store takes: thinking and answer as blocks, its lines as steps."""

from __future__ import annotations

from trainer.contract.records import Block, BlockKind, Message, Step, TraceRecord
from trainer.reasoning.response import Response


def record_of(
    response: Response,
    *,
    id: str,
    row: str,
    problem: str,
    reference: str | None,
    model: str,
    correct: bool | None,
) -> TraceRecord:
    """One assistant message; steps are numbered from 1. `correct` None = the verifier could not decide."""
    return TraceRecord(
        id=id,
        row=row,
        problem=problem,
        reference=reference,
        text=response.text,
        messages=messages_of(response),
        steps=steps_of(response),
        model=model,
        outcome=None if correct is None else int(correct),
    )


def messages_of(response: Response) -> tuple[Message, ...]:
    """The one assistant message of a response."""
    blocks = [Block(BlockKind.ANSWER, response.visible.start, response.visible.end)]
    if response.thinking is not None:
        blocks.insert(0, Block(BlockKind.THINKING, response.thinking.start, response.thinking.end))
    return (Message("assistant", tuple(blocks)),)


def steps_of(response: Response) -> tuple[Step, ...]:
    """Its steps, numbered from 1."""
    return tuple(Step(k + 1, span.start, span.end) for k, span in enumerate(response.steps))
