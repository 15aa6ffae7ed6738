"""Teach a policy by demonstrations. Read from the top: rows, model, demonstrations, loop, result.

The loss is the mean cross-entropy over all learned tokens of a batch, so it does not depend on how the batch is cut
into passes, laid out on lines or shared over processes. Prompts are given, not learned. Dropout is off.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from accelerate import Accelerator

from trainer.contract.events import Level
from trainer.contract.forms import BudgetReward
from trainer.contract.records import InputRow, Split
from trainer.contract.spec import SftSpec
from trainer.data import split_by_tokens
from trainer.models.adapt import layers_of
from trainer.models.language import DemonstrationObjective, Language, collate
from trainer.models.learn import ParameterGroup, padded_passes, trained
from trainer.models.load import TINY
from trainer.models.policies import LoadedPolicy, adapt_policy, checkpoint_gradients, keeps_rows_apart, load_policy
from trainer.prompts import (
    Demonstration,
    DemonstrationCounts,
    Demonstrator,
    PromptError,
    PromptSettings,
    packed_passes,
    response_of,
    split_rows,
)
from trainer.reasoning.budget import with_budget
from trainer.runtime import sharding
from trainer.runtime.distributed import Processes
from trainer.runtime.held_out import HeldOutSets, held_out_sets
from trainer.runtime.loop import Training, Validation, accelerator_of, begin
from trainer.runtime.memory import is_out_of_memory, release
from trainer.runtime.policy_card import SftResult, card_text, write_policy
from trainer.runtime.worker import Follower, RunFailed, Worker

EVAL_TOKENS = 8192


def run(worker: Worker) -> dict[str, float]:
    """The whole recipe on one run folder. Raises Stopped, RunFailed."""
    spec = worker.spec.typed()
    assert isinstance(spec, SftSpec)
    found = begin(worker)
    torch.set_num_threads(spec.threads or torch.get_num_threads())
    worker.progress("reading rows", 0, worker.spec.input_rows, unit="rows", force=True)
    rows = split_rows(worker.folder.read_input())
    loaded = load(worker, spec, rows[Split.TRAIN])
    made = demonstrate(worker, spec, rows, loaded, report=found is None)
    packing = spec.packing and can_pack(worker, loaded, report=found is None)
    language, accelerator = loaded.language, accelerator_of(worker, spec.precision)
    if sharding.is_asked():
        sharding.shard(language, layers_of(language.blocks), accelerator.device)
    validation = made.rows[Split.VALIDATION]
    sets = held_out_sets(worker, spec.eval_sets, spec.best_by, report=found is None)
    named = rows_of(sets, made)
    weights = tuple(weight for _, weight in trained(language))
    training = Training(
        worker,
        spec,
        accelerator,
        language,
        DemonstrationObjective(language, packing=packing),
        [ParameterGroup("learning_rate", weights, spec.rate, spec.weight_decay)],
        made.rows[Split.TRAIN],
        (lambda: validate(worker, accelerator, language, validation, sets, named)) if validation or named else None,
        packed_passes if packing else padded_passes,
    )
    if found:
        training.restore(found)
    training.fit()
    return finish(worker, spec, loaded, training, rows[Split.TRAIN], made)


def load(worker: Worker, spec: SftSpec, rows: Sequence[InputRow]) -> LoadedPolicy:
    """The model, and which of its weights are trained."""
    worker.progress("loading the model", 0, 1, unit="models", force=True)
    source = str(worker.folder.path / worker.spec.models[0].path) if worker.spec.models else spec.model
    said = [*range(1, spec.max_length)] * 2  # a number that stands twice becomes one token
    told = range(1, 10) if spec.budget is BudgetReward.NONE else said
    budgets = [with_budget("", budget, spec.budget) for budget in told]
    texts = (text for row in rows for text in (row.problem, response_of(row), *budgets))
    settings = PromptSettings(spec.prompt, spec.budget)
    loaded = load_policy(source, settings, texts if source == TINY else (), seed=spec.seed)
    torch.manual_seed(spec.seed)
    try:
        adapt_policy(loaded.language, spec.adapt, last_layers=spec.last_layers, rank=spec.lora_rank)
    except ValueError as error:
        raise RunFailed(str(error)) from error
    if spec.gradient_checkpointing:
        checkpoint_gradients(loaded.language)
    worker.check()
    return loaded


@dataclass(frozen=True, slots=True)
class Demonstrations:
    """Every split as demonstrations, and what became of its rows."""

    rows: dict[Split, list[Demonstration]]
    counts: dict[Split, DemonstrationCounts]


def demonstrate(
    worker: Worker, spec: SftSpec, rows: dict[Split, list[InputRow]], loaded: LoadedPolicy, *, report: bool
) -> Demonstrations:
    """Every split as token rows; what is left out or cut is told for each split."""
    positions = getattr(loaded.language.model.config, "max_position_embeddings", None) or spec.max_length
    limit = min(spec.max_length, positions)
    try:
        demonstrator = Demonstrator(
            loaded.prompts, limit, drop_rated_wrong=spec.drop_rated_wrong, drop_cut=spec.drop_cut, seed=spec.seed
        )
    except PromptError as error:
        raise RunFailed(f"{loaded.source}: {error}") from error
    out = Demonstrations({}, {})
    for split, of_split in rows.items():
        counts, made = DemonstrationCounts(), []
        for start in range(0, len(of_split), 256):
            worker.progress("tokenising", start, len(of_split), unit="rows")
            made += demonstrator.make(of_split[start : start + 256], counts)
        out.rows[split], out.counts[split] = made, counts
        if report:
            tell_counts(worker, split, counts, limit, spec)
    if not out.rows[Split.TRAIN]:
        raise RunFailed(f"no training row teaches anything within {limit} tokens; choose more rows or raise max_length")
    if report and not out.rows[Split.VALIDATION]:
        worker.notice(Level.WARNING, "no_validation", "no validation rows: the last weights are kept, unjudged")
    return out


def tell_counts(worker: Worker, split: Split, counts: DemonstrationCounts, limit: int, spec: SftSpec) -> None:
    """A notice of what a split teaches, and one for each way in which rows or tokens were lost."""
    c = counts
    told = [
        (c.rows_rated_wrong, "rows_rated_wrong", "rows left out, a step of theirs was rated negative"),
        (c.rows_without_response, "rows_without_response", "rows left out, they demonstrate nothing"),
        (
            c.rows_cut,
            "rows_cut",
            f"rows are longer than {limit} tokens and {'left out' if spec.drop_cut else 'lose their end'} "
            f"({c.tokens_cut} tokens); raise max_length to keep them",
        ),
        (c.rows_without_completion, "rows_without_completion", f"rows left out, {limit} tokens hold only their prompt"),
        (c.rows_without_thinking, "rows_without_thinking", "rows have no thinking, so their prompt says no budget"),
    ]
    if c.rows:
        text = f"{split.value}: {c.tokens_learned} of {c.tokens} tokens are learned, in {c.rows} rows"
        worker.notice(Level.INFO, "demonstrations", text, **c.as_dict())
    for count, code, text in told:
        if count:
            worker.notice(Level.WARNING, code, f"{split.value}: {count} {text}", rows=count)


def can_pack(worker: Worker, loaded: LoadedPolicy, *, report: bool) -> bool:
    """Whether rows on one line stay apart in this model; told when they do not."""
    apart = keeps_rows_apart(loaded.language)
    if not apart and report:
        text = "packing is off: this model lets rows on one line see each other; each row gets a line of its own"
        worker.notice(Level.WARNING, "packing_off", text)
    return apart


def measure(
    worker: Worker, accelerator: Accelerator, language: Language, rows: Sequence[Demonstration], phase: str
) -> dict[str, float]:
    """Mean cross-entropy and share of hits over the learned tokens of held-out rows, shared over the processes."""
    processes = Processes(accelerator)
    sharded = bool(sharding.parts_of(language))  # then all must pass alike, so each measures every row
    mine = list(rows if sharded else processes.part_of(rows))
    groups = deque([mine[i] for i in group] for group in split_by_tokens([row.length for row in mine], EVAL_TOKENS))
    loss, hits, done = 0.0, 0, 0
    language.eval()
    while groups:
        worker.progress(phase, done, len(mine), unit="rows")
        group = groups.popleft()
        found = one_pass(accelerator, language, group)
        if found is None:
            if len(group) == 1:
                raise MemoryError(f"a row of {group[0].length} tokens does not fit; lower max_length")
            release()
            groups.extendleft((group[len(group) // 2 :], group[: len(group) // 2]))
            continue
        loss, hits, done = loss + found[0], hits + found[1], done + len(group)
    language.train()
    found_here = (loss, float(hits), float(sum(row.learned for row in mine)))
    loss, hit, tokens = found_here if sharded else processes.sum(found_here)
    mean = loss / tokens
    return {
        "loss": mean,
        "accuracy": hit / tokens,
        "perplexity": math.exp(min(mean, 700.0)),
        "n_tokens": tokens,
        "n_rows": len(rows),
    }


def one_pass(accelerator: Accelerator, language: Language, rows: Sequence[Demonstration]) -> tuple[float, int] | None:
    """Summed loss and hits; None when memory ran out."""
    try:
        with torch.no_grad(), accelerator.autocast():
            found = language(collate(rows, language.device))
            return float(found.loss), found.hits
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error) or sharding.parts_of(language):  # no pass is cut in one process alone
            raise
        return None


def rows_of(sets: HeldOutSets, made: Demonstrations) -> dict[str, list[Demonstration]]:
    """The demonstrations of every set. Raises RunFailed when the deciding set teaches nothing."""
    known = {one.row.id: one for part in made.rows.values() for one in part}
    found = {name: [known[id] for id in ids if id in known] for name, ids in sets.rows.items()}
    if sets.best_by and not found.get(sets.best_by):
        raise RunFailed(f"no row of the set {sets.best_by!r} demonstrates anything; choose other rows")
    return {name: rows for name, rows in found.items() if rows}


def validate(
    worker: Worker,
    accelerator: Accelerator,
    language: Language,
    validation: Sequence[Demonstration],
    sets: HeldOutSets,
    named: dict[str, list[Demonstration]],
) -> Validation:
    """Measure the validation rows and every set; weights are compared by loss."""

    def of(rows: Sequence[Demonstration]) -> Validation:
        values = measure(worker, accelerator, language, rows, "validating")
        return Validation(values, -values["loss"])

    found = {name: of(rows) for name, rows in named.items()}
    return sets.judged(of(validation) if validation else next(iter(found.values())), found)


def finish(
    worker: Worker,
    spec: SftSpec,
    loaded: LoadedPolicy,
    training: Training[Demonstration],
    rows: Sequence[InputRow],
    made: Demonstrations,
) -> dict[str, float]:
    """The best weights, measured on validation and test, as a plain model folder with its card."""
    # The finish is a step of its own, so that a resume voids what a killed finish said.
    worker.step = training.state.step + 1
    training.take_best()
    values = {
        split: measure(worker, training.accelerator, loaded.language, made.rows[split], "testing")
        for split in (Split.VALIDATION, Split.TEST)
        if made.rows[split]
    }
    if sharding.parts_of(loaded.language):  # what was not trained is as it was loaded
        writes = not isinstance(worker, Follower)
        weights = sharding.whole_weights(trained(loaded.language), keep=writes)
        if writes:
            loaded = load(worker, spec, rows)
            sharding.put_weights(loaded.language, weights)
    result = SftResult(training.state, values, made.counts)
    taught = {split: [one.row for one in part] for split, part in made.rows.items()}
    checksum = write_policy(worker, loaded, taught, lambda found: card_text(worker, spec, loaded, result, found))
    worker.log(f"model written, checksum {checksum[:12]}")
    if Split.TEST in values:
        worker.metrics(Split.TEST, values[Split.TEST])
    return result.summary()
