"""Lookahead search (Snell et al. 2024): beam search in which a prefix is judged k greedy steps further on."""

from __future__ import annotations

from collections.abc import Sequence

from trainer.search.beam import beam
from trainer.search.desk import Desk
from trainer.search.values import Node


def lookahead(desk: Desk) -> None:
    """Beam search that looks ahead."""
    beam(desk, ahead)


def ahead(desk: Desk, nodes: Sequence[Node]) -> None:
    """A prefix is worth what it has come to after k more steps; these stand in the tree, and cost, as all steps do."""
    tips = list(nodes)
    for _ in range(desk.spec.lookahead):
        going = [place for place, tip in enumerate(tips) if not tip.ended]
        for place, made in zip(going, desk.extend([tips[place] for place in going], 1, greedy=True), strict=True):
            tips[place] = made[0] if made else tips[place]
    desk.score(tips)
    for node, tip in zip(nodes, tips, strict=True):
        node.value = tip.value
        desk.touch(node)
