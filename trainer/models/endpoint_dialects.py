"""Requests and answers in the words of each dialect: bodies, whole answers, streamed ones. Torch-free.

Thinking is read wherever servers put it: `reasoning_content` (DeepSeek, vLLM), `reasoning` (OpenRouter, vLLM),
`reasoning_details` (OpenRouter), thinking blocks (Anthropic, Mistral) and <think> marks in the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from trainer.models.endpoint_values import Ask, Choice, Dialect, Tokens, Usage
from trainer.reasoning.thinking import CLOSE, OPEN, split_thinking

Json = Mapping[str, Any]
PATHS = {Dialect.CHAT: "/chat/completions", Dialect.COMPLETIONS: "/completions", Dialect.MESSAGES: "/messages"}
ANTHROPIC_VERSION = "2023-06-01"
ENDS = "[DONE]"
MOST_TOKENS = 2**40  # no answer has more: such a count is a mistake, and no database would take it


class ShapeError(ValueError):
    """JSON that is not what the dialect says; the message names the place."""


def headers_of(dialect: Dialect, key: str) -> dict[str, str]:
    """What goes with every request; the key stands here and nowhere else."""
    out = {"Content-Type": "application/json", "User-Agent": "steplens"}
    if dialect is Dialect.MESSAGES:
        out["anthropic-version"] = ANTHROPIC_VERSION
        return out | ({"x-api-key": key} if key else {})
    return out | ({"Authorization": f"Bearer {key}"} if key else {})


def body_of(dialect: Dialect, model: str, ask: Ask, *, stream: bool) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The request's body, and what of it the dialect has no word for. Raises ValueError."""
    if dialect is Dialect.MESSAGES:
        return _messages_body(model, ask, stream)
    out: dict[str, Any] = {"model": model, "max_tokens": ask.max_tokens}
    if dialect is Dialect.CHAT:
        if not ask.turns:
            raise ValueError("chat needs at least one turn")
        out["messages"] = [{"role": turn.role, "content": turn.text} for turn in ask.turns]
    else:
        if not ask.prompt:
            raise ValueError("completions need a prompt")
        out["prompt"] = ask.prompt
    given = {"temperature": ask.temperature, "top_p": ask.top_p, "seed": ask.seed}
    out |= {name: value for name, value in given.items() if value is not None}
    if ask.n != 1:
        out["n"] = ask.n
    if ask.stop:
        out["stop"] = list(ask.stop)
    if ask.top_logprobs is not None:
        chat = {"logprobs": True, "top_logprobs": ask.top_logprobs}
        out |= chat if dialect is Dialect.CHAT else {"logprobs": ask.top_logprobs}
    if ask.thinking_budget is not None:
        out["thinking_token_budget"] = ask.thinking_budget
    if stream:
        out |= {"stream": True, "stream_options": {"include_usage": True}}
    return out | dict(ask.extra), ()


def _messages_body(model: str, ask: Ask, stream: bool) -> tuple[dict[str, Any], tuple[str, ...]]:
    if ask.top_logprobs is not None:
        raise ValueError("the messages dialect gives no log-probs; choose a chat or completions server")
    if ask.n != 1:
        raise ValueError("the messages dialect gives one answer a request; send several requests")
    out: dict[str, Any] = {"model": model, "max_tokens": ask.max_tokens}
    out["messages"] = [{"role": turn.role, "content": turn.text} for turn in ask.turns if turn.role != "system"]
    system = "\n\n".join(turn.text for turn in ask.turns if turn.role == "system")
    if not out["messages"]:
        raise ValueError("messages need at least one turn of the user")
    given = {"system": system or None, "temperature": ask.temperature, "top_p": ask.top_p}
    out |= {name: value for name, value in given.items() if value is not None}
    if ask.stop:
        out["stop_sequences"] = list(ask.stop)
    if ask.thinking_budget is not None:
        out["thinking"] = {"type": "enabled", "budget_tokens": ask.thinking_budget}
    if stream:
        out["stream"] = True
    return out | dict(ask.extra), (() if ask.seed is None else ("seed",))


