"""What an RL run tells of its rollouts and of its optimiser steps, under the names that TRL's users know."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import fields

import numpy as np

from trainer.contract.specs.rl import RlSpec
from trainer.models.learn import StepReport
from trainer.models.sampling import Ended, ThinkingEnded
from trainer.reasoning.alarms import Signs, signs_of
from trainer.reasoning.behaviour import behaviour, effort_by_difficulty
from trainer.reasoning.budget import budget_figures
from trainer.rl.author import Rollout
from trainer.rl.author_server import mismatch_figures
from trainer.runtime.distributed import Processes

SIGNS = {field.name: f"signs/{field.name}" for field in fields(Signs)}


def rollout_figures(found: Sequence[Rollout], spec: RlSpec) -> dict[str, float]:
    """Means over the traces of one update: rewards and their parts, lengths, budgets, signs of gaming, behaviour."""
    out = {**_rewards(found), **_lengths(found), **_budgets(found)}
    signs = signs_of([one.trace.response.step_texts for one in found], [one.trace.problem for one in found])
    out |= {metric: float(getattr(signs, name)) for name, metric in SIGNS.items()}
    seen = [behaviour(one.trace.response.text) for one in found]
    out["behaviour/backtracks"] = float(np.mean([one.backtracking for one in seen]))
    out["behaviour/verifications"] = float(np.mean([one.verification for one in seen]))
    out |= _effort(found)
    out["steps_unread"] = float(sum(one.earned.unread for one in found))
    out |= mismatch_figures(found, spec.server_ratio_cap)
    if spec.reward:
        out["rewards/own/mean"] = float(np.mean([one.earned.own for one in found]))
    return out


def _effort(found: Sequence[Rollout]) -> dict[str, float]:
    """Whether the policy thinks longer about what it finds hard: thinking tokens of a problem against its wrong share.

    Left out of an update in which all problems are equally hard, or were thought about alike.
    """
    groups: defaultdict[int, list[Rollout]] = defaultdict(list)
    for one in found:
        groups[one.group].append(one)
    effort = [float(np.mean([one.made.thinking_tokens for one in of])) for of in groups.values()]
    wrong = [float(np.mean([one.earned.correct is not True for one in of])) for of in groups.values()]
    rank = effort_by_difficulty(effort, wrong).correlation
    return {"behaviour/effort_by_difficulty": rank} if math.isfinite(rank) else {}


def _rewards(found: Sequence[Rollout]) -> dict[str, float]:
    groups: defaultdict[int, list[float]] = defaultdict(list)
    for one in found:
        groups[one.group].append(one.reward)
    spread = [float(np.std(rewards)) for rewards in groups.values()]
    right = [float(one.earned.correct is True) for one in found]
    scores = [score for one in found for score in one.earned.scores]
    least = [min(one.earned.scores) for one in found if one.earned.scores]
    rewards = [one.reward for one in found]
    return {
        "reward": float(np.mean(rewards)),
        "reward_std": float(np.mean(spread)),
        "frac_reward_zero_std": float(np.mean([s < 1e-8 for s in spread])),
        "rewards/outcome/mean": float(np.mean(right)),
        "rewards/outcome/std": float(np.std(right)),
        "rewards/process/mean": float(np.mean(scores)) if scores else 0.0,
        "rewards/process/std": float(np.std(scores)) if scores else 0.0,
        "rewards/process/least": float(np.mean(least)) if least else 0.0,
        "undecided": float(sum(one.earned.correct is None for one in found)),
    }


def _lengths(found: Sequence[Rollout]) -> dict[str, float]:
    lengths = np.asarray([one.trace.length for one in found])
    cut = np.asarray([one.made.ended in (Ended.LENGTH, Ended.BUDGET, Ended.CONTEXT) for one in found])
    whole = lengths[~cut]
    return {
        "completions/mean_length": float(lengths.mean()),
        "completions/min_length": float(lengths.min()),
        "completions/max_length": float(lengths.max()),
        "completions/clipped_ratio": float(cut.mean()),
        "completions/mean_terminated_length": float(whole.mean()) if len(whole) else 0.0,
        "completions/mean_steps": float(np.mean([len(one.trace.response.steps) for one in found])),
        "thinking_tokens": float(np.mean([one.made.thinking_tokens for one in found])),
        "answer_tokens": float(np.mean([one.made.answer_tokens for one in found])),
        "num_tokens": float(lengths.sum()),
    }


def _budgets(found: Sequence[Rollout]) -> dict[str, float]:
    asked = [one for one in found if one.trace.budget is not None]
    if not asked:
        return {}
    figures = budget_figures(
        [one.made.thinking_tokens for one in asked],
        [one.trace.budget or 0 for one in asked],
        [one.made.thinking_ended is ThinkingEnded.FORCED for one in asked],
    )
    return {
        "budget/deviation": figures.deviation,
        "budget/overrun": figures.overrun,
        "budget/forced": figures.forced,
    }


def step_figures(report: StepReport, processes: Processes, seconds: float) -> dict[str, float]:
    """One optimiser step: loss, gradient, entropy, how far the policy moved and how often the clip held it."""
    sums = report.figures
    names = ("tokens", "clipped_low", "clipped_high", "entropy", "moved", "kl", "value_loss")
    tokens, low, high, entropy, moved, kl, value = processes.sum([sums.get(name, 0.0) for name in names])
    count = max(tokens, 1.0)
    out = {
        "loss": report.loss,
        "grad_norm": report.grad_norm,
        "entropy": entropy / count,
        "clip_ratio/low_mean": low / count,
        "clip_ratio/high_mean": high / count,
        "clip_ratio/region_mean": (low + high) / count,
        "logprob_mismatch": moved / count,
        "tokens_per_second": report.tokens / max(seconds, 1e-9),
        "step_time": seconds,
    }
    if "kl" in sums:
        out["kl"] = kl / count
    if "value_loss" in sums:
        out["value_loss"] = value
    return out
