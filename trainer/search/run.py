"""A whole search: the strategy grows the tree, then the finished traces are grouped by answer and one is picked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trainer.contract.forms import Pick
from trainer.contract.generated import Spent, Vote
from trainer.contract.specs.search import Strategy
from trainer.reasoning.response import read_response
from trainer.reasoning.votes import Candidate, Equal, Picked, pick
from trainer.search.beam import beam
from trainer.search.best_of_n import best_of_n
from trainer.search.desk import Desk
from trainer.search.dvts import dvts
from trainer.search.lookahead import lookahead
from trainer.search.mcts import mcts
from trainer.search.self_consistency import self_consistency
from trainer.search.values import Node

Answer = Callable[[str], str | None]
STRATEGIES: dict[Strategy, Callable[[Desk], None]] = {
    Strategy.SELF_CONSISTENCY: self_consistency,
    Strategy.BEST_OF_N: best_of_n,
    Strategy.WEIGHTED: best_of_n,
    Strategy.BEAM: beam,
    Strategy.LOOKAHEAD: lookahead,
    Strategy.DVTS: dvts,
    Strategy.MCTS: mcts,
}


@dataclass(frozen=True, slots=True)
class Found:
    """What a search came to. `chosen` is the place among `finished`, -1 when none answers; `votes` best first."""

    finished: tuple[Node, ...]
    chosen: int
    answer: str | None
    votes: tuple[Vote, ...]
    spent: Spent


def search(desk: Desk, equal: Equal, answer_of: Answer | None = None) -> Found:
    """Run the desk's strategy and vote. `answer_of` a response: what `read_response` finds unless said otherwise."""
    STRATEGIES[desk.spec.strategy](desk)
    finished = desk.finished
    for place, node in enumerate(finished):
        node.trace = place
        desk.touch(node)
    read = answer_of or _read
    candidates = [Candidate(read(node.response), node.value) for node in finished]
    how = desk.spec.pick.of(desk.spec.strategy)
    picked = pick(candidates, how, equal)
    if picked.chosen >= 0:
        for node in finished[picked.chosen].path:
            node.kept = True
            desk.touch(node)
    desk.tell()
    answer = None if picked.chosen < 0 else candidates[picked.chosen].answer
    return Found(tuple(finished), picked.chosen, answer, _votes(picked, how, candidates), desk.spent)


def _votes(picked: Picked, how: Pick, candidates: Sequence[Candidate]) -> tuple[Vote, ...]:
    """The groups with the weight that decided: their count, the sum of their scores, or their best score."""

    def weight(members: Sequence[int], total: float) -> float:
        if how is Pick.WEIGHTED:
            return total
        if how is Pick.BEST:
            return max((score for at in members if (score := candidates[at].score) is not None), default=0.0)
        return float(len(members))

    return tuple(Vote(group.answer, group.count, weight(group.members, group.weight)) for group in picked.groups)


def _read(response: str) -> str | None:
    return read_response(response).answer
