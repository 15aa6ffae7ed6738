"""Which step of a trace decided its end: continuations are drawn behind prefixes that bisection chooses.

A wrong trace is searched for the step after which success is lost, as OmegaPRM (Luo et al. 2024) looks for the first
error, but by shares: success is lost where its share falls below a part of what it was before the first step. A trace
that is right, or whose problem has no reference answer, is searched for the step from which most continuations come to
its answer. Intervals are Wilson's (1927), 95 % each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from trainer.reasoning.detection import Share, wilson
from trainer.reasoning.first_error import Halving

PART = 0.5  # of the share before the first step: below it success is lost; of all: above it an answer is settled


class Sought(StrEnum):
    """What is looked for."""

    LOST = "lost"
    SETTLED = "settled"


class Where(StrEnum):
    """Where it was found."""

    BEFORE = "before the first step"
    STEP = "at a step"
    AFTER = "after the last step"


@dataclass(frozen=True, slots=True)
class Probe:
    """Continuations behind the first `count` steps. `changed`: lost, or settled, by then; `doubtful`: the interval
    does not exclude the contrary; `undecided` continuations could not be graded and are not in the share."""

    count: int
    share: Share
    changed: bool
    doubtful: bool
    undecided: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """The step (from 1) at which it changed, None unless `where` is STEP.

    [first, last] are the steps that the intervals leave possible: 0 = before the first, steps + 1 = after the last.
    """

    where: Where
    step: int | None
    first: int
    last: int

    @property
    def is_sure(self) -> bool:
        """Whether the intervals leave one place only."""
        return self.first == self.last


def most_probes(steps: int) -> int:
    """The problem alone, then bisection over the steps: ceil(log2(steps + 1)) + 1."""
    return 1 + math.ceil(math.log2(steps + 1))


class Bisection:
    """Says which prefix is wanted next and takes what came of it. Assumes that what changed stays so."""

    def __init__(self, steps: int, sought: Sought, *, part: float = PART) -> None:
        """`part` in (0, 1): see `PART`."""
        if not 0 < part < 1:
            raise ValueError(f"part is {part}, but must lie between 0 and 1")
        self.steps, self.sought, self.part = steps, sought, part
        self.probes: list[Probe] = []
        self._halving: Halving | None = None

    @property
    def wanted(self) -> int | None:
        """How many steps the next prefix has; None when it is found."""
        if not self.probes:
            return 0
        return None if self._halving is None else self._halving.wanted

    @property
    def level(self) -> float | None:
        """The share at which it changes; None before the first probe of a search for what was lost."""
        if self.sought is Sought.SETTLED:
            return self.part
        return self.part * self.probes[0].share.value if self.probes else None

    def take(self, right: int, number: int, undecided: int = 0) -> Probe:
        """`right` of `number` continuations behind the wanted prefix come to the answer. Raises ValueError."""
        count = self.wanted
        if count is None:
            raise ValueError("the bisection is over")
        if not 0 <= right <= number or number < 1:
            raise ValueError(f"{right} of {number} is no share")
        probe = self._judged(count, wilson(right, number), undecided)
        if not self.probes:
            self._halving = Halving(0, 0 if probe.changed else self.steps)
        elif self._halving is not None:
            self._halving.tell(not probe.changed)
        self.probes.append(probe)
        return probe

    @property
    def found(self) -> Found | None:
        """Where it changed; None while a prefix is wanted."""
        if self.wanted is not None:
            return None
        assert self._halving is not None
        first, last = possible(self.probes, self.steps)
        if self.probes[0].changed:
            return Found(Where.BEFORE, None, first, last)
        if self._halving.low == self.steps:
            return Found(Where.AFTER, None, first, last)
        return Found(Where.STEP, self._halving.low + 1, first, last)

    def _judged(self, count: int, share: Share, undecided: int) -> Probe:
        if self.sought is Sought.SETTLED:
            changed = share.value > self.part
            doubtful = share.low <= self.part if changed else share.high > self.part
            return Probe(count, share, changed, doubtful, undecided)
        if not self.probes:
            return Probe(count, share, share.hits == 0, share.hits == 0, undecided)  # a few cannot show it impossible
        begun = self.probes[0].share
        changed = share.value < self.part * begun.value
        doubtful = share.high >= self.part * begun.low if changed else share.low < self.part * begun.high
        return Probe(count, share, changed, doubtful, undecided)


def possible(probes: Sequence[Probe], steps: int) -> tuple[int, int]:
    """The first and the last place (a step from 1; 0 before, steps + 1 after them) that probes without doubt leave."""
    sure = [probe for probe in probes if not probe.doubtful]
    first = max((probe.count + 1 for probe in sure if not probe.changed), default=0)
    last = min((probe.count for probe in sure if probe.changed), default=steps + 1)
    return min(first, last), max(first, last)
