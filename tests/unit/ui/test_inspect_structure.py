"""A trace cut into the lines of a transcript: nothing is lost, everything stands where it belongs."""

from __future__ import annotations

import random

import numpy as np
import pytest

from studio.store.conversations import Turn, turns_of
from studio.ui.inspect.cursor import Cursor
from studio.ui.inspect.structure import LONGEST, LineKind, Structure, structure
from trainer.contract.records import Block, BlockKind, Message, Step
from trainer.reasoning.segment import segment

TALK = "What is 2+2?<think>Two and two.\n\nSo 4.</think>The answer is 4.ls -laabc\ndefDone."


def talk() -> Structure:
    """A user, an assistant that thinks and calls a tool, the tool, the assistant again."""
    at = {word: TALK.index(word) for word in ("<think>", "Two", "</think>", "The answer", "ls", "abc", "Done")}
    end = len(TALK)
    turns = (
        Turn("user", (Block(BlockKind.OTHER, 0, at["<think>"]),)),
        Turn(
            "assistant",
            (
                Block(BlockKind.THINKING, at["Two"], at["</think>"]),
                Block(BlockKind.ANSWER, at["The answer"], at["ls"]),
                Block(BlockKind.TOOL_CALL, at["ls"], at["abc"]),
            ),
            start=at["<think>"],
            end=at["abc"],
        ),
        Turn("tool", (Block(BlockKind.TOOL_RESULT, at["abc"], at["Done"]),), name="bash"),
        Turn("assistant", (Block(BlockKind.ANSWER, at["Done"], end),)),
    )
    spans = [*segment(TALK, at["Two"], at["</think>"]), *segment(TALK, at["The answer"], at["ls"])]
    return structure(TALK, turns, [Step(k, span.start, span.end) for k, span in enumerate(spans)])


def shown(shape: Structure, lines: np.ndarray) -> list[tuple[str, str]]:
    return [(LineKind(int(shape.kind[n])).name, shape.text[int(shape.start[n]) : int(shape.end[n])]) for n in lines]


def test_a_conversation_becomes_turns_blocks_steps_and_markup() -> None:
    shape = talk()
    assert shown(shape, np.arange(len(shape.kind))) == [
        ("TURN", ""),
        ("TEXT", "What is 2+2?"),
        ("TURN", ""),
        ("MARKUP", "<think>"),
        ("BLOCK", ""),
        ("STEP", "Two and two."),
        ("STEP", "So 4."),
        ("MARKUP", "</think>"),
        ("BLOCK", ""),
        ("STEP", "The answer is 4."),
        ("BLOCK", ""),
        ("TEXT", "ls -la"),
        ("TURN", ""),
        ("BLOCK", ""),
        ("TEXT", "abc\ndef"),
        ("TURN", ""),
        ("BLOCK", ""),
        ("TEXT", "Done."),
    ]
    assert [place.steps for place in shape.blocks][1:3] == [range(2), range(2, 3)]
    assert [int(turn) for turn in shape.turn] == [0] * 2 + [1] * 10 + [2] * 3 + [3] * 3


def test_folding_hides_what_a_title_heads_and_the_user_sees_answers_alone() -> None:
    shape = talk()
    assert [shape.blocks[n].kind for n in shape.folded_at_first()] == [BlockKind.TOOL_RESULT]
    folded = shown(shape, shape.shown(frozenset({3}), shape.folded_at_first(), as_user=False))
    assert ("TEXT", "abc\ndef") not in folded
    assert ("TEXT", "Done.") not in folded
    assert ("STEP", "So 4.") in folded
    seen = shown(shape, shape.shown(frozenset(), frozenset(), as_user=True))
    assert [text for kind, text in seen if kind not in ("TURN", "BLOCK")] == [
        "What is 2+2?",
        "The answer is 4.",
        "Done.",
    ]


