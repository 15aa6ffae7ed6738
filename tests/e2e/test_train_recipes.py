"""Every recipe starts from one form: its own rows, models by role, warnings; own code runs by consent alone."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from pytestqt.qtbot import QtBot
from sqlalchemy import text

from studio.exchange.demonstrations import PROJECT, make_demonstrations_project
from studio.jobs.values import Curve, RunView
from studio.store import models, projects, traces
from studio.store.traces import TraceQuery
from studio.ui.train.chart_sets import REINFORCEMENT, TEACHING
from studio.ui.train.consent_dialog import ConsentDialog
from studio.ui.train.page import TrainPage
from studio.ui.train.run_dialog import RunDialog
from studio.ui.widgets.code_field import CodeField
from studio.ui.widgets.fields import ModelField
from studio.workspace import Workspace
from tests.e2e.data_desk import click, picture, story_workspace, train_page
from tests.e2e.seat import Seat
from trainer.contract.records import RunState, Split
from trainer.contract.run_folder import RunFolder
from trainer.reasoning.demonstrations import DEMONSTRATION_SEED, make_demonstrations
from trainer.reasoning.split import fold_of, split_of

SHORT = {"max_steps": 4, "batch_size": 4, "max_length": 128, "threads": 1, "eval_every": 4, "checkpoint_every": 4}
REWARD = '''"""A reward of my own."""


def half(judgement):
    """The same for every trace."""
    return 0.5
'''


def demonstrations(folder: Path, count: int = 60) -> dict[Split, set[str]]:
    """Put demonstrations with marked thinking into the workspace; their problems by split."""
    with Workspace.open(folder) as workspace:
        make_demonstrations_project(workspace, count=count)
    made = list(make_demonstrations(count, seed=DEMONSTRATION_SEED))
    return {split: {d.problem for d in made if split_of(fold_of(d.problem)) is split} for split in Split}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return story_workspace(tmp_path / "workspace", 60)


def counted(seat: Seat, dialog: RunDialog) -> None:
    """Wait until the counts belong to what the form says now."""
    seat.wait(lambda: dialog._preview is not None and not dialog.panel.busy.isVisible())


def fill(seat: Seat, page: TrainPage, recipe: str, project: str, **values: object) -> RunDialog:
    """The form of a recipe with one project ticked, as far as Start."""
    dialog = page.new_run(values=None)
    dialog.recipes.setCurrentIndex(dialog.recipes.findData(recipe))
    seat.wait(lambda: dialog.rows.projects.count() == 2)
    dialog.rows.projects.tick(project)
    dialog.form.set_values({**dialog.form.values(), **values})
    dialog.name.setText(f"my {recipe}")
    counted(seat, dialog)
    return dialog


def finished(seat: Seat, page: TrainPage, before: int) -> RunView:
    """The run that comes after `before`, when it has finished and is in the store."""

    def there() -> bool:
        view = page.panel.view
        if view is None or view.id <= before:
            return False
        if view.state in (RunState.FAILED, RunState.CRASHED):
            raise AssertionError(f"{view.message}\n{seat.context.jobs.log_tail(view.id)}")
        return view.state is RunState.FINISHED and view.ingested

    seat.wait(there)
    assert page.panel.view is not None
    return page.panel.view


def test_from_demonstrations_to_a_better_policy(qtbot: QtBot, folder: Path, tmp_path: Path) -> None:
    problems = demonstrations(folder)
    code = tmp_path / "mine.py"
    code.write_text(REWARD)
    with Seat(qtbot, folder) as seat:
        page = train_page(seat)
        dialog = fill(seat, page, "sft", PROJECT, **SHORT, model="tiny", rate=3e-3)
        seat.wait(dialog.start.isEnabled)
        click(dialog.start)
        policy = finished(seat, page, 0)
        row = next(RunFolder(folder / policy.folder).read_input())
        assert row.response is not None
        assert row.response.startswith("<think>\n"), "the policy is taught what stands in the trace"

        dialog = fill(seat, page, "prm", "Arithmetic stories", **SHORT, model="tiny")
        seat.wait(dialog.start.isEnabled)
        click(dialog.start)
        prm = finished(seat, page, policy.id)

        dialog = fill(seat, page, "rl", PROJECT, updates=2, prompts=2, traces=2, max_thinking=32, max_answer=8)
        _models_are_offered_where_they_fit(dialog, policy, prm)
        _the_form_warns(seat, dialog)
        for name in ("light", "dark"):
            seat.context.theme.use(name)
            picture(dialog, f"new-rl-{name}")
        run = _start_with_own_reward(seat, page, dialog, code, prm)
        _what_it_wrote_is_in_the_store(seat, run, problems[Split.TEST])
        _each_recipe_has_its_own_charts(seat, page, policy, run)


def _each_recipe_has_its_own_charts(seat: Seat, page: TrainPage, policy: RunView, run: RunView) -> None:
    curves = page.panel.curves
    for view, charts in ((policy, TEACHING), (run, REINFORCEMENT)):
        page.table.choose(view.id)
        titles = [spec.title for spec in charts.charts]
        seat.wait(
            lambda titles=titles: curves.grid is not None and [c.spec.title for c in curves.grid.charts] == titles
        )
        key = charts.charts[0].lines[0].key
        seat.wait(lambda key=key: any(len(drawn.curves.get(key, _NONE).steps) for drawn in curves._drawn))
        for name in ("light", "dark"):
            seat.context.theme.use(name)
            picture(seat.window, f"curves-{view.recipe}-{name}")


_NONE = Curve(np.zeros(0, np.int64), np.zeros(0))


def _models_are_offered_where_they_fit(dialog: RunDialog, policy: RunView, prm: RunView) -> None:
    offered = {}
    for role in ("model", "prm"):
        field = dialog.form.editor(role)
        assert isinstance(field, ModelField)
        offered[role] = {field.combo.itemData(n) for n in range(field.combo.count())}
    assert offered == {"model": {policy.model_folder}, "prm": {prm.model_folder}}
    assert dialog.form.values()["model"] == policy.model_folder, "the newest policy is chosen"


def _the_form_warns(seat: Seat, dialog: RunDialog) -> None:
    values = dialog.form.values()
    dialog.form.set_values({**values, "prm": values["model"]})
    seat.wait(lambda: "my sft is a policy, which cannot be the PRM that scores steps" in dialog.panel.problems.text())
    assert not dialog.start.isEnabled()
    dialog.form.set_values({**values, "prm": ""})
    seat.wait(lambda: "No PRM is chosen: the outcome alone pays." in dialog.panel.warnings.text())
    field = dialog.form.editor("prm")
    assert isinstance(field, ModelField)
    field.combo.setCurrentIndex(0)
    dialog.form.set_values({**dialog.form.values(), "credit": "sum"})
    seat.wait(lambda: "Pays by the step" in dialog.panel.warnings.text() and dialog.panel.warnings.isVisible())


def _start_with_own_reward(seat: Seat, page: TrainPage, dialog: RunDialog, code: Path, prm: RunView) -> RunView:
    dialog.form.set_values({**dialog.form.values(), "credit": "min", "reward_weight": 0.1, "eval_problems": 4})
    field = dialog.form.editor("reward")
    assert isinstance(field, CodeField)
    field.take_file(code)
    assert field.text() == f"{code}:half"
    seat.wait(dialog.start.isEnabled)
    assert not dialog.panel.warnings.isVisible()
    click(dialog.start)
    consent = _consent(seat, dialog)
    checksum = hashlib.sha256(REWARD.encode()).hexdigest()
    assert [(each.function, each.sha256, each.text) for each in consent.codes] == [("half", checksum, REWARD)]
    for name in ("light", "dark"):
        seat.context.theme.use(name)
        picture(consent, f"consent-{name}")
    click(consent.no)
    assert not page.isHidden()
    assert seat.context.jobs.runs()[0].id == prm.id, "nothing was queued"
    seat.wait(dialog.start.isEnabled)
    click(dialog.start)
    click(_consent(seat, dialog).yes)
    run = finished(seat, page, prm.id)
    folder = RunFolder(seat.folder / run.folder)
    (agreed,) = folder.read_spec().code
    assert (agreed.role, agreed.path, agreed.function, agreed.sha256) == ("reward", "code/reward.py", "half", checksum)
    assert agreed.consented
    assert (folder.path / agreed.path).read_text() == REWARD
    return run


def _consent(seat: Seat, dialog: RunDialog) -> ConsentDialog:
    seat.wait(lambda: any(each.isVisible() for each in dialog.findChildren(ConsentDialog)))
    return next(each for each in dialog.findChildren(ConsentDialog) if each.isVisible())


def _what_it_wrote_is_in_the_store(seat: Seat, run: RunView, wanted: set[str]) -> None:
    with seat.context.workspace.database.read() as c:
        kinds = {model.name: model.kind for model in models.all_models(c)}
        project = projects.by_name(c, "Run: my rl")
        assert project is not None
        found = traces.rows(c, TraceQuery(project=project.id), limit=1000)
        read = traces.load_many(c, [each.id for each in found])
        ratings = c.execute(text("select count(*) from annotation where project_id = :p"), {"p": project.id}).scalar()
    assert kinds == {"my sft": "sft", "my prm": "prm", "my rl": "rl"}
    assert {trace.problem.prompt for trace in read} == wanted, "one greedy trace for each test problem"
    assert len(read) == len(wanted) == run.records
    assert {trace.model for trace in read} == {"my rl"}
    assert all(trace.outcome in (0, 1, None) for trace in read)
    assert ratings == 0


def test_the_rule_labels_steps_by_machine(qtbot: QtBot, folder: Path) -> None:
    demonstrations(folder)
    with Seat(qtbot, folder) as seat:
        page = train_page(seat)
        dialog = fill(seat, page, "autolabel", PROJECT, algebra=False)
        assert not dialog.panel.balance.isVisible()
        assert dialog.panel.facts.lines == {"with a reference answer": "60"}
        seat.wait(dialog.start.isEnabled)
        dialog.form.set_values({**dialog.form.values(), "method": "rollouts from every step"})
        seat.wait(lambda: "choose the policy that writes rollouts" in dialog.panel.problems.text())
        assert not dialog.start.isEnabled()
        dialog.form.set_values({**dialog.form.values(), "method": "arithmetic and algebra"})
        seat.wait(dialog.start.isEnabled)
        click(dialog.start)
        run = finished(seat, page, 0)
        assert run.records == 60
        with seat.context.workspace.database.read() as c:
            labelled = c.execute(text("select count(*), count(distinct trace_id) from machine_label")).one()
            methods = c.execute(text("select distinct method from machine_label")).scalars().all()
        assert (tuple(labelled), methods) == ((60, 60), ["rule"])
        _a_prm_can_learn_from_them(seat, page)


def _a_prm_can_learn_from_them(seat: Seat, page: TrainPage) -> None:
    dialog = fill(seat, page, "prm", PROJECT)
    assert dialog._preview is not None
    assert dialog._preview.counts.rows == 0, "nobody rated the demonstrations"
    dialog.rows.machine.setCurrentIndex(dialog.rows.machine.findData("rule"))
    seat.wait(lambda: dialog.panel.facts.lines == {"labelled by machine alone": "60"})
    assert "held-out traces have machine labels alone" in dialog.panel.warnings.text()
    for name in ("light", "dark"):
        seat.context.theme.use(name)
        picture(dialog, f"new-prm-by-machine-{name}")
    dialog.reject()


def test_the_monitor_looks_from_the_same_form(qtbot: QtBot, folder: Path) -> None:
    with Seat(qtbot, folder) as seat:
        page = train_page(seat)
        dialog = page.new_run(values=None)
        dialog.recipes.setCurrentIndex(dialog.recipes.findData("monitor"))
        assert isinstance(dialog.form.editor("judge"), ModelField)
        seat.wait(lambda: dialog.rows.projects.count() == 1)
        dialog.rows.projects.tick("Arithmetic stories")
        counted(seat, dialog)
        seat.wait(dialog.start.isEnabled)
        click(dialog.start)
        run = finished(seat, page, 0)
        assert run.recipe == "monitor"
        with seat.context.workspace.database.read() as c:
            looked = c.execute(text("select count(*) from monitor_score")).scalar()
        assert looked == run.rows > 0
