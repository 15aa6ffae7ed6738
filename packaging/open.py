"""What `make run` starts: the window where there is a display, else the guided tour with screenshots in ./tour/."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def display_answers() -> bool:
    """Whether a window can be opened here."""
    if not sys.platform.startswith("linux"):
        return True
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    probe = "import sys; from PySide6.QtGui import QGuiApplication; QGuiApplication(sys.argv)"
    return subprocess.run([sys.executable, "-c", probe], capture_output=True, check=False).returncode == 0


def main() -> int:
    """Become the studio."""
    if display_answers():
        command = ["-m", "studio"]
    else:
        sys.stderr.write("No display: the guided tour runs offscreen and writes its pictures to ./tour/\n")
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
        command = ["-m", "studio", "tour", "--screenshots", str(ROOT / "tour")]
    os.execv(sys.executable, [sys.executable, *command])


if __name__ == "__main__":
    sys.exit(main())
