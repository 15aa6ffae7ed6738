"""Improve a policy by reinforcement with step scores and outcomes. Read from the top: models, problems, loop, result.

In every update the policy writes traces for some problems, the PRM scores every step, the verifier checks the answer,
both become advantages of tokens (`reasoning/credit.py`), and the policy takes a clipped step (`rl/losses.py`). The best
weights on held-out problems are kept. Rollouts stay in the run folder (`rollouts/`).
"""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from trainer.contract.events import Level
from trainer.contract.keys import Keys
from trainer.contract.records import InputRow, ModelRef, Split, record_id
from trainer.contract.spec import is_code
from trainer.contract.specs.rl import Generation, RlSpec, ServerKind
from trainer.contract.specs.setting import Adapt
from trainer.models.adapt import layers_of
from trainer.models.learn import ParameterGroup, trained
from trainer.models.load import ModelError
from trainer.models.policies import LoadedPolicy, adapt_policy, checkpoint_gradients, keeps_rows_apart, load_policy
from trainer.models.sampling import Generated, ThinkingEnded
from trainer.prompts import PromptError
from trainer.reasoning.budget import budget_figures
from trainer.reasoning.grader import GradeForm, Grader
from trainer.reasoning.metrics import bootstrap
from trainer.reasoning.recorded import record_of
from trainer.rl.author import Author
from trainer.rl.author_server import ServerWriter
from trainer.rl.card import RlResult, card_text
from trainer.rl.judges import PRM, Judges
from trainer.rl.objective import Learning, PolicyObjective, longest_of, needs_value
from trainer.rl.reference import Reference
from trainer.rl.rewarder import (
    Earned,
    OwnJudge,
    PrmJudge,
    Rewarder,
    StepJudge,
    Verifier,
    Written,
    grading_verifier,
    own_verifier,
)
from trainer.rl.train import RlTraining
from trainer.runtime import sharding
from trainer.runtime.distributed import Processes
from trainer.runtime.held_out import HeldOutSets, held_out_sets
from trainer.runtime.loop import Validation, accelerator_of, begin
from trainer.runtime.policy_card import write_policy
from trainer.runtime.user_code import load_function, load_step_scorer
from trainer.runtime.worker import RunFailed, Worker

POLICY = "model"  # the role of the policy; the PRM's is in `rl.judges`


def run(worker: Worker) -> dict[str, float]:
    """The whole recipe on one run folder. Raises Stopped, RunFailed."""
    spec = worker.spec.typed()
    assert isinstance(spec, RlSpec)
    found = begin(worker)
    torch.set_num_threads(spec.threads or torch.get_num_threads())
    problems = read_problems(worker, report=found is None)
    with Grader() as grader:
        frame = build(worker, spec, problems, grader, report=found is None)
        if found:
            frame.training.restore(found)
        frame.training.fit()
        return finish(worker, spec, frame, problems)


def read_problems(worker: Worker, *, report: bool) -> dict[Split, list[InputRow]]:
    """One row a problem, by split; problems without a reference answer cannot be rewarded and are counted."""
    worker.progress("reading rows", 0, worker.spec.input_rows, unit="rows", force=True)
    rows = list(worker.folder.read_input())
    known: dict[str, InputRow] = {}
    without = 0
    for row in rows:
        if not row.has_reference:
            without += 1
        else:
            known.setdefault(row.problem, row)
    out: dict[Split, list[InputRow]] = {split: [] for split in Split}
    for row in known.values():
        out[row.split].append(row)
    if report:
        counts = {split.value: len(part) for split, part in out.items()}
        text = ", ".join(f"{name} {count}" for name, count in counts.items())
        worker.notice(Level.INFO, "problems", f"problems: {text}", rows=len(rows), **counts)
        if without:
            worker.notice(
                Level.WARNING, "no_reference", f"{without} rows left out: they have no reference answer", rows=without
            )
    if not out[Split.TRAIN]:
        raise RunFailed("no training problem has a reference answer; choose other rows")
    return out


