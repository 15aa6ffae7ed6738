"""The form drawn from a recipe's dataclass."""

from __future__ import annotations

import dataclasses

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QPushButton
from pytestqt.qtbot import QtBot

from studio.ui.widgets.fields import ChoiceField, NumberField
from studio.ui.widgets.spec_form import SpecForm, label_of
from trainer.contract.spec import RECIPES, build, parameters


@pytest.fixture(params=sorted(RECIPES))
def form(request: pytest.FixtureRequest, qtbot: QtBot) -> SpecForm:
    made = SpecForm(request.param)
    qtbot.addWidget(made)
    return made


def test_untouched_it_says_exactly_the_defaults(form: SpecForm) -> None:
    assert build(form.recipe, form.values()) == RECIPES[form.recipe]()
    assert set(form.values()) == {f.name for f in dataclasses.fields(RECIPES[form.recipe])}


def test_every_field_has_its_help_range_and_name_for_a_screen_reader(form: SpecForm) -> None:
    for field in dataclasses.fields(RECIPES[form.recipe]):
        editor = form.editor(field.name)
        assert editor.accessibleName() == label_of(field.name)
        assert field.metadata["help"] in editor.accessibleDescription()
        takes_keys = editor.focusProxy() or editor
        assert takes_keys.accessibleName() == label_of(field.name)
        assert field.metadata["help"] in takes_keys.accessibleDescription()
        assert all(label_of(field.name) in each.accessibleName() for each in editor.findChildren(QPushButton))
        if isinstance(editor, NumberField):
            assert (editor.low, editor.high) == (field.metadata["low"], field.metadata["high"])


def prm(qtbot: QtBot) -> SpecForm:
    made = SpecForm("prm")
    qtbot.addWidget(made)
    made.show()
    return made


def type_into(editor: NumberField, text: str) -> None:
    editor.setFocus()
    editor.selectAll()
    QTest.keyClicks(editor, text)


def test_a_value_out_of_range_is_kept_and_explained(qtbot: QtBot) -> None:
    form = prm(qtbot)
    batch = form.editor("batch_size")
    assert isinstance(batch, NumberField)
    type_into(batch, "70000")
    assert batch.text_value() == "70000"
    assert form.problem_of("batch_size") == "Batch size: must be 1 to 65,536."
    assert [i.name for i in form.invalid()] == ["batch_size"]
    type_into(batch, "many")
    assert "“many” is not a whole number" in form.problem_of("batch_size")
    type_into(batch, "16")
    assert form.invalid() == ()
    assert form.values()["batch_size"] == 16


def test_small_rates_are_typed_and_stepped(qtbot: QtBot) -> None:
    form = prm(qtbot)
    rate = form.editor("body_rate")
    assert isinstance(rate, NumberField)
    type_into(rate, "1e-5")
    assert form.values()["body_rate"] == 1e-5
    seen = []
    for _ in range(4):
        QTest.keyClick(rate, Qt.Key.Key_Up)
        seen.append(form.values()["body_rate"])
    assert seen == pytest.approx([2e-5, 5e-5, 1e-4, 2e-4], rel=1e-9)
    for _ in range(6):
        QTest.keyClick(rate, Qt.Key.Key_Down)
    assert form.values()["body_rate"] == 0.0


@pytest.mark.parametrize("wrong", ["nan", "inf", "", "1,5e", "0x10"])
def test_what_is_no_number_is_refused(qtbot: QtBot, wrong: str) -> None:
    form = prm(qtbot)
    rate = form.editor("head_rate")
    assert isinstance(rate, NumberField)
    rate.setText(wrong)
    rate.changed.emit()
    assert [i.name for i in form.invalid()] == ["head_rate"]


def test_a_separator_shows_its_line_break_and_keeps_it(qtbot: QtBot) -> None:
    form = prm(qtbot)
    editor = form.editor("separator")
    assert editor.text() == "\\n"  # type: ignore[union-attr]
    for text in ("\n\n", "\\n", " ки\t", "a\\\\n"):
        form.set_values({"separator": text})
        assert form.values()["separator"] == text


def test_advanced_settings_are_folded_and_values_survive(qtbot: QtBot) -> None:
    form = prm(qtbot)
    assert not form.editor("warmup").isVisible()
    assert form.editor("epochs").isVisible()
    form.set_values({"warmup": 0.5})
    form.show_advanced(True)
    assert form.editor("warmup").isVisible()
    assert form.values()["warmup"] == 0.5


def test_setting_values_announces_one_change(qtbot: QtBot) -> None:
    form = prm(qtbot)
    heard: list[int] = []
    form.changed.connect(lambda: heard.append(1))
    form.set_values(parameters(RECIPES["prm"]()))
    assert len(heard) == 1


def test_the_wheel_leaves_a_field_without_focus_alone(qtbot: QtBot) -> None:
    from PySide6.QtCore import QPoint, QPointF
    from PySide6.QtGui import QWheelEvent

    form = prm(qtbot)
    for name in ("epochs", "neutral"):
        editor = form.editor(name)
        assert isinstance(editor, NumberField | ChoiceField)
        before = form.values()[name]
        form.editor("batch_size").setFocus()
        event = QWheelEvent(
            QPointF(5, 5),
            QPointF(5, 5),
            QPoint(0, 0),
            QPoint(0, -120),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        editor.wheelEvent(event)
        assert form.values()[name] == before
        assert not event.isAccepted()
