"""PRM800K's raw schema (JSONL, https://github.com/openai/prm800k): one line to a checked record, or what is wrong.

A record is kept as plain dicts, because unknown keys may stand anywhere and must come back at export. Absent and null
are two things throughout; wrong types, values that JSON does not have and repeated keys make a row broken.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec

from studio.errors import ImportFormatError, SteplensError
from trainer.contract.records import FinishReason

Record = dict[str, Any]
INT64 = 2**63
FINISH_REASONS = frozenset(reason.value for reason in FinishReason)
BOM = b"\xef\xbb\xbf"
LINES_LOOKED_AT = 20
PRE_GENERATED = "pre_generated_"
_RATINGS = (-1, 0, 1)
_KINDS: dict[type, str] = {dict: "an object", list: "a list", str: "a string"}
_LONE_SURROGATE = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])")
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class BrokenRow(SteplensError):
    """A line that is no PRM800K record: what is wrong, and what to do."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}: {remedy}")
        self.what, self.remedy = what, remedy


def parse(line: bytes) -> Record:
    """The record of one line, checked. Raises BrokenRow."""
    record = _json(line)
    if type(record) is not dict:
        raise BrokenRow(f"the line is {_name(record)}, not an object", "every line must be one PRM800K record {...}")
    _check_record(record)
    _check_question(record["question"])
    _check_label(record["label"])
    return record


def looks_like(line: bytes) -> bool:
    """Whether a line is meant to be a PRM800K record, broken or not."""
    try:
        record = _decode(line.removeprefix(BOM))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(record, dict) and "question" in record and "label" in record


def is_prm800k(path: Path) -> bool:
    """Whether one of the first lines that are JSON is a PRM800K record. Raises ImportFormatError."""
    try:
        with path.open("rb") as stream:
            lines = [line for _, line in zip(range(LINES_LOOKED_AT), stream, strict=False)]
    except OSError as error:
        raise ImportFormatError(
            path, 0, f"cannot be read ({error.strerror})", "check the path and your rights"
        ) from error
    return any(map(looks_like, lines))


def _json(line: bytes) -> Any:  # noqa: ANN401 - any JSON value
    try:
        value = _decode(line)
    except RecursionError:
        raise BrokenRow("the row is nested too deeply", "flatten it") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _diagnosis(line, str(error)) from None
    # A repeated key is lost in `value`, and with it at least two quotation marks.
    if line.count(b'"') != _encode(value).count(b'"') or b"\\u0022" in line:
        _refuse_repeats(line)
    return value


def _refuse_repeats(line: bytes) -> None:
    try:
        json.loads(line, object_pairs_hook=_without_repeats)
    except RecursionError:
        raise BrokenRow("the row is nested too deeply", "flatten it") from None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise BrokenRow(f"the key {twice!r} stands twice in one object", "remove one of the two")
    return made


def _diagnosis(line: bytes, found: str) -> BrokenRow:
    if _LONE_SURROGATE.search(line):
        return BrokenRow("a lone surrogate (\\ud800 to \\udfff) is no character", "replace it, e.g. by \\ufffd")
    if "utf-8" in found:
        return BrokenRow("the row is not UTF-8", "convert the file to UTF-8")
    if re.search(rb"[:,\[]\s*-?(NaN|Infinity)", line):
        return BrokenRow("NaN and Infinity are not JSON", "write null or a number")
    if "out of range" in found:
        return BrokenRow("a number is too large", "write it smaller, or as a string")
    if b"\x00" in line:
        return BrokenRow("the row holds NUL bytes", "the file may be damaged: fetch it again")
    return BrokenRow(f"not JSON ({found})", "one whole JSON object must stand on every line")


def _check_record(record: Record) -> None:
    _need(record, "question", dict, "")
    _need(record, "label", dict, "")
    _text_or_null(record, "labeler", "")
    _text_or_null(record, "timestamp", "")
    _whole_or_null(record, "generation", "")
    for key in ("is_quality_control_question", "is_initial_screening_question"):
        if type(record.get(key)) not in (bool, type(None)):
            raise _wrong(key, record[key], "true, false or null")


