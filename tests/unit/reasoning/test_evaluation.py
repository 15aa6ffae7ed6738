"""Figures of evaluations against brute force, closed forms and the votes of the search."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest

from trainer.contract.forms import Pick
from trainer.reasoning import evaluation as ev
from trainer.reasoning.benchmarks import prm_bench, process_bench
from trainer.reasoning.evaluation import Tried
from trainer.reasoning.metrics import bootstrap
from trainer.reasoning.paired import mcnemar
from trainer.reasoning.votes import Candidate, pick


@pytest.mark.parametrize(("samples", "correct"), [(1, 0), (4, 1), (6, 3), (7, 7), (5, 0)])
def test_pass_at_k_is_the_share_of_all_subsets_with_a_right_one(samples: int, correct: int) -> None:
    grades = [True] * correct + [False] * (samples - correct)
    for k in range(1, samples + 1):
        subsets = list(itertools.combinations(grades, k))
        assert ev.pass_at_k(samples, correct, k) == pytest.approx(sum(map(any, subsets)) / len(subsets), abs=1e-12)
    assert math.isnan(ev.pass_at_k(samples, correct, samples + 1))
    assert math.isnan(ev.pass_at_k(samples, correct, 0))


def test_what_could_not_be_decided_is_no_wrong_sample() -> None:
    problem = [Tried(True, 0), Tried(None, 1), Tried(False, 2), Tried(None, 3)]
    assert ev.passes([problem], 1).tolist() == [0.5]
    assert ev.averages([problem], 4).tolist() == [0.5]
    assert np.isnan(ev.passes([[Tried(None, 0)]], 1)).all()
    undecided = [Tried(None, 0), Tried(None, 0), Tried(True, 1)]
    assert np.isnan(ev.majorities([undecided], 3)).all()
    assert ev.majorities([[Tried(None, 0), Tried(True, 0), Tried(False, 1)]], 3).tolist() == [1.0], "its equal is right"


def test_only_the_first_k_samples_count_and_fewer_have_no_figure() -> None:
    samples = [Tried(True, 0, 0.3), Tried(True, 0, 0.2), Tried(False, 1, None), Tried(False, 1, 0.9)]
    for k, share in ((1, 1.0), (2, 1.0), (3, 2 / 3), (4, 0.5)):
        assert ev.averages([samples], k).tolist() == [share]
    for figure in (ev.bests, ev.weighted):
        assert figure([samples], 2).tolist() == [1.0]
        assert np.isnan(figure([samples], 3)).all(), "one of them has no score"
    for figure in (ev.passes, ev.averages, ev.majorities, ev.bests, ev.weighted):
        assert np.isnan(figure([samples[:2]], 3)).all()
    assert np.isnan(ev.averages([[Tried(None)]], 1)).all()


def test_figures_are_those_of_the_least_number_of_samples() -> None:
    three, two, open_ones = [Tried(True, 0)] * 3, [Tried(False, 1)] * 2, [Tried(None, 0)] * 2
    found = ev.all_figures([three, two, open_ones])
    assert set(found) == {"pass@1", "pass@2", "avg@2", "maj@2"}
    assert all(np.array_equal(values, [1.0, 0.0, math.nan], equal_nan=True) for values in found.values())
    assert ev.all_figures([three, []]) == {}


def test_a_task_is_solved_where_all_that_belongs_to_it_is_right() -> None:
    values = {"a": [1.0, 1.0], "b": [0.5, 0.25, 1.0], "c": [1.0], "d": [0.0, 1.0], "e": [1.0, math.nan]}
    sizes = {"a": 2, "b": 3, "c": 2, "d": 2, "e": 2}  # one of c's is not there
    pairs = [(task, value) for at in range(3) for task, some in values.items() for value in some[at : at + 1]]
    found = ev.by_task([value for _, value in pairs], [task for task, _ in pairs], [sizes[task] for task, _ in pairs])
    assert found.solved == pytest.approx([1.0, 0.125, math.nan, 0.0, math.nan], nan_ok=True)
    assert found.share == pytest.approx([1.0, 1.75 / 3, math.nan, 0.5, math.nan], nan_ok=True)


def test_majority_takes_the_first_of_equals_and_no_answer_never_votes() -> None:
    tie = [Tried(False, 1), Tried(True, 0), Tried(True, 0), Tried(False, 1)]
    assert ev.majorities([tie], 4).tolist() == [0.0]
    assert ev.majorities([tie], 3).tolist() == [1.0]
    silent = [Tried(False), Tried(False), Tried(True, 5)]
    assert ev.majorities([silent], 3).tolist() == [1.0]
    assert ev.majorities([[Tried(False), Tried(False)]], 2).tolist() == [0.0]


def test_where_nobody_answers_the_grade_of_the_first_stands() -> None:
    """Without a reference nobody is wrong; where words must stay away a text without an answer may be right."""
    ungraded, right = [Tried(None), Tried(None)], [Tried(True), Tried(False)]
    for figure in (ev.majorities, ev.bests, ev.weighted):
        assert np.isnan(figure([ungraded], 2)).all()
        assert figure([right], 2).tolist() == [1.0]


def test_votes_equal_those_of_the_search_on_random_problems() -> None:
    draw = random.Random(3)
    for _ in range(200):
        n = draw.randint(1, 6)
        groups = [draw.choice([-1, 0, 1, 2]) for _ in range(n)]
        scores = [draw.choice([0.1, 0.4, 0.4, 0.9]) for _ in range(n)]
        right = draw.randint(0, 2)
        samples = [Tried(group == right, group, score) for group, score in zip(groups, scores, strict=True)]
        named = [Candidate(None if g < 0 else f"\\frac{{{g}}}{{1}}", s) for g, s in zip(groups, scores, strict=True)]
        for how, values in (
            (Pick.MAJORITY, ev.majorities([samples], n)),
            (Pick.WEIGHTED, ev.weighted([samples], n)),
            (Pick.BEST, ev.bests([samples], n)),
        ):
            chosen = pick(named, how, lambda pairs: [a == b for a, b in pairs]).chosen
            assert values[0] == (0.0 if chosen < 0 else float(groups[chosen] == right))


def test_figures_by_scores_need_scores() -> None:
    samples = [Tried(True, 0, 0.2), Tried(False, 1, None)]
    assert np.isnan(ev.bests([samples], 2)).all()
    assert np.isnan(ev.weighted([samples], 2)).all()
    assert set(ev.all_figures([samples])) == {"pass@1", "pass@2", "avg@2", "maj@2"}
    assert set(ev.all_figures([[Tried(True, 0, 0.3)]])) == {"pass@1"}
    assert ev.all_figures([]) == {}


def test_the_interval_is_that_of_problems_drawn_with_replacement() -> None:
    values = np.array([0.0, 0.25, 1.0, 1.0, 0.5, 0.0, np.nan, 1.0])
    kept = values[~np.isnan(values)]
    ours = ev.mean_interval(values, rounds=20_000)
    other = bootstrap(range(7), lambda w: float(np.average(kept, weights=w)), rounds=20_000)
    assert ours.value == pytest.approx(kept.mean())
    assert (ours.low, ours.high) == pytest.approx((other.low, other.high), abs=0.04)
    assert ours.groups == 7


def test_the_interval_of_a_share_is_the_binomial_one() -> None:
    ours = ev.mean_interval([1.0] * 300 + [0.0] * 700, rounds=50_000)
    width = 1.959964 * math.sqrt(0.3 * 0.7 / 1000)
    assert (ours.low, ours.high) == pytest.approx((0.3 - width, 0.3 + width), abs=0.002)


def test_many_distinct_values_are_drawn_problem_by_problem() -> None:
    values = np.random.default_rng(1).normal(size=3_000)
    ours = ev.mean_interval(values, rounds=3_000)
    width = 1.959964 * values.std() / math.sqrt(values.size)
    assert (ours.high - ours.low) / 2 == pytest.approx(width, rel=0.06)


def test_no_values_have_no_interval() -> None:
    for values in ([], [math.nan]):
        found = ev.mean_interval(values)
        assert math.isnan(found.value)
        assert found.groups == 0
        assert found.holds_zero


def test_two_models_on_the_problems_of_both() -> None:
    left = {"a": 1.0, "b": 0.0, "c": 0.0, "d": math.nan, "only": 1.0}
    right = {"a": 1.0, "b": 1.0, "c": 1.0, "d": 1.0, "other": 0.0}
    found = ev.compare(left, right)
    assert found.problems == 3
    assert found.difference.value == pytest.approx(2 / 3)
    assert found.table is not None
    assert (found.table.right_only, found.table.left_only) == (2, 0)
    assert found.table.p == mcnemar(0, 2)
    for one, other in (([0.5, 1.0], [1.0, 1.0]), ([1.0, 0.0], [0.0, 0.5])):
        assert ev.compare(dict(zip("ab", one, strict=True)), dict(zip("ab", other, strict=True))).table is None
    with pytest.raises(ValueError, match="no problem in common"):
        ev.compare({"a": 1.0}, {"b": 1.0})


def test_a_point_of_the_budget_curve() -> None:
    point = ev.budget_point(64, [1.0, 0.0, 1.0, 1.0], [10.0, 64.0, 30.0, 40.0], [0.0, 1.0, 0.0, 0.0])
    assert (point.thinking_tokens, point.truncated, point.problems) == (36.0, 0.25, 4)
    assert point.accuracy.value == 0.75
    empty = ev.budget_point(None, [], [], [])
    assert (empty.problems, math.isnan(empty.thinking_tokens), math.isnan(empty.truncated)) == (0, True, True)


def _bench(rows: int) -> tuple[list[int], list[int], list[str]]:
    draw = random.Random(9)
    labelled = [draw.choice([-1, -1, 0, 1, 2]) for _ in range(rows)]
    predicted = [label if draw.random() < 0.6 else draw.choice([-1, 0, 1, 2]) for label in labelled]
    return predicted, labelled, [draw.choice(["gsm8k", "math"]) for _ in range(rows)]


def test_the_process_bench_interval_is_around_its_f1_and_that_of_drawn_rows() -> None:
    predicted, labelled, subsets = _bench(240)
    ours = ev.process_bench_interval(predicted, labelled, subsets, rounds=6_000)
    scores = [[0.9] * guess + [0.1] if guess >= 0 else [0.9] for guess in predicted]
    assert ours.value == pytest.approx(process_bench(scores, labelled, subsets).f1, abs=1e-12)
    draw = random.Random(4)
    drawn = []
    for _ in range(1_500):
        rows = [draw.randrange(240) for _ in range(240)]
        drawn.append(
            process_bench([scores[i] for i in rows], [labelled[i] for i in rows], [subsets[i] for i in rows]).f1
        )
    assert (ours.low, ours.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.015)


def test_no_error_ever_named_is_an_f1_of_nought() -> None:
    assert ev.process_bench_interval([-1, -1], [-1, 0], ["a", "a"]).value == 0.0
    assert ev.process_bench_interval([0, -1], [-1, 0], ["a", "a"]).value == 0.0
    assert math.isnan(ev.process_bench_interval([-1], [-1], ["a"]).value)
    for empty in (ev.process_bench_interval([], [], []), ev.prm_score_interval([])):
        assert (math.isnan(empty.value), empty.rounds, empty.groups) == (True, 0, 0)


def test_the_prm_score_interval_is_around_the_score_of_all_steps() -> None:
    draw = random.Random(2)
    wrong = [[i for i in range(5) if draw.random() < 0.3] for _ in range(80)]
    scores = [[draw.random() for _ in range(5)] for _ in range(80)]
    hits = []
    for row, bad in zip(scores, wrong, strict=True):
        pairs = [(i not in bad, score >= 0.5) for i, score in enumerate(row)]
        right, miss = sum(a and b for a, b in pairs), sum(a != b for a, b in pairs)
        hits.append((right, 5 - right - miss, miss))
    ours = ev.prm_score_interval(hits, rounds=500)
    assert ours.value == pytest.approx(prm_bench(scores, wrong, ["x"] * 80).overall.prm_score, abs=1e-12)
    assert ours.low < ours.value < ours.high
