"""The tree of what was tried for one problem: paths that begin alike share nodes, each node is one step.

Best-of-n, beam search, Monte-Carlo rollouts and plain repetition all leave traces; where their steps are the same up to
white space, their paths are one. Visits and outcomes of a node are those of the paths through it, so its mean outcome
is the Monte-Carlo value of the prefix (Math-Shepherd, Wang et al. 2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Path:
    """One tried path: its steps, whether it ended right (None: not known), and scores of its steps (None: none)."""

    steps: Sequence[str]
    outcome: int | None = None
    scores: Sequence[float | None] = ()


@dataclass(frozen=True, slots=True)
class PrefixTree:
    """Nodes in depth-first order, children in the order in which they were first tried; node 0 is the problem.

    All arrays are [nodes]. `parent` is -1 for node 0; `depth` in steps; `visits` paths through the node; `value` their
    mean outcome, NaN when none is known; `score` the mean score of the step, NaN without; `path` and `step` a path and
    the place in it where the node stands; `ends` paths that end there; `row` a height for drawing: leaves count from 0
    up, a node stands in the middle of its children.
    """

    parent: Ints
    depth: Ints
    visits: Ints
    value: Floats
    score: Floats
    path: Ints
    step: Ints
    ends: Ints
    row: Floats
    of_path: tuple[Ints, ...]  # nodes of each path, the problem first

    @property
    def leaves(self) -> int:
        """Nodes without children."""
        return len(self.parent) - len(np.unique(self.parent[1:])) if len(self.parent) > 1 else 1


class _Node:
    __slots__ = ("children", "ends", "known", "path", "right", "scored", "scores", "step", "visits")

    def __init__(self, path: int, step: int) -> None:
        self.children: dict[str, _Node] = {}
        self.path, self.step = path, step
        self.visits = self.ends = self.known = self.right = self.scored = 0
        self.scores = 0.0


def grow(paths: Sequence[Path]) -> PrefixTree:
    """The tree of these paths."""
    root = _Node(-1, -1)
    walked: list[list[_Node]] = []
    for number, path in enumerate(paths):
        node = root
        through = [root]
        for at, step in enumerate(path.steps):
            node = node.children.setdefault(" ".join(step.split()), _Node(number, at))
            through.append(node)
            score = path.scores[at] if at < len(path.scores) else None
            if score is not None:
                node.scores += score
                node.scored += 1
        node.ends += 1
        for passed in through:
            passed.visits += 1
            if path.outcome is not None:
                passed.known += 1
                passed.right += path.outcome
        walked.append(through)
    return _laid_out(root, walked)


def _laid_out(root: _Node, walked: Sequence[Sequence[_Node]]) -> PrefixTree:
    """Number the nodes depth first, without recursion: paths may have thousands of steps."""
    order: list[_Node] = []
    parents: list[int] = []
    depths: list[int] = []
    stack = [(root, -1, 0)]
    while stack:
        node, parent, depth = stack.pop()
        at = len(order)
        order.append(node)
        parents.append(parent)
        depths.append(depth)
        stack.extend((child, at, depth + 1) for child in reversed(node.children.values()))
    number = {id(node): at for at, node in enumerate(order)}
    return PrefixTree(
        np.array(parents, np.int64),
        np.array(depths, np.int64),
        np.array([node.visits for node in order], np.int64),
        np.array([node.right / node.known if node.known else np.nan for node in order]),
        np.array([node.scores / node.scored if node.scored else np.nan for node in order]),
        np.array([node.path for node in order], np.int64),
        np.array([node.step for node in order], np.int64),
        np.array([node.ends for node in order], np.int64),
        heights(parents),
        tuple(np.array([number[id(node)] for node in path], np.int64) for path in walked),
    )


def heights(parents: Sequence[int]) -> Floats:
    """A height for each node of a tree in depth-first order: leaves 0, 1, 2 ... from the top, a node halfway between
    its first and last child. `parents` is -1 for node 0."""
    first: list[float] = [np.nan] * len(parents)
    last: list[float] = [np.nan] * len(parents)
    rows = np.zeros(len(parents))
    inner = set(parents)
    leaf = 0
    for at in range(len(parents)):
        if at not in inner:
            rows[at] = leaf
            leaf += 1
    for at in range(len(parents) - 1, -1, -1):
        if at in inner:
            rows[at] = (first[at] + last[at]) / 2
        parent = parents[at]
        if parent >= 0:
            first[parent] = rows[at]
            if np.isnan(last[parent]):
                last[parent] = rows[at]
    return rows
