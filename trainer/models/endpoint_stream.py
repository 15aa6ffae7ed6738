"""A streamed answer put together from its events; what has come so far can be read at any time. Torch-free."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trainer.models.endpoint_dialects import (
    ENDS,
    Json,
    ShapeError,
    chat_tokens,
    choice_of,
    completion_tokens,
    index_of,
    said,
    usage_of,
    word_of,
)
from trainer.models.endpoint_values import Choice, Delta, Dialect, Tokens, Usage


@dataclass(slots=True)
class _Part:
    """One answer as far as it has come."""

    text: list[str] = field(default_factory=list)
    thinking: list[str] = field(default_factory=list)
    tokens: list[Tokens] = field(default_factory=list)
    finish: str = ""
    thought: bool = False


class Streamed:
    """Takes the events of one answer. `whole` says that the server ended it properly."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._parts: defaultdict[int, _Part] = defaultdict(_Part)
        self.usage = Usage()
        self.head: dict[str, Any] = {}
        self.whole = False

    @property
    def choices(self) -> tuple[Choice, ...]:
        """The answers as far as they have come."""
        return tuple(self._choice(self._parts[index]) for index in sorted(self._parts))

    def take(self, data: str, event: Json | None) -> Iterator[Delta]:
        """One event: its data as text and as JSON (None for the mark that ends a stream). Raises ShapeError."""
        if event is None:
            self.whole = self.whole or data.strip() == ENDS
        elif self._dialect is Dialect.MESSAGES:
            yield from self._message_event(event)
        else:
            yield from self._chunk(event)

    def _chunk(self, event: Json) -> Iterator[Delta]:
        for name in ("id", "model", "system_fingerprint"):
            if isinstance(event.get(name), str):
                self.head[name] = event[name]
        if isinstance(event.get("usage"), Mapping):
            self.usage = usage_of(self._dialect, event)
        choices = event.get("choices")
        for one in choices if isinstance(choices, list) else ():
            if not isinstance(one, Mapping):
                raise ShapeError("choices[] is no object")
            index = index_of(one)
            part = self._parts[index]
            if self._dialect is Dialect.CHAT:
                delta = one.get("delta")
                text, thinking = said(delta if isinstance(delta, Mapping) else {})
                tokens = chat_tokens(one)
            else:
                text, thinking, tokens = word_of(one.get("text")), None, completion_tokens(one)
            if tokens is not None:
                part.tokens.append(tokens)
            part.finish = word_of(one.get("finish_reason")) or part.finish
            yield from self._add(index, text, thinking)
        # Some servers never send the closing mark: an answer whose every part has a reason to end is whole too.
        self.whole = self.whole or (bool(self._parts) and all(part.finish for part in self._parts.values()))

    def _message_event(self, event: Json) -> Iterator[Delta]:
        kind = event.get("type")
        if kind == "message_start":
            message = event.get("message")
            self.head = dict(message) if isinstance(message, Mapping) else {}
            self.usage = usage_of(self._dialect, self.head)
        elif kind == "content_block_start":
            block = event.get("content_block")
            if isinstance(block, Mapping) and block.get("type") == "redacted_thinking":
                self._parts[0].thought = True
        elif kind == "content_block_delta":
            delta = event.get("delta")
            delta = delta if isinstance(delta, Mapping) else {}
            thinking = delta.get("thinking") if delta.get("type") == "thinking_delta" else None
            yield from self._add(0, word_of(delta.get("text")), None if thinking is None else str(thinking))
        elif kind == "message_delta":
            delta = event.get("delta")
            self._parts[0].finish = word_of(delta.get("stop_reason")) if isinstance(delta, Mapping) else ""
            used = usage_of(self._dialect, event)
            before = self.usage
            self.usage = Usage(max(used.input, before.input), used.output, max(used.cached, before.cached))
        elif kind == "message_stop":
            self.whole = True

    def _add(self, index: int, text: str, thinking: str | None) -> Iterator[Delta]:
        part = self._parts[index]
        if thinking is not None:
            part.thought = True
            part.thinking.append(thinking)
            if thinking:
                yield Delta(index, thinking, is_thinking=True)
        if text:
            part.text.append(text)
            yield Delta(index, text)

    def _choice(self, part: _Part) -> Choice:
        thinking = "".join(part.thinking) if part.thought else None
        tokens = joined(part.tokens) if part.tokens else None
        if self._dialect is Dialect.COMPLETIONS:
            return Choice("".join(part.text), None, part.finish, tokens)
        return choice_of("".join(part.text), thinking, part.finish, tokens, {})


def joined(parts: list[Tokens]) -> Tokens:
    """Tokens of several events in a row."""
    ids = [part.ids for part in parts if part.ids is not None]
    others = [part.alternatives for part in parts if part.alternatives is not None]
    return Tokens(
        tuple(text for part in parts for text in part.texts),
        np.concatenate([part.logprobs for part in parts]),
        np.concatenate(ids) if len(ids) == len(parts) else None,
        tuple(each for part in others for each in part) if len(others) == len(parts) else None,
    )
