"""Train a process reward model on rated steps. Read from the top: rows, model, loop, result.

The loss is the mean cross-entropy over all labels of a batch, so it does not depend on how the batch is cut into
micro-batches. Dropout is off. The data's place follows from the step and the seed alone, which makes a resume exact.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import torch
from accelerate import Accelerator

from trainer.contract import events
from trainer.contract.events import Level, Outcome
from trainer.contract.records import Split
from trainer.contract.spec import Precision, PrmSpec
from trainer.data import CutCounts, Labelled, StepEncoder, TokenRow, classes_of, label_rows, plan_epoch, tokenise
from trainer.models.judge import HeldOut, Judged, targets_within
from trainer.models.learn import Learner, StepReport, schedule
from trainer.models.load import TINY, Loaded, load_for_training
from trainer.models.prm import Prm, PrmSettings, adapt, trained
from trainer.runtime import checkpoint
from trainer.runtime.card import Result, write_model
from trainer.runtime.checkpoint import Found, TrainState
from trainer.runtime.worker import RunFailed, Stopped, Worker

EXAMPLES = 8
EVAL_TOKENS = 8192
MOST_SKIPPED = 3


def run(worker: Worker) -> dict[str, float]:
    """The whole recipe on one run folder. Raises Stopped, RunFailed."""
    spec = worker.spec.typed()
    assert isinstance(spec, PrmSpec)
    found, torn = checkpoint.newest(worker.folder.checkpoints)
    worker.resume(found.state.step if found else -1)
    if torn:
        worker.notice(Level.WARNING, "checkpoint_torn", f"passed over torn checkpoints: {', '.join(torn)}")
    fresh = found is None
    torch.set_num_threads(spec.threads or torch.get_num_threads())
    rows = read_rows(worker, spec, report=fresh)
    loaded = load(worker, spec, rows)
    tokens = to_tokens(worker, spec, rows, loaded, report=fresh)
    held_out = held(worker, tokens, Split.VALIDATION)
    training = Training(worker, spec, loaded.prm, tokens.rows[Split.TRAIN], held_out)
    if found:
        training.restore(found)
    training.fit()
    return finish(worker, spec, loaded, training, rows, tokens)


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


class Training:
    """The loop and its state between steps."""

    def __init__(self, worker: Worker, spec: PrmSpec, prm: Prm, rows: Sequence[TokenRow], held_out: HeldOut) -> None:
        self.worker, self.spec, self.rows, self.held_out = worker, spec, rows, held_out
        self.accelerator = Accelerator(
            cpu=worker.spec.device == "cpu", mixed_precision="bf16" if spec.precision is Precision.BF16 else "no"
        )
        if self.accelerator.num_processes > 1:
            raise RunFailed("this recipe runs in one process; start it without `accelerate launch --num_processes`")
        self.prm = prm
        self.learner = Learner(prm, self.accelerator, spec, check=worker.check, told=self._tell_halved)
        self.per_epoch = math.ceil(len(rows) / spec.batch_size)
        self.total = spec.max_steps or max(1, math.ceil(spec.epochs * self.per_epoch))
        self.state = TrainState(step=0, micro_batch=self.learner.micro_batch)
        self._saved: TrainState | None = None
        self._plan: tuple[int, list[list[int]]] | None = None
        self._told_system = 0.0

    def restore(self, found: Found) -> None:
        """Go on from a checkpoint. Raises RunFailed when it belongs to other settings."""
        weights = found.weights()
        if set(weights) != {name for name, _ in trained(self.prm)}:
            raise RunFailed(f"{found.path} does not fit this model; delete the checkpoints and start again")
        self.prm.load_state_dict(weights, strict=False)
        found.restore(self.learner.optimiser)
        self.state = msgspec.structs.replace(found.state, files={})
        self.learner.micro_batch = self.state.micro_batch
        self._saved = self.state

    def fit(self) -> None:
        """Train until the steps, the minutes or the patience end; leaves a checkpoint of the last step."""
        self._say_started()
        try:
            if self.state.validation_due:
                self._settle()
            while not self.state.done:
                self._advance()
        except Stopped as stop:
            if stop.outcome is Outcome.PAUSED:
                self._save()
            raise

    def batch_of(self, step: int) -> list[TokenRow]:
        """The rows of the optimiser step after `step`."""
        epoch, index = divmod(step, self.per_epoch)
        if self._plan is None or self._plan[0] != epoch:
            lengths = [row.length for row in self.rows]
            plan = plan_epoch(lengths, self.spec.batch_size, self.spec.seed, epoch)
            self._plan = (epoch, [batch.tolist() for batch in plan])
        return [self.rows[i] for i in self._plan[1][index]]

    def _advance(self) -> None:
        """One step with all that belongs to it: rates, events, validation, checkpoint."""
        scale = schedule(self.state.step, self.total, self.spec.warmup, self.spec.decay)
        report = self.learner.learn(self.batch_of(self.state.step), scale)
        state = self.state
        self._note(
            step=state.step + 1,
            micro_batch=self.learner.micro_batch,
            seconds=state.seconds + report.seconds,
            tokens=state.tokens + report.tokens,
        )
        self.worker.step = self.state.step
        self._tell(report, scale)
        self._count_skipped(report)
        due = self._is_last() or self.state.step % self.spec.eval_every == 0
        self._note(validation_due=due and bool(self.held_out.rows))
        self._settle()

    def _settle(self) -> None:
        """What follows a step: validation when due, the decision to end, a checkpoint."""
        if self.state.validation_due:
            self._validate()
        if self._is_last() or 0 < self.spec.patience <= self.state.validations_since_best:
            self._note(done=True)
        on_time = self.state.step % self.spec.checkpoint_every == 0
        if self.state.done or on_time or self.state.best_step == self.state.step:
            self._save()
        self.worker.progress("training", self.state.step, self.total, eta=self._seconds_left())

    def _validate(self) -> None:
        """Judge the held-out rows; remember whether these are the best weights."""
        judged = self.judge(self.held_out, "validating")
        values = judged.values
        self.worker.metrics(Split.VALIDATION, values)
        for row, scores in list(zip(self.held_out.rows, judged.scores, strict=True))[:EXAMPLES]:
            self.worker.say(
                events.Example,
                row=row.row.id,
                problem=row.row.problem,
                steps=row.row.steps,
                scores=scores,
                targets=targets_within(row),
            )
        value = values["auc"] if math.isfinite(values["auc"]) else -values["loss"]
        best = self.state.best_value is None or value > self.state.best_value
        kept = {"best_step": self.state.step, "best_value": value} if best else {}
        since = 0 if best else self.state.validations_since_best + 1
        self._note(validation_due=False, validations_since_best=since, **kept)
        shown = ", ".join(f"{name} {values[name]:.3f}" for name in ("loss", "auc", "first_error_accuracy", "ece"))
        self.worker.log(f"step {self.state.step}/{self.total}: validation {shown}")

    def judge(self, held_out: HeldOut, phase: str) -> Judged:
        """Score held-out rows with the weights of now."""
        count = len(held_out.rows)
        with self.accelerator.autocast():
            return held_out.judge(self.prm, lambda done: self.worker.progress(phase, done, count, unit="rows"))

    def take_best(self) -> None:
        """Put back the weights of the best validation."""
        best = self.state.best_step
        if best < 0 or best == self.state.step:
            return
        kept = checkpoint.read(self.worker.folder.checkpoints / checkpoint.name_of(best))
        if kept is None:
            raise RunFailed(f"the checkpoint of the best step, {best}, is torn; start the run again")
        self.prm.load_state_dict(kept.weights(), strict=False)

    def _tell(self, report: StepReport, scale: float) -> None:
        self.worker.metrics(
            Split.TRAIN,
            {
                "loss": report.loss,
                "grad_norm": report.grad_norm,
                "accuracy": report.accuracy,
                "learning_rate": self.spec.body_rate * scale,
                "head_learning_rate": self.spec.head_rate * scale,
                "tokens_per_second": report.tokens / report.seconds,
                "step_time": report.seconds,
            },
        )
        if self.state.step == 1 or time.monotonic() - self._told_system >= 2.0:
            self._told_system = time.monotonic()
            self.worker.system()

    def _tell_halved(self, rows: int, was: int) -> None:
        text = f"memory ran out: {rows} rows in one pass instead of {was}; the gradient stays the same"
        self.worker.notice(Level.WARNING, "out_of_memory", text, micro_batch=rows)

    def _seconds_left(self) -> float:
        left = (self.total - self.state.step) * self.state.seconds / max(1, self.state.step)
        limit = self.spec.max_minutes * 60
        return min(left, max(0.0, limit - self.state.seconds)) if limit else left

    def _count_skipped(self, report: StepReport) -> None:
        """A step whose loss or gradient is no number changes nothing, is told, and three in a row end the run."""
        if report.updated:
            if self.state.skipped_in_a_row:
                self._note(skipped_in_a_row=0)
            return
        self._note(skipped=self.state.skipped + 1, skipped_in_a_row=self.state.skipped_in_a_row + 1)
        text = f"step {self.state.step} skipped: its loss or gradient is not a number (loss {report.loss})"
        self.worker.notice(Level.ERROR, "not_finite", text, skipped=self.state.skipped)
        if self.state.skipped_in_a_row >= MOST_SKIPPED:
            raise RunFailed(
                f"{MOST_SKIPPED} steps in a row gave no finite loss or gradient; lower the learning rates, use fp32, "
                "and check the rows of the log"
            )

    def _is_last(self) -> bool:
        return self.state.step >= self.total or 0 < self.spec.max_minutes * 60 <= self.state.seconds

    def _note(self, **changes: object) -> None:
        self.state = msgspec.structs.replace(self.state, **changes)

    def _save(self) -> None:
        """Write a checkpoint of this step unless there is one; events before it are on the disk first."""
        if self._saved == self.state:
            return
        self.worker.flush()
        folder = self.worker.folder.checkpoints
        path = checkpoint.save(folder, self.state, dict(trained(self.prm)), self.learner.optimiser)
        self._saved = self.state
        best = self.state.best_step == self.state.step
        self.worker.say(events.Checkpoint, path=str(path.relative_to(self.worker.folder.path)), best=best)
        checkpoint.prune(folder, self.spec.keep_last, self.state.best_step)

    def _say_started(self) -> None:
        weights = list(self.prm.parameters())
        self.worker.say(
            events.Started,
            recipe="prm",
            device=str(self.accelerator.device),
            total_steps=self.total,
            rows=len(self.rows),
            parameters=sum(weight.numel() for weight in weights),
            trainable=sum(weight.numel() for weight in weights if weight.requires_grad),
        )


def finish(
    worker: Worker, spec: PrmSpec, loaded: Loaded, training: Training, rows: Labelled, tokens: Tokens
) -> dict[str, float]:
    """The best weights, judged on validation and test, as a plain model folder with its card."""
    # The finish is a step of its own, so that a resume voids what a killed finish said.
    worker.step = training.state.step + 1
    training.take_best()
    judged: dict[Split, Judged] = {}
    intervals = {}
    for split in (Split.VALIDATION, Split.TEST):
        if tokens.rows[split]:
            is_new = split is Split.TEST
            held_out = held(worker, tokens, split) if is_new else training.held_out
            judged[split] = training.judge(held_out, "testing")
            intervals[split] = held_out.intervals(judged[split])
    values = {split: result.values for split, result in judged.items()}
    counts = {split: len(part) for split, part in tokens.rows.items()}
    result = Result(training.state, values, intervals, counts, tokens.cut)
    checksum = write_model(worker, spec, loaded, rows, result)
    worker.log(f"model written, checksum {checksum[:12]}")
    if Split.TEST in values:
        worker.metrics(Split.TEST, result.with_intervals(Split.TEST))
    return result.summary()
