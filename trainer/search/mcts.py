"""Monte-Carlo tree search over steps with PUCT (Silver et al. 2018; for steps of reasoning: AlphaMath, OpenR).

A walk goes from the problem to the end of a trace and picks at each node the child with the greatest

    Q + P sqrt(N) / (1 + n) * (c + log((N + 19653) / 19652))

N, n are the visits of node and child, P the share of the draws that gave the child's step, Q the mean value of the
walks through it, of a child without any the PRM's value. A leaf is continued `width` times and scored. The end of a
walk is worth what the PRM says of the finished trace. Ends are never walked to twice, nor are nodes with nothing but
such ends below them; so a tree of L traces is known whole after L walks.

`side_by_side` walks go in step with each other: one batch writes for all of them, one scores. A walk under way counts
as a visit of value 0, so that they part.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from trainer.search.desk import Desk
from trainer.search.values import Node

BASE = 19652.0


def mcts(desk: Desk) -> None:
    """n walks, or fewer when the tree is known whole or the budget is spent."""
    spec, root = desk.spec, desk.root
    root.visits = 0
    while (root.visits or 0) < spec.n and not root.closed and desk.left >= 1:
        walk_together(desk, min(spec.side_by_side, spec.n - (root.visits or 0)))
    desk.tell()


def walk_together(desk: Desk, walks: int) -> None:
    """Walks in step with each other, each from the problem to an end."""
    ways = [[desk.root] for _ in range(walks)]
    desk.root.waiting += walks
    while ways:
        expand(desk, [way[-1] for way in ways])
        going = []
        for way in ways:
            here = way[-1]
            open_children = [child for child in here.children if child.twin is None and not child.closed]
            if open_children:
                child = best_child(here, open_children, desk.spec.exploration)
                child.waiting += 1
                way.append(child)
                if child.ended:
                    close(child)
                    finish(desk, way)
                else:
                    going.append(way)
            elif here.children:
                give_up(way)  # the others have taken what was left below
            else:
                close(here)
                finish(desk, way)  # the budget is spent
        ways = going


def expand(desk: Desk, leaves: list[Node]) -> None:
    """Continue the nodes without children; at the depth limit the rest of the trace is written at once."""
    spec = desk.spec
    fresh = list(dict.fromkeys(leaf for leaf in leaves if not leaf.children and not leaf.ended))
    shallow = [leaf for leaf in fresh if leaf.depth < spec.depth]
    deep = [leaf for leaf in fresh if leaf.depth >= spec.depth]
    tips = [node for made in desk.extend(shallow, spec.width) for node in made] if shallow else []
    tips += [node for made in desk.extend(deep, 1, whole=True) for node in made] if deep else []
    for leaf in fresh:
        kept = desk.distinct(leaf.children)
        for child in kept:
            child.prior = sum((node.twin or node) is child for node in leaf.children) / len(leaf.children)
    for tip in tips:
        for node in reversed(tip.path):
            if node.visits is not None:
                break
            node.visits = 0
    desk.score([tip for tip in tips if tip.twin is None])


def best_child(parent: Node, children: Sequence[Node], exploration: float) -> Node:
    """The child with the greatest Q + U; of equal ones the first."""
    return max(children, key=lambda child: puct(parent, child, exploration))


def puct(parent: Node, child: Node, exploration: float) -> float:
    """Q + U of a child; walks under way count as visits of value 0."""
    above, here = (parent.visits or 0) + parent.waiting, (child.visits or 0) + child.waiting
    mean = child.total / here if here else child.value or 0.0
    drawn = exploration + math.log((above + BASE + 1.0) / BASE)
    return mean + child.prior * math.sqrt(above) / (1 + here) * drawn


def finish(desk: Desk, way: list[Node]) -> None:
    """The walk is over: its value counts for every node on it."""
    value = way[-1].value or 0.0
    for node in way:
        node.waiting -= 1
        node.visits = (node.visits or 0) + 1
        node.total += value
    desk.touch(*way)


def give_up(way: list[Node]) -> None:
    """A walk that found nothing left; it counts for nothing."""
    for node in way:
        node.waiting -= 1


def close(end: Node) -> None:
    """Nothing more is to be found at this end, nor above it where all children are closed."""
    end.closed = True
    node = end.parent
    while node is not None and all(child.closed or child.twin is not None for child in node.children):
        node.closed = True
        node = node.parent
