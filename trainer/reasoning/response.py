"""A policy's response read: thinking and answer apart, its steps as spans, its final answer."""

from __future__ import annotations

import re
from dataclasses import dataclass

from trainer.reasoning.answers import extract
from trainer.reasoning.segment import Span, segment
from trainer.reasoning.thinking import split_thinking

_HEADING = re.compile(r"^[ \t]*#{1,3}[ \t]*(?:final[ \t]+)?answer\b", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Response:
    """`steps` are spans of `text` that a PRM scores, `visible` what the user would see, `answer` the final answer."""

    text: str
    thinking: Span | None
    visible: Span
    steps: tuple[Span, ...]
    answer: str | None

    @property
    def step_texts(self) -> tuple[str, ...]:
        """The text of every step."""
        return tuple(span.of(self.text) for span in self.steps)


def read_response(text: str) -> Response:
    """Steps are the lines of the thinking, or, without marked thinking, of the whole text.

    A heading `# Answer` and what follows it belong to the last step, as in PRM800K. Thinking that was never closed has
    no answer: what the user would see is empty.
    """
    thought = split_thinking(text)
    region = thought.thinking or thought.answer
    steps = segment(text, region.start, region.end)
    if thought.thinking is None and (heading := _HEADING.search(text, region.start, region.end)) is not None:
        before = [span for span in steps if span.start < heading.start()]
        if before and steps[-1].end > before[-1].end:
            steps = (*before[:-1], Span(before[-1].start, steps[-1].end))
    return Response(text, thought.thinking, thought.answer, steps, extract(thought.answer.of(text)))
