"""Blocks by marks: nothing is lost whatever the marks, and no text takes long."""

from __future__ import annotations

import random

import pytest

from trainer.contract.records import BlockKind
from trainer.reasoning.marked import blocks_of

PIECES = ("<think>", "</think>", "<thinking>", "</thinking>", "`", "\n", "word ", "<|channel|>analysis<|message|>")
PIECES += ("<|end|>", "[THINK]", "[/THINK]", "<|begin_of_thought|>", "<|end_of_thought|>", "<|begin_of_solution|>", " ")


@pytest.mark.parametrize("seed", range(200))
def test_blocks_stand_in_order_and_hold_all_words(seed: int) -> None:
    rng = random.Random(seed)
    text = "".join(rng.choice(PIECES) for _ in range(rng.randint(1, 25)))
    at, outside = 0, ""
    for block in blocks_of(text).blocks:
        assert at <= block.start < block.end <= len(text)
        outside += text[at : block.start]
        at = block.end
    outside += text[at:]
    if not text.lstrip().startswith(("<|channel|>", "<|start|>")):
        assert "word" not in outside


@pytest.mark.parametrize(
    ("text", "thinking"),
    [
        ("<think>a</think>b", ["a"]),
        ("<THINK>a</THINK>b", ["a"]),
        ("a</think>b", ["a"]),
        ("<think>a", ["a"]),
        ("b <think> c", []),
        ("<think>a</think>b\n<think>c</think>d", ["a", "c"]),
        ("<think>a</think>b, then <think> is said", ["a"]),
        ("<reasoning>a</reasoning><answer>b</answer>", ["a"]),
        ("<thinking>a</think>b</thinking>c", ["a</think>b"]),
        ("<|START_THINKING|>a<|END_THINKING|>b", ["a"]),
    ],
)
def test_what_is_thinking(text: str, thinking: list[str]) -> None:
    found = [text[b.start : b.end] for b in blocks_of(text).blocks if b.kind is BlockKind.THINKING]
    assert found == thinking


@pytest.mark.parametrize(
    "piece", ["<think>", "</think>", "<think>\n", "`<think>", "<think>a</think>\n", "<|channel|>a<|message|>"]
)
def test_a_million_marks_do_not_hang(piece: str) -> None:
    blocks = blocks_of(piece * (1_000_000 // len(piece))).blocks
    assert len(blocks) < 200_000
