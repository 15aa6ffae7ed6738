"""A PRM800K record as what our tables hold, and back.

The plain rules, so that only exceptions cost a residue (`extra["prm800k"]`, listed in docs/prm800k.md):
completion 0 is the step itself and is chosen, but nothing is at the last step of `found_error`; NULL stands for null in
the label and for an absent key in the question. Options of a rating: 0 is the step itself, so where another
completion is the step (phase 1: the chosen one) the two change places; where none is (a person wrote the step),
completion k is option k + 1. Option -1 is the completion that the annotator wrote.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from studio.exchange.prm800k import PRE_GENERATED, Record
from studio.exchange.report import more

HUMAN = -1
SOURCE = "prm800k"
ANSWER_MARK = "# Answer"
_QUESTION = ("problem", "ground_truth_solution", "ground_truth_answer")
_TRACE = ("pre_generated_steps", "pre_generated_answer")
_TOP = ("labeler", "timestamp", "generation", "is_quality_control_question", "is_initial_screening_question")
_TOP_ALL = frozenset((*_TOP, "question", "label"))
_LABEL = ("total_time", "finish_reason")
_LABEL_ALL = frozenset((*_LABEL, "steps"))
_STEP = ("completions", "human_completion", "chosen_completion")
_STEP_ALL = frozenset(_STEP)
_COMPLETION = ("text", "rating", "flagged")
_COMPLETION_ALL = frozenset(_COMPLETION)
_encode = msgspec.json.Encoder().encode
_sorted = msgspec.json.Encoder(order="deterministic").encode


class RatingPart(NamedTuple):
    """A row of `rating` without its annotation."""

    ordinal: int
    option: int
    value: int | None
    flagged: bool | None
    extra: str | None


class CandidatePart(NamedTuple):
    """A row of `candidate` without its ids."""

    ordinal: int
    option: int
    text: str
    source: str
    extra: str | None


class ProblemPart(NamedTuple):
    """A row of `problem` without fold and source; `uid` digests all that the source said of it."""

    uid: str
    prompt: str
    answer: str | None
    solution: str | None
    extra: str | None


class TracePart(NamedTuple):
    """A row of `trace`: its steps, and the digest of the question by which annotations share it (None: phase 1)."""

    steps: Sequence[str]
    answer: str | None
    extra: str
    shared: str | None


class AnnotationPart(NamedTuple):
    """A row of `annotation` with its ratings and candidates, without ids."""

    labeler: str | None
    timestamp: str | None
    generation: int | None
    quality_control: int
    screening: int
    total_time: int | None
    finish_reason: str | None
    path: str | None
    extra: str
    ratings: list[RatingPart]
    candidates: list[CandidatePart]


class Parts(NamedTuple):
    """One record, taken apart."""

    problem: ProblemPart
    trace: TracePart
    annotation: AnnotationPart


def take_apart(record: Record, traps: dict[str, int]) -> Parts:
    """What the tables hold of a checked record; unusual things met are counted in `traps`."""
    question, label = record["question"], record["label"]
    trace = _trace(question, label, traps)
    return Parts(_problem(question, traps), trace, _annotation(record, label, trace.steps, trace.shared is None, traps))


def _problem(question: Record, traps: dict[str, int]) -> ProblemPart:
    said = {key: value for key, value in question.items() if not key.startswith(PRE_GENERATED)}
    keys = {key: value for key, value in said.items() if key not in _QUESTION}
    nulls = [key for key in _QUESTION[1:] if said.get(key, "") is None]
    residue: dict[str, Any] = {}
    if keys:
        residue["keys"] = keys
        more(traps, "unknown keys")
    if nulls:
        residue["null"] = nulls
    return ProblemPart(
        hashlib.sha256(_sorted(said)).hexdigest()[:32],
        question["problem"],
        question.get("ground_truth_answer"),
        question.get("ground_truth_solution"),
        _residue(residue),
    )


def _trace(question: Record, label: Record, traps: dict[str, int]) -> TracePart:
    steps = question.get("pre_generated_steps")
    given = {key: value for key, value in question.items() if key.startswith(PRE_GENERATED)}
    if steps is None:
        path = chosen_path(label)
        residue = {"path": True, "keys": given}
        return TracePart(path, given.get("pre_generated_answer") or _answer_in(path), _residue(residue) or "", None)
    residue = {"keys": {key: value for key, value in given.items() if key not in _TRACE}}
    if given.get("pre_generated_answer", "") is None:
        residue["null"] = ["pre_generated_answer"]
    shared = hashlib.sha256(_sorted(question)).hexdigest()
    if not steps:
        more(traps, "no pre-generated steps")
    return TracePart(steps, question.get("pre_generated_answer"), _residue(residue) or "", shared)


def chosen_path(label: Record) -> list[str]:
    """Phase 1: the texts that the annotator's choices put together. Where nothing was chosen the path ends."""
    steps, texts, end = label["steps"], [], 0
    for at, step in enumerate(steps):
        main = _chosen_main(step, label, at)
        completions, human = step.get("completions") or (), step.get("human_completion")
        if main is not None:
            texts.append(completions[main]["text"])
        elif human is not None:
            texts.append(_human_text(human))
        else:
            texts.append("")
            continue
        end = len(texts)
    return texts[:end]


