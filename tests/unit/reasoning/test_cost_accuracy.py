"""Best-of-n against one pass of a larger model, worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import pytest

from tests.unit.search.toys import searched, toy
from trainer.contract.generated import Spent
from trainer.contract.records import SearchRecord
from trainer.contract.spec import SearchSpec, build
from trainer.contract.specs.search import Strategy
from trainer.reasoning.cost_accuracy import (
    Attempted,
    Choosing,
    Contest,
    CostPoint,
    Models,
    Sampled,
    attempted,
    contest,
    plan,
    point,
)
from trainer.reasoning.metrics import Interval

SMALL, LARGE = Models("small", 10, 4), Models("large", 100)


def by_value(pairs: Sequence[tuple[str, str]]) -> list[bool]:
    """Equality of numbers."""
    return [Fraction(a) == Fraction(b) for a, b in pairs]


def tried(row: str, *samples: tuple[bool | None, float | None, int, int | None]) -> Attempted:
    """Traces as (right, score, tokens, group of equal answers); a group of None is a trace without an answer."""
    made = tuple(Sampled(right, score, group, tokens, tokens // 2) for right, score, tokens, group in samples)
    spent = Spent(tokens=sum(one.tokens for one in made), tokens_read=6, prm_tokens=30, seconds=3.0)
    return Attempted(row, made, spent)


ATTEMPTS = [
    tried("a", (False, 0.2, 10, 0), (True, 0.9, 10, 1), (False, 0.5, 10, 0), (False, 0.9, 10, 0)),
    tried("b", (True, 0.4, 20, 0), (True, 0.3, 10, 0), (False, 0.8, 10, 1), (True, None, 0, None)),
    tried("c", (False, None, 5, None), (False, None, 5, None), (True, 0.1, 20, 0), (True, 0.1, 10, 0)),
]


def test_best_of_n_by_hand() -> None:
    accuracy = [point(ATTEMPTS, SMALL, n).accuracy.value for n in (1, 2, 3, 4)]
    assert accuracy == pytest.approx([1 / 3, 2 / 3, 2 / 3, 2 / 3])
    one = point(ATTEMPTS, SMALL, 2)
    assert one.title == "best of 2"
    assert one.tokens == pytest.approx((20 + 30 + 10) / 3)
    assert one.tokens_read == 6
    assert one.prm_tokens == pytest.approx(30 * (16 / 26 + 21 / 26 + (6 + 2 + 2) / (6 + 2 + 2 + 10 + 5)) / 3)
    assert one.seconds == pytest.approx(3 * 0.5)
    assert one.cost == pytest.approx((20 + 6) * 10 + one.prm_tokens * 4)
    assert [(each.row, each.place, each.right) for each in one.chosen] == [
        ("a", 1, True),
        ("b", 0, True),
        ("c", None, False),
    ]
    with pytest.raises(ValueError, match="row a has 4 traces"):
        point(ATTEMPTS, SMALL, 5)


def test_the_majority_by_hand_pays_no_prm() -> None:
    made = {n: point(ATTEMPTS, SMALL, n, Choosing.MAJORITY) for n in (1, 2, 3, 4)}
    places = {n: [each.place for each in of.chosen] for n, of in made.items()}
    assert places == {1: [0, 0, None], 2: [0, 0, None], 3: [0, 0, 2], 4: [0, 0, 2]}, "ties go to the first"
    assert made[4].accuracy.value == pytest.approx(2 / 3)
    assert (made[4].prm_tokens, made[4].cost) == (0, pytest.approx((40 + 6) * 10))
    assert made[4].title == "majority of 4"


def test_a_contest_pairs_the_problems_and_says_where_the_small_one_reaches_the_large() -> None:
    large = [
        Attempted(row, (Sampled(right, None, 0, 8, 8),), Spent(tokens=8, tokens_read=6))
        for row, right in (("a", True), ("b", True), ("c", False), ("d", True))
    ]
    made = contest(ATTEMPTS, SMALL, large, LARGE)
    assert [each.n for each in made.small] == [each.n for each in made.majority] == [1, 2, 4]
    assert made.large.accuracy.value == pytest.approx(2 / 3)  # "d" was tried by one side alone
    assert made.large.cost == (8 + 6) * 100
    assert (made.reaches, made.overtakes) == (0, None), "three problems tell little"
    assert [lead.value for lead in made.leads] == pytest.approx([-1 / 3, 0, 0])
    assert [lead.value for lead in made.majority_leads] == pytest.approx([-1 / 3, -1 / 3, 0])
    assert made.affordable == 2, "best of 4 costs less than the larger"
    assert made.sentence.startswith("Best of 1 of small does as well as one pass of large (66.7%), within chance: 33.")
    assert f"{made.small[0].cost / made.large.cost:.2f} times" in made.sentence
    assert "At no more than its cost there is best of 4: +0.0 points" in made.sentence
    with pytest.raises(ValueError, match="no problem in common"):
        contest(ATTEMPTS, SMALL, [], LARGE)
    with pytest.raises(ValueError, match="more often"):
        contest([*ATTEMPTS, ATTEMPTS[0]], SMALL, large, LARGE)


def test_a_lead_and_a_loss_beyond_chance_are_said_as_such() -> None:
    wins = [tried(str(row), (False, 0.1, 9, 0), (True, 0.9, 9, 1)) for row in range(30)]
    fails = [Attempted(str(row), (Sampled(row % 3 == 0, None, 0, 1, 1),), Spent(tokens_read=6)) for row in range(30)]
    ahead = contest(wins, SMALL, fails, LARGE)
    assert (ahead.overtakes, ahead.affordable) == (1, 1)
    assert ahead.sentence.startswith("Best of 2 of small is ahead of one pass of large (33.3%): 100.0%, +66.7 points")
    right = [Attempted(str(row), (Sampled(row % 9 > 0, None, 0, 1, 1),), Spent(tokens_read=6)) for row in range(30)]
    single = [tried(str(row), (row % 2 == 0, 0.5, 500, 0)) for row in range(30)]
    behind = contest(single, SMALL, right, LARGE)
    assert (behind.reaches, behind.affordable) == (None, None)
    assert behind.sentence.startswith("small stays behind one pass of large (86.7%); best of 1 comes nearest: 50.0%")
    assert behind.sentence.endswith("costs more than one pass of the larger")


def test_places_of_a_contest_where_intervals_and_costs_just_touch() -> None:
    def one(n: int, accuracy: float, cost: float) -> CostPoint:
        return replace(point(ATTEMPTS, SMALL, 1), n=n, accuracy=Interval(accuracy, 0, 1, 9, 3), cost=cost)

    small, large = (one(1, 0.2, 10.0), one(2, 0.5, 20.0), one(4, 0.4, 40.0)), one(1, 0.5, 20.0)
    leads = (Interval(-0.3, -0.5, -0.1, 9, 3), Interval(0, -0.1, 0.0, 9, 3), Interval(0.1, 0.0, 0.2, 9, 3))
    touching = Contest(small, large, leads, (), ())
    assert (touching.reaches, touching.overtakes, touching.affordable) == (1, None, 1)
    behind = Contest(small, large, tuple(replace(lead, high=-0.01) for lead in leads), (), ())
    assert (behind.reaches, behind.overtakes) == (None, None)
    assert "best of 2 comes nearest: 50.0%" in behind.sentence


def test_several_seeds_of_a_problem_are_one_problem_of_the_interval() -> None:
    once = [tried(str(row), (row % 2 == 0, 0.5, 9, 0)) for row in range(40)]
    thrice, one = point(once * 3, SMALL, 1).accuracy, point(once, SMALL, 1).accuracy
    assert (thrice.value, thrice.groups) == (one.value, 40)
    assert (thrice.low, thrice.high) == pytest.approx((one.low, one.high))


def test_outcomes_that_nobody_knows_count_nowhere() -> None:
    attempts = [tried("a", (None, 0.5, 1, 0)), tried("b", (True, 0.5, 1, 0))]
    assert point(attempts, SMALL, 1).accuracy.value == 1.0
    assert math.isnan(point(attempts[:1], SMALL, 1).accuracy.value)


def trace_steps(record: SearchRecord, place: int) -> list[str]:
    """The texts of a trace's steps."""
    at = next(number for number, node in enumerate(record.nodes) if node.trace == place)
    out = []
    while at:
        out.insert(0, record.nodes[at].text)
        at = record.nodes[at].parent
    return out


