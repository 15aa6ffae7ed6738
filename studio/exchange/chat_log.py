"""A conversation as a list of messages, alone or in a record beside other things."""

from __future__ import annotations

from typing import Any

from studio.exchange.anthropic_messages import put_system
from studio.exchange.chat_messages import is_message, put_message
from studio.exchange.foreign import Composer, Json
from studio.exchange.reading import Read, budget_of, finished, outcome_of

FORMAT = "chat"
_LISTS = ("messages", "conversation", "conversations", "transcript", "trajectory", "history", "dialogue")
_MODELS = ("model", "model_name", "agent_name", "agent")
_TIMES = ("timestamp", "created_at", "time", "at")


def matches(value: object) -> bool:
    """Whether the record holds a conversation."""
    return _list(value) is not None


def read(value: Any, line: int = 0) -> Read:  # noqa: ANN401
    """The trace of a conversation."""
    composer = Composer()
    said: Json = value if isinstance(value, dict) else {}
    put_system(composer, said)
    for message in _list(value) or ():
        if isinstance(message, dict):
            at = next((message[key] for key in _TIMES if isinstance(message.get(key), str)), None)
            put_message(composer, message, at=at)
    usage = [each for each in said.get("token_usage") or () if isinstance(each, dict)]
    used = sum(each["output_tokens"] for each in usage if isinstance(each.get("output_tokens"), int))
    name = next((said[key] for key in ("id", "experiment_id", "uuid", "sample_id") if said.get(key) is not None), None)
    reference = next(
        (said[key] for key in ("target", "reference", "ground_truth") if isinstance(said.get(key), str)), None
    )
    trace = finished(
        composer,
        reference=reference,
        model=next((str(said[key]) for key in _MODELS if isinstance(said.get(key), str)), ""),
        sample=None if name is None else str(name),
        source=str(said.get("task_name") or said.get("task") or ""),
        outcome=outcome_of(said.get("correct", said.get("is_correct"))),
        budget=budget_of(used=used or None),
        line=line,
    )
    return Read((trace,), composer.taken)


def _list(value: object) -> list[Any] | None:
    if isinstance(value, list):
        return value if value and all(is_message(each) for each in value) else None
    if not isinstance(value, dict):
        return None
    for key in _LISTS:
        said = value.get(key)
        if isinstance(said, list) and said and any(is_message(each) for each in said):
            return said
    return None