def _check_question(question: Record) -> None:
    _need(question, "problem", str, "question.")
    for key in ("ground_truth_solution", "ground_truth_answer", "pre_generated_answer"):
        _text_or_null(question, key, "question.")
    steps = question.get("pre_generated_steps")
    if steps is None:
        return
    if type(steps) is not list:
        raise _wrong("question.pre_generated_steps", steps, "a list of strings or null")
    for at, text in enumerate(steps):
        if type(text) is not str:
            raise _wrong(f"question.pre_generated_steps[{at}]", text, "a string")


def _check_label(label: Record) -> None:
    _need(label, "steps", list, "label.")
    _whole_or_null(label, "total_time", "label.")
    reason = label.get("finish_reason")
    if reason is not None and (type(reason) is not str or reason not in FINISH_REASONS):
        raise _wrong("label.finish_reason", reason, f"one of {', '.join(sorted(FINISH_REASONS))}, or null")
    for at, step in enumerate(label["steps"]):
        if type(step) is not dict:
            raise _wrong(f"label.steps[{at}]", step, "an object")
        _check_step(step, at)


def _check_step(step: Record, at: int) -> None:
    completions = step.get("completions")
    if completions is not None:
        if type(completions) is not list:
            raise _wrong(f"label.steps[{at}].completions", completions, "a list or null")
        for number, completion in enumerate(completions):
            if type(completion) is not dict:
                raise _wrong(f"label.steps[{at}].completions[{number}]", completion, "an object")
            _check_completion(completion, at, number)
    chosen = step.get("chosen_completion")
    if chosen is not None:
        if type(chosen) is not int:
            raise _wrong(f"label.steps[{at}].chosen_completion", chosen, "a whole number or null")
        if completions and not 0 <= chosen < len(completions):
            there = f"it must be one of {len(completions)} completions, counted from 0"
            raise BrokenRow(f"label.steps[{at}].chosen_completion is {chosen}", there)
    human = step.get("human_completion")
    if type(human) is dict:
        _check_completion(human, at, None)
    elif human is not None and type(human) is not str:
        raise _wrong(f"label.steps[{at}].human_completion", human, "an object, a string or null")


def _check_completion(completion: Record, at: int, number: int | None) -> None:
    """A model's completion, or the human one (`number` None)."""
    rating, flagged = completion.get("rating"), completion.get("flagged")
    if (
        type(completion.get("text")) is str
        and (rating is None or (type(rating) is int and rating in _RATINGS))
        and (flagged is None or type(flagged) is bool)
    ):
        return
    place = f"label.steps[{at}]." + ("human_completion" if number is None else f"completions[{number}]")
    _need(completion, "text", str, f"{place}.")
    if rating is not None and (type(rating) is not int or rating not in _RATINGS):
        raise _wrong(f"{place}.rating", rating, "-1, 0, 1 or null")
    raise _wrong(f"{place}.flagged", flagged, "true, false or null")


def _need(owner: Record, key: str, kind: type, place: str) -> None:
    if key not in owner:
        raise BrokenRow(f"{place}{key} is missing", "a PRM800K record must have it")
    if type(owner[key]) is not kind:
        raise _wrong(place + key, owner[key], _KINDS[kind])


def _text_or_null(owner: Record, key: str, place: str) -> None:
    if type(owner.get(key)) not in (str, type(None)):
        raise _wrong(place + key, owner[key], "a string or null")


def _whole_or_null(owner: Record, key: str, place: str) -> None:
    value = owner.get(key)
    if value is not None and (type(value) is not int or not -INT64 <= value < INT64):
        raise _wrong(place + key, value, "a whole number of at most 64 bits, or null")


def _wrong(place: str, value: object, wanted: str) -> BrokenRow:
    shown = _encode(value).decode()
    shown = shown if len(shown) <= 40 else shown[:37] + "..."
    return BrokenRow(f"{place} is {_name(value)} ({shown})", f"it must be {wanted}")


def _name(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", int: "a whole number"}
    return "null" if value is None else names.get(type(value), "a number")
