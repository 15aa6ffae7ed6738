"""What clients of `steplens-trainer serve-policy` send and get, in OpenAI's words. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from trainer.reasoning.thinking import CLOSE, OPEN, split_thinking

UNSERVED = (
    "best_of", "echo", "frequency_penalty", "functions", "logit_bias", "min_p", "presence_penalty", "response_format",
    "stop_token_ids", "suffix", "tools", "top_k",
)  # fmt: skip
"""What would change the answer and cannot be done here: refused, not passed over."""
MOST = 1024  # traces in one request
MOST_ALTERNATIVES = 20


class BadRequest(ValueError):
    """A request that cannot be answered; the message says why."""


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """What both forms of request share. `seeds` (one a trace) and the budgets in tokens are our own words."""

    model: str = ""
    max_tokens: int | None = None
    temperature: float = 1.0
    top_p: float = 1.0
    n: int = 1
    seed: int | None = None
    seeds: tuple[int, ...] | None = None
    stop: str | tuple[str, ...] | None = None
    stream: bool = False
    stream_options: dict[str, Any] | None = None
    thinking_token_budget: int | None = None
    answer_token_budget: int | None = None
    return_token_ids: bool = False

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop texts."""
        return () if self.stop is None else (self.stop,) if isinstance(self.stop, str) else self.stop

    @property
    def tells_usage(self) -> bool:
        """Whether a stream ends with the tokens used."""
        return bool((self.stream_options or {}).get("include_usage"))


class CompletionBody(Body, frozen=True, kw_only=True):
    """POST /v1/completions. `prompt` is a text, ids, or a list of either; `logprobs` how many alternatives."""

    prompt: str | tuple[str | int | tuple[int, ...], ...]
    logprobs: int | None = None

    @property
    def prompts(self) -> list[str | tuple[int, ...]]:
        """The prompts, each a text or ids. Raises BadRequest."""
        given = self.prompt
        if isinstance(given, str):
            return [given]
        if given and all(isinstance(one, int) for one in given):
            return [tuple(one for one in given if isinstance(one, int))]
        found = [one for one in given if not isinstance(one, int)]
        if not found or len(found) != len(given):
            raise BadRequest("prompt: send a text, a list of ids, or a list of texts or of lists of ids")
        return found

    @property
    def alternatives(self) -> int | None:
        """How many alternatives a token; None: no log-probs."""
        return self.logprobs


class ChatTurn(msgspec.Struct, frozen=True):
    """One message of a chat; its content is text, or a list of text parts."""

    role: str
    content: str | tuple[dict[str, Any], ...]

    @property
    def text(self) -> str:
        """The content as one text. Raises BadRequest for anything but text."""
        if isinstance(self.content, str):
            return self.content
        if any(part.get("type") != "text" for part in self.content):
            raise BadRequest("messages: only text can be read here")
        return "".join(str(part.get("text", "")) for part in self.content)


class ChatBody(Body, frozen=True, kw_only=True):
    """POST /v1/chat/completions."""

    messages: tuple[ChatTurn, ...]
    max_completion_tokens: int | None = None
    logprobs: bool = False
    top_logprobs: int = 0

    @property
    def alternatives(self) -> int | None:
        """How many alternatives a token; None: no log-probs."""
        return self.top_logprobs if self.logprobs else None


class WeightsBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """POST /load_weights: a model folder that the server can read, its version, and its checksum."""

    path: str
    version: int
    checksum: str


def read_body(raw: bytes, kind: type[CompletionBody] | type[ChatBody]) -> CompletionBody | ChatBody:
    """A request's body, checked. Raises BadRequest."""
    try:
        plain = msgspec.json.decode(raw, type=dict[str, Any])
        body = msgspec.convert(plain, kind)
    except msgspec.MsgspecError as error:
        raise BadRequest(f"the body cannot be read: {error}") from None
    unserved = [name for name in UNSERVED if plain.get(name) and plain[name] != {"type": "text"}]
    if unserved:
        raise BadRequest(f"this server cannot do {', '.join(unserved)}; leave it out")
    if not 1 <= body.n <= MOST:
        raise BadRequest(f"n = {body.n}: ask for 1 to {MOST} answers")
    if (body.alternatives or 0) not in range(MOST_ALTERNATIVES + 1):
        raise BadRequest(f"{body.alternatives} alternatives a token: ask for at most {MOST_ALTERNATIVES}")
    if body.stream and body.alternatives:
        raise BadRequest(
            "alternatives cannot be streamed; ask without stream, or for the log-probs of the tokens alone"
        )
    return body


def parted(text: str, *, begun: bool) -> tuple[str | None, str]:
    """Thinking and answer of a response; `begun`: it thinks from the start, since the prompt has opened the thinking.

    A close mark alone ends no thinking here: what was streamed as an answer cannot become thinking afterwards.
    """
    opened = text.lstrip().startswith(OPEN)
    if not (begun or opened):
        return None, text
    if not opened:
        close = text.find(CLOSE)
        return (text, "") if close < 0 else (text[:close], text[close + len(CLOSE) :])
    thought = split_thinking(text)
    thinking = thought.thinking
    answer = text[thought.answer.start : thought.answer.end]
    return (None if thinking is None else text[thinking.start : thinking.end]), answer


def cut(text: str, stops: Sequence[str]) -> str:
    """The text before the first stop text in it."""
    found = [place for stop in stops if (place := text.find(stop)) >= 0]
    return text[: min(found)] if found else text


def completion_logprobs(
    pieces: Sequence[str], logprobs: Sequence[float], others: Sequence[Sequence[tuple[str, float]]]
) -> dict[str, Any]:
    """Log-probs in the words of /v1/completions; of alternatives with the same text the likeliest is kept."""
    offsets, at = [], 0
    for piece in pieces:
        offsets.append(at)
        at += len(piece)
    top = [dict(reversed(each)) for each in others] if others else None
    return {"tokens": list(pieces), "token_logprobs": list(logprobs), "top_logprobs": top, "text_offset": offsets}


def chat_logprobs(
    pieces: Sequence[str], logprobs: Sequence[float], others: Sequence[Sequence[tuple[str, float]]]
) -> dict[str, Any]:
    """Log-probs in the words of /v1/chat/completions."""

    def entry(token: str, value: float) -> dict[str, Any]:
        return {"token": token, "logprob": value, "bytes": None}

    tops = [[entry(token, value) for token, value in each] for each in others] or [[]] * len(pieces)
    content = [entry(t, v) | {"top_logprobs": o} for t, v, o in zip(pieces, logprobs, tops, strict=True)]
    return {"content": content}
