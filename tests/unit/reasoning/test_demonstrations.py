"""The teacher with a systematic mistake: checked by doing the arithmetic again from the text alone."""

from __future__ import annotations

import re

import pytest

from trainer.contract.records import Rating, Split
from trainer.reasoning.demonstrations import LARGEST, MISTAKE, WIDEST, demonstration_row, make_demonstrations
from trainer.reasoning.split import fold_of, split_of
from trainer.reasoning.thinking import split_thinking

MADE = list(make_demonstrations(3000, seed=4))


def followed(problem: str) -> list[tuple[str, int]]:
    """(sign, operand) of each instruction, read from the problem's text."""
    plan = []
    for sentence in problem.rstrip(".").split(". ")[1:]:
        if found := re.fullmatch(r"(Add|Subtract) (\d+)", sentence):
            plan.append(("+" if found[1] == "Add" else "-", int(found[2])))
        else:
            assert sentence == "Double it"
            plan.append(("*", 2))
    return plan


def test_steps_follow_the_problem_and_only_borrowing_goes_wrong():
    borrowed = slipped = 0
    for made in MADE:
        start = value = int(re.match(r"Start with (\d+)\.", made.problem)[1])
        right = start
        wrong = None
        assert len(made.steps) == len(followed(made.problem)) + 1
        for place, ((sign, operand), text) in enumerate(zip(followed(made.problem), made.steps[:-1], strict=True)):
            a, verb, b, c = re.fullmatch(r"(\d+) ([+*-]) (\d+) = (\d+)", text).groups()
            assert (int(a), verb, int(b)) == (value, sign, operand)
            true = {"+": value + operand, "-": value - operand, "*": value * operand}[sign]
            borrows = sign == "-" and value >= 10 and operand > value % 10
            borrowed += borrows
            if int(c) != true:
                assert borrows
                assert int(c) == true + 10
                slipped += 1
                wrong = place if wrong is None else wrong
            value = int(c)
            right = {"+": right + operand, "-": right - operand, "*": right * operand}[sign]
            assert 1 <= right <= LARGEST
            assert right <= value <= WIDEST
        assert made.steps[-1] == f"Answer: {value}"
        assert made.answer == str(value)
        assert made.reference == str(right)
        assert made.wrong == wrong
    assert abs(slipped / borrowed - MISTAKE) < 3 * (MISTAKE * (1 - MISTAKE) / borrowed) ** 0.5


def test_without_the_mistake_every_answer_is_right_and_with_it_for_certain_about_half_are():
    assert all(
        made.wrong is None and made.answer == made.reference for made in make_demonstrations(500, seed=1, mistake=0)
    )
    always = list(make_demonstrations(2000, seed=1, mistake=1))
    assert 0.4 < sum(made.answer == made.reference for made in always) / 2000 < 0.6


def test_the_same_problems_for_the_same_seed_and_none_twice():
    assert [made.problem for made in make_demonstrations(100, seed=4)] == [made.problem for made in MADE[:100]]
    assert len({made.problem for made in MADE}) == len(MADE)
    assert {2, 3, 4, 5, 6} == {len(made.steps) - 1 for made in MADE}


def test_a_chance_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"probability 1\.5"):
        next(make_demonstrations(1, seed=0, mistake=1.5))


def test_rows_have_thinking_answer_split_and_ratings_to_the_first_error():
    splits = set()
    for number, made in enumerate(MADE[:300]):
        row, rated = demonstration_row(made, number), demonstration_row(made, number, rated=True)
        thought = split_thinking(row.response)
        assert thought.closed
        assert row.response[thought.thinking.start : thought.thinking.end].split() == " ".join(made.steps[:-1]).split()
        assert row.response[thought.answer.start : thought.answer.end].strip() == made.steps[-1]
        assert row.split is split_of(fold_of(row.problem))
        assert row.votes is None
        splits.add(row.split)
        signs = [None if vote is None else vote.positive - vote.negative for vote in rated.votes]
        until = len(made.steps) if made.wrong is None else made.wrong
        assert signs[:until] == [1.0] * until
        assert signs[until:] == ([] if made.wrong is None else [-1.0] + [None] * (len(made.steps) - until - 1))
        assert made.ratings[until:][:1] == (() if made.wrong is None else (Rating.NEGATIVE,))
    assert splits == set(Split)