@dataclass(frozen=True, slots=True)
class Frame:
    """What the parts of the recipe share; `loaded` is the policy that writes, `learning` the one that learns."""

    loaded: LoadedPolicy
    learning: Learning
    author: Author
    training: RlTraining


def build(
    worker: Worker, spec: RlSpec, problems: dict[Split, list[InputRow]], grader: Grader, *, report: bool
) -> Frame:
    """Policy, PRM, verifier and loop."""
    loaded = load(worker, spec)
    learning = Learning(loaded.language, with_value=needs_value(spec), shares=keeps_rows_apart(loaded.language))
    accelerator = accelerator_of(worker, spec.precision)
    loaded, writing, whole = writer_of(loaded, learning, accelerator.device)
    reference = reference_of(spec, writing)  # a copy of what stands on the device, before the first update
    judge = load_judge(worker, spec, accelerator.device)
    judge.at(worker.step)
    rewarder = Rewarder(
        judge,
        verifier_of(worker, spec, grader),
        own=load_function(worker.folder.path, worker.spec, "reward") if is_code(spec.reward) else None,
        budget=spec.budget_reward,
        budget_rate=spec.budget_rate,
    )
    processes, server = Processes(accelerator), server_of(worker, spec, loaded)
    author = Author(
        spec, worker.spec.run, loaded, writing, problems[Split.TRAIN], rewarder, reference, processes, server, whole
    )
    if report:
        warn(worker, spec, author)
    held_out = problems[Split.VALIDATION][: spec.eval_problems]
    sets = held_out_sets(worker, spec.eval_sets, spec.best_by, report=report)
    named = rows_of(sets, problems, spec.eval_problems)
    training = RlTraining(
        worker,
        spec,
        accelerator,
        learning,
        PolicyObjective(learning, spec, longest_of(spec)),
        groups_of(spec, learning),
        author,
        problems[Split.TRAIN],
        (lambda: validate(worker, author, held_out, sets, named)) if held_out or named else None,
    )
    return Frame(loaded, learning, author, training)


def load(worker: Worker, spec: RlSpec) -> LoadedPolicy:
    """The policy, and which of its weights are trained. Raises RunFailed."""
    worker.progress("loading the models", 0, 2, unit="models", force=True)
    source = path_of(worker, POLICY) or spec.model
    if not source:
        raise RunFailed("no policy chosen; set `model` to one made by sft or to a folder with a causal language model")
    try:
        loaded = load_policy(source, seed=spec.seed)
        loaded.prompts.ids_of("A problem.")
        torch.manual_seed(spec.seed)  # adapters begin alike in every process and every attempt
        adapt_policy(loaded.language, spec.adapt, last_layers=spec.last_layers, rank=spec.lora_rank)
    except (ModelError, PromptError, ValueError) as error:
        raise RunFailed(f"{source}: {error}") from error
    if spec.gradient_checkpointing:
        checkpoint_gradients(loaded.language)
    return loaded


def writer_of(
    loaded: LoadedPolicy, learning: Learning, device: torch.device
) -> tuple[LoadedPolicy, Learning, sharding.Whole | None]:
    """What writes traces: the policy that learns, or, where that one is spread over processes, a whole copy of it."""
    if not sharding.is_asked():
        return loaded, learning.to(device), None
    writing = copy.deepcopy(learning).to(device).eval()
    sharding.shard(learning, layers_of(learning.policy.blocks), device)
    return replace(loaded, language=writing.policy), writing, sharding.Whole(writing, learning)


def load_judge(worker: Worker, spec: RlSpec, device: torch.device) -> StepJudge:
    """Who scores steps: a PRM, a user's function, or nobody. Raises RunFailed, RunFolderError."""
    if is_code(spec.prm):
        return OwnJudge(load_step_scorer(worker.folder.path, worker.spec, PRM))
    if not path_of(worker, PRM) and not spec.prm:
        return PrmJudge(None)
    return Judges(worker, spec.prm, device)


def path_of(worker: Worker, role: str) -> str:
    """Where the run's model of a role lies; empty when the run brings none."""
    found: Iterable[ModelRef] = (model for model in worker.spec.models if model.role == role)
    return next((str(worker.folder.path / model.path) for model in found), "")