# -- what JSON may hold -----------------------------------------------------------------------------------------------

_HALF = re.compile(r"\\u[dD][89a-fA-F]")


def parsed(text: str) -> Any:  # noqa: ANN401 - any JSON
    """The JSON of an answer, half characters (`\\ud83d` alone) as U+FFFD: no file takes them. Raises ValueError."""
    try:
        found = json.loads(text)
        return _whole(found) if _HALF.search(text) else found
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _whole(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_whole(each) for each in value]
    if isinstance(value, dict):
        return {_whole(name): _whole(each) for name, each in value.items()}
    return value


# -- whole answers ----------------------------------------------------------------------------------------------------


def choices_of(dialect: Dialect, answer: Json) -> tuple[Choice, ...]:
    """The answers in a whole body. Raises ShapeError."""
    if dialect is Dialect.MESSAGES:
        blocks = _list(answer, "content")
        text, thinking = _blocks(blocks)
        return (choice_of(text, thinking, word_of(answer.get("stop_reason")), None, answer),)
    given = [object_of(one, f"choices[{i}]") for i, one in enumerate(_list(answer, "choices"))]
    if not given:
        raise ShapeError("`choices` is empty")
    given.sort(key=index_of)
    return tuple(_chat_choice(one) if dialect is Dialect.CHAT else _completion(one) for one in given)


def _chat_choice(one: Json) -> Choice:
    message = object_of(one.get("message"), "choices[].message")
    text, thinking = said(message)
    return choice_of(text, thinking, word_of(one.get("finish_reason")), chat_tokens(one), one)


def _completion(one: Json) -> Choice:
    text = one.get("text")
    if not isinstance(text, str):
        raise ShapeError("choices[].text is no text")
    tokens = completion_tokens(one)
    return Choice(text, None, word_of(one.get("finish_reason")), tokens, one)


def said(message: Json) -> tuple[str, str | None]:
    """Text and thinking of a chat message, or of a streamed piece of one."""
    content = message.get("content")
    text, thinking = _blocks(content) if isinstance(content, list) else (content or "", None)
    if not isinstance(text, str):
        raise ShapeError("message.content is neither text nor a list of blocks")
    for name in ("reasoning_content", "reasoning"):
        value = message.get(name)
        if isinstance(value, str) and value:
            return text, value
    details = message.get("reasoning_details")
    if isinstance(details, list):
        found = [str(d.get("text") or d.get("summary") or "") for d in details if isinstance(d, Mapping)]
        thinking = "".join(found) or thinking
    return text, thinking


def _blocks(blocks: Iterable[Any]) -> tuple[str, str | None]:
    """Text and thinking of content blocks; thinking that was redacted leaves an empty string."""
    text, thinking = [], list[str]()
    for block in blocks:
        if not isinstance(block, Mapping):
            continue
        kind = block.get("type")
        if kind == "text":
            text.append(str(block.get("text", "")))
        elif kind == "thinking":
            value = block.get("thinking", "")
            thinking.append(_blocks(value)[0] if isinstance(value, list) else str(value))
        elif kind == "redacted_thinking":
            thinking.append("")
    return "".join(text), "".join(thinking) if thinking else None


def choice_of(text: str, thinking: str | None, finish: str, tokens: Tokens | None, raw: Json) -> Choice:
    """With the thinking that stands in the text itself taken apart."""
    if thinking is None and (CLOSE in text or text.lstrip().startswith(OPEN)):
        thought = split_thinking(text)
        if thought.thinking is not None:
            thinking = text[thought.thinking.start : thought.thinking.end]
            text = text[thought.answer.start : thought.answer.end].lstrip("\n")
    return Choice(text, thinking, finish, tokens, raw)


