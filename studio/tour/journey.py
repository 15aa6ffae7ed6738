"""The stages of the guided tour, in the order of the journey: data, rating, training, scoring, reading."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from PySide6.QtWidgets import QApplication, QDialog

from studio.exchange import exporter
from studio.exchange.sample import COMPETITION, STORIES
from studio.jobs import runtime
from studio.jobs.values import RunView
from studio.store import projects
from studio.tour import measuring
from studio.tour.guide import Guide, TourError
from studio.tour.playing import play
from studio.ui.actions import Page
from studio.ui.data.page import DataPage
from studio.ui.inspect.page import InspectPage
from studio.ui.label.page import LabelPage
from studio.ui.train.packages import PackagesState
from studio.ui.train.page import TrainPage
from trainer.contract.records import RunState

if TYPE_CHECKING:
    from studio.app import Studio

W = TypeVar("W", bound=object)
IMPORTED = "PRM800K rows"
TRAINING_PATIENCE = 3_600.0
PACKAGES_PATIENCE = 3_600.0


class Journey:
    """One walk through the window."""

    def __init__(self, guide: Guide, studio: Studio, scratch: Path) -> None:
        assert studio.window is not None
        assert studio.context is not None
        self.guide, self.studio, self.scratch = guide, studio, scratch
        self.window, self.context = studio.window, studio.context

    def walk(self) -> None:
        """Every stage. Raises TourError at the first that does not come to its end."""
        self._sample()
        self._import()
        self._label()
        self._export()
        self._train()
        self._score()
        self._inspect()
        play(self.guide, self.window)
        measuring.evaluate(self)

    def _sample(self) -> None:
        with self.guide.stage("Sample workspace") as found:
            self.studio.fill_with_sample()
            self.guide.wait(lambda: self._project_traces(STORIES) > 0, "the sample projects")
            for name in (COMPETITION, STORIES):
                found(f"{name}: {self._project_traces(name):,} traces")

    # -- data ---------------------------------------------------------------------------------------------------------

    def _import(self) -> None:
        file = self.scratch / "prm800k.jsonl"
        rows = self._write_rows(file)
        guide = self.guide
        with guide.stage("Import PRM800K, with a dry run") as found:
            guide.press("Ctrl+I")
            page = self.page(Page.DATA, DataPage)
            guide.wait(lambda: isinstance(QApplication.activeWindow(), QDialog), "the import dialog")
            dialog = page.import_dialog
            assert dialog is not None
            guide.answer_file_dialog(file)
            guide.tab_to("Choose files")
            guide.press("Space")
            guide.wait(lambda: dialog.report.report is not None and dialog.child is None, "the dry run")
            guide.face(dialog)
            guide.tab_to("Project")
            guide.press("Ctrl+A")
            guide.type(IMPORTED)
            guide.picture("import-dry-run")
            checked = dialog.report.report
            assert checked is not None
            guide.tab_to("Import")
            guide.press("Space")
            guide.wait(lambda: dialog.report.report is not checked and dialog.child is None, "the import")
            guide.picture("import-done")
            report = dialog.report.report
            assert report is not None
            if (report.imported, report.broken) != (rows, 1):
                raise TourError(f"{report.imported} of {rows} rows came in, {report.broken} broken (one was planted)")
            found(f"{report.imported} rows in, 1 broken row named by file and line")
            guide.press("Escape")
            guide.wait(lambda: page.import_dialog is None, "the dialog to close")
            guide.face(self.window)

    def _write_rows(self, file: Path) -> int:
        """A PRM800K file of the sample's own ratings with one broken row in it; returns the number of good rows."""
        with self.context.workspace.database.read() as c:
            project = projects.by_name(c, COMPETITION)
            assert project is not None
            lines = list(exporter.encoded(c, exporter.ExportQuery(project=project.id)))
        lines.insert(len(lines) // 2, b'{"labeler": "cut off in the mid\n')
        file.write_bytes(b"".join(lines))
        return len(lines) - 1

    # -- rating -------------------------------------------------------------------------------------------------------

    def _label(self) -> None:
        guide = self.guide
        with guide.stage("Rate steps from the keyboard") as found:
            guide.press("Ctrl+1")
            page = self.page(Page.LABEL, LabelPage)
            guide.press("Ctrl+L")
            guide.rest(0.3)
            guide.type(COMPETITION)
            guide.press("Return")
            self._painted(page, COMPETITION)
            guide.press("3")
            guide.picture("label")
            self._rate_one(page)
            self._painted(page, COMPETITION)
            first = self._open(page)
            guide.press("3 1")
            guide.press("Up 2")  # the first step is corrected in place
            self._saved(page)
            guide.picture("label-first-negative")
            guide.press("Return")
            guide.wait(lambda: self._open(page) != first, "the next trace")
            self._painted(page, COMPETITION)
            guide.press("Ctrl+Z")
            guide.wait(lambda: self._open(page) == first, "undo to bring the submitted trace back")
            guide.picture("label-undone")
            guide.press("Ctrl+Shift+Z")
            guide.wait(lambda: page.work is not None and page.work.is_submitted, "redo to submit it again")
            guide.press("Return")
            guide.wait(lambda: self._open(page) != first, "the next trace")
            guide.command("Theme: dark")
            self._painted(page, COMPETITION)
            guide.picture("label-dark")
            guide.command("Theme: light")
            for _ in range(4):
                self._rate_one(page)
            found("6 traces rated, one corrected, undone and redone across its submit")

    def _rate_one(self, page: LabelPage) -> None:
        """All steps positive, then submit."""
        self._painted(page, COMPETITION)
        before = self._open(page)
        work = page.work
        assert work is not None
        for _ in range(len(work.trace.segmentation.steps)):
            self.guide.press("3")
        self._saved(page)
        self.guide.press("Return")
        self.guide.wait(lambda: self._open(page) != before, "the next trace")

    def _painted(self, page: LabelPage, project: str) -> None:
        def ready() -> bool:
            chosen = page.desk.project
            return chosen is not None and chosen.name == project and page.work is not None and page.is_painted

        self.guide.wait(ready, "the trace to be painted")

    def _saved(self, page: LabelPage) -> None:
        self.guide.wait(lambda: not self.context.background.writes_waiting, "the commits")

    def _open(self, page: LabelPage) -> int:
        return 0 if page.work is None else page.work.trace.id

    def _export(self) -> None:
        guide = self.guide
        out = self.scratch / "export.jsonl"
        with guide.stage("Export PRM800K") as found:
            guide.press("Ctrl+E")
            page = self.page(Page.DATA, DataPage)
            guide.wait(lambda: isinstance(QApplication.activeWindow(), QDialog), "the export dialog")
            dialog = page.export_dialog
            assert dialog is not None
            guide.wait(lambda: dialog.project.count() > 1, "the projects")
            guide.choose("Project", IMPORTED)
            guide.tab_to("File")
            guide.press("Ctrl+A")
            guide.type(str(out))
            guide.tab_to("Export")
            guide.press("Space")
            guide.wait(lambda: out.exists() and dialog.child is None, "the file")
            guide.picture("export")
            same = _rows(out) == [row for row in _rows(self.scratch / "prm800k.jsonl") if row is not None]
            if not same:
                raise TourError("the export differs from what was imported")
            found(f"{len(_rows(out))} rows, equal to the file that was imported")
            guide.press("Escape")
            guide.wait(lambda: page.export_dialog is None, "the dialog to close")
            guide.face(self.window)

    # -- training and scoring -----------------------------------------------------------------------------------------

    def _train(self) -> None:
        guide = self.guide
        with guide.stage("Training packages") as found:
            guide.press("Ctrl+3")
            page = self.page(Page.TRAIN, TrainPage)
            guide.picture("train-empty")
            self._wait_for_packages()
            found("there")
        with guide.stage("Train a PRM on the stories") as found:
            guide.press("N")
            guide.wait(lambda: page.dialog is not None and page.dialog.isVisible(), "the form")
            guide.choose("Start from", "Stories")
            guide.tick("Projects", STORIES)
            dialog = page.dialog
            assert dialog is not None
            guide.wait(lambda: dialog.start.isEnabled(), "the counts of rows")
            guide.picture("train-form")
            guide.tab_to("Start")
            guide.press("Space")
            guide.wait(lambda: self.run("prm") is not None, "the run")
            guide.face(self.window)
            guide.wait(self._halfway, "curves", TRAINING_PATIENCE)
            guide.picture("train-running")
            run = self.finished("prm")
            guide.rest(0.5)
            guide.picture("train")
            guide.command("Theme: dark")
            guide.picture("train-dark")
            guide.command("Theme: light")
            auc, words = (run.summary[f"test_{name}"] for name in ("auc", "baseline_tfidf_auc"))
            found(f"AUC on the test split {auc:.3f}; TF-IDF + logistic regression has {words:.3f}")

    def _wait_for_packages(self) -> None:
        packages, until = self.context.packages, self.guide.seconds + PACKAGES_PATIENCE
        while not runtime.check(self.context.settings.interpreter or None).ready:
            if packages.state in (PackagesState.MISSING, PackagesState.BROKEN):
                raise TourError(f"the training packages could not be installed: {packages.text}")
            if self.guide.seconds > until:
                raise TourError(f"the training packages did not come within {PACKAGES_PATIENCE:.0f} s")
            self.guide.rest(2.0)

    def _halfway(self) -> bool:
        """The curves have something to show."""
        run = self.run("prm")
        assert run is not None
        measured = self.context.jobs.curves(run.id).get("validation/auc")
        return run.state.is_final or (measured is not None and len(measured.steps) >= 4)

    def _score(self) -> None:
        guide = self.guide
        with guide.stage("Score the stories with it") as found:
            page = self.page(Page.TRAIN, TrainPage)
            guide.press("S")
            guide.wait(lambda: page.dialog is not None and page.dialog.isVisible(), "the form")
            dialog = page.dialog
            assert dialog is not None
            guide.tick("Projects", STORIES)
            guide.wait(lambda: dialog.start.isEnabled(), "the counts of rows")
            guide.tab_to("Start")
            guide.press("Space")
            guide.wait(lambda: self.run("score") is not None, "the run")
            guide.face(self.window)
            run = self.finished("score")
            if not run.records:
                raise TourError("the run left no scores in the store")
            found(f"{run.records:,} traces scored")

    def run(self, recipe: str) -> RunView | None:
        """The newest run of a recipe."""
        return next((run for run in self.context.jobs.runs() if run.recipe == recipe), None)

    def finished(self, recipe: str) -> RunView:
        """The newest run of a recipe, once it has ended and its results are in the store. Raises TourError."""

        def over() -> bool:
            run = self.run(recipe)
            return run is not None and run.state.is_final

        self.guide.wait(over, f"the {recipe} run to end", TRAINING_PATIENCE)
        run = self.run(recipe)
        assert run is not None
        return self._taken_in(run)

    def _taken_in(self, run: RunView) -> RunView:
        """A run that ended, once its results are in the store. Raises TourError for one that failed."""
        if run.state is not RunState.FINISHED:
            raise TourError(
                f"the {run.recipe} run is {run.state.value}: {run.message}\n{self.context.jobs.log_tail(run.id)}"
            )
        self.guide.wait(lambda: self.context.jobs.view(run.id).ingested, "its results in the store")
        return self.context.jobs.view(run.id)

    # -- reading ------------------------------------------------------------------------------------------------------

    def _inspect(self) -> None:
        guide = self.guide
        with guide.stage("Read scores beside ratings") as found:
            guide.press("Ctrl+2")
            page = self.page(Page.INSPECT, InspectPage)
            guide.choose("Project", STORIES)
            guide.choose("Sorted by", "lowest score")
            guide.wait(lambda: page.traces.model.rowCount() > 0, "the list")
            guide.rest(0.3)
            guide.press("Alt+Down")
            guide.wait(lambda: page.shown is not None and bool(page.shown.lines), "a scored trace")
            guide.press("J N")
            guide.rest(0.5)
            guide.picture("inspect")
            guide.command("Theme: dark")
            guide.picture("inspect-dark")
            guide.command("Theme: light")
            assert page.shown is not None
            found(f"{len(page.shown.lines)} scorer on the trace, {page.shown.count} steps")

    # -- small things -------------------------------------------------------------------------------------------------

    def page(self, page: Page, kind: type[W]) -> W:
        """The widget of a page, once it is shown."""
        self.guide.wait(lambda: self.window.page is page, f"the page {page.value}")
        widget = self.window.page_widget(page)
        assert isinstance(widget, kind)
        return widget

    def _project_traces(self, name: str) -> int:
        with self.context.workspace.database.read() as c:
            project = projects.by_name(c, name)
        return 0 if project is None else project.traces


def _rows(file: Path) -> list[object]:
    """The JSON rows of a file; None for a row that is none."""
    rows: list[object] = []
    for line in file.read_text("utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            rows.append(None)
    return rows
