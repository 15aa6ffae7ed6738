"""Searches on many random trees: the brute-force optimum where it is promised, budgets kept, accounts and seeds."""

from __future__ import annotations

import os
import random

import pytest

from tests.unit.search.test_search_toy import best, chosen
from tests.unit.search.toys import searched, toy
from trainer.contract.forms import Aggregation
from trainer.contract.specs.search import Strategy

FULL = os.environ.get("STEPLENS_PROOF") == "full"
TREES = 300 if FULL else 12


def test_beam_and_mcts_find_the_optimum_of_every_tree_they_can_see_whole() -> None:
    draw = random.Random(7)
    for seed in range(TREES):
        depth, branches = draw.choice([(2, 4), (3, 3), (4, 2), (3, 4)])
        root = toy(100 + seed, depth=depth, branches=branches)
        how = draw.choice(list(Aggregation))
        ends = dict(root.ends())
        wide = searched(root, strategy=Strategy.BEAM, n=branches * branches**depth, width=branches, aggregation=how)
        walked = searched(
            root, strategy=Strategy.MCTS, n=len(ends), width=branches, aggregation=how,
            side_by_side=draw.choice([1, 2, 5]), exploration=draw.choice([0.1, 1.25, 5.0]),
        )  # fmt: skip
        for done in (wide, walked):
            assert chosen(done).response in best(root, how)
            assert {node.response for node in done.found.finished} == set(ends)
        assert walked.desk.root.visits == len(ends)


@pytest.mark.parametrize("strategy", list(Strategy))
def test_no_budget_is_exceeded_and_no_token_forgotten(strategy: Strategy) -> None:
    draw = random.Random(strategy.value)
    for seed in range(TREES):
        root = toy(1000 + seed, depth=draw.randint(2, 5), branches=draw.randint(1, 4))
        most = draw.randint(1, 300)
        given = {"n": draw.randint(1, 16), "width": draw.randint(1, 4), "lookahead": draw.randint(1, 3)}
        given |= {"side_by_side": draw.randint(1, 6), "depth": draw.randint(1, 6)}
        one, same = (searched(root, strategy=strategy, max_tokens=most, seed=seed, **given) for _ in range(2))
        spent = one.desk.spent
        assert spent.tokens == one.proposer.tokens_drawn == sum(node.tokens for node in one.desk.nodes) <= most
        assert spent.prm_calls == one.scorer.calls
        assert [node.shown() for node in one.desk.nodes] == [node.shown() for node in same.desk.nodes]
        for node in one.desk.nodes:
            assert node.waiting == 0
            assert (node.visits or 0) >= sum(child.visits or 0 for child in node.children)
        answers = {node.response.split()[-1] for node in one.found.finished}
        assert (one.found.answer in answers) if answers else one.found.chosen == -1


def test_subtrees_of_dvts_never_meet() -> None:
    for seed in range(TREES):
        root = toy(2000 + seed, depth=4, branches=5)
        done = searched(root, strategy=Strategy.DVTS, n=20, width=4)
        opened = [node.response for node in done.desk.nodes if node.children and node.parent is not None]
        assert len(opened) == len(set(opened))
        heads = {node.path[1].number for node in done.desk.nodes if node.depth > 1}
        assert len(heads) <= 5
        for head in heads:
            inside = [node for node in done.desk.nodes if node.depth > 1 and node.path[1].number == head]
            assert sum(bool(node.children) for node in inside if node.depth == 2) <= 1
