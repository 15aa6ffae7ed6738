"""The loop of an RL run: rollouts, updates, evaluation, alarms; everything else is `runtime.loop.Training`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from accelerate import Accelerator

from trainer.contract import events, rollouts
from trainer.contract.events import Level
from trainer.contract.records import InputRow, Split
from trainer.contract.run_folder import Control, read_events
from trainer.contract.specs.rl import OnAlarm, RlSpec
from trainer.contract.specs.setting import Precision
from trainer.models.learn import ParameterGroup, padded_passes, schedule
from trainer.reasoning.alarms import ALARM, Alarm, Signs, Update, alarms
from trainer.rl.author import Author, Rollout
from trainer.rl.figures import SIGNS, rollout_figures, step_figures
from trainer.rl.objective import Learning, PolicyObjective, PolicyRow, prompt_passes
from trainer.runtime.checkpoint import Found
from trainer.runtime.loop import Training, Validation
from trainer.runtime.worker import Follower, Stopped, Worker

EXAMPLES = 4
QUIET_UPDATES = 20
"""Updates after an alarm in which a resumed run is not paused for the same reason: a person has seen it."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What `Training` asks of a recipe's dataclass, said by an RlSpec whose unit is the update of several steps."""

    batch_size: int
    micro_batch: int
    max_grad_norm: float
    max_steps: int
    max_minutes: float
    warmup: float
    eval_every: int
    checkpoint_every: int
    keep_last: int
    patience: int
    precision: Precision
    seed: int
    epochs: float = 1.0
    decay: float = 0.0

    @classmethod
    def of(cls, spec: RlSpec) -> Pace:
        """In optimiser steps."""
        steps = steps_of_update(spec)
        return cls(
            batch_size=max(1, spec.prompts * spec.traces // spec.parts),
            micro_batch=spec.micro_batch,
            max_grad_norm=spec.max_grad_norm,
            max_steps=spec.updates * steps,
            max_minutes=spec.max_minutes,
            warmup=spec.warmup,
            eval_every=spec.eval_every * steps,
            checkpoint_every=spec.checkpoint_every * steps,
            keep_last=spec.keep_last,
            patience=spec.patience,
            precision=spec.precision,
            seed=spec.seed,
        )


def steps_of_update(spec: RlSpec) -> int:
    """Optimiser steps that one batch of rollouts pays for."""
    return spec.passes * spec.parts


class RlTraining(Training[PolicyRow]):
    """Steps of an update share its rollouts; a step's place in them follows from the seed."""

    def __init__(
        self,
        worker: Worker,
        spec: RlSpec,
        accelerator: Accelerator,
        learning: Learning,
        objective: PolicyObjective,
        groups: Sequence[ParameterGroup],
        author: Author,
        problems: Sequence[InputRow],
        validate: Callable[[], Validation] | None,
    ) -> None:
        measured = None if validate is None else lambda: self._remembered(validate())
        passes = prompt_passes if learning.shares else padded_passes
        super().__init__(worker, Pace.of(spec), accelerator, learning, objective, groups, [], measured, passes)
        self.rl, self.author = spec, author
        self._rows_by_id = {row.id: row for row in problems}
        self._rollouts: tuple[int, list[Rollout], list[PolicyRow]] | None = None
        self.history: list[Update] = history_of(worker)
        self._quiet = alarmed(worker)
        if validate is not None:
            self._note(validation_due=True)  # how good the policy was before

    def restore(self, found: Found) -> None:
        """Go on from a checkpoint, whose weights the author must read before it writes."""
        super().restore(found)
        self.author.refresh()

    def batch_of(self, step: int) -> list[PolicyRow]:
        """The rollouts of the optimiser step after `step`."""
        update, within = divmod(step, steps_of_update(self.rl))
        rows = self._rows_of(update, begun=within > 0)
        each, part = divmod(within, self.rl.parts)
        order = np.random.Generator(np.random.PCG64([self.rl.seed, update, each])).permutation(len(rows))
        return [rows[i] for i in np.array_split(order, self.rl.parts)[part].tolist()]

    def _rows_of(self, update: int, *, begun: bool) -> list[PolicyRow]:
        """The update's rollouts: those in memory, those on disk when some of them were learned already, or new ones."""
        if self._rollouts is None or self._rollouts[0] != update:
            folder = self.worker.folder.path
            if begun:
                kept = rollouts.load(rollouts.path_of(folder, update))
                found = self.author.unpacked(kept, self._rows_by_id)
            else:
                self.worker.progress("writing rollouts", self.state.step, self.total, force=True)
                self.model.eval()
                self.author.judge_at(update * steps_of_update(self.rl))
                found = self.author.write(update, self.worker.check)
                self.model.train()
                if not isinstance(self.worker, Follower):
                    rollouts.save(folder, self.author.packed(update, found))
                    rollouts.prune(folder, self.rl.keep_rollouts, update)
                self.processes.wait()
            self._rollouts = (update, found, [one.as_row() for one in found])
        return self._rollouts[2]

    def _advance(self) -> None:
        """One optimiser step; the first of an update writes its rollouts, the last one looks for alarms."""
        began = time.perf_counter()
        steps = steps_of_update(self.rl)
        scale = schedule(self.state.step, self.total, self.spec.warmup, self.spec.decay)
        batch = self.batch_of(self.state.step)
        report = self.learner.learn(batch, scale)
        seconds = self.processes.agree(time.perf_counter() - began)
        self._note(
            step=self.state.step + 1,
            micro_batch=self.learner.micro_batch,
            seconds=self.state.seconds + seconds,
            tokens=self.state.tokens + report.tokens,
        )
        self.worker.step = self.state.step
        figures = step_figures(report, self.processes, seconds)
        figures |= {name: rate * scale for name, rate in self._rates.items()}
        is_first, is_last = (self.state.step - 1) % steps == 0, self.state.step % steps == 0
        if is_first:
            figures |= self._new_figures()
        self.worker.metrics(Split.TRAIN, figures)
        if is_first:
            self._tell_examples()
            self.history.append(update_of(self.state.step, figures))
            self.worker.system()
        self._count_skipped(report)
        due = self._is_last() or (is_last and self.state.step % self.spec.eval_every == 0)
        self._note(validation_due=due and self._measure is not None)
        self._settle()
        if is_last:
            self._alarm()

    def _new_figures(self) -> dict[str, float]:
        assert self._rollouts is not None
        return rollout_figures(self._rollouts[1], self.rl)

    def _tell_examples(self) -> None:
        """A few of the new traces with their step scores."""
        assert self._rollouts is not None
        for one in self._rollouts[1][:: max(1, len(self._rollouts[1]) // EXAMPLES)][:EXAMPLES]:
            self.worker.say(
                events.Example,
                row=one.row.id,
                problem=one.trace.problem,
                steps=one.trace.response.step_texts,
                scores=one.earned.scores,
                targets=(None,) * len(one.earned.scores),
            )

    def _remembered(self, found: Validation) -> Validation:
        """Put the accuracy beside the update that it belongs to."""
        if self.history:
            self.history[-1] = with_held_out(self.history[-1], found.values)
        return found

    def _alarm(self) -> None:
        """Look for signs that the policy games its reward; pause the run for a new one. Raises Stopped."""
        # The first process decides: one without rows in this step has seen less, and must not go on alone.
        found = self.processes.agree([alarm for alarm in alarms(self.history) if self._is_new(alarm)])
        pauses = self.rl.on_alarm is OnAlarm.PAUSE
        advice = "Paused: look at the examples, change the reward or the PRM, then resume." if pauses else ""
        for alarm in found:
            self._quiet[str(alarm.code)] = self.state.step
            self.worker.notice(Level.ERROR, f"{ALARM}{alarm.code}", f"{alarm.message} {advice}", update=self.state.step)
        if found and pauses:
            self._save()
            raise Stopped(Control.PAUSE)

    def _is_new(self, alarm: Alarm) -> bool:
        last = self._quiet.get(str(alarm.code))
        return last is None or self.state.step - last > QUIET_UPDATES * steps_of_update(self.rl)


def update_of(step: int, figures: Mapping[str, float]) -> Update:
    """An update from its train metrics."""
    signs = Signs(**{name: figures[metric] for name, metric in SIGNS.items()})
    return Update(
        step,
        figures["rewards/process/mean"],
        signs,
        kl=figures.get("kl"),
        entropy=figures.get("entropy"),
        mismatch=figures.get("sampling/sampling_logp_difference/mean"),
    )


def with_held_out(update: Update, values: Mapping[str, float]) -> Update:
    """The update with the accuracy on held-out problems that was measured after it."""
    return replace(update, held_out=values["accuracy"], held_out_count=int(values["n_problems"]))


def history_of(worker: Worker) -> list[Update]:
    """The updates that earlier attempts told since the newest PRM scores, without those that a resume made void."""
    found: dict[int, Update] = {}
    for event in read_events(worker.folder.events)[0]:
        if isinstance(event, events.Resumed):
            found = {step: update for step, update in found.items() if step <= event.from_step}
        if isinstance(event, events.Metrics) and event.split == Split.TRAIN and "rewards/process/mean" in event.values:
            found[event.step] = update_of(event.step, event.values)
        if isinstance(event, events.Metrics) and event.split == Split.VALIDATION and found:
            found[max(found)] = with_held_out(found[max(found)], event.values)
    begin = max((model.from_step for model in worker.spec.models if model.from_step <= worker.step), default=0)
    return [found[step] for step in sorted(found) if step > begin]


def alarmed(worker: Worker) -> dict[str, int]:
    """The step of the last alarm of each kind; one that a resume made void has paused nothing and counts no more."""
    found: dict[str, int] = {}
    for event in read_events(worker.folder.events)[0]:
        if isinstance(event, events.Resumed):
            found = {code: step for code, step in found.items() if step <= event.from_step}
        if isinstance(event, events.Notice) and event.code.startswith(ALARM):
            found[event.code.removeprefix(ALARM)] = event.step
    return found
