"""What a sample of an Inspect log used: all its calls together, never the last one alone."""

from __future__ import annotations

import pytest

from studio.exchange.inspect_sample import read_sample
from tests.unit.exchange.archives import sample

HEADER = {"eval": {"model": "a/b", "model_generate_config": {"max_tokens": 100, "reasoning_tokens": 40}}}
LAST = {"output_tokens": 7, "reasoning_tokens": 2}
OUTPUT = {"usage": LAST, "choices": [{"stop_reason": "stop"}]}
CALLS = [{"role": role, "content": role} for role in ("user", "assistant", "tool", "assistant")]


@pytest.mark.parametrize(
    ("usage", "messages", "told"),
    [
        ({"a/b": {"output_tokens": 90, "reasoning_tokens": 30}, "judge": {"output_tokens": 5}}, CALLS, (90, 30, None)),
        ({"other": {"output_tokens": 90}}, CALLS, (90, None, None)),  # the name is another, but there is one alone
        ({"x": {"output_tokens": 1}, "y": {"output_tokens": 2}}, CALLS, (7, 2, None)),  # whose is whose is not said
        ({}, CALLS[:2], (7, 2, 100)),
    ],
)
def test_all_calls_count(usage: dict[str, object], messages: list[object], told: tuple[int | None, ...]) -> None:
    read = read_sample(sample(1, "4", messages=messages, output=OUTPUT, model_usage=usage), HEADER, 1)
    (trace,) = read.traces
    assert trace.budget is not None
    assert tuple(trace.budget.get(name) for name in ("used", "thinking", "requested")) == told
    assert trace.budget["ended"] == "stop"
