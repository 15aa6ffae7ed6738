"""The shorter way through the drawing library gives the very same pictures, in less work."""

from __future__ import annotations

import itertools

import pytest
from ziamath.nodes.mnode import Mnode
from ziamath.nodes.mrow import Mrow

from studio.render import quick_maths
from studio.render.maths_worker import draw
from tests.unit.render.competition_formulas import FORMULAS

# What stretches, in every place where a row hands its height on.
STRETCHING = (
    r"\left( \frac{a}{b} \right)^2",
    r"\left| \frac{\left( x^2 \right)}{2} \right|",
    r"\frac{\left( \frac{1}{2} \right)}{\left[ \sqrt{\frac{1}{3}} \right]}",
    r"\sqrt{\left\{ \frac{a}{b} \right\}}",
    r"\sum_{k=1}^{n} \frac{\sum_{j} j^2}{k}",
    r"\int_0^1 \frac{\int_0^x t\,dt}{x} dx",
    r"\overline{AB} + \overrightarrow{\frac{C}{D}} + \widehat{xyz}",
    r"\begin{pmatrix} \frac{1}{2} & 0 \\ 0 & \left( \frac{1}{3} \right) \end{pmatrix}",
    r"\begin{cases} \frac{x}{2} & x > 0 \\ 0 & \text{else} \end{cases}",
    r"a \to \frac{b}{c} \Rightarrow \uparrow \langle \frac{x}{y} \rangle",
    r"\left. \frac{x}{2} \right|_{0}^{1}",
    r"A \setminus \frac{B}{C} \cup \bigcup_{i} A_i",
    r"\underbrace{a + \frac{b}{c}}_{n} + \boxed{\frac{1}{2}}",
)


def orders() -> list[tuple[str, bool, float]]:
    chosen = [*STRETCHING, *FORMULAS]
    return [(latex, index % 3 == 0, 14.0 + index % 5) for index, latex in enumerate(chosen)]


def test_the_pictures_are_those_of_the_library_byte_for_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Mrow._get_height_nostretch is not quick_maths.library_height, "a helper draws the short way"
    short = draw(orders())
    monkeypatch.setattr(Mrow, "_get_height_nostretch", quick_maths.library_height)
    for order, one, other in zip(orders(), short, draw(orders()), strict=True):
        assert one == other, order


def test_rows_in_rows_do_not_double_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    made = 0
    original = Mnode.fromelement.__func__

    def counted(cls, *args, **kwargs):
        nonlocal made
        made += 1
        return original(cls, *args, **kwargs)

    monkeypatch.setattr(Mnode, "fromelement", classmethod(counted))
    latex = "x"
    counts = []
    for _ in range(7):
        latex = rf"\frac{{{latex} + 1}}{{2}}"
        made = 0
        assert draw([(latex, False, 16.0)])[0][4] == ""
        counts.append(made)
    growth = [after - before for before, after in itertools.pairwise(counts)]
    assert len(set(growth)) == 1, f"each level adds as many nodes as the one before: {counts}"
