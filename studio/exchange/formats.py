"""Which format a record has, by what it holds; and the reading of one record whatever its format."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from studio.exchange import (
    anthropic_messages,
    atif,
    chat_log,
    inspect_sample,
    langfuse,
    mapped,
    openai_chat,
    openai_responses,
    otel_spans,
    own_traces,
)
from studio.exchange.foreign import ForeignTrace, Json, StepsBy, Taken
from studio.exchange.mapped import FieldMap
from studio.exchange.reading import BrokenRecord, Read

_READERS: tuple[tuple[str, Callable[[object], bool], Callable[[Any, int], Read]], ...] = (
    (own_traces.FORMAT, own_traces.matches, own_traces.read),
    (inspect_sample.FORMAT, inspect_sample.is_sample, lambda value, line: inspect_sample.read_sample(value, {}, line)),
    (atif.FORMAT, atif.matches, atif.read),
    (otel_spans.FORMAT, otel_spans.matches, otel_spans.read),
    (langfuse.FORMAT, langfuse.matches, langfuse.read),
    (anthropic_messages.FORMAT, anthropic_messages.matches, anthropic_messages.read),
    (openai_responses.FORMAT, openai_responses.matches, openai_responses.read),
    (openai_chat.FORMAT, openai_chat.matches, openai_chat.read),
    (chat_log.FORMAT, chat_log.matches, chat_log.read),
)
LOOKED_FOR = (
    "PRM800K, logs of Inspect (.eval, .json), chat completions, responses, messages of content blocks, their streams, "
    "OTLP and OpenInference spans, Langfuse observations, ATIF, lists of messages, and fields such as problem, "
    "thinking, output"
)


_LAST = ("message_stop", "response.completed", "response.incomplete", "response.failed")  # events of a stream


@dataclass(frozen=True, slots=True)
class Told:
    """What all records of a file share: a log's header, what fields of unknown records mean, how traces are cut."""

    header: Json
    fields: FieldMap | None = None
    steps: StepsBy = StepsBy.IDEAS


def format_of(value: object) -> str | None:
    """The format of a record; None when none of the known ones fits."""
    return next((name for name, matches, _ in _READERS if matches(value)), None)


def is_stream_event(value: object) -> bool:
    """Whether the record is a piece of a streamed response."""
    return openai_chat.is_chunk(value) or anthropic_messages.is_event(value) or openai_responses.is_event(value)


def read(value: object, told: Told, line: int = 0) -> Read:
    """The traces of one record. Raises BrokenRecord for one that has none and fits no format."""
    with _told_what_is_wrong():
        if told.header and inspect_sample.is_sample(value):
            assert isinstance(value, dict)
            return inspect_sample.read_sample(value, told.header, line)
        for _, matches, reader in _READERS:
            if matches(value):
                return reader(value, line)
        if told.fields is not None and isinstance(value, dict):
            if mapped.fits(value, told.fields):
                return mapped.read(value, told.fields, line)
            if any(name in value for name in told.fields.spoken):
                said = " and ".join(name for name in told.fields.spoken if name in value)
                raise BrokenRecord(
                    f"the model says nothing in it: nothing stands in {said}", "there is nothing to show"
                )
    raise BrokenRecord("no known format", f"looked for {LOOKED_FOR}")


def read_stream(events: Sequence[Json]) -> Read:
    """The traces of streamed responses. Raises BrokenRecord."""
    taken = Taken()
    traces: list[ForeignTrace] = []
    with _told_what_is_wrong():
        for matches, reader in (
            (openai_chat.is_chunk, openai_chat.read_stream),
            (anthropic_messages.is_event, anthropic_messages.read_stream),
            (openai_responses.is_event, openai_responses.read_stream),
        ):
            mine = [event for event in events if matches(event)]
            if mine:
                traces += reader(mine, taken, len(traces), 1)
    return Read(tuple(traces), taken)


def has_ended(events: Sequence[Json]) -> bool:
    """Whether any of a stream's events says that a response is over."""
    for event in events:
        choices = event.get("choices")
        said = choices if isinstance(choices, list) else []
        if event.get("type") in _LAST or any(isinstance(one, dict) and one.get("finish_reason") for one in said):
            return True
    return False


@contextmanager
def _told_what_is_wrong() -> Iterator[None]:
    """Whatever a reader stumbles over is a record that does not hold what its format says."""
    try:
        yield
    except RecursionError as error:
        raise BrokenRecord("it is nested too deeply", "is it a record of traces?") from error
    except (TypeError, ValueError, AttributeError, KeyError, IndexError) as error:
        what = f"a field does not hold what its format says ({type(error).__name__}: {error})"
        raise BrokenRecord(what[:300], "mend the record, or map its fields with --map") from error
