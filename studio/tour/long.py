"""The long form of the tour: a policy that learned a mistake, labels, a PRM, and RL with it, by key presses."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QCheckBox
from sqlalchemy import Connection, select

from studio.domain import Changes
from studio.exchange.demonstrations import PROJECT, make_demonstrations_project
from studio.jobs.values import RunView
from studio.store import projects
from studio.store import schema as s
from studio.tour.guide import Guide, TourError
from studio.tour.journey import TRAINING_PATIENCE, Journey
from studio.tour.plan import Plan
from studio.ui.actions import Page
from studio.ui.data.page import DataPage
from studio.ui.train.page import TrainPage
from studio.ui.train.run_dialog import RunDialog
from studio.ui.train.words import RECIPE_NAMES
from studio.ui.widgets.fields import ChoiceField, ModelField
from studio.ui.widgets.parts import duration
from studio.ui.widgets.spec_form import SpecForm, label_of
from trainer.contract.spec import Value
from trainer.reasoning.demonstrations import DEMONSTRATION_SEED, make_demonstrations

if TYPE_CHECKING:
    from studio.app import Studio

PRM_SIDE, RL_SIDE = "Problems of the PRM", "Problems of RL and its test"
POLICY, LABELS, PRM, RL, ALONE = "Policy", "Labels by the rule", "PRM of the policy", "RL with the PRM", "RL by outcome"
TELL_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Order:
    """One form: what is chosen and typed in it. `models`: the name of a run whose model takes a role."""

    recipe: str
    name: str
    preset: str
    project: str
    values: Mapping[str, Value] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    machine: str = ""


class LongJourney(Journey):
    """The short walk, then the whole loop of training a policy with a PRM."""

    def __init__(self, guide: Guide, studio: Studio, scratch: Path, plan: Plan) -> None:
        super().__init__(guide, studio, scratch)
        self.plan = plan

    def walk(self) -> None:
        """Every stage. Raises TourError at the first that does not come to its end."""
        super().walk()
        self._demonstrations()
        self._teach()
        self._label_by_rule()
        self._judge()
        before, after = self._reinforce(
            "Improve the policy with the PRM", RL, {**self.plan.rl}, {"model": POLICY, "prm": PRM}
        )
        alone = {**self.plan.rl, "updates": self.plan.updates_alone}
        self._reinforce("The same, paid by the outcome alone", ALONE, alone, {"model": POLICY})
        self._compare()
        self.guide.say(
            f"    greedy accuracy {before:.1%} before, {after:.1%} after: {100 * (after - before):+.1f} points"
        )

    # -- the rows -----------------------------------------------------------------------------------------------------

    def _demonstrations(self) -> None:
        guide, made, failed = self.guide, list[float](), list[Exception]()
        with guide.stage("Demonstrations with a mistake") as found:
            self.context.background.call(self.window, self._make_rows, made.append, failed.append)
            guide.wait(lambda: bool(made or failed), "the demonstrations")
            if failed:
                raise TourError(str(failed[0]))
            guide.press("Ctrl+4")
            page = self.page(Page.DATA, DataPage)
            guide.wait(lambda: page.traces.project.findText(PROJECT) >= 0, "the project in the list")
            guide.choose("Project", PROJECT)
            guide.rest(0.5)
            guide.picture("long-demonstrations")
            found(f"{self.plan.demonstrations:,}; the teacher ends right in {made[0]:.1%}")

    def _make_rows(self) -> float:
        """In a thread: the project, and two that share its problems; returns how often the teacher is right."""
        workspace, count = self.context.workspace, self.plan.demonstrations
        make_demonstrations_project(workspace, count=count, stop=self.guide.stop)
        with workspace.database.read() as c:
            project = projects.by_name(c, PROJECT)
            assert project is not None
            placed = s.project_trace.c
            query = select(placed.trace_id).where(placed.project_id == project.id).order_by(placed.position)
            traces = list(c.scalars(query))
        # every problem stands there once, so every second trace is a half that shares no problem with the other
        workspace.database.run(lambda c: _share(c, PRM_SIDE, traces[::2]))
        workspace.database.run(lambda c: _share(c, RL_SIDE, traces[1::2]))
        made = make_demonstrations(count, seed=DEMONSTRATION_SEED)
        return sum(one.wrong is None for one in made) / count

    # -- the runs -----------------------------------------------------------------------------------------------------

    def _teach(self) -> None:
        with self.guide.stage("Teach a policy by them") as found:
            order = Order("sft", POLICY, "Arithmetic demonstrations", PROJECT, self.plan.sft)
            run = self._do(order, "long-sft")
            found(f"{run.summary['test_accuracy']:.1%} of the tokens of unseen demonstrations are what it would write")

    def _label_by_rule(self) -> None:
        with self.guide.stage("Label steps by the arithmetic rule") as found:
            run = self._do(Order("autolabel", LABELS, "Rule", PRM_SIDE, {"algebra": False}), "long-labels")
            wrong, steps = run.summary["rule_wrong"], run.summary["steps"]
            found(f"{wrong:,.0f} of {steps:,.0f} steps are wrong ({wrong / steps:.1%})")

    def _judge(self) -> None:
        with self.guide.stage("Train a PRM on these labels") as found:
            preset, machine = "Stories, 2 minutes", "Machine labels: rule"
            run = self._do(Order("prm", PRM, preset, PRM_SIDE, self.plan.prm, machine=machine), "long-prm")
            auc = run.summary.get("test_auc", math.nan)  # left out where all labels of the split are one
            found(f"AUC {auc:.3f} on its test split; RL and its test have other problems")

    def _reinforce(
        self, title: str, name: str, values: Mapping[str, Value], models: Mapping[str, str]
    ) -> tuple[float, float]:
        """Greedy accuracy on held-out problems before, and on test problems after."""
        with self.guide.stage(title) as found:
            order = Order("rl", name, "Our small policy", RL_SIDE, values, models)
            run = self._do(order, "long-" + name.lower().replace(" ", "-"))
            measured = self.context.jobs.curves(run.id)["validation/accuracy"]
            before, after = float(measured.values[0]), run.summary["test_accuracy"]
            low, high = run.summary["test_accuracy_low"], run.summary["test_accuracy_high"]
            found(f"greedy accuracy {before:.1%} before, {after:.1%} [{low:.1%}, {high:.1%}] on test problems after")
        return before, after

    def _do(self, order: Order, picture: str) -> RunView:
        """Order a run in its form, watch it to its end, photograph both."""
        guide = self.guide
        guide.press("Ctrl+3")
        page = self.page(Page.TRAIN, TrainPage)
        last = max((run.id for run in self.context.jobs.runs()), default=0)
        guide.press("N")
        guide.wait(lambda: page.dialog is not None and page.dialog.isVisible(), "the form")
        dialog = page.dialog
        assert dialog is not None
        self._fill(dialog, order)
        try:
            guide.wait(dialog.start.isEnabled, "the counts of rows")
        except TourError as error:
            raise TourError(f"{error}; the form says: {dialog.panel.problems.text()}") from error
        guide.picture(f"{picture}-form")
        guide.tab_to("Start", whole=True)
        guide.press("Space")
        guide.wait(lambda: any(run.id > last for run in self.context.jobs.runs()), "the run", TRAINING_PATIENCE)
        guide.face(self.window)
        run = self._taken_in(self._watch(max(run.id for run in self.context.jobs.runs())))
        guide.rest(0.5)
        guide.picture(picture)
        return run

    def _watch(self, run_id: int) -> RunView:
        """Say how far it is, until it ends."""
        jobs, told = self.context.jobs, time.monotonic()
        until = told + TRAINING_PATIENCE
        view = jobs.view(run_id)
        self.guide.say(f"    {view.name}: queued on {view.device}")
        while not view.state.is_final:
            self.guide.rest(0.1)
            view = jobs.view(run_id)
            if time.monotonic() > until:
                raise TourError(f"waited {TRAINING_PATIENCE:.0f} s for the run {view.name} to end")
            if time.monotonic() - told >= TELL_SECONDS:
                told = time.monotonic()
                left = "" if view.eta is None else f", about {duration(view.eta)} left"
                self.guide.say(
                    f"    {view.name}: {view.phase or view.state.value} {view.done:,} of {view.total:,}{left}"
                )
        return view

    # -- the form -----------------------------------------------------------------------------------------------------

    def _fill(self, dialog: RunDialog, order: Order) -> None:
        guide = self.guide
        guide.choose("Recipe", RECIPE_NAMES[order.recipe])
        guide.enter("Name", order.name)
        guide.choose("Start from", order.preset)
        guide.tick("Projects", order.project)
        if order.machine:
            guide.choose("Traces nobody rated", order.machine)
        named = {role: self._offered(dialog.form, role, name) for role, name in order.models.items()}
        self._set(dialog.form, {**order.values, **named})

    def _offered(self, form: SpecForm, role: str, run: str) -> str:
        """The newest model of a run of this name, as the form offers it."""
        editor = form.editor(role)
        assert isinstance(editor, ModelField)

        def names() -> list[str]:
            texts = (editor.combo.itemText(place) for place in range(editor.combo.count()))
            return [text for text in texts if text.startswith(f"{run}, ")]

        self.guide.wait(lambda: bool(names()), f"the model of {run!r} to be offered")
        return names()[0]

    def _set(self, form: SpecForm, values: Mapping[str, Value]) -> None:
        """Type every value that the form does not show yet, in the order of the form."""
        guide, shown = self.guide, form.values()
        wanted = [name for name in shown if name in values and values[name] != shown[name]]
        if any(not form.editor(name).isVisibleTo(form) for name in wanted):
            guide.tab_to("Show advanced settings")
            guide.press("Space")
        for name in wanted:
            label, value, editor = label_of(name), values[name], form.editor(name)
            if isinstance(editor, QCheckBox):
                guide.tab_to(label, whole=True)
                guide.press("Space")
            elif isinstance(editor, ChoiceField):
                guide.tab_to(label, whole=True)
                guide.choose(label, str(value))
            else:
                guide.enter(label, f"{value:.12g}" if isinstance(value, float) else str(value))
        missed = {name: form.values()[name] for name in wanted if not _is_shown(form, name, values[name])}
        if missed:
            raise TourError(f"the form of {form.recipe} shows {missed} after {dict(values)} was typed")

    # -- side by side -------------------------------------------------------------------------------------------------

    def _compare(self) -> None:
        guide = self.guide
        with guide.stage("Compare the two") as found:
            page = self.page(Page.TRAIN, TrainPage)
            runs = {run.name: run.id for run in reversed(self.context.jobs.runs())}
            guide.tab_to("Runs", whole=True)
            # a run that is ticked by hand stays ticked when another is chosen
            guide.press("Left Space Space")
            for _ in range(len(runs)):
                if page.table.run_id == runs[RL]:
                    break
                guide.press("Down")
            guide.wait(lambda: {t.run_id for t in page.model.ticked()} == {runs[RL], runs[ALONE]}, "both to be ticked")
            guide.rest(0.5)
            guide.picture("long-curves")
            guide.press("C")
            guide.wait(
                lambda: page.ticked.dialog is not None and page.ticked.dialog.curves is not None, "the comparison"
            )
            guide.press("Alt+C")
            guide.picture("long-compare")
            guide.press("Alt+U")
            guide.choose("Figure to draw", "validation/accuracy")
            guide.picture("long-compare-curves")
            guide.press("Escape")
            guide.face(self.window)
            found(f"{RL} beside {ALONE}")


def _share(c: Connection, name: str, traces: Sequence[int]) -> Changes:
    project = projects.by_name(c, name) or projects.create(c, name)
    return projects.put_traces(c, project.id, traces)


def _is_shown(form: SpecForm, name: str, value: Value) -> bool:
    editor = form.editor(name)
    return editor.combo.currentText() == value if isinstance(editor, ModelField) else form.values()[name] == value
