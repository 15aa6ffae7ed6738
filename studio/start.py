"""Opening the window quickly: a helper process loads the maths library while this one loads the database and Qt."""

from __future__ import annotations

import argparse
import gc
import importlib

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


def window(args: argparse.Namespace) -> int:
    """The verb of no verb; returns the exit code."""
    gc.disable()  # what is made while starting stays; looking through it again and again costs a tenth of the start
    from studio.helpers.pool import HelperPool

    helpers = HelperPool(preload=("studio.render.maths_worker",))
    try:
        for name in WITHOUT_QT:
            importlib.import_module(name)
        from studio import app

        return app.window(args, helpers)
    finally:
        helpers.close()
