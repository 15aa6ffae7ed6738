"""A person in front of the real main window: opens a workspace, presses keys, looks at what is painted."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QEvent, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from studio.app import Studio
from studio.settings import Settings
from studio.store import batches, projects, traces
from studio.ui.actions import Page
from studio.ui.label.page import LabelPage
from studio.ui.label.work import TraceWork
from studio.workspace import Workspace

PICTURES = Path(__file__).resolve().parents[2] / "tests-output"
HELD = {"Ctrl": Qt.KeyboardModifier.ControlModifier, "Shift": Qt.KeyboardModifier.ShiftModifier}
ALGEBRA = (
    "Let's call the numerator $x$, so the denominator is $3x-7$.",
    "We know that $\\frac{x}{3x-7}=\\frac{2}{5}$.",
    "So $5x=2(3x-7)$, which is $5x=6x-14$.",
    "Subtracting, $-x=-14$, hence $x=14$.",
)


def fill_workspace(
    folder: Path, *, count: int = 3, steps: Sequence[str] = ALGEBRA, project: str = "Algebra", overlap: int = 1
) -> None:
    """Make a workspace with one project of `count` traces with these steps."""
    with Workspace.open(folder, create=True) as workspace:
        database = workspace.database
        made = database.run(lambda c: projects.create(c, project, overlap=overlap))
        batch = database.run(lambda c: batches.begin(c, "sample", made.id, "written for a test"))
        for number in range(count):
            text = f"A fraction is worth $\\frac{{2}}{{5}}$, its denominator is ${number + 3}x-7$. What is $x$?"
            new = traces.from_steps(text, [f"{step}" for step in steps], reference_answer="14", line=number)
            database.run(lambda c, new=new: traces.add(c, new, batch_id=batch, project_id=made.id))
        database.run(lambda c: batches.publish(c, batch, {}))


class Seat:
    """Use it in a `with`: the window and its workspace are closed at the end."""

    def __init__(self, qtbot: QtBot, folder: Path, *, name: str = "Ada") -> None:
        self.qtbot, self.folder = qtbot, folder
        settings = Settings.load()
        if not settings.annotator_name:
            settings.update(annotator_name=name)
        app = QApplication.instance()
        assert isinstance(app, QApplication)
        self.studio = Studio(app, settings)
        assert self.studio.open(folder)
        assert self.studio.window is not None
        self.window, self.context = self.studio.window, self.studio.context
        self.errors: list[BaseException] = []
        self.context.broke.connect(self.errors.append)
        self._told: list[str] = []
        self.window.status.messageChanged.connect(self._told.append)
        self.wait(self.window.isActiveWindow)

    def __enter__(self) -> Seat:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.stand_up()
        if kind is None:
            assert not self.errors

    def stand_up(self) -> None:
        """Close the window as a person would."""
        self.studio.close()
        self.studio.theme.deleteLater()
        self.studio.deleteLater()
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)

    @property
    def page(self) -> LabelPage:
        """The Label page."""
        found = self.window.page_widget(Page.LABEL)
        assert isinstance(found, LabelPage)
        return found

    @property
    def work(self) -> TraceWork:
        """What lies open on the Label page."""
        assert self.page.work is not None
        return self.page.work

    def wait(self, holds: Callable[[], bool | None]) -> None:
        """Wait until this is true, or asserts no more."""
        self.qtbot.waitUntil(holds)

    def wait_painted(self) -> None:
        """Wait until the open trace can be read."""
        self.wait(lambda: self.page.work is not None and self.page.is_painted)

    def wait_saved(self) -> None:
        """Wait until every commit has returned."""
        self.wait(lambda: not self.context.background.writes_waiting)

    def press(self, keys: str, on: QWidget | None = None) -> None:
        """Press keys: "3 3 1 Return", "Ctrl+Z"."""
        self._told.clear()
        for key in keys.split():
            *modifiers, name = key.split("+")
            held = Qt.KeyboardModifier.NoModifier
            for modifier in modifiers:
                held |= {"Ctrl": Qt.KeyboardModifier.ControlModifier, "Shift": Qt.KeyboardModifier.ShiftModifier}[
                    modifier
                ]
            code = getattr(Qt.Key, f"Key_{name.upper() if len(name) == 1 else name}")
            QTest.keyClick(on or self.page.steps, code, held)

    def submit(self) -> int:
        """Press Enter and wait for the next trace to be painted; returns its id."""
        before = self.work.trace.id
        self.press("Return")
        self.wait(lambda: self.page.work is None or self.work.trace.id != before)
        if self.page.work is None:
            return 0
        self.wait_painted()
        return self.work.trace.id

    def ratings(self) -> list[int | None]:
        """What is shown on the open trace."""
        return [None if row.rating is None else int(row.rating) for row in self.page.steps.rows]

    def said(self) -> str:
        """What the status bar has said since the last key press: a message goes after seconds, or for the next one."""
        return "\n".join(text for text in self._told if text)

    def picture(self, name: str) -> Path:
        """Save what the window looks like to tests-output/."""
        PICTURES.mkdir(exist_ok=True)
        path = PICTURES / f"{re.sub(r'[^a-z0-9-]+', '-', name.lower())}.png"
        QApplication.processEvents()
        assert self.window.grab().save(str(path))
        return path
