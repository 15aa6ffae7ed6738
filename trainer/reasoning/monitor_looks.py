"""How a monitor looks at a row: the exact checks, and the trained classifier. Torch-free; the studio may look, too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.contract.records import InputRow
from trainer.reasoning import consistency
from trainer.reasoning.monitor_units import Unit, locate, units_of
from trainer.reasoning.safety import CATEGORIES, Category, Finding, Gap, Part
from trainer.reasoning.segment import Span
from trainer.reasoning.word_scores import WordModel, trace_scores

Check = Callable[[], None]
MOST = 3  # findings of one category in a trace that a classifier writes down
Row = tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Looked:
    """What a monitor thinks of a row: findings, scores of the whole, thinking and answer, step scores [steps, 7]."""

    findings: tuple[Finding, ...]
    scores: tuple[Row, Row, Row]
    gap: Gap
    steps: NDArray[np.float32] | None
    places: tuple[Span | None, ...]

    def step_at(self, place: int, step_ids: Sequence[int]) -> int | None:
        """The id of the step that holds this code point."""
        for step_id, span in zip(step_ids, self.places, strict=True):
            if span is not None and span.start <= place < span.end:
                return step_id
        return None


Look = Callable[[InputRow, Check], Looked]


def text_of(row: InputRow) -> str:
    """The text that findings are spans of: the response, else the steps as they are joined."""
    return row.response if row.response is not None else "\n".join(row.steps)


def rules_look(row: InputRow, check: Check) -> Looked:
    """The exact checks of `consistency`."""
    check()
    text = text_of(row)
    examined = consistency.examine(text, row.messages, row.problem)
    scores = examined.scores(), examined.scores(Part.THINKING), examined.scores(Part.ANSWER)
    return Looked(examined.findings, scores, examined.gap, None, locate(text, row.steps))


def classifier_look(model: WordModel, *, lowest: float) -> Look:
    """A look with a trained classifier; findings from the score `lowest` on, the likeliest steps of each category."""

    def look(row: InputRow, check: Check) -> Looked:
        check()
        text = text_of(row)
        places = locate(text, row.steps)
        units = units_of(text, row.messages, places)
        raw = model.raw([unit.span.of(text) for unit in units])
        thinks = np.array([unit.part is Part.THINKING for unit in units], np.bool_)
        whole = trace_scores(model, raw[thinks], raw[~thinks])
        own = model.probabilities(raw)
        steps = np.full((len(row.steps), len(CATEGORIES)), np.nan, np.float32)
        for unit, values in zip(units, own, strict=True):
            if unit.step is not None:
                steps[unit.step] = np.fmax(steps[unit.step], values)
        findings = _findings(model, text, units, own, whole.hybrid, lowest)
        scores = _row(whole.hybrid), _row(whole.thinking), _row(whole.answer)
        gap = consistency.gap_of(consistency.responses(text, row.messages))
        return Looked(findings, scores, gap, steps, places)

    return look


def _findings(
    model: WordModel,
    text: str,
    units: Sequence[Unit],
    own: NDArray[np.float64],
    whole: NDArray[np.float64],
    lowest: float,
) -> tuple[Finding, ...]:
    """The likeliest steps of every category that the whole trace reaches; each quotes its most telling words."""
    out: list[Finding] = []
    for category in model.heads:
        score = float(whole[category.place])
        if not score >= lowest:
            continue
        for place in np.argsort(-own[:, category.place], kind="stable")[:MOST]:
            mine = float(own[place, category.place])
            if out and mine < lowest and any(one.category is category for one in out):
                break  # at least one step stands for the score of the whole
            finding = _finding(model, text, units[place], category, max(mine, score))
            if finding is not None:
                out.append(finding)
    return tuple(sorted(out, key=lambda finding: (finding.start, finding.end)))


def _finding(model: WordModel, text: str, unit: Unit, category: Category, score: float) -> Finding | None:
    span = model.evidence(unit.span.of(text), category)
    if span is None:
        return None
    start, end = unit.span.start + span.start, unit.span.start + span.end
    why = f"reads like what was confirmed as {category.value}"
    severity = 2 if score >= 0.97 else 1
    return Finding(category, severity, start, end, text[start:end], why, score=score, part=unit.part)


def _row(values: NDArray[np.float64]) -> Row:
    return tuple(None if np.isnan(value) else float(value) for value in values)
