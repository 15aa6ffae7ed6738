"""Train a process reward model on rated steps. Read from the top: rows, model, loop, result.

The loss is the mean cross-entropy over all labels of a batch, so it does not depend on how the batch is cut into
micro-batches. Dropout is off. The data's place follows from the step and the seed alone, which makes a resume exact.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from accelerate import Accelerator

from trainer.contract import events
from trainer.contract.events import Level
from trainer.contract.records import Split
from trainer.contract.specs.prm import AfterError, Balance, PrmSpec, RewardSpec
from trainer.contract.specs.setting import Convention
from trainer.data import NOTHING_TAUGHT, CutCounts, Labelled, TokenRow, class_weights, classes_of, label_rows, tokenise
from trainer.models.adapt import layers_of
from trainer.models.judge import HeldOut, Judged, targets_within
from trainer.models.learn import trained
from trainer.models.load import TINY, Loaded, load_for_training
from trainer.models.prm import CLASS_NAMES, Prm, PrmSettings, StepObjective, adapt, parameter_groups
from trainer.reasoning.calibration import LEAST_LABELS, Calibration
from trainer.runtime import sharding
from trainer.runtime.card import Result, write_model
from trainer.runtime.checkpoint import Found
from trainer.runtime.held_out import HeldOutSets, held_out_sets
from trainer.runtime.loop import Training, Validation, accelerator_of, begin
from trainer.runtime.worker import Follower, RunFailed, Worker

EXAMPLES = 8
EVAL_TOKENS = 8192


def run(worker: Worker) -> dict[str, float]:
    """The whole recipe on one run folder. Raises Stopped, RunFailed."""
    spec = worker.spec.typed()
    assert isinstance(spec, PrmSpec)
    found = begin(worker)
    rows = read_rows(worker, spec, report=found is None)
    settings = settings_of(worker, spec, classes_of(spec.neutral), spec.neutral.value)
    return train(worker, spec, settings, rows, found)


def train(
    worker: Worker, spec: RewardSpec, settings: PrmSettings, rows: Labelled, found: Found | None
) -> dict[str, float]:
    """Train on labelled rows, whatever their labels are about, and write the model. Raises Stopped, RunFailed."""
    torch.set_num_threads(spec.threads or torch.get_num_threads())
    loaded = load(worker, spec, settings, rows)
    tokens = to_tokens(worker, spec, rows, loaded, report=found is None)
    held_out = held(worker, tokens, Split.VALIDATION)
    sets = held_out_sets(worker, spec.eval_sets, spec.best_by, report=found is None)
    named = named_sets(sets, tokens)
    prm, accelerator = loaded.prm, accelerator_of(worker, spec.precision)
    if sharding.is_asked():
        sharding.shard(prm, layers_of(prm.blocks), accelerator.device)
    weights = class_weights(rows.balance(Split.TRAIN)) if spec.balance is Balance.WEIGHTS else None
    objective = StepObjective(prm, spec.language_loss, weights)
    training = Training(
        worker,
        spec,
        accelerator,
        prm,
        objective,
        parameter_groups(prm, head_rate=spec.head_rate, body_rate=spec.body_rate, weight_decay=spec.weight_decay),
        tokens.rows[Split.TRAIN],
        (lambda: validate(worker, accelerator, prm, held_out, sets, named)) if held_out.rows else None,
    )
    objective.head_only = lambda: training.state.step < spec.head_first * training.total
    if found:
        training.restore(found)
    training.fit()
    return finish(worker, spec, loaded, training, rows, tokens, held_out)


def read_rows(worker: Worker, spec: PrmSpec, *, report: bool) -> Labelled:
    """input.jsonl under the neutral policy; what is refused or lost is told once."""
    worker.progress("reading rows", 0, worker.spec.input_rows, unit="rows", force=True)
    rows = label_rows(worker.folder.read_input(), spec.neutral, spec.after_error)
    counts = rows.counts
    if report:
        worker.notice(
            Level.INFO,
            "labels",
            f"{counts.labels} labels in {len(rows.rows)} of {counts.rows} rows; neutral: {spec.neutral.value}; "
            f"after the first error: {spec.after_error.value}",
            **counts.as_dict(),
        )
        if counts.rows_bad_votes:
            bad = [f"{name} ({why})" for name, why in rows.refused.items() if why != NOTHING_TAUGHT]
            text = f"{len(bad)} rows left out, their votes do not fit their steps: {', '.join(bad[:5])}"
            worker.notice(Level.ERROR, "votes_do_not_fit", text, rows=len(bad))
        if counts.rows_without_label:
            text = f"{counts.rows_without_label} rows left out, no step of theirs teaches anything"
            worker.notice(Level.WARNING, "rows_without_label", text, rows=counts.rows_without_label)
        if spec.after_error is AfterError.REPAIRS and not counts.repairs:
            text = (
                "no row marks a step that repairs another: steps after the first negative teach nothing, as with mask"
            )
            worker.notice(Level.WARNING, "no_repairs", text)
    check_balance(worker, spec, rows, report=report)
    return rows


def check_balance(worker: Worker, spec: RewardSpec, rows: Labelled, *, report: bool) -> None:
    """Tell how the training labels are spread over the classes. Raises RunFailed where there is none."""
    balance = rows.balance(Split.TRAIN)
    if not balance.sum():
        raise RunFailed("no training row has a label; choose more rows, or another neutral policy")
    if report:
        shares = ", ".join(
            f"{name} {weight:.0f} ({weight / balance.sum():.1%})"
            for name, weight in zip(CLASS_NAMES[len(balance)], balance, strict=True)
        )
        worker.notice(Level.INFO, "class_balance", f"training labels: {shares}; balance: {spec.balance.value}")
        if np.count_nonzero(balance) < 2:
            worker.notice(Level.WARNING, "one_class", "all training labels are on one side: nothing can be told apart")


def settings_of(worker: Worker, spec: RewardSpec, classes: int, neutral: str) -> PrmSettings:
    """What the model must remember to read text as it is trained."""
    return PrmSettings(
        classes,
        separator=spec.separator,
        max_length=spec.max_length,
        neutral=neutral,
        domain=", ".join(sorted({name for row in worker.folder.read_input() if (name := row.project or row.origin)})),
        convention=spec.convention,
        placeholder=spec.placeholder,
    )


def load(worker: Worker, spec: RewardSpec, settings: PrmSettings, rows: Labelled) -> Loaded:
    """The model with a fresh head, and which of its weights are trained. Raises RunFailed."""
    worker.progress("loading the model", 0, 1, unit="models", force=True)
    if spec.language_loss and spec.convention is not Convention.TRL:
        raise RunFailed("the next-token loss goes with the TRL convention alone; set language_loss to 0")
    source = str(worker.folder.path / worker.spec.models[0].path) if worker.spec.models else spec.model
    texts = (text for row in rows.of(Split.TRAIN) for text in (row.problem, spec.separator.join(row.steps)))
    loaded = load_for_training(
        source,
        settings,
        texts if source == TINY else (),
        seed=spec.seed,
        with_language_head=spec.language_loss > 0 or spec.keep_language_head,
    )
    prm = loaded.prm
    torch.manual_seed(spec.seed)
    if prm.language_head is not None and not spec.language_loss and not prm.model.config.tie_word_embeddings:
        prm.language_head.requires_grad_(False)
    adapt(prm, spec.adapt, last_layers=spec.last_layers, rank=spec.lora_rank)
    if spec.gradient_checkpointing:
        model = prm.model
        enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        enable({"use_reentrant": False})
        prm.recomputes = True
    worker.check()
    return loaded


@dataclass(frozen=True, slots=True)
class Tokens:
    """Every split as token rows, and what the cut at max_length cost each."""

    rows: dict[Split, list[TokenRow]]
    cut: dict[Split, CutCounts]


def to_tokens(worker: Worker, spec: RewardSpec, rows: Labelled, loaded: Loaded, *, report: bool) -> Tokens:
    """Every split as token rows; labels lost to the cut are told for each split."""
    limit = min(spec.max_length, getattr(loaded.prm.model.config, "max_position_embeddings", None) or spec.max_length)
    encoder = loaded.encoder(limit)
    out = Tokens({}, {})
    for split in Split:
        counts, tokens, of_split = CutCounts(), [], rows.of(split)
        for start in range(0, len(of_split), 256):
            worker.progress("tokenising", start, len(of_split), unit="rows")
            tokens += tokenise(of_split[start : start + 256], encoder, counts)
        out.rows[split], out.cut[split] = tokens, counts
        if report:
            tell_cut(worker, split, counts, limit, encoder.marker)
    if not out.rows[Split.TRAIN]:
        raise RunFailed(f"no label lies within {limit} tokens; raise max_length")
    if report and not out.rows[Split.VALIDATION]:
        worker.notice(Level.WARNING, "no_validation", "no validation rows: the last weights are kept, unjudged")
    return out


def tell_cut(worker: Worker, split: Split, counts: CutCounts, limit: int, marker: str) -> None:
    """What became of labels on the way to tokens, if anything."""
    if counts.rows_cut:
        text = (
            f"{split.value}: {counts.labels_lost} labels of {counts.rows_cut} rows lie beyond {limit} tokens and "
            f"are lost, {counts.rows_lost} rows with all of theirs; raise max_length to keep them"
        )
        worker.notice(Level.WARNING, "labels_cut", text, **counts.as_dict())
    if counts.steps_with_marker:
        text = (
            f"{split.value}: {counts.steps_with_marker} steps hold {marker!r} within; their labels stand at their ends "
            "all the same, but tools that look for every one of them will misread these rows"
        )
        worker.notice(Level.INFO, "separator_in_steps", text, steps=counts.steps_with_marker)
    if counts.rows_misplaced:
        bad = [f"{name} ({why})" for name, why in counts.misplaced.items()]
        text = f"{split.value}: {len(bad)} rows left out, the convention cannot place their steps: {', '.join(bad[:3])}"
        worker.notice(Level.ERROR, "steps_misplaced", text, rows=len(bad))


def held(worker: Worker, tokens: Tokens, split: Split) -> HeldOut:
    """The rows of a split with the baselines fitted on the training rows."""
    worker.progress("fitting the baselines", 0, 1, unit="baselines", force=True)
    return HeldOut(tokens.rows[split], tokens.rows[Split.TRAIN], budget=EVAL_TOKENS)


def named_sets(sets: HeldOutSets, tokens: Tokens) -> dict[str, HeldOut]:
    """The rows of every set, each with its own baselines. Raises RunFailed when the deciding set has no label."""
    known = {row.row.id: row for part in tokens.rows.values() for row in part}
    found = {name: [known[id] for id in ids if id in known] for name, ids in sets.rows.items()}
    if sets.best_by and not found.get(sets.best_by):
        raise RunFailed(f"no row of the set {sets.best_by!r} has a label; choose other rows")
    train = tokens.rows[Split.TRAIN]
    return {name: HeldOut(rows, train, budget=EVAL_TOKENS) for name, rows in found.items() if rows}


def judge(worker: Worker, accelerator: Accelerator, prm: Prm, held_out: HeldOut, phase: str) -> Judged:
    """Score held-out rows with the weights of now."""
    count = len(held_out.rows)
    with accelerator.autocast():
        return held_out.judge(prm, lambda done: worker.progress(phase, done, count, unit="rows"))


def validate(
    worker: Worker,
    accelerator: Accelerator,
    prm: Prm,
    held_out: HeldOut,
    sets: HeldOutSets,
    named: Mapping[str, HeldOut],
) -> Validation:
    """Judge the validation rows and every set, and show a few rows; weights are compared by AUC, else by loss."""
    judged = judge(worker, accelerator, prm, held_out, "validating")
    for row, scores in list(zip(held_out.rows, judged.scores, strict=True))[:EXAMPLES]:
        worker.say(
            events.Example,
            row=row.row.id,
            problem=row.row.problem,
            steps=row.row.steps,
            scores=scores,
            targets=targets_within(row),
        )
    found = {name: compared(judge(worker, accelerator, prm, each, name)) for name, each in named.items()}
    return sets.judged(compared(judged), found)


def compared(judged: Judged) -> Validation:
    """What weights are compared by: AUC, or loss where the labels are all on one side."""
    values = judged.values
    return Validation(values, values["auc"] if math.isfinite(values["auc"]) else -values["loss"])


def remember(worker: Worker, prm: Prm, calibration: Calibration) -> None:
    """Keep temperature and threshold in the model's settings: whoever scores with it applies them."""
    temperature, threshold = calibration.temperature, calibration.threshold
    plain = calibration.as_dict()
    prm.remember(replace(prm.settings, temperature=temperature, threshold=threshold, calibration=plain))
    told = {name: value for name, value in plain.items() if isinstance(value, float)}
    worker.metrics("calibration", {"temperature": temperature, "threshold": threshold, **told})
    if calibration.labels < LEAST_LABELS:
        text = f"{calibration.labels} validation labels are too few to calibrate on: temperature 1, threshold 0.5"
        worker.notice(Level.INFO, "not_calibrated", text)
        return
    worker.log(
        f"calibrated on {calibration.labels} validation labels: temperature {calibration.temperature:.3f}, threshold "
        f"{calibration.threshold:.3f}, ECE {calibration.before.ece:.3f} -> {calibration.after.ece:.3f}"
    )


