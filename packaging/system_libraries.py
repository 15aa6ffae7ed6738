"""Print the Debian packages of shared libraries that Qt needs and the loader cannot find (nothing when all are there).

Without a display only what the offscreen platform loads is asked for.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys

OFFSCREEN = {
    "libEGL.so.1": "libegl1",
    "libGL.so.1": "libgl1",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libdbus-1.so.3": "libdbus-1-3",
    "libfontconfig.so.1": "libfontconfig1",
    "libfreetype.so.6": "libfreetype6",
    "libglib-2.0.so.0": "libglib2.0-0",
    "libX11.so.6": "libx11-6",
}
SCREEN = {
    "libxcb-cursor.so.0": "libxcb-cursor0",
    "libxcb-icccm.so.4": "libxcb-icccm4",
    "libxcb-keysyms.so.1": "libxcb-keysyms1",
    "libxcb-image.so.0": "libxcb-image0",
    "libxcb-render-util.so.0": "libxcb-render-util0",
    "libxcb-xkb.so.1": "libxcb-xkb1",
    "libxcb-shape.so.0": "libxcb-shape0",
    "libxcb-randr.so.0": "libxcb-randr0",
    "libxcb-sync.so.1": "libxcb-sync1",
    "libxcb-xfixes.so.0": "libxcb-xfixes0",
    "libxkbcommon-x11.so.0": "libxkbcommon-x11-0",
}
RENAMED = {"libglib2.0-0": "libglib2.0-0t64"}  # Debian 13, Ubuntu 24.04


def main() -> int:
    """Print the missing packages on one line."""
    if not sys.platform.startswith("linux"):
        return 0
    wanted = dict(OFFSCREEN)
    if os.environ.get("DISPLAY"):
        wanted |= SCREEN
    missing = [present_name(package) for library, package in wanted.items() if not loads(library)]
    sys.stdout.write(" ".join(missing))
    return 0


def loads(library: str) -> bool:
    """Whether the loader finds the library."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def present_name(package: str) -> str:
    """The package's name on this release."""
    renamed = RENAMED.get(package)
    if renamed is None or shutil.which("apt-cache") is None:
        return package
    found = subprocess.run(["apt-cache", "show", renamed], capture_output=True, check=False)
    return renamed if found.returncode == 0 and found.stdout else package


if __name__ == "__main__":
    sys.exit(main())
