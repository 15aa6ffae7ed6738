"""The maths of a trace that is being read: from the cache file into memory before it is laid out."""

from __future__ import annotations

from studio.domain import Trace
from studio.render.maths import MathsRenderer
from studio.render.needed import problem_formulas, step_formulas
from studio.ui.theme import Theme
from studio.ui.widgets.text_style import formula_sizes


class Preloader:
    """Called in the reading thread; `measure` in the GUI thread, whenever sizes change."""

    def __init__(self, maths: MathsRenderer, theme: Theme, ratio: float) -> None:
        self._maths, self._theme = maths, theme
        self.measure(ratio)

    def measure(self, ratio: float) -> None:
        """Take the sizes of formulas at this many device pixels a logical pixel."""
        self._sizes = formula_sizes(self._theme, ratio)

    def __call__(self, trace: Trace) -> None:
        """Bring the maths of this trace into memory, as far as the cache file has it."""
        self._maths.preload(step_formulas(trace), self._sizes.step)
        self._maths.preload(problem_formulas(trace.problem), self._sizes.problem)
