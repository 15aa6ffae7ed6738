"""The form of a new run: a recipe, its settings, rows with live counts, an estimate, Start."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QCloseEvent
from PySide6.QtWidgets import (
    QComboBox,
    QDialog,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLineEdit,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from studio.errors import CancelledError, RunError
from studio.jobs import user_code
from studio.jobs.grid import axes_of, points
from studio.jobs.prepare import LEARN_FROM_RATINGS
from studio.jobs.roles import roles_of
from studio.jobs.user_code import UserCode
from studio.jobs.values import Preview, RunOrder, RunView
from studio.store import models
from studio.store.models import StoredModel
from studio.ui.train.consent_dialog import ConsentDialog
from studio.ui.train.flags_warning import warn_of_flags
from studio.ui.train.presets import PRESETS
from studio.ui.train.preview_panel import PreviewPanel
from studio.ui.train.selection_form import SelectionForm
from studio.ui.train.where_form import WhereForm
from studio.ui.train.words import RECIPE_ABOUT, RECIPE_NAMES, local_time
from studio.ui.widgets.fields import ChoiceField, ModelField, mark_invalid
from studio.ui.widgets.parts import MARGIN, Quiet, align_labels, button, heading, plural
from studio.ui.widgets.spec_form import SpecForm, label_of
from trainer.contract.spec import Value, is_code

if TYPE_CHECKING:
    from studio.ui.context import Context

PREVIEW_AFTER_MS = 300
BODY_MODELS = ("tiny", "HuggingFaceTB/SmolLM2-135M", "Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-Math-1.5B")


class RunDialog(QDialog):
    """Order a run of a recipe; choosing another recipe changes the form under it.

    Signals:
        created(RunView): the run is queued.
    """

    created = Signal(object)
    _told = Signal(str)

    def __init__(
        self,
        context: Context,
        recipe: str,
        *,
        devices: tuple[str, ...] = ("cpu",),
        values: dict[str, Value] | None = None,
        projects: tuple[str, ...] = (),
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._context = context
        self._asked = 0
        self._preview: Preview | None = None
        self._creating = False
        self._stop = False
        self._models: tuple[StoredModel, ...] = ()
        self.consent: ConsentDialog | None = None
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(1080, 760)
        self.recipes = ChoiceField(self)
        for name, words in RECIPE_NAMES.items():
            self.recipes.addItem(words, name)
        self.about = Quiet("", self)
        self.name = QLineEdit(self)
        self.name.setPlaceholderText("named by its recipe and number unless you name it")
        self.grid = QLineEdit(self)
        self.grid.setPlaceholderText("one run; or a grid of them: rate=1e-4, 3e-4; seed=0, 1, 2")
        self.grid_about = Quiet("", self)
        self.device = QComboBox(self)
        self.device.addItems([*devices])
        self.where = WhereForm(context.settings, recipe, self)
        self._devices = devices
        self.preset = QComboBox(self)
        self.preset_about = Quiet("", self)
        self.start = button("Start", self._on_start, tip="Queue the run on its device", primary=True, parent=self)
        self.cancel = button("Close", self.reject, parent=self)
        self.status = Quiet("", self)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PREVIEW_AFTER_MS)
        self._lay_out()
        self._make_parts(recipe, projects)
        self._connect()
        self.name.setFocus()
        self._on_preset()
        if values:
            self.form.set_values(values)
        context.background.read(self, models.all_models, self._on_models)

    def _make_parts(self, recipe: str, projects: tuple[str, ...]) -> None:
        """What depends on the recipe: presets, settings, rows and their counts."""
        self.recipe = recipe
        self.where.set_recipe(recipe)
        self.setWindowTitle(RECIPE_NAMES[recipe])
        self.recipes.setCurrentIndex(self.recipes.findData(recipe))
        self.about.setText(RECIPE_ABOUT[recipe])
        self.preset.clear()
        for each in PRESETS[recipe]:
            self.preset.addItem(each.name, each)
        for widget in (self.preset, self.preset_about):
            self._top.setRowVisible(widget, len(PRESETS[recipe]) > 1)
        labelled = recipe in LEARN_FROM_RATINGS
        bodies = {role.name: BODY_MODELS for role in roles_of(recipe) if role.scratch}
        self.rows = SelectionForm(
            self._context,
            labelled=labelled,
            rewards=recipe in ("prm", "orm"),
            candidates=recipe == "prm",
            ticked=projects,
            parent=self,
        )
        self.form = SpecForm(recipe, models=bodies, parent=self)
        if recipe == "rl":
            warn_of_flags(self.form)
        self.panel = PreviewPanel(self._context.theme, recipe, parent=self)
        self._rows_place.addWidget(self.rows)
        self._form_place.addWidget(self.form)
        self._panel_place.addWidget(self.panel)
        self.form.changed.connect(self._on_changed)
        self.rows.changed.connect(self._on_changed)
        QWidget.setTabOrder(self.form.last_editor, self.cancel)
        QWidget.setTabOrder(self.cancel, self.start)

    def _on_recipe(self) -> None:
        """Another recipe: other parts, the same projects."""
        recipe = str(self.recipes.currentData())
        if recipe == self.recipe:
            return
        projects, old = self.rows.projects.ticked(), (self.form, self.rows, self.panel)
        blocked = self.preset.blockSignals(True)
        self._make_parts(recipe, projects)
        self.preset.blockSignals(blocked)
        for widget in old:
            widget.hide()
            widget.deleteLater()
        self._offer_models()
        self._on_preset()

    def _connect(self) -> None:
        self._told.connect(self.status.setText)
        self._timer.timeout.connect(self._on_preview_due)
        self.recipes.currentIndexChanged.connect(lambda _index: self._on_recipe())
        self.preset.currentIndexChanged.connect(lambda _index: self._on_preset())
        self.device.currentIndexChanged.connect(lambda _index: self._on_changed())
        self.where.changed.connect(self._on_changed)
        self.where.placeChanged.connect(self._on_place)
        self.grid.textEdited.connect(lambda _text: self._on_changed())
        self._context.packages.changed.connect(self._show_start)

    def _on_place(self, elsewhere: bool) -> None:
        """The devices of another machine are not known: a GPU there, or its processor."""
        blocked = self.device.blockSignals(True)
        self.device.clear()
        self.device.addItems(["cuda", "cpu"] if elsewhere else [*self._devices])
        self.device.blockSignals(blocked)

    def order(self) -> RunOrder:
        """What the form asks for now."""
        return RunOrder(
            self.recipe,
            dict(self.form.values()),
            self.rows.selection(),
            self.name.text().strip(),
            self.device.currentText(),
            launch=self.where.launch(),
        )

    def orders(self) -> tuple[RunOrder, ...]:
        """All runs that the form asks for now: one, or every point of the grid. Raises RunError."""
        return points(self.order(), axes_of(self.recipe, (self.grid.text(),)))

    def closeEvent(self, event: QCloseEvent) -> None:
        """While the rows are being frozen, closing cancels that."""
        if self._creating:
            self._stop = True
            event.ignore()
        else:
            super().closeEvent(event)

    def reject(self) -> None:
        """Escape and Close; while the rows are being frozen, Cancel."""
        if self._creating:
            self._stop = True
            self.status.setText("Cancelling…")
        else:
            super().reject()

    def _on_models(self, found: tuple[StoredModel, ...]) -> None:
        self._models = found
        self._offer_models()

    def _offer_models(self) -> None:
        """The models made here in the fields where they fit; the newest where one must be chosen."""
        values = self.form.values()
        for role in roles_of(self.recipe):
            field = self.form.editor(role.name)
            assert isinstance(field, ModelField)
            fitting = [model for model in self._models if model.kind in role.kinds]
            for model in fitting:
                field.add_known(f"{model.name}, {local_time(model.created_at)}", model.folder)
            if fitting and role.required and not values[role.name]:
                values[role.name] = fitting[0].folder
        self.form.set_values(values)

    def _on_preset(self) -> None:
        preset = self.preset.currentData()
        self.preset_about.setText(f"{preset.about}.")
        values = self.form.values()
        chosen = {role.name: values[role.name] for role in roles_of(self.recipe) if not role.scratch}
        self.form.set_values({**chosen, **preset.values})

    def _on_changed(self) -> None:
        self._asked += 1
        self._preview = None
        wrong = self._check_grid()
        invalid = self.form.invalid()
        if invalid or wrong:
            self._timer.stop()
            why = invalid[0].problem if invalid else wrong
            self.panel.show_problem(f"Nothing can be counted until this is mended:\n{why}")
        else:
            self.panel.show_busy()
            self._timer.start()
        self._show_start()

    def _check_grid(self) -> str:
        """Say how many runs the grid makes; what is wrong with it, empty when nothing is."""
        try:
            axes = axes_of(self.recipe, (self.grid.text(),))
            count = len(points(self.order(), axes))
        except RunError as error:
            self._top.setRowVisible(self.grid_about, False)
            mark_invalid(self.grid, True)
            return str(error)
        mark_invalid(self.grid, False)
        self._top.setRowVisible(self.grid_about, bool(axes))
        ways = " by ".join(f"{len(axis.values)} of {label_of(axis.name)}" for axis in axes)
        self.grid_about.setText(f"{plural(count, 'run')}: {ways}. Compare them with C when they have ended.")
        return ""

    def _on_preview_due(self) -> None:
        asked, orders, jobs = self._asked, self.orders(), self._context.jobs
        self._context.background.call(
            self,
            lambda: jobs.preview_all(orders, lambda _done, _total: self._still_wanted(asked)),
            lambda preview: self._on_preview(asked, preview),
            lambda error: self._on_preview_failed(asked, error),
        )

    def _still_wanted(self, asked: int) -> None:
        """Called in the thread that counts; raising there ends a count that nobody waits for."""
        if asked != self._asked:
            raise CancelledError("another selection is counted")

    def _on_preview(self, asked: int, preview: Preview) -> None:
        if asked == self._asked:
            self._preview = preview
            self.panel.show_preview(preview)
            self._show_start()

    def _on_preview_failed(self, asked: int, error: Exception) -> None:
        if asked == self._asked:
            self.panel.show_problem(str(error))

    def _show_start(self) -> None:
        ready = self._preview is not None and not self._preview.problems and self._preview.counts.rows > 0
        allowed = self._context.packages.allows_start
        self.start.setEnabled(ready and not self._creating and allowed)
        if not self._creating:
            self.status.setText("" if allowed else "Start has to wait for the training packages.")
        self.cancel.setText("Cancel" if self._creating else "Close")

    def _on_start(self) -> None:
        orders = self.orders()
        if not any(is_code(str(each.parameters.get(role, ""))) for each in orders for role in user_code.ROLES):
            self._create(orders)
            return
        self.start.setEnabled(False)  # until the files are read
        self._context.background.call(
            self, lambda: _codes_of(orders), lambda codes: self._ask_consent(orders, codes), self._on_failed
        )

    def _ask_consent(self, orders: tuple[RunOrder, ...], codes: tuple[UserCode, ...]) -> None:
        self._show_start()
        self.consent = ConsentDialog(codes, self)
        self.consent.agreed.connect(lambda sums: self._create(tuple(replace(o, consents=sums) for o in orders)))
        self.consent.open()

    def _create(self, orders: tuple[RunOrder, ...]) -> None:
        self._creating = True
        self._stop = False
        self._show_start()
        self.status.setText("Freezing the rows into the run folder…")
        jobs = self._context.jobs
        self._context.background.call(
            self, lambda: jobs.create_all(orders, self._tell), self._on_created, self._on_failed
        )

    def _tell(self, phase: str, done: int, total: int) -> None:
        """Called in the thread that creates the run; raising there stops it, and leaves nothing."""
        if self._stop:
            raise CancelledError("cancelled; no run was made")
        self._told.emit(f"{phase}: {done:,} of {total:,}" if total else phase)

    def _on_created(self, views: tuple[RunView, ...]) -> None:
        self._creating = False
        self.created.emit(views[0])
        self.accept()

    def _on_failed(self, error: Exception) -> None:
        self._creating = False
        self.status.setText("")
        self._show_start()
        if isinstance(error, CancelledError):
            self._context.say("Cancelled: no run was made")
            return
        self.panel.show_problem(str(error))
        self._context.fail(error)

    def _lay_out(self) -> None:
        self._top = top = QFormLayout()
        top.setHorizontalSpacing(14)
        top.setVerticalSpacing(10)
        top.addRow("Recipe", self.recipes)
        top.addRow("", self.about)
        top.addRow("Name", self.name)
        top.addRow("Where it runs", self.where)
        top.addRow("Device", self.device)
        top.addRow("Grid", self.grid)
        top.addRow("", self.grid_about)
        top.setRowVisible(self.grid_about, False)
        top.addRow("Start from", self.preset)
        top.addRow("", self.preset_about)
        align_labels(top)
        self._rows_place, self._form_place, self._panel_place = _place(), _place(), _place()
        left, aside = QWidget(self), QWidget(self)
        column = QVBoxLayout(left)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        column.setSpacing(18)
        column.addLayout(top)
        column.addWidget(heading("Rows", left, size=1.15))
        column.addLayout(self._rows_place)
        column.addWidget(heading("Settings", left, size=1.15))
        column.addLayout(self._form_place, 1)
        aside.setLayout(self._panel_place)
        foot = QHBoxLayout()
        foot.addWidget(self.status, 1)
        foot.addWidget(self.cancel)
        foot.addWidget(self.start)
        right = QVBoxLayout()
        right.setContentsMargins(0, MARGIN, MARGIN, MARGIN)
        right.addWidget(_scrolled(aside), 1)
        right.addLayout(foot)
        outer = QHBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(MARGIN)
        outer.addWidget(_scrolled(left), 3)
        outer.addLayout(right, 2)


def _codes_of(orders: tuple[RunOrder, ...]) -> tuple[UserCode, ...]:
    """The user's files that any point of a grid names, each once."""
    return tuple(dict.fromkeys(code for order in orders for code in user_code.codes_of(order)))


def _place() -> QVBoxLayout:
    """Where a part of the recipe stands."""
    layout = QVBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    return layout


def _scrolled(inner: QWidget) -> QScrollArea:
    area = QScrollArea()
    area.setWidget(inner)
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    return area
