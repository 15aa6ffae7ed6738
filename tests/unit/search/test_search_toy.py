"""Every search on trees that can be counted through: the optimum where theory promises it, budgets, accounts, seeds."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from tests.unit.search.toys import Place, Searched, ToyProposer, ToyScorer, exactly, searched, toy
from trainer.contract.forms import Aggregation
from trainer.contract.specs.search import Compute, SearchSpec, Strategy
from trainer.search.desk import Desk
from trainer.search.mcts import best_child, puct
from trainer.search.run import search
from trainer.search.values import Node

BY_STEP = [Strategy.BEAM, Strategy.LOOKAHEAD, Strategy.DVTS, Strategy.MCTS]
COMBINED: dict[Aggregation, Callable[[Sequence[float]], float]] = {
    Aggregation.MIN: min,
    Aggregation.PRODUCT: math.prod,
    Aggregation.LAST: lambda scores: scores[-1],
    Aggregation.MEAN: lambda scores: sum(scores) / len(scores),
}


def best(root: Place, how: Aggregation) -> dict[str, float]:
    """The best whole responses of all, by brute force; with the weakest step in common there may be several."""
    worth = {text: COMBINED[how](scores) for text, scores in root.ends()}
    return {text: value for text, value in worth.items() if value == max(worth.values())}


def chosen(done: Searched) -> Node:
    assert done.found.chosen >= 0
    return done.found.finished[done.found.chosen]


@pytest.mark.parametrize("how", list(Aggregation))
@pytest.mark.parametrize("seed", range(5))
def test_beam_search_wide_enough_finds_the_optimum(how: Aggregation, seed: int) -> None:
    root = toy(seed)
    done = searched(root, strategy=Strategy.BEAM, n=3 * 27, width=3, aggregation=how)
    assert chosen(done).value == pytest.approx(best(root, how)[chosen(done).response], abs=1e-12)
    assert {node.response for node in done.found.finished} == {text for text, _ in root.ends()}


@pytest.mark.parametrize("how", list(Aggregation))
@pytest.mark.parametrize("side_by_side", [1, 4])
def test_mcts_knows_a_tree_whole_after_as_many_walks_as_it_has_ends(how: Aggregation, side_by_side: int) -> None:
    for seed in range(5):
        root = toy(seed, depth=4)
        ends = dict(root.ends())
        done = searched(root, strategy=Strategy.MCTS, n=len(ends), width=3, aggregation=how, side_by_side=side_by_side)
        assert chosen(done).response in best(root, how)
        assert {node.response for node in done.found.finished} == set(ends)
        assert done.desk.root.closed
        again = searched(root, strategy=Strategy.MCTS, n=10 * len(ends), width=3, side_by_side=side_by_side)
        assert again.desk.root.visits == len(ends), "a walk went to an end that was known"


def test_mcts_comes_near_the_optimum_of_a_large_tree_long_before_it_knows_it_whole() -> None:
    for seed in range(10):
        root = toy(seed, depth=8)
        fifth = sorted((math.prod(scores) for _, scores in root.ends()), reverse=True)[4]
        done = searched(root, strategy=Strategy.MCTS, n=60, width=3, aggregation=Aggregation.PRODUCT)
        assert (chosen(done).value or 0.0) >= fifth
        assert done.scorer.calls < 0.25 * sum(1 for _ in root.below())


def test_a_finished_trace_is_no_twin_of_one_that_was_cut_off() -> None:
    desk = searched(toy(0), strategy=Strategy.BEAM, n=3).desk
    cut, whole, again = (
        Node(900 + at, desk.root, text, text, 1, None, ended=True, cut=at == 0)
        for at, text in enumerate(("The answer is 3\n", "The answer is 3\n", "The answer  is 3\n"))
    )
    assert desk.distinct([cut, whole, again]) == [cut, whole]
    assert (cut.twin, whole.twin, again.twin) == (None, None, whole)


@pytest.mark.parametrize("side_by_side", [1, 3, 8])
def test_visits_of_mcts_add_up(side_by_side: int) -> None:
    done = searched(toy(1, depth=6), strategy=Strategy.MCTS, n=30, width=2, side_by_side=side_by_side)
    nodes = done.desk.nodes
    assert nodes[0].visits == 30
    for node in nodes:
        assert node.waiting == 0
        below = sum(child.visits or 0 for child in node.children)
        if node.children and node.visits:
            assert below == node.visits
        ended = [leaf for leaf in nodes if leaf.ended and node in leaf.path and leaf.visits]
        assert node.visits == sum(leaf.visits or 0 for leaf in ended)
        if node.visits:
            mean = sum((leaf.visits or 0) * (leaf.value or 0.0) for leaf in ended) / node.visits
            assert done.told[node.number].value == pytest.approx(mean, abs=1e-12)
            assert done.told[node.number].visits == node.visits
    assert all(leaf.visits in (0, 1) for leaf in nodes if leaf.ended)


def test_the_child_that_a_walk_takes_has_the_greatest_q_and_u() -> None:
    """The formula of the module's first lines by hand; walks under way count as visits of value 0."""
    parent = Node(0, None, "", "", 0, None, visits=10, waiting=2)
    walked = Node(1, parent, "a", "a", 1, None, value=0.9, visits=3, waiting=1, total=1.5, prior=0.25)
    fresh, unread = (Node(n, parent, "b", "b", 1, None, value=value, prior=0.5) for n, value in ((2, 0.7), (3, None)))
    drawn = 1.5 + math.log((12 + 19653) / 19652)
    assert puct(parent, walked, 1.5) == pytest.approx(1.5 / 4 + 0.25 * math.sqrt(12) / 5 * drawn)
    assert puct(parent, fresh, 1.5) == pytest.approx(0.7 + 0.5 * math.sqrt(12) * drawn)
    assert puct(parent, unread, 1.5) == pytest.approx(0.5 * math.sqrt(12) * drawn)
    assert puct(Node(0, None, "", "", 0, None, visits=0), fresh, 1.5) == pytest.approx(0.7)
    assert best_child(parent, [walked, unread, fresh], 1.5) is fresh
    assert best_child(parent, [unread, replace(unread, number=4)], 1.5) is unread, "of equal ones the first"


