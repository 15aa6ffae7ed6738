"""A PRM800K record from what the tables hold; the other way round from `prm800k_parts`, by the same plain rules.

For annotations made here it is the record that PRM800K's format would have: main steps with `flagged` null, nothing
chosen at the first error, later steps only in `pre_generated_steps`, the last of which states the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from studio.exchange.prm800k import Record
from studio.exchange.prm800k_parts import ANSWER_MARK, HUMAN, SOURCE

Residue = Mapping[str, Any]


class StoredRating(NamedTuple):
    """What stands in `rating` of one option."""

    option: int
    value: int | None
    flagged: int | None
    extra: Residue | None


class StoredCandidate(NamedTuple):
    """What stands in `candidate` of one option."""

    text: str
    extra: Residue | None


@dataclass(frozen=True, slots=True)
class StoredQuestion:
    """Problem and trace of an annotation; `steps` as first imported."""

    prompt: str
    reference_answer: str | None
    reference_solution: str | None
    problem_extra: Residue | None
    answer: str | None
    trace_extra: Residue | None
    steps: Sequence[str]


@dataclass(frozen=True, slots=True)
class StoredAnnotation:
    """An annotation with its ratings by step and candidates by (step, option); `steps` are the ones it rates."""

    labeler: str | None
    timestamp: str | None
    generation: int | None
    quality_control: int
    screening: int
    total_time: int | None
    finish_reason: str | None
    path: Residue | None
    extra: Residue | None
    steps: Sequence[str]
    imported: bool
    ratings: Mapping[int, Sequence[StoredRating]] = field(default_factory=dict)
    candidates: Mapping[tuple[int, int], StoredCandidate] = field(default_factory=dict)


def build(annotation: StoredAnnotation, question: StoredQuestion) -> Record:
    """The record, with keys in PRM800K's order."""
    residue = (annotation.extra or {}).get(SOURCE, {})
    nulls = residue.get("null", ())
    record: Record = {
        "labeler": annotation.labeler,
        "timestamp": annotation.timestamp,
        "generation": annotation.generation,
        "is_quality_control_question": _flag(annotation.quality_control, "is_quality_control_question" in nulls),
        "is_initial_screening_question": _flag(annotation.screening, "is_initial_screening_question" in nulls),
        "question": _question(question),
    }
    label: Record = {
        "steps": _steps(annotation, residue),
        "total_time": annotation.total_time,
        "finish_reason": annotation.finish_reason,
    }
    record["label"] = _restored(label, residue.get("label_absent", ()), residue.get("label_keys"))
    return _restored(record, residue.get("absent", ()), residue.get("keys"))


def _flag(value: int, is_null: bool) -> bool | None:
    return None if is_null and not value else bool(value)


def _restored(made: Record, absent: Sequence[str], keys: Mapping[str, Any] | None) -> Record:
    """Take out what the source did not have, put in what it had beyond our words."""
    for key in absent:
        if made.get(key) is None or key.startswith("is_"):
            made.pop(key, None)
    if keys:
        made.update(keys)
    return made


def _question(question: StoredQuestion) -> Record:
    known = (question.problem_extra or {}).get(SOURCE, {})
    nulls = known.get("null", ())
    made: Record = {"problem": question.prompt}
    for key, value in (
        ("ground_truth_solution", question.reference_solution),
        ("ground_truth_answer", question.reference_answer),
    ):
        if value is not None or key in nulls:
            made[key] = value
    made.update(known.get("keys", {}))
    if question.trace_extra is None or SOURCE not in question.trace_extra:
        made.setdefault("ground_truth_answer", None)
        return made | {"pre_generated_steps": _with_answer(question), "pre_generated_answer": question.answer}
    residue = question.trace_extra[SOURCE]
    if not residue.get("path"):
        made["pre_generated_steps"] = list(question.steps)
        if question.answer is not None or "pre_generated_answer" in residue.get("null", ()):
            made["pre_generated_answer"] = question.answer
    made.update(residue.get("keys", {}))
    return made


def _with_answer(question: StoredQuestion) -> list[str]:
    """The steps of a trace that was not imported from PRM800K: the last one states the answer under its mark."""
    steps = list(question.steps)
    if steps:
        steps[-1] = _stating_answer(steps[-1], question.answer)
    return steps


def _stating_answer(step: str, answer: str | None) -> str:
    return step if answer is None or ANSWER_MARK in step else f"{step}\n\n{ANSWER_MARK}\n\n{answer}"


