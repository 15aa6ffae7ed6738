"""Somebody asks for scores: where there is no PRM the page says so and leads to the one that makes one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QMenu
from sqlalchemy import Connection

from studio.domain import Changes
from studio.store import models, runs
from studio.ui.actions import Page
from studio.ui.inspect.scoring import NO_PRM, Scoring
from tests.e2e.inspecting import fill, go_to_inspect
from tests.e2e.seat import Seat


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Competition problems, rated by three people, partly scored."""
    path = tmp_path / "workspace"
    fill(path)
    return path


def register(c: Connection, name: str) -> Changes:
    """Enter a PRM in the registry."""
    run = runs.prepare(c, uid=name.rjust(32, "0"), name=name, recipe="prm", device="cpu", host="here", process="")
    return models.register(
        c,
        run_id=run,
        name=name,
        kind="prm",
        folder=f"models/{name}",
        checksum=name,
        base="tiny",
        summary={"validation_auc": 0.91},
    )


def test_without_a_prm_the_train_page_comes(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        seat.press("s", page.steps)
        seat.wait(lambda: seat.window.page is Page.TRAIN)
        assert seat.said() == NO_PRM


def test_among_several_prms_one_is_chosen_by_key(sit_down: Callable[[], Seat]) -> None:
    """The PRMs are in the registry, their folders are gone: the choice is made, and the refusal names the folder."""
    with sit_down() as seat:
        page = go_to_inspect(seat)
        assert page.shown is not None
        for name in ("old-prm", "new-prm"):
            seat.context.workspace.database.run(lambda c, name=name: register(c, name))
        told: list[Scoring] = []
        page.scorer.told.connect(told.append)
        seat.press("s", page.steps)
        seat.wait(lambda: any(menu.isVisible() for menu in page.strip.button.findChildren(QMenu)))
        menu = next(menu for menu in page.strip.button.findChildren(QMenu) if menu.isVisible())
        assert [action.text() for action in menu.actions()] == ["new-prm · AUC 0.91", "old-prm · AUC 0.91"]
        QTest.keyClick(menu, Qt.Key.Key_Return)
        seat.wait(lambda: len(told) >= 2)
        assert [step.running for step in told] == [True, False]
        assert told[0].trace_id == page.shown.trace.id
        assert "models/new-prm" in page.strip.words.text()
        assert len(seat.errors) == 1
        assert "models/new-prm" in str(seat.errors[0])
        seat.errors.clear()