def chat_tokens(one: Json) -> Tokens | None:
    """The log-probs of a chat choice as arrays. Raises ShapeError."""
    logprobs = one.get("logprobs")
    given = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    if not isinstance(given, list):
        return None
    try:
        values = np.array([float(each["logprob"]) for each in given], np.float32)
        others = tuple(
            tuple((str(t["token"]), float(t["logprob"])) for t in e.get("top_logprobs") or ()) for e in given
        )
        texts = tuple(str(each["token"]) for each in given)
    except (KeyError, TypeError, ValueError) as error:
        raise ShapeError(f"choices[].logprobs.content cannot be read: {error!r}") from None
    return Tokens(texts, values, _ids(one, len(values)), others if any(others) else None)


def completion_tokens(one: Json) -> Tokens | None:
    """The log-probs of a completion as arrays; not a number where the server has none. Raises ShapeError."""
    logprobs = one.get("logprobs")
    if not isinstance(logprobs, Mapping):
        return None
    try:
        texts = tuple(str(text) for text in logprobs.get("tokens") or ())
        values = np.array([np.nan if v is None else float(v) for v in logprobs["token_logprobs"]], np.float32)
        top = logprobs.get("top_logprobs")
        others = tuple(tuple((str(t), float(v)) for t, v in (each or {}).items()) for each in top) if top else None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ShapeError(f"choices[].logprobs cannot be read: {error!r}") from None
    if len(values) != len(texts) or (others is not None and len(others) != len(texts)):
        raise ShapeError(f"choices[].logprobs has {len(texts)} tokens and {len(values)} log-probs")
    return Tokens(texts, values, _ids(one, len(values)), others)


def _ids(one: Json, count: int) -> Any:  # noqa: ANN401 - an array or None
    given = one.get("token_ids")
    if given is None:
        return None
    try:
        ids = np.asarray(given, np.int64)
    except (TypeError, ValueError, OverflowError) as error:
        raise ShapeError(f"choices[].token_ids cannot be read: {error!r}") from None
    if ids.shape != (count,):
        raise ShapeError(f"choices[].token_ids has {ids.size} ids for {count} log-probs")
    return ids


def usage_of(dialect: Dialect, answer: Json) -> Usage:
    """Tokens used, zeros where the server does not say."""
    given = answer.get("usage")
    if not isinstance(given, Mapping):
        return Usage()

    def number(name: str, within: str = "") -> int:
        place = given.get(within) if within else given
        value = place.get(name) if isinstance(place, Mapping) else None
        is_count = isinstance(value, int | float) and 0 < value < MOST_TOKENS  # not for a number that is none
        return int(value) if is_count else 0  # type: ignore[arg-type]

    if dialect is Dialect.MESSAGES:
        cached, made = number("cache_read_input_tokens"), number("cache_creation_input_tokens")
        return Usage(number("input_tokens") + cached + made, number("output_tokens"), cached)
    return Usage(
        number("prompt_tokens"),
        number("completion_tokens"),
        number("cached_tokens", "prompt_tokens_details"),
        number("reasoning_tokens", "completion_tokens_details"),
    )


def index_of(choice: Json) -> int:
    """The place of a choice among those of its answer. Raises ShapeError."""
    value = choice.get("index")
    if value is None:
        return 0
    if not isinstance(value, int) or value < 0:
        raise ShapeError(f"choices[].index is {value!r}, not a place")
    return value


def _list(answer: Json, name: str) -> list[Any]:
    value = answer.get(name)
    if not isinstance(value, list):
        raise ShapeError(f"`{name}` is missing")
    return value


def object_of(value: object, where: str) -> Json:
    """The value as an object. Raises ShapeError."""
    if not isinstance(value, Mapping):
        raise ShapeError(f"{where} is no object")
    return value


def word_of(value: object) -> str:
    """The value if it is text, else ""."""
    return value if isinstance(value, str) else ""
