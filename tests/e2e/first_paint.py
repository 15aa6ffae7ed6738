"""Opens the window on a workspace as `python -m studio` does, and at the first painted trace prints what was imported.

Usage: python -m tests.e2e.first_paint WORKSPACE
"""

from __future__ import annotations

import time

BEGAN = time.perf_counter()

import json  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402

from PySide6.QtCore import QTimer  # noqa: E402

from studio.app import Studio, application  # noqa: E402
from studio.settings import Settings  # noqa: E402
from studio.ui.actions import Page  # noqa: E402

HEAVY = ("torch", "transformers", "accelerate", "pyqtgraph", "ziamath", "alembic", "sympy", "sklearn")


def main() -> int:
    """One JSON line: milliseconds since the interpreter ran this file, and the heavy packages found in sys.modules."""
    app = application(sys.argv[:1])
    studio = Studio(app, Settings.load())
    studio.open(Path(sys.argv[1]))
    assert studio.window is not None
    page = studio.window.page_widget(Page.LABEL)

    def look() -> None:
        if page.is_painted and page.gate.is_open:
            taken = round((time.perf_counter() - BEGAN) * 1000)
            found = [name for name in HEAVY if name in sys.modules]
            print(json.dumps({"ms": taken, "heavy": found, "modules": len(sys.modules)}), flush=True)
            studio.close()
            app.exit(0)

    timer = QTimer()
    timer.timeout.connect(look)
    timer.start(1)
    QTimer.singleShot(30_000, lambda: app.exit(3))
    return app.exec()


if __name__ == "__main__":
    raise SystemExit(main())