def test_a_step_is_as_likely_as_the_share_of_the_draws_that_gave_it() -> None:
    steps = [Place(f"{name}\n", 0.5, 2, 1, [Place(f"{name} {name}: The answer is 1\n", 0.5, 1, 2)]) for name in "ab"]
    desk = searched(Place("", 1.0, 0, 0, steps), strategy=Strategy.MCTS, n=1, width=3).desk
    first = [node for node in desk.nodes if node.depth == 1]
    assert [(node.text, node.twin is None) for node in first] == [("a\n", True), ("b\n", True), ("a\n", False)]
    assert [node.prior for node in first if node.twin is None] == pytest.approx([2 / 3, 1 / 3])


def test_beam_of_one_is_greedy_and_may_miss_what_lookahead_sees() -> None:
    """The better first step leads to worse ones; the first child is the one a greedy policy takes."""
    trap = Place("trap\n", 0.9, 1, 1, [Place("trap: The answer is 1\n", 0.2, 1, 2)])
    way = Place("way\n", 0.6, 1, 1, [Place("way: The answer is 2\n", 0.9, 1, 2)])
    root = Place("", 1.0, 0, 0, [trap, way])
    plain = searched(root, strategy=Strategy.BEAM, n=2, width=2)
    looking = searched(root, strategy=Strategy.LOOKAHEAD, n=2, width=2, lookahead=1)
    assert (plain.found.answer, looking.found.answer) == ("1", "2")
    assert looking.desk.spent.tokens > plain.desk.spent.tokens, "steps looked at cost tokens as all do"


def test_lookahead_to_the_end_takes_the_step_whose_greedy_ending_is_best() -> None:
    for seed in range(5):
        root = toy(seed, depth=4)
        done = searched(root, strategy=Strategy.LOOKAHEAD, n=3, width=3, lookahead=4)
        at = root
        scores: tuple[float, ...] = ()
        while at.children:
            at, scores = max(
                ((child, (*scores, child.score)) for child in at.children),
                key=lambda step: min((*step[1], *greedy(step[0]))),
            )
        beams = [node for node in done.desk.nodes if node.children and node.kept] + [chosen(done)]
        assert any(node.state is at for node in done.desk.finished)
        assert max(beams, key=lambda node: node.depth).depth <= 4


def greedy(place: Place) -> Sequence[float]:
    """Scores of the steps that a greedy policy goes on with."""
    out = []
    while place.children:
        place = place.children[0]
        out.append(place.score)
    return out


