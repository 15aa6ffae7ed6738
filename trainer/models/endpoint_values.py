"""What is asked of a model behind an HTTP address, what comes back, and what can go wrong. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Dialect(StrEnum):
    """The form of request and answer that a server speaks."""

    CHAT = "chat"  # OpenAI-compatible POST {url}/chat/completions
    COMPLETIONS = "completions"  # OpenAI-compatible POST {url}/completions
    MESSAGES = "messages"  # Anthropic POST {url}/messages


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation; `role` is system, user or assistant."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class Ask:
    """One request. `turns` for chat and messages, `prompt` (a text, ids, or several of ids) for completions.

    `top_logprobs` None asks for no log-probs, 0 for those of the tokens written, k for k alternatives too. `extra` is
    merged into the body as it stands. `thinking_budget` is in tokens.
    """

    turns: tuple[Turn, ...] = ()
    prompt: str | tuple[int, ...] | tuple[tuple[int, ...], ...] = ""
    max_tokens: int = 1024
    temperature: float | None = None
    top_p: float | None = None
    n: int = 1
    seed: int | None = None
    stop: tuple[str, ...] = ()
    top_logprobs: int | None = None
    thinking_budget: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """Tokens as the server names them: texts, log-probs [n] in nats, ids [n] or None, alternatives a token or None."""

    texts: tuple[str, ...]
    logprobs: NDArray[np.float32]
    ids: NDArray[np.int64] | None = None
    alternatives: tuple[tuple[tuple[str, float], ...], ...] | None = None


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer. `thinking` is what the model thought, apart from `text`; None where it showed none.

    `finish` is the server's own word (stop, length, end_turn ...), "" when none was said. `raw` is the choice as
    received.
    """

    text: str
    thinking: str | None
    finish: str
    tokens: Tokens | None = None
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the server counted them. `input` holds the cached ones too, `output` those of thinking."""

    input: int = 0
    output: int = 0
    cached: int = 0
    thinking: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input + other.input,
            self.output + other.output,
            self.cached + other.cached,
            self.thinking + other.thinking,
        )


@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens cost, in the currency of the price list; cached input at full price where None."""

    input: float = 0.0
    output: float = 0.0
    cached: float | None = None

    def cost(self, usage: Usage) -> float:
        """What this use costs."""
        cached = self.input if self.cached is None else self.cached
        fresh = max(0, usage.input - usage.cached)
        return (fresh * self.input + usage.cached * cached + usage.output * self.output) / 1e6


@dataclass(frozen=True, slots=True)
class Reply:
    """The whole answer to one request.

    `fingerprint` is the server's `system_fingerprint`. `left_out` names what the dialect has no word for and was not
    sent. `seconds` counts from the first try to the end, `tries` them all; `cost` is that of all tries, as far as the
    server said what they used.
    """

    choices: tuple[Choice, ...]
    usage: Usage
    model: str
    fingerprint: str = ""
    id: str = ""
    seconds: float = 0.0
    tries: int = 1
    cost: float = 0.0
    left_out: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The first answer."""
        return self.choices[0].text


@dataclass(frozen=True, slots=True)
class Delta:
    """New text of a streamed answer."""

    choice: int
    text: str
    is_thinking: bool = False


class EndpointError(Exception):
    """A request that got no usable answer: what, where, what to do.

    `received` is all that had come until then, as text; `partial` what of it could be read as an answer, with usage and
    cost of all tries; `status` the HTTP status, 0 where none came.
    """

    again = False
    """Whether the same request may succeed when it is sent once more."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        received: str = "",
        partial: Reply | None = None,
        wait: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.received, self.partial, self.wait = status, received, partial, wait


class DownError(EndpointError):
    """No connection, a connection that broke, or a server that says it cannot (5xx)."""

    again = True


class SlowError(EndpointError):
    """The server took longer than was granted."""

    again = True


class RateLimitedError(EndpointError):
    """The server refuses more requests for now (429)."""

    again = True


class BadAnswerError(EndpointError):
    """An answer that is not what the dialect says: no JSON, no choices, cut off."""

    again = True


class EmptyAnswerError(EndpointError):
    """An answer without any text."""

    again = True


class UnauthorisedError(EndpointError):
    """The key is missing, wrong or not allowed to do this (401, 403)."""


class RefusedError(EndpointError):
    """The server understands the request and will not do it (other 4xx)."""