def label_texts(steps: Sequence[str], question: StoredQuestion) -> Sequence[str]:
    """The texts of an annotation's steps as its completions give them: the pre-generated ones where they are these."""
    native = question.trace_extra is None or SOURCE not in question.trace_extra
    if not native or not steps:
        return steps
    return [*steps[:-1], _stating_answer(steps[-1], question.answer)]


def _steps(annotation: StoredAnnotation, residue: Residue) -> list[Record]:
    said = [
        ordinal
        for ordinal, options in annotation.ratings.items()
        if any(each.value is not None or each.option != 0 for each in options)
    ]
    end = None if annotation.imported else _first_negative(annotation)
    if end is not None:  # what was rated behind it before a correction does not count
        said = [ordinal for ordinal in said if ordinal <= end]
    number = max([residue.get("n", 0), *(ordinal + 1 for ordinal in said)])
    unchosen = number - 1 if annotation.finish_reason == "found_error" else -1
    odd = residue.get("steps", {})
    return [_step(annotation, at, None if at == unchosen else 0, odd.get(str(at), {})) for at in range(number)]


def _first_negative(annotation: StoredAnnotation) -> int | None:
    negative = (at for at, rows in annotation.ratings.items() if any(r.option == 0 and r.value == -1 for r in rows))
    return min(negative, default=None)


def _step(annotation: StoredAnnotation, at: int, chosen: int | None, odd: Residue) -> Record:
    exception = (annotation.path or {}).get(str(at), {})
    main = exception.get("main", 0)
    rows = annotation.ratings.get(at, ())
    human = annotation.candidates.get((at, HUMAN))
    completions: list[Record] | None = _completions(annotation, at, rows, main, has_human=human is not None)
    if not completions and "completions" in odd.get("null", ()):
        completions = None
    made: Record = {
        "completions": completions,
        "human_completion": None if human is None else _human(human, rows, is_step=main is None),
        "chosen_completion": exception.get("chosen", chosen),
    }
    for key in odd.get("absent", ()):
        if not made[key] or key == "chosen_completion":
            del made[key]
    made.update(odd.get("keys", {}))
    return made


def _completions(
    annotation: StoredAnnotation, at: int, rows: Sequence[StoredRating], main: int | None, *, has_human: bool
) -> list[Record]:
    if not rows:
        return [] if annotation.imported else [{"text": annotation.steps[at], "rating": None, "flagged": None}]
    if len(rows) == 1 and rows[0].option == 0 and main == 0:
        return [_completion(annotation, at, rows[0])]
    own = [row for row in rows if row.option > 0 or (row.option == 0 and main is not None)]
    made = [_completion(annotation, at, row) for row in sorted(own, key=lambda row: _place(row.option, main))]
    if main is None and not has_human:  # somebody rated the step itself, which was not among the completions
        made += [_completion(annotation, at, row) for row in rows if row.option == 0 and row.value is not None]
    return made


def _place(option: int, main: int | None) -> int:
    """Where the completion of this option stands; the other way round from `option_of`."""
    if main is None:
        return option - 1
    if option == 0:
        return main
    return 0 if option == main else option


def _completion(annotation: StoredAnnotation, at: int, row: StoredRating) -> Record:
    candidate = annotation.candidates.get((at, row.option))
    made: Record = {
        "text": annotation.steps[at] if candidate is None else candidate.text,
        "rating": row.value,
        "flagged": None if row.flagged is None else bool(row.flagged),
    }
    if row.extra:
        residue = row.extra.get(SOURCE, {})
        return _restored(made, residue.get("absent", ()), residue.get("keys"))
    return made


def _human(human: StoredCandidate, rows: Sequence[StoredRating], *, is_step: bool) -> Record | str:
    """The written completion; where it is the step itself, a rating of the step is its rating."""
    if human.extra is None:
        return human.text
    own = next((row for row in rows if row.option == HUMAN), StoredRating(HUMAN, None, None, None))
    value = own.value
    if is_step and value is None:
        value = next((row.value for row in rows if row.option == 0), None)
    made: Record = {"text": human.text, "rating": value, "flagged": None if own.flagged is None else bool(own.flagged)}
    made = _restored(made, ((own.extra or {}).get(SOURCE, {})).get("absent", ()), None)
    made.update(human.extra.get(SOURCE, {}).get("keys", {}))
    return made
