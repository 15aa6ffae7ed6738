"""A label without room says so, and keeps its text."""

from __future__ import annotations

from pytestqt.qtbot import QtBot

from studio.ui.widgets.cut_label import CutLabel


def test_words_end_in_an_ellipsis_where_there_is_no_room(qtbot: QtBot) -> None:
    label = CutLabel("measured: log-probability of 340 tokens")
    qtbot.addWidget(label)
    label.resize(2_000, 20)
    label.show()
    assert label.shown == label.text()
    label.resize(120, 20)
    assert label.shown.endswith("…")
    assert label.text() == label.toolTip() == label.accessibleName() == "measured: log-probability of 340 tokens"
    label.clear()
    assert label.text() == label.shown == ""
