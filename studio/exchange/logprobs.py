"""Log-probabilities of tokens as providers write them, laid upon the text of the response."""

from __future__ import annotations

from typing import Any

import numpy as np

from studio.exchange.foreign import Composer
from studio.store.token_values import TokenArrays
from trainer.contract.records import BlockKind

_SPELLED = (BlockKind.THINKING, BlockKind.ANSWER)


def token_arrays(composer: Composer, said: object) -> TokenArrays | None:
    """Tokens of the last response; None without log-probabilities, or when they do not spell what it says."""
    tokens = said.get("content") if isinstance(said, dict) else said
    if not isinstance(tokens, list) or not tokens or not all(isinstance(t, dict) for t in tokens):
        return None
    spelled = [_bytes(token) for token in tokens]
    text, messages = composer.text, composer.messages_so_far()
    reply = next((m for m in reversed(messages) if m.role == "assistant"), None)
    if reply is None:
        return None
    whole = b"".join(spelled)
    span = reply.extra["span"]
    for start in dict.fromkeys([span[0], *(b.start for b in reply.blocks if b.kind in _SPELLED)]):
        starts = _starts(text, start, spelled, whole)
        if starts is not None:
            return TokenArrays(
                np.array(starts, np.uint32),
                np.array([_number(token.get("logprob")) for token in tokens], np.float32),
                None,
                tuple(_alternatives(token) for token in tokens),
            )
    return None


def _starts(text: str, start: int, spelled: list[bytes], whole: bytes) -> list[int] | None:
    """Where each token begins; special tokens at the end may spell what the text leaves out."""
    said = text[start : start + len(whole)].encode("utf-8", "surrogatepass")
    if not said.startswith(whole):
        for left_out in (1, 2):
            shorter = b"".join(spelled[:-left_out])
            if shorter and said.startswith(shorter):
                break
        else:
            return None
    starts, at, offset = [], start, 0
    for piece in spelled:
        starts.append(at)
        offset += len(piece)
        at += sum((byte & 0xC0) != 0x80 for byte in piece)
    return [min(each, len(text)) for each in starts]


def _bytes(token: dict[str, Any]) -> bytes:
    said = token.get("bytes")
    if isinstance(said, list) and said and all(isinstance(b, int) and 0 <= b < 256 for b in said):
        return bytes(said)
    return str(token.get("token") or "").encode("utf-8", "surrogatepass")


def _alternatives(token: dict[str, Any]) -> tuple[tuple[str, float], ...]:
    said = token.get("top_logprobs")
    return tuple(
        (str(each.get("token") or ""), _number(each.get("logprob")))
        for each in (said if isinstance(said, list) else ())
        if isinstance(each, dict)
    )


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else float("nan")