def test_a_search_of_whole_traces_is_read_from_its_record() -> None:
    done = searched(toy(1), strategy=Strategy.BEST_OF_N, n=5)
    found = done.found
    record = SearchRecord(
        id="0", row="r", problem="?", reference=None, strategy="best-of-n", settings={},
        nodes=tuple(node.shown() for node in done.desk.nodes), traces=tuple("abcde"), votes=found.votes,
        chosen=found.chosen, answer=found.answer, spent=found.spent, model="toy",
    )  # fmt: skip
    made = attempted(record, [1, 0, None, 1, 0], ["1/2", "3", "0.5", None, " "], by_value)
    assert [sample.group for sample in made.samples] == [0, 1, 0, None, None], "equal in value, not in writing"
    assert [sample.right for sample in made.samples] == [True, False, None, True, False]
    assert [sample.score for sample in made.samples] == [node.value for node in found.finished]
    assert sum(sample.tokens for sample in made.samples) == found.spent.tokens
    texts = [trace_steps(record, place) for place in range(5)]
    begun = [{tuple(steps[: k + 1]) for k in range(len(steps))} for steps in texts]
    again = [len(begun[k] & set().union(*begun[:k])) for k in range(5)]
    assert any(again), "some traces begin alike"
    assert [sample.fresh < sample.tokens for sample in made.samples] == [bool(many) for many in again]
    with pytest.raises(ValueError, match="no independent traces"):
        attempted(record.__class__(**{**{f: getattr(record, f) for f in record.__struct_fields__}, "strategy": "beam"}),
                  [1] * 5, ["1"] * 5, by_value)  # fmt: skip


def test_the_plan_is_two_runs_that_the_recipe_takes() -> None:
    small, large = plan("s", "p", "l", 16, max_thinking_tokens=64, seed=3)
    for planned, needs in ((small, True), (large, False)):
        spec = build("search", {**planned.models, **planned.settings})
        assert isinstance(spec, SearchSpec)
        assert spec.strategy.needs_prm is needs
        assert (spec.max_thinking_tokens, spec.seed) == (64, 3)
        assert spec.with_preset() == spec
    assert (small.settings["n"], large.settings["n"]) == (16, 1)
    assert (large.settings["temperature"], "temperature" in small.settings) == (0.0, False), "its most probable trace"
    drawn = plan("s", "p", "l", 16, greedy=False, temperature=0.7)[1]
    assert drawn.settings["temperature"] == 0.7
    with pytest.raises(ValueError, match="at least one"):
        plan("s", "p", "l", 0)
