"""A call of a model as logs keep it: what was asked beside what came back, under any of the usual names."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from studio.exchange.foreign import Json

_ANSWERS = ("response", "completion", "output", "body", "result", "raw_response")
_QUESTIONS = ("request", "input", "params", "body", "kwargs", "prompt")


class Exchange(NamedTuple):
    """The two sides of a call; the question is empty where the log keeps only the answer."""

    request: Json
    response: Json


def exchange_of(value: object, is_response: Callable[[Json], bool]) -> Exchange | None:
    """The call that a record is; None when no part of it is such a response."""
    if not isinstance(value, dict):
        return None
    response = _found(value, _ANSWERS, is_response)
    if response is None:
        return None

    def asks(part: Json) -> bool:
        return part is not response and ("messages" in part or "input" in part)

    return Exchange(_found(value, _QUESTIONS, asks) or {}, response)


def _found(value: Json, names: tuple[str, ...], fits: Callable[[Json], bool]) -> Json | None:
    """The record itself, a part of it, or the body of a part."""
    if fits(value):
        return value
    for name in names:
        part = value.get(name)
        if isinstance(part, dict):
            if fits(part):
                return part
            body = part.get("body")
            if isinstance(body, dict) and fits(body):
                return body
    return None
