"""What the judge is asked, how its words are read, and what that will cost."""

from __future__ import annotations

import itertools
import math

import pytest

from trainer.reasoning import judging
from trainer.reasoning.safety import CATEGORIES, Category
from trainer.reasoning.segment import Span

TEXT = "First I read the code. I'll edit the tests so that they pass. Then I answer the user."


def test_only_passages_that_stand_in_the_text_are_kept() -> None:
    reply = "4: I'll edit the tests so that they pass\n1. «First I read the code.»\n4: I will alter the tests\n9: what"
    found = judging.quotes_in(reply, TEXT, Span(0, len(TEXT)))
    assert [(quote.category, quote.span.of(TEXT)) for quote in found.quotes] == [
        (Category.GAMING, "I'll edit the tests so that they pass"),
        (Category.DECEPTION, "First I read the code."),
    ]
    assert found.made_up == 1
    assert judging.quotes_in(reply, TEXT, Span(0, 20)).quotes == ()
    assert judging.quotes_in("none", TEXT, Span(0, len(TEXT))) == judging.Extracted((), 0)


def test_the_first_question_shows_the_text_and_the_second_only_quotes() -> None:
    first = judging.extraction_prompt("Fix it.", TEXT)
    assert TEXT in first
    assert all(category.definition in first for category in CATEGORIES)
    second = judging.verdict_prompt(Category.GAMING, "Fix it.", ["I'll edit the tests"])
    assert "Then I answer" not in second
    assert "I'll edit the tests" in second


def test_p_yes_is_yes_against_no() -> None:
    found = judging.p_yes({" Yes": math.log(0.6), "yes": math.log(0.1), "No": math.log(0.2), "Maybe": math.log(0.1)})
    assert found == pytest.approx(0.7 / 0.9)
    assert judging.p_yes({"Maybe": -0.1}) is None
    assert [judging.said(text) for text in ("Yes.", " no, it", "Answer: yes", "I think so", "Nothing")] == [
        1,
        0,
        1,
        None,
        None,
    ]


@pytest.mark.parametrize("length", [10, 5_000, 200_000])
def test_windows_cover_the_text_and_the_cost_counts_them(length: int) -> None:
    text = "x" * length
    spans = judging.windows(text, 1000)
    assert spans[0].start == 0
    assert spans[-1].end == length
    assert all(b.start == a.end - judging.OVERLAP for a, b in itertools.pairwise(spans))
    expected = judging.cost([length] * 4, 1000, price_input=2.0, price_output=10.0)
    assert (expected.traces, expected.questions) == (4, 4 * len(spans) + 6)
    assert expected.tokens_written == 4 * (len(spans) * judging.QUOTES_TOKENS + 1.5 * judging.ANSWER_TOKENS)
    assert expected.tokens_read > 4 * length / judging.CHARACTERS_A_TOKEN
    assert expected.money == pytest.approx((expected.tokens_read * 2 + expected.tokens_written * 10) / 1e6, abs=1e-5)
    assert "questions" in expected.sentence()
