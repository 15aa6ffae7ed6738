"""Votes: groups of equal answers, four picks, aggregation; recomputed on what four real models answered."""

from __future__ import annotations

import json
import math
import os
import random
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import cast

import pytest

from tests.unit.search.toys import exactly
from trainer.contract.forms import Aggregation, Pick
from trainer.reasoning.answers import extract
from trainer.reasoning.grader import Grade, GradeForm, Grader, Pair
from trainer.reasoning.votes import Candidate, aggregate, equal_by, grouped, pick

DATA = Path(os.environ.get("STEPLENS_DATA", Path(__file__).resolve().parents[3].parent / "shared" / "data"))
SOLUTIONS = DATA / "gsm8k" / "example_model_solutions.jsonl"
MODELS = ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification")


def test_aggregations_by_hand() -> None:
    scores = (0.9, None, 0.5, 0.8)
    assert aggregate(scores, Aggregation.MIN) == 0.5
    assert aggregate(scores, Aggregation.PRODUCT) == pytest.approx(0.36)
    assert aggregate(scores, Aggregation.LAST) == 0.8
    assert aggregate(scores, Aggregation.MEAN) == pytest.approx(2.2 / 3)
    for how in Aggregation:
        assert aggregate((None, None), how) is None
        assert aggregate((), how) is None


def test_no_answer_never_votes_and_ties_go_to_the_first() -> None:
    traces = [
        Candidate(None, 1.0),
        Candidate("  ", 1.0),
        Candidate("5", 0.1),
        Candidate("7", 0.9),
        Candidate(None, 1.0),
    ]
    assert pick(traces, Pick.MAJORITY, exactly).chosen == 2
    assert pick(traces, Pick.WEIGHTED, exactly).chosen == 3
    assert pick(traces, Pick.BEST, exactly).chosen == 3
    none = pick([Candidate(None, 0.9)], Pick.BEST, exactly)
    assert (none.chosen, none.groups) == (-1, ())
    assert grouped([Candidate(" 5 "), Candidate("5")], exactly)[0].answer == "5"
    unscored = [Candidate("1"), Candidate("2")]
    for how in Pick:
        assert pick(unscored, how, exactly).chosen == 0


def test_the_four_picks_differ_where_they_should() -> None:
    traces = [
        Candidate("1", 0.2), Candidate("1", 0.3), Candidate("1", 0.1),
        Candidate("2", 0.6), Candidate("2", 0.5),
        Candidate("3", 0.9),
    ]  # fmt: skip
    chosen = {how: pick(traces, how, exactly).chosen for how in Pick}
    assert chosen == {Pick.MAJORITY: 0, Pick.BEST_OF_MAJORITY: 1, Pick.WEIGHTED: 3, Pick.BEST: 5}
    assert [group.answer for group in pick(traces, Pick.WEIGHTED, exactly).groups] == ["2", "3", "1"]


def test_answers_are_one_group_when_they_are_mathematically_equal() -> None:
    traces = [
        Candidate(answer) for answer in ("1/2", r"\frac{1}{2}", "0.5", "x+1", "1+x", r"2\sqrt{2}", r"\sqrt{8}", "8")
    ]
    with Grader() as grader:
        groups = grouped(traces, equal_by(grader))
    assert [group.members for group in groups] == [(0, 1, 2), (3, 4), (5, 6), (7,)]


def test_what_cannot_be_decided_stands_apart() -> None:
    def undecided(pairs: Sequence[tuple[str, str]]) -> list[bool | None]:
        return [None for _ in pairs]

    assert len(grouped([Candidate("a"), Candidate("b"), Candidate("a")], undecided)) == 2


class OneWay:
    """A grader that knows what it says of each order of a pair."""

    def __init__(self, said: dict[tuple[str, str], bool | None]) -> None:
        self.said = said

    def grade(self, pairs: Sequence[Pair], *, form: GradeForm) -> tuple[Grade, ...]:
        assert form is GradeForm.LENIENT
        return tuple(Grade(self.said[pair.predicted, pair.reference], "") for pair in pairs)


