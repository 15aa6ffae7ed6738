"""A key that a server echoes is blotted out of its answers, also where it comes in pieces. Torch-free."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from trainer.models.endpoint_values import Choice, Delta

BLOT = "***"


def blotted(text: str, key: str) -> str:
    """The text without the key."""
    return text.replace(key, BLOT) if key else text


def blotted_choice(choice: Choice, key: str) -> Choice:
    """The answer without the key; one that held it loses its tokens and what was received, which would hold it too."""
    text = blotted(choice.text, key)
    thinking = None if choice.thinking is None else blotted(choice.thinking, key)
    if (text, thinking) == (choice.text, choice.thinking):
        return choice
    return replace(choice, text=text, thinking=thinking, tokens=None, raw={})


class Blotter:
    """Between a stream and who hears it: an end of text that may begin the key waits for what follows."""

    def __init__(self, key: str, tell: Callable[[Delta], None]) -> None:
        self._key, self._tell = key, tell
        self._waiting: dict[tuple[int, bool], str] = {}

    def take(self, delta: Delta) -> None:
        """Tell what can be told."""
        if not self._key:
            self._tell(delta)
            return
        stream = delta.choice, delta.is_thinking
        self._tell_rest((delta.choice, not delta.is_thinking))  # thinking has ended where the answer begins
        text = blotted(self._waiting.get(stream, "") + delta.text, self._key)
        longest = min(len(text), len(self._key) - 1)
        held = next((k for k in range(longest, 0, -1) if self._key.startswith(text[len(text) - k :])), 0)
        self._waiting[stream] = text[len(text) - held :]
        if told := text[: len(text) - held]:
            self._tell(replace(delta, text=told))

    def flush(self) -> None:
        """Tell what waits: nothing follows."""
        for stream in list(self._waiting):
            self._tell_rest(stream)

    def _tell_rest(self, stream: tuple[int, bool]) -> None:
        if text := self._waiting.pop(stream, ""):
            self._tell(Delta(stream[0], text, stream[1]))
