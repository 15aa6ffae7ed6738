"""Spans of OpenTelemetry: the GenAI conventions and OpenInference, as OTLP JSON, or one span a line.

A span of a call of a model is a trace; other spans have no conversation and are kept as what stands around.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from studio.exchange import openinference, own_traces
from studio.exchange.chat_messages import ASSISTANT, put_content, put_message
from studio.exchange.foreign import Composer, ForeignTrace, Json, Taken
from studio.exchange.reading import Read, budget_of, embedded, finished, object_of
from trainer.contract.records import BlockKind

FORMAT = "otel"
_INDEXED = re.compile(r"gen_ai\.(?P<side>prompt|completion)\.(?P<at>\d+)\.(?P<field>role|content)")
_CONTENT = ("gen_ai.output.messages", "gen_ai.input.messages", "gen_ai.system_instructions")


def matches(value: object) -> bool:
    """Whether the record is an OTLP envelope or a span."""
    if not isinstance(value, dict):
        return False
    if isinstance(value.get("resourceSpans") or value.get("resource_spans"), list):
        return True
    named = any(key in value for key in ("spanId", "span_id", "context"))
    return named and isinstance(value.get("attributes"), list | dict)


def read(value: Json, line: int = 0) -> Read:
    """A trace for each span that calls a model."""
    taken = Taken()
    traces: list[ForeignTrace] = []
    for span in _spans(value):
        holder = _Attributes(span.get("attributes"))
        trace = _trace(span, holder, taken, len(traces), line)
        if trace is not None:
            traces.append(trace)
    return Read(tuple(traces), taken)


class _Attributes:
    """Attributes of a span: a list of typed values, or a mapping, nested or with dotted names."""

    def __init__(self, said: object) -> None:
        self.places: dict[str, tuple[Any, object]] = {}
        if isinstance(said, list):
            for each in said:
                if isinstance(each, dict) and isinstance(each.get("value"), dict):
                    for key in each["value"]:
                        self.places[str(each.get("key"))] = each["value"], key
        elif isinstance(said, dict):
            self._walk(said, "")

    def _walk(self, said: Json, before: str, depth: int = 0) -> None:
        for key, value in said.items():
            name = before + key
            self.places[name] = said, key
            if isinstance(value, dict) and depth < 20:
                self._walk(value, f"{name}.", depth + 1)
            elif isinstance(value, list) and depth < 20:
                for index, each in enumerate(value):
                    if isinstance(each, dict):
                        self._walk(each, f"{name}.{index}.", depth + 1)

    def get(self, name: str) -> Any:  # noqa: ANN401
        """The plain value of an attribute."""
        place = self.places.get(name)
        if place is None:
            return None
        value = place[0][place[1]]
        if place[1] in ("intValue", "int_value") and isinstance(value, str) and value.lstrip("-").isdecimal():
            return int(value[:20])
        return value


def _spans(value: Json) -> Iterator[Json]:
    resources = value.get("resourceSpans") or value.get("resource_spans")
    if not isinstance(resources, list):
        yield value
        return
    for resource in resources:
        scopes = resource.get("scopeSpans") or resource.get("scope_spans") if isinstance(resource, dict) else None
        for scope in scopes if isinstance(scopes, list) else ():
            spans = scope.get("spans") if isinstance(scope, dict) else None
            yield from (span for span in spans if isinstance(span, dict)) if isinstance(spans, list) else ()


def _trace(span: Json, said: _Attributes, taken: Taken, number: int, line: int) -> ForeignTrace | None:
    composer = Composer(number, taken)
    if own_traces.ATTRIBUTE in said.places:
        plain = (said.get("gen_ai.input.messages"), said.get("gen_ai.output.messages"))
        carried = embedded(taken, *said.places[own_traces.ATTRIBUTE])
        own = own_traces.inside(carried, plain, taken, number, line)
        if own is not None:
            return own
    if any(name in said.places for name in _CONTENT):
        _put_genai(composer, said, taken)
    elif any(_INDEXED.fullmatch(name) for name in said.places):
        _put_indexed(composer, said)
    elif not openinference.put(composer, said.places):
        _put_events(composer, span, taken)
    if not composer.at and not composer.messages_so_far():
        return None
    times = _times(span) | _first(_times(span), said.get("gen_ai.response.time_to_first_chunk"))
    if times and composer.messages_so_far()[-1].role == ASSISTANT:
        composer.note(**times)
    context = object_of(span.get("context"))
    sample = span.get("traceId") or span.get("trace_id") or context.get("trace_id")
    return finished(
        composer,
        model=str(
            said.get("gen_ai.response.model") or said.get("gen_ai.request.model") or said.get("llm.model_name") or ""
        ),
        sample=str(sample) if sample else None,
        source=str(span.get("name") or ""),
        budget=_budget(said),
        extra={"span": span.get("spanId") or span.get("span_id") or context.get("span_id")},
        line=line,
    )


def _put_genai(composer: Composer, said: _Attributes, taken: Taken) -> None:
    system = _inner(said, "gen_ai.system_instructions", taken)
    if system:
        composer.begin("system")
        for part in system if isinstance(system, list) else ():
            if isinstance(part, dict):
                put_content(composer, _Parts([part]).message, "system")
    for name in ("gen_ai.input.messages", "gen_ai.output.messages"):
        for message in _inner(said, name, taken) or ():
            if isinstance(message, dict):
                put_message(composer, message, role=ASSISTANT if name.endswith("output.messages") else "")


class _Parts:
    """Parts that stand alone, as the content of a message; the parts themselves are those of the record."""

    def __init__(self, parts: list[Json]) -> None:
        self.message: Json = {"parts": parts}


def _inner(said: _Attributes, name: str, taken: Taken) -> Any:  # noqa: ANN401
    """A structured attribute: JSON text, a list, or an array of OTLP values."""
    place = said.places.get(name)
    if place is None:
        return None
    value = embedded(taken, *place)
    return _plain(value, taken) if isinstance(value, dict) and "values" in value else value


def _plain(value: Any, taken: Taken) -> Any:  # noqa: ANN401
    """OTLP's typed values as plain ones; the result is kept as long as the record."""
    if isinstance(value, dict):
        if "values" in value and len(value) == 1:
            made: Any = [_plain(each, taken) for each in value["values"]]
        elif len(value) == 1 and (key := next(iter(value))).endswith("Value"):
            inner = value[key]
            if key == "kvlistValue":
                pairs = inner.get("values", []) if isinstance(inner, dict) else []
                made = {str(p.get("key")): _plain(p.get("value"), taken) for p in pairs if isinstance(p, dict)}
            else:
                made = _plain(inner, taken) if key == "arrayValue" else inner
        else:
            made = value
        taken.held.append(made)
        return made
    return value


