"""The guided tour comes to its end: the whole journey by key presses, with every model trained for a few steps only."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

from bench.loop import PRM_SETTINGS, RL_SETTINGS
from studio.store import projects
from studio.tour.plan import Plan
from studio.ui.train.presets import PRM_PRESETS, RL_PRESETS
from studio.workspace import Workspace
from trainer.contract.spec import build

ROOT = Path(__file__).resolve().parents[2]
LONG = """
import sys
from trainer.reasoning import stories
stories.STORY_PRESET |= {"max_steps": 40, "eval_every": 8, "checkpoint_every": 40}
from studio import cli
from studio.tour.plan import Plan
from studio.tour.verb import tour
few = {"max_steps": 4, "eval_every": 4, "checkpoint_every": 4, "batch_size": 8}
small = {"updates": 1, "prompts": 2, "traces": 2, "max_thinking": 24, "max_answer": 8, "eval_every": 1,
         "on_alarm": "only tell"}
plan = Plan(400, few, few, small, 1)
sys.exit(tour(cli.parser().parse_args(["tour", "--long", "--screenshots", sys.argv[1]]), plan))
"""
STAGES = (
    "Sample", "Import", "Rate", "Export", "Training packages", "Train", "Score", "Read", "Watch", "Evaluate",
    "Demonstrations", "Teach", "Label steps", "Train a PRM on these", "Improve", "The same", "Compare",
)  # fmt: skip


def environment() -> dict[str, str]:
    return {**os.environ, "QT_QPA_PLATFORM": "offscreen", "PYTHONUNBUFFERED": "1"}


def test_every_stage_comes_to_its_end(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    done = subprocess.run(
        [sys.executable, "-c", LONG, str(pictures)],
        capture_output=True,
        text=True,
        timeout=3_600,
        env=environment(),
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    lines = re.findall(r"^ *\d+  (\S.*?) {2,}[\d.]+ s", done.stdout, re.MULTILINE)
    assert len(lines) == len(STAGES), done.stdout
    assert all(line.startswith(stage) for line, stage in zip(lines, STAGES, strict=True)), lines
    shots = sorted(pictures.glob("*.png"))
    assert len(shots) >= 25
    assert all(shot.stat().st_size > 10_000 for shot in shots)
    assert "error shown" not in done.stdout
    before, after, gain = re.findall(r"accuracy ([\d.]+)% before, ([\d.]+)% after: (\S+) points", done.stdout)[0]
    assert abs(float(after) - float(before) - float(gain)) < 0.2


def test_ctrl_c_ends_it_and_leaves_the_workspace_usable(tmp_path: Path) -> None:
    folder = tmp_path / "workspace"
    command = [sys.executable, "-m", "studio", "tour", "--long", "--workspace", str(folder), "--screenshots"]
    command.append(str(tmp_path / "pictures"))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(), cwd=ROOT) as tour:
        patience = threading.Timer(300, tour.kill)
        patience.start()
        try:
            assert tour.stdout is not None
            assert "Sample workspace" in tour.stdout.readline()
            tour.send_signal(signal.SIGINT)
            rest = tour.stdout.read()
            assert tour.wait() == 130, rest
        finally:
            patience.cancel()
            tour.kill()
    assert "Cancelled" in rest
    with Workspace.open(folder) as workspace, workspace.database.read() as c:
        assert projects.by_name(c, "Arithmetic stories") is not None


def test_the_long_form_has_the_settings_of_the_measured_loop() -> None:
    plan = Plan()
    stories, small = PRM_PRESETS[1], RL_PRESETS[1]
    assert build("prm", {**stories.values, **plan.prm}) == build("prm", PRM_SETTINGS)
    rl = build("rl", {**small.values, **plan.rl, "model": "policy"})
    assert rl == build("rl", {**RL_SETTINGS, "model": "policy", "updates": 20})
