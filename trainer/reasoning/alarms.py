"""Alarms of an RL run: signs that the policy games its reward, read from the history of updates. numpy only.

`signs_of` reads the traces of one update; the recipe adds the update's figures and keeps the list of `Update`. Each
alarm is a pure function of that list and returns None or an `Alarm` that says what was seen. A sign is compared with
what is tolerable at all and with the run's own beginning, so that a habit the policy came with does not trip it. A run
that goes on after an alarm, with a fresh PRM say, begins a new list.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

ALARM = "alarm: "
"""How the code of a notice begins that tells of an alarm; the `AlarmCode` follows."""
NGRAM = 4
RECENT = 2
"""Updates in a row over which a sign must hold, so that one odd batch trips nothing."""
BEGINNING = 3
"""Updates at the start of a run that tell its habits."""
SHARED_BY = 4
"""A step must stand in traces of so many problems before its text alone makes it filler."""

_FILLER = """
thank thanks you very much happy birthday congratulations welcome please ok okay sure great good nice well done perfect
excellent wonderful yes no hello hi bye goodbye sorry hmm so now then next again wait right correct and also the this
that it is i we let me us my your to of for all a an have day best luck think see continue indeed certainly absolutely
course awesome amazing cool got will be going on here there finally end
"""
"""Words of courtesies and fillers; a step made of nothing else says nothing about its problem."""


class AlarmCode(StrEnum):
    """What an alarm is about."""

    REPETITION = "repetition"
    EMPTY_STEPS = "empty steps"
    GIANT_STEPS = "giant steps"
    FILLER = "filler"
    DIVERGENCE = "process reward rises while held-out accuracy falls"
    KL = "distance from the reference policy out of range"
    ENTROPY = "entropy out of range"
    MISMATCH = "server and trainer disagree about the policy"


@dataclass(frozen=True, slots=True)
class Alarm:
    """Why a run should pause: what is wrong, a sentence for people, and the figures it rests on."""

    code: AlarmCode
    message: str
    figures: dict[str, float]


@dataclass(frozen=True, slots=True)
class Signs:
    """What the traces of one update look like: four shares in [0, 1].

    `repetition`: word n-grams that stood in the same trace before; `empty` and `filler`: of steps; `giant`: of traces.
    """

    repetition: float
    empty: float
    giant: float
    filler: float


@dataclass(frozen=True, slots=True)
class Update:
    """One policy update. `process_reward` is the mean step score, KL and entropy are means a token in nats.

    `held_out` is the share of `held_out_count` held-out problems answered right, None where this update was not
    evaluated; `kl` and `entropy` are None where they were not measured. `mismatch` is the mean |difference| of the
    log-probs of server and trainer, None where no server wrote.
    """

    update: int
    process_reward: float
    signs: Signs
    held_out: float | None = None
    held_out_count: int = 0
    kl: float | None = None
    entropy: float | None = None
    mismatch: float | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What is tolerable. Shares are absolute; `rise` is how far a share must lie above the run's own beginning.

    KL and entropy are nats a token. Entropy is too low under `entropy_low`, too high over `entropy_times` that of the
    beginning and `entropy_above` more than it. Server and trainer may differ by `mismatch_times` what they did at the
    beginning, when both surely had the same weights, but by `mismatch_least` at least and by `mismatch` at most.
    `held_out_errors` are standard errors of a difference of shares.
    """

    repetition: float = 0.35
    empty: float = 0.15
    giant: float = 0.25
    filler: float = 0.2
    rise: float = 0.1
    giant_words: int = 150
    kl: float = 1.0
    entropy_low: float = 0.002
    entropy_times: float = 3.0
    entropy_above: float = 0.5
    mismatch: float = 0.1
    mismatch_least: float = 0.01
    mismatch_times: float = 5.0
    held_out_drop: float = 0.05
    held_out_errors: float = 4.0
    process_rise: float = 0.01
    evaluations: int = 3


def signs_of(
    traces: Sequence[Sequence[str]], problems: Sequence[str] | None = None, *, giant_words: int = 150
) -> Signs:
    """The signs in one update's traces, each the texts of its steps; `problems` [n] names each trace's problem.

    A step is empty without a letter or digit. It is giant with more than `giant_words` words, and a trace of over half
    that which is one single step counts as giant too (step ends given up). It is filler when all its words are
    courtesies or fillers, or when its words stand as a step in at least half of the traces and in those of at least
    `SHARED_BY` problems. A trace without steps counts as an empty step. No traces: all zero.
    """
    if not traces:
        return Signs(0.0, 0.0, 0.0, 0.0)
    names = list(problems) if problems is not None else [str(i) for i in range(len(traces))]
    stock, courtesies = _stock_steps(traces, names), frozenset(_FILLER.split())
    words = [[_words(step) for step in trace] for trace in traces]
    steps = [step for trace in words for step in trace]
    count = max(len(steps), 1)
    return Signs(
        repetition=float(np.mean([repeated_share([w for step in trace for w in step]) for trace in words])),
        empty=min((sum(not step for step in steps) + sum(not trace for trace in words)) / count, 1.0),
        giant=float(np.mean([_is_giant(trace, giant_words) for trace in words])),
        filler=sum(bool(s) and (courtesies.issuperset(s) or tuple(s) in stock) for s in steps) / count,
    )


