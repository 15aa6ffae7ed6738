"""The theme and the size of text switch at once, and are kept."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtGui import QImage

from studio.settings import Settings
from tests.e2e.seat import Seat


def brightness(path: str) -> float:
    """Mean lightness of a picture, 0 to 255, over a grid of points."""
    image = QImage(path)
    points = [(x, y) for x in range(5, image.width(), 40) for y in range(40, image.height(), 40)]
    return sum(image.pixelColor(x, y).lightness() for x, y in points) / len(points)


def test_themes_switch_at_once(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        seat.wait_painted()
        seat.press("3 2")
        seat.wait_saved()
        seen = {}
        for name in ("light", "dark", "contrast"):
            seat.context.actions.run(f"theme_{name}")
            seat.wait(lambda: seat.page.steps.is_ready)
            seen[name] = brightness(str(seat.picture(f"label {name}")))
        assert seen["light"] > 200 > 60 > seen["dark"]
        assert seen["contrast"] < seen["dark"]
        assert Settings.load().theme.value == "high contrast"


def test_text_grows_to_twice_its_size_and_nothing_is_lost(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        seat.context.actions.run("theme_light")
        seat.wait_painted()
        seat.wait(lambda: seat.page.steps.is_ready)
        before = seat.page.steps.row_height(0)
        for _ in range(9):
            seat.context.actions.run("larger")
        assert seat.context.theme.scale == 200
        seat.wait(lambda: seat.page.steps.is_ready)
        seat.picture("label light 200 percent")
        assert seat.page.steps.row_height(0) > 1.8 * before
        assert seat.window.minimumSizeHint().width() <= 1280
        seat.context.actions.run("normal_size")
        assert seat.context.theme.scale == 100
        assert Settings.load().scale == 1.0
