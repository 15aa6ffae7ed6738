"""I ask the policy that travels with the app, watch it think, and see its answer."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from tests.e2e.playing import end_workers, go_to_play, played
from tests.e2e.seat import Seat, fill_workspace


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "workspace"
    fill_workspace(path)
    return path


def test_a_problem_is_thought_about_and_answered(qtbot: QtBot, folder: Path) -> None:
    try:
        with Seat(qtbot, folder) as seat:
            page = go_to_play(seat)
            played(seat, page)
            (lane,) = page.lanes
            assert lane.outcome is not None
            assert lane.text.opened is not None
            assert lane.text.opened.trace.text == lane.live.transcript.traces[0].text
    finally:
        end_workers(folder)
