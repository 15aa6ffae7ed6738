"""Judging a PRM on rows it has not learned from: figures beside the baselines, intervals over problems, examples."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trainer.data import LabelledRow, TokenRow, split_by_tokens
from trainer.models.baselines import BaselineScores, LabelledSteps, baseline_scores
from trainer.models.prm import Prm, collate_scoring
from trainer.placement import Encoded
from trainer.reasoning.calibration import Calibration, calibrate, temper
from trainer.reasoning.metrics import Interval, StepFigures, auc, bootstrap, paired_bootstrap, step_figures
from trainer.runtime import sharding
from trainer.runtime.memory import is_out_of_memory, release

Floats = NDArray[np.float32]
StepValues = tuple[float | None, ...]


def class_probabilities(
    prm: Prm, rows: Sequence[Encoded], *, budget: int, check: Callable[[int], None] = lambda done: None
) -> list[Floats]:
    """Class probabilities [steps that fitted, classes] of every row at the PRM's temperature.

    One pass takes `budget` padded tokens; one that runs out of memory is halved. `check(rows done)` is called between
    passes and may raise.
    """
    out = [np.empty((0, prm.settings.classes), np.float32)] * len(rows)
    waiting = [i for i, row in enumerate(rows) if row.steps]
    plan = split_by_tokens([len(rows[i].ids) for i in waiting], budget)
    groups = deque([waiting[i] for i in group] for group in plan)
    done = len(rows) - len(waiting)
    training = prm.training
    prm.eval()
    while groups:
        check(done)
        group = groups.popleft()
        flat = _one_pass(prm, [rows[i] for i in group])
        if flat is None:
            if len(group) == 1:
                raise MemoryError(f"a row of {len(rows[group[0]].ids)} tokens does not fit; lower max_length")
            release()
            groups.extendleft((group[len(group) // 2 :], group[: len(group) // 2]))
            continue
        done += len(group)
        for index, part in zip(group, np.split(flat, np.cumsum([rows[i].steps for i in group])[:-1]), strict=True):
            out[index] = part
    prm.train(training)
    return out


def _one_pass(prm: Prm, rows: Sequence[Encoded]) -> Floats | None:
    """Class probabilities [all steps, classes]; None when memory ran out."""
    try:
        with sharding.reading(prm):
            logits, _ = prm(collate_scoring(rows, prm.device))
            return (logits / prm.settings.temperature).softmax(-1).cpu().numpy()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error) or sharding.parts_of(prm):  # spread over processes, no pass is cut in one alone
            raise
        return None


def p_correct(probabilities: Floats, steps: int) -> StepValues:
    """P(correct) of every step, None for steps beyond the cut and what is no number; P(correct) = 1 - P(negative)."""
    values = [float(1.0 - p) if np.isfinite(p) else None for p in probabilities[:, 0]]
    return (*values, *([None] * (steps - len(values))))


def targets_within(row: TokenRow) -> StepValues:
    """Target P(correct) of every step, None without label or beyond the cut."""
    kept = set(row.ordinals.tolist())
    return tuple(float(t) if i in kept else None for i, t in enumerate(row.row.correct))


def as_labelled_steps(rows: Sequence[TokenRow]) -> list[LabelledSteps]:
    """Rows as the baselines take them."""
    return [LabelledSteps(row.row.steps, targets_within(row)) for row in rows]


@dataclass(frozen=True, slots=True)
class Judged:
    """What one pass over held-out rows showed: figures by name, scores of each row, and its class probabilities."""

    values: dict[str, float]
    scores: tuple[StepValues, ...]
    parts: tuple[Floats, ...]


class HeldOut:
    """Rows of one split with their baselines, ready to be scored again and again."""

    def __init__(self, rows: Sequence[TokenRow], train: Sequence[TokenRow], *, budget: int) -> None:
        self.rows = tuple(rows)
        self._budget = budget
        self._targets = [targets_within(row) for row in rows]
        self._baselines: tuple[BaselineScores, ...] = (
            baseline_scores(as_labelled_steps(train), as_labelled_steps(rows)) if rows else ()
        )
        self._baseline_values = {
            f"{baseline.name}_{name}": value
            for baseline in self._baselines
            for name, value in _compared(step_figures(baseline.scores, self._targets)).items()
        }

    def judge(self, prm: Prm, check: Callable[[int], None] = lambda done: None) -> Judged:
        """Score every row; figures of the PRM and of the baselines on the same steps."""
        parts = class_probabilities(prm, [row.encoded for row in self.rows], budget=self._budget, check=check)
        return self._judged(parts, prm.settings.threshold)

    def calibrated(self, judged: Judged, calibration: Calibration) -> Judged:
        """The same pass at another temperature and threshold, beside the ECE and Brier it had."""
        parts = [temper(part, calibration.temperature).astype(np.float32) for part in judged.parts]
        again = self._judged(parts, calibration.threshold)
        before = {f"{name}_uncalibrated": judged.values[name] for name in ("ece", "brier")}
        return replace(again, values=again.values | before)

    def calibration(self, judged: Judged) -> Calibration:
        """Temperature and threshold that fit these rows."""
        targets = []
        for row, part in zip(self.rows, judged.parts, strict=True):
            known = np.full(part.shape, np.nan, np.float64)
            known[row.ordinals] = row.targets
            targets.append(known)
        return calibrate(judged.parts, targets)

    def _judged(self, parts: Sequence[Floats], threshold: float) -> Judged:
        scores = tuple(p_correct(part, len(row.row.steps)) for part, row in zip(parts, self.rows, strict=True))
        figures = step_figures(scores, self._targets, threshold=threshold)
        values = {
            "loss": _loss(parts, self.rows),
            **_compared(figures),
            "accuracy": figures.accuracy,
            "first_error_f1": figures.first_error_f1,
            "brier": figures.brier,
            "n_steps": figures.n_steps,
            "n_rows": figures.n_rows,
        }
        return Judged(values | self._baseline_values, scores, tuple(parts))

    def intervals(self, judged: Judged, *, rounds: int = 1000, seed: int = 0) -> dict[str, Interval]:
        """AUC, and its lead over each causal baseline, with 95 % bootstrap intervals over problems."""
        places = [
            (row, step)
            for row, targets in enumerate(self._targets)
            for step, target in enumerate(targets)
            if target is not None and judged.scores[row][step] is not None
        ]
        if not places:
            return {}
        targets = np.array([self._targets[r][s] for r, s in places], np.float64)
        scores = np.array([judged.scores[r][s] for r, s in places], np.float64)
        problems = np.array([hash_of(self.rows[r].row) for r, _ in places])
        out = {"auc": bootstrap(problems, lambda weights: auc(scores, targets, weights), rounds=rounds, seed=seed)}
        for baseline in self._baselines:
            if baseline.causal:
                other = np.array([baseline.scores[r][s] for r, s in places], np.float64)
                lead = paired_bootstrap(scores, other, targets, problems, rounds=rounds, seed=seed)
                out[f"auc_over_{baseline.name}"] = lead
        return out


def hash_of(row: LabelledRow) -> str:
    """What groups rows of one problem."""
    return " ".join(row.problem.split())


def _compared(figures: StepFigures) -> dict[str, float]:
    return {"auc": figures.auc, "first_error_accuracy": figures.first_error_accuracy, "ece": figures.ece}


def _loss(parts: Sequence[Floats], rows: Sequence[TokenRow]) -> float:
    """Mean cross-entropy over labels, in nats."""
    total, labels = 0.0, 0
    for part, row in zip(parts, rows, strict=True):
        logs = np.log(np.clip(part[row.ordinals].astype(np.float64), 1e-12, 1.0))
        total -= float((row.targets * logs).sum())
        labels += len(row.ordinals)
    return total / labels if labels else float("nan")
