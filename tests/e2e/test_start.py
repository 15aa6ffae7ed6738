"""The window comes first: nothing heavy is imported by the time the first trace is painted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from studio.store import annotations
from studio.store.annotations import Work
from tests.e2e.seat import Seat

HEAVY = {"torch", "transformers", "accelerate", "pyqtgraph", "ziamath", "alembic", "sympy", "sklearn"}


def start(folder: Path) -> subprocess.CompletedProcess[str]:
    """`steplens --workspace FOLDER`, until its first trace can be read."""
    command = [sys.executable, "-m", "studio", "--workspace", str(folder), "--report-first-paint"]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


def test_the_first_trace_is_painted_without_heavy_packages(folder: Path) -> None:
    done = start(folder)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert not HEAVY & {name.partition(".")[0] for name in said["modules"]}


def test_a_second_start_raises_the_first_window_and_leaves(sit_down: Callable[[], Seat], folder: Path) -> None:
    with sit_down() as seat:
        seat.wait_painted()
        asked: list[bool] = []
        assert seat.studio.instance is not None
        seat.studio.instance.raised.connect(lambda: asked.append(True))
        second = subprocess.Popen([sys.executable, "-m", "studio", "--workspace", str(folder)])
        try:
            seat.wait(lambda: bool(asked))
            seat.wait(lambda: second.poll() is not None)
        finally:
            second.kill()
        assert second.returncode == 0
        seat.press("3")
        seat.wait_saved()
        key = Work(seat.page.desk.project.id, seat.work.trace.id, seat.context.annotator.id)
        with seat.context.workspace.database.read() as c:
            assert annotations.current(c, key) is not None
