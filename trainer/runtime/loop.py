"""The frame of a training loop: batches by step, learn, tell, validate, best, patience, checkpoint, exact resume.

The rows of a step follow from the step and the seed alone, which makes a resume exact. What is learned is the
Learner's; what is measured on held-out rows is the recipe's.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, Protocol

import msgspec
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs
from torch import Tensor, nn

from trainer.contract import events
from trainer.contract.events import Level, Outcome
from trainer.contract.records import Split
from trainer.contract.specs.setting import Precision
from trainer.data import AnyRow, plan_epoch
from trainer.models.learn import (
    Learner,
    LearnSpec,
    Objective,
    ParameterGroup,
    Passes,
    StepReport,
    padded_passes,
    schedule,
    trained,
)
from trainer.runtime import checkpoint, sharding
from trainer.runtime.checkpoint import Found, TrainState
from trainer.runtime.distributed import Processes
from trainer.runtime.peers import Peers
from trainer.runtime.worker import RunFailed, Stopped, Worker

MOST_SKIPPED = 3
PATIENCE = timedelta(hours=2)  # one process may write a large checkpoint while the others wait


class LoopSpec(LearnSpec, Protocol):
    """What a recipe's dataclass says of its loop; see `contract/specs` for what each means."""

    @property
    def epochs(self) -> float: ...
    @property
    def max_steps(self) -> int: ...
    @property
    def max_minutes(self) -> float: ...
    @property
    def warmup(self) -> float: ...
    @property
    def decay(self) -> float: ...
    @property
    def eval_every(self) -> int: ...
    @property
    def checkpoint_every(self) -> int: ...
    @property
    def keep_last(self) -> int: ...
    @property
    def patience(self) -> int: ...
    @property
    def precision(self) -> Precision: ...
    @property
    def seed(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Validation:
    """Figures of a pass over held-out rows, and the one by which weights are compared: greater is better.

    `sets` are the figures of named parts of the held-out rows, see `runtime.held_out`.
    """

    values: Mapping[str, float]
    goal: float
    sets: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def begin(worker: Worker) -> Found | None:
    """Where this attempt starts: at the newest whole checkpoint, which `Training.restore` takes, or from nothing."""
    found, torn = checkpoint.newest(worker.folder.checkpoints)
    worker.resume(found.state.step if found else -1)
    if torn:
        worker.notice(Level.WARNING, "checkpoint_torn", f"passed over torn checkpoints: {', '.join(torn)}")
    return found


def accelerator_of(worker: Worker, precision: Precision) -> Accelerator:
    """Device and arithmetic of this process, and its tie to the others where there are several."""
    accelerator = Accelerator(
        cpu=worker.spec.device == "cpu",
        mixed_precision="bf16" if precision is Precision.BF16 else "no",
        kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
    )
    processes = Processes(accelerator)
    if processes.count > 1:
        worker.watch(Peers(processes.pids_here(), processes.count))
    return accelerator


class Training(Generic[AnyRow]):
    """The loop and its state between steps."""

    def __init__(
        self,
        worker: Worker,
        spec: LoopSpec,
        accelerator: Accelerator,
        model: nn.Module,
        objective: Objective[AnyRow],
        groups: Sequence[ParameterGroup],
        rows: Sequence[AnyRow],
        validate: Callable[[], Validation] | None,
        passes: Passes[AnyRow] = padded_passes,
    ) -> None:
        """`groups` are AdamW's, each with its full rate and the name under which the rate is told.

        `validate` measures the weights of now on held-out rows and may raise Stopped; None = nothing is held out.
        """
        self.worker, self.spec, self.model, self.rows = worker, spec, model, rows
        self._measure = validate
        self.accelerator = accelerator
        if sharding.is_asked() and not sharding.parts_of(model):
            raise RunFailed(
                f"the recipe {worker.spec.recipe} cannot spread its model over processes; launch it with DDP, without "
                "--use_fsdp: each process then holds the whole model"
            )
        self._rates = {group.name: group.rate for group in groups}
        self.learner = Learner(
            model, objective, groups, accelerator, spec, check=worker.check, told=self._tell_halved, passes=passes
        )
        self.processes = self.learner.processes
        self.per_epoch = math.ceil(len(rows) / spec.batch_size)
        self.total = spec.max_steps or max(1, math.ceil(spec.epochs * self.per_epoch))
        self.state = TrainState(step=0, micro_batch=self.learner.micro_batch)
        self._saved: TrainState | None = None
        self._plan: tuple[int, list[list[int]]] | None = None
        self._told_system = 0.0

    def restore(self, found: Found) -> None:
        """Go on from a checkpoint. Raises RunFailed when it belongs to other settings."""
        weights = found.weights()
        if set(weights) != {name for name, _ in trained(self.model)}:
            raise RunFailed(f"{found.path} does not fit this model; delete the checkpoints and start again")
        sharding.put_weights(self.model, weights)
        found.restore(self.learner.optimiser)
        self.state = msgspec.structs.replace(found.state, files={})
        self.learner.micro_batch = self.state.micro_batch
        self._saved = self.state
        if self.processes.agree(self.state) != self.state:
            raise RunFailed(f"process {self.processes.rank} sees other checkpoints; share the run folder's disk")

    def fit(self) -> None:
        """Train until the steps, the minutes or the patience end; leaves a checkpoint of the last step."""
        self._say_started()
        try:
            if self.state.validation_due:
                self._settle()
            while not self.state.done:
                self._advance()
                self._follow_control()
        except Stopped as stop:
            if stop.outcome is Outcome.PAUSED:
                self._save()
            raise

    def batch_of(self, step: int) -> list[AnyRow]:
        """The rows of the optimiser step after `step`."""
        epoch, index = divmod(step, self.per_epoch)
        if self._plan is None or self._plan[0] != epoch:
            lengths = [row.length for row in self.rows]
            plan = plan_epoch(lengths, self.spec.batch_size, self.spec.seed, epoch)
            self._plan = (epoch, [batch.tolist() for batch in plan])
        return [self.rows[i] for i in self._plan[1][index]]

    def take_best(self) -> None:
        """Put back the weights of the best validation."""
        best = self.state.best_step
        if best < 0 or best == self.state.step:
            return
        kept = checkpoint.read(self.worker.folder.checkpoints / checkpoint.name_of(best))
        if kept is None:
            raise RunFailed(f"the checkpoint of the best step, {best}, is torn; start the run again")
        sharding.put_weights(self.model, kept.weights())

    def _advance(self) -> None:
        """One step with all that belongs to it: rates, events, validation, checkpoint."""
        scale = schedule(self.state.step, self.total, self.spec.warmup, self.spec.decay)
        report = self.learner.learn(self.batch_of(self.state.step), scale)
        state = self.state
        self._note(
            step=state.step + 1,
            micro_batch=self.learner.micro_batch,
            seconds=state.seconds + self.processes.agree(report.seconds),
            tokens=state.tokens + report.tokens,
        )
        self.worker.step = self.state.step
        self._tell(report, scale)
        self._count_skipped(report)
        due = self._is_last() or self.state.step % self.spec.eval_every == 0
        self._note(validation_due=due and self._measure is not None)
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
        """Measure on held-out rows; remember whether these are the best weights."""
        assert self._measure is not None
        found = self.processes.agree(self._measure())
        self.worker.metrics(Split.VALIDATION, found.values)
        for name, values in found.sets.items():
            self.worker.metrics(f"eval/{name}", values)
        best = self.state.best_value is None or found.goal > self.state.best_value
        kept = {"best_step": self.state.step, "best_value": found.goal} if best else {}
        since = 0 if best else self.state.validations_since_best + 1
        self._note(validation_due=False, validations_since_best=since, **kept)
        shown = ", ".join(f"{name} {value:.4g}" for name, value in list(found.values.items())[:6])
        self.worker.log(f"step {self.state.step}/{self.total}: validation {shown}")

    def _tell(self, report: StepReport, scale: float) -> None:
        self.worker.metrics(
            Split.TRAIN,
            {
                "loss": report.loss,
                "grad_norm": report.grad_norm,
                "accuracy": report.accuracy,
                **{name: rate * scale for name, rate in self._rates.items()},
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

    def _follow_control(self) -> None:
        """What the first process was asked, in all of them at the same step. Raises Stopped."""
        asked = self.processes.agree(self.worker.asked()) if self.processes.count > 1 else None
        if asked is not None:
            raise Stopped(asked)

    def _save(self) -> None:
        """Write a checkpoint of this step unless there is one; events before it are on the disk first."""
        if self._saved == self.state:
            return
        self._saved = self.state
        writes = self.processes.is_first
        weights = sharding.whole_weights(trained(self.model), keep=writes)
        optimiser = sharding.whole_state(self.learner.optimiser, keep=writes)
        if writes:
            self._write_checkpoint(weights, optimiser)
        self.processes.wait()

    def _write_checkpoint(self, weights: Mapping[str, Tensor], optimiser: Mapping[str, Any]) -> None:
        self.worker.flush()
        folder = self.worker.folder.checkpoints
        path = checkpoint.save(folder, self.state, weights, optimiser)
        best = self.state.best_step == self.state.step
        self.worker.say(events.Checkpoint, path=str(path.relative_to(self.worker.folder.path)), best=best)
        checkpoint.prune(folder, self.spec.keep_last, self.state.best_step, self.state.step)

    def _say_started(self) -> None:
        weights = list(self.model.parameters())
        self.worker.say(
            events.Started,
            recipe=self.worker.spec.recipe,
            device=str(self.accelerator.device),
            total_steps=self.total,
            rows=len(self.rows),
            parameters=sum(weight.numel() for weight in weights),
            trainable=sum(weight.numel() for weight in weights if weight.requires_grad),
        )
