"""The form of a new run: what cannot be is explained, what goes in is counted before Start."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot
from sqlalchemy import text

from studio.ui.train.run_dialog import RunDialog
from studio.ui.widgets.fields import NumberField
from tests.e2e.data_desk import picture, story_workspace, train_page, type_over
from tests.e2e.seat import Seat
from trainer.contract.records import Split
from trainer.reasoning.split import fold_of, split_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return story_workspace(tmp_path / "workspace")


def counted(seat: Seat, dialog: RunDialog) -> None:
    """Wait until the counts belong to what the form says now."""
    seat.wait(lambda: dialog._preview is not None and not dialog.panel.busy.isVisible())


def open_form(seat: Seat) -> RunDialog:
    page = train_page(seat)
    assert page.empty.button is not None
    page.empty.button.click()
    assert page.dialog is not None
    counted(seat, page.dialog)
    return page.dialog


def test_a_value_that_cannot_be_is_explained_and_stops_start(qtbot: QtBot, folder: Path) -> None:
    with Seat(qtbot, folder) as seat:
        dialog = open_form(seat)
        seat.wait(dialog.start.isEnabled)  # the packages are being looked for, too
        batch = dialog.form.editor("batch_size")
        assert isinstance(batch, NumberField)
        type_over(batch, "0")
        assert dialog.form.problem_of("batch_size") == "Batch size: must be 1 to 65,536."
        assert not dialog.start.isEnabled()
        assert "Batch size" in dialog.panel.problems.text()
        picture(dialog, "new-run-invalid")
        type_over(batch, "4")
        counted(seat, dialog)
        seat.wait(dialog.start.isEnabled)
        assert dialog.order().parameters["batch_size"] == 4
        dialog.reject()


def test_counts_are_those_of_the_store(qtbot: QtBot, folder: Path) -> None:
    with Seat(qtbot, folder) as seat:
        dialog = open_form(seat)
        with seat.context.workspace.database.read() as c:
            prompts = (
                c.execute(text("select p.prompt from trace t join problem p on p.id = t.problem_id")).scalars().all()
            )
            values = Counter(
                c.execute(text("select value from rating where option = 0 and value is not null")).scalars()
            )
        wanted = Counter(split_of(fold_of(prompt)) for prompt in prompts)
        assert f"{len(prompts)} traces of {len(set(prompts))} problems" in dialog.panel.counts.text()
        assert dialog.panel.splits.lines == {split.value: f"{wanted[split]:,} traces" for split in Split}
        assert dialog._preview is not None
        counts = dialog._preview.counts
        assert (counts.negative, counts.neutral, counts.positive) == (values[-1], values[0], values[1])
        for name in ("light", "dark"):
            seat.context.theme.use(name)
            picture(dialog, f"new-run-{name}")
        dialog.reject()


def test_what_is_left_out_is_named_before_start(qtbot: QtBot, folder: Path) -> None:
    with Seat(qtbot, folder) as seat:
        dialog = open_form(seat)
        dialog.rows.annotators.tick("Ada")
        counted(seat, dialog)
        assert dialog._preview is not None
        assert dialog._preview.counts.rows == 0
        assert sum(dialog._preview.counts.left_out.values()) == 240
        assert not dialog.start.isEnabled()
        assert any("240" in figure for figure in dialog.panel.left_out.lines.values())
        dialog.reject()


def test_words_narrow_the_selection_after_a_pause_in_typing(qtbot: QtBot, folder: Path) -> None:
    with Seat(qtbot, folder) as seat:
        dialog = open_form(seat)
        assert dialog._preview is not None
        everything = dialog._preview.counts.rows
        dialog.rows.text.setFocus()
        QTest.keyClicks(dialog.rows.text, "halve")
        counted(seat, dialog)
        with seat.context.workspace.database.read() as c:
            found = c.execute(
                text("select count(*) from trace t join problem p on p.id = t.problem_id where p.prompt like '%halve%'")
            ).scalar_one()
        assert 0 < found < everything
        assert dialog._preview.counts.rows == found
        dialog.reject()


def test_a_preset_changes_its_values_and_no_others(qtbot: QtBot, folder: Path) -> None:
    with Seat(qtbot, folder) as seat:
        dialog = open_form(seat)
        defaults = dialog.form.values()
        dialog.preset.setCurrentIndex(dialog.preset.findText("PRM on a Hugging Face model (LoRA)"))
        preset = dialog.preset.currentData()
        values = dialog.form.values()
        assert {name for name in values if values[name] != defaults[name]} <= set(preset.values)
        assert values["adapt"] == "LoRA"
        assert not dialog.form.invalid()
        dialog.reject()
