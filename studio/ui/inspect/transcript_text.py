"""The laid-out texts of a transcript: with maths, as written, or with tokens coloured and spans marked."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PySide6.QtGui import QFontMetricsF, QTextCharFormat

from studio.render.formula import Formula
from studio.render.layout import LEADING, ProseLayout, TextStyle
from studio.render.maths import MathsRenderer
from studio.ui.inspect.heat import Heat, HeatMap
from studio.ui.inspect.opened import Opened
from studio.ui.inspect.structure import LineKind
from studio.ui.theme import Theme
from studio.ui.widgets.layouts import LayoutCache
from studio.ui.widgets.raw_layout import Dyed, RawLayout
from studio.ui.widgets.text_style import STEP_POINTS, text_style
from trainer.contract.records import BlockKind

Ints = NDArray[np.int64]
RAW_HELD = 600
RAW_KINDS = frozenset({BlockKind.TOOL_CALL, BlockKind.TOOL_RESULT, BlockKind.REDACTED})
Layout = ProseLayout | RawLayout


class TranscriptText:
    """Layouts by line, kept while they may be needed again."""

    def __init__(self, maths: MathsRenderer | None, theme: Theme, ratio: Callable[[], float]) -> None:
        self._theme, self._ratio = theme, ratio
        self._opened: Opened | None = None
        self.heat = Heat.NONE
        self.source = False
        self.marks: tuple[tuple[int, int], ...] = ()
        self.heat_map: HeatMap | None = None
        self._raw: OrderedDict[tuple[int, int], RawLayout] = OrderedDict()
        self._layouts = LayoutCache(maths, self._style())

    @property
    def style(self) -> TextStyle:
        """How steps are set."""
        return self._layouts.style

    @property
    def line_height(self) -> float:
        """Height of a line of plain text."""
        return QFontMetricsF(self.style.font).height() * LEADING

    def open(self, opened: Opened | None) -> None:
        """The texts of another trace, or of the same one with more of it."""
        self._opened = opened
        self.renew()

    def renew(self) -> None:
        """Something that all layouts depend on is another."""
        self._raw.clear()
        self.heat_map = None
        opened = self._opened
        if opened is not None and opened.tokens is not None and self.heat is not Heat.NONE:
            forced = opened.conversation.forced
            self.heat_map = HeatMap(opened.tokens, self.heat, self._theme.colours, len(opened.trace.text), forced)

    def restyle(self) -> None:
        """The theme is another."""
        self._layouts.restyle(self._style())
        self.renew()

    def drop(self, formulas: frozenset[Formula]) -> frozenset[str]:
        """Forget the layouts that waited for one of these; returns their texts."""
        return self._layouts.drop(formulas)

    def prepare(self, text: str, width: int) -> None:
        """Lay out a text that is not in sight yet."""
        self._layouts.get(text, width, urgent=False)

    def layout_of(self, line: int, width: int, mark: QTextCharFormat) -> Layout:
        """The laid-out text of a line; what is marked gets the format `mark`."""
        assert self._opened is not None
        shape = self._opened.structure
        start, end = int(shape.start[line]), int(shape.end[line])
        raw = self._is_raw(line)
        dyed = self._dyed(start, end, mark)
        if not raw and dyed is None:
            return self._layouts.get(shape.text[start:end], width)
        held = self._raw.get((line, width))
        if held is None:
            font = self.style.code_font if raw else self.style.font
            held = self._raw[line, width] = RawLayout(shape.text[start:end], font, width, dyed or ())
            while len(self._raw) > RAW_HELD:
                self._raw.popitem(last=False)
        else:
            self._raw.move_to_end((line, width))
        return held

    def guesses(self, lines: Ints, width: float) -> Ints:
        """About how high the texts of these lines are."""
        assert self._opened is not None
        shape = self._opened.structure
        letters = max(10.0, width / (self.line_height / LEADING * 0.45))
        count = 1 + (shape.end[lines] - shape.start[lines]) // letters
        for row in np.flatnonzero(shape.kind[lines] == LineKind.TEXT):
            count[row] += shape.text.count("\n", int(shape.start[lines[row]]), int(shape.end[lines[row]]))
        return np.asarray(np.ceil(count * self.line_height), dtype=np.int64)

    def _style(self) -> TextStyle:
        return text_style(self._theme, STEP_POINTS, self._ratio())

    def _is_raw(self, line: int) -> bool:
        assert self._opened is not None
        shape = self._opened.structure
        if self.source or shape.kind[line] == LineKind.MARKUP:
            return True
        block = int(shape.block[line])
        return block >= 0 and shape.blocks[block].kind in RAW_KINDS

    def _dyed(self, start: int, end: int, mark: QTextCharFormat) -> list[Dyed] | None:
        """The colours of a stretch of text; None when nothing of it is to be coloured."""
        found = None if self.heat_map is None else self.heat_map.dyed(start, end)
        for first, last in self.marks:
            if first < end and last > start:
                found = [*(found or ()), Dyed(max(first, start) - start, min(last, end) - start, mark)]
        return found
