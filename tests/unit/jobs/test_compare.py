"""Runs side by side: what differs, what came out, and seeds as mean and band, against sums done by hand."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import update

from studio import cli
from studio.errors import NotFoundError, RunError
from studio.jobs.compare import Comparison, bands, compare, named_runs, number_text, read_side
from studio.jobs.values import Curve
from studio.store import schema as s
from studio.store.rows import Selection
from studio.workspace import Workspace
from tests.unit.jobs.told_runs import made_run, story_house

LOSSES = ({1: 1.0, 2: 0.5, 3: 0.25}, {1: 0.75, 2: 0.125}, {1: 0.5, 2: 1.0, 4: 2.0})


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with story_house(tmp_path) as made:
        yield made


def compared(workspace: Workspace, *names: str) -> Comparison:
    with workspace.database.read() as c:
        found = named_runs(c, names)
    return compare([read_side(workspace, run) for run in found])


def test_what_differs_is_marked_and_nothing_else(workspace: Workspace) -> None:
    made_run(workspace, "a", LOSSES[0], batch_size=4, epochs=1)
    made_run(workspace, "b", LOSSES[1], selection=Selection(limit=8), batch_size=8, epochs=1)
    made_run(workspace, "c", LOSSES[2], batch_size=4, epochs=2)
    made = compared(workspace, "a", "b", "c")
    differing = {(fact.group, fact.name): (fact.cells, fact.marked) for fact in made.facts if fact.differs}
    assert differing[("Parameters", "batch_size")] == (("4", "8", "4"), (False, True, False))
    assert differing[("Parameters", "epochs")] == (("1", "1", "2"), (False, False, True))
    assert differing[("Selection", "limit")] == (("0", "8", "0"), (False, True, False))
    assert differing[("Rows", "rows that went in")] == (("12", "8", "12"), (False, True, False))
    assert set(differing) == {
        ("Parameters", "batch_size"),
        ("Parameters", "epochs"),
        ("Selection", "limit"),
        ("Rows", "rows that went in"),
        ("Rows", "sha256 of the rows"),
        ("Rows left out", "over the limit"),
    }
    assert differing[("Rows left out", "over the limit")] == (("0", "4", "0"), (False, True, False))
    assert not made.families, "no two differ in the seed alone"


def test_last_values_and_their_differences(workspace: Workspace) -> None:
    for name, losses in zip("abc", LOSSES, strict=True):
        run = made_run(workspace, name, losses)
        if name != "c":
            summary = {"test/auc": 0.75 if name == "a" else 0.5}
            workspace.database.run(
                lambda c, run=run, summary=summary: c.execute(  # type: ignore[misc]
                    update(s.run).where(s.run.c.id == run.id).values(summary=summary)
                )
            )
    made = compared(workspace, "a", "b", "c")
    figures = {(figure.group, figure.name): figure for figure in made.figures}
    loss = figures["Last value", "train/loss"]
    assert loss.values == (0.25, 0.125, 2.0)
    assert loss.differences == (0.0, -0.125, 1.75)
    result = figures["Result", "test/auc"]
    assert (result.values, result.differences) == ((0.75, 0.5, None), (0.0, -0.25, None))
    assert [number_text(1.25), number_text(0.5, -0.25), number_text(None, 1.0)] == ["1.25", "0.5 (-0.25)", "–"]


def test_seeds_of_one_spec_are_a_family_with_mean_and_band(workspace: Workspace) -> None:
    for seed, losses in enumerate(LOSSES):
        made_run(workspace, f"seed {seed}", losses, seed=seed)
    made_run(workspace, "again", {1: 99.0}, seed=0)
    made_run(workspace, "other", {1: 99.0}, seed=5, epochs=7)
    made = compared(workspace, "seed 0", "seed 1", "other", "seed 2", "again")
    (family,) = made.families
    assert (family.members, family.seeds) == ((0, 1, 3), (0, 1, 2)), "a seed counts once, another spec not at all"
    band = family.bands["train/loss"]
    assert band.steps.tolist() == [1, 2], "only steps that all seeds have"
    assert band.mean.tolist() == [statistics.fmean((1.0, 0.75, 0.5)), statistics.fmean((0.5, 0.125, 1.0))]
    assert (band.low.tolist(), band.high.tolist()) == ([0.5, 0.125], [1.0, 1.0])
    (spread,) = (each for each in made.spreads(family) if each.name == "train/loss")
    assert spread.mean == pytest.approx(statistics.fmean((0.25, 0.125, 2.0)))
    assert spread.deviation == pytest.approx(statistics.stdev((0.25, 0.125, 2.0)))


def test_seeds_without_a_step_in_common_have_no_band() -> None:
    here, there = (Curve(np.array([at]), np.array([1.0])) for at in (1, 2))
    assert bands([{"x": here, "y": here}, {"x": there}]) == {}


def test_runs_are_found_by_uid_its_beginning_or_name(workspace: Workspace) -> None:
    one, two = made_run(workspace, "twin", {}), made_run(workspace, "twin", {})
    single = made_run(workspace, "single", {})
    with workspace.database.read() as c:
        assert named_runs(c, [one.uid, one.uid[:8], "single"]) == (one, single)
        with pytest.raises(NotFoundError, match=f"2 runs are called 'twin'.*{two.uid}"):
            named_runs(c, ["twin"])
        with pytest.raises(NotFoundError, match="no run 'nobody'"):
            named_runs(c, ["nobody"])
    with pytest.raises(RunError, match="at least two"):
        compared(workspace, "single")


def test_the_verb_tells_the_same(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    made_run(workspace, "first", LOSSES[0], seed=1)
    made_run(workspace, "second", LOSSES[1], seed=2)
    words = ["compare", "first", "second", "--workspace", str(workspace.path)]
    assert cli.main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [run["name"] for run in told["runs"]] == ["first", "second"]
    assert [fact["cells"] for fact in told["facts"] if fact["differs"]] == [["1", "2"]]
    assert told["families"][0]["seeds"] == [1, 2]
    assert cli.main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines if "seed" in line.split()] == [["Parameters", "seed", "1", "2"]]
    assert any(line.split() == ["Last", "value", "train/loss", "0.25", "0.125", "(-0.125)"] for line in lines)
