"""Somebody looks at everything that was tried for a problem, walks the tree and opens a trace from it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPointF
from PySide6.QtWidgets import QApplication
from sqlalchemy import insert, select, update

from studio.store import batches, projects, traces
from studio.store import schema as s
from studio.ui.inspect.page import InspectPage
from studio.ui.inspect.tree_dialog import TreeDialog
from studio.workspace import Workspace
from tests.e2e.inspecting import go_to_inspect
from tests.e2e.seat import PICTURES, Seat
from tests.unit.store.searches_made import add_search

COUNT = 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Forty traces of one problem that part at different steps, the first one with two candidates at its step 2."""
    path = tmp_path / "workspace"
    rng = random.Random(0)
    with Workspace.open(path, create=True) as opened, opened.database.write() as c:
        project = projects.create(c, "Here").id
        batch = batches.begin(c, "sample", project)
        for number in range(COUNT):
            choices = [rng.choice("ab") for _ in range(3)] if number else ["a", "a", "a"]
            steps = [f"Step {at} goes the way {'/'.join(choices[: at + 1])}." for at in range(3)]
            added = traces.add(c, traces.from_steps("How?", steps), batch_id=batch, project_id=project)
            right = int(choices[0] == "a")
            c.execute(update(s.trace).where(s.trace.c.id == added.trace_id).values(outcome=right))
        for option in (1, 2):
            row = {"trace_id": 1, "ordinal": 2, "option": option, "text": f"Candidate {option}.", "source": "model"}
            c.execute(insert(s.candidate).values(row))
        batches.publish(c, batch, {})
    return path


def open_tree(seat: Seat, page: InspectPage) -> TreeDialog:
    seat.press("t", page.steps)
    seat.wait(lambda: bool(page.findChildren(TreeDialog)))
    (dialog,) = page.findChildren(TreeDialog)
    seat.wait(lambda: dialog.made is not None)
    return dialog


def test_the_tree_of_a_problem(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        page.show_trace(1)
        seat.wait(lambda: page.shown is not None and page.shown.trace.id == 1)
        dialog = open_tree(seat, page)
        made, view = dialog.made, dialog.view
        assert made is not None
        assert f"{COUNT} traces" in dialog.state.text()
        assert "2 candidates" in dialog.state.text()
        assert made.tree.visits[0] == COUNT + 2
        assert made.text(view.current) == "Step 2 goes the way a/a/a."
        seat.press("h", view)
        assert made.text(view.current) == "Step 1 goes the way a/a."
        assert "100% of them right" in dialog.node.text()
        children = [made.text(int(n)) for n in np.flatnonzero(made.tree.parent == view.current)]
        assert {"Candidate 1.", "Candidate 2."} < set(children)
        for theme in ("light", "dark"):
            seat.context.actions.run(f"theme_{theme}")
            QApplication.processEvents()
            PICTURES.mkdir(exist_ok=True)
            assert dialog.grab().save(str(PICTURES / f"tree-{theme}.png"))
        wrong = next(n for n in range(len(made.tree.parent)) if made.text(n) == "Step 0 goes the way b.")
        assert made.tree.value[wrong] == 0
        view.choose(wrong)
        seat.press("Return", view)
        branch = made.branches[int(made.tree.path[wrong])]
        seat.wait(lambda: page.shown is not None and page.shown.trace.id == branch.trace_id and page.step == 0)
        dialog.accept()


def test_the_tree_of_a_search(sit_down: Callable[[], Seat], folder: Path) -> None:
    with Workspace.open(folder) as opened, opened.database.write() as c:
        add_search(c)
        wanted = c.scalar(select(s.trace.c.id).where(s.trace.c.model == "policy").order_by(s.trace.c.id).limit(1))
    assert wanted is not None
    with sit_down() as seat:
        page = go_to_inspect(seat)
        page.show_trace(wanted)
        seat.wait(lambda: page.shown is not None and page.shown.trace.id == wanted)
        dialog = open_tree(seat, page)
        made, view = dialog.made, dialog.view
        assert made is not None
        assert made.sought is not None
        assert dialog.chooser.isVisible()
        assert dialog.chooser.currentText() == "Search: MCTS, n 3 (min), by policy · run a"
        assert dialog.state.text().startswith("answer 4, right · 5 steps tried, 2 kept · 2 traces finished · 24 tokens")
        assert made.text(view.current) == "Answer: 4"
        assert "value 0.80" in dialog.node.text()
        assert dialog.node.text().endswith(f"trace {wanted} ends here, right, and it answers")
        seat.press("h", view)
        assert "2 visits · kept" in dialog.node.text()
        for theme in ("light", "dark"):
            seat.context.actions.run(f"theme_{theme}")
            QApplication.processEvents()
            PICTURES.mkdir(exist_ok=True)
            assert dialog.grab().save(str(PICTURES / f"search-tree-{theme}.png"))
        other = next(n for n in range(len(made.tree.parent)) if made.text(n) == "Answer: 5")
        view.choose(other)
        seat.press("Return", view)
        branch = made.branch(other)
        assert branch is not None
        seat.wait(lambda: page.shown is not None and page.shown.trace.id == branch.trace_id)
        seat.wait(lambda: page.shown is not None and page.step == page.shown.count - 1)  # where the answer stands
        assert page.shown is not None
        assert page.shown.trace.step_text(page.step or 0) == "Answer: 5"
        dialog.chooser.setCurrentIndex(0)
        seat.wait(lambda: dialog.made is not None and dialog.made.sought is None)
        assert "2 traces" in dialog.state.text()
        dialog.accept()


def test_zooming_keeps_the_point_under_the_pointer(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        dialog = open_tree(seat, page)
        view = dialog.view
        for node in (0, len(dialog.made.tree.parent) - 1):  # type: ignore[union-attr]
            before = view.place(node)
            view.zoom_by(1.7, before)
            after = view.place(node)
            assert (after - before).manhattanLength() < 1e-6
            assert view.node_at(after) == node
        assert view.node_at(QPointF(-9_999, -9_999)) is None
        seat.press("0", view)
        inside = [view.rect().contains(view.place(n).toPoint()) for n in range(len(dialog.made.tree.parent))]  # type: ignore[union-attr]
        assert all(inside)
        dialog.accept()
