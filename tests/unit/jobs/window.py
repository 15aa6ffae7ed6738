"""The runs of a window, in a process of its own: `python -m tests.unit.jobs.window WORKSPACE INTERPRETER`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from studio.jobs.service import Jobs
from studio.workspace import Workspace

if __name__ == "__main__":
    with Workspace.open(Path(sys.argv[1])) as workspace:
        jobs = Jobs(workspace, interpreter=sys.argv[2])
        jobs.start()
        print("open", flush=True)
        while True:
            time.sleep(1.0)
