"""Records of no known format: which of their fields are problem, thinking, answer. Guessed, shown, set by a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from studio.errors import SteplensError
from studio.exchange.chat_messages import is_message, put_message
from studio.exchange.foreign import Composer, Json, shown
from studio.exchange.reading import Read, budget_of, finished, outcome_of
from trainer.contract.records import BlockKind
from trainer.reasoning.segment import Span, segment

FORMAT = "mapped"
PROBLEM, THINKING = "problem", "thinking"  # fields that may be lists too
_NAMES: dict[str, tuple[str, ...]] = {
    "response": ("raw_output", "full_response", "completion", "generation", "model_output", "trace", "solution"),
    "thinking": (
        "thinking",
        "internal_reasoning",
        "reasoning",
        "reasoning_content",
        "chain_of_thought",
        "cot",
        "thought",
    ),
    "answer": (
        "output",
        "external_output",
        "raw_response",
        "response",
        "answer_text",
        "final_response",
        "reply",
        "answer",
    ),
    "problem": ("problem", "question", "prompt", "user_message", "instruction", "input", "query", "task_id"),
    "system": ("system_prompt", "system"),
    "steps": ("steps", "step_texts"),
    "reference": ("reference", "ground_truth", "gold", "target", "expected", "expected_answer"),
    "model": ("model", "model_name", "checkpoint", "generator", "model_id"),
    "sample": ("id", "sample_id", "probe_id", "uid", "uuid", "task_id", "idx"),
    "outcome": ("is_correct", "correct", "passed"),
    "used": ("output_tokens", "completion_tokens", "num_tokens"),
    "at": ("timestamp", "created_at", "time"),
}


@dataclass(frozen=True, slots=True)
class FieldMap:
    """The field of a record for each thing a trace has; "" = none. A name may lead inwards by dots."""

    problem: str = ""
    system: str = ""
    thinking: str = ""
    answer: str = ""
    response: str = ""
    steps: str = ""
    reference: str = ""
    model: str = ""
    sample: str = ""
    outcome: str = ""
    used: str = ""
    at: str = ""

    @property
    def is_enough(self) -> bool:
        """Whether it says where a model speaks."""
        return bool(self.spoken)

    @property
    def spoken(self) -> tuple[str, ...]:
        """The fields in which a model speaks."""
        return tuple(name for name in (self.response, self.thinking, self.answer, self.steps) if name)

    def shown(self) -> str:
        """The mapping as `--map` takes it."""
        return " ".join(f"{name}={value}" for name, value in asdict(self).items() if value)


def guess(records: Sequence[Json]) -> FieldMap:
    """The mapping that the names of the fields suggest; a whole response with its marks goes before its parts."""
    keys = {key: record[key] for record in reversed(records) for key in record if record[key] is not None}
    texts = {"problem", "system", "thinking", "answer", "response"}
    found: dict[str, str] = {}
    for field, names in _NAMES.items():
        for name in names:
            value = keys.get(name)
            if value is None or name in found.values():
                continue
            if field in texts and not (isinstance(value, str) or _is_said(field, value)):
                continue
            if field == "steps" and not _are_texts(value):
                continue
            found[field] = name
            break
    if "response" in found and ("<" not in str(keys[found["response"]])) and ("thinking" in found or "answer" in found):
        if "answer" not in found:
            found["answer"] = found["response"]
        del found["response"]
    if "response" in found:
        found.pop("thinking", None)
        found.pop("answer", None)
    return FieldMap(**found)


def from_words(words: Sequence[str], guessed: FieldMap) -> FieldMap:
    """The guessed mapping with what a person says ("answer=reply", "model=" for none). Raises SteplensError."""
    said = asdict(guessed)
    for word in words:
        name, sign, value = word.partition("=")
        if not sign or name not in said:
            names = ", ".join(each.name for each in fields(FieldMap))
            raise SteplensError(f"--map {word!r}: FIELD=NAME is wanted, FIELD one of {names}")
        said[name] = value
    return FieldMap(**said)


def fits(value: object, mapping: FieldMap) -> bool:
    """Whether the record has what the mapping calls the model's words."""
    return isinstance(value, dict) and any(_at(value, name) for name in mapping.spoken)


def read(value: Json, mapping: FieldMap, line: int = 0) -> Read:
    """The trace of a record by a mapping."""
    composer = Composer()
    for role, name in (("system", mapping.system), ("user", mapping.problem)):
        place = _at(value, name)
        if place is not None and _is_said(PROBLEM, place[0][place[1]]):
            for message in place[0][place[1]]:
                put_message(composer, message)
        elif place is not None:
            composer.begin(role)
            _put(composer, place, BlockKind.OTHER)
    at = _said(value, mapping.at)
    composer.begin("assistant", at=at if isinstance(at, str) else None)
    for name, kind in ((mapping.thinking, BlockKind.THINKING), (mapping.answer, None), (mapping.response, None)):
        place = _at(value, name)
        if place is not None:
            _put(composer, place, kind)
    steps = _said(value, mapping.steps)
    given = [
        span
        for index, step in enumerate(steps if isinstance(steps, list) else ())
        if isinstance(step, str) and (span := composer.lift(steps, index, BlockKind.ANSWER)) is not None
    ]
    reference, sample = _said(value, mapping.reference), _said(value, mapping.sample)
    used = _said(value, mapping.used)
    trace = finished(
        composer,
        steps=_steps(composer, given) if given else None,
        reference=None if reference is None else str(reference),
        model=str(_said(value, mapping.model) or ""),
        sample=None if sample is None else str(sample),
        outcome=outcome_of(_said(value, mapping.outcome)),
        budget=budget_of(used=used if isinstance(used, int) else None),
        line=line,
    )
    return Read((trace,), composer.taken)


def _put(composer: Composer, place: tuple[Any, object], kind: BlockKind | None) -> None:
    """Put what a field says: a text, several, or a value that is none as its JSON; `kind` None: a response."""
    value = place[0][place[1]]
    if isinstance(value, str):
        composer.lift(*place, kind) if kind else composer.respond(*place)
    elif _are_texts(value):
        for index in range(len(value)):
            composer.lift(value, index, kind or BlockKind.ANSWER)
    elif not isinstance(value, bool):
        composer.say(shown(value), kind or BlockKind.ANSWER)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)


def _is_said(field: str, value: object) -> bool:
    """Whether a list says what a field means: thinking in pieces, or a problem as the messages that ask it."""
    if field == PROBLEM:
        return isinstance(value, list) and bool(value) and all(map(is_message, value))
    return field == THINKING and _are_texts(value)


def _steps(composer: Composer, given: Sequence[Span]) -> tuple[Span, ...]:
    """The steps of a record that says them: each as a whole, and the lines of what else the model says there."""
    text, found, whole = composer.text, list[Span](), set(given)
    for block in composer.messages_so_far()[-1].blocks:
        span = Span(block.start, block.end)
        if span not in whole:
            found += segment(text, block.start, block.end)
        elif body := span.of(text).strip():
            first = text.index(body, block.start)
            found.append(Span(first, first + len(body)))
    return tuple(found)


def _at(value: Mapping[str, Any], name: str) -> tuple[Any, object] | None:
    """Where a field stands; None when it does not, or is empty."""
    holder: Any = value
    path = [name] if name in value else name.split(".")
    for part in path[:-1]:
        holder = holder.get(part) if isinstance(holder, dict) else None
    if not name or not isinstance(holder, dict) or holder.get(path[-1]) in (None, "", []):
        return None
    return holder, path[-1]


def _said(value: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401
    place = _at(value, name)
    return None if place is None else place[0][place[1]]
