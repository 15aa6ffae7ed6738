"""Which formulas a trace shows."""

from __future__ import annotations

from studio.domain import Problem, Trace
from studio.render.formula import Formula
from studio.render.prose import formulas, reference_text


def step_formulas(trace: Trace) -> list[Formula]:
    """The maths of its steps, in order."""
    return _formulas(*(trace.step_text(i) for i in range(len(trace.segmentation.steps))))


def problem_formulas(problem: Problem) -> list[Formula]:
    """The maths of a prompt and its reference answer."""
    return _formulas(problem.prompt, reference_text(problem.reference_answer))


def title_formulas(title: str) -> list[Formula]:
    """The maths of a problem's beginning, as lists show it on one line."""
    return _formulas(" ".join(title.split()))


def _formulas(*texts: str) -> list[Formula]:
    return [Formula(piece.text, piece.block) for text in texts for piece in formulas(text)]
