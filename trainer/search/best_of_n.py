"""Best-of-n, plain and weighted: n whole traces, every one scored; they differ in how the scores are put to use."""

from __future__ import annotations

from trainer.search.desk import Desk


def best_of_n(desk: Desk) -> None:
    """Write n traces and score them. The best one, or the group with the most score, answers (`trainer.search.run`)."""
    (traces,) = desk.extend([desk.root], desk.spec.n, whole=True)
    desk.score(traces)
