"""Responses: items of output (reasoning with summary or encrypted, messages, calls), and streams of their events."""

from __future__ import annotations

from collections.abc import Sequence

from studio.exchange.chat_messages import ASSISTANT, TOOL, as_it_is, is_message, put_content, put_message, put_part
from studio.exchange.exchanges import exchange_of
from studio.exchange.foreign import Composer, ForeignTrace, Json, Taken
from studio.exchange.openai_chat import put_messages
from studio.exchange.reading import Read, finished, usage_budget
from trainer.contract.records import BlockKind

FORMAT = "openai-responses"
_ITEMS = {"reasoning", "message", "function_call", "web_search_call", "file_search_call", "computer_call"}


def matches(value: object) -> bool:
    """Whether the record is a response with items of output."""
    return exchange_of(value, _is_response) is not None


def read(value: Json, line: int = 0) -> Read:
    """The trace of a response and of what was asked."""
    exchange = exchange_of(value, _is_response)
    assert exchange is not None
    taken = Taken()
    return Read((_trace(exchange.request, exchange.response, taken, 0, line),), taken)


def is_event(value: object) -> bool:
    """Whether this is an event of a stream."""
    return isinstance(value, dict) and str(value.get("type", "")).startswith("response.")


def read_stream(events: Sequence[Json], taken: Taken, first: int = 0, line: int = 0) -> list[ForeignTrace]:
    """A trace for each response of these events, from its last whole state: what was added first may be incomplete."""
    whole = [
        e["response"] for e in events if e.get("type") == "response.completed" and isinstance(e.get("response"), dict)
    ]
    if whole:
        return [_trace({}, response, taken, first + at, line) for at, response in enumerate(whole)]
    items = [
        e["item"] for e in events if e.get("type") == "response.output_item.done" and isinstance(e.get("item"), dict)
    ]
    if items:
        return [_trace({}, {"output": items}, taken, first, line)]
    composer = Composer(first, taken)
    composer.begin(ASSISTANT)
    for ending, kind in (("reasoning_text.delta", BlockKind.THINKING), ("summary_text.delta", BlockKind.SUMMARY)):
        said = [(event, "delta") for event in events if str(event.get("type")).endswith(ending)]
        composer.join(said, kind)
    composer.join([(e, "delta") for e in events if e.get("type") == "response.output_text.delta"], None)
    return [finished(composer, line=line)]


def _trace(request: Json, response: Json, taken: Taken, number: int, line: int) -> ForeignTrace:
    composer = Composer(number, taken)
    holder = request if isinstance(request.get("instructions"), str) else response
    if isinstance(holder.get("instructions"), str) and holder["instructions"]:
        composer.begin("system")
        composer.lift(holder, "instructions", BlockKind.OTHER)
    asked = request.get("input")
    if isinstance(asked, str) and asked:
        composer.begin("user")
        composer.lift(request, "input", BlockKind.OTHER)
    elif isinstance(asked, list):
        _put_items(composer, asked)
    put_messages(composer, request.get("messages"))
    _put_items(composer, response["output"])
    details = response.get("incomplete_details")
    ended = details.get("reason") if isinstance(details, dict) else response.get("status")
    return finished(
        composer,
        model=str(response.get("model") or request.get("model") or ""),
        sample=response["id"] if isinstance(response.get("id"), str) else None,
        budget=usage_budget(response.get("usage"), ended, requested=response.get("max_output_tokens")),
        line=line,
    )


def _put_items(composer: Composer, items: Sequence[object]) -> None:
    """Put items; those of the model that follow each other are one turn."""
    speaking = False
    for item in items:
        if not isinstance(item, dict):
            continue
        kind = str(item.get("type") or "")
        if kind == "message" or is_message(item) or (not kind and ("role" in item or "content" in item)):
            if item.get("role") == ASSISTANT and speaking:
                put_content(composer, item, ASSISTANT)
            else:
                put_message(composer, item)
            speaking = item.get("role") == ASSISTANT
        elif kind.endswith("_output"):
            composer.begin(TOOL)
            put_part(composer, item, TOOL, as_it_is)
            speaking = False
        else:
            if not speaking:
                composer.begin(ASSISTANT)
            put_part(composer, item, ASSISTANT, as_it_is)
            speaking = True


def _is_response(value: Json) -> bool:
    output = value.get("output")
    if not isinstance(output, list) or not all(isinstance(item, dict) for item in output):
        return False
    return value.get("object") == "response" or (bool(output) and all(item.get("type") in _ITEMS for item in output))
