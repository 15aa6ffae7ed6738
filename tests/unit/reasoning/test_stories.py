"""The stories: every claim of the generator checked by reading the written text again."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest

from trainer.contract.records import Rating, Split
from trainer.reasoning import stories
from trainer.reasoning.stories import LARGEST, Slip, Story, make_stories, story_row

MADE = list(make_stories(3000, seed=9))
DO = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__, "/": int.__floordiv__}


def _plan(problem: str) -> list[tuple[str, int]]:
    """Sign and operand of every sentence, read from the text."""
    start = re.match(r"Start with (\d+)\.", problem)
    assert start
    plan = [("=", int(start[1]))]
    for sentence in re.findall(r"(Add \d+|Subtract \d+|Double it|Halve it)\.", problem):
        word, _, number = sentence.partition(" ")
        sign = {"Add": "+", "Subtract": "-", "Double": "*", "Halve": "/"}[word]
        plan.append((sign, 2 if number == "it" else int(number)))
    return plan


def _numbers(step: str) -> tuple[int, str, int, int]:
    match = re.match(r"(\d+) ([-+*/]) (\d+) = (\d+)(?:\n\n# Answer\n\n(\d+))?$", step)
    assert match, step
    if match[5] is not None:
        assert match[5] == match[4], "the answer is the last result"
    return int(match[1]), match[2], int(match[3]), int(match[4])


def _one_digit_differs(a: int, b: int) -> bool:
    return len(str(a)) == len(str(b)) and sum(x != y for x, y in zip(str(a), str(b), strict=True)) == 1


def test_a_trace_is_wrong_exactly_where_it_says() -> None:
    for story in MADE:
        _check(story)


def _check(story: Story) -> None:
    plan = _plan(story.problem)
    value = plan[0][1]
    assert len(story.steps) == len(plan) - 1
    assert story.steps[-1].endswith(f"# Answer\n\n{_numbers(story.steps[-1])[3]}")
    for place, (step, (sign, operand)) in enumerate(zip(story.steps, plan[1:], strict=True)):
        left, written_sign, right, result = _numbers(step)
        assert written_sign == sign
        assert 1 <= result <= LARGEST
        honest = DO[sign](value, operand)
        if place == story.wrong:
            faults = {
                Slip.RESULT: (left, right) == (value, operand) and _one_digit_differs(result, honest),
                Slip.OPERAND: left == value and _one_digit_differs(right, operand) and result == DO[sign](left, right),
                Slip.VALUE: right == operand and _one_digit_differs(left, value) and result == DO[sign](left, right),
            }
            assert story.slip is not None
            assert [slip for slip, holds in faults.items() if holds] == [story.slip]
            assert result != honest
        else:
            assert (left, right, result) == (value, operand, honest)
        value = result
    assert (story.wrong is None) == (story.slip is None)
    if story.wrong is None:
        assert str(value) == story.answer


def test_ratings_stop_at_the_first_error() -> None:
    for story in MADE:
        ratings = story.ratings
        assert len(ratings) == len(story.steps)
        if story.wrong is None:
            assert set(ratings) == {Rating.POSITIVE}
        else:
            assert set(ratings[: story.wrong]) <= {Rating.POSITIVE}
            assert ratings[story.wrong] is Rating.NEGATIVE
            assert set(ratings[story.wrong + 1 :]) <= {None}


def test_same_seed_same_stories_and_a_longer_list_begins_like_a_shorter() -> None:
    assert list(make_stories(500, seed=9)) == MADE[:500]
    assert list(make_stories(20, seed=10)) != MADE[:20]


def test_problems_differ_and_every_slip_and_length_occurs() -> None:
    assert len({story.problem for story in MADE}) == len(MADE)
    assert {story.slip for story in MADE} == {None, *Slip}
    assert {len(story.steps) for story in MADE} == set(range(stories.FEWEST_STEPS, stories.MOST_STEPS + 1))


def test_every_step_has_the_same_hazard_whatever_its_place_and_the_length() -> None:
    """A step's place and the number of steps tell nothing: shares within 4 standard errors of the hazard."""
    reached: Counter[tuple[int, int]] = Counter()
    wrong: Counter[tuple[int, int]] = Counter()
    for story in MADE:
        for place, rating in enumerate(story.ratings):
            if rating is not None:
                reached[place, len(story.steps)] += 1
                wrong[place, len(story.steps)] += rating is Rating.NEGATIVE
    checked = 0
    for key, n in reached.items():
        if n >= 100:
            checked += 1
            error = (stories.HAZARD * (1 - stories.HAZARD) / n) ** 0.5
            assert wrong[key] / n == pytest.approx(stories.HAZARD, abs=4 * error), key
    assert checked >= 12


def test_wrong_steps_write_numbers_like_right_ones() -> None:
    """Mean and spread of the written results of right and of first wrong steps lie close together."""
    results: dict[bool, list[int]] = {True: [], False: []}
    for story in MADE:
        for step, rating in zip(story.steps, story.ratings, strict=True):
            if rating is not None:
                results[rating is Rating.NEGATIVE].append(_numbers(step)[3])
    right, wrong = np.array(results[False]), np.array(results[True])
    assert abs(right.mean() - wrong.mean()) < 0.1 * right.std()
    assert wrong.std() == pytest.approx(right.std(), rel=0.1)


def test_a_row_carries_the_story_and_the_split_of_its_problem() -> None:
    story = next(s for s in MADE if s.wrong == 1 and len(s.steps) > 2)
    row = story_row(story, 7)
    assert row.votes is not None
    assert [None if v is None else (v.negative, v.positive) for v in row.votes[:3]] == [(0, 1), (1, 0), None]
    assert (row.problem, row.steps, row.reference) == (story.problem, story.steps, story.answer)
    assert {story_row(made, number).split for number, made in enumerate(MADE)} == set(Split)