def _put_indexed(composer: Composer, said: _Attributes) -> None:
    """The older way: one attribute a field of each message."""
    found: dict[tuple[int, int], dict[str, tuple[Any, object]]] = {}
    for name, place in said.places.items():
        if match := _INDEXED.fullmatch(name):
            side = int(match["side"] == "completion")
            found.setdefault((side, int(match["at"][:9])), {})[match["field"]] = place
    for (side, _), fields in sorted(found.items()):
        role = fields["role"][0][fields["role"][1]] if "role" in fields else (ASSISTANT if side else "user")
        composer.begin(ASSISTANT if side else str(role or "user"))
        if "content" in fields:
            if side:
                composer.respond(*fields["content"])
            else:
                composer.lift(*fields["content"], BlockKind.OTHER)


def _put_events(composer: Composer, span: Json, taken: Taken) -> None:
    """Messages as events of the span (`gen_ai.user.message`, `gen_ai.choice`)."""
    events = span.get("events")
    for event in events if isinstance(events, list) else ():
        name = str(event.get("name") or "") if isinstance(event, dict) else ""
        if not name.startswith("gen_ai."):
            continue
        said = _Attributes(event.get("attributes"))
        role = ASSISTANT if name == "gen_ai.choice" else name.removeprefix("gen_ai.").removesuffix(".message")
        place = next(
            (said.places[key] for key in ("content", "message", "gen_ai.completion") if key in said.places), None
        )
        if place is None:
            continue
        value = embedded(taken, *place)
        if isinstance(value, dict):
            put_message(composer, value, role=role)
        else:
            composer.begin(role)
            (composer.respond(*place) if role == ASSISTANT else composer.lift(*place, BlockKind.OTHER))


def _budget(said: _Attributes) -> Json | None:
    reasons = said.get("gen_ai.response.finish_reasons")
    reasons = _plain(reasons, Taken()) if isinstance(reasons, dict) else reasons
    first = reasons[0] if isinstance(reasons, list) and reasons else reasons
    first = next(iter(first.values()), None) if isinstance(first, dict) else first
    return budget_of(
        requested=_whole(said, "gen_ai.request.max_tokens"),
        used=_whole(said, "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion"),
        thinking=_whole(said, "gen_ai.usage.reasoning.output_tokens", "llm.token_count.completion_details.reasoning"),
        ended=first if isinstance(first, str) else None,
    )


def _whole(said: _Attributes, *names: str) -> int | None:
    values = (said.get(name) for name in names)
    return next((value for value in values if isinstance(value, int) and not isinstance(value, bool)), None)


def _first(times: Json, seconds: object) -> Json:
    """When the first piece of the answer came, so many seconds after it was asked for."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < 1e6:
        return {}
    try:
        return {"first": (datetime.fromisoformat(str(times.get("at"))) + timedelta(seconds=seconds)).isoformat()}
    except ValueError:  # the source gives no time, or none that can be read
        return {}


def _times(span: Json) -> Json:
    names = {
        "at": ("startTimeUnixNano", "start_time", "startTime"),
        "until": ("endTimeUnixNano", "end_time", "endTime"),
    }
    found = {}
    for name, keys in names.items():
        said = next((span[key] for key in keys if span.get(key)), None)
        if isinstance(said, str) and not said.isdecimal():
            found[name] = said
        elif said is not None and str(said).isdecimal() and len(str(said)) < 20:
            found[name] = datetime.fromtimestamp(int(said) / 1e9, UTC).isoformat()
    return found
