"""Projects: what is in them, how far the work is; make one, change one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtGui import QTextDocument
from PySide6.QtWidgets import (
    QDialog,
    QFormLayout,
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QPlainTextEdit,
    QSplitter,
    QStackedLayout,
    QTextBrowser,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from studio.domain import Changes, Project, Topic
from studio.store import progress, projects
from studio.store.progress import ProjectProgress
from studio.ui.widgets.fields import NumberField, mark_invalid
from studio.ui.widgets.parts import GAP, MARGIN, EmptyState, Quiet, button, heading

if TYPE_CHECKING:
    from studio.ui.context import Context

HEADS = ("Project", "Traces", "Rated", "Annotations", "Begun", "People", "Overlap")
_NO_HTML = QTextDocument.MarkdownFeature.MarkdownDialectGitHub | QTextDocument.MarkdownFeature.MarkdownNoHTML


class ProjectsTab(QWidget):
    """The projects on the left, the guideline of the chosen one on the right."""

    def __init__(self, context: Context, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._found: tuple[ProjectProgress, ...] = ()
        self.dialog: ProjectDialog | None = None
        self.tree = QTreeWidget(self)
        self.tree.setHeaderLabels(list(HEADS))
        self.tree.setAccessibleName("Projects")
        self.tree.setRootIsDecorated(False)
        self.tree.setUniformRowHeights(True)
        self.tree.header().setStretchLastSection(False)
        self.tree.header().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.tree.currentItemChanged.connect(lambda _new, _old: self._show_guideline())
        self.tree.itemActivated.connect(lambda _item, _column: self.edit())
        self.title = heading("", self)
        self.guideline = QTextBrowser(self)
        self.guideline.setAccessibleName("Guideline of the project")
        self.guideline.setOpenExternalLinks(False)
        self.guideline.setOpenLinks(False)
        self.change = button("Edit…", self.edit, tip="Name, overlap and guideline of the chosen project", parent=self)
        self.empty = EmptyState(
            "No projects yet",
            "A project holds traces that are rated under one guideline.",
            "New project…",
            self.new_project,
            self,
        )
        self._lay_out()
        context.background.changed.connect(self._on_changed)
        self.reload()

    def reload(self) -> None:
        """Count again, in the background."""
        self._context.background.read(self, progress.of_projects, self._show)

    def new_project(self) -> None:
        """Open the form of a new project."""
        self._open(None)

    def edit(self) -> None:
        """Open the form of the chosen project."""
        chosen = self._chosen()
        if chosen is not None:
            self._open(chosen.project)

    def _open(self, project: Project | None) -> None:
        self.dialog = ProjectDialog(self._context, project, self)
        self.dialog.open()

    def _chosen(self) -> ProjectProgress | None:
        item = self.tree.currentItem()
        row = -1 if item is None else self.tree.indexOfTopLevelItem(item)
        return self._found[row] if 0 <= row < len(self._found) else None

    def _show(self, found: tuple[ProjectProgress, ...]) -> None:
        chosen = self._chosen()
        self._found = found
        self.tree.clear()
        for each in found:
            p = each.project
            share = f" ({each.rated / p.traces:.0%})" if p.traces else ""
            figures = (f"{p.traces:,}", f"{each.rated:,}{share}", f"{each.submitted:,}", f"{each.opened:,}")
            line = QTreeWidgetItem(self.tree, [p.name, *figures, str(each.people), str(p.overlap)])
            for column in range(1, len(HEADS)):
                line.setTextAlignment(column, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        for column in range(1, len(HEADS)):
            self.tree.resizeColumnToContents(column)
        self._stack.setCurrentIndex(1 if found else 0)
        ids = [each.project.id for each in found]
        row = ids.index(chosen.project.id) if chosen is not None and chosen.project.id in ids else 0
        item = self.tree.topLevelItem(row)
        if item is not None:
            self.tree.setCurrentItem(item)
        self._show_guideline()

    def _show_guideline(self) -> None:
        chosen = self._chosen()
        self.change.setEnabled(chosen is not None)
        if chosen is None:
            return
        p = chosen.project
        self.title.setText(f"Guideline, version {p.guideline_version}")
        document = self.guideline.document()
        document.setMarkdown(p.guideline or "*This project has no guideline yet.*", _NO_HTML)

    def _on_changed(self, changes: Changes) -> None:
        if changes.touches(Topic.PROJECTS, Topic.TRACES) or (changes.touches(Topic.ANNOTATIONS) and self.isVisible()):
            self.reload()

    def _lay_out(self) -> None:
        left, right = QWidget(self), QWidget(self)
        list_column, text_column = QVBoxLayout(left), QVBoxLayout(right)
        for column in (list_column, text_column):
            column.setContentsMargins(0, 0, 0, 0)
            column.setSpacing(8)
        list_column.addWidget(self.tree, 1)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        buttons.addWidget(self.change)
        buttons.addWidget(button("New project…", self.new_project, primary=True, parent=self))
        list_column.addLayout(buttons)
        text_column.addWidget(self.title)
        text_column.addWidget(self.guideline, 1)
        split = QSplitter(Qt.Orientation.Horizontal, self)
        split.setHandleWidth(14)
        split.addWidget(left)
        split.addWidget(right)
        split.setSizes([640, 380])
        place = QWidget(self)
        self._stack = QStackedLayout(place)
        self._stack.addWidget(self.empty)
        self._stack.addWidget(split)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, GAP, 0, 0)
        outer.addWidget(place)


class ProjectDialog(QDialog):
    """Name, overlap and guideline of a project, with the guideline as people will read it."""

    def __init__(self, context: Context, project: Project | None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._context = context
        self._project = project
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle("New project" if project is None else f"Project “{project.name}”")
        self.resize(840, 560)
        self.name = QLineEdit("" if project is None else project.name, self)
        self.overlap = NumberField(1 if project is None else project.overlap, whole=True, low=1, high=100, parent=self)
        self.text = QPlainTextEdit("" if project is None else project.guideline, self)
        self.text.setPlaceholderText("What counts as negative, neutral and positive here? Markdown.")
        self.preview = QTextBrowser(self)
        self.preview.setOpenLinks(False)
        self.preview.setAccessibleName("The guideline as it is read")
        self.problem = Quiet("", self)
        self.problem.setProperty("role", "error")
        self.save = button("Create" if project is None else "Save", self._on_save, primary=True, parent=self)
        self._lay_out()
        self.text.textChanged.connect(self._show_preview)
        self.name.textChanged.connect(lambda _text: self._check())
        self.overlap.changed.connect(self._check)
        self._show_preview()
        self._check()

    def _check(self) -> None:
        problem = self.overlap.problem()
        mark_invalid(self.overlap, bool(problem))
        self.problem.setText(f"Overlap: {problem}." if problem else "")
        self.save.setEnabled(bool(self.name.text().strip()) and not problem)

    def _show_preview(self) -> None:
        self.preview.document().setMarkdown(self.text.toPlainText(), _NO_HTML)

    def _on_save(self) -> None:
        self.save.setEnabled(False)
        values = {"name": self.name.text(), "overlap": self.overlap.number(), "guideline": self.text.toPlainText()}
        project = self._project

        def verb(c: object) -> object:
            if project is None:
                return projects.create(c, **values)  # type: ignore[arg-type]
            return projects.update(c, project.id, **values)  # type: ignore[arg-type]

        self._context.background.write(self, verb, self._on_saved, self._on_failed)

    def _on_saved(self, _result: object) -> None:
        made = self._project is None
        if made:  # `create` returns the project, not what changed
            self._context.workspace.database.publish(_PROJECTS_CHANGED)
        self._context.say(f"Project “{self.name.text().strip()}” {'created' if made else 'saved'}")
        self.accept()

    def _on_failed(self, error: Exception) -> None:
        self.problem.setText(str(error))
        self.save.setEnabled(True)

    def _lay_out(self) -> None:
        form = QFormLayout()
        form.setHorizontalSpacing(14)
        form.setVerticalSpacing(10)
        form.addRow("Name", self.name)
        form.addRow("Overlap", self.overlap)
        form.addRow("", Quiet("How many people rate each trace.", self))
        sides = QSplitter(Qt.Orientation.Horizontal, self)
        sides.setHandleWidth(12)
        sides.addWidget(self.text)
        sides.addWidget(self.preview)
        foot = QHBoxLayout()
        foot.addWidget(self.problem, 1)
        foot.addWidget(button("Cancel", self.reject, parent=self))
        foot.addWidget(self.save)
        column = QVBoxLayout(self)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(GAP)
        column.addLayout(form)
        column.addWidget(heading("Guideline", self))
        column.addWidget(sides, 1)
        column.addLayout(foot)


_PROJECTS_CHANGED = Changes(frozenset({Topic.PROJECTS}))