def server_of(worker: Worker, spec: RlSpec, loaded: LoadedPolicy) -> ServerWriter | None:
    """The server that writes the rollouts, if one shall. Raises RunFailed."""
    if spec.generation is Generation.OWN:
        return None
    return ServerWriter(worker, spec, loaded, Keys.handed(sys.stdin.buffer))


def reference_of(spec: RlSpec, learning: Learning) -> Reference | None:
    """The policy as it is before the first update, where the distance from it counts."""
    if spec.kl_weight == 0:
        return None
    if spec.adapt is Adapt.LORA:
        return Reference(learning, None, spec.temperature)
    frozen = Learning(copy.deepcopy(learning.policy), with_value=False, shares=learning.shares).eval()
    frozen.requires_grad_(False)
    return Reference(learning, frozen, spec.temperature)


def verifier_of(worker: Worker, spec: RlSpec, grader: Grader) -> Verifier:
    """Who says whether an answer is right. Raises RunFailed, RunFolderError."""
    if is_code(spec.verifier):
        return own_verifier(load_function(worker.folder.path, worker.spec, "verifier"))
    if spec.verifier not in (GradeForm.STRICT, GradeForm.LENIENT):
        raise RunFailed(f"verifier = {spec.verifier!r} is none of strict, lenient and FILE.py:function")
    return grading_verifier(grader, GradeForm(spec.verifier))


def groups_of(spec: RlSpec, learning: Learning) -> list[ParameterGroup]:
    """AdamW's groups: the policy, and PPO's value head at its own rate; no weight decay."""
    policy = tuple(weight for _, weight in trained(learning.policy))
    groups = [ParameterGroup("learning_rate", policy, spec.rate)]
    if learning.value is not None:
        groups.append(ParameterGroup("value_learning_rate", tuple(learning.value.parameters()), spec.value_rate))
    return groups


def warn(worker: Worker, spec: RlSpec, author: Author) -> None:
    """What the user should know of these settings before the first update."""
    for text in author.credit.warnings:
        worker.notice(Level.WARNING, "credit", text)
    if spec.process_weight > 0 and author.credit.process_weight == 0:
        worker.notice(Level.WARNING, "no_prm", "no PRM chosen: the outcome alone pays")
    if spec.generation is Generation.SERVER and spec.server_kind is ServerKind.VLLM:
        text = f"vLLM keeps {spec.max_thinking + spec.max_answer} tokens in all, not thinking and answer apart"
        more = "; start it with --logprobs-mode processed_logprobs" if (spec.temperature, spec.top_p) != (1, 1) else ""
        worker.notice(Level.WARNING, "server", text + more)
    if spec.traces == 1 and not needs_value(spec):
        raise RunFailed(f"{spec.algorithm.value} compares the traces of a problem; write at least 2 of each")
    if len(author.problems) < spec.prompts:
        text = f"an update of {spec.prompts} problems takes some of the {len(author.problems)} more than once"
        worker.notice(Level.WARNING, "few_problems", text)


def rows_of(sets: HeldOutSets, problems: dict[Split, list[InputRow]], most: int) -> dict[str, list[InputRow]]:
    """The problems of every set, at most so many each. Raises RunFailed when the deciding set has none left."""
    known = {row.id: row for part in problems.values() for row in part}
    found = {name: [known[id] for id in ids if id in known][:most] for name, ids in sets.rows.items()}
    if sets.best_by and not found.get(sets.best_by):
        raise RunFailed(f"no problem of the set {sets.best_by!r} has a reference answer; choose other rows")
    return {name: rows for name, rows in found.items() if rows}


def validate(
    worker: Worker,
    author: Author,
    held_out: Sequence[InputRow],
    sets: HeldOutSets,
    named: dict[str, list[InputRow]],
) -> Validation:
    """Greedy answers to held-out problems, each written once; weights are compared by accuracy, or what budgets pay."""
    rows = list({row.id: row for part in (held_out, *named.values()) for row in part}.values())
    worker.progress("evaluating", 0, len(rows), unit="problems", force=True)
    author.judge_at(worker.step)
    answers = {row.id: one for row, one in zip(rows, author.greedy(rows, worker.check), strict=True)}

    def of(part: Sequence[InputRow]) -> Validation:
        values = figures_of([answers[row.id] for row in part])
        return Validation(values, values.get("paid", values["accuracy"]))

    return sets.judged(of(held_out or rows), {name: of(part) for name, part in named.items()})


