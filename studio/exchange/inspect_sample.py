"""A sample of an Inspect log as a trace: messages, scores, budget, times; attachments, pooled messages resolved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from studio.exchange import own_traces
from studio.exchange.chat_messages import put_message, role_of
from studio.exchange.foreign import Composer, ForeignTrace, Json
from studio.exchange.logprobs import token_arrays
from studio.exchange.reading import BrokenRecord, Read, finished, object_of, outcome_of, usage_budget

ATTACHMENT = "attachment://"
FORMAT = "inspect"


def is_sample(value: object) -> bool:
    """Whether this is a sample of a log."""
    return isinstance(value, dict) and "id" in value and "epoch" in value and ("messages" in value or "events" in value)


def read_sample(sample: Json, header: Mapping[str, Any], line: int = 0) -> Read:
    """The trace of a sample; `header` is what the log says of all. Raises BrokenRecord."""
    if not is_sample(sample):
        raise BrokenRecord("no sample of an Inspect log", "it needs id, epoch and messages")
    composer = Composer()
    carried = object_of(sample.get("metadata")).get(own_traces.KEY)
    own = own_traces.inside(carried, (sample.get("messages"),), composer.taken, 0, line)
    if own is not None:
        return Read((own,), composer.taken)
    resolve = _Resolver(sample.get("attachments"))
    times = _times(sample)
    for message in _messages(sample):
        put_message(composer, message, resolve=resolve, **times.get(str(message.get("id") or ""), {}))
    trace = _trace(composer, sample, header, line)
    return Read((trace,), composer.taken)


def _trace(composer: Composer, sample: Json, header: Mapping[str, Any], line: int) -> ForeignTrace:
    spec = object_of(header.get("eval"))
    output = object_of(sample.get("output"))
    scores = _scores(sample)
    outcome = next((each["outcome"] for each in scores if each["outcome"] is not None), None)
    answer = next((str(each["answer"]) for each in scores if each.get("answer") is not None), None)
    target = sample.get("target")
    choice = object_of(_first(output.get("choices")))
    config = object_of(spec.get("model_generate_config")) | object_of(object_of(header.get("plan")).get("config"))
    return finished(
        composer,
        reference=target
        if isinstance(target, str)
        else ", ".join(map(str, target))
        if isinstance(target, list)
        else None,
        source=str(spec.get("task") or ""),
        model=str(output.get("model") or spec.get("model") or ""),
        sample=str(sample.get("id")),
        epoch=sample["epoch"] if isinstance(sample.get("epoch"), int) else None,
        scores=scores,
        outcome=outcome,
        answer=answer,
        budget=usage_budget(
            _usage(sample, output, spec.get("model")),
            choice.get("stop_reason"),
            **_granted(sample, config),
        ),
        tokens=token_arrays(composer, choice.get("logprobs")),
        extra=_extra(sample),
        line=line,
    )


class _Resolver:
    """Finds the text that an attachment's name stands for."""

    def __init__(self, attachments: object) -> None:
        self._known = attachments if isinstance(attachments, dict | list) else {}

    def __call__(self, container: Any, key: Any) -> tuple[Any, Any]:  # noqa: ANN401
        said = container[key]
        if not isinstance(said, str) or not said.startswith(ATTACHMENT):
            return container, key
        name: Any = said.removeprefix(ATTACHMENT)
        if isinstance(self._known, list):
            found = name.isdecimal() and len(name) < 9 and int(name) < len(self._known)
            return (self._known, int(name)) if found else (container, key)
        return (self._known, name) if isinstance(self._known.get(name), str) else (container, key)


def _messages(sample: Json) -> list[Json]:
    """The conversation; where the sample keeps none, that of its last call of a model."""
    messages = [each for each in _list(sample.get("messages")) if isinstance(each, dict)]
    if messages:
        return messages
    pool = _list(object_of(sample.get("events_data")).get("messages"))
    calls = [each for each in _list(sample.get("events")) if isinstance(each, dict) and each.get("event") == "model"]
    if not calls:
        return [{"role": "user", "content": sample["input"]}] if isinstance(sample.get("input"), str) else []
    call = calls[-1]
    asked = _list(call.get("input"))
    if not asked:
        for reference in _list(call.get("input_refs")):
            if isinstance(reference, list) and len(reference) == 2 and all(isinstance(at, int) for at in reference):
                asked = asked + pool[max(0, reference[0]) : max(0, reference[1])]
    reply = object_of(_first(object_of(call.get("output")).get("choices"))).get("message")
    return [each for each in (*asked, reply) if isinstance(each, dict)]


def _times(sample: Json) -> dict[str, Json]:
    """When each message of the model was asked for and complete, by its id."""
    times: dict[str, Json] = {}
    for event in _list(sample.get("events")):
        if isinstance(event, dict) and event.get("event") == "model":
            reply = object_of(object_of(_first(object_of(event.get("output")).get("choices"))).get("message"))
            if reply.get("id"):
                times[str(reply["id"])] = {"at": event.get("timestamp"), "until": event.get("completed")}
    return times


def _scores(sample: Json) -> tuple[Json, ...]:
    """What scorers said, in their order; older logs have one score without a name."""
    said = sample.get("scores")
    named = (
        said if isinstance(said, dict) else {"score": sample["score"]} if isinstance(sample.get("score"), dict) else {}
    )
    found = []
    for name, score in named.items():
        score = score if isinstance(score, dict) else {"value": score}
        value = score.get("value")
        found.append({"scorer": name, "value": value, "answer": score.get("answer"), "outcome": outcome_of(value)})
    return tuple(found)


def _usage(sample: Json, output: Json, model: object) -> Json:
    """What the sample's own model used in all its calls; where the log does not add them up, what the last one says."""
    used = object_of(sample.get("model_usage"))
    mine = used.get(str(model)) or (next(iter(used.values())) if len(used) == 1 else None)
    return object_of(mine) or object_of(output.get("usage"))


def _granted(sample: Json, config: Json) -> dict[str, object]:
    """The limits of a call, where there was one alone: they are no budget of several together."""
    calls = sum(object_of(message).get("role") == "assistant" for message in _messages(sample))
    if calls > 1:
        return {}
    return {"requested": config.get("max_tokens"), "thinking_granted": config.get("reasoning_tokens")}


def _extra(sample: Json) -> Json:
    """What a list of traces shows beside the columns."""
    extra = {"uuid": sample.get("uuid"), "total_time": sample.get("total_time"), "started_at": sample.get("started_at")}
    error = object_of(sample.get("error")).get("message")
    limit = object_of(sample.get("limit")).get("type")
    extra |= {"error": error, "limit": limit, "invalidated": sample.get("invalidation") is not None or None}
    return {name: value for name, value in extra.items() if value is not None}


def title_of(summary: Mapping[str, Any]) -> str:
    """The first words of a sample's input."""
    said = summary.get("input")
    if isinstance(said, list):
        users = [each for each in said if isinstance(each, dict) and role_of(each) == "user"]
        said = users[0].get("content") if users else ""
        if isinstance(said, list):
            said = " ".join(str(object_of(part).get("text", "")) for part in said)
    return " ".join(str(said or "").split())[:200]


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _first(value: object) -> object:
    return value[0] if isinstance(value, list) and value else None