def _chosen_main(step: Record, label: Record, at: int) -> int | None:
    """Which completion is the step itself on a phase 1 path; None: the written one, or none."""
    chosen: int | None = step.get("chosen_completion")
    if not step.get("completions"):
        return None
    if chosen is not None:
        return chosen
    if step.get("human_completion") is not None:
        return None
    return 0 if label.get("finish_reason") == "found_error" and at == len(label["steps"]) - 1 else None


def _given_main(step: Record, text: str | None) -> int | None:
    """Which completion is the pre-generated step of this text."""
    completions = step.get("completions")
    if not completions:
        return 0
    if completions[0]["text"] == text:
        return 0
    return next((k for k, completion in enumerate(completions) if completion["text"] == text), None)


def _annotation(
    record: Record, label: Record, texts: Sequence[str], is_path: bool, traps: dict[str, int]
) -> AnnotationPart:
    ratings: list[RatingPart] = []
    candidates: list[CandidatePart] = []
    path: dict[str, Record] = {}
    odd: dict[str, Record] = {}
    steps = label["steps"]
    if record.get("labeler") is None:
        more(traps, "no labeler")
    unchosen = len(steps) - 1 if label.get("finish_reason") == "found_error" else -1
    for at, step in enumerate(steps):
        main = _chosen_main(step, label, at) if is_path else _given_main(step, texts[at] if at < len(texts) else None)
        completions = step.get("completions")
        if completions:
            _completions(completions, at, main, ratings, candidates, traps)
        exception: Record = {} if main == 0 else {"main": main}
        if step.get("chosen_completion", 0) != (None if at == unchosen else 0):
            exception["chosen"] = step.get("chosen_completion")
        if exception:
            path[str(at)] = exception
            more(traps, "chosen otherwise than by the plain rule")
        if not completions or step.keys() != _STEP_ALL or step["human_completion"] is not None:
            _odd_step(step, at, odd, ratings, candidates, traps)
    return AnnotationPart(
        record.get("labeler"),
        record.get("timestamp"),
        record.get("generation"),
        int(record.get("is_quality_control_question") or False),
        int(record.get("is_initial_screening_question") or False),
        label.get("total_time"),
        label.get("finish_reason"),
        _json(path) if path else None,
        _label_residue(record, label, odd, traps),
        ratings,
        candidates,
    )


def option_of(completion: int, main: int | None) -> int:
    """The option under which a completion is kept, where completion `main` is the step itself."""
    if main is None:
        return completion + 1
    if completion == main:
        return 0
    return main if completion == 0 else completion


