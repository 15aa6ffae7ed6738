"""A person at the Data and Train pages: what the stories of both share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QPushButton, QWidget

from studio.exchange.sample import make_stories_project
from studio.ui.actions import Page
from studio.ui.data.import_dialog import ImportDialog, Stage
from studio.ui.data.page import DataPage
from studio.ui.train.page import TrainPage
from studio.workspace import Workspace
from tests.e2e.seat import PICTURES, Seat


def record(number: int, *, ratings: tuple[int, ...] = (1, 1, -1)) -> dict[str, Any]:
    """A small PRM800K record of its own problem."""
    steps = [
        {"completions": [{"text": f"Step {n} of {number}.", "rating": r, "flagged": None}], "human_completion": None,
         "chosen_completion": None if r < 0 else 0}
        for n, r in enumerate(ratings)
    ]  # fmt: skip
    return {
        "labeler": "e90a38f3-3135-4465-87af-3e6322e3d772",
        "timestamp": "2023-01-22T04:34:27.052924",
        "generation": 6,
        "is_quality_control_question": False,
        "is_initial_screening_question": False,
        "question": {
            "problem": f"What is ${number}+1$?",
            "ground_truth_answer": str(number + 1),
            "pre_generated_steps": [f"Step {n} of {number}." for n in range(len(ratings))],
        },
        "label": {
            "steps": steps,
            "total_time": 1000 + number,
            "finish_reason": "found_error" if ratings[-1] < 0 else "solution",
        },
    }


def write_records(path: Path, count: int) -> Path:
    """A file of `count` records."""
    path.write_text("".join(json.dumps(record(number)) + "\n" for number in range(count)), "utf-8")
    return path


def story_workspace(folder: Path, count: int = 240) -> Path:
    """A workspace with the arithmetic stories."""
    with Workspace.open(folder, create=True) as workspace:
        make_stories_project(workspace, count=count)
    return folder


def data_page(seat: Seat) -> DataPage:
    """Go to the Data page."""
    seat.context.show_page(Page.DATA)
    found = seat.window.page_widget(Page.DATA)
    assert isinstance(found, DataPage)
    return found


def train_page(seat: Seat) -> TrainPage:
    """Go to the Train page."""
    seat.context.show_page(Page.TRAIN)
    found = seat.window.page_widget(Page.TRAIN)
    assert isinstance(found, TrainPage)
    return found


def check(seat: Seat, page: DataPage, *paths: Path) -> ImportDialog:
    """Drop files onto the page and wait for the report of the dry run."""
    seat.context.filesGiven.emit(tuple(str(path) for path in paths))
    dialog = page.import_dialog
    assert dialog is not None
    seat.wait(lambda: dialog.stage is Stage.CHECKED)
    return dialog


def bring_in(seat: Seat, dialog: ImportDialog) -> None:
    """Press Import and wait for the result."""
    click(dialog.go)
    seat.wait(lambda: dialog.stage is Stage.DONE)


def click(button: QPushButton) -> None:
    """Press a button that can be pressed."""
    assert button.isVisible(), f"{button.text()} is not there"
    assert button.isEnabled(), f"{button.text()} is off"
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def type_over(line: QWidget, text: str) -> None:
    """Replace the text of a line edit by typing."""
    line.setFocus()
    line.selectAll()  # type: ignore[attr-defined]
    QTest.keyClicks(line, text)


def picture(widget: QWidget, name: str) -> None:
    """Save what a widget looks like to tests-output/."""
    PICTURES.mkdir(exist_ok=True)
    QApplication.processEvents()
    assert widget.grab().save(str(PICTURES / f"{name}.png"))
