"""The guided tour comes to its end: the whole journey by key presses, with a PRM trained for a few steps only."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHORT = """
import sys
from trainer.reasoning import stories
stories.STORY_PRESET |= {"max_steps": 40, "eval_every": 8, "checkpoint_every": 40}
from studio.cli import main
sys.exit(main(["tour", "--screenshots", sys.argv[1]]))
"""
STAGES = ("Sample", "Import", "Rate", "Export", "Training packages", "Train", "Score", "Read")


def test_every_stage_comes_to_its_end(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run(
        [sys.executable, "-c", SHORT, str(pictures)],
        capture_output=True,
        text=True,
        timeout=3_600,
        env=environment,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    lines = re.findall(r"^ *\d+  (\S.*?) {2,}[\d.]+ s", done.stdout, re.MULTILINE)
    assert len(lines) == len(STAGES)
    assert all(line.startswith(stage) for line, stage in zip(lines, STAGES, strict=True)), lines
    shots = sorted(pictures.glob("*.png"))
    assert len(shots) >= 12
    assert all(shot.stat().st_size > 10_000 for shot in shots)
    assert "error shown" not in done.stdout
