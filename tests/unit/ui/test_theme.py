"""Colours: readable text in every theme, icons that can be drawn."""

from __future__ import annotations

from importlib.resources import files
from itertools import product

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from studio.ui import theme as themes
from studio.ui.actions import ACTIONS
from studio.ui.theme import CONTRAST, DARK, LIGHT, Colours, Theme, contrast

TEXTS = ("text", "secondary", "faint", "accent", "negative", "neutral", "positive", "unsure")
GROUNDS = ("window", "surface", "raised", "accent_soft")


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.478, abs=1e-3)  # the known grey that just fails


@pytest.mark.parametrize("colours", [LIGHT, DARK, CONTRAST], ids=["light", "dark", "high contrast"])
def test_every_text_colour_is_readable_on_every_ground(colours: Colours) -> None:
    low = {
        (text, ground): round(contrast(getattr(colours, text), getattr(colours, ground)), 2)
        for text, ground in product(TEXTS, GROUNDS)
        if contrast(getattr(colours, text), getattr(colours, ground)) < 4.5
    }
    assert not low
    for value in ("negative", "neutral", "positive"):
        assert contrast(getattr(colours, value), colours.on_rating) >= 4.5
        assert contrast(colours.text, getattr(colours, f"{value}_soft")) >= 4.5
        assert contrast(getattr(colours, value), getattr(colours, f"{value}_soft")) >= 4.5
    assert contrast(colours.accent, colours.on_accent) >= 4.5


def test_every_icon_named_by_a_command_is_there(qapp: QApplication, qtbot: QtBot) -> None:
    theme = Theme(qapp, "light")
    names = {a.icon for a in ACTIONS if a.icon} | {p.name[:-4] for p in files("resources").joinpath("icons").iterdir()}
    for name in names:
        picture = theme.icon(name).pixmap(32, 32).toImage()
        inked = sum(picture.pixelColor(x, y).alpha() > 40 for x in range(32) for y in range(32))
        assert inked > 25, name
    theme.deleteLater()


def test_the_font_is_our_own(qapp: QApplication) -> None:
    assert themes._load_font().startswith("Inter")


def test_switching_tells_and_colours_follow(qapp: QApplication, qtbot: QtBot) -> None:
    theme = Theme(qapp, "light")
    with qtbot.waitSignal(theme.switched):
        theme.use("dark")
    assert theme.colours is DARK
    assert qapp.palette().window().color().name() == DARK.window
    with qtbot.waitSignal(theme.switched):
        theme.zoom(150)
    assert theme.px(10) == 15
    assert qapp.font().pointSizeF() == pytest.approx(10.5 * 1.5)
    theme.use("light")
    theme.zoom(100)
    theme.deleteLater()
