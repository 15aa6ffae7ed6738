"""What the Rollouts tab shows of an update: every trace as it was paid, and as other credit would pay it. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainer.contract import rollouts
from trainer.contract.rollouts import PackedTrace, RolloutBatch
from trainer.contract.run_folder import RunFolder
from trainer.contract.spec import RlSpec
from trainer.contract.specs.rl import Algorithm, KlPlace
from trainer.reasoning.credit import CreditSettings
from trainer.reasoning.what_if import Credited, credited

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Scores = Mapping[str, tuple[float, ...]]

SAME = 1e-6
"""Advantages nearer than this to zero, or to each other, count as equal: files hold float32."""
TOLD = 1e-3
"""From here on a difference between what was paid and what the run's settings give is worth a sentence."""


@dataclass(frozen=True, slots=True)
class RunCredit:
    """How a run pays; `apart` says why `credited` cannot give what it paid, empty where it can."""

    settings: CreditSettings
    own_weight: float
    apart: str = ""


@dataclass(frozen=True, slots=True)
class Listing:
    """The updates whose rollouts lie in a run folder, in order, how the run pays, and the ids of pinned traces."""

    updates: tuple[int, ...]
    credit: RunCredit
    pinned: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Opened:
    """One update as its file stands; `stamp` is another when a resumed run wrote it anew."""

    batch: RolloutBatch
    folder: Path
    stamp: int


@dataclass(frozen=True, slots=True)
class StepCredit:
    """One step of a trace, or (`score` None) what follows the last: tokens `begin` to `end`, the end left out.

    `paid` and `what_if` are the means of the advantages of its tokens, separators left out.
    """

    text: str
    begin: int
    end: int
    stored: float | None
    score: float | None
    paid: float
    what_if: float


@dataclass(frozen=True, slots=True, eq=False)
class TraceCredit:
    """One trace as it was `paid` and under `what_if`, by token [T]; means over the tokens that bear credit."""

    trace: PackedTrace
    paid: Floats
    what_if: Floats
    apart: Bools
    steps: tuple[StepCredit, ...]
    paid_mean: float
    what_if_mean: float
    earned: float

    @property
    def turns(self) -> bool:
        """Whether its mean advantage has another sign (-, 0, +) than the one it was paid."""
        return _sign(self.paid_mean) != _sign(self.what_if_mean)


@dataclass(frozen=True, slots=True, eq=False)
class Recounted:
    """An update under some credit; `gap` is the largest change of a token's advantage."""

    traces: tuple[TraceCredit, ...]
    gap: float

    @property
    def turned(self) -> int:
        """How many traces change the sign of their mean advantage."""
        return sum(one.turns for one in self.traces)

    def peak_of(self, group: int) -> float:
        """The largest advantage of a token among the traces of one problem, before or after: what bars are drawn to."""
        own = (one for one in self.traces if one.trace.group == group)
        return max((_largest(one.paid, one.what_if) for one in own), default=0.0)


def listing(folder: Path) -> Listing:
    """What a run folder holds. Raises RunFolderError and SpecError."""
    spec = RunFolder(folder).read_spec()
    asked = spec.typed()
    if not isinstance(asked, RlSpec):
        raise TypeError(f"{folder} is a run of the recipe {spec.recipe}, which writes no rollouts")
    scored = bool(asked.prm) or "prm" in {one.role for one in spec.models} | {one.role for one in spec.code}
    settings = CreditSettings(
        form=asked.credit,
        process_weight=asked.process_weight if scored else 0.0,
        outcome_weight=asked.outcome_weight,
        scale=asked.scale,
    )
    return Listing(
        rollouts.updates(folder), RunCredit(settings, asked.reward_weight, _why_apart(asked)), rollouts.pinned(folder)
    )


def _why_apart(asked: RlSpec) -> str:
    if asked.algorithm is Algorithm.PPO:
        return "PPO learned from its value head; what-if takes the other traces of a problem as the baseline."
    if asked.kl_weight > 0 and asked.kl_place is KlPlace.REWARD:
        return "The distance from the reference policy counted in the reward; what-if leaves it out."
    return ""


def open_update(folder: Path, update: int, known: Opened | None = None) -> Opened:
    """The traces of one update; `known` itself where the file is still the one it came from. Raises RunFolderError."""
    path = rollouts.path_of(folder, update)
    stamp = path.stat().st_mtime_ns if path.exists() else 0
    if known is not None and known.folder == folder and (known.batch.update, known.stamp) == (update, stamp):
        return known
    return Opened(rollouts.load(path), folder, stamp)


def recount(batch: RolloutBatch, settings: CreditSettings, own_weight: float, scores: Scores) -> Recounted:
    """Every trace of an update as `credited` pays it; `scores` replace those of traces by their id."""
    found = credited(batch.traces, settings, own_weight=own_weight, scores=scores)
    traces = tuple(
        _trace_credit(trace, credit, scores.get(trace.id, trace.scores))
        for trace, credit in zip(batch.traces, found, strict=True)
    )
    gap = max((_largest(one.paid - one.what_if) for one in traces), default=0.0)
    return Recounted(traces, gap)


def _trace_credit(trace: PackedTrace, credit: Credited, scores: tuple[float, ...]) -> TraceCredit:
    paid = rollouts.floats(trace.advantages).astype(np.float64)
    apart = np.frombuffer(trace.separators, np.uint8).astype(np.bool_)
    steps, begin, close = [], 0, 0
    for k, (end, span) in enumerate(zip(trace.step_ends, trace.step_spans, strict=True)):
        upto = max(begin, end + 1)
        own = slice(begin, upto)
        text, mean = trace.text[slice(*span)], _mean(paid[own], apart[own])
        steps.append(StepCredit(text, begin, upto, trace.scores[k], scores[k], mean, float(credit.steps[k])))
        begin, close = upto, span[1]
    if begin < trace.length:
        own = slice(begin, trace.length)
        means = _mean(paid[own], apart[own]), _mean(credit.tokens[own], apart[own])
        steps.append(StepCredit(trace.text[close:].strip(), begin, trace.length, None, None, *means))
    return TraceCredit(
        trace, paid, credit.tokens, apart, tuple(steps), _mean(paid, apart), _mean(credit.tokens, apart), credit.earned
    )


def _mean(values: Floats, apart: Bools) -> float:
    bearing = values[~apart]
    return float(bearing.mean()) if len(bearing) else 0.0


def _largest(*values: Floats) -> float:
    return max(float(np.abs(one).max()) if len(one) else 0.0 for one in values)


def signed(value: float, digits: int = 3) -> str:
    """A number with its sign, minus as the sign and not the hyphen: "+0.059", "−0.120", "0.000" for nothing at all."""
    return f"{value:+.{digits}f}".replace("-", "−") if value else f"{0:.{digits}f}"


def _sign(value: float) -> int:
    return 0 if abs(value) <= SAME else 1 if value > 0 else -1


def about_trace(problem: str, reference: str | None) -> str:
    """A problem in a line, with its reference answer."""
    words = " ".join(problem.split())
    short = words if len(words) <= 400 else words[:400] + "…"
    return f"{short}   Reference: {reference}" if reference else short
