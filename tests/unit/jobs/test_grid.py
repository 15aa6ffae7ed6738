"""Grids of runs: what is asked for, what it will take, what stands in the table of the compared runs."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

from studio import cli
from studio.errors import NotFoundError, RunError
from studio.jobs import grid
from studio.jobs.compare import compare, read_side
from studio.jobs.estimate import estimate
from studio.jobs.grid_table import Cell, grid_table, shade
from studio.jobs.prepare import checked
from studio.jobs.values import RunOrder
from studio.store import rows, runs
from studio.store.rows import Selection
from studio.store.runs import StoredRun, StoredState
from studio.workspace import Workspace
from tests.unit.jobs.told_runs import made_run, story_house


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with story_house(tmp_path) as made:
        yield made


def test_every_combination_once_with_its_own_name_and_one_group() -> None:
    axes = grid.axes_of("rl", ["seed=0,1,2", "learning_rate=1e-4,3e-4; credit=min, sum"])
    assert [axis.name for axis in axes] == ["seed", "rate", "credit"]
    made = grid.points(RunOrder("rl", {"updates": 7}, name="loop"), axes)
    said = {(o.parameters["rate"], o.parameters["credit"], o.parameters["seed"]) for o in made}
    assert said == set(itertools.product((1e-4, 3e-4), ("min", "sum"), (0, 1, 2)))
    assert len(made) == 12 == len({order.name for order in made})
    assert made[0].name == "loop rate=0.0001 credit=min seed=0"
    assert [order.parameters["seed"] for order in made[:3]] == [0, 1, 2], "the seeds of a point next to each other"
    assert {order.parameters["updates"] for order in made} == {7}
    assert len({order.group for order in made}) == 1
    assert made[0].group
    alone = RunOrder("rl")
    assert grid.points(alone, grid.axes_of("rl", ["", " ; "])) == (alone,)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("rate", "write SETTING=VALUE,VALUE"),
        ("speed=1,2", "rl has no parameter speed"),
        ("rate=1e-4,fast", "rl.rate = 'fast' is not valid"),
        ("rate=1e-4,0.0001", "takes the value 0.0001 twice"),
        ("seed=0; seed=1", "seed is given twice"),
        ("seed=" + ",".join(map(str, range(65))), "65 points; at most 64"),
    ],
)
def test_what_is_no_grid_is_refused(given: str, why: str) -> None:
    with pytest.raises(RunError, match=why):
        grid.points(RunOrder("rl"), grid.axes_of("rl", [given]))


def test_the_estimate_adds_up_the_points(workspace: Workspace) -> None:
    order = RunOrder("prm", {"max_steps": 10})
    orders = grid.points(order, grid.axes_of("prm", ["max_steps=10,1000", "keep_last=2,4"]))
    found = grid.preview(workspace, orders)
    with workspace.database.read() as c:
        counts = rows.count(c, checked(order).selection)
    each = [estimate(workspace, checked(one), counts) for one in orders]
    assert found.runs == 4
    assert found.counts.rows == counts.rows
    assert found.estimate.seconds == pytest.approx(sum(one.seconds or 0 for one in each))
    assert found.estimate.disk_bytes == sum(one.disk_bytes or 0 for one in each)
    assert found.estimate.memory_bytes == max(one.memory_bytes or 0 for one in each)
    wrong = grid.preview(workspace, grid.points(order, grid.axes_of("prm", ["model=tiny,/nowhere"])))
    assert any("no model" in problem for problem in wrong.problems)


def test_the_verb_says_what_it_will_take_and_makes_all_or_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with story_house(tmp_path) as workspace:
        where = workspace.path
    given = ("run", "prm", "--workspace", str(where), "--set", "max_steps=1", "--grid", "head_rate=1e-3,1e-2")
    seeds = ("--grid", "seed=0,1,2", "--device", "cuda:9", "--name", "try")
    assert cli.main((*given, *seeds, "--dry-run")) == 0
    assert capsys.readouterr().out.startswith("6 runs on 12 rows: about ")
    assert made(where) == []
    assert cli.main((*given, "--grid", "model=tiny,/nowhere", "--device", "cuda:9")) == 1
    refused = capsys.readouterr().err
    assert "there is no model '/nowhere'" in refused
    assert "of the kind" in refused
    assert made(where) == []
    assert cli.main((*given, *seeds)) == 0
    out = capsys.readouterr().out
    assert out.index("6 runs on 12 rows") < out.index("queued 'try head_rate=0.001 seed=0'")
    found = made(where)
    assert len(found) == 6
    assert {run.state for run in found} <= {StoredState.QUEUED, StoredState.STARTED, StoredState.FAILED}
    assert len({run.group for run in found}) == 1
    assert found[0].group


def made(where: Path) -> list[StoredRun]:
    with Workspace.open(where) as workspace, workspace.database.read() as c:
        return list(runs.all_runs(c))


def test_the_table_holds_means_over_seeds(workspace: Workspace) -> None:
    value = {
        (rate, steps, seed): rate * 10 + steps + 0.5 * seed
        for rate in (1, 2)
        for steps in (3, 10)
        for seed in (0, 1, 2)
    }
    sides = []
    for (rate, steps, seed), last in value.items():
        more = {"head_rate": rate / 1000, "max_steps": steps, "seed": seed}
        run = made_run(workspace, f"p head_rate={rate} max_steps={steps} seed={seed}", {1: float(last)}, **more)
        sides.append(read_side(workspace, run))
    comparison = compare(sides)
    table = grid_table(comparison)
    assert table is not None
    assert table.columns is not None
    assert {table.rows.name: table.rows.values, table.columns.name: table.columns.values} == {
        "head_rate": ("0.001", "0.002"),
        "max_steps": ("3", "10"),
    }, "numbers by size, not by letter"
    (loss,) = (figure for figure in comparison.figures if figure.name == "train/loss")
    cells = table.cells(loss)
    swapped = table.rows.name == "max_steps"
    for i, j in itertools.product(range(2), range(2)):
        rate, steps = ((1, 2)[j], (3, 10)[i]) if swapped else ((1, 2)[i], (3, 10)[j])
        own = [value[rate, steps, seed] for seed in range(3)]
        assert cells[i][j] == Cell(pytest.approx(statistics.mean(own)), pytest.approx(statistics.stdev(own)), 3)
    assert [shade(cells, cell) for cell in (cells[0][0], cells[1][1]) if cell] == [0.0, 1.0]
    assert {family.name for family in comparison.families} == {
        f"3 seeds of p head_rate={rate} max_steps={steps}" for rate in (1, 2) for steps in (3, 10)
    }, "a band for every point"
    assert grid_table(compare(sides[:2])) is None, "only the seed differs"
    other = made_run(workspace, "other", {1: 0.0}, max_steps=9, head_rate=0.5, seed=7, warmup=0.5)
    assert grid_table(compare([*sides, read_side(workspace, other)])) is None, "three settings differ"


def test_one_that_cannot_be_made_takes_the_others_back(workspace: Workspace) -> None:
    from studio.jobs.headless import _create

    orders = [RunOrder("prm", {"max_steps": 1}, name="first"), RunOrder("prm", {}, Selection(projects=("none",)))]
    with pytest.raises(NotFoundError, match="no project"):
        _create(workspace, orders, lambda *_: None)
    with workspace.database.read() as c:
        assert [(run.name, run.state) for run in runs.all_runs(c)] == [("first", StoredState.CANCELLED)]
