"""Opening the window quickly: a helper process loads the maths library while this one loads Qt and the database."""

from __future__ import annotations

import argparse


def window(args: argparse.Namespace) -> int:
    """The verb of no verb; returns the exit code."""
    from studio.helpers.pool import HelperPool

    helpers = HelperPool(preload=("studio.render.maths_worker",))
    try:
        from studio import app

        return app.window(args, helpers)
    finally:
        helpers.close()