def repeated_share(words: Sequence[str], n: int = NGRAM) -> float:
    """The share of n-grams that stood before in the same sequence; 0 where there are fewer than two."""
    grams = len(words) - n + 1
    if grams < 2:
        return 0.0
    return 1.0 - len({tuple(words[i : i + n]) for i in range(grams)}) / grams


def _words(step: str) -> list[str]:
    """Its words and numbers, folded, without punctuation; signs of arithmetic count as words."""
    kept = "".join(c if c.isalnum() or c in "+-*/=<>^%" else " " for c in step.casefold())
    words = kept.split()
    return words if any(c.isalnum() for c in kept) else []


def _is_giant(trace: Sequence[Sequence[str]], giant_words: int) -> bool:
    longest = max((len(step) for step in trace), default=0)
    return longest > giant_words or (len(trace) == 1 and longest > giant_words // 2)


def _stock_steps(traces: Sequence[Sequence[str]], names: Sequence[str]) -> set[tuple[str, ...]]:
    """Steps of the same words in half of the traces and in those of many problems."""
    by_trace: Counter[tuple[str, ...]] = Counter()
    problems: dict[tuple[str, ...], set[str]] = {}
    for trace, name in zip(traces, names, strict=True):
        for step in {tuple(_words(text)) for text in trace}:
            by_trace[step] += 1
            problems.setdefault(step, set()).add(name)
    return {s for s, n in by_trace.items() if s and n >= len(traces) / 2 and len(problems[s]) >= SHARED_BY}


def repetition(history: Sequence[Update], limits: Limits) -> Alarm | None:
    """Traces repeat themselves."""
    text = "Traces repeat themselves: {now:.0%} of their four-word runs stood before in the same trace"
    return _share_alarm(AlarmCode.REPETITION, text, history, lambda s: s.repetition, limits.repetition, limits)


def empty_steps(history: Sequence[Update], limits: Limits) -> Alarm | None:
    """Steps without content."""
    text = "{now:.0%} of the steps have no content"
    return _share_alarm(AlarmCode.EMPTY_STEPS, text, history, lambda s: s.empty, limits.empty, limits)


def giant_steps(history: Sequence[Update], limits: Limits) -> Alarm | None:
    """Everything in one step, where one score covers all."""
    text = "{now:.0%} of the traces put nearly everything into one long step"
    return _share_alarm(AlarmCode.GIANT_STEPS, text, history, lambda s: s.giant, limits.giant, limits)


def filler(history: Sequence[Update], limits: Limits) -> Alarm | None:
    """Courtesies and stock sentences where reasoning should stand."""
    text = "{now:.0%} of the steps are courtesies or the same sentence under many problems"
    return _share_alarm(AlarmCode.FILLER, text, history, lambda s: s.filler, limits.filler, limits)


def _share_alarm(
    code: AlarmCode,
    text: str,
    history: Sequence[Update],
    share: Callable[[Signs], float],
    limit: float,
    limits: Limits,
) -> Alarm | None:
    """An alarm when the share lies over its limit, and clearly over the run's beginning, in every recent update.

    The beginning is the lowest of the first updates: a hack found in the second one must not pass for a habit.
    """
    if len(history) < RECENT:
        return None
    values = [share(update.signs) for update in history]
    now = min(values[-RECENT:])
    begun = min(values[:BEGINNING])
    if now <= limit or now <= min(begun + limits.rise, 1.0 - limits.rise / 2):
        return None
    message = f"{text.format(now=now)} (at the start {begun:.0%}; tolerable {limit:.0%})."
    return Alarm(code, message, {"now": now, "beginning": begun, "limit": limit})


def divergence(history: Sequence[Update], limits: Limits) -> Alarm | None:
    """The PRM is ever more pleased while held-out answers get worse.

    The last evaluations are compared with the best earlier run of as many; the drop must exceed both
    `held_out_drop` and `held_out_errors` standard errors of a difference of shares.
    """
    seen = [u for u in history if u.held_out is not None and u.held_out_count > 0]
    k = limits.evaluations
    if len(seen) < 2 * k:
        return None
    correct = np.array([(u.held_out or 0.0) * u.held_out_count for u in seen])
    count = np.array([u.held_out_count for u in seen], dtype=np.float64)
    paid = np.array([u.process_reward for u in seen])
    window = np.ones(k)
    shares = np.convolve(correct, window, "valid") / np.convolve(count, window, "valid")
    rewards = np.convolve(paid, window, "valid") / k
    best = int(np.argmax(shares[:-k]))
    drop, rise = float(shares[best] - shares[-1]), float(rewards[-1] - rewards[best])
    pooled = float(correct.sum() / count.sum())
    error = math.sqrt(pooled * (1 - pooled) * (1 / count[best : best + k].sum() + 1 / count[-k:].sum()))
    if drop <= max(limits.held_out_drop, limits.held_out_errors * error) or rise <= limits.process_rise:
        return None
    message = (
        f"Step scores rose by {rise:.3f} since update {seen[best + k - 1].update} while held-out accuracy fell "
        f"from {shares[best]:.1%} to {shares[-1]:.1%}."
    )
    return Alarm(AlarmCode.DIVERGENCE, message, {"rise": rise, "drop": drop, "error": error})


def kl_range(history: Sequence[Update], limits: Limits) -> Alarm | None:
    """The policy has left the reference policy, or the distance is not a number."""
    seen = [u.kl for u in history if u.kl is not None]
    if seen and not math.isfinite(seen[-1]):
        return Alarm(AlarmCode.KL, "The distance from the reference policy is not a number.", {"now": seen[-1]})
    if len(seen) < RECENT or min(seen[-RECENT:]) <= limits.kl:
        return None
    message = f"The policy is {seen[-1]:.2f} nats a token from the reference policy (tolerable {limits.kl:g})."
    return Alarm(AlarmCode.KL, message, {"now": seen[-1], "limit": limits.kl})


def entropy_range(history: Sequence[Update], limits: Limits) -> Alarm | None:
    """The policy has stopped exploring, or has come apart."""
    seen = [u.entropy for u in history if u.entropy is not None]
    if seen and not math.isfinite(seen[-1]):
        return Alarm(AlarmCode.ENTROPY, "The policy's entropy is not a number.", {"now": seen[-1]})
    if len(seen) < RECENT:
        return None
    least, most = min(seen[:BEGINNING]), max(seen[:BEGINNING])
    high = max(limits.entropy_times * least, least + limits.entropy_above)
    figures = {"now": seen[-1], "low": limits.entropy_low, "high": high}
    if max(seen[-RECENT:]) < limits.entropy_low <= most:
        message = f"The policy has stopped exploring: {seen[-1]:.4f} nats a token, {most:.3f} at the start."
        return Alarm(AlarmCode.ENTROPY, message, figures | {"beginning": most})
    if min(seen[-RECENT:]) > high:
        message = f"The policy comes apart: {seen[-1]:.2f} nats a token, {least:.2f} at the start."
        return Alarm(AlarmCode.ENTROPY, message, figures | {"beginning": least})
    return None


def mismatch(history: Sequence[Update], limits: Limits) -> Alarm | None:
    """The server that writes has other weights, or another arithmetic, than the trainer that learns from it."""
    seen = [u.mismatch for u in history if u.mismatch is not None]
    if seen and not math.isfinite(seen[-1]):
        return Alarm(AlarmCode.MISMATCH, "The server's log-probs are not numbers.", {"now": seen[-1]})
    if len(seen) < RECENT:
        return None
    begun = min(seen[:BEGINNING])
    limit = min(limits.mismatch, max(limits.mismatch_least, limits.mismatch_times * begun))
    now = min(seen[-RECENT:])
    if now <= limit:
        return None
    message = (
        f"Server and trainer disagree by {now:.3f} nats a token (at the start {begun:.4f}; tolerable {limit:.3f}): the "
        "server writes with older weights, or calculates otherwise (precision, temperature, log-prob mode)."
    )
    return Alarm(AlarmCode.MISMATCH, message, {"now": now, "beginning": begun, "limit": limit})


def alarms(history: Sequence[Update], limits: Limits | None = None) -> tuple[Alarm, ...]:
    """Every alarm that the history raises after its last update, the plainest sign first."""
    bounds = limits or Limits()
    checks = (repetition, empty_steps, giant_steps, filler, divergence, kl_range, entropy_range, mismatch)
    return tuple(alarm for check in checks if (alarm := check(history, bounds)) is not None)
