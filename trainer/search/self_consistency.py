"""Self-consistency (Wang et al. 2023): n whole traces, and the answer that most of them give. Needs no PRM."""

from __future__ import annotations

from trainer.search.desk import Desk


def self_consistency(desk: Desk) -> None:
    """Write n traces; the vote comes behind every search (`trainer.search.run`)."""
    desk.extend([desk.root], desk.spec.n, whole=True)
