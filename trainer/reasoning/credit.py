"""How step scores and an outcome become rewards, and the rewards of a group the advantage of every token. numpy only.

Step k of a trace ends at token e_k and is scored s_k = P(step is correct); the outcome is 1 or 0 (or what
`budget.length_reward` makes of it), None when nobody could decide it. In order:

1. `step_rewards`: scores -> what every step is paid (the credit form decides) and what the outcome pays.
2. `token_rewards`: process rewards at the steps' ends, the outcome at the last token; `returns`: summed from each token
   on. PPO learns from these, with a value head as baseline.
3. `advantages`: without a value head, the other traces of the same problem are the baseline.

A step owns the tokens after the previous step's end, its own end included. Separator tokens (the line breaks between
steps) bear no credit and are not counted. The baseline of the process part is what the other traces were paid in all,
spread over the trace's own step tokens in proportion. So neither a step nor its baseline knows how many steps a trace
was cut into: under the default form, splitting a step at equal scores changes neither what a trace earns nor the
advantage of a token outside the second part; the tokens of the second part answer for their own share alone.

Sources: the soft minimum and its baseline by token, PURE (Cheng et al. 2025); group normalised step rewards,
DeepSeekMath (Shao et al. 2024, 4.1.3); clip and delta, Gao et al. 2024 (2410.15115).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainer.contract.forms import CreditForm as CreditForm
from trainer.contract.forms import GroupScale as GroupScale

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Bools = NDArray[np.bool_]

TEMPERATURE = 0.1
"""Of the soft minimum, on scores stretched to [-1, 1]."""
MIDDLE = 0.5
"""The score that neither earns nor costs: forms of bounded total pay a step its score less this."""
TINY = 1e-4
"""Added to every standard deviation that divides, as GRPO trainers do."""
LEAST_SPREAD = 0.05
"""Traces that earn nearly the same are divided by this and not by less, lest a scorer's noise fill an update."""


class Baseline(StrEnum):
    """What is taken off a trace's rewards before they become advantages."""

    OTHERS = "mean of the other traces"
    GROUP = "mean of the group"
    TOKENS = "the others' mean a token"
    NONE = "nothing"


