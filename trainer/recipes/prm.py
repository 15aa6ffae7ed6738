"""Train a process reward model on rated steps. Read from the top: rows, model, loop, result.

The loss is the mean cross-entropy over all labels of a batch, so it does not depend on how the batch is cut into
micro-batches. Dropout is off. The data's place follows from the step and the seed alone, which makes a resume exact.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from accelerate import Accelerator

from trainer.contract import events
from trainer.contract.events import Level
from trainer.contract.records import Split
from trainer.contract.spec import PrmSpec
from trainer.data import CutCounts, Labelled, StepEncoder, TokenRow, classes_of, label_rows, tokenise
from trainer.models.judge import HeldOut, Judged, targets_within
from trainer.models.load import TINY, Loaded, load_for_training
from trainer.models.prm import Prm, PrmSettings, StepObjective, adapt, parameter_groups
from trainer.runtime.card import Result, write_model
from trainer.runtime.loop import Training, Validation, accelerator_of, begin
from trainer.runtime.worker import RunFailed, Worker

EXAMPLES = 8
EVAL_TOKENS = 8192


def run(worker: Worker) -> dict[str, float]:
    """The whole recipe on one run folder. Raises Stopped, RunFailed."""
    spec = worker.spec.typed()
    assert isinstance(spec, PrmSpec)
    found = begin(worker)
    fresh = found is None
    torch.set_num_threads(spec.threads or torch.get_num_threads())
    rows = read_rows(worker, spec, report=fresh)
    loaded = load(worker, spec, rows)
    tokens = to_tokens(worker, spec, rows, loaded, report=fresh)
    held_out = held(worker, tokens, Split.VALIDATION)
    prm, accelerator = loaded.prm, accelerator_of(worker, spec.precision)
    training = Training(
        worker,
        spec,
        accelerator,
        prm,
        StepObjective(prm, spec.language_loss),
        parameter_groups(prm, head_rate=spec.head_rate, body_rate=spec.body_rate, weight_decay=spec.weight_decay),
        tokens.rows[Split.TRAIN],
        (lambda: validate(worker, accelerator, prm, held_out)) if held_out.rows else None,
    )
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
            bad = [f"{name} ({why})" for name, why in rows.refused.items() if "votes for" in why]
            text = f"{len(bad)} rows left out, their votes do not fit their steps: {', '.join(bad[:5])}"
            worker.notice(Level.ERROR, "votes_do_not_fit", text, rows=len(bad))
        if counts.rows_without_label:
            text = f"{counts.rows_without_label} rows left out, no step of theirs teaches anything"
            worker.notice(Level.WARNING, "rows_without_label", text, rows=counts.rows_without_label)
    if not rows.of(Split.TRAIN):
        raise RunFailed("no training row has a label; choose more rows, or another neutral policy")
    return rows


def load(worker: Worker, spec: PrmSpec, rows: Labelled) -> Loaded:
    """The model with a fresh head, and which of its weights are trained."""
    worker.progress("loading the model", 0, 1, unit="models", force=True)
    source = str(worker.folder.path / worker.spec.models[0].path) if worker.spec.models else spec.model
    domain = ", ".join(sorted({name for row in worker.folder.read_input() if (name := row.project or row.origin)}))
    settings = PrmSettings(classes_of(spec.neutral), spec.separator, spec.max_length, spec.neutral.value, domain)
    texts = (text for row in rows.of(Split.TRAIN) for text in (row.problem, spec.separator.join(row.steps)))
    loaded = load_for_training(
        source, settings, texts if source == TINY else (), seed=spec.seed, with_language_head=spec.language_loss > 0
    )
    torch.manual_seed(spec.seed)
    adapt(loaded.prm, spec.adapt, last_layers=spec.last_layers, rank=spec.lora_rank)
    if spec.gradient_checkpointing:
        model = loaded.prm.model
        enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
        enable({"use_reentrant": False})
    worker.check()
    return loaded


@dataclass(frozen=True, slots=True)
class Tokens:
    """Every split as token rows, and what the cut at max_length cost each."""

    rows: dict[Split, list[TokenRow]]
    cut: dict[Split, CutCounts]


def to_tokens(worker: Worker, spec: PrmSpec, rows: Labelled, loaded: Loaded, *, report: bool) -> Tokens:
    """Every split as token rows; labels lost to the cut are told for each split."""
    limit = min(spec.max_length, getattr(loaded.prm.model.config, "max_position_embeddings", None) or spec.max_length)
    encoder = StepEncoder(loaded.tokenizer, spec.separator, limit)
    out = Tokens({}, {})
    for split in Split:
        counts, tokens, of_split = CutCounts(), [], rows.of(split)
        for start in range(0, len(of_split), 256):
            worker.progress("tokenising", start, len(of_split), unit="rows")
            tokens += tokenise(of_split[start : start + 256], encoder, counts)
        out.rows[split], out.cut[split] = tokens, counts
        if report and counts.rows_cut:
            text = (
                f"{split.value}: {counts.labels_lost} labels of {counts.rows_cut} rows lie beyond {limit} tokens and "
                f"are lost, {counts.rows_lost} rows with all of theirs; raise max_length to keep them"
            )
            worker.notice(Level.WARNING, "labels_cut", text, **counts.as_dict())
    if not out.rows[Split.TRAIN]:
        raise RunFailed(f"no label lies within {limit} tokens; raise max_length")
    if report and not out.rows[Split.VALIDATION]:
        worker.notice(Level.WARNING, "no_validation", "no validation rows: the last weights are kept, unjudged")
    return out


def held(worker: Worker, tokens: Tokens, split: Split) -> HeldOut:
    """The rows of a split with the baselines fitted on the training rows."""
    worker.progress("fitting the baselines", 0, 1, unit="baselines", force=True)
    return HeldOut(tokens.rows[split], tokens.rows[Split.TRAIN], budget=EVAL_TOKENS)


def judge(worker: Worker, accelerator: Accelerator, prm: Prm, held_out: HeldOut, phase: str) -> Judged:
    """Score held-out rows with the weights of now."""
    count = len(held_out.rows)
    with accelerator.autocast():
        return held_out.judge(prm, lambda done: worker.progress(phase, done, count, unit="rows"))


def validate(worker: Worker, accelerator: Accelerator, prm: Prm, held_out: HeldOut) -> Validation:
    """Judge the validation rows and show a few of them; weights are compared by AUC, or by loss where it has none."""
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
    values = judged.values
    return Validation(values, values["auc"] if math.isfinite(values["auc"]) else -values["loss"])


def finish(
    worker: Worker,
    spec: PrmSpec,
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
            judged[split] = judge(worker, training.accelerator, loaded.prm, held_out, "testing")
            intervals[split] = held_out.intervals(judged[split])
    values = {split: result.values for split, result in judged.items()}
    counts = {split: len(part) for split, part in tokens.rows.items()}
    result = Result(training.state, values, intervals, counts, tokens.cut)
    checksum = write_model(worker, spec, loaded, rows, result)
    worker.log(f"model written, checksum {checksum[:12]}")
    if Split.TEST in values:
        worker.metrics(Split.TEST, result.with_intervals(Split.TEST))
    return result.summary()
