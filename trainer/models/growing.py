"""The text of a trace while it is written, told token by token."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from trainer.models.asking import Opening
from trainer.models.sampling import Delta
from trainer.models.unfolding import TokenText, Unfolding
from trainer.reasoning.thinking import CLOSE, OPEN


@dataclass(frozen=True, slots=True)
class Told:
    """New text of a trace that is being written; fields as in `trainer.contract.events.Wrote`.

    `dropped` characters, which were `taken_back` tokens, go first.
    """

    ask: int
    trace: int
    text: str
    starts: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    entropy: tuple[float, ...] = ()
    part: str = "thinking"
    dropped: int = 0
    taken_back: int = 0
    done: bool = False


class Growing:
    """The text of a trace while it is written, and how far it was told. `stops` are tokens that are never shown."""

    def __init__(self, tokens: TokenText, opening: Opening, stops: Collection[int], place: int, number: int) -> None:
        self._opening, self._stops, self._place, self._number = opening, stops, place, number
        self._unfolding = Unfolding(tokens, opening.given, opening.text)
        self._told = 0

    def tell(self, delta: Delta, *, tells_done: bool = True) -> Told | None:
        """What new tokens add; None when nothing is to be seen of them."""
        growing = self._unfolding
        growing.drop(delta.dropped)
        dropped = max(0, self._told - len(growing.text))
        self._told -= dropped
        shown = [place for place, token in enumerate(delta.ids) if token not in self._stops]
        for place in shown:
            growing.add(delta.ids[place])
        done = delta.ended and tells_done
        if not (shown or dropped or done):
            return None
        text, self._told = growing.text[self._told :], len(growing.text)
        return Told(
            self._place,
            self._number,
            text,
            tuple(growing.starts[-len(shown) :]) if shown else (),
            tuple(delta.logprobs[place] for place in shown),
            tuple(delta.entropy[place] for place in shown),
            self._part(),
            dropped,
            delta.dropped,
            done,
        )

    def rest(self) -> Told:
        """The last word of a trace: bytes that never became a character."""
        self._unfolding.finish()
        text, self._told = self._unfolding.text[self._told :], len(self._unfolding.text)
        return Told(self._place, self._number, text, part=self._part(), done=True)

    def _part(self) -> str:
        text = self._unfolding.text
        if not self._opening.thinks or CLOSE in text:
            return "answer"
        begun = text.lstrip()
        return "thinking" if begun.startswith(OPEN) or OPEN.startswith(begun) else "answer"
