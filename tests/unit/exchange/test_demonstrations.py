"""The project of demonstrations: what stands in it is what was made, once, or nothing when cancelled."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.errors import CancelledError
from studio.exchange.demonstrations import PROJECT, make_demonstrations_project
from studio.store import projects, rows
from studio.store.rows import Selection
from studio.workspace import Workspace
from trainer.contract.spec import build, parameters
from trainer.reasoning.demonstrations import DEMONSTRATION_SEED, make_demonstrations


def test_the_project_holds_the_demonstrations_in_their_order(tmp_path: Path) -> None:
    with Workspace.open(tmp_path / "w", create=True) as workspace:
        report = make_demonstrations_project(workspace, count=40)
        assert (report.imported, report.known) == (40, 0)
        with workspace.database.read() as c:
            selection = Selection(projects=(PROJECT,), labelled=False, responses=True)
            found = list(rows.stream(c, selection))
            order = c.exec_driver_sql(
                "SELECT trace.uid FROM project_trace JOIN trace ON trace.id = trace_id ORDER BY position"
            )
            assert [row.trace for row in found] == list(order.scalars())
        made = list(make_demonstrations(40, seed=DEMONSTRATION_SEED))
        assert [(r.problem, r.response, r.reference) for r in found] == [
            (m.problem, m.response, m.reference) for m in made
        ]
        assert [row.steps for row in found] == [each.steps[:-1] for each in made], "steps are lines of the thinking"
        assert make_demonstrations_project(workspace, count=40).known == 40


def test_a_cancelled_making_leaves_nothing(tmp_path: Path) -> None:
    asked = iter([False, True, True])
    with Workspace.open(tmp_path / "w", create=True) as workspace:
        with pytest.raises(CancelledError):
            make_demonstrations_project(workspace, count=400, stop=lambda: next(asked))
        with workspace.database.read() as c:
            assert projects.by_name(c, PROJECT) is None
            assert c.exec_driver_sql("SELECT count(*) FROM trace").scalar_one() == 0


def test_its_preset_is_one_of_sft() -> None:
    from studio.ui.train.presets import PRESETS

    for recipe, presets in PRESETS.items():
        for preset in presets:
            built = parameters(build(recipe, dict(preset.values)))
            assert {name: built[name] for name in preset.values} == dict(preset.values)
