"""The window comes first: nothing heavy is imported by the time the first trace is painted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_first_trace_is_painted_without_heavy_packages(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.e2e.first_paint", str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["heavy"] == []
