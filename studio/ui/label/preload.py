"""The maths of a trace that is being read: from the cache file into memory before it is laid out."""

from __future__ import annotations

from studio.domain import Trace
from studio.render.formula import Formula
from studio.render.maths import MathsRenderer
from studio.render.prose import formulas
from studio.ui.theme import Theme
from studio.ui.widgets.problem_view import reference_text
from studio.ui.widgets.text_style import text_style

STEP_POINTS, PROBLEM_POINTS = 11.0, 11.5  # as StepListView and ProblemView set their text


class Preloader:
    """Called in the reading thread; `measure` in the GUI thread, whenever sizes change."""

    def __init__(self, maths: MathsRenderer, theme: Theme, ratio: float) -> None:
        self._maths, self._theme = maths, theme
        self.measure(ratio)

    def measure(self, ratio: float) -> None:
        """Take the sizes of formulas at this many device pixels a logical pixel."""
        self._steps = text_style(self._theme, STEP_POINTS, ratio).quarters
        self._problem = text_style(self._theme, PROBLEM_POINTS, ratio).quarters

    def __call__(self, trace: Trace) -> None:
        """Bring the maths of this trace into memory, as far as the cache file has it."""
        problem = trace.problem
        steps = [trace.step_text(i) for i in range(len(trace.segmentation.steps))]
        self._maths.preload(_formulas(*steps), self._steps)
        self._maths.preload(_formulas(problem.prompt, reference_text(problem.reference_answer)), self._problem)


def _formulas(*texts: str) -> list[Formula]:
    return [Formula(piece.text, piece.block) for text in texts for piece in formulas(text)]
