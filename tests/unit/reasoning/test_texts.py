"""Steps, thinking and final answers of a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.reasoning.answers import extract
from trainer.reasoning.segment import Span, segment
from trainer.reasoning.thinking import split_thinking

TEXTS = st.text(alphabet=st.sampled_from("ab 1=\n\r\t\u2028é😀<think>/"), max_size=60)


@given(TEXTS)
def test_steps_and_gaps_give_the_text_back(text: str):
    steps = segment(text)
    gaps = [0, *(edge for step in steps for edge in (step.start, step.end)), len(text)]
    assert gaps == sorted(gaps)
    assert all(not text[a:b].strip() for a, b in zip(gaps[::2], gaps[1::2], strict=True))
    assert [step.of(text) for step in steps] == [
        line.strip() for line in text.replace("\r", "\n").replace("\u2028", "\n").split("\n") if line.strip()
    ]


def test_steps_of_a_stretch():
    text = "one\n\n  two 😀 \nthree"
    assert segment(text, 5, 13) == (Span(7, 12),)
    assert segment(text, 7).__len__() == 2
    with pytest.raises(ValueError, match="no stretch"):
        segment(text, 5, 100)


@pytest.mark.parametrize(
    ("text", "thinking", "answer", "closed"),
    [
        ("<think>a\nb</think>\n5", "a\nb", "\n5", True),
        ("  <think>a", "a", "", False),
        ("a</think>5", "a", "5", True),
        ("just 5", None, "just 5", True),
        ("<think>a</think>b</think>c", "a", "b</think>c", True),
        ("<think></think>", "", "", True),
        ("say <think> aloud", None, "say <think> aloud", True),
        ("", None, "", True),
    ],
)
def test_thinking_and_answer(text: str, thinking: str | None, answer: str, closed: bool):
    thought = split_thinking(text)
    assert (thought.thinking.of(text) if thought.thinking else None) == thinking
    assert thought.answer.of(text) == answer
    assert thought.closed is closed


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("4 + 3 = 7\n\n# Answer\n\n7", "7"),
        ("# Answer\n\n1\n\nno:\n# Answer\n\n2", "2"),
        ("# Answer\n\n\\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("so \\boxed{\\frac{a}{\\sqrt{b}}} holds", "\\frac{a}{\\sqrt{b}}"),
        ("\\boxed{1} and \\boxed{2}", "2"),
        ("\\boxed{1} and \\boxed{2", "1"),
        ("\\boxed{\\{1,2\\}}", "\\{1,2\\}"),
        ("\\boxed 5.", "5"),
        ("\\boxed{ 5 }", "5"),
        ("\\boxed. It is 5", None),
        ("\\boxed{\\left\\{1\\right.} and }", "\\left\\{1\\right."),
        ("#### Mr. X  ", "Mr. X"),
        ("The answer is 5\nThe answer is **", "5"),
        ("9 * 2 = <<9*2=18>>18\n#### 18", "18"),
        ("#### 1\n#### 1,000", "1,000"),
        ("The answer is 42.", "42"),
        ("The answer is 3.14. I am sure.", "3.14"),
        ("the final answer is: **x = 5**", "x = 5"),
        ("The answer is $\\frac{1}{2}$.", "\\frac{1}{2}"),
        ("Final Answer: (C)", "(C)"),
        ("**Answer:** 12", "12"),
        ("I answer: it depends", None),
        ("no number names itself 12", None),
        ("# Answer\n\n", None),
        ("", None),
    ],
)
def test_the_final_answer(text: str, answer: str | None):
    assert extract(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("from 3 to $1,234.50 in all.", "1,234.50"),
        ("it falls by -7", "-7"),
        ("it is 3/4", "3/4"),
        ("x2 stays", None),
        ("nothing", None),
    ],
)
def test_the_last_number_only_when_asked(text: str, answer: str | None):
    assert extract(text) is None
    assert extract(text, loose=True) == answer


@given(st.text(alphabet=st.sampled_from("\\boxed{}#$ 1Answer:\n"), max_size=80))
def test_any_text_has_an_answer_or_none(text: str):
    found = extract(text, loose=True)
    assert found is None or found.strip() == found != ""
