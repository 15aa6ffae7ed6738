"""ProcessBench and PRMBench: from step scores to the figures their papers print. numpy only.

Scores are P(step is correct), None where a step got none (beyond the cut); such a step is never called wrong and is
counted. `trainer.reasoning.metrics` holds the F1 of first errors itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trainer.reasoning.metrics import FirstErrorFigures, first_error, first_error_figures

Scores = Sequence[float | None]
ORIGINAL = "correct"  # PRMBench's category of unchanged solutions: measured, but no part of its totals
REDUNDANT, ALL_RIGHT = "redundency", "multi_solutions"  # as its files spell them; in the latter no step is wrong
PRM_BENCH = {
    "simplicity": {REDUNDANT: "NR", "circular": "NCL"},
    "soundness": {
        "counterfactual": "ES",
        "step_contradiction": "SC",
        "domain_inconsistency": "DC",
        "confidence": "CI",
    },
    "sensitivity": {"missing_condition": "PS", "deception": "DR", ALL_RIGHT: "MS"},
}
"""PRMBench's categories by what they test, with the names of its tables."""


@dataclass(frozen=True, slots=True)
class ProcessBench:
    """Figures by subset (gsm8k, math, ...); `f1` is the mean of the subsets' F1, as the paper's last column.

    `weighted_f1` weighs them by their rows. `unscored` steps got no score.
    """

    subsets: Mapping[str, FirstErrorFigures]
    f1: float
    weighted_f1: float
    unscored: int


@dataclass(frozen=True, slots=True)
class StepClasses:
    """How well single steps are told apart: F1 of the right ones, F1 of the wrong ones, and PRMScore, their mean.

    A figure is NaN where its class neither occurs nor is called; PRMScore is NaN where either is.
    """

    f1: float
    f1_wrong: float
    accuracy: float
    n_right: int
    n_wrong: int

    @property
    def prm_score(self) -> float:
        """0.5 * F1 + 0.5 * F1 of the wrong steps (Song et al. 2025)."""
        return (self.f1 + self.f1_wrong) / 2


@dataclass(frozen=True, slots=True)
class PrmBench:
    """All steps of all changed solutions together, and each category by itself."""

    overall: StepClasses
    categories: Mapping[str, StepClasses]
    unscored: int


def process_bench(
    scores: Sequence[Scores], labels: Sequence[int], subsets: Sequence[str], *, threshold: float = 0.5
) -> ProcessBench:
    """`labels` are the first wrong steps, -1 = none; a row's answer is its first step under the threshold, else -1."""
    _equally_many(scores, labels, subsets)
    answers = [first_error(row, threshold=threshold) for row in scores]
    figures = {}
    for name in dict.fromkeys(subsets):
        inside = [i for i, subset in enumerate(subsets) if subset == name]
        figures[name] = first_error_figures([answers[i] for i in inside], [labels[i] for i in inside])
    rows = [figure.n_wrong + figure.n_right for figure in figures.values()]
    f1s = [figure.f1 for figure in figures.values()]
    return ProcessBench(
        subsets=figures,
        f1=sum(f1s) / len(f1s) if f1s else math.nan,
        weighted_f1=sum(f * n for f, n in zip(f1s, rows, strict=True)) / sum(rows) if rows else math.nan,
        unscored=_unscored(scores),
    )


def prm_bench(
    scores: Sequence[Scores], wrong: Sequence[Sequence[int]], categories: Sequence[str], *, threshold: float = 0.5
) -> PrmBench:
    """`wrong` are the wrong steps of each row, counted from 0 (PRMBench's file counts from 1: take 1 off).

    A step is called wrong when its score lies under the threshold. Raises ValueError for a step that is not there.
    """
    _equally_many(scores, wrong, categories)
    by_category: dict[str, list[tuple[bool, bool]]] = {name: [] for name in categories}
    for number, (row, bad, name) in enumerate(zip(scores, wrong, categories, strict=True)):
        beyond = [step for step in bad if not 0 <= step < len(row)]
        if beyond:
            raise ValueError(f"row {number} has {len(row)} steps, but {beyond} are said to be wrong; count from 0")
        told = set(bad)
        by_category[name] += [
            (index not in told, score >= threshold) for index, score in enumerate(row) if score is not None
        ]
    changed = [pair for name, pairs in by_category.items() if name != ORIGINAL for pair in pairs]
    return PrmBench(
        overall=step_classes(changed),
        categories={name: step_classes(pairs) for name, pairs in by_category.items()},
        unscored=_unscored(scores),
    )


def step_classes(pairs: Sequence[tuple[bool, bool]]) -> StepClasses:
    """Figures of (is right, is called right) pairs."""
    right_called = sum(is_right and called for is_right, called in pairs)
    wrong_called = sum(not is_right and not called for is_right, called in pairs)
    missed = len(pairs) - right_called - wrong_called
    return StepClasses(
        f1=_f1(right_called, missed),
        f1_wrong=_f1(wrong_called, missed),
        accuracy=(right_called + wrong_called) / len(pairs) if pairs else math.nan,
        n_right=sum(is_right for is_right, _ in pairs),
        n_wrong=sum(not is_right for is_right, _ in pairs),
    )


def category_score(category: str, classes: StepClasses) -> float:
    """PRMScore of a category; where no step is wrong the F1 of the right ones stands for it, as in the tables."""
    return classes.f1 if category == ALL_RIGHT else classes.prm_score


def prm_bench_columns(categories: Mapping[str, StepClasses]) -> dict[str, float]:
    """The columns of PRMBench's table by their names: categories, and the mean of each subject whose are all there.

    A category that the table does not know has its own name.
    """
    found: dict[str, float] = {}
    known = {name for subject in PRM_BENCH.values() for name in subject}
    for subject, names in PRM_BENCH.items():
        scores = {short: category_score(name, categories[name]) for name, short in names.items() if name in categories}
        found |= scores
        if len(scores) == len(names):
            found[subject] = sum(scores.values()) / len(scores)
    return found | {name: category_score(name, one) for name, one in categories.items() if name not in known}


def _f1(hits: int, missed: int) -> float:
    """F1 of one of two classes: of two, what is missed in one is wrongly called the other."""
    return 2 * hits / (2 * hits + missed) if hits or missed else math.nan


def _equally_many(*columns: Sequence[object]) -> None:
    lengths = [len(column) for column in columns]
    if len(set(lengths)) > 1:
        raise ValueError(f"scores, truths and names must be equally many, not {lengths}")


def _unscored(scores: Sequence[Scores]) -> int:
    return sum(score is None for row in scores for score in row)
