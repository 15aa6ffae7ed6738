"""I press B on a trace that went wrong: the tiny policy continues its prefixes until the step is found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QDialog
from pytestqt.qtbot import QtBot

from studio.jobs import never_again, shipped
from studio.jobs.bisecting import METHOD
from studio.store import batches, evaluations, machine_labels, projects, regressions, traces
from studio.store.traces import NewTrace
from studio.ui.actions import Page
from studio.ui.inspect.bisect_dialog import BisectDialog
from studio.ui.inspect.diff_dialog import DiffDialog
from studio.ui.inspect.fork_dialog import ForkDialog
from studio.ui.inspect.never_again_dialog import NeverAgainDialog, NewTestDialog
from studio.ui.inspect.tree_dialog import TreeDialog
from studio.ui.widgets.fields import NumberField
from studio.workspace import Workspace
from tests.e2e.data_desk import click
from tests.e2e.inspecting import go_to_inspect
from tests.e2e.seat import PICTURES, Seat
from tests.e2e.test_inspect_resident import end_workers
from trainer.contract.specs.evaluate import Must
from trainer.reasoning.bisect_thought import most_probes
from trainer.reasoning.recorded import messages_of, steps_of
from trainer.reasoning.response import read_response

WRONG = "<think>\nTry 12\n12 - 4 = 8\n8 * 2 = 10\nYes\nCheck 12\n12 - 4 = 8\n8 * 2 = 10\nYes\n</think>\nAnswer: 12"
SLIP = 6  # the second "8 * 2 = 10": after the first the policy checks and sees it


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The tiny policy, a wrong trace of a problem that it can do, and the same without a reference answer."""
    path = tmp_path_factory.mktemp("bisect") / "workspace"
    with Workspace.open(path, create=True) as workspace:
        shipped.ensure(workspace)
        database, response = workspace.database, read_response(WRONG)
        made = database.run(lambda c: projects.create(c, "Thoughts"))
        batch = database.run(lambda c: batches.begin(c, "sample", made.id, "written for a test"))
        for line, reference in enumerate((shipped.EXAMPLES[0].reference, None)):
            new = NewTrace(
                shipped.EXAMPLES[0].problem, WRONG, messages_of(response), steps_of(response),
                reference_answer=reference, answer="12", outcome=None if reference is None else 0,
                model=shipped.POLICY, line=line,
            )  # fmt: skip
            database.run(lambda c, new=new: traces.add(c, new, batch_id=batch, project_id=made.id))
        database.run(lambda c: batches.publish(c, batch, {}))
    yield path
    end_workers(path)


@pytest.fixture
def seat(qtbot: QtBot, folder: Path) -> Iterator[Seat]:
    """The window on it; its worker stays for the next test."""
    with Seat(qtbot, folder) as sitting:
        yield sitting


def picture(dialog: QDialog, name: str) -> None:
    """Save what a dialog looks like to tests-output/."""
    PICTURES.mkdir(exist_ok=True)
    QApplication.processEvents()
    assert dialog.grab().save(str(PICTURES / f"{name}.png"))


def fill(field: NumberField, text: str) -> None:
    """Type in the place of what stands there."""
    field.selectAll()
    QTest.keyClicks(field, text)


def open_bisect(seat: Seat, trace_id: int) -> BisectDialog:
    """Show a trace and press B."""
    page = go_to_inspect(seat)
    page.show_trace(trace_id)
    seat.wait(lambda: page.shown is not None and page.shown.trace.id == trace_id and page.gate.is_open)
    seat.press("b", page.steps)
    seat.wait(lambda: any(isinstance(child, BisectDialog) for child in page.children()))
    dialog = next(child for child in page.children() if isinstance(child, BisectDialog))
    seat.wait(lambda: dialog.go.isEnabled())
    fill(dialog.form.thinking, "50")
    fill(dialog.form.answer, "16")
    return dialog


