"""Flags pay a policy only after a warning that says what it does."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QCheckBox, QMessageBox

from studio.ui.actions import Page
from studio.ui.train.page import TrainPage
from tests.e2e.seat import Seat


def test_ticking_flags_as_reward_asks_first(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        seat.context.show_page(Page.TRAIN)
        page = seat.window.page_widget(Page.TRAIN)
        assert isinstance(page, TrainPage)
        dialog = page.new_run("rl")
        dialog.form.show_advanced(True)
        box = dialog.form.editor("flags_as_reward")
        assert isinstance(box, QCheckBox)

        def answer(name: str) -> None:
            box.click()
            seat.wait(lambda: bool(dialog.findChildren(QMessageBox)))
            warning = dialog.findChildren(QMessageBox)[-1]
            assert not box.isChecked()
            assert "learns to hide" in warning.informativeText()
            if name:
                next(one for one in warning.buttons() if one.text() == name).click()
            else:
                QTest.keyClick(warning, Qt.Key.Key_Escape)
            seat.wait(lambda: not dialog.findChildren(QMessageBox))

        answer("")
        assert not box.isChecked()
        answer("Use them all the same")
        assert box.isChecked()
        assert dialog.order().parameters["flags_as_reward"] is True
        box.click()
        assert not box.isChecked(), "taking it back asks nothing"
        dialog.reject()
