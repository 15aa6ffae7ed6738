"""Commands that change or pass on a step: split, join, send to a labelling project."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

from PySide6.QtCore import QObject, QPoint, QTimer
from PySide6.QtGui import QAction, QTextCursor
from PySide6.QtWidgets import QDialog, QDialogButtonBox, QLabel, QMenu, QPlainTextEdit, QVBoxLayout, QWidget
from sqlalchemy import Connection

from studio.domain import Changes, Project
from studio.store import projects, segmentations
from studio.ui.actions import Page

if TYPE_CHECKING:
    from studio.ui.inspect.page import InspectPage
    from studio.ui.main_window import MainWindow
    from studio.ui.play.page import PlayPage

COMMANDS = ("split_step", "join_step", "steps_by_idea", "undo_steps", "step_to_label", "problem_to_play")


class SplitDialog(QDialog):
    """A step's text, as it was written; the caret says where to cut."""

    def __init__(self, text: str, at: int, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Split the step")
        self.text = QPlainTextEdit(text)
        self.text.setReadOnly(True)
        self.text.setTextInteractionFlags(
            self.text.textInteractionFlags() | self.text.textInteractionFlags().TextSelectableByKeyboard
        )
        self.text.setCursorWidth(2)
        self.text.setAccessibleName("Text of the step")
        self.text.setTabChangesFocus(True)
        caret = self.text.textCursor()
        caret.setPosition(len(text[:at].encode("utf-16-le")) // 2)
        self.text.setTextCursor(caret)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.ok = buttons.addButton("Split here", QDialogButtonBox.ButtonRole.AcceptRole)
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        column = QVBoxLayout(self)
        column.addWidget(QLabel("Put the caret where the second step begins, then press Enter."))
        column.addWidget(self.text)
        column.addWidget(buttons)
        letter = self.fontMetrics()
        self.resize(62 * letter.averageCharWidth(), 14 * letter.height())
        self.ok.setDefault(True)
        self._source = text

    @property
    def at(self) -> int:
        """The caret's place, in code points of the text."""
        units = self.text.textCursor().position()
        return len(self._source.encode("utf-16-le")[: 2 * units].decode("utf-16-le", "ignore"))

    def put(self, at: int) -> None:
        """Put the caret before this code point."""
        caret = self.text.textCursor()
        caret.setPosition(len(self._source[:at].encode("utf-16-le")) // 2, QTextCursor.MoveMode.MoveAnchor)
        self.text.setTextCursor(caret)


class StepCommands(QObject):
    """Registers its commands with `context.actions`; they speak of the current step of a stored trace."""

    def __init__(self, page: InspectPage) -> None:
        super().__init__(page)
        self._page, self._context = page, page.context
        on = self._context.actions.on
        on("split_step", self.split)
        on("join_step", self._join)
        on("undo_steps", self._take_back)
        on("step_to_label", self._send)
        on("steps_by_idea", self._by_idea)
        on("problem_to_play", self._play)

    def enable(self, on: bool) -> None:
        """Whether there is a stored trace."""
        for id in COMMANDS:
            self._context.actions.enable(id, on)

    def split(self) -> None:
        """Ask where, then cut."""
        opened, step = self._page.shown, self._page.step
        if opened is None or step is None:
            return
        old = opened.trace.segmentation.steps[step]
        text = opened.trace.step_text(step)
        here = self._page.place.position.point - old.start
        dialog = SplitDialog(text, here if 0 < here < len(text) else _first_break(text), self._page)
        dialog.accepted.connect(lambda: self._split_at(opened.trace.id, step, old.start + dialog.at))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def _split_at(self, trace_id: int, step: int, at: int) -> None:
        me = self._context.annotator.id
        self._write(lambda c: segmentations.split(c, trace_id, step, at, me), f"step {step + 1} is two steps now")

    def _join(self) -> None:
        opened, step, me = self._page.shown, self._page.step, self._context.annotator.id
        if opened is not None and step is not None:
            words = f"steps {step + 1} and {step + 2} are one step now"
            self._write(lambda c: segmentations.join(c, opened.trace.id, step, me), words)

    def _by_idea(self) -> None:
        opened, me = self._page.shown, self._context.annotator.id
        if opened is not None:
            words = "the steps are cut by idea; undo of steps brings the others back"
            self._write(lambda c: segmentations.by_idea(c, opened.trace.id, me), words)

    def _take_back(self) -> None:
        opened = self._page.shown
        if opened is not None:
            self._write(
                lambda c: segmentations.take_back(c, opened.trace.id), "the last edit of the steps is taken back"
            )

    def _play(self) -> None:
        """Put the trace beside the race on Play, and its problem, reference and budgets into the form there."""
        opened, step = self._page.shown, self._page.step
        if opened is None:
            return
        window = cast("MainWindow", self._page.window())
        self._context.show_page(Page.PLAY)
        cast("PlayPage", window.page_widget(Page.PLAY)).show_recorded(opened.trace.id, step or 0)

    def _send(self) -> None:
        self._context.background.read(self, projects.all_projects, self._on_projects)

    def _on_projects(self, known: tuple[Project, ...]) -> None:
        opened = self._page.shown
        if opened is None:
            return
        if not known:
            self._context.say("there is no project yet: make one on the Data page")
            return
        menu = self._menu("Send to the project")
        for project in known:
            action = QAction(project.name, menu)
            action.triggered.connect(partial(self._put, project, opened.trace.id, self._page.step or 0))
            menu.addAction(action)
        self._pop(menu)

    def _put(self, project: Project, trace_id: int, step: int, _checked: bool = False) -> None:
        def done(_changes: Changes) -> None:
            self._context.settings.update(last_project=project.id)
            self._context.open_trace(Page.LABEL, trace_id, step)

        put = partial(_put_trace, project.id, trace_id)
        self._context.background.write(self, put, done)

    def _menu(self, title: str) -> QMenu:
        menu = QMenu(title, self._page)
        menu.setAccessibleName(title)
        menu.addSection(title)
        menu.aboutToHide.connect(lambda: QTimer.singleShot(0, menu.deleteLater))
        return menu

    def _pop(self, menu: QMenu) -> None:
        view = self._page.steps
        row = view.row_of(view.position)
        top = view.rect_of(row).bottom() if row is not None and row in view.rows_in_sight() else 0
        menu.setActiveAction(menu.actions()[1])
        menu.popup(view.viewport().mapToGlobal(QPoint(self._context.theme.px(78), int(top))))

    def _write(self, verb: object, words: str) -> None:
        """Run a verb; what it refuses is said, not shown as a failure."""
        assert callable(verb)

        def run(c: Connection) -> Changes:
            result: Changes = verb(c)
            return result

        self._context.background.write(
            self, run, lambda _done: self._context.say(words), lambda error: self._context.say(str(error))
        )


def _put_trace(project_id: int, trace_id: int, c: Connection) -> Changes:
    return projects.put_traces(c, project_id, (trace_id,))


def _first_break(text: str) -> int:
    """Behind the first sentence, else the middle."""
    found = text.find(". ")
    return found + 2 if 0 < found < len(text) - 2 else len(text) // 2
