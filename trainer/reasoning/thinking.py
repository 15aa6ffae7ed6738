"""Thinking and answer of a text that marks its thinking with <think> and </think>."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.reasoning.segment import Span

OPEN = "<think>"
CLOSE = "</think>"


@dataclass(frozen=True, slots=True)
class Thought:
    """Where a text thinks and where it answers; the marks belong to neither.

    `thinking` is None in a text without marks. `closed` says that the thinking came to its end: true without thinking.
    """

    thinking: Span | None
    answer: Span
    closed: bool


def split_thinking(text: str) -> Thought:
    """Thinking is what stands before the first close mark that follows the opening one, the answer what comes after.

    A close mark without an opening one ends thinking that began with the text: chat templates write the opening mark
    into the prompt. Thinking that is never closed has an empty answer at the end of the text. An opening mark counts
    only at the beginning (after white space): a later one, with no close mark before it, is spoken about, not used.
    """
    begin = len(text) - len(text.lstrip())
    opened = text.startswith(OPEN, begin)
    first = begin + len(OPEN) if opened else 0
    close = text.find(CLOSE, first)
    if close >= 0:
        return Thought(Span(first, close), Span(close + len(CLOSE), len(text)), True)
    if opened:
        return Thought(Span(first, len(text)), Span(len(text), len(text)), False)
    return Thought(None, Span(0, len(text)), True)