def in_one_piece(worker: Worker, spec: RewardSpec, spread: Loaded, rows: Labelled) -> Loaded:
    """The model that lay spread over processes, where it is written: what was not trained is as it was loaded."""
    settings, writes = spread.prm.settings, not isinstance(worker, Follower)
    weights = sharding.whole_weights(trained(spread.prm), keep=writes)
    if not writes:
        return spread
    loaded = load(worker, spec, settings, rows)
    sharding.put_weights(loaded.prm, weights)
    loaded.prm.remember(settings)
    return loaded


def finish(
    worker: Worker,
    spec: RewardSpec,
    loaded: Loaded,
    training: Training[TokenRow],
    rows: Labelled,
    tokens: Tokens,
    validation: HeldOut,
) -> dict[str, float]:
    """The best weights, judged on validation and test, as a plain model folder with its card."""
    # The finish is a step of its own, so that a resume voids what a killed finish said.
    worker.step = training.state.step + 1
    training.take_best()
    judged: dict[Split, Judged] = {}
    intervals = {}
    for split in (Split.VALIDATION, Split.TEST):
        if tokens.rows[split]:
            held_out = held(worker, tokens, split) if split is Split.TEST else validation
            raw = judge(worker, training.accelerator, loaded.prm, held_out, "testing")
            if split is Split.VALIDATION:
                calibration = held_out.calibration(raw)
            judged[split] = held_out.calibrated(raw, calibration) if validation.rows else raw
            intervals[split] = held_out.intervals(judged[split])
    if validation.rows:
        remember(worker, loaded.prm, calibration)
    values = {split: result.values for split, result in judged.items()}
    counts = {split: len(part) for split, part in tokens.rows.items()}
    if sharding.parts_of(loaded.prm):
        loaded = in_one_piece(worker, spec, loaded, rows)
    result = Result(training.state, values, intervals, counts, tokens.cut)
    checksum = write_model(worker, spec, loaded, rows, result)
    worker.log(f"model written, checksum {checksum[:12]}")
    if Split.TEST in values:
        worker.metrics(Split.TEST, result.with_intervals(Split.TEST))
    return result.summary()