@pytest.mark.parametrize("seed", range(30))
def test_every_code_point_stands_in_one_line_but_for_white_space(seed: int) -> None:
    dice = random.Random(seed)
    text = "".join(dice.choice("ab \n\n𝔸é.") for _ in range(dice.randint(0, 6 * LONGEST)))
    cuts = sorted(dice.sample(range(len(text) + 1), min(len(text) + 1, 2 * dice.randint(1, 5))))
    kinds = list(BlockKind)
    blocks = [Block(dice.choice(kinds), cuts[k], cuts[k + 1]) for k in range(0, len(cuts) - 1, 2)]
    half = len(blocks) // 2
    turns = [Turn("user", tuple(blocks[:half])), Turn("assistant", tuple(blocks[half:]))]
    spans = [span for block in blocks if dice.random() < 0.6 for span in segment(text, block.start, block.end)]
    shape = structure(text, turns, [Step(k, span.start, span.end) for k, span in enumerate(spans)])
    covered = np.zeros(len(text), np.int64)
    for start, end in zip(shape.start, shape.end, strict=True):
        covered[start:end] += 1
    assert covered.max(initial=0) <= 1
    assert not "".join(c for c, times in zip(text, covered, strict=True) if not times).strip()
    assert np.all(np.diff(shape.start) >= 0)
    lengths = shape.end - shape.start
    assert lengths.max(initial=0) <= LONGEST
    for k, span in enumerate(spans):
        pieces = np.flatnonzero(shape.step == k)
        assert (shape.start[pieces[0]], shape.end[pieces[-1]]) == (span.start, span.end)
        assert shape.step_lines[k] == pieces[0]


def test_a_line_of_ten_megabytes_is_cut_into_pieces() -> None:
    text = "x" * 10_000_000
    shape = structure(text, turns_of(text, ()), [Step(0, 0, len(text))])
    assert shape.steps == 1
    assert (shape.end - shape.start).max() == LONGEST
    assert int(shape.head.sum()) == 1


def test_a_single_response_is_split_where_it_marks_its_thinking() -> None:
    text = "<think>hm\n</think>\n4"
    for messages in ((), (Message("assistant", (Block(BlockKind.ANSWER, 0, len(text)),)),)):
        (turn,) = turns_of(text, messages)
        assert [(b.kind.value, text[b.start : b.end]) for b in turn.blocks] == [("thinking", "hm\n"), ("answer", "\n4")]
    (plain,) = turns_of("just 4", ())
    assert [b.kind for b in plain.blocks] == [BlockKind.ANSWER]


def test_the_cursor_finds_step_token_block_and_turn_of_every_code_point() -> None:
    shape = talk()
    starts = np.array([12, 19, 22, 26, 31, 35, 38, 46, 60], np.int64)
    cursor = Cursor()
    heard: list[object] = []
    cursor.open(shape, starts)
    cursor.moved.connect(heard.append)
    for point in range(len(TALK) + 1):
        cursor.go_point(point)
        here = cursor.position
        assert here.point == point
        assert here.token == max([k for k, start in enumerate(starts) if start <= point], default=-1)
        steps = [k for k in range(shape.steps) if shape.step_starts[k] <= point]
        assert here.step == max(steps, default=-1)
        inside = [b.number for b in shape.blocks if b.start <= point < b.end]
        assert here.block == (inside[0] if inside else -1)
        turns = [0, 12, TALK.index("abc"), TALK.index("Done")]
        assert here.message == max(k for k, start in enumerate(turns) if start <= point)
    assert len(heard) == len(TALK) + 1


def test_moves_that_lead_nowhere_are_refused() -> None:
    shape, cursor = talk(), Cursor()
    assert not cursor.go_step(0)
    cursor.open(shape, None, step=1)
    before = cursor.position
    assert before.step == 1
    refused = (cursor.go_step(3), cursor.go_step(-1), cursor.go_token(0), cursor.go_block(9), cursor.go_turn(-1))
    assert not any(refused)
    assert cursor.position == before
    assert cursor.go_block(2)
    assert cursor.position.step == 2
    assert cursor.go_turn(3)
    assert cursor.position.message == 3


def test_a_token_that_begins_with_the_blank_before_a_step_belongs_to_the_step() -> None:
    text = "One two.\n Three."
    shape = structure(text, turns_of(text, ()), [Step(k, s.start, s.end) for k, s in enumerate(segment(text))])
    cursor = Cursor()
    cursor.open(shape, np.array([0, 3, 8, 15], np.int64))
    cursor.go_token(2)
    assert (cursor.position.step, cursor.position.point) == (1, 8)
