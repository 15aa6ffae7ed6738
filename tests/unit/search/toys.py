"""A tree of steps that can be counted through, as a proposer and a scorer."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from trainer.contract.generated import SearchNode, Spent
from trainer.contract.specs.search import SearchSpec
from trainer.reasoning.grader import GradeForm, Pair, grade_exactly
from trainer.search.desk import Desk
from trainer.search.run import Found, search
from trainer.search.values import State, Step


@dataclass(slots=True)
class Place:
    """A prefix of the toy: what its last step says, how likely it is to be right, how long the step is."""

    text: str
    score: float
    tokens: int
    level: int
    children: list[Place] = field(default_factory=list)

    def ends(self, before: str = "", scores: tuple[float, ...] = ()) -> Iterator[tuple[str, tuple[float, ...]]]:
        """Every whole response below, with its scores."""
        here, so_far = before + self.text, (*scores, self.score) if self.text else ()
        if not self.children:
            yield here, so_far
        for child in self.children:
            yield from child.ends(here, so_far)

    def below(self) -> Iterator[Place]:
        """All places below and here."""
        yield self
        for child in self.children:
            yield from child.below()


def toy(seed: int, *, depth: int = 3, branches: int = 3, answers: int = 4) -> Place:
    """A random tree; some traces end early, the last step of each names an answer."""
    draw = random.Random(seed)

    def grow(level: int, name: str) -> Place:
        last = level == depth or (level > 1 and draw.random() < 0.15)
        says = f"The answer is {draw.randrange(answers)}" if last else "on"
        place = Place(f"{name}: {says}\n", draw.random(), draw.randint(1, 9), level)
        if not last:
            place.children = [grow(level + 1, f"{name}.{at}") for at in range(branches)]
        return place

    return Place("", 1.0, 0, 0, [grow(1, str(at)) for at in range(branches)])


class ToyProposer:
    """Deals the children of a place in turn, so that as many draws as there are children see all; greedy: the first.

    Whole traces are drawn by their seeds.
    """

    def __init__(self) -> None:
        self.tokens_drawn = self.tokens_read = 0
        self._dealt: Counter[str] = Counter()

    def room(self, state: State) -> int:
        assert isinstance(state, Place)
        return max((child.tokens + self.room(child) for child in state.children), default=0)

    def extend(
        self, states: Sequence[State], seeds: Sequence[int], *, most: int, whole: bool, greedy: bool
    ) -> list[tuple[Step, ...]]:
        out = []
        for state, seed in zip(states, seeds, strict=True):
            assert isinstance(state, Place)
            assert state.children, "a finished trace was continued"
            chosen = 0 if greedy else self._dealt[state.text] % len(state.children)
            self._dealt[state.text] += not greedy
            out.append(self._chain(state, chosen, random.Random(seed), most, whole))
        return out

    def _chain(self, place: Place, chosen: int, draw: random.Random, most: int, whole: bool) -> tuple[Step, ...]:
        chain: list[Step] = []
        while place.children and (whole or not chain):
            place = draw.choice(place.children) if whole else place.children[chosen]
            tokens = min(place.tokens, most)
            cut = tokens < place.tokens
            most -= tokens
            self.tokens_drawn += tokens
            chain.append(Step(place.text, tokens, place.level, not place.children and not cut, place, cut))
            if cut:
                break
        return tuple(chain)


class ToyScorer:
    """Knows the score of every step by what it says."""

    def __init__(self, root: Place) -> None:
        self.calls = self.tokens_read = 0
        self.known = {place.text: place.score for place in root.below()}

    def score(self, responses: Sequence[str]) -> list[tuple[float | None, ...]]:
        self.calls += len(responses)
        self.tokens_read += sum(map(len, responses))
        return [tuple(self.known[line] for line in response.splitlines(keepends=True)) for response in responses]


def exactly(pairs: Sequence[tuple[str, str]]) -> list[bool | None]:
    """Numbers and texts, without a grading process."""
    return [_equal(a, b) for a, b in pairs]


@cache
def _equal(a: str, b: str) -> bool | None:
    grade = grade_exactly(Pair(a, b), GradeForm.LENIENT)
    return None if grade is None else grade.correct


@dataclass(frozen=True, slots=True)
class Searched:
    """A search on the toy with everything it did."""

    found: Found
    desk: Desk
    proposer: ToyProposer
    scorer: ToyScorer
    told: dict[int, SearchNode]


def searched(root: Place, *, seed: int = 0, grown: Callable[[], None] | None = None, **settings: Any) -> Searched:
    """Search a toy."""
    proposer, scorer = ToyProposer(), ToyScorer(root)
    told: dict[int, SearchNode] = {}

    def hear(nodes: dict[int, SearchNode], spent: Spent) -> None:
        assert nodes
        told.update(nodes)
        if grown is not None:
            grown()

    desk = Desk(SearchSpec(**settings), "?", root, proposer, scorer, seed=seed, grown=hear)
    return Searched(search(desk, exactly), desk, proposer, scorer, told)
