"""A person pins rollouts, sends what an alarm is about to labelling, and resumes the run on another PRM."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from studio import cli
from studio.jobs.refresh import newest_step
from studio.store import models, projects, runs
from studio.store.runs import StoredState
from studio.ui.actions import Page
from studio.ui.train import rollouts_trace_model as columns
from studio.workspace import Workspace
from tests.e2e.data_desk import click, picture
from tests.e2e.rollouts_made import add_run, plain_rl, save_update, spec_of
from tests.e2e.seat import Seat
from tests.e2e.test_rollouts import RIGHT, SECOND, UID, cell, open_tab, settle, story_workspace, traces_of, train_page
from tests.unit.jobs.test_going_back import checkpoint
from tests.unit.jobs.test_track import Book
from trainer.contract import events, rollouts
from trainer.contract.events import Level
from trainer.contract.run_folder import RunFolder, sha256_of_folder

WHY = "62% of the steps are courtesies or the same sentence under many problems (at the start 3%; tolerable 20%)."


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A workspace with an RL run of two updates that an alarm has paused, and a PRM made since."""
    made = story_workspace(tmp_path / "workspace", 5)
    run = add_run(made, UID, spec_of(UID, plain_rl()), StoredState.PAUSED)
    for update, groups in enumerate(((SECOND,), (RIGHT, SECOND))):
        save_update(made, UID, update, traces_of(*groups, mark=f"u{update}-"))
    place = RunFolder(made / "runs" / UID)
    checkpoint(place, 2, torn=False)
    advice = "Paused: look at the examples, change the reward or the PRM, then resume."
    book = Book(place.path)
    book.say(events.Metrics, 2, split="train", values={"reward": 0.5})
    book.say(events.Notice, 2, level=Level.ERROR, code="alarm: filler", message=f"{WHY} {advice}", counts={})
    book.say(events.Ended, 2, outcome=events.Outcome.PAUSED, message="paused at step 2")
    with Workspace.open(made) as workspace:
        model = workspace.path / "models" / "fresh"
        model.mkdir(parents=True)
        (model / "config.json").write_text("{}")
        checksum = sha256_of_folder(model)
        workspace.database.run(
            lambda c: models.register(
                c, run_id=run, name="fresh PRM", kind="prm", folder="models/fresh", checksum=checksum, base="",
                summary={},
            )
        )  # fmt: skip
    return made


def test_pins_by_key_with_undo_survive_a_restart(qtbot: QtBot, folder: Path) -> None:
    with Seat(qtbot, folder) as seat:
        seat.window.resize(1280, 900)
        page, tab = open_tab(seat)
        seat.wait(lambda: seat.context.actions.is_enabled("pin_rollout"))
        assert not seat.context.actions.is_enabled("undo_pin")
        chosen = tab.table.current
        assert chosen is not None
        seat.press("K", tab.table)
        settle(seat, tab)
        assert "stored when the run ends" in seat.said()
        assert cell(tab, 0, columns.PROBLEM).startswith("★ ")
        tab.table.choose(1)
        seat.press("K", tab.table)
        settle(seat, tab)
        assert len(rollouts.pins(folder / "runs" / UID)) == 2
        picture(seat.window, "rollouts-pinned-light")
        seat.press("Ctrl+Z", tab.table)
        settle(seat, tab)
        assert not cell(tab, 1, columns.PROBLEM).startswith("★")
        seat.press("Ctrl+Z", tab.table)
        settle(seat, tab)
        assert not rollouts.pinned(folder / "runs" / UID)
        assert not seat.context.actions.is_enabled("undo_pin")
        tab.table.choose(0)
        seat.press("K", tab.table)
        settle(seat, tab)
        page.panel.tabs.setCurrentWidget(page.panel.curves)
        assert not seat.context.actions.is_enabled("pin_rollout"), "only what is seen can be pinned"
    with Seat(qtbot, folder) as seat:
        _, tab = open_tab(seat)
        assert cell(tab, 0, columns.PROBLEM).startswith("★ ")
        (kept,) = rollouts.pins(folder / "runs" / UID)
        assert (kept.update, kept.trace) == (1, chosen.trace)


def test_an_alarm_leads_to_labels_and_to_another_prm(qtbot: QtBot, folder: Path) -> None:
    with Seat(qtbot, folder) as seat:
        seat.window.resize(1280, 900)
        page = train_page(seat)
        banner = page.panel.alarm
        seat.wait(lambda: banner.isVisible())
        assert WHY in banner.text.text()
        shots(seat, "alarm")
        click(banner.label)
        seat.wait(lambda: seat.context.actions.page is Page.LABEL)
        sent = banner.sent[page.table.run_id or 0]
        assert sent.project == "Contested: rl on stories"
        first = sent.steps[0].trace_id
        seat.wait(lambda: seat.page.work is not None and seat.work.trace.id == first)
        seat.wait_painted()
        assert "but the answer is wrong" in sent.steps[0].why
        picture(seat.window, "alarm-label")
        page = train_page(seat)
        assert "stand in “Contested: rl on stories”" in banner.text.text()
        click(banner.undo)
        seat.wait(lambda: "left “Contested" in seat.said())
        with seat.context.workspace.database.read() as c:
            assert projects.get(c, sent.project_id).traces == 0
        click(banner.resume)
        dialog = page.refresh
        assert dialog is not None
        seat.wait(lambda: dialog.list.count() == 1)
        assert "fresh PRM" in dialog.list.item(0).text()
        picture(dialog, "alarm-resume")
        if not dialog.list.selectedItems():
            dialog.list.setCurrentRow(0)
        click(dialog.yes)
        seat.wait(lambda: not page.panel.alarm.isVisible())
        place = RunFolder(folder / "runs" / UID)
        old, new = place.read_spec().models
        assert (old.from_step, new.from_step, new.name) == (0, newest_step(place), "fresh PRM")
        assert sha256_of_folder(place.path / new.path) == new.checksum
        with seat.context.workspace.database.read() as c:
            assert runs.by_uid(c, UID).state is StoredState.QUEUED


def test_the_verbs_do_the_same_without_a_window(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--workspace", str(folder))
    assert cli.main(("contested", "rl on stories", "--count", "2", *where)) == 0
    told = capsys.readouterr().out
    assert "'Contested: rl on stories' has 2 contested steps of this run, 2 new" in told
    assert told.count("  trace u") == 2
    assert cli.main(("resume", UID[:8], "--prm", "nothing like this", *where)) == 1
    assert "there is no model 'nothing like this'" in capsys.readouterr().err
    assert cli.main(("resume", UID[:8], "--prm", "fresh PRM", *where)) == 0
    assert "goes on with the PRM fresh PRM" in capsys.readouterr().out
    assert cli.main(("resume", UID[:8], *where)) == 1, "it is queued already"
    assert "only a run that has stopped can be resumed" in capsys.readouterr().err
    with Workspace.open(folder) as workspace, workspace.database.read() as c:
        assert runs.by_uid(c, UID).state is StoredState.QUEUED
        sent = projects.by_name(c, "Contested: rl on stories")
        assert sent is not None
        assert sent.traces == 2


def shots(seat: Seat, name: str) -> None:
    """Pictures in both themes."""
    for theme in ("light", "dark"):
        seat.context.actions.run(f"theme_{theme}")
        picture(seat.window, f"{name}-{theme}")
    seat.context.actions.run("theme_light")
