"""The tree of a search laid out for drawing: its nodes depth first, as `trainer.reasoning.prefix_tree` orders paths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainer.contract.generated import SearchNode
from trainer.reasoning.prefix_tree import Ints, PrefixTree, heights


@dataclass(frozen=True, slots=True)
class LaidOut:
    """A search's nodes in drawing order: `order[i]` is the search's own number of node i.

    In `tree` a path is the place of a finished trace: of each node the first one below it in drawing order, -1 where
    none was finished; `value` is what the search thought of the prefix, `score` the PRM's of the step.
    """

    tree: PrefixTree
    order: Ints


def lay_out(nodes: Sequence[SearchNode]) -> LaidOut:
    """Children stand in the order in which they were tried. Node 0 is the problem; parents precede their children."""
    children: list[list[int]] = [[] for _ in nodes]
    for number, node in enumerate(nodes[1:], 1):
        if not 0 <= node.parent < number:
            raise ValueError(f"node {number} names node {node.parent} as its parent, which does not stand before it")
        children[node.parent].append(number)
    order: list[int] = []
    stack = [0] if nodes else []
    while stack:
        at = stack.pop()
        order.append(at)
        stack.extend(reversed(children[at]))
    place = np.zeros(len(nodes), np.int64)
    place[order] = np.arange(len(order))
    parents = np.array([-1 if nodes[at].parent < 0 else place[nodes[at].parent] for at in order], np.int64)
    depth = np.zeros(len(order), np.int64)
    for at in range(1, len(order)):
        depth[at] = depth[parents[at]] + 1
    laid = [nodes[at] for at in order]
    tree = PrefixTree(
        parents,
        depth,
        np.array([node.visits for node in laid], np.int64),
        np.array([np.nan if node.value is None else node.value for node in laid]),
        np.array([np.nan if node.score is None else node.score for node in laid]),
        _traces_below(laid, parents),
        depth - 1,
        np.array([int(node.trace >= 0) for node in laid], np.int64),
        heights(parents.tolist()),
        _paths(laid, parents),
    )
    return LaidOut(tree, np.array(order, np.int64))


def _traces_below(laid: Sequence[SearchNode], parents: Ints) -> Ints:
    found = np.array([node.trace for node in laid], np.int64)
    for at in range(len(laid) - 1, 0, -1):
        parent = parents[at]
        if found[at] >= 0 and laid[parent].trace < 0:
            found[parent] = found[at]
    return found


def _paths(laid: Sequence[SearchNode], parents: Ints) -> tuple[Ints, ...]:
    """Nodes of each finished trace, the problem first, by place."""
    ends = sorted((node.trace, at) for at, node in enumerate(laid) if node.trace >= 0)
    out = []
    for _, end in ends:
        path, at = [end], end
        while (at := int(parents[at])) >= 0:
            path.append(at)
        out.append(np.array(path[::-1], np.int64))
    return tuple(out)
