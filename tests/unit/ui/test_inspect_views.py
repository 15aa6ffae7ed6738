"""What views of the Inspect page say and leave unsaid: unknown steps, names without room, long trees, kept traces."""

from __future__ import annotations

import pathlib as files
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from PySide6.QtCore import QRectF
from PySide6.QtGui import QFontMetricsF
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from studio.store import projects, segmentations
from studio.store.failures import Explained
from studio.store.plot import Kind, Plot, Shape
from studio.store.trace_tree import Branch, TraceTree
from studio.ui.inspect.failures_list import place_words, sentence
from studio.ui.inspect.failures_panel import NOWHERE, place_of
from studio.ui.inspect.held import HELD, HeldTraces
from studio.ui.inspect.opened import Opened, read_trace
from studio.ui.inspect.plots_view import PlotView
from studio.ui.inspect.tree_view import READABLE, TreeView
from studio.ui.theme import Theme
from studio.workspace import Workspace
from tests.e2e.inspecting import fill
from trainer.reasoning.failures import Basis, Cause, Failure
from trainer.reasoning.prefix_tree import Path, grow

UNKNOWN = Failure(Cause.UNKNOWN, 48, Basis.NONE, 0, 3, "end", "no rule explains it")


@pytest.fixture
def theme(qapp: QApplication) -> Iterator[Theme]:
    made = Theme(qapp, "light")
    yield made
    made.deleteLater()


def explained(failure: Failure) -> Explained:
    return Explained(1, failure, "m", 49, "rules", "1", stale=False)


def test_a_step_that_nobody_names_is_not_called_the_first_bad_one() -> None:
    unknown, loop = explained(UNKNOWN), explained(replace(UNKNOWN, cause=Cause.LOOP, step=2))
    rated = explained(replace(UNKNOWN, basis=Basis.HUMAN, step=2))
    assert [place_words(row) for row in (unknown, loop, rated)] == ["step not known", "step 3 of 49", "step 3 of 49"]
    assert [place_of(row) for row in (unknown, loop, rated)] == [NOWHERE, "step 3", "step 3"]
    assert ["first bad step by" in sentence(row) for row in (unknown, loop, rated)] == [False, False, True]


def test_names_below_bars_never_run_into_each_other(qtbot: QtBot, theme: Theme) -> None:
    names = tuple(f"some-provider/model-{n}-2024-08-{n:02} (1,0{n:02})" for n in range(14))
    zeros, edges = np.zeros(len(names)), np.arange(len(names) + 1)
    members = np.zeros((len(names), 2), np.int64)
    x = np.arange(len(names), dtype=float)
    plot = Plot(Kind.FLAGS, Shape.BARS, "model", "share", x, zeros, members, edges, "", ticks=names)
    view = PlotView(theme)
    qtbot.addWidget(view)
    view.resize(700, 400)
    view.show()
    view.show_plot(plot)
    QApplication.processEvents()
    metrics = QFontMetricsF(theme.font(8.6))

    def widest() -> float:
        return max(metrics.horizontalAdvance(word) for _, word in view.canvas.getAxis("bottom")._tickLevels[0])

    assert widest() <= view.canvas.getViewBox().width() / len(names)
    view.resize(6_000, 400)
    QApplication.processEvents()
    assert [word for _, word in view.canvas.getAxis("bottom")._tickLevels[0]] == list(names)
    view.clear()  # while another plot is read nothing of this one stands
    assert not view.canvas.getAxis("bottom").isVisible()
    assert not view.canvas.getPlotItem().items


@pytest.mark.parametrize("paths", [1, 3, 20])
def test_a_long_tree_begins_where_it_can_be_read(qtbot: QtBot, theme: Theme, paths: int) -> None:
    steps = tuple(tuple(f"step {n} of {path}" for n in range(60)) for path in range(paths))
    tree = grow([Path(each, 0) for each in steps])
    made = TraceTree("How?", tree, tuple(Branch(n + 1, "m", 0) for n in range(paths)), steps, 0, "", 0)
    view = TreeView(theme)
    qtbot.addWidget(view)
    view.resize(900, 400)
    view.show_tree(made)
    assert view.zoom >= READABLE
    assert QRectF(view.rect()).contains(view.place(view.current))
    for begin_whole in (view.fit, lambda: (view.resize(900, 120), view.show_tree(made))):  # a strip has no room to read
        begin_whole()
        assert view.zoom < READABLE
        assert all(QRectF(view.rect()).contains(view.place(node)) for node in range(len(tree.parent)))


def test_the_trace_looked_at_longest_ago_is_let_go_first() -> None:
    held = HeldTraces()
    for number in range(HELD):
        trace = SimpleNamespace(id=number, text="")
        held.put(cast(Opened, SimpleNamespace(trace=trace)))
    assert held.get(0) is not None
    held.put(cast(Opened, SimpleNamespace(trace=SimpleNamespace(id=HELD, text=""))))
    assert 0 in held
    assert 1 not in held


def test_scores_of_other_steps_stand_at_the_steps_that_are_still_there(tmp_path: files.Path) -> None:
    fill(tmp_path / "w")
    with Workspace.open(tmp_path / "w") as opened, opened.database.write() as c:
        trace_id = c.exec_driver_sql("SELECT trace_id FROM score ORDER BY id LIMIT 1").scalar_one()
        for table in ("rating", "annotation"):
            column = "annotation_id" if table == "rating" else "id"
            of = f"{column} IN (SELECT id FROM annotation WHERE trace_id = {trace_id})"
            c.exec_driver_sql(f"DELETE FROM {table} WHERE {of}")
        me = projects.ensure_annotator(c, "Ada").id
        before = read_trace(c, trace_id, me)
        step = before.trace.segmentation.steps[1]
        segmentations.split(c, trace_id, 1, step.start + before.trace.step_text(1).index(" ") + 1, me)
        after = read_trace(c, trace_id, me)
    (was,), (now,) = ([line for line in each.lines if line.name == "prm-03"] for each in (before, after))
    assert now.values == (was.values[0], None, None, *was.values[2:])  # none moves on to the next step
    count = len(was.values)
    assert now.note == f"scored on another version of the steps, {count - 1} of {count + 1} are in both"