@dataclass(frozen=True, slots=True)
class CreditSettings:
    """How rewards become advantages. Raises ValueError for weights or a temperature that cannot be.

    `Baseline.TOKENS` is PURE's own: the others' mean reward a token, times the trace's tokens. Where most traces are
    scored below the middle it favours long ones and elsewhere short ones, which `Baseline.OTHERS` does not.
    """

    form: CreditForm = CreditForm.MIN
    process_weight: float = 0.3
    outcome_weight: float = 0.7
    temperature: float = TEMPERATURE
    threshold: float = MIDDLE
    baseline: Baseline = Baseline.OTHERS
    scale: GroupScale = GroupScale.NONE

    def __post_init__(self) -> None:
        _check_weights(self.process_weight, self.outcome_weight, self.temperature)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the user should know before a run with these settings."""
        texts = [self.form.warning] if self.form.warning and self.process_weight > 0 else []
        if self.process_weight > self.outcome_weight:
            texts.append(
                f"The process weighs {self.process_weight:g} and the outcome {self.outcome_weight:g}: "
                "a wrong answer of well scored steps can earn more than a right one."
            )
        if self.baseline is Baseline.TOKENS:
            texts.append("The baseline by token favours long traces where most steps are scored below 0.5.")
        return tuple(texts)


@dataclass(frozen=True, slots=True)
class Rewards:
    """What one trace is paid, weights applied: `process` [K] at the steps' ends, `outcome` at the last token.

    `offset` is the part of the form's total that is the same for every trace; it only makes `earned` read in the
    units of the scores. `undecided` says that there was no outcome (then `outcome` is 0 and no verdict).
    """

    process: Floats
    outcome: float
    offset: float
    undecided: bool = False

    @property
    def earned(self) -> float:
        """What the trace earns in all: process_weight * (score under the form) + outcome_weight * outcome."""
        return float(self.process.sum()) + self.offset + self.outcome


@dataclass(frozen=True, slots=True, eq=False)
class CreditTrace:
    """One trace as credit sees it: `length` tokens T, steps scored `scores` [K] that end at tokens `step_ends` [K].

    `separators` [T] is true where a token stands between steps. `bonus` is any further reward of the whole trace,
    weight applied. A trace without steps counts as one step scored 0. Raises ValueError for what cannot be.
    """

    scores: ArrayLike
    outcome: float | None
    step_ends: ArrayLike
    length: int
    separators: ArrayLike | None = None
    bonus: float = 0.0

    def __post_init__(self) -> None:
        scores, ends = checked_scores(self.scores), _checked_ends(self.step_ends, self.length)
        if len(scores) != len(ends):
            raise ValueError(f"{len(scores)} scores for {len(ends)} step ends: every step has one of each")
        if self.separators is not None and np.shape(self.separators) != (self.length,):
            raise ValueError(f"separators of shape {np.shape(self.separators)} for {self.length} tokens")


@dataclass(frozen=True, slots=True, eq=False)
class TokenCredit:
    """The advantage of every token of one trace [T], in its two parts."""

    process: Floats
    outcome: Floats

    @property
    def total(self) -> Floats:
        """What the policy loss is given [T]."""
        return self.process + self.outcome


def checked_scores(scores: ArrayLike) -> Floats:
    """The scores as float64 [K]. Raises ValueError unless every one lies in [0, 1]."""
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 1:
        raise ValueError(f"scores of shape {values.shape}: one number a step is needed")
    if values.size and not bool(np.all((values >= 0) & (values <= 1))):
        k = int(np.flatnonzero(~((values >= 0) & (values <= 1)))[0])
        raise ValueError(f"step {k} is scored {values[k]}: a score is P(step is correct) and lies in [0, 1]")
    return values


def soft_minimum(scores: Floats, tokens: Floats, temperature: float = TEMPERATURE) -> Floats:
    """Weights [K] that add up to 1 and crowd on the lowest scores: w_k ~ n_k exp(-p_k / T), p = 2 s - 1 (PURE).

    `tokens` n [K] lets every token carry its step's score: two steps of one score weigh what one step of both would.
    """
    exponents = -(2 * scores - 1) / temperature
    weights = tokens * np.exp(exponents - exponents.max())
    return np.asarray(weights / weights.sum(), dtype=np.float64)


def step_rewards(
    scores: ArrayLike,
    outcome: float | None,
    form: CreditForm = CreditForm.MIN,
    *,
    process_weight: float = 0.3,
    outcome_weight: float = 0.7,
    temperature: float = TEMPERATURE,
    threshold: float = MIDDLE,
    tokens: ArrayLike | None = None,
) -> Rewards:
    """What a trace of K steps is paid; `tokens` [K] are the steps' lengths (alike where None).

    A trace without steps earns what one step scored 0 would. For `group` the scores are paid as they stand: only
    `advantages` has the group to normalise them by. Raises ValueError for scores outside [0, 1] or an outcome outside
    [-1, 1].
    """
    _check_weights(process_weight, outcome_weight, temperature)
    values = checked_scores(scores)
    sizes = np.ones(len(values)) if tokens is None else np.asarray(tokens, dtype=np.float64)
    if sizes.shape != values.shape or bool(np.any(sizes <= 0)):
        raise ValueError(f"step lengths {sizes.tolist()} for {len(values)} steps: one positive number a step is needed")
    if outcome is not None and not -1 <= outcome <= 1:
        raise ValueError(f"an outcome of {outcome}: it lies in [-1, 1], or is None where undecided")
    paid = 0.0 if outcome is None else outcome_weight * outcome
    if not len(values):
        alone = _process(np.zeros(1), np.ones(1), form, temperature, threshold)
        return Rewards(np.zeros(0), paid, process_weight * (float(alone.sum()) + _offset(form)), outcome is None)
    process = process_weight * _process(values, sizes, form, temperature, threshold)
    return Rewards(process, paid, process_weight * _offset(form), outcome is None)


def _process(scores: Floats, tokens: Floats, form: CreditForm, temperature: float, threshold: float) -> Floats:
    """What each of K >= 1 steps is paid, before the weight [K]."""
    centred = scores - MIDDLE
    if form is CreditForm.MIN:
        return np.asarray(soft_minimum(scores, tokens, temperature) * centred)
    if form is CreditForm.MEAN:
        return np.asarray(centred / len(scores))
    if form is CreditForm.LAST:
        return np.append(np.zeros(len(scores) - 1), centred[-1])
    if form is CreditForm.CLIP:
        return np.asarray(np.minimum(scores - threshold, 0.0))
    if form is CreditForm.DELTA:
        return np.asarray(centred - np.append(centred[1:], 0.0))
    return scores.copy()


def _offset(form: CreditForm) -> float:
    """What the centring of a form takes off every trace alike."""
    return MIDDLE if form in {CreditForm.MIN, CreditForm.MEAN, CreditForm.LAST} else 0.0


def token_rewards(rewards: Rewards, step_ends: ArrayLike, length: int) -> Floats:
    """Rewards by token [T]: each step's at its last token, outcome and offset at the trace's last token."""
    ends = _checked_ends(step_ends, length)
    if len(ends) != len(rewards.process):
        raise ValueError(f"{len(rewards.process)} process rewards for {len(ends)} step ends")
    paid = np.zeros(length)
    paid[ends] = rewards.process
    if length:
        paid[-1] += rewards.outcome + rewards.offset
    return paid


def returns(rewards: ArrayLike, gamma: float = 1.0) -> Floats:
    """G_t = r_t + gamma * G_{t+1} [T]."""
    values = np.asarray(rewards, dtype=np.float64)
    if gamma == 1.0:
        return np.ascontiguousarray(np.cumsum(values[::-1])[::-1])
    result, after = np.zeros(len(values)), 0.0
    for t in range(len(values) - 1, -1, -1):
        after = values[t] + gamma * after
        result[t] = after
    return result


def step_tokens(step_ends: ArrayLike, length: int, separators: ArrayLike | None = None) -> Floats:
    """How many credited tokens each step owns [K]; at least 1, so that a step of separators alone still counts."""
    ends = _checked_ends(step_ends, length)
    counted = np.ones(length) if separators is None else 1.0 - np.asarray(separators, dtype=np.float64)
    before = np.concatenate([[0.0], np.cumsum(counted)])
    upto = before[ends + 1]
    return np.maximum(np.diff(np.concatenate([[0.0], upto])), 1.0)


def advantages(
    traces: Sequence[CreditTrace], settings: CreditSettings, groups: Sequence[int] | None = None
) -> tuple[TokenCredit, ...]:
    """The advantage of every token of every trace; `groups` names each trace's problem (one problem where None).

    A group of one has nothing to be compared with and gets zeros, unless the baseline is none. An undecided trace has
    no outcome advantage and no say in the others' baseline.
    """
    names = [0] * len(traces) if groups is None else list(groups)
    if len(names) != len(traces):
        raise ValueError(f"{len(names)} group names for {len(traces)} traces")
    paid = [_Paid.of(trace, settings) for trace in traces]
    earned = [trace.rewards.earned + trace.bonus for trace in paid]
    result: list[TokenCredit] = [TokenCredit(np.zeros(0), np.zeros(0))] * len(traces)
    for name in dict.fromkeys(names):
        members = [i for i, other in enumerate(names) if other == name]
        spread = _spread(earned if settings.scale is GroupScale.BATCH else [earned[i] for i in members], settings)
        for i, credit in zip(members, _group_credit([paid[i] for i in members], settings), strict=True):
            bearing = 1.0 - paid[i].separators
            result[i] = TokenCredit(credit.process * bearing / spread, credit.outcome * bearing / spread)
    return tuple(result)


@dataclass(frozen=True, slots=True, eq=False)
class _Paid:
    """A trace with at least one step, its rewards, and its credited tokens by step."""

    scores: Floats
    rewards: Rewards
    ends: Integers
    tokens: Floats
    length: int
    separators: Floats
    bonus: float

    @classmethod
    def of(cls, trace: CreditTrace, settings: CreditSettings) -> _Paid:
        scores, ends = checked_scores(trace.scores), _checked_ends(trace.step_ends, trace.length)
        if not len(scores) and trace.length:
            scores, ends = np.zeros(1), np.array([trace.length - 1])
        tokens = step_tokens(ends, trace.length, trace.separators)
        rewards = step_rewards(
            scores,
            trace.outcome,
            settings.form,
            process_weight=settings.process_weight,
            outcome_weight=settings.outcome_weight,
            temperature=settings.temperature,
            threshold=settings.threshold,
            tokens=tokens,
        )
        apart = np.zeros(trace.length) if trace.separators is None else np.asarray(trace.separators, dtype=np.float64)
        return cls(scores, rewards, ends, tokens, trace.length, apart, trace.bonus)


def _group_credit(traces: Sequence[_Paid], settings: CreditSettings) -> list[TokenCredit]:
    """The credit of one group's traces before scaling and before separators are silenced."""
    if len(traces) == 1 and settings.baseline is not Baseline.NONE:
        return [TokenCredit(np.zeros(traces[0].length), np.zeros(traces[0].length))]
    outcomes = _outcome_advantages(traces, settings)
    process = (
        _pooled_process(traces, settings) if settings.form is CreditForm.GROUP else _process_nets(traces, settings)
    )
    credits = []
    for trace, outcome, net in zip(traces, outcomes, process, strict=True):
        paid = np.zeros(trace.length)
        paid[trace.ends] = net
        credits.append(TokenCredit(returns(paid), np.full(trace.length, outcome)))
    return credits