def test_a_finished_beam_leaves_and_the_best_one_answers_not_the_first() -> None:
    early = Place("early: The answer is 1\n", 0.5, 1, 1)
    late = Place("late\n", 0.4, 1, 1, [Place("late: The answer is 2\n", 0.9, 1, 2)])
    root = Place("", 1.0, 0, 0, [early, late])
    done = searched(root, strategy=Strategy.BEAM, n=4, width=2, aggregation=Aggregation.LAST)
    assert [node.text for node in done.found.finished] == [early.text, late.children[0].text]
    assert done.found.answer == "2"
    assert sum(node.kept for node in done.desk.nodes) == 3


def test_prefixes_that_say_the_same_are_scored_once_and_one_is_kept() -> None:
    step = Place("only\n", 0.5, 2, 1, [Place("The answer is 7\n", 0.5, 3, 2)])
    root = Place("", 1.0, 0, 0, [step])
    done = searched(root, strategy=Strategy.BEAM, n=6, width=2)
    assert done.scorer.calls == 2
    first = [node for node in done.desk.nodes if node.depth == 1]
    assert len(first) == 6
    assert sum(node.kept for node in first) == 1
    assert {node.score for node in first} == {0.5}
    assert done.desk.spent.tokens == 6 * 2 + 2 * 3, "what says the same was drawn all the same"


@pytest.mark.parametrize("seed", range(6))
def test_subtrees_of_dvts_are_disjoint_and_greedy_each(seed: int) -> None:
    root = toy(seed, depth=4, branches=4)
    done = searched(root, strategy=Strategy.DVTS, n=12, width=4)
    heads = [node for node in done.desk.nodes if node.depth == 1 and node.kept and node.children]
    texts = {node.text for node in heads} | {node.text for node in done.desk.finished if node.depth == 1}
    assert len({node.text for node in heads}) == len(heads) >= 3 - len(texts - {node.text for node in heads})
    for node in done.desk.nodes:
        if node.depth > 1:
            assert sum(head in node.path for head in heads) == 1
    opened = {node.response for node in done.desk.nodes if node.children and node.parent}
    assert len(opened) == sum(bool(node.children and node.parent) for node in done.desk.nodes), "searched twice"
    for head in heads:  # within a subtree: always on from the best, by the scores alone
        at, low = head.state, head.value or 0.0
        while isinstance(at, Place) and at.children:
            at = max(at.children, key=lambda child: min(low, child.score))
            low = min(low, at.score)
        inside = [node for node in done.desk.finished if head in node.path]
        assert max(node.value or 0.0 for node in inside) >= low


@pytest.mark.parametrize("strategy", list(Strategy))
@pytest.mark.parametrize("most", [1, 7, 20, 55, 150])
def test_no_search_draws_more_than_its_budget_and_every_token_is_booked(strategy: Strategy, most: int) -> None:
    for seed in range(4):
        done = searched(toy(seed, depth=4), strategy=strategy, n=8, width=2, max_tokens=most, lookahead=2)
        spent = done.desk.spent
        assert spent.tokens == done.proposer.tokens_drawn <= most
        assert sum(node.tokens for node in done.desk.nodes) == spent.tokens
        assert spent.prm_calls == done.scorer.calls
        assert all(not node.cut for node in done.found.finished)
        free = searched(toy(seed, depth=4), strategy=strategy, n=8, width=2, lookahead=2)
        if free.desk.spent.tokens > most:
            assert spent.tokens == most, "the budget was not used up"


def test_each_search_books_what_it_drew_itself() -> None:
    """Two searches with one proposer and one scorer, which count all that ever was drawn and read."""
    root, began = toy(1, depth=4), time.monotonic()
    proposer, scorer, drawn, calls = ToyProposer(), ToyScorer(root), 0, 0
    for _ in range(2):
        desk = Desk(SearchSpec(strategy=Strategy.BEAM, n=6, width=2), "?", root, proposer, scorer)
        search(desk, exactly)
        assert desk.spent.tokens == sum(node.tokens for node in desk.nodes) == proposer.tokens_drawn - drawn
        assert desk.spent.prm_calls == scorer.calls - calls > 0
        assert 0 <= desk.spent.seconds <= time.monotonic() - began
        drawn, calls = proposer.tokens_drawn, scorer.calls
        shown = [node.shown() for node in desk.nodes]
        assert (shown[0].kept, shown[0].round) == (True, 0)
        assert [shown[node.parent].round + 1 for node in shown[1:]] == [node.round for node in shown[1:]]


