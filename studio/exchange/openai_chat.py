"""Chat completions: whole responses, with the request where it is kept, and streams of chunks.

Thinking comes as `reasoning_content`, `reasoning`, `reasoning_details` or `thinking_blocks`, or marked in the content.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from studio.exchange.chat_messages import ASSISTANT, REASONING_KEYS, put_message
from studio.exchange.exchanges import Exchange, exchange_of
from studio.exchange.foreign import Composer, ForeignTrace, Json, Taken
from studio.exchange.logprobs import token_arrays
from studio.exchange.reading import Read, finished, usage_budget
from trainer.contract.records import BlockKind

FORMAT = "openai-chat"


def matches(value: object) -> bool:
    """Whether the record is a chat completion."""
    return exchange_of(value, _is_response) is not None


def read(value: Json, line: int = 0) -> Read:
    """A trace for each choice."""
    exchange = exchange_of(value, _is_response)
    assert exchange is not None
    taken = Taken()
    traces: list[ForeignTrace] = []
    for choice in exchange.response["choices"]:
        if isinstance(choice, dict):
            composer = Composer(len(traces), taken)
            put_messages(composer, exchange.request.get("messages"))
            message = choice.get("message")
            if isinstance(message, dict):
                put_message(composer, message, role="" if message.get("role") else ASSISTANT)
            elif isinstance(choice.get("text"), str):
                composer.begin(ASSISTANT)
                composer.respond(choice, "text")
            traces.append(_trace(composer, exchange, choice, line))
    return Read(tuple(traces), taken)


def put_messages(composer: Composer, messages: object) -> None:
    """Put what was asked."""
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict):
            put_message(composer, message)


def is_chunk(value: object) -> bool:
    """Whether this is one chunk of a stream."""
    if not isinstance(value, dict):
        return False
    if value.get("object") == "chat.completion.chunk":
        return True
    choices = value.get("choices")
    return isinstance(choices, list) and bool(choices) and isinstance(choices[0], dict) and "delta" in choices[0]


def read_stream(chunks: Sequence[Json], taken: Taken, first: int = 0, line: int = 0) -> list[ForeignTrace]:
    """A trace for each response and choice of these chunks; their texts go on from chunk to chunk, marks and all."""
    replies: dict[tuple[str, str], list[tuple[Json, Json]]] = {}  # by id and index
    usage: dict[str, Json] = {}
    for chunk in chunks:
        if isinstance(chunk.get("usage"), dict):
            usage[str(chunk.get("id"))] = chunk["usage"]
        for choice in _list(chunk.get("choices")):
            if isinstance(choice, dict):
                place = str(chunk.get("id")), str(choice.get("index", 0))
                replies.setdefault(place, []).append((chunk, choice))
    traces: list[ForeignTrace] = []
    for (name, _), pieces in replies.items():
        uid = pieces[0][0].get("id")
        composer = Composer(first + len(traces), taken)
        composer.begin(ASSISTANT, id=uid)
        deltas = [choice["delta"] for _, choice in pieces if isinstance(choice.get("delta"), dict)]
        _put_deltas(composer, deltas)
        ended = next((choice["finish_reason"] for _, choice in pieces if choice.get("finish_reason")), None)
        logprobs = _joined_logprobs([choice for _, choice in pieces])
        said = {"model": str(pieces[0][0].get("model") or ""), "sample": uid if isinstance(uid, str) else None}
        tokens = token_arrays(composer, logprobs)
        traces.append(finished(composer, **said, budget=usage_budget(usage.get(name), ended), tokens=tokens, line=line))
    return traces


def _put_deltas(composer: Composer, deltas: Sequence[Json]) -> None:
    key = next((key for key in REASONING_KEYS if any(delta.get(key) for delta in deltas)), None)
    if key is not None:
        composer.join([(delta, key) for delta in deltas if delta.get(key)], BlockKind.THINKING)
    else:
        details = [each for delta in deltas for each in _list(delta.get("reasoning_details")) if isinstance(each, dict)]
        composer.join([(each, "text") for each in details if each.get("text")], BlockKind.THINKING)
    composer.join([(delta, "content") for delta in deltas if delta.get("content")], None)
    calls: dict[str, list[Json]] = {}  # by their index
    for delta in deltas:
        for call in _list(delta.get("tool_calls")):
            if isinstance(call, dict) and isinstance(call.get("function"), dict):
                calls.setdefault(str(call.get("index", 0)), []).append(call["function"])
    for pieces in calls.values():
        name = next((str(piece["name"]) for piece in pieces if piece.get("name")), "tool")
        composer.call_in_pieces(name, [(piece, "arguments") for piece in pieces if piece.get("arguments")])


def _trace(composer: Composer, exchange: Exchange, choice: Json, line: int) -> ForeignTrace:
    request, response = exchange
    asked = request.get("max_completion_tokens") or request.get("max_tokens")
    ended = choice.get("finish_reason") or choice.get("native_finish_reason")
    return finished(
        composer,
        model=str(response.get("model") or request.get("model") or ""),
        sample=response["id"] if isinstance(response.get("id"), str) else None,
        epoch=choice["index"] + 1 if isinstance(choice.get("index"), int) else None,
        budget=usage_budget(response.get("usage"), ended, requested=asked),
        tokens=token_arrays(composer, choice.get("logprobs")),
        line=line,
    )


def _joined_logprobs(choices: Sequence[Json]) -> list[Any]:
    found: list[Any] = []
    for choice in choices:
        said = choice.get("logprobs")
        if isinstance(said, dict) and isinstance(said.get("content"), list):
            found += said["content"]
    return found


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_response(value: Json) -> bool:
    choices = value.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return False
    return isinstance(choices[0].get("message"), dict) or isinstance(choices[0].get("text"), str)