def _process_nets(traces: Sequence[_Paid], settings: CreditSettings) -> list[Floats]:
    """What every step is paid less its share of the baseline, for each trace [K]."""
    totals = np.array([trace.rewards.process.sum() for trace in traces])
    sizes = np.array([trace.tokens.sum() for trace in traces])
    if settings.baseline is Baseline.TOKENS:
        rates = _without_self(totals / np.maximum(sizes, 1.0))
    else:
        rates = _baseline(totals, settings.baseline) / np.maximum(sizes, 1.0)
    return [trace.rewards.process - rate * trace.tokens for trace, rate in zip(traces, rates, strict=True)]


def _pooled_process(traces: Sequence[_Paid], settings: CreditSettings) -> list[Floats]:
    """DeepSeekMath's process supervision: (score - mean) / std over all steps of the group, weight applied."""
    pool = np.concatenate([trace.scores for trace in traces])
    spread = float(pool.std(ddof=1)) + TINY if len(pool) > 1 else 1.0
    mean = float(pool.mean()) if len(pool) else 0.0
    return [settings.process_weight * (trace.scores - mean) / spread for trace in traces]


def _outcome_advantages(traces: Sequence[_Paid], settings: CreditSettings) -> list[float]:
    """What outcome and bonus say of each trace against the others."""
    bonus = np.array([trace.bonus for trace in traces])
    result = bonus - _baseline(bonus, settings.baseline)
    decided = np.array([i for i, trace in enumerate(traces) if not trace.rewards.undecided], dtype=np.int64)
    outcomes = np.array([traces[i].rewards.outcome for i in decided])
    if settings.form is CreditForm.GROUP and len(outcomes) > 1:
        spread = settings.outcome_weight and float(outcomes.std(ddof=1)) / settings.outcome_weight
        result[decided] += (outcomes - outcomes.mean()) / (spread + TINY)
    else:
        result[decided] += outcomes - _baseline(outcomes, settings.baseline)
    return [float(value) for value in result]