def test_the_step_that_lost_it_is_found_and_marked(seat: Seat) -> None:
    dialog = open_bisect(seat, 1)
    page = go_to_inspect(seat)
    fill(dialog.form.number, "0")
    assert "must be 2 to" in dialog.cost.text()
    assert not dialog.go.isEnabled()
    fill(dialog.form.number, "8")
    assert "never more than 2,640" in dialog.cost.text()  # 5 prefixes, 8 continuations, 66 tokens
    seat.wait(lambda: "At most about" in dialog.cost.text())
    click(dialog.go)
    seat.wait(lambda: bool(dialog.verdict.text()))
    work = dialog.work
    assert work is not None
    assert work.step in (SLIP, SLIP + 1)
    assert f"Success is lost in step {work.step + 1}" in dialog.verdict.text()
    assert len(work.search.probes) <= most_probes(len(work.start.steps))
    assert 0 < work.tokens <= 2_640
    seat.wait(lambda: page.shown is not None and any(line.name == METHOD for line in page.shown.lines))
    with seat.context.workspace.database.read() as c:
        (label,) = machine_labels.of_trace(c, 1)
        for probe in work.search.probes:
            found = traces.load_many(c, [one.trace_id for one in work.traces[probe.count]])
            assert sum(one.outcome == 1 for one in found) == probe.share.hits
            assert all(one.text.startswith(work.start.prefix(probe.count)) for one in found)
            assert {one.problem.id for one in found} == {traces.load(c, 1).problem.id}
    left = label.values[work.step]
    assert left is not None
    assert left < 0.5
    dialog.view.setFocus()
    QTest.keyClick(dialog.view, Qt.Key.Key_Left)
    seat.wait(lambda: dialog.traces.count() == 8)
    for theme in ("light", "dark"):
        seat.context.actions.run(f"theme_{theme}")
        picture(dialog, f"bisect-{theme}")
    item = dialog.traces.item(0)
    dialog.traces.itemActivated.emit(item)
    seat.wait(lambda: page.shown is not None and page.shown.trace.id == item.data(Qt.ItemDataRole.UserRole))
    assert seat.context.actions.page is Page.INSPECT
    dialog.close()


def test_an_edited_step_is_continued_beside_the_step_as_it_was(seat: Seat) -> None:
    page = go_to_inspect(seat)
    page.show_trace(1, SLIP)
    seat.wait(lambda: page.shown is not None and page.shown.trace.id == 1 and page.step == SLIP and page.gate.is_open)
    seat.press("x", page.steps)
    seat.wait(lambda: bool(page.findChildren(ForkDialog)))
    dialog = page.findChildren(ForkDialog)[0]
    seat.wait(lambda: dialog.go.isEnabled())
    fill(dialog.form.thinking, "50")
    fill(dialog.form.answer, "16")
    dialog.edit.setPlainText("8 * 2 = 16")
    dialog.edit.document().setModified(True)
    click(dialog.go)
    seat.wait(lambda: bool(dialog.verdict.text()))
    work = dialog.work
    assert work is not None
    first, second = work.share(0), work.share(1)
    assert first is not None
    assert second is not None
    assert second.hits > first.hits  # once the slip is gone, 12 is ruled out
    assert "share of right answers by +" in dialog.verdict.text()
    with seat.context.workspace.database.read() as c:
        found = [traces.load_many(c, [one.trace_id for one in branch]) for branch in work.branches]
        places = c.exec_driver_sql("SELECT extra FROM trace WHERE id = ?", (found[1][0].id,)).scalar_one()
    for branch, prefix, share in zip(found, work.prefixes, (first, second), strict=True):
        assert all(one.text.startswith(prefix) for one in branch)
        assert sum(one.outcome == 1 for one in branch) == share.hits
    assert f'"forked_at": {len(work.prefixes[1])}' in places
    assert work.start.uid in places
    for theme in ("light", "dark"):
        seat.context.actions.run(f"theme_{theme}")
        picture(dialog, f"fork-{theme}")
    click(dialog.diff)
    seat.wait(lambda: bool(page.findChildren(DiffDialog)))
    shown = page.findChildren(DiffDialog)[0]
    seat.wait(lambda: shown.made is not None)
    assert (shown.made.left.id, shown.made.right.id) == (found[0][0].id, found[1][0].id)
    shown.close()
    click(dialog.tree)
    seat.wait(lambda: bool(page.findChildren(TreeDialog)))
    tree = page.findChildren(TreeDialog)[0]
    seat.wait(lambda: tree.made is not None)
    assert {one.id for branch in found for one in branch} <= {branch.trace_id for branch in tree.made.branches}
    tree.close()
    dialog.close()


