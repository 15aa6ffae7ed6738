"""Diverse verifier tree search (Beeching et al. 2024): n / width subtrees that never compete with each other.

Each subtree tries `width` next steps and goes on from the best one. Subtrees begin with steps that say different things
(the published code lets two of them begin alike), so that no prefix is searched twice.
"""

from __future__ import annotations

from collections.abc import Sequence

from trainer.search.desk import Desk
from trainer.search.values import Node


def dvts(desk: Desk) -> None:
    """Grow every subtree until its best step ends a trace; all finished traces vote."""
    spec = desk.spec
    (tried,) = desk.extend([desk.root], spec.n)
    desk.score(desk.distinct(tried))
    heads = first_steps(tried, spec.width)
    for _ in range(spec.depth - 1):
        live = [head for head in heads if not head.ended]
        if not live:
            return
        grown = desk.extend(live, spec.width)
        fresh = [desk.distinct(made) for made in grown]
        desk.score([node for made in fresh for node in made])
        heads = [max(made, key=lambda node: node.worth) for made in fresh if made]
    live = [head for head in heads if not head.ended]
    desk.score([node for made in desk.extend(live, 1, whole=True) for node in made])


def first_steps(tried: Sequence[Node], width: int) -> list[Node]:
    """The step each subtree begins with: the best of its own draws, else of all, that no other subtree has taken."""
    taken: list[Node] = []
    for first in range(0, len(tried), width):
        own = [node.twin or node for node in tried[first : first + width]]
        everything = [node for node in tried if node.twin is None]
        free = [node for node in own if node not in taken] or [node for node in everything if node not in taken]
        if free:
            taken.append(max(free, key=lambda node: node.worth))
    return taken
