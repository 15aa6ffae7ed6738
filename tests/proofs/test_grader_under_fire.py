"""Long proof of the grader: random values in random notations, with answers that hang strewn among them.

Short form: 300 pairs. STEPLENS_PROOF=full: 10,000 pairs. The truth of a pair is known from Fractions, not the grader.
"""

from __future__ import annotations

import os
import random
from fractions import Fraction

from trainer.reasoning.grader import GradeForm, Grader, Pair

FULL = os.environ.get("STEPLENS_PROOF") == "full"
PAIRS = 10_000 if FULL else 300
HANGING_EVERY = 500 if FULL else 60


def written(draw: random.Random, value: Fraction, depth: int = 0) -> str:
    """One of many ways to write a rational number, brackets and commands included."""
    if depth < 2 and draw.random() < 0.6:
        other = Fraction(draw.randint(1, 20), draw.randint(1, 6))
        rest = written(draw, value - other, depth + 1)
        form = draw.choice(["sum", "product", "quotient", "root"])
        if form == "sum":
            return f"\\left({written(draw, other, depth + 1)}\\right) + ({rest})"
        if form == "product":
            return (
                f"\\left({written(draw, other, depth + 1)}\\right) \\cdot ({written(draw, value / other, depth + 1)})"
            )
        if form == "quotient":
            return f"\\frac{{{written(draw, value * other, depth + 1)}}}{{{written(draw, other, depth + 1)}}}"
        return f"({written(draw, value / other, depth + 1)})\\sqrt{{{other**2}}}"
    minus, top, bottom = "-" if value < 0 else "", abs(value.numerator), value.denominator
    if bottom == 1:
        return f"{minus}{top:,}" if top > 999 and depth == 0 and draw.random() < 0.5 else f"{minus}{top}"
    return draw.choice(
        [f"{minus}\\frac{{{top}}}{{{bottom}}}", f"{minus}\\dfrac{{{top}}}{{{bottom}}}", f"{minus}{top}/{bottom}"]
    )


def with_algebra(draw: random.Random, text: str) -> str:
    """The value beside something that only algebra sees through."""
    n = draw.randint(2, 9)
    return draw.choice([f"{text} + \\pi", f"\\pi + {text}", f"{text} + \\frac{{{n}\\pi}}{{{n}}}"])


def test_values_survive_their_notation_and_the_hanging_neighbours():
    draw = random.Random(1)
    pairs: list[Pair] = []
    truth: list[bool | None] = []
    for number in range(PAIRS):
        if number % HANGING_EVERY == HANGING_EVERY - 1:
            pairs.append(Pair(f"{number}^{{9^{{9^9}}}}", "7"))
            truth.append(None)
            continue
        value = Fraction(draw.randint(-5000, 5000), draw.randint(1, 12))
        other = value if draw.random() < 0.5 else value + Fraction(draw.choice([-1, 1]), draw.randint(1, 12))
        texts = written(draw, value), written(draw, other)
        if draw.random() < 0.3:
            texts = with_algebra(draw, texts[0]), with_algebra(draw, texts[1])
        pairs.append(Pair(*texts))
        truth.append(value == other)
    with Grader(2, timeout=2.0) as grader:
        grades = grader.grade(pairs, form=GradeForm.LENIENT)
    wrong = [(p, t, g) for p, t, g in zip(pairs, truth, grades, strict=True) if g.correct is not t]
    assert not wrong, wrong[:3]
    assert 0.3 < sum(t is True for t in truth) / len(truth) < 0.7
