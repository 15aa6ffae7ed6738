"""The desk at which every search works: it grows the tree, asks for scores, and keeps the accounts and the budget."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from itertools import count

import numpy as np

from trainer.contract.generated import SearchNode, Spent
from trainer.contract.specs.search import SearchSpec
from trainer.reasoning.votes import aggregate
from trainer.search.values import Node, Proposer, Scorer, State

Grown = Callable[[dict[int, SearchNode], Spent], None]


class Desk:
    """One problem's tree under a spec. No more than `max_tokens` are ever drawn; equal seeds give equal trees.

    `grown` hears of the nodes that are new or changed. Raises what proposer, scorer and `grown` raise.
    """

    def __init__(
        self,
        spec: SearchSpec,
        problem: str,
        state: State,
        proposer: Proposer,
        scorer: Scorer | None = None,
        *,
        opened: str = "",
        judged: int = 0,
        seed: int = 0,
        grown: Grown | None = None,
    ) -> None:
        """`opened` is what stands of the response before the first step, `judged` the steps a PRM sees in it."""
        self.spec = spec.with_preset()
        self.root = Node(0, None, problem, opened, judged, state, kept=True)
        self.nodes = [self.root]
        self._proposer, self._scorer, self._grown = proposer, scorer, grown
        self._seed, self._draws, self._rounds = seed, count(), count(1)
        self._changed: set[int] = {0}
        self._began = time.monotonic()
        self._before = self._counts()

    @property
    def left(self) -> float:
        """Tokens that may still be drawn."""
        most = self.spec.max_tokens
        return most - self.spent.tokens if most else math.inf

    @property
    def spent(self) -> Spent:
        """What this search has cost so far."""
        drawn, read, calls, prm = (now - then for now, then in zip(self._counts(), self._before, strict=True))
        seconds = time.monotonic() - self._began
        return Spent(tokens=drawn, tokens_read=read, prm_calls=calls, prm_tokens=prm, seconds=seconds)

    @property
    def finished(self) -> list[Node]:
        """The traces that came to their end, in the order of their nodes; of siblings found to be equal the first."""
        return [node for node in self.nodes if node.ended and not node.cut and node.twin is None]

    def extend(self, nodes: Sequence[Node], n: int, *, whole: bool = False, greedy: bool = False) -> list[list[Node]]:
        """`n` continuations of every node, each the node of its last step; fewer where the budget ends.

        With a budget no more are begun at once than it surely has room for, so none is exceeded or wasted.
        """
        rounds = next(self._rounds)
        for node in nodes:
            node.kept = node.kept or not greedy
            self._changed.add(node.number)
        waiting = [(place, self._next_seed()) for place in range(len(nodes)) for _ in range(n)]
        out: list[list[Node]] = [[] for _ in nodes]
        while waiting and (left := self.left) >= 1:
            longest = max(self._proposer.room(nodes[place].state) for place, _ in waiting)
            together = len(waiting) if left is math.inf else max(1, min(len(waiting), int(left // max(1, longest))))
            most = int(min(longest, left // together))
            batch, waiting = waiting[:together], waiting[together:]
            chains = self._proposer.extend(
                [nodes[place].state for place, _ in batch], [seed for _, seed in batch],
                most=most, whole=whole, greedy=greedy,
            )  # fmt: skip
            for (place, _), chain in zip(batch, chains, strict=True):
                node = nodes[place]
                for step in chain:
                    node = self._add(node, rounds, step.text, step.judged, step.state, step.tokens)
                node.ended, node.cut = chain[-1].ended or chain[-1].cut, chain[-1].cut
                out[place].append(node)
        self._tell()
        return out

    def distinct(self, nodes: Sequence[Node]) -> list[Node]:
        """The nodes without those that say what an earlier sibling among them says; these take its score later."""
        first: dict[tuple[int, str, bool, bool], Node] = {}
        for node in nodes:
            parent = 0 if node.parent is None else node.parent.number
            same = first.setdefault((parent, " ".join(node.text.split()), node.ended, node.cut), node)
            node.twin = None if same is node else same
        return list(first.values())

    def score(self, nodes: Sequence[Node]) -> None:
        """Judge these prefixes; a score is also that of every step on the way that had none."""
        fresh = [node for node in nodes if node.scores is None]
        if self._scorer is None or not fresh:
            return
        for node, scores in zip(fresh, self._scorer.score([node.response for node in fresh]), strict=True):
            at: Node | None = node
            while at is not None and at.parent is not None and at.scores is None:
                self._judge(at, scores[: at.judged])
                at = at.parent
        for node in self.nodes:
            if node.twin is not None and node.scores is None and node.twin.scores is not None:
                self._judge(node, node.twin.scores)
        self._tell()

    def touch(self, *nodes: Node) -> None:
        """These have changed: tell of them at the next occasion."""
        self._changed.update(node.number for node in nodes)

    def tell(self) -> None:
        """Tell of everything that changed."""
        self._tell()

    # -- the tree -----------------------------------------------------------------------------------------------------

    def _add(self, parent: Node, rounds: int, text: str, judged: int, state: State, tokens: int) -> Node:
        node = Node(len(self.nodes), parent, text, parent.response + text, judged, state, tokens, rounds)
        parent.children.append(node)
        self.nodes.append(node)
        self._changed.add(node.number)
        return node

    def _judge(self, node: Node, scores: tuple[float | None, ...]) -> None:
        before = 0 if node.parent is None else node.parent.judged
        node.scores = scores
        node.score = scores[-1] if len(scores) > before and len(scores) == node.judged else None
        node.value = aggregate(scores, self.spec.aggregation)
        self._changed.add(node.number)

    def _next_seed(self) -> int:
        """Follows from the search's seed and the number of the draw alone."""
        state = np.random.SeedSequence([self._seed, next(self._draws)]).generate_state(1, np.uint64)
        return int(state[0])

    def _counts(self) -> tuple[int, int, int, int]:
        scorer = self._scorer
        prm = (0, 0) if scorer is None else (scorer.calls, scorer.tokens_read)
        return (self._proposer.tokens_drawn, self._proposer.tokens_read, *prm)

    def _tell(self) -> None:
        if self._grown is not None and self._changed:
            self._grown({number: self.nodes[number].shown() for number in sorted(self._changed)}, self.spent)
            self._changed.clear()
