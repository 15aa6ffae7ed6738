"""Demonstrations of trying: one right number a problem, lines that calculate right, answers that follow from them."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import islice, pairwise

import pytest

from trainer.contract.records import Split
from trainer.reasoning.answers import extract
from trainer.reasoning.arithmetic import Verdict, check_step
from trainer.reasoning.thinking import split_thinking
from trainer.reasoning.tries import CANDIDATES, GOAL, LINES, PAUSE, Tried, make_tries, try_for, try_row

MANY = 2000
CHECKING = list(make_tries(MANY, seed=4, keeps_checking=True))
STOPPING = list(make_tries(MANY, seed=4, keeps_checking=False))


def becomes(problem: str, number: int) -> int:
    """What the sentences of a problem make of a number, read from the text alone."""
    words = problem.split("? ")[1].replace(".", "").split()
    while words:
        match words[0]:
            case "Double":
                number, words = 2 * number, words[2:]
            case "Add":
                number, words = number + int(words[1]), words[2:]
            case "Subtract":
                number, words = number - int(words[1]), words[2:]
            case other:
                raise AssertionError(other)
    return number


def test_exactly_one_number_becomes_the_goal():
    for tried in CHECKING:
        problem = tried.search.problem
        listed, goal = problem.removeprefix("Which of ").split("? ")[0].split(" becomes ")
        numbers = [int(number) for number in listed.split(", ")]
        assert len(set(numbers)) == CANDIDATES
        assert [number for number in numbers if becomes(problem, number) == int(goal)] == [tried.search.right]


def test_the_right_number_stands_anywhere():
    places = Counter(tried.search.numbers.index(tried.search.right) for tried in CHECKING)
    assert all(0.8 < places[place] * CANDIDATES / MANY < 1.2 for place in range(CANDIDATES))


def test_every_calculation_is_right_and_every_verdict_true():
    for tried in CHECKING + STOPPING:
        last = None
        for step in tried.steps[:-1]:
            if "=" in step:
                assert check_step(step).verdict is Verdict.CORRECT, step
                last = int(step.split("= ")[1])
            elif step in ("Yes", "No"):
                assert (last == GOAL) == (step == "Yes")
            elif not step.startswith(PAUSE):
                assert step.split(" ")[0] in ("Try", "Check")


def test_a_right_answer_needs_luck_or_length():
    right = defaultdict(list)
    for tried in CHECKING:
        right[min(len(tried.steps[:-1]), LINES - 1) // 4].append(tried.correct)
    shares = [sum(right[k]) / len(right[k]) for k in sorted(right)]
    assert shares[0] == pytest.approx(1 / CANDIDATES, abs=0.08)
    assert shares[-1] > 0.85
    assert all(late > early for early, late in pairwise(shares))


def test_in_any_order_two_teachers_try_different_numbers_first():
    free = list(make_tries(300, seed=4, keeps_checking=True, any_order=True))
    first = [tried.search.numbers.index(int(_first_try(tried))) for tried in free if "Try" in tried.response]
    assert all(0.5 < first.count(place) * CANDIDATES / len(first) < 1.5 for place in range(CANDIDATES))
    for tried in free:
        tries = [step for step in tried.steps if step.startswith("Try")]
        assert len(tries) == len(set(tries)), "no number is tried twice"
        assert all(check_step(step).verdict is Verdict.CORRECT for step in tried.steps if "=" in step)
        ruled_out = {tries[k] for k in range(list(tried.steps).count("No"))}
        assert f"Try {tried.answer}" not in ruled_out


def _first_try(tried: Tried) -> str:
    return next(step for step in tried.steps if step.startswith("Try")).removeprefix("Try ")


def test_thinking_ends_with_the_lines_or_when_the_number_is_found():
    for lines in range(1, LINES + 8):
        long, short = (try_for(CHECKING[3].search, lines, keeps_checking=keeps) for keeps in (True, False))
        assert len(long.steps) == lines + 1
        assert len(short.steps) == min(lines, long.steps.index("Yes") + 1 if "Yes" in long.steps else lines) + 1
        assert long.answer == short.answer
    assert long.correct
    with pytest.raises(ValueError, match="at least one"):
        try_for(CHECKING[3].search, 0, keeps_checking=True)


def test_longer_lists_begin_like_shorter_and_no_problem_comes_twice():
    assert list(islice(make_tries(50, seed=4, keeps_checking=True), 50)) == CHECKING[:50]
    assert len({tried.search.problem for tried in CHECKING}) == MANY


def test_rows_are_read_as_they_were_written():
    rows = [try_row(tried, number) for number, tried in enumerate(STOPPING)]
    for row, tried in zip(rows[:100], STOPPING, strict=False):
        thought = split_thinking(row.response or "")
        assert thought.thinking is not None
        assert thought.thinking.of(row.response or "").strip().split("\n") == list(tried.steps[:-1])
        assert extract(thought.answer.of(row.response or "")) == tried.answer
    assert {row.split for row in rows} == set(Split)
