"""Opening the window quickly. Where nothing is drawn yet, a helper loads the maths library while this loads Qt."""

from __future__ import annotations

import argparse
import gc
import importlib
from pathlib import Path

# Once PySide6 is there, it reads the source of every module that is imported: what needs no Qt comes first.
WITHOUT_QT = (
    "concurrent.futures.thread",
    "importlib.resources.readers",
    "platformdirs.unix",
    "sqlalchemy.dialects.sqlite",
    "studio.jobs.children",
    "studio.render.estimate",
    "studio.render.mask_store",
    "studio.settings",
    "studio.store.annotations",
    "studio.store.notes",
    "studio.store.queue",
    "studio.store.traces",
    "studio.workspace",
)
MATHS = ("studio.render.maths_worker:warm_up",)  # what a helper that draws formulas does first


def window(args: argparse.Namespace) -> int:
    """The verb of no verb; returns the exit code."""
    gc.disable()  # what is made while starting stays; looking through it again and again costs a tenth of the start
    from studio.helpers.pool import HelperPool

    helpers = HelperPool(preload=MATHS, at_once=not _has_drawn(args.workspace))
    try:
        for name in WITHOUT_QT:
            importlib.import_module(name)
        from studio import app

        return app.window(args, helpers)
    finally:
        helpers.close()


def _has_drawn(folder: Path | None) -> bool:
    """Whether a workspace has formulas drawn already: then the first trace most likely needs no helper."""
    if folder is None:
        from studio.settings import Settings, default_workspace

        last = Settings.load().last_workspace
        folder = Path(last) if last else default_workspace()
    return (folder / "cache" / "maths.db").exists()
