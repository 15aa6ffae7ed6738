"""Plots as arrays, each figure counted another way; every spot knows its traces."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import update

from studio.store import batches, flag_words, plot, plots, projects, traces
from studio.store import schema as s
from studio.store.flag_words import NewFlag
from studio.store.plot import Kind, wilson
from studio.workspace import Workspace
from tests.e2e.inspecting import fill
from trainer.reasoning.safety import Category


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plots") / "w"
    fill(path)
    return path


def test_first_errors_and_calibration_by_hand(filled: Path) -> None:
    with Workspace.open(filled) as opened, opened.database.read() as c:
        bars = plots.read(c, Kind.FIRST_ERROR)
        first: dict[int, int] = {}
        rows = c.exec_driver_sql(
            "SELECT a.trace_id, r.ordinal FROM rating r JOIN annotation a ON a.id = r.annotation_id"
            " WHERE r.value = -1 AND r.option = 0 AND a.state = 'submitted'"
        ).all()
        for trace_id, step in rows:
            first[trace_id] = min(step, first.get(trace_id, step))
        assert bars.y.tolist() == [sum(step == place for step in first.values()) for place in range(len(bars))]
        assert {tuple(one) for one in bars.members.tolist()} == set(first.items())
        scorer = c.exec_driver_sql("SELECT id FROM scorer WHERE name = 'prm-03'").scalar_one()
        line = plots.read(c, Kind.CALIBRATION, scorer)
        rated = {
            (row[0], row[1]): row[2]
            for row in c.exec_driver_sql(
                "SELECT a.trace_id, r.ordinal, r.value FROM rating r JOIN annotation a ON a.id = r.annotation_id"
                " WHERE r.option = 0 AND a.state = 'submitted' AND r.value <> 0 ORDER BY a.id"
            )
        }
        for spot in range(len(line)):
            members = [tuple(one) for one in line.of(spot).tolist()]
            right = sum(rated[one] == 1 for one in members)
            assert line.y[spot] == pytest.approx(right / len(members))
            assert line.low is not None
            assert line.low[spot] <= line.y[spot] + 1e-12
        assert len(line.members) > 20


def test_outcomes_against_scores_by_hand(filled: Path) -> None:
    with Workspace.open(filled) as opened, opened.database.write() as c:
        scorer = c.exec_driver_sql("SELECT id FROM scorer WHERE name = 'prm-03'").scalar_one()
        assert len(plots.read(c, Kind.OUTCOMES, scorer)) == 0
        c.execute(update(s.trace).where(s.trace.c.id % 3 == 0).values(outcome=1))
        c.execute(update(s.trace).where(s.trace.c.id % 3 == 1).values(outcome=0))
        low = dict(c.exec_driver_sql("SELECT trace_id, low FROM score WHERE scorer_id = ?", (scorer,)).all())
        line = plots.read(c, Kind.OUTCOMES, scorer)
        kept = [trace for trace in low if trace % 3 != 2]
        found = []
        for spot in range(len(line)):
            members = line.of(spot)[:, 0].tolist()
            found += members
            assert len({int(low[trace] * plots.BINS) for trace in members}) == 1
            assert line.x[spot] == pytest.approx(sum(low[trace] for trace in members) / len(members))
            right = sum(trace % 3 == 0 for trace in members)
            assert line.y[spot] == pytest.approx(right / len(members))
            assert line.low is not None
            assert line.high is not None
            assert (line.low[spot], line.high[spot]) == pytest.approx(wilson(right, len(members)))
        assert sorted(found) == sorted(kept)
        c.rollback()


def test_lengths_and_the_nearest_spot(filled: Path) -> None:
    with Workspace.open(filled) as opened, opened.database.read() as c:
        scorer = c.exec_driver_sql("SELECT id FROM scorer WHERE name = 'prm-03'").scalar_one()
        made = plots.read(c, Kind.LENGTH, scorer)
        assert len(made) == 20
        for spot in range(len(made)):
            trace_id = int(made.of(spot)[0, 0])
            assert made.x[spot] == len(traces.load(c, trace_id).text)
            found = made.nearest(float(made.x[spot]), float(made.y[spot]), 1.0, 0.01)
            assert (made.x[found], made.y[found]) == (made.x[spot], made.y[spot])
        everything = plots.read(c, Kind.LANDSCAPE)
        steps = c.exec_driver_sql(
            "SELECT count(*) FROM step s JOIN segmentation g ON g.id = s.segmentation_id"
        ).scalar()
        assert len(everything) == steps
        assert not np.isnan(everything.x).any()


def test_accuracy_by_tokens(tmp_path: Path) -> None:
    with Workspace.open(tmp_path / "w", create=True) as opened:
        with opened.database.write() as c:
            project = projects.create(c, "Here").id
            batch = batches.begin(c, "sample", project)
            for number in range(100):
                source = "sums" if number % 5 < 3 else "words"
                new = traces.from_steps("?", ["a"], source=source)
                added = traces.add(c, new, batch_id=batch, project_id=project)
                values = {"outcome": int(number % 3 == 0), "budget": {"thinking": 10 * (number + 1)}}
                c.execute(update(s.trace).where(s.trace.c.id == added.trace_id).values(**values))
            batches.publish(c, batch, {})
        with opened.database.read() as c:
            made = plots.read(c, Kind.TOKENS)
            by_source = plots.read(c, Kind.TYPES)
            empty = plots.read(c, Kind.LENGTH)
    assert made.x_label == by_source.x_label == "tokens of thinking"
    assert made.x.tolist() == [10 * (10 * part + 5.5) for part in range(10)]
    assert made.y.tolist() == [sum(n % 3 == 0 for n in range(10 * p, 10 * p + 10)) / 10 for p in range(10)]
    assert by_source.names == ("sums (60)", "words (40)")
    for group, mine in enumerate(([n for n in range(100) if n % 5 < 3], [n for n in range(100) if n % 5 > 2])):
        spots = np.flatnonzero(by_source.groups == group).tolist()
        size = len(mine) // 5
        cut = [mine[k * size : (k + 1) * size] for k in range(5)]
        assert by_source.y[spots].tolist() == pytest.approx([sum(n % 3 == 0 for n in p) / size for p in cut])
        assert by_source.x[spots].tolist() == pytest.approx([sum(10 * (n + 1) for n in p) / size for p in cut])
    with Workspace.open(tmp_path / "w") as opened, opened.database.write() as c:
        c.execute(update(s.trace).values(budget={"used": 7}))
        assert plots.read(c, Kind.TOKENS).x_label == "tokens"
        c.execute(update(s.trace).where(s.trace.c.id == 1).values(budget={"thinking": 5}))
        assert plots.read(c, Kind.TOKENS).x_label == "tokens of thinking, or all"
    assert len(empty) == 0
    assert empty.nearest(0, 0, 1, 1) is None


@pytest.mark.parametrize(("right", "count"), [(0, 5), (3, 10), (10, 10), (500, 1000)])
def test_wilson_solves_its_equation(right: int, count: int) -> None:
    for bound in wilson(right, count):
        gap = abs(right / count - bound)
        assert gap == pytest.approx(plot.Z * math.sqrt(bound * (1 - bound) / count), abs=1e-7)


def test_flags_are_counted_of_what_was_looked_at_alone(tmp_path: Path) -> None:
    fill(tmp_path / "w")
    with Workspace.open(tmp_path / "w") as opened, opened.database.write() as c:
        none = plots.read(c, Kind.FLAGS)
        assert len(none) == 0  # nobody looked: not a share of 0
        author = projects.ensure_annotator(c, "Ada").id
        ids = c.exec_driver_sql("SELECT id FROM trace ORDER BY id LIMIT 3").scalars().all()
        for trace_id in ids[:2]:
            flag_words.mark_clean(c, trace_id, author)
        flag_words.add(c, NewFlag(ids[2], Category.DECEPTION, 0, 4), author)
        bars = plots.read(c, Kind.FLAGS)
        assert bars.ticks == ("written by hand (3)",)
        assert bars.y.tolist() == [pytest.approx(1 / 3)]
        assert [tuple(one) for one in bars.of(0).tolist()] == [(ids[2], -1)]
        assert "69 that nobody" in bars.words
