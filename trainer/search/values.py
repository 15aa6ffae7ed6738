"""What a search is made of: steps that a proposer writes, prefixes that a scorer reads, nodes of the tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from trainer.contract.generated import SearchNode

State = object
"""What a proposer goes on from; nobody else looks into it."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one continuation adds to a prefix.

    `tokens` were drawn for it; `judged` is how many steps a PRM sees in the response up to its end. `ended`: the trace
    ends here. `cut`: the search's own budget ended it in the middle, so it is no finished trace.
    """

    text: str
    tokens: int
    judged: int
    ended: bool
    state: State
    cut: bool = False


class Proposer(Protocol):
    """Writes continuations; `tokens_drawn` and `tokens_read` count all that ever were, kept or not."""

    @property
    def tokens_drawn(self) -> int:
        """Tokens drawn so far."""
        ...

    @property
    def tokens_read(self) -> int:
        """Tokens of prompts and prefixes read so far."""
        ...

    def room(self, state: State) -> int:
        """The most tokens that a continuation from here can take."""
        ...

    def extend(
        self, states: Sequence[State], seeds: Sequence[int], *, most: int, whole: bool, greedy: bool
    ) -> list[tuple[Step, ...]]:
        """One continuation of every state, drawn from its own seed, each of at most `most` tokens.

        A continuation is one step, or with `whole` the steps up to the end of the trace; `greedy` draws nothing.
        Equal states are read once.
        """
        ...


class Scorer(Protocol):
    """Judges responses that are begun; `calls` and `tokens_read` count all that ever were."""

    @property
    def calls(self) -> int:
        """Prefixes scored so far."""
        ...

    @property
    def tokens_read(self) -> int:
        """Tokens read so far."""
        ...

    def score(self, responses: Sequence[str]) -> list[tuple[float | None, ...]]:
        """P(correct) of every step of every response; None for steps beyond what the PRM reads."""
        ...


@dataclass(slots=True, eq=False)
class Node:
    """A step in the tree; `response` is the text from the beginning up to its end.

    `scores` are those of all steps up to here, `value` what they come to. `twin` is the sibling that says the same.
    `visits`, `total` and `waiting` are those of MCTS: finished walks through here, the sum of their values, walks
    under way; `prior` is the share of the draws that gave this step.
    """

    number: int
    parent: Node | None = field(repr=False)  # a node that prints its neighbours prints the tree many times over
    text: str
    response: str
    judged: int
    state: State = field(repr=False)
    tokens: int = 0
    round: int = 0
    ended: bool = False
    cut: bool = False
    kept: bool = False
    scores: tuple[float | None, ...] | None = None
    score: float | None = None
    value: float | None = None
    twin: Node | None = field(default=None, repr=False)
    children: list[Node] = field(default_factory=list, repr=False)
    visits: int | None = None
    total: float = 0.0
    waiting: int = 0
    prior: float = 1.0
    closed: bool = False
    trace: int = -1

    @property
    def worth(self) -> float:
        """The value for a comparison: what nobody could judge comes last."""
        return float("-inf") if self.value is None else self.value

    @property
    def depth(self) -> int:
        """Steps from the problem."""
        return len(self.path) - 1

    @property
    def path(self) -> list[Node]:
        """From the problem to here."""
        out = [self]
        while (parent := out[-1].parent) is not None:
            out.append(parent)
        return out[::-1]

    def shown(self) -> SearchNode:
        """As it is told and stored."""
        value = self.total / self.visits if self.visits else self.value
        return SearchNode(
            -1 if self.parent is None else self.parent.number,
            self.text,
            self.score,
            value,
            1 if self.visits is None else self.visits,
            self.tokens,
            self.round,
            self.kept,
            self.trace,
        )