def _completions(
    completions: list[Record],
    at: int,
    main: int | None,
    ratings: list[RatingPart],
    candidates: list[CandidatePart],
    traps: dict[str, int],
) -> None:
    for number, completion in enumerate(completions):
        option = option_of(number, main)
        value = completion.get("rating")
        extra = None
        if completion.keys() != _COMPLETION_ALL:
            extra = _missing_and_unknown(completion, _COMPLETION, traps)
        ratings.append(RatingPart(at, option, value, completion.get("flagged"), extra))
        if option:
            candidates.append(CandidatePart(at, option, completion["text"], "model", None))
    if main is None:
        more(traps, "steps that no completion is")


def _odd_step(
    step: Record,
    at: int,
    odd: dict[str, Record],
    ratings: list[RatingPart],
    candidates: list[CandidatePart],
    traps: dict[str, int],
) -> None:
    residue: Record = {}
    absent = [key for key in _STEP if key not in step]
    unknown = {key: value for key, value in step.items() if key not in _STEP}
    if absent:
        residue["absent"] = absent
        more(traps, "absent keys", len(absent))
    if unknown:
        residue["keys"] = unknown
        more(traps, "unknown keys", len(unknown))
    if step.get("completions", ()) is None:
        residue["null"] = ["completions"]
        more(traps, "null completions")
    if residue:
        odd[str(at)] = residue
    human = step.get("human_completion")
    if human is not None:
        more(traps, "human completions")
        _human(human, at, ratings, candidates)


def _human(human: Record | str, at: int, ratings: list[RatingPart], candidates: list[CandidatePart]) -> None:
    """Option -1. A bare string has no residue, an object has one, even an empty one."""
    if isinstance(human, str):
        candidates.append(CandidatePart(at, HUMAN, human, "human", None))
        return
    rest = {key: value for key, value in human.items() if key not in _COMPLETION}
    absent = [key for key in ("rating", "flagged") if key not in human]
    candidates.append(CandidatePart(at, HUMAN, human["text"], "human", _json({SOURCE: {"keys": rest}})))
    extra = _json({SOURCE: {"absent": absent}}) if absent else None
    ratings.append(RatingPart(at, HUMAN, human.get("rating"), human.get("flagged"), extra))


def _missing_and_unknown(completion: Record, names: Sequence[str], traps: dict[str, int]) -> str | None:
    residue: Record = {}
    absent = [key for key in names if key not in completion]
    unknown = {key: value for key, value in completion.items() if key not in names}
    if absent:
        residue["absent"] = absent
        more(traps, "absent keys", len(absent))
    if unknown:
        residue["keys"] = unknown
        more(traps, "unknown keys", len(unknown))
    return _residue(residue) if residue else None


def _label_residue(record: Record, label: Record, odd: dict[str, Record], traps: dict[str, int]) -> str:
    residue: Record = {"n": len(label["steps"])}
    if record.keys() != _TOP_ALL:
        absent = [key for key in _TOP if key not in record]
        unknown = {key: value for key, value in record.items() if key not in _TOP_ALL}
        residue |= {"absent": absent, "keys": unknown}
        more(traps, "absent keys", len(absent))
        more(traps, "unknown keys", len(unknown))
    if label.keys() != _LABEL_ALL:
        absent = [key for key in _LABEL if key not in label]
        unknown = {key: value for key, value in label.items() if key not in _LABEL_ALL}
        residue |= {"label_absent": absent, "label_keys": unknown}
        more(traps, "absent keys", len(absent))
        more(traps, "unknown keys", len(unknown))
    nulls = [key for key in _TOP[3:] if record.get(key, 0) is None]
    if nulls:
        residue["null"] = nulls
    if odd:
        residue["steps"] = odd
    return _json({SOURCE: residue})


def _answer_in(path: Sequence[str]) -> str | None:
    """The final answer that a last step states under PRM800K's mark."""
    if not path or ANSWER_MARK not in path[-1]:
        return None
    return path[-1].rpartition(ANSWER_MARK)[2].strip() or None


def _human_text(human: Record | str) -> str:
    return human if isinstance(human, str) else human["text"]


def _residue(residue: Record) -> str | None:
    kept = {key: value for key, value in residue.items() if value or key == "n"}
    return _json({SOURCE: kept}) if residue else None


def _json(value: Record) -> str:
    return _encode(value).decode()