def test_equal_in_either_order_is_equal_and_what_neither_decides_is_open() -> None:
    order = {False: 0, None: 1, True: 2}  # Kleene's "or" is the greater of the two
    pairs = [(f"{one}", f"then {other}") for one in order for other in order]
    said = {pair: one for pair, one in zip(pairs, [one for one in order for _ in order], strict=True)}
    said |= {(b, a): other for (a, b), other in zip(pairs, [other for _ in order for other in order], strict=True)}
    equal = equal_by(cast(Grader, OneWay(said)))
    assert list(equal(pairs)) == [max(said[a, b], said[b, a], key=order.__getitem__) for a, b in pairs]


# -- what four models answered to GSM8K, counted in another way -------------------------------------------------------


def read_as_number(solution: str) -> Fraction | None:
    """The number behind the last "A:" as this file's own reader takes it."""
    said = re.findall(r"^A:\s*(.*)$", solution, re.MULTILINE)
    if not said:
        return None
    number = re.search(r"-?[\d,]*\.?\d+(?:/\d+)?", said[-1].replace(" ", ""))
    return None if number is None else Fraction(number.group().replace(",", ""))


def scored(solution: str) -> list[float | None]:
    """Scores of the steps that know nothing, some steps without one, and many ties."""
    draw = random.Random(solution)
    return [draw.choice([None, 0.2, 0.5, 0.8]) for _ in solution.splitlines()]


@pytest.mark.skipif(not SOLUTIONS.exists(), reason="the data of others is not here")
def test_votes_over_four_models_equal_an_independent_count() -> None:
    rows = [json.loads(line) for line in SOLUTIONS.read_text(encoding="utf-8").splitlines()]
    right, compared = dict.fromkeys(Pick, 0), 0
    grades = {model: sum(row[model]["is_correct"] for row in rows) for model in MODELS}
    for row in rows:
        solutions = [row[model]["solution"] for model in MODELS]
        numbers = [read_as_number(solution) for solution in solutions]
        scores = [aggregate(scored(solution), Aggregation.PRODUCT) for solution in solutions]
        said = [extract(solution.replace("\nA:", "\nAnswer:")) for solution in solutions]
        traces = [
            Candidate(None if number is None else answer, score)
            for number, answer, score in zip(numbers, said, scores, strict=True)
        ]
        if any((number is None) != (answer is None) for number, answer in zip(numbers, said, strict=True)):
            continue  # read as an answer by one reader alone: no matter of votes
        for how in Pick:
            chosen = pick(traces, how, exactly).chosen
            assert chosen == counted(numbers, scores, how), (row["question"], numbers, scores, how)
            right[how] += chosen >= 0 and bool(row[MODELS[chosen]]["is_correct"])
            compared += 1
    assert compared > 0.98 * len(Pick) * len(rows)
    assert right[Pick.BEST_OF_MAJORITY] > sorted(grades.values())[1], "the vote beats the two weaker models"


def counted(numbers: Sequence[Fraction | None], scores: Sequence[float | None], how: Pick) -> int:
    """The pick over exact fractions, with dictionaries."""
    voters = [place for place, number in enumerate(numbers) if number is not None]
    if not voters:
        return -1
    score = [-math.inf if one is None else one for one in scores]
    if how is Pick.BEST:
        return min(voters, key=lambda place: (-score[place], place))
    tally: dict[Fraction, float] = defaultdict(float)
    for place in voters:
        number = numbers[place]
        assert number is not None
        tally[number] += (scores[place] or 0.0) if how is Pick.WEIGHTED else 1.0
    first = {number: place for place, number in reversed(list(enumerate(numbers))) if number is not None}
    winner = min(tally, key=lambda number: (-tally[number], first[number]))
    members = [place for place in voters if numbers[place] == winner]
    assert Counter(numbers)[winner] == len(members)
    return members[0] if how is Pick.MAJORITY else min(members, key=lambda place: (-score[place], place))
