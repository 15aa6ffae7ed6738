"""Best-of-n against one pass of a larger model, worked out by hand."""

from __future__ import annotations

import math

import pytest

from tests.unit.search.toys import searched, toy
from trainer.contract.generated import Spent
from trainer.contract.records import SearchRecord
from trainer.contract.spec import SearchSpec, build
from trainer.contract.specs.search import Strategy
from trainer.reasoning.cost_accuracy import Attempted, Models, Sampled, attempted, best_of, contest, plan

SMALL, LARGE = Models("small", 10, 4), Models("large", 100)


def tried(row: str, *samples: tuple[bool | None, float | None, int]) -> Attempted:
    """Traces as (right, score, tokens); a score of None is a trace without an answer."""
    made = tuple(Sampled(right, score, score is not None, tokens) for right, score, tokens in samples)
    spent = Spent(tokens=sum(one.tokens for one in made), tokens_read=6, prm_tokens=30, seconds=3.0)
    return Attempted(row, made, spent)


ATTEMPTS = [
    tried("a", (False, 0.2, 10), (True, 0.9, 10), (False, 0.5, 10), (False, 0.9, 10)),
    tried("b", (True, 0.4, 20), (True, 0.3, 10), (False, 0.8, 10), (True, None, 0)),
    tried("c", (False, None, 5), (False, None, 5), (True, 0.1, 20), (True, 0.1, 10)),
]


def test_best_of_n_by_hand() -> None:
    accuracy = [best_of(ATTEMPTS, SMALL, n).accuracy.value for n in (1, 2, 3, 4)]
    assert accuracy == pytest.approx([1 / 3, 2 / 3, 2 / 3, 2 / 3])
    one = best_of(ATTEMPTS, SMALL, 2)
    assert one.tokens == pytest.approx((20 + 30 + 10) / 3)
    assert one.tokens_read == 6
    assert one.prm_tokens == pytest.approx(30 * (20 / 40 + 30 / 40 + 10 / 40) / 3)
    assert one.seconds == pytest.approx(3 * 0.5)
    assert one.cost == pytest.approx((20 + 6) * 10 + 15 * 4)
    with pytest.raises(ValueError, match="row a has 4 traces"):
        best_of(ATTEMPTS, SMALL, 5)


def test_a_contest_pairs_the_problems_and_says_where_the_small_one_reaches_the_large() -> None:
    large = [tried("b", (True, None, 8))] * 0 + [
        Attempted(row, (Sampled(right, None, True, 8),), Spent(tokens=8, tokens_read=6))
        for row, right in (("a", True), ("b", True), ("c", False), ("d", True))
    ]
    made = contest(ATTEMPTS, SMALL, large, LARGE)
    assert [point.n for point in made.small] == [1, 2, 4]
    assert made.large.accuracy.value == pytest.approx(2 / 3)  # "d" was tried by one side alone
    assert made.large.cost == (8 + 6) * 100
    assert made.reaches == 1
    assert [lead.value for lead in made.leads] == pytest.approx([-1 / 3, 0, 0])
    assert "best of 2 of small reaches one pass of large" in made.sentence
    assert f"{made.small[1].cost / made.large.cost:.2f} times" in made.sentence
    never = contest([ATTEMPTS[2]], SMALL, [Attempted("c", (Sampled(True, None, True, 8),), Spent())], LARGE)
    assert never.reaches == 2
    with pytest.raises(ValueError, match="no problem in common"):
        contest(ATTEMPTS, SMALL, [], LARGE)


def test_outcomes_that_nobody_knows_count_nowhere() -> None:
    attempts = [tried("a", (None, 0.5, 1)), tried("b", (True, 0.5, 1))]
    assert best_of(attempts, SMALL, 1).accuracy.value == 1.0
    assert math.isnan(best_of(attempts[:1], SMALL, 1).accuracy.value)


def test_a_search_of_whole_traces_is_read_from_its_record() -> None:
    done = searched(toy(1), strategy=Strategy.BEST_OF_N, n=5)
    found = done.found
    record = SearchRecord(
        id="0", row="r", problem="?", reference=None, strategy="best-of-n", settings={},
        nodes=tuple(node.shown() for node in done.desk.nodes), traces=tuple("abcde"), votes=found.votes,
        chosen=found.chosen, answer=found.answer, spent=found.spent, model="toy",
    )  # fmt: skip
    made = attempted(record, [1, 0, None, 1, 0], [True] * 5)
    assert [sample.right for sample in made.samples] == [True, False, None, True, False]
    assert [sample.score for sample in made.samples] == [node.value for node in found.finished]
    assert sum(sample.tokens for sample in made.samples) == found.spent.tokens
    with pytest.raises(ValueError, match="no independent traces"):
        attempted(record.__class__(**{**{f: getattr(record, f) for f in record.__struct_fields__}, "strategy": "beam"}),
                  [1] * 5, [True] * 5)  # fmt: skip


def test_the_plan_is_two_runs_that_the_recipe_takes() -> None:
    small, large = plan("s", "p", "l", 16, max_thinking_tokens=64, seed=3)
    for planned, needs in ((small, True), (large, False)):
        spec = build("search", {**planned.models, **planned.settings})
        assert isinstance(spec, SearchSpec)
        assert spec.strategy.needs_prm is needs
        assert (spec.max_thinking_tokens, spec.seed) == (64, 3)
        assert spec.with_preset() == spec
    assert (small.settings["n"], large.settings["n"]) == (16, 1)
    with pytest.raises(ValueError, match="at least one"):
        plan("s", "p", "l", 0)
