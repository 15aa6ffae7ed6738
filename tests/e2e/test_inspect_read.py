"""Somebody reads traces: opens one, moves through it, sees who said what."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.inspecting import fill, go_to_inspect
from tests.e2e.seat import Seat


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Competition problems, rated by three people, partly scored."""
    path = tmp_path / "workspace"
    fill(path)
    return path


def test_pictures_in_light_and_dark(sit_down: Callable[[], Seat]) -> None:
    with sit_down() as seat:
        page = go_to_inspect(seat)
        for name in ("light", "dark"):
            seat.context.actions.run(f"theme_{name}")
            seat.wait(lambda: page.steps.is_ready and page.problem.is_ready)
            seat.picture(f"inspect {name}")
