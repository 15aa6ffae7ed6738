"""Observations of Langfuse, alone or within their trace; each generation is a trace of ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from studio.exchange.chat_messages import ASSISTANT, is_message, put_message, put_text
from studio.exchange.foreign import Composer, ForeignTrace, Json, Taken
from studio.exchange.reading import Read, budget_of, embedded, finished, object_of
from trainer.contract.records import BlockKind

FORMAT = "langfuse"


def matches(value: object) -> bool:
    """Whether the record is an observation, or a trace with its observations."""
    if not isinstance(value, dict):
        return False
    observations = value.get("observations")
    if isinstance(observations, list) and any(_is_observation(each) for each in observations):
        return True
    return _is_observation(value)


def read(value: Json, line: int = 0) -> Read:
    """A trace for each generation."""
    taken = Taken()
    traces: list[ForeignTrace] = []
    for each in _generations(value):
        composer = Composer(len(traces), taken)
        _put_side(composer, each, "input", taken, "user")
        _put_side(composer, each, "output", taken, ASSISTANT)
        if composer.messages_so_far():
            if composer.messages_so_far()[-1].role == ASSISTANT:
                composer.note(
                    at=each.get("startTime"), until=each.get("endTime"), first=each.get("completionStartTime")
                )
            traces.append(_trace(composer, each, value, line))
    return Read(tuple(traces), taken)


def _trace(composer: Composer, said: Json, whole: Json, line: int) -> ForeignTrace:
    details = object_of(said.get("usageDetails") or said.get("usage"))
    settings = object_of(said.get("modelParameters"))
    scores = whole.get("scores")
    return finished(
        composer,
        model=str(said.get("model") or ""),
        sample=str(said.get("traceId") or whole.get("id") or "") or None,
        source=str(said.get("name") or whole.get("name") or ""),
        scores=tuple(
            {"scorer": str(each.get("name")), "value": each.get("value"), "outcome": None}
            for each in (scores if isinstance(scores, list) else ())
            if isinstance(each, dict)
        ),
        budget=budget_of(
            requested=settings.get("max_tokens") or settings.get("maxTokens"),
            used=details.get("output"),
            thinking=details.get("output_reasoning_tokens") or details.get("reasoning"),
            ended=said.get("statusMessage"),
        ),
        extra={"span": said.get("id")},
        line=line,
    )


def _generations(value: Json) -> Iterator[Json]:
    observations = value.get("observations")
    for each in observations if isinstance(observations, list) else (value,):
        if isinstance(each, dict) and each.get("type") == "GENERATION":
            yield each


def _put_side(composer: Composer, said: Json, side: str, taken: Taken, role: str) -> None:
    value: Any = embedded(taken, said, side) if side in said else None
    if isinstance(value, dict) and isinstance(value.get("messages"), list):
        value = value["messages"]
    if isinstance(value, list) and any(is_message(each) for each in value):
        for each in value:
            if isinstance(each, dict):
                put_message(composer, each)
    elif isinstance(value, list) and value and role == ASSISTANT:
        put_message(composer, _held({"content": value}, taken), role=role)
    elif isinstance(value, dict) and (is_message(value) or "content" in value or "parts" in value):
        put_message(composer, value, role="" if "role" in value else role)
    elif isinstance(value, str) and value:
        composer.begin(role)
        put_text(composer, said, side, role)
    elif value is not None and value != "":
        from studio.exchange.foreign import shown

        composer.begin(role)
        composer.say(shown(value), BlockKind.OTHER)


def _held(value: Json, taken: Taken) -> Json:
    taken.held.append(value)
    return value


def _is_observation(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    known = value.get("type") in ("GENERATION", "SPAN", "EVENT")
    return known and any(key in value for key in ("traceId", "startTime", "usageDetails"))
