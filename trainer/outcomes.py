"""Which traces are right: one label at a trace's end, for outcome reward models. Torch-free."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from trainer.contract.records import InputRow
from trainer.contract.specs.orm import OutcomeFrom
from trainer.data import LabelCounts, Labelled, LabelledRow, first_error_of
from trainer.reasoning.answers import extract
from trainer.reasoning.grader import Grade, Pair

WINDOW = 512  # rows whose answers are graded together

Grading = Callable[[Sequence[Pair]], Sequence[Grade]]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Rows with one label each, and how many outcomes came from what; `undecided` by reason."""

    rows: Labelled
    sources: Counter[OutcomeFrom]
    undecided: Counter[str]


def label_outcomes(rows: Iterable[InputRow], source: OutcomeFrom, grade: Grading) -> Outcomes:
    """Rows labelled at the last step: (0, 1) for a right trace, (1, 0) for a wrong one; undecided ones are counted."""
    counts, kept, refused = LabelCounts(), [], {}
    sources: Counter[OutcomeFrom] = Counter()
    undecided: Counter[str] = Counter()
    for window in _windows(rows):
        for row, (outcome, origin, why) in zip(window, _outcomes(window, source, grade), strict=True):
            counts.rows += 1
            counts.steps += len(row.steps)
            if outcome is None or not row.steps:
                counts.rows_without_label += 1
                refused[row.id] = why if row.steps else "no steps"
                undecided[refused[row.id]] += 1
                continue
            sources[origin] += 1
            counts.labels += 1
            kept.append(_labelled(row, outcome))
    return Outcomes(Labelled(tuple(kept), counts, refused), sources, undecided)


def _labelled(row: InputRow, outcome: int) -> LabelledRow:
    targets = np.full((len(row.steps), 2), np.nan, np.float32)
    targets[-1] = (1 - outcome, outcome)
    rated = np.zeros(len(row.steps), np.bool_)
    rated[-1] = True
    return LabelledRow(row.id, row.problem, row.steps, row.split, targets, rated, None, row.sources)


def _outcomes(
    rows: Sequence[InputRow], source: OutcomeFrom, grade: Grading
) -> list[tuple[int | None, OutcomeFrom, str]]:
    """(outcome, from what, why undecided) of every row."""
    any_source = source is OutcomeFrom.KNOWN
    found: list[tuple[int | None, OutcomeFrom, str]] = [(None, source, "its outcome is not recorded")] * len(rows)
    if any_source or source is OutcomeFrom.RECORDED:
        found = [(row.outcome, OutcomeFrom.RECORDED, "its outcome is not recorded") for row in rows]
    if any_source or source is OutcomeFrom.ANSWER:
        asked = [i for i, (outcome, _, _) in enumerate(found) if outcome is None]
        for i, answer in zip(asked, _answers([rows[i] for i in asked], grade), strict=True):
            found[i] = (answer[0], OutcomeFrom.ANSWER, answer[1])
    if any_source or source is OutcomeFrom.RATINGS:
        for i, (outcome, _, why) in enumerate(found):
            if outcome is None:
                rated = _rated(rows[i])
                said = why if any_source and source is not OutcomeFrom.RATINGS else "not all steps are rated right"
                found[i] = (rated, OutcomeFrom.RATINGS, said)
    return found


def _answers(rows: Sequence[InputRow], grade: Grading) -> list[tuple[int | None, str]]:
    """Outcomes by the final answer, and why there is none."""
    found: list[tuple[int | None, str]] = []
    pairs: list[Pair] = []
    places: list[int] = []
    for place, row in enumerate(rows):
        answer = extract("\n".join(row.steps))
        if not row.has_reference:
            found.append((None, "it has no reference answer"))
        elif answer is None:
            found.append((None, "its final answer was not found"))
        else:
            found.append((None, "its answer could not be graded"))
            pairs.append(Pair(answer, row.reference or ""))
            places.append(place)
    for place, graded in zip(places, grade(pairs) if pairs else (), strict=True):
        if graded.correct is not None:
            found[place] = (int(graded.correct), "")
    return found


def _rated(row: InputRow) -> int | None:
    """0 when a step is rated negative, 1 when all are rated and none is, None when not all are rated."""
    first = first_error_of(row.votes or ())
    return None if first is None else int(first < 0)


def _windows(rows: Iterable[InputRow]) -> Iterable[list[InputRow]]:
    window: list[InputRow] = []
    for row in rows:
        window.append(row)
        if len(window) == WINDOW:
            yield window
            window = []
    if window:
        yield window