def figures_of(found: Sequence[tuple[Generated, Written, Earned]]) -> dict[str, float]:
    """Share of right answers (undecided ones count as wrong), step scores, lengths and how budgets were kept."""
    right = [float(earned.correct is True) for _, _, earned in found]
    scores = [score for _, _, earned in found for score in earned.scores]
    lengths = [trace.length for _, trace, _ in found]
    out = {
        "accuracy": sum(right) / len(right),
        "n_problems": float(len(found)),
        "undecided": float(sum(earned.correct is None for _, _, earned in found)),
        "process": sum(scores) / len(scores) if scores else 0.0,
        "mean_length": sum(lengths) / len(lengths),
        "mean_thinking": sum(made.thinking_tokens for made, _, _ in found) / len(found),
    }
    asked = [(made, trace) for made, trace, _ in found if trace.budget is not None]
    if asked:
        forced = [made.thinking_ended is ThinkingEnded.FORCED for made, _ in asked]
        kept = budget_figures([m.thinking_tokens for m, _ in asked], [t.budget or 0 for _, t in asked], forced)
        out |= {"budget_deviation": kept.deviation, "budget_overrun": kept.overrun, "budget_forced": kept.forced}
        out |= {"paid": sum(earned.outcome or 0.0 for _, _, earned in found) / len(found)}
    return out


def finish(worker: Worker, spec: RlSpec, frame: Frame, problems: dict[Split, list[InputRow]]) -> dict[str, float]:
    """The best weights, measured on every held-out problem, as a plain model folder with its card."""
    training = frame.training
    # The finish is a step of its own, so that a resume voids what a killed finish said.
    worker.step = training.state.step + 1
    training.take_best()
    frame.learning.eval()
    values: dict[Split, dict[str, float]] = {}
    for split in (Split.VALIDATION, Split.TEST):
        if problems[split]:
            worker.progress("testing", 0, len(problems[split]), unit="problems", force=True)
            found = frame.author.greedy(problems[split], worker.check)
            values[split] = with_interval(figures_of(found), found)
            if split is Split.TEST:
                record(worker, problems[split], found, worker.spec.name or worker.spec.run)
    result = RlResult(training.state, values, {split: len(rows) for split, rows in problems.items()})
    with frame.author.weights():
        checksum = write_policy(worker, frame.loaded, problems, lambda found: card_text(worker, spec, result, found))
    worker.log(f"model written, checksum {checksum[:12]}")
    if Split.TEST in values:
        worker.metrics(Split.TEST, values[Split.TEST])
    return result.summary()


def with_interval(values: dict[str, float], found: Sequence[tuple[Generated, Written, Earned]]) -> dict[str, float]:
    """The figures with a 95 % bootstrap interval of the accuracy over problems."""
    names = np.array([trace.problem for _, trace, _ in found])
    right = np.array([float(earned.correct is True) for _, _, earned in found])
    interval = bootstrap(names, lambda weights: float((weights * right).sum() / weights.sum()), rounds=1000, seed=0)
    if not math.isfinite(interval.low):
        return values
    return values | {"accuracy_low": interval.low, "accuracy_high": interval.high}


def record(
    worker: Worker, rows: Sequence[InputRow], found: Sequence[tuple[Generated, Written, Earned]], model: str
) -> None:
    """Traces for the store: those of the test problems, not those of training."""
    for row, (_, trace, earned) in zip(rows, found, strict=True):
        worker.record(
            record_of(
                trace.response,
                id=record_id(worker.spec.run, row.id, 0),
                row=row.id,
                problem=row.problem,
                reference=row.reference,
                model=model,
                correct=earned.correct,
            )
        )
    worker.flush()
