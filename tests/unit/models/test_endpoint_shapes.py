"""Answers with something wrong at any one place are read, or refused as no answer; they break nothing else."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest

from trainer.models.endpoint import Dialect, Usage
from trainer.models.endpoint_dialects import ShapeError, choices_of, usage_of
from trainer.models.endpoint_stream import Streamed

LOGPROBS = {"content": [{"token": "4", "logprob": -1.0, "top_logprobs": [{"token": "4", "logprob": -1.0}]}]}
SPELT = {"tokens": ["4"], "token_logprobs": [-1.0], "top_logprobs": [{"4": -1.0}]}
USED = {"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 1}}
MESSAGE = {"content": "4", "reasoning_content": "hm", "reasoning_details": [{"text": "a"}]}
SAID = {"content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "4"}], "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 4, "cache_read_input_tokens": 1}}  # fmt: skip
WHOLE: dict[Dialect, dict[str, Any]] = {
    Dialect.CHAT: {"choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop", "logprobs": LOGPROBS}],
                   "usage": USED},
    Dialect.COMPLETIONS: {"choices": [{"index": 0, "text": "4", "logprobs": SPELT, "token_ids": [4]}], "usage": USED},
    Dialect.MESSAGES: SAID,
}  # fmt: skip
EVENTS: dict[Dialect, list[dict[str, Any]]] = {
    Dialect.CHAT: [{"choices": [{"index": 0, "delta": MESSAGE, "logprobs": LOGPROBS}], "usage": USED}],
    Dialect.COMPLETIONS: [{"choices": [{"index": 0, "text": "4", "finish_reason": "stop", "logprobs": SPELT}]}],
    Dialect.MESSAGES: [
        {"type": "message_start", "message": SAID},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "4"}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}},
        {"type": "message_stop"},
    ],
}
WRONG = (None, "x", -1, 1.5, [], {}, [1], {"a": 1}, True, "", 10**30, math.nan, [None], ["a"], [{}], [[]])


def places(value: object, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every part of a value."""
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield (*before, key)
        yield from places(value[key], (*before, key))  # type: ignore[index]


def spoiled(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The value with each part in turn left out or something else."""
    for way in places(value):
        for wrong in (..., *WRONG):
            made: Any = copy.deepcopy(value)
            inner = made
            for key in way[:-1]:
                inner = inner[key]
            if wrong is ...:
                del inner[way[-1]]
            else:
                inner[way[-1]] = wrong
            yield made


@pytest.mark.parametrize("dialect", Dialect)
def test_a_whole_answer_that_is_wrong_somewhere_is_read_or_refused(dialect: Dialect) -> None:
    refused = 0
    for answer in spoiled(WHOLE[dialect]):
        used = usage_of(dialect, answer)
        assert all(0 <= count < 2**63 for count in (used.input, used.output, used.cached, used.thinking))
        try:
            assert choices_of(dialect, answer)
        except ShapeError:
            refused += 1
    assert refused > 10 or dialect is Dialect.MESSAGES
    assert usage_of(dialect, WHOLE[dialect]) == Usage(4 if dialect is Dialect.MESSAGES else 3, 4, 1)


@pytest.mark.parametrize("dialect", Dialect)
def test_a_stream_that_is_wrong_somewhere_is_read_or_refused(dialect: Dialect) -> None:
    events, read = EVENTS[dialect], 0
    for number, event in enumerate(events):
        for wrong in spoiled(event):
            streamed = Streamed(dialect)
            try:
                for each in (*events[:number], wrong, *events[number + 1 :]):
                    list(streamed.take(json.dumps(each), each))
                read += "4" in "".join(choice.text for choice in streamed.choices)
            except ShapeError:
                pass
    assert read > 10
