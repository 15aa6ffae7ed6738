"""Beam search over steps, led by a PRM (Snell et al. 2024).

Every round tries n next steps in all and keeps n / width prefixes; each is continued `width` times. What was found out
about the published code (huggingface/search-and-learn) is put right: of prefixes that say the same one is kept, a
trace that ends among the best leaves and takes its place along, and which one answers is a matter of its value, not
of who came first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trainer.search.desk import Desk
from trainer.search.values import Node

Judge = Callable[[Desk, Sequence[Node]], None]


def by_prefix(desk: Desk, nodes: Sequence[Node]) -> None:
    """A prefix is worth what its own steps come to."""
    desk.score(nodes)


def beam(desk: Desk, judge: Judge = by_prefix) -> None:
    """Grow the tree until every place is taken by a finished trace; what lives at the depth limit is written out."""
    spec = desk.spec
    places = max(1, spec.n // spec.width)
    live = [desk.root]
    for depth in range(spec.depth):
        tried = [node for made in desk.extend(live, spec.width if depth else spec.n) for node in made]
        fresh = desk.distinct(tried)
        judge(desk, fresh)
        best = sorted(fresh, key=lambda node: node.worth, reverse=True)[:places]
        live = [node for node in best if not node.ended]
        places -= len(best) - len(live)
        if not live:
            return
    desk.score([node for made in desk.extend(live, 1, whole=True) for node in made])
