"""Messages with content blocks: thinking and its signature, redacted thinking, tool use; streams of their events."""

from __future__ import annotations

from collections.abc import Sequence

from studio.exchange.chat_messages import ASSISTANT, as_it_is, hidden, put_message, put_part
from studio.exchange.exchanges import exchange_of
from studio.exchange.foreign import Composer, ForeignTrace, Json, Taken
from studio.exchange.openai_chat import put_messages
from studio.exchange.reading import Read, finished, object_of, usage_budget
from trainer.contract.records import BlockKind

FORMAT = "anthropic"
_EVENTS = {"message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta"}
_EVENTS |= {"message_stop"}


def matches(value: object) -> bool:
    """Whether the record is a message of content blocks."""
    return exchange_of(value, _is_response) is not None


def read(value: Json, line: int = 0) -> Read:
    """The trace of a message and of what was asked."""
    exchange = exchange_of(value, _is_response)
    assert exchange is not None
    request, response = exchange
    composer = Composer()
    put_system(composer, request)
    put_messages(composer, request.get("messages"))
    put_message(composer, response)
    thinking = request.get("thinking")
    granted = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    asked = {"requested": request.get("max_tokens"), "thinking_granted": granted}
    trace = finished(
        composer,
        model=str(response.get("model") or request.get("model") or ""),
        sample=response["id"] if isinstance(response.get("id"), str) else None,
        budget=usage_budget(response.get("usage"), response.get("stop_reason"), **asked),
        line=line,
    )
    return Read((trace,), composer.taken)


def put_system(composer: Composer, request: Json) -> None:
    """Put the system prompt that stands beside the messages."""
    system = request.get("system")
    if isinstance(system, str) and system:
        composer.begin("system")
        composer.lift(request, "system", BlockKind.OTHER)
    elif isinstance(system, list):
        composer.begin("system")
        for part in system:
            if isinstance(part, dict):
                put_part(composer, part, "system", as_it_is)


def is_event(value: object) -> bool:
    """Whether this is an event of a stream."""
    return isinstance(value, dict) and isinstance(value.get("type"), str) and value["type"] in _EVENTS


def read_stream(events: Sequence[Json], taken: Taken, first: int = 0, line: int = 0) -> list[ForeignTrace]:
    """A trace for each message of these events; a signature that comes again stands for the one before."""
    traces: list[ForeignTrace] = []
    piece: list[Json] = []
    for event in events:
        if event.get("type") == "message_start" and piece:
            traces.append(_stream(piece, taken, first + len(traces), line))
            piece = []
        piece.append(event)
    if piece:
        traces.append(_stream(piece, taken, first + len(traces), line))
    return traces


def _stream(events: Sequence[Json], taken: Taken, number: int, line: int) -> ForeignTrace:
    composer = Composer(number, taken)
    start = object_of(next((e["message"] for e in events if isinstance(e.get("message"), dict)), None))
    composer.begin(ASSISTANT, id=start.get("id"))
    blocks: dict[str, tuple[Json, list[Json]]] = {}  # by their index
    usage = dict(start["usage"]) if isinstance(start.get("usage"), dict) else {}
    ended = None
    for event in events:
        kind, delta = event.get("type"), event.get("delta")
        if kind == "content_block_start" and isinstance(event.get("content_block"), dict):
            blocks[str(event.get("index"))] = event["content_block"], []
        elif kind == "content_block_delta" and isinstance(delta, dict):
            blocks.setdefault(str(event.get("index")), ({}, []))[1].append(delta)
        elif kind == "message_delta":
            usage |= event["usage"] if isinstance(event.get("usage"), dict) else {}
            ended = delta.get("stop_reason") if isinstance(delta, dict) else ended
    for block, deltas in blocks.values():
        _put_block(composer, block, deltas)
    sample = start["id"] if isinstance(start.get("id"), str) else None
    budget = usage_budget(usage, ended)
    return finished(composer, model=str(start.get("model") or ""), sample=sample, budget=budget, line=line)


def _put_block(composer: Composer, block: Json, deltas: Sequence[Json]) -> None:
    kind = str(block.get("type") or next((str(d.get("type")).removesuffix("_delta") for d in deltas), "text"))
    if kind == "redacted_thinking":
        composer.say(hidden("redacted thinking", block.get("data")), BlockKind.REDACTED)
    elif kind in ("tool_use", "server_tool_use", "input_json"):
        pieces = [(delta, "partial_json") for delta in deltas if delta.get("partial_json")]
        if pieces:
            composer.call_in_pieces(str(block.get("name") or "tool"), pieces)
        else:
            composer.call(str(block.get("name") or "tool"), block, "input")
    elif kind in ("thinking", "signature"):
        pieces = [(each, "thinking") for each in (block, *deltas) if each.get("thinking")]
        if not composer.join(pieces, BlockKind.THINKING):
            composer.say("[thinking is present, not readable]", BlockKind.REDACTED)
    elif kind == "text":
        composer.join([(each, "text") for each in (block, *deltas) if each.get("text")], None)
    else:
        put_part(composer, block, ASSISTANT, as_it_is)


def _is_response(value: Json) -> bool:
    content = value.get("content")
    whole = value.get("type") == "message" and isinstance(content, list)
    return whole and value.get("role") == ASSISTANT and "output" not in value
