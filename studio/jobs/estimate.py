"""What a run will need: measured on past runs of the same kind on this device, else from stated assumptions."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from studio.jobs.needs import (
    CHARACTERS_A_TOKEN,
    TINY_WEIGHTS,
    evaluation,
    longest_trace,
    row_bytes,
    sizes,
    weights_of,
    written_at_most,
)
from studio.jobs.roles import PRM
from studio.jobs.rubric_runs import time_of
from studio.jobs.values import Estimate, RunOrder
from studio.store import runs
from studio.store.rows import Counts
from studio.store.runs import StoredRun, StoredState
from studio.workspace import Workspace
from trainer.contract.records import Split
from trainer.contract.run_folder import RunFolder, RunFolderError
from trainer.contract.spec import EvaluateSpec, SearchSpec, Value, build
from trainer.contract.specs.autolabel import LabelMethod

CPU_FLOPS = 6.0e10  # fp32 on a few cores; an assumption, and named as one
GPU_FLOPS = 2.0e13
START_SECONDS = 10.0  # importing torch, reading the model
TINY_TOKENS_A_SECOND = 12_000.0  # its passes are bound by overhead, not by arithmetic
TINY_WRITTEN_A_SECOND = 4_000.0  # tokens that it writes and learns from
CHECKED_STEPS_A_SECOND = 500.0  # by the rule, algebra in a process of its own included
MOST_PAST = 5
LEARNS = ("prm", "orm", "sft")  # recipes that pass over rows again and again
# What must be the same in a past run for its speed to say something of this one.
_SAME: tuple[str, ...] = (
    "model",
    "adapt",
    "precision",
    "prm",
    "max_thinking",
    "max_answer",
    "method",
    "max_tokens",
    "max_rollouts",
)
_SAME += ("max_thinking_tokens", "max_answer_tokens", "n")
_SAME += ("suite", "compute", "budgets", "strategy")
_SAME += ("by", "judge", "judge_url", "judge_model", "judge_limit")


def estimate(workspace: Workspace, order: RunOrder, counts: Counts) -> Estimate:
    """Time, memory and disk of a checked order with these rows; `basis` says what the figures rest on."""
    weights = weights_of(workspace, order)
    past = _past_speeds(workspace, order)
    if past:
        work = _work(order.recipe, order.parameters, counts.rows, row_bytes(counts))
        took = START_SECONDS + work / statistics.median(past)
        time = _Time(took, f"time: measured on {len(past)} finished run(s) like this on {order.device}")
    else:
        time = _assumed(workspace, order, counts, weights)
    seconds, minutes = time.seconds, float(order.parameters.get("max_minutes", 0.0))
    if seconds is not None and minutes:
        seconds = min(seconds, START_SECONDS + 60 * minutes)
    found = None if weights is None else sizes(workspace, order, counts, weights)
    if found is None:
        return Estimate(seconds, None, None, time.basis)
    return Estimate(seconds, found.memory_bytes, found.disk_bytes, f"{time.basis}; {found.basis}")


def _work(recipe: str, said: Mapping[str, Value], rows: int, size: int) -> float:
    """What a run does, in units that it does at an even speed: bytes of rows read, or traces written."""
    if recipe in LEARNS:
        return _passes(said, rows) * size
    if recipe == "rl":
        return float(said["updates"]) * int(said["prompts"]) * int(said["traces"])
    if recipe == "generate":
        return float(rows * int(said["n"]))
    if recipe == "evaluate":
        spec = build("evaluate", dict(said))
        assert isinstance(spec, EvaluateSpec)
        return float(rows if spec.suite.judges_prm else rows * spec.with_preset().n * len(spec.caps()))
    if recipe == "autolabel" and LabelMethod(str(said["method"])).uses_policy:
        return float(size) * int(said["rollouts"])
    return float(size)


def _passes(said: Mapping[str, Value], rows: int) -> float:
    """How often every row is read in training."""
    epochs, most = float(said["epochs"]), int(said["max_steps"])
    return most * int(said["batch_size"]) / rows if most and rows else epochs


def _past_speeds(workspace: Workspace, order: RunOrder) -> list[float]:
    """Work a second of finished runs with the same recipe, models and way of working on this device."""
    with workspace.database.read() as c:
        finished = [
            run
            for run in runs.all_runs(c)  # a run that stays spends its time waiting
            if run.state is StoredState.FINISHED and run.attempts == 1 and not run.resident
        ]
    alike = [run for run in finished if (run.recipe, run.device) == (order.recipe, order.device)]
    speeds = (_speed(workspace, order, run) for run in alike[: 4 * MOST_PAST])
    return [speed for speed in speeds if speed is not None][:MOST_PAST]


def _speed(workspace: Workspace, order: RunOrder, run: StoredRun) -> float | None:
    folder = RunFolder(workspace.path / run.folder)
    try:
        spec = folder.read_spec()
        size = folder.input.stat().st_size
    except (RunFolderError, FileNotFoundError):
        return None  # somebody deleted the folder; the run says nothing about speed any more
    same = all(spec.parameters.get(name) == order.parameters.get(name) for name in _SAME)
    if not same or run.started_at is None or run.ended_at is None:
        return None
    took = (datetime.fromisoformat(run.ended_at) - datetime.fromisoformat(run.started_at)).total_seconds()
    work = _work(spec.recipe, spec.parameters, spec.input_rows, size)
    return work / max(took - START_SECONDS, 0.5)


@dataclass(frozen=True, slots=True)
class _Time:
    seconds: float | None
    basis: str


def _assumed(workspace: Workspace, order: RunOrder, counts: Counts, weights: int | None) -> _Time:
    if order.recipe == "rubric":
        return _Time(*time_of(workspace, order, counts))
    if order.recipe == "route":
        return _Time(None, "time: unknown until such a run has finished: it depends on how many problems escalate")
    judge = weights_of(workspace, order, PRM)
    if weights is None or judge is None:
        return _Time(None, "time: unknown, as the model is not on this machine yet")
    if order.recipe == "autolabel" and not weights:
        seconds = START_SECONDS + counts.steps / CHECKED_STEPS_A_SECOND
        return _Time(seconds, f"time: assumed, {CHECKED_STEPS_A_SECOND:,.0f} steps checked a second")
    tokens = _tokens(order, counts)
    flops = GPU_FLOPS if order.device.startswith("cuda") else CPU_FLOPS
    work = _operations(order, weights, judge)
    writes = order.recipe in ("rl", "autolabel", "search", "generate")
    writes |= order.recipe == "evaluate" and not evaluation(order).suite.judges_prm
    small = TINY_WRITTEN_A_SECOND if writes else TINY_TOKENS_A_SECOND
    speed = min(flops / max(work, 1), small if weights <= TINY_WEIGHTS else float("inf"))
    if writes:
        basis = f"time: assumed, at most {tokens:,.0f} tokens, if the policy always writes as much as it may, at"
    else:
        basis = f"time: assumed, about {tokens:,.0f} tokens at"
    return _Time(START_SECONDS + tokens / speed, f"{basis} {speed:,.0f} a second, until a run like this has finished")


def _tokens(order: RunOrder, counts: Counts) -> float:
    """Tokens that a run reads or writes; where a policy writes, as many as it may."""
    said, given = order.parameters, counts.characters / CHARACTERS_A_TOKEN
    if order.recipe in LEARNS:
        return given * _passes(said, counts.rows)
    if order.recipe == "rl":
        held_out = {split: counts.per_split.get(split, 0) for split in (Split.VALIDATION, Split.TEST)}
        looks = int(said["updates"]) / int(said["eval_every"])
        greedy = looks * min(int(said["eval_problems"]), held_out[Split.VALIDATION]) + sum(held_out.values())
        return (_work("rl", said, counts.rows, 0) + greedy) * longest_trace(order, counts)
    if order.recipe == "autolabel":
        asked = float(counts.steps)
        if said["method"] == LabelMethod.SEARCH.value:  # a binary search in each row
            asked = counts.rows * math.ceil(math.log2(counts.steps / max(counts.rows, 1) + 1) + 1)
        rollouts = asked * int(said["rollouts"])
        most = int(said["max_rollouts"])
        return given + (min(rollouts, most) if most else rollouts) * int(said["max_tokens"])
    if order.recipe == "generate":
        return given + _work("generate", said, counts.rows, 0) * written_at_most(order)
    if order.recipe == "evaluate" and not evaluation(order).suite.judges_prm:
        made = evaluation(order)
        each = sum(made.caps()) + len(made.caps()) * made.with_preset().max_answer_tokens
        return given + float(counts.rows * made.with_preset().n * each)
    if order.recipe == "search":
        spec = build("search", dict(said))
        assert isinstance(spec, SearchSpec)
        whole = spec.with_preset().n * (spec.max_thinking_tokens + spec.max_answer_tokens)
        return float(counts.rows * (min(whole, spec.max_tokens) if spec.max_tokens else whole))
    return given


def _operations(order: RunOrder, weights: int, judge: int) -> float:
    """Operations a token. A forward pass is 2 a weight, with the backward pass 6 (Kaplan 2020, section 2.1)."""
    if order.recipe in LEARNS:
        return 6.0 * weights
    if order.recipe == "rl":
        compared = 2 if float(order.parameters["kl_weight"]) else 0
        return (2.0 + compared + 6 * int(order.parameters["passes"])) * weights + 2.0 * judge
    if order.recipe in ("search", "evaluate"):
        return 2.0 * (weights + judge)
    return 2.0 * weights