def _baseline(values: Floats, baseline: Baseline) -> Floats:
    """What each of a group's values is compared with."""
    if baseline is Baseline.NONE or not len(values):
        return np.zeros(len(values))
    if baseline is Baseline.GROUP or len(values) == 1:
        return np.full(len(values), values.mean())
    return _without_self(values)


def _without_self(values: Floats) -> Floats:
    """The mean of the other values, for each of at least two."""
    return np.asarray((values.sum() - values) / (len(values) - 1), dtype=np.float64)


def _spread(earned: Sequence[float], settings: CreditSettings) -> float:
    """What the advantages are divided by; `group` credit is normalised already."""
    if settings.scale is GroupScale.NONE or settings.form is CreditForm.GROUP or len(earned) < 2:
        return 1.0
    return max(float(np.std(earned, ddof=1)), LEAST_SPREAD) + TINY


def _checked_ends(step_ends: ArrayLike, length: int) -> Integers:
    ends = np.asarray(step_ends, dtype=np.int64).reshape(-1)
    if len(ends) and (int(ends[0]) < 0 or int(ends[-1]) >= length or bool(np.any(np.diff(ends) <= 0))):
        raise ValueError(f"step ends {ends.tolist()} must rise and lie in 0..{length - 1}")
    return ends


def _check_weights(process: float, outcome: float, temperature: float) -> None:
    if not (math.isfinite(process) and math.isfinite(outcome)) or min(process, outcome) < 0:
        raise ValueError(f"weights of {process} (process) and {outcome} (outcome): both must be numbers from 0 up")
    if not temperature > 0:
        raise ValueError(f"a temperature of {temperature}: it must be above 0")
