"""Laid-out texts kept for the widgets that show steps and problems."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from studio.render.formula import Formula
from studio.render.layout import ProseLayout, TextStyle
from studio.render.maths import MathsRenderer

MOST = 600


@dataclass(frozen=True, slots=True)
class _Key:
    text: str
    width: int
    source: bool


class LayoutCache:
    """Layouts of one style by text and width; what waits for maths is thrown away when it comes."""

    def __init__(self, maths: MathsRenderer | None, style: TextStyle) -> None:
        self._maths = maths
        self._style = style
        self._held: OrderedDict[_Key, ProseLayout] = OrderedDict()

    @property
    def style(self) -> TextStyle:
        """How texts are set."""
        return self._style

    def restyle(self, style: TextStyle) -> None:
        """Set texts in another way from now on."""
        self._style = style
        self._held.clear()

    def has(self, text: str, width: int, *, source: bool = False) -> bool:
        """Whether a text is laid out with all its maths."""
        held = self._held.get(_Key(text, width, source))
        return held is not None and not held.waiting

    def get(self, text: str, width: int, *, source: bool = False, urgent: bool = True) -> ProseLayout:
        """A laid-out text; asks for the maths it lacks."""
        key = _Key(text, width, source)
        held = self._held.get(key)
        if held is None:
            held = self._held[key] = ProseLayout(text, self._style, width, self._maths, source=source)
            while len(self._held) > MOST:
                self._held.popitem(last=False)
        else:
            self._held.move_to_end(key)
        if self._maths is not None and held.waiting:
            self._maths.want(held.waiting, self._style.quarters, urgent=urgent)
        return held

    def drop(self, formulas: frozenset[Formula]) -> frozenset[str]:
        """Forget the layouts that waited for one of these; returns their texts."""
        gone = [key for key, held in self._held.items() if not held.waiting.isdisjoint(formulas)]
        for key in gone:
            del self._held[key]
        return frozenset(key.text for key in gone)
