"""I press S on one trace after the other: the first waits for the PRM to load, the others come at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from studio.jobs.values import RunView
from studio.store import models, runs, scores
from studio.ui.inspect.page import InspectPage
from studio.ui.inspect.scoring import Scoring
from studio.ui.widgets.card_list import ROW_ROLE
from studio.workspace import Workspace
from tests.e2e.data_desk import click, story_workspace
from tests.e2e.inspecting import go_to_inspect
from tests.e2e.seat import Seat
from trainer.contract.records import RunState
from trainer.contract.requests import unanswered
from trainer.contract.run_folder import RunFolder, sha256_of_folder

PRM = "stories-prm"
MIXED = """
SELECT trace_id FROM annotation JOIN rating ON rating.annotation_id = annotation.id
GROUP BY trace_id HAVING min(value) = -1 AND max(value) = 1 ORDER BY trace_id
"""


def add_prm(workspace: Workspace) -> None:
    """An untrained tiny PRM, as if a run had made it."""
    load = pytest.importorskip("trainer.models.load")
    from trainer.models.prm import PrmSettings

    folder = workspace.models / PRM
    settings = PrmSettings(classes=2, separator="\n", max_length=256, domain="Arithmetic stories")
    made = load.load_for_training("tiny", settings, ["x = 1 + 2", "take 3"], seed=5, with_language_head=False)
    made.prm.save(folder)
    made.tokenizer.save_pretrained(folder)
    checksum = sha256_of_folder(folder)
    run = workspace.database.run(
        lambda c: runs.prepare(c, uid="a" * 32, name=PRM, recipe="prm", device="cpu", host="here", process="")
    )
    workspace.database.run(
        lambda c: models.register(
            c, run_id=run, name=PRM, kind="prm", folder=f"models/{PRM}", checksum=checksum, base="tiny", summary={}
        )
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Stories that people have rated, and a PRM."""
    path = story_workspace(tmp_path / "workspace", 20)
    with Workspace.open(path) as workspace:
        add_prm(workspace)
    return path


def residents(seat: Seat) -> list[RunView]:
    return [view for view in seat.context.jobs.runs() if view.resident]


def score(seat: Seat, page: InspectPage, trace_id: int) -> list[Scoring]:
    """Show a trace, press S, wait for its scores; what was told meanwhile."""
    told: list[Scoring] = []
    page.show_trace(trace_id)
    seat.wait(lambda: page.shown is not None and page.shown.trace.id == trace_id and page.gate.is_open)
    assert page.shown is not None
    assert not page.shown.lines
    page.scorer.told.connect(told.append)
    seat.press("s", page.steps)
    seat.wait(lambda: page.shown is not None and bool(page.shown.lines) and bool(told) and not told[-1].running)
    page.scorer.told.disconnect(told.append)
    assert {each.trace_id for each in told} == {trace_id}
    return told


def mixed_traces(seat: Seat) -> list[int]:
    """Three traces with positive and negative steps: whatever the PRM says, it contradicts somebody."""
    with seat.context.workspace.database.read() as c:
        return list(c.scalars(text(MIXED)))[:3]


def disputed(page: InspectPage) -> set[int]:
    """The traces in the list of disagreements."""
    model = page.disagreements.model
    return {model.index(row, 0).data(ROW_ROLE).trace_id for row in range(model.rowCount())}


def end_workers(workspace: Path) -> None:
    """Cancel what stays, as nobody waits for its idle end here."""
    import psutil

    from trainer.contract.run_folder import Control

    for path in (workspace / "runs").iterdir():
        run = RunFolder(path)
        process = run.read_process()
        if process is not None and process.pid > 0 and psutil.pid_exists(process.pid):
            run.ask(Control.CANCEL)
            psutil.wait_procs([psutil.Process(process.pid)], timeout=20)


def test_the_second_trace_needs_no_new_process(sit_down: Callable[[], Seat], folder: Path) -> None:
    try:
        with sit_down() as seat:
            page = go_to_inspect(seat)
            page.left.setCurrentWidget(page.disagreements)
            first, second, third = mixed_traces(seat)
            told = score(seat, page, first)
            assert [each.running for each in told] == [True] * (len(told) - 1) + [False]
            assert told[-1].text == f"{PRM}: done"
            (run,) = residents(seat)
            seat.wait(lambda: residents(seat)[0].idle_end is not None and residents(seat)[0].records == 1)
            assert residents(seat)[0].state is RunState.RUNNING
            process = RunFolder(folder / run.folder).read_process()
            seat.wait(lambda: PRM in page.disagreements.scorer.currentText())
            seat.wait(lambda: disputed(page) == {first})
            score(seat, page, second)
            assert RunFolder(folder / run.folder).read_process() == process
            seat.wait(lambda: disputed(page) == {first, second})
            with seat.context.workspace.database.read() as c:
                stored = scores.of_trace(c, second)
            assert page.shown is not None
            assert [line.values for line in page.shown.lines] == [each.values for each in stored]
            seat.picture("inspect-scored-on-request")
        with sit_down() as seat:  # the window was closed; its worker is found again
            page = go_to_inspect(seat)
            score(seat, page, third)
            seat.wait(lambda: [view.attempts for view in residents(seat)] == [1])
            assert RunFolder(folder / run.folder).read_process() == process
            with seat.context.workspace.database.read() as c:
                assert tuple(c.exec_driver_sql("SELECT count(*), count(DISTINCT trace_id) FROM score").one()) == (3, 3)
    finally:
        end_workers(folder)


def test_a_request_is_taken_back_and_an_error_is_read_beside_the_button(
    sit_down: Callable[[], Seat], folder: Path
) -> None:
    try:
        with sit_down() as seat:
            page = go_to_inspect(seat)
            assert page.shown is not None
            mine, other = page.shown.trace.id, page.shown.trace.id + 1
            seat.press("s", page.steps)
            seat.wait(lambda: page.strip.cancel.isVisible() and PRM in page.strip.words.text())
            seat.wait(lambda: bool(residents(seat)) and residents(seat)[0].state is not RunState.QUEUED)
            page.show_trace(other)
            seat.wait(lambda: page.shown is not None and page.shown.trace.id == other and page.gate.is_open)
            assert not page.strip.cancel.isVisible(), "that one is not being scored"
            page.show_trace(mine)
            seat.wait(lambda: page.shown is not None and page.shown.trace.id == mine and page.gate.is_open)
            if page.scorer.scoring(mine) is not None:  # the PRM takes seconds to load: it is still on its way
                assert page.strip.cancel.isVisible()
                click(page.strip.cancel)
            seat.wait(lambda: page.scorer.scoring(mine) is None)
            assert page.strip.button.isVisible()
            seat.wait(lambda: bool(residents(seat)) and residents(seat)[0].idle_end is not None)
            run = RunFolder(folder / residents(seat)[0].folder)
            assert unanswered(run) == ()
            seat.context.jobs.cancel(residents(seat)[0].id)
            seat.wait(lambda: residents(seat)[0].state is RunState.CANCELLED)
            for file in (folder / "models" / PRM).iterdir():
                file.unlink()
            page.show_trace(other)
            seat.wait(lambda: page.shown is not None and page.shown.trace.id == other and page.gate.is_open)
            seat.press("s", page.steps)
            seat.wait(lambda: bool(seat.errors))
            assert "its checksum has changed" in str(seat.errors[0])
            assert "its checksum has changed" in page.strip.words.text()
            assert page.strip.button.isVisible()
            seat.errors.clear()
            assert len(residents(seat)) == 1, "the run that could not be made is not there"
    finally:
        end_workers(folder)
