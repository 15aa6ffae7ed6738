"""What-if credit: stored rollouts under another form, other weights or another score, without a model. numpy only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainer.contract.rollouts import PackedTrace
from trainer.reasoning.credit import CreditSettings, CreditTrace, Rewards, advantages, step_rewards, step_tokens

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Credited:
    """One trace under some credit: the advantages by token [T] and by step (mean over its tokens), its reward."""

    tokens: Floats
    steps: Floats
    earned: float


def as_credited(
    scores: Sequence[float],
    step_ends: Sequence[int],
    separators: ArrayLike,
    *,
    outcome: float | None,
    bonus: float = 0.0,
) -> CreditTrace:
    """A response of T tokens as credit takes it: `scores` and `step_ends` [K], `separators` [T].

    Steps that end in one token count as one, with the lower score; a step's last token is never a separator.
    """
    ends: list[int] = []
    kept: list[float] = []
    for end, score in zip(step_ends, scores, strict=True):
        if ends and ends[-1] == end:
            kept[-1] = min(kept[-1], score)
        else:
            ends.append(int(end))
            kept.append(score)
    apart = np.asarray(separators, np.bool_)
    length = len(apart)
    return CreditTrace(kept, outcome, ends, length, apart & ~np.isin(np.arange(length), ends), bonus)


def rewards_of(trace: CreditTrace, settings: CreditSettings) -> Rewards:
    """What its steps and its outcome are paid; the trace's bonus is not in it."""
    return step_rewards(
        trace.scores,
        trace.outcome,
        settings.form,
        process_weight=settings.process_weight,
        outcome_weight=settings.outcome_weight,
        temperature=settings.temperature,
        threshold=settings.threshold,
        tokens=step_tokens(trace.step_ends, trace.length, trace.separators),
    )


def credit_trace(trace: PackedTrace, *, own_weight: float = 0.0, scores: Sequence[float] | None = None) -> CreditTrace:
    """A stored trace as credit takes it; `scores` replace its own."""
    given = trace.scores if scores is None else scores
    apart = np.frombuffer(trace.separators, np.uint8)
    return as_credited(given, trace.step_ends, apart, outcome=trace.outcome, bonus=own_weight * trace.own)


def credited(
    traces: Sequence[PackedTrace],
    settings: CreditSettings,
    *,
    own_weight: float = 0.0,
    scores: Mapping[str, Sequence[float]] | None = None,
) -> tuple[Credited, ...]:
    """Every trace of an update under `settings`; `scores` replace those of traces by their id.

    A score that changes changes the whole group, since its traces are each other's baseline. Raises ValueError for
    scores that do not fit.
    """
    changed = scores or {}
    given = [credit_trace(one, own_weight=own_weight, scores=changed.get(one.id)) for one in traces]
    found = advantages(given, settings, [one.group for one in traces])
    return tuple(
        Credited(credit.total, _by_step(one, credit.total), rewards_of(trace, settings).earned + trace.bonus)
        for one, trace, credit in zip(traces, given, found, strict=True)
    )


def _by_step(trace: PackedTrace, tokens: Floats) -> Floats:
    """The mean advantage of each step's tokens [K], separators left out."""
    apart = np.frombuffer(trace.separators, np.uint8).astype(np.bool_)
    means, begin = [], 0
    for end in trace.step_ends:
        own = tokens[begin : end + 1][~apart[begin : end + 1]]
        means.append(float(own.mean()) if len(own) else 0.0)
        begin = max(begin, end + 1)
    return np.asarray(means, np.float64)