def test_without_a_reference_the_step_that_settled_the_answer_is_looked_for_and_cancel_holds(seat: Seat) -> None:
    dialog = open_bisect(seat, 2)
    assert "agree with the trace's own answer 12" in dialog.about.text()
    fill(dialog.form.number, "4")
    click(dialog.go)
    seat.wait(lambda: dialog.asker.is_busy)
    click(dialog.stop)
    assert dialog.state.text().startswith("cancelled")
    assert dialog.go.isEnabled()
    click(dialog.go)
    seat.wait(lambda: bool(dialog.verdict.text()))
    work = dialog.work
    assert work is not None
    assert not work.by_reference
    assert dialog.verdict.text().startswith("The answer is settled in step")
    for count, found in work.traces.items():
        assert [one.right for one in found] == [one.answer == "12" for one in found], count
    with seat.context.workspace.database.read() as c:
        assert machine_labels.of_trace(c, 2) == ()  # agreement is no correctness
    dialog.close()


def test_a_failing_step_becomes_a_test_that_models_are_run_on(seat: Seat) -> None:
    page = go_to_inspect(seat)
    page.show_trace(1, SLIP)
    seat.wait(lambda: page.shown is not None and page.shown.trace.id == 1 and page.step == SLIP and page.gate.is_open)
    seat.press("a", page.steps)
    seat.wait(lambda: bool(page.findChildren(NewTestDialog)))
    asking = page.findChildren(NewTestDialog)[0]
    assert asking.words.toPlainText() == "8 * 2 = 10"
    asking.must.setCurrentIndex(asking.must.findData(Must.ABSENT))
    click(asking.yes)
    seat.wait(lambda: bool(page.findChildren(NeverAgainDialog)))
    dialog = page.findChildren(NeverAgainDialog)[0]
    seat.wait(lambda: dialog.table.rowCount() == 1 and dialog.run_now.isEnabled())
    with seat.context.workspace.database.read() as c:
        (made,) = regressions.all_regressions(c)
    assert (made.prefix + made.span) == WRONG[: WRONG.rindex("8 * 2 = 10") + len("8 * 2 = 10")]
    click(dialog.run_now)
    seat.wait(lambda: dialog.table.columnCount() == 4)  # its results have come
    with seat.context.workspace.database.read() as c:
        (result,) = regressions.results(c)
        samples = evaluations.problems(c, evaluations.cells(c, suites=["regressions"])[0].key)[0].samples
        written = [traces.load(c, one.trace_id).text for one in samples if one.number >= 0 and one.trace_id]
    back = sum(made.span in text.removeprefix(made.prefix) for text in written)
    assert len(written) == result.number == never_again.SAMPLES
    assert result.held == result.number - back
    assert dialog.table.item(0, 3).text().endswith(f"{result.held} of {result.number}")
    for theme in ("light", "dark"):
        seat.context.actions.run(f"theme_{theme}")
        picture(dialog, f"never-again-{theme}")
    dialog.table.setCurrentCell(0, 3)
    dialog.table.setFocus()
    QTest.keyClick(dialog.table, Qt.Key.Key_Return)
    seat.wait(lambda: page.shown is not None and page.shown.trace.id == result.trace_id)
    click(dialog.retire)
    seat.wait(lambda: "(retired)" in dialog.table.item(0, 0).text())
    dialog.close()
