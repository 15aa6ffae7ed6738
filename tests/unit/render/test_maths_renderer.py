"""Masks come from memory, from the file, from a helper, in this order; a damaged file costs nothing but time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtGui import QColor
from pytestqt.qtbot import QtBot

from studio.render.formula import Formula, Mask, Sized
from studio.render.mask_store import MaskStore
from studio.render.maths import LONGEST, MathsRenderer
from studio.render.maths_worker import draw

HALF = Formula(r"\frac{1}{2}")


class Helpers:
    """Draws at once, in the thread that asks, and counts."""

    def __init__(self) -> None:
        self.drawn: list[str] = []
        self.urgent: list[bool] = []

    def submit(
        self, target: str, argument: object, done: Callable[[object], None], *, urgent: bool = True
    ) -> Callable[[], None]:
        assert target == "studio.render.maths_worker:draw"
        assert isinstance(argument, list)
        self.drawn += [latex for latex, _, _ in argument]
        self.urgent.append(urgent)
        done(draw(argument))
        return lambda: None


@pytest.fixture
def make(qapp: object, tmp_path: Path) -> Iterator[Callable[[Helpers], MathsRenderer]]:
    made: list[MathsRenderer] = []

    def build(helpers: Helpers) -> MathsRenderer:
        made.append(MathsRenderer(helpers, tmp_path / "cache" / "maths.db"))
        return made[-1]

    yield build
    for each in made:
        each.close()


def fetch(qtbot: QtBot, renderer: MathsRenderer, *formulas: Formula, quarters: int = 80) -> None:
    with qtbot.waitSignal(renderer.rendered):
        renderer.want(formulas, quarters)


def test_a_formula_is_drawn_once_and_then_at_hand(qtbot: QtBot, make: Callable[[Helpers], MathsRenderer]) -> None:
    helpers = Helpers()
    renderer = make(helpers)
    assert renderer.look(HALF, 80) is None
    fetch(qtbot, renderer, HALF)
    assert renderer.look(HALF, 80) == Mask(*draw([(HALF.latex, False, 20.0)])[0])
    renderer.want([HALF], 80)
    assert helpers.drawn == [HALF.latex]


def test_another_start_reads_the_file(qtbot: QtBot, make: Callable[[Helpers], MathsRenderer]) -> None:
    first = make(Helpers())
    fetch(qtbot, first, HALF, Formula("{"))
    first.close()
    helpers = Helpers()
    second = make(helpers)
    second.preload([HALF, Formula("{")], 80)
    assert second.look(HALF, 80) == first.look(HALF, 80)
    broken = second.look(Formula("{"), 80)
    assert broken is not None
    assert broken.trouble
    assert helpers.drawn == []
    assert second.look(HALF, 120) is None  # another size is another picture


def test_light_and_dark_share_a_mask(qtbot: QtBot, make: Callable[[Helpers], MathsRenderer]) -> None:
    helpers = Helpers()
    renderer = make(helpers)
    fetch(qtbot, renderer, HALF)
    dark, light = (renderer.image(HALF, 80, QColor(name)) for name in ("#e8eaf0", "#1a1e26"))
    assert dark is not None
    assert light is not None
    assert dark.convertToFormat(dark.Format.Format_Alpha8) == light.convertToFormat(light.Format.Format_Alpha8)
    assert dark != light
    assert helpers.drawn == [HALF.latex]


def test_what_is_too_long_is_not_drawn(make: Callable[[Helpers], MathsRenderer]) -> None:
    helpers = Helpers()
    renderer = make(helpers)
    long = Formula("x" * (LONGEST + 1))
    mask = renderer.look(long, 80)
    assert mask is not None
    assert str(LONGEST) in mask.trouble
    renderer.want([long], 80)
    assert helpers.drawn == []


def test_a_helper_that_fails_leaves_a_reason(qtbot: QtBot, make: Callable[[Helpers], MathsRenderer]) -> None:
    class Broken(Helpers):
        def submit(
            self, target: str, argument: object, done: Callable[[object], None], *, urgent: bool = True
        ) -> Callable[[], None]:
            done(RuntimeError("it ended"))
            return lambda: None

    renderer = make(Broken())
    fetch(qtbot, renderer, HALF)
    mask = renderer.look(HALF, 80)
    assert mask is not None
    assert "it ended" in mask.trouble


def test_a_damaged_file_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "maths.db"
    path.write_bytes(b"this is no database" * 1_000)
    sized, mask = Sized(HALF, 80), Mask(2, 1, 1.0, b"\x00\xff")
    store = MaskStore(path)
    assert store.load([sized]) == {}
    store.save({sized: mask})
    assert store.load([sized]) == {sized: mask}
    store.close()
    again = MaskStore(path)
    assert again.load([sized]) == {sized: mask}
    again.close()