@pytest.mark.parametrize("reads", [99, 2])
@pytest.mark.parametrize("strategy", [strategy for strategy in Strategy if strategy.needs_prm])
def test_every_step_has_the_scores_of_its_own_prefix_as_far_as_the_prm_reads(strategy: Strategy, reads: int) -> None:
    class Short(ToyScorer):
        def score(self, responses: Sequence[str]) -> list[tuple[float | None, ...]]:
            return [scores[:reads] for scores in super().score(responses)]

    root = toy(2, depth=5)
    spec = SearchSpec(strategy=strategy, n=6, width=2, depth=3, lookahead=1, aggregation=Aggregation.MEAN)
    desk = Desk(spec, "?", root, ToyProposer(), Short(root))
    search(desk, exactly)
    scored = [node for node in desk.nodes if node.scores is not None]
    assert max(node.depth for node in scored) > 2
    for node in scored:
        own = [each.state.score for each in node.path[1:] if isinstance(each.state, Place)]
        assert node.scores == tuple(own[:reads])
        assert node.score == (own[-1] if len(own) <= reads else None)
        if strategy is not Strategy.LOOKAHEAD:  # whose value is that of what comes after
            assert node.value == pytest.approx(sum(own[:reads]) / len(own[:reads]))


@pytest.mark.parametrize("strategy", list(Strategy))
def test_equal_seeds_give_equal_trees_and_what_is_told_is_the_tree(strategy: Strategy) -> None:
    one, same, other = (searched(toy(3, depth=4), strategy=strategy, n=8, width=2, seed=s) for s in (5, 5, 6))
    shown = [node.shown() for node in one.desk.nodes]
    assert shown == [node.shown() for node in same.desk.nodes]
    assert one.told == dict(enumerate(shown))
    if strategy.writes_whole:
        assert shown != [node.shown() for node in other.desk.nodes]
    assert all(node.parent < number for number, node in enumerate(shown))


@pytest.mark.parametrize("strategy", [Strategy.BEST_OF_N, Strategy.WEIGHTED, Strategy.SELF_CONSISTENCY])
def test_whole_traces_and_their_votes(strategy: Strategy) -> None:
    root = toy(4, depth=3, branches=2, answers=3)
    done = searched(root, strategy=strategy, n=40)
    ends = dict(root.ends())
    assert len(done.found.finished) == 40
    if strategy is Strategy.SELF_CONSISTENCY:
        assert done.scorer.calls == 0
        answers = [node.response.split()[-1] for node in done.found.finished]
        assert answers.count(done.found.answer or "") == max(map(answers.count, answers))
        return
    assert all(node.scores == ends[node.response] for node in done.found.finished)
    drawn = {node.response for node in done.found.finished}
    if strategy is Strategy.BEST_OF_N:
        assert drawn == set(ends), "40 draws see all of these few ends"
        assert chosen(done).response in best(root, Aggregation.MIN)
        return
    sums: dict[str, float] = {}
    for node in done.found.finished:
        answer = node.response.split()[-1]
        sums[answer] = sums.get(answer, 0.0) + min(ends[node.response])
    assert done.found.answer == max(sums, key=lambda answer: sums[answer])
    assert {vote.answer: vote.weight for vote in done.found.votes} == pytest.approx(sums)


def test_the_depth_limit_writes_the_rest_at_once() -> None:
    for strategy in BY_STEP:
        done = searched(toy(2, depth=6), strategy=strategy, n=6, width=3, depth=2, lookahead=1)
        assert done.found.finished
        assert max(node.depth for node in done.desk.nodes) > 2


def test_presets_set_traces_width_and_lookahead() -> None:
    for strategy in Strategy:
        low, high = (SearchSpec(strategy=strategy, compute=c, n=999).with_preset() for c in (Compute.LOW, Compute.HIGH))
        assert low.n < high.n < 999
        assert SearchSpec(strategy=strategy, n=999).with_preset().n == 999
        least = searched(toy(0, depth=5), strategy=strategy, compute=Compute.LOW).desk.spent.tokens
        assert least < searched(toy(0, depth=5), strategy=strategy, compute=Compute.HIGH).desk.spent.tokens
